"""Fractional noise in depth: the case that is neither, both halves of it, and the exponents by which noise adds up.

A slope passes within 4 standard errors of what theory has at these depths; a right one fails with probability 4e-4
(Student's t of 31 degrees), about 16 of them by .6% in all. Seeds are fixed, none was tried and replaced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import dblquad

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, SmoothProcess, Weights, theory
from resmc.models.activations import ACTIVATIONS
from resmc.theory.noise_response import response_mean_square
from resmc.theory.processes import covariance, fractional_noise_covariance

BOUND = 4.0
PHI_IN: dict[str, Any] = {"block": "phi-in"}
TANH: dict[str, Any] = {"block": "phi-out", "activation": "tanh"}


def network(width: int, beta: float, hurst: float | None, c: float = 1.0, **other: Any) -> ResidualNetwork:
    weights = "gaussian" if hurst is None else Weights(depth=FractionalNoise(hurst))
    return ResidualNetwork(
        width, 1, weights=weights, scaling=DepthScaling(beta, c, other["block"] == "phi-out"), **other
    )


def slopes(found: resmc.QuadraticVariation) -> tuple[tuple[float, float], tuple[float, float]]:
    """(value, bound of the error) of both slopes."""
    both = found.change_slope, found.variation_slope
    print("SLOPES", *both)
    return tuple((float(s.value), BOUND * float(s.stderr)) for s in both)


@pytest.mark.parametrize("block", [PHI_IN, TANH], ids=["phi-in", "inside"])
@pytest.mark.parametrize("hurst", [0.2, 0.3])
def test_the_change_is_bounded_and_the_quadratic_variation_grows_with_small_branches(
    hurst: float, block: dict[str, Any]
) -> None:
    """Slopes 0 and 1 - 2 H, to first order in c."""
    model = network(8, hurst, hurst, 2.0**-6, **block)
    found = resmc.quadratic_variation(model, (32, 128, 512), networks=40, seed=300, progress=False)
    assert found.response == (0.0, 1.0 - 2.0 * hurst)
    for (value, bound), exact in zip(slopes(found), found.response, strict=True):
        assert abs(value - exact) < bound


@pytest.mark.long
@pytest.mark.parametrize("block", [PHI_IN, TANH], ids=["phi-in", "inside"])
@pytest.mark.parametrize("hurst", [0.2, 0.3])
def test_width_40_is_neither(hurst: float, block: dict[str, Any]) -> None:
    """With c = 1: the change does not move by a factor of 1.4 while L grows by one of 64; the variation grows by 2.3.

    At H < 1/4 fluctuations of second order grow like L^(1/2 - 2H), which shows with tanh, where they are largest.
    """
    found = resmc.quadratic_variation(network(40, hurst, hurst, **block), seed=301, progress=False)
    (change, _), (variation, bound) = slopes(found)
    assert variation - bound > 0.2
    if hurst == 0.3 or block == PHI_IN:
        assert abs(change) < 0.08


def test_a_diverging_quadratic_variation_alone_proves_nothing() -> None:
    """The controls: both diverge with independent weights at beta < 1/2, neither at 1/2; smooth ones lose theirs."""
    depths, many = (32, 128, 512), 40  # some networks of width 8 start with no neuron active, and never move
    found = resmc.quadratic_variation(network(8, 0.3, None, 0.05, **PHI_IN), depths, networks=many)
    (change, a), (variation, b) = slopes(found)
    assert change - a > 0.1
    assert variation - b > 0.3
    for value, bound in slopes(resmc.quadratic_variation(network(8, 0.5, None, 0.05, **PHI_IN), depths, networks=many)):
        assert abs(value) < bound
    smooth = ResidualNetwork(8, 1, weights=Weights(depth=SmoothProcess()), scaling=DepthScaling(1.0))
    (change, _), (variation, _) = slopes(resmc.quadratic_variation(smooth, depths, networks=many))
    assert abs(change) < 0.02
    assert abs(variation + 1.0) < 0.05


def test_limit_refuses_the_case_that_is_neither_and_names_what_shows_it() -> None:
    with pytest.raises(ValueError, match=r"resmc\.quadratic_variation"):
        resmc.limit(network(8, 0.3, 0.3, **PHI_IN))


RESPONSES = {
    "v-phi-w, relu": {"block": "v-phi-w"},
    "phi-in, tanh": {"block": "phi-in", "activation": "tanh"},
    "phi-out, leaky_relu": {"block": "phi-out", "activation": "leaky_relu"},
    "phi-out, inside, gelu": {"block": "phi-out", "activation": "gelu", "scaling": DepthScaling(1.0, 1.0, inside=True)},
}


@pytest.mark.parametrize("name", RESPONSES)
def test_exponents_are_those_of_the_exact_response(name: str) -> None:
    model = ResidualNetwork(8, 1, **RESPONSES[name])
    found = resmc.frontier(model, (0.1, 0.9), (32, 256), networks=64, seed=310, progress=False)
    print(found)
    assert np.all(np.abs(found.z_score) < BOUND)


def test_another_exponent_is_seen() -> None:
    """The negative control: noise of H = .9 is not taken for that of .7, nor v-phi-w for phi-in at H = .1."""
    model = ResidualNetwork(8, 1, "v-phi-w")
    found = resmc.frontier(model, (0.1, 0.9), (32, 256), networks=64, seed=311, progress=False)
    wrong = [response_mean_square(model, 0.7, [32, 256]), response_mean_square(ResidualNetwork(8, 1), 0.1, [32, 256])]
    for i, square in zip((1, 0), wrong, strict=True):
        slope = 0.5 * np.log(square[1] / square[0]) / np.log(8.0)
        assert abs(found.exponent.value[i] - slope) > BOUND * found.exponent.stderr[i]


HURST, DEEP = (0.1, 0.3, 0.5, 0.7, 0.9), (1024, 2048, 4096, 8192, 16384)


def test_exact_exponents_come_near_to_the_frontier() -> None:
    """At depths of 1024 to 16384 they are within .03 of max(H, 1/2), and nearer where the depths are larger."""
    model, x = ResidualNetwork(8, 1, "v-phi-w"), np.log(DEEP)
    for hurst in HURST:
        squares = [response_mean_square(model, hurst, np.array(DEEP) * scale) for scale in (1, 16)]
        near, nearer = (abs(np.polyfit(x, 0.5 * np.log(square), 1)[0] - max(hurst, 0.5)) for square in squares)
        assert nearer <= near + 1e-12
        assert near < 0.03


@pytest.mark.long
@pytest.mark.parametrize("hurst", HURST)
def test_deep_v_phi_w_has_the_exact_exponents(hurst: float) -> None:
    model = ResidualNetwork(16, 1, "v-phi-w")
    found = resmc.frontier(model, hurst, DEEP[:4], networks=64, seed=312, progress=False)
    print("FRONTIER", found)
    assert abs(found.z_score[0]) < BOUND
    assert abs(found.exponent.value[0] - max(hurst, 0.5)) < 0.03 + BOUND * found.exponent.stderr[0]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
@pytest.mark.parametrize("block", ["v-phi-w", "phi-out"])
def test_the_exact_response_is_the_sum_over_pairs_of_layers(block: str, activation: str) -> None:
    """Against a double integral for each correlation, summed over all pairs of 5 layers."""
    sigma, hurst, depth = ACTIVATIONS[activation].value, 0.8, 5
    rho = fractional_noise_covariance(hurst, np.arange(depth))

    def activated(r: float) -> float:
        def integrand(y: float, x: float) -> float:
            other = r * x + np.sqrt(1.0 - r * r) * y
            return float(sigma(np.array(x)) * sigma(np.array(other)) * np.exp(-0.5 * (x * x + y * y)) / (2.0 * np.pi))

        return dblquad(integrand, -7.0, 7.0, -7.0, 7.0, epsabs=1e-5)[0]

    if activation == "linear":
        terms = rho.copy()
    else:
        zero = float(np.mean(sigma(np.array([1.0, -1.0])) ** 2))
        terms = np.array([1.0, *(activated(float(r)) / zero for r in rho[1:])])
    if block == "v-phi-w":
        terms *= rho
    total = depth + 2.0 * sum((depth - k) * terms[k] for k in range(1, depth))
    model = ResidualNetwork(4, 1, block, activation)
    np.testing.assert_allclose(response_mean_square(model, hurst, [1, depth]), [1.0, total], rtol=1e-3)


def test_random_signs_of_phi_in_leave_a_half_of_the_exponent_to_independent_layers() -> None:
    """E|sum V_k sigma(s_k h)|^2 is the sum of rho times what the activated states of two layers share."""
    hurst, depths, rng = 0.2, (64, 1024), np.random.default_rng(5)
    model = ResidualNetwork(400, 1, "phi-in", "balanced")
    found = []
    for depth in depths:
        signs = rng.choice([-1.0, 1.0], (depth, model.width))
        active = np.maximum(signs * rng.standard_normal(model.width), 0.0)
        found.append(float(np.sum(covariance(FractionalNoise(hurst), depth) * (active @ active.T)) / model.width))
    exact = [0.25 * (depth + depth ** (2.0 * hurst)) for depth in depths]
    np.testing.assert_allclose(found, exact, rtol=0.2)  # the mean of h_i^2 has an error of 7%
    assert theory.noise_exponent(model, hurst) == 0.5
    assert np.isnan(response_mean_square(model, hurst, depths)).all()


def test_responses_that_are_not_known_are_not_a_number() -> None:
    assert np.isnan(response_mean_square(ResidualNetwork(4, 1, "v-phi-w", "tanh"), 0.3, [4, 8])).all()
    found = resmc.frontier(ResidualNetwork(2, 1, "v-phi-w", "tanh"), [0.9], (4, 8), networks=32, progress=False)
    assert np.isnan(found.exact).all()
    assert found.limit == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("hurst=1.5 is out of range", {"hurst": [1.5]}),
        ("hurst=None is not allowed: it must be a list of numbers", {"hurst": None}),
        (r"hurst=0\.5 is not allowed: it must be a list of numbers", {"hurst": 0.5}),
        (r"hurst holds 0\.5 twice: its values must differ", {"hurst": [0.5, 0.2, 0.5]}),
        ("hurst has 0 values: it must have 1 to 4096", {"hurst": ()}),
        ("depths=5 is not allowed", {"depths": 5}),
        ("networks=31 is out of range", {"networks": 31}),
        ("would take", {"depths": (4, 1 << 19)}),
    ],
)
def test_bad_arguments_are_value_errors(message: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=message):
        resmc.frontier(ResidualNetwork(40, 1, "v-phi-w"), **given)


BAD_MODELS = {
    "model=3": 3,
    "carry=0.5": ResidualNetwork(4, 10, carry=0.5),
    "'balanced' is not allowed: its signs": ResidualNetwork(4, 10, activation="balanced"),
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_models_that_do_not_fit_are_refused(message: str) -> None:
    for refusing in (resmc.frontier, resmc.quadratic_variation):
        with pytest.raises(ValueError, match=message):
            refusing(BAD_MODELS[message])


def test_experiments_of_one_seed_have_the_same_noise_and_are_dependent() -> None:
    model = network(2, 0.3, 0.3, **TANH)
    one, other = (
        resmc.quadratic_variation(model, (2, 4), networks=32, seed=seed, progress=False).change_slope for seed in (1, 2)
    )
    exponent = resmc.frontier(model, [0.3], (2, 4), networks=32, seed=1, progress=False).exponent[0]
    assert np.isnan((exponent - one).stderr)
    assert float((exponent - other).stderr) == pytest.approx(np.hypot(exponent.stderr, other.stderr))


def test_one_depth_has_no_quadratic_variation_by_depth() -> None:
    with pytest.raises(ValueError, match="scaling layer by layer"):
        resmc.quadratic_variation(ResidualNetwork(4, 2, scaling=(0.1, 0.2)))
    with pytest.raises(ValueError, match="covariance matrix are not allowed: it has one depth"):
        resmc.quadratic_variation(ResidualNetwork(4, 2, weights=Weights(depth=np.eye(2)), scaling=DepthScaling(1.0)))


def test_networks_without_a_logarithm_are_counted_below_the_table():
    """Of a width of 2, one network in 4 has no neuron that fires at first, and never moves."""
    noise = Weights(depth=FractionalNoise(0.3))
    model = ResidualNetwork(2, 8, scaling=DepthScaling(0.3), weights=noise)
    found = resmc.quadratic_variation(model, [4, 8], networks=40, progress=False)
    missing = int((found.change == 0.0).any(axis=0).sum())
    assert 0 < missing < 40
    said = (
        f"left out: {missing} of 40 networks, without a logarithm at some depth: 0, or exploded; errors take 32 others"
    )
    assert (said in str(found)) == (40 - missing < 32)
    wide = resmc.quadratic_variation(replace(model, width=16), [4, 8], networks=32, progress=False)
    assert "left out" not in str(wide)
