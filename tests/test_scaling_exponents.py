"""Scaling exponents: known ones come out of drawn weights within 0.05, with errors that cover them, and regimes follow.

Seeds are fixed. Errors are small beside 0.05 in the cases below (at most 0.017), so that a bound fails by chance with a
probability below 0.003 a number at worst, and below 1e-6 for most. Coverage is a binomial count, whose bounds hold but
for 1e-3.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

import resmc
from resmc import FractionalNoise, Mixture, SmoothProcess
from resmc.analyses.scaling import ScalingExponents
from resmc.analyses.scaling_statistics import independent_layers, statistics
from resmc.analyses.weight_regime import decide, place
from resmc.engine.weights import WeightSource
from resmc.models.processes import Process
from resmc.theory.extremes import largest_mean_square

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("error")]
DEPTHS = (16, 32, 64, 128, 256, 512, 1024)
WITHIN = 0.05
Draw = Callable[[int, np.random.Generator, tuple[int, ...]], np.ndarray]


def noise(exponent: float) -> Draw:
    return lambda depth, rng, shape: depth**exponent * rng.standard_normal((depth, *shape))


def walk(depth: int, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return noise(-0.5)(depth, rng, shape).cumsum(axis=0)


def smooth(exponent: float) -> Draw:
    """Weights L^exponent f(k/L), f of two random waves in every entry."""

    def draw(depth: int, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        t = (np.arange(depth) / depth).reshape(-1, *[1] * len(shape))
        a, b, c = rng.standard_normal((3, *shape))
        return np.asarray(depth**exponent * (a + b * np.cos(3.0 * t) + c * np.sin(6.0 * t)))

    return draw


def together(*draws: Draw) -> Draw:
    return lambda depth, rng, shape: sum((draw(depth, rng, shape) for draw in draws), np.zeros((depth, *shape)))


def drawn(dependence: str | Process, exponent: float, summed: bool = False) -> dict[int, np.ndarray]:
    """Matrices 10 x 10 of one network of the engine at every depth, times a power of the depth."""
    out = {}
    for depth in DEPTHS:
        weights = resmc.Weights(depth=dependence)
        model = resmc.ResidualNetwork(10, depth, "phi-in", weights=weights, scaling=resmc.DepthScaling(0.0))
        layers = np.asarray(WeightSource(model, seed=depth).draw(range(1), 0, depth).outer[0], np.float64)
        out[depth] = depth**exponent * (layers.cumsum(axis=0) if summed else layers)
    return out


def made(draw: Draw, seed: int, shape: tuple[int, ...] = (10, 10)) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {depth: draw(depth, rng, shape) for depth in DEPTHS}


def values(found: ScalingExponents) -> list[float]:
    names = ("size", "root_square", "increment", "root_increment", "trend", "noise")
    return [float(getattr(found, f"{name}_exponent")) for name in names]


KNOWN = {  # exponents in the order of `values`, None where there is none; the regime at beta = 0; h
    "smooth": (lambda: drawn(SmoothProcess(0.1), -1.0), (-1, -0.5, -2, -1, -1, None), "ODE", None),
    "independent": (lambda: drawn("iid", -0.5), (-0.5, 0, -0.5, 0.5, None, -0.5), "SDE", 0.5),
    "small and independent": (lambda: drawn("iid", -0.8), (-0.8, -0.3, -0.8, 0.2, None, -0.8), "neither", 0.5),
    "walk": (lambda: drawn("iid", -0.5, summed=True), (0, 0.5, -0.5, 0.5, 0, -0.5), "neither", None),
    "H = 0.3": (lambda: drawn(FractionalNoise(0.3), -0.3), (-0.3, 0.2, -0.3, 0.7, None, -0.3), "neither", 0.3),
    "H = 0.7": (lambda: drawn(FractionalNoise(0.7), -0.7), (-0.7, -0.2, -0.7, 0.3, None, -0.7), "neither", 0.7),
    "path 0.3": (lambda: drawn(FractionalNoise(0.3), -0.3, True), (0, 0.5, -0.3, 0.7, 0, -0.3), "neither", None),
    "path 0.7": (lambda: drawn(FractionalNoise(0.7), -0.7, True), (0, 0.5, -0.7, 0.3, 0, -0.7), "neither", None),
    "trend and noise": (
        lambda: drawn(Mixture(SmoothProcess(0.2), FractionalNoise(0.5), (1.0, 0.5), (2.0, 1.0)), 0.0),
        (-0.5, 0, -0.5, 0.5, -1, -0.5), "SDE", 0.5,
    ),
    "trend and small noise": (
        lambda: made(together(smooth(-1.0), noise(-1.0)), 5), (-1, -0.5, -1, 0, -1, -1), "ODE", None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "exact"), [("smooth", 0), ("independent", 0), ("walk", 1), ("H = 0.3", 0), ("H = 0.7", 0)]
)
def test_all_adds_up_to_what_trend_and_noise_do(name, exact):
    found = resmc.scaling_exponents(KNOWN[name][0](), beta=0.25)
    assert abs(float(found.sum_exponent) - exact) <= WITHIN
    assert float(found.noise_sum) == pytest.approx(float(found.noise_exponent) + float(found.noise_hurst) - 0.25)
    assert np.isnan(found.trend_sum.value) or float(found.trend_sum) == float(found.trend_exponent) + 0.75


@pytest.mark.parametrize("name", KNOWN)
def test_known_exponents_come_out(name):
    draw, exact, regime, hurst = KNOWN[name]
    found = resmc.scaling_exponents(draw())
    for value, expected in zip(values(found), exact, strict=True):
        assert expected is None or abs(value - expected) <= WITHIN, (name, values(found))
    assert hurst is None or abs(float(found.noise_hurst) - hurst) <= WITHIN
    assert found.regime == regime, found.sentence


def test_networks_give_errors_of_networks_that_cover():
    """Networks that are related at all depths: walks of which shallower networks see some layers."""
    rng = np.random.default_rng(2)
    path = rng.standard_normal((64, 1024, 2)).cumsum(axis=1) / 32.0
    found = resmc.scaling_exponents({depth: path[:, :: 1024 // depth] for depth in DEPTHS}, axis=1, members=0)
    assert (found.networks, found.entries) == (64, 2)
    assert abs(float(found.increment_exponent) + 0.5) <= 4.0 * float(found.increment_exponent.stderr)
    assert float(found.increment_exponent.stderr) < 0.02
    assert np.isfinite(found.log_sizes.stderr).all()
    assert np.isnan((found.size_exponent - found.root_square_exponent).stderr)  # of the same networks


def test_axes_may_stand_anywhere_and_tensors_and_lists_will_do():
    torch = pytest.importorskip("torch")
    weights = {depth: np.random.default_rng(depth).standard_normal((4, depth, 3, 2)) for depth in DEPTHS[:4]}
    one = resmc.scaling_exponents(weights, axis=1, members=0)
    moved = resmc.scaling_exponents({d: np.moveaxis(a, (0, 1), (3, 2)) for d, a in weights.items()}, axis=2, members=-1)
    tensors = resmc.scaling_exponents({d: torch.tensor(a) for d, a in reversed(weights.items())}, axis=1, members=0)
    lists = resmc.scaling_exponents({d: a.tolist() for d, a in weights.items()}, axis=1, members=0)
    assert [str(found) for found in (moved, tensors, lists)] == [str(one)] * 3


def test_uncorrected_maxima_of_independent_numbers_have_another_slope():
    """Negative control of the extreme-value factor: -0.37 instead of -1/2."""
    rng = np.random.default_rng(1)
    logs = [np.log(depth**-0.5 * np.abs(rng.standard_normal((1000, depth))).max(axis=1)).mean() for depth in DEPTHS]
    assert np.polyfit(np.log(DEPTHS), logs, 1)[0] == pytest.approx(-0.37, abs=0.01)
    weights = {depth: depth**-0.5 * rng.standard_normal((200, depth)) for depth in DEPTHS}
    found = resmc.scaling_exponents(weights, axis=1, members=0)
    assert abs(float(found.size_exponent) + 0.5) <= 0.01
    assert abs(float(found.increment_exponent) + 0.5) <= 0.01


@pytest.mark.parametrize(("layers", "entries"), [(1, 1), (2, 1), (16, 1), (50, 9), (1000, 3), (64, 400)])
def test_the_mean_of_the_largest_square_is_that_of_drawn_normals(layers, entries):
    rng = np.random.default_rng(layers * entries)
    squares = rng.chisquare(entries, (4000, layers)).max(axis=1) / entries
    assert abs(largest_mean_square(layers, entries) - squares.mean()) <= 4.0 * squares.std() / np.sqrt(4000.0)


def test_the_largest_of_two_squares_is_exact():
    """E max(a^2, b^2) = 1 + 2/pi for two standard normals."""
    assert largest_mean_square(2.0, 1) == pytest.approx(1.0 + 2.0 / np.pi, abs=2e-6)


def test_independent_layers_are_counted_as_such_and_a_continuous_function_has_few():
    rng = np.random.default_rng(4)
    for depth in (16, 128, 1024):
        independent = np.mean([independent_layers(rng.standard_normal((1, depth, 4))) for _ in range(40)])
        assert independent == pytest.approx(depth, rel=0.05)
    for draw in (smooth(0.0), walk):
        few = [independent_layers(np.array([draw(depth, rng, (100,)) for _ in range(4)])) for depth in (64, 1024)]
        assert few[0] == pytest.approx(few[1], rel=0.15)
        assert few[1] < 6.0


def test_the_trend_is_not_biased_by_noise():
    rng = np.random.default_rng(6)
    weights = 0.3 + rng.standard_normal((400, 64, 4))
    trend = statistics(weights).mean_squares[4]
    assert abs(trend.mean() - 4 * 0.09) <= 4.0 * trend.std() / 20.0
    nothing = statistics(weights - 0.3).mean_squares[4]
    assert abs(nothing.mean()) <= 4.0 * nothing.std() / 20.0


def test_the_noise_is_not_biased_by_a_trend_up_to_the_third_difference():
    rng = np.random.default_rng(7)
    t = np.arange(64.0)[:, None] / 64.0
    weights = rng.standard_normal((400, 64, 4)) + 100.0 * t**2
    noise_square = statistics(weights).mean_squares[5]
    assert abs(noise_square.mean() - 4.0) <= 4.0 * noise_square.std() / 20.0


def coverage(draw: Draw, exact: tuple[float | None, ...], seeds: int, shape: tuple[int, ...]) -> list[int]:
    """How many 95% intervals of `values` hold the exact exponent, where there is one."""
    held = np.zeros(len(exact), int)
    for seed in range(seeds):
        found = resmc.scaling_exponents(made(draw, seed, shape))
        names = ("size", "root_square", "increment", "root_increment", "trend", "noise")
        for i, (name, value) in enumerate(zip(names, exact, strict=True)):
            if value is not None:
                low, high = getattr(found, f"{name}_exponent").interval()
                held[i] += bool(low <= value <= high)
    return [int(n) for n, value in zip(held, exact, strict=True) if value is not None]


def test_intervals_of_one_network_cover():
    """The least of 5 counts of 80 lies below the 1e-4 quantile of 95% coverage with a probability below 5e-4."""
    held = coverage(noise(-0.5), (-0.5, 0, -0.5, 0.5, None, -0.5), 80, (2, 2))
    assert min(held) >= binom.ppf(1e-4, 80, 0.95)


def test_intervals_of_networks_that_are_related_at_all_depths_cover():
    """Walks of which shallower networks see some layers; the least of 3 counts of 80, as above."""
    held, depths = np.zeros(3, int), DEPTHS[:5]
    for seed in range(80):
        path = np.random.default_rng(seed).standard_normal((32, depths[-1], 2)).cumsum(axis=1) / depths[-1] ** 0.5
        nested = {depth: path[:, :: depths[-1] // depth] for depth in depths}
        found = resmc.scaling_exponents(nested, axis=1, members=0)
        each = (found.increment_exponent, -0.5), (found.root_increment_exponent, 0.5), (found.noise_exponent, -0.5)
        held += [one.interval()[0] <= exact <= one.interval()[1] for one, exact in each]
    assert min(held) >= binom.ppf(1e-4, 80, 0.95)


@pytest.mark.long
@pytest.mark.parametrize(
    ("draw", "exact"),
    [
        (noise(-0.5), (-0.5, 0, -0.5, 0.5, None, -0.5)),
        (walk, (0, 0.5, -0.5, 0.5, 0, -0.5)),
        (smooth(-1.0), (-1, -0.5, None, None, -1, None)),
        (together(smooth(-1.0), noise(-0.5)), (None, None, -0.5, 0.5, None, -0.5)),
    ],
)
@pytest.mark.parametrize("shape", [(), (10, 10)])
def test_intervals_cover_at_many_seeds(draw, exact, shape):
    """Finite depths bend what these laws do by less than their errors of one network, but for a few percent."""
    assert min(coverage(draw, exact, 250, shape)) >= binom.ppf(1e-4, 250, 0.93)


REGIMES = {  # weights, beta, regime, words of the sentence
    "noise too large": (noise(-0.25), 0.0, "neither", "noise adds up to"),
    "trend too large": (together(smooth(-0.5), noise(-0.5)), 0.0, "neither", "the trend adds up to"),
    "smooth and too large": (smooth(-0.5), 0.0, "neither", "without bound"),
    "smooth and small": (smooth(-1.5), 0.0, "neither", "identity"),
    "smooth of size 1 with beta = 1": (smooth(0.0), 1.0, "ODE", "stays finite"),
    "noise of size 1 with beta = 1/2": (noise(0.0), 0.5, "SDE", "independent from layer to layer"),
    "a walk with beta = 1": (walk, 1.0, "ODE", "continuous in k/L"),
    "no noise at all": (lambda depth, rng, shape: np.ones((depth, *shape)) / depth, 0.0, "ODE", "no noise"),
    "noise that adds up to nothing": (noise(-1.0), 0.0, "neither", "not seen at every depth"),
}


@pytest.mark.parametrize("name", REGIMES)
def test_the_regime_is_that_of_the_exponents(name):
    draw, beta, regime, words = REGIMES[name]
    found = resmc.scaling_exponents(made(draw, 11), beta=beta)
    assert found.regime == regime, found.sentence
    assert words in found.sentence
    assert words in str(found)


def test_few_numbers_leave_the_regime_undecided_and_are_hardly_ever_wrong():
    """One number a layer, 40 networks of independent layers: never anything but SDE, and mostly undecided."""
    found = [resmc.scaling_exponents(made(noise(-0.5), seed, ())).regime for seed in range(40)]
    assert set(found) <= {"SDE", "undecided"}
    assert found.count("undecided") >= 20


def test_a_place_needs_an_interval_on_one_side():
    def of(value: float, stderr: float) -> str:
        return place(resmc.Estimate(value, stderr, 1000), 0.0)

    assert [of(0.3, 0.01), of(-0.3, 0.01), of(0.02, 0.01), of(0.1, 0.05), of(0.0, 0.2), of(0.0, np.nan)] == [
        "above", "below", "at", "", "", "",
    ]  # fmt: skip


def test_noise_whose_memory_is_not_known_is_undecided():
    at, unknown = resmc.Estimate(0.0, 0.01, 1000), resmc.Estimate(0.5, 0.1, 1000)
    regime = decide(at, at, at, unknown, noiseless=False)
    assert regime.name == "undecided"
    assert "is not known" in regime.sentence


def test_weights_that_do_not_change_have_no_exponent_of_increments():
    found = resmc.scaling_exponents({depth: np.full(depth, 1.0 / depth) for depth in DEPTHS})
    assert float(found.size_exponent) == pytest.approx(-1.0)
    assert np.isnan(found.increment_exponent.value)
    assert np.isnan(found.increment_exponent.stderr)


ONES = {depth: np.ones((depth, 2)) for depth in DEPTHS}
BAD = {
    "a list": ([np.ones(16)], {}, "must map each depth L"),
    "two depths": ({16: np.ones(16), 32: np.ones(32)}, {}, "2 depths are too few"),
    "a depth of 4": ({4: np.ones(4), 16: np.ones(16), 32: np.ones(32)}, {}, "a depth of weights=4 is out of range"),
    "a depth in words": (ONES | {"deep": np.ones((9, 2))}, {}, "a depth of weights='deep' is not allowed"),
    "other layers": (ONES | {64: np.ones((63, 2))}, {}, "weights[64] has 63 layers along its axis: it must have 64"),
    "other entries": (ONES | {64: np.ones((64, 3))}, {}, "differ in networks x entries"),
    "NaN": (ONES | {64: np.full((64, 2), np.nan)}, {}, "weights[64] are not all finite"),
    "zeros": (ONES | {64: np.zeros((64, 2))}, {}, "weights[64] are all 0"),
    "large": ({depth: 1e200 * one for depth, one in ONES.items()}, {}, "weights[16] of up to 1e+200 are out of range"),
    "small": ({depth: 1e-200 * one for depth, one in ONES.items()}, {}, "weights[16] of up to 1e-200 are out of range"),
    "words": (ONES | {64: ["a"] * 64}, {}, "weights[64]="),
    "complex": (ONES | {64: np.ones((64, 2)) * 1j}, {}, "complex numbers"),
    "one axis for both": (ONES, {"members": 0}, "members=0 is not allowed: axis=0 is that of the layers"),
    "an axis too far": (ONES, {"axis": 2}, "axis=2 is out of range"),
    "beta in words": (ONES, {"beta": "large"}, "beta='large' is not allowed"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_a_sentence(name):
    weights, options, words = BAD[name]
    with pytest.raises(ValueError, match=re.escape(words)):
        resmc.scaling_exponents(weights, **options)
