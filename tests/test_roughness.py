"""Roughness of weights over the layers: known exponents come out, with errors that cover them.

What is drawn may differ by 4.5 standard errors of 31 degrees of freedom: 14 numbers, a false-alarm level of 1.3e-3 in
all. Coverage is that of a binomial count: its bounds hold but for 1e-3 on either side.
"""

from __future__ import annotations

import numpy as np
import pytest

import resmc
from resmc import FractionalNoise, Mixture, SmoothProcess
from resmc.engine.weights import WeightSource
from resmc.models.processes import Covariance, Process
from resmc.theory.processes import covariance
from resmc.theory.roughness import PATHS, increment_mean_squares, path_exponents

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("error")]
AGREE = 4.5
MIXTURE = Mixture(SmoothProcess(0.3), FractionalNoise(0.5))
NOT_STATIONARY = Covariance(np.minimum.outer(np.arange(1.0, 25.0), np.arange(1.0, 25.0)))
PROCESSES = ("iid", FractionalNoise(0.3), FractionalNoise(0.7), SmoothProcess(0.1), SmoothProcess(0.2, "increments"))


def drawn(dependence: str | Process, networks: int = 64, depth: int = 100, width: int = 4, seed: int = 7) -> np.ndarray:
    """Matrices of networks, (networks, depth, width, width)."""
    model = resmc.ResidualNetwork(width, depth, "phi-in", weights=resmc.Weights(depth=dependence))
    return np.asarray(WeightSource(model, seed).draw(range(networks), 0, depth).outer, np.float64)


def agrees(found: resmc.Estimate, exact: float) -> bool:
    return abs(float(found.value) - exact) <= AGREE * float(found.stderr)


def test_the_summary_has_the_exponent_and_a_row_for_each_lag():
    found = resmc.roughness_exponent(drawn(PROCESSES[1], depth=16), axis=1, members=0)
    text = str(found.summary())
    assert text == str(found)
    assert f"exponent = {found.exponent}" in text
    assert [line.split()[0] for line in text.splitlines()[-len(found.lags) :]] == [str(lag) for lag in found.lags]


@pytest.mark.parametrize("process", PROCESSES[1:3], ids=str)
def test_the_exponent_of_fractional_noise_is_its_hurst_exponent_at_every_lag(process):
    found = resmc.roughness_exponent(drawn(process), axis=1, members=0, lags=(1, 2, 5, 20, 50))
    assert agrees(found.exponent, process.hurst)
    assert all(agrees(found.local_exponent[i], process.hurst) for i in range(1, 5))
    assert float(found.exponent.stderr) < 0.01


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_exponents_are_those_of_the_exact_mean_squares(process, path):
    found = resmc.roughness_exponent(drawn(process), path=path, axis=1, members=0)
    exact = increment_mean_squares(process, 100, found.lags, path)
    assert found.lags.tolist() == [1, 2, 4]
    assert agrees(found.exponent, float(path_exponents(found.lags, exact)[-1]))


def test_smooth_weights_are_told_from_noise_and_a_random_walk_from_both():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 32, 8))
    smooth = np.cos(np.arange(200)[:, None, None] / 60.0 + rng.uniform(0.0, 6.0, (32, 8)))
    several = {"noise": noise, "walk": noise.cumsum(axis=0), "smooth": smooth}
    found = {
        (name, path): float(resmc.roughness_exponent(weights, members=1, path=path).exponent)
        for name, weights in several.items()
        for path in PATHS
    }
    expected = {
        ("noise", "sums"): 0.5, ("walk", "sums"): 1.0, ("smooth", "sums"): 1.0,
        ("noise", "weights"): 0.0, ("walk", "weights"): 0.5, ("smooth", "weights"): 1.0,
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=0.02)


def test_the_local_exponent_rises_where_noise_lies_upon_a_trend():
    mixture = 0.5 * drawn(SmoothProcess(0.3), seed=8) + drawn("iid")
    found = resmc.roughness_exponent(mixture, axis=1, members=0, lags=(1, 2, 4, 8, 16)).local_exponent
    assert (np.diff(found.value[1:]) > AGREE * found.stderr[2:]).all()
    flat = resmc.roughness_exponent(drawn("iid"), axis=1, members=0, lags=(1, 2, 4, 8, 16)).local_exponent
    assert not (np.diff(flat.value[1:]) > AGREE * flat.stderr[2:]).any()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("process", [*PROCESSES, "tied", MIXTURE, NOT_STATIONARY], ids=lambda p: type(p).__name__)
def test_exact_mean_squares_are_sums_over_the_covariance(process, path):
    depth, lags = 24, [1, 2, 5, 11]
    factor = np.tril(np.ones((depth + 1, depth)), -1) if path == "sums" else np.eye(depth)
    steps = [factor[m:] - factor[:-m] for m in lags]
    expected = [np.mean(np.einsum("ki,ij,kj->k", step, covariance(process, depth), step)) for step in steps]
    assert increment_mean_squares(process, depth, lags, path) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.9])
def test_sums_of_fractional_noise_have_powers_of_the_lag(hurst):
    lags = np.array([1, 3, 10, 40])
    squares = increment_mean_squares(FractionalNoise(hurst), 50, lags)
    assert squares == pytest.approx(lags ** (2.0 * hurst), rel=1e-12)
    assert path_exponents(lags, squares)[1:] == pytest.approx(np.full(4, hurst), rel=1e-12)


def test_lists_and_tensors_are_taken_as_arrays():
    weights = np.random.default_rng(4).standard_normal((20, 3))
    found = resmc.roughness_exponent(weights)
    assert float(resmc.roughness_exponent(weights.tolist(), lags=np.array([1, 2])).exponent) == float(found.exponent)
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(weights, requires_grad=True)
    assert float(resmc.roughness_exponent(tensor).exponent) == float(found.exponent)


@pytest.mark.parametrize("factor", [1e-120, 1e120])
def test_the_size_of_weights_has_no_effect(factor):
    weights = np.random.default_rng(5).standard_normal((20, 3))
    found = resmc.roughness_exponent(factor * weights).exponent
    assert float(found) == pytest.approx(float(resmc.roughness_exponent(weights).exponent), rel=1e-12)


def test_any_axes_make_the_same_numbers():
    weights = drawn(FractionalNoise(0.7), networks=33, depth=20, width=3)
    found = resmc.roughness_exponent(weights, axis=1, members=0)
    assert (
        resmc.roughness_exponent(np.moveaxis(weights, (0, 1), (2, 3)), axis=-1, members=-2).exponent == found.exponent
    )
    assert resmc.roughness_exponent(np.moveaxis(weights, 1, 0), members=1).exponent == found.exponent
    assert (found.depth, found.paths, found.path) == (20, 9, "sums")
    assert (found.exponent.n, found.exponent.df) == (33, 31.0)


def test_the_slope_is_that_of_a_fit_by_hand():
    theta = np.random.default_rng(1).standard_normal((40, 3))
    lags = (1, 3, 7, 20)
    sums = np.vstack([np.zeros(3), theta.cumsum(axis=0)])
    squares = [np.mean((sums[m:] - sums[:-m]) ** 2) for m in lags]
    found = resmc.roughness_exponent(theta, lags=lags)
    assert found.mean_square.value == pytest.approx(squares)
    assert float(found.exponent) == pytest.approx(np.polyfit(np.log(lags), 0.5 * np.log(squares), 1)[0])
    assert float(found.local_exponent[2]) == pytest.approx(0.5 * np.log(squares[2] / squares[1]) / np.log(7 / 3))
    assert np.isnan(found.local_exponent.value[0])


def test_errors_take_32_networks_and_differences_of_arrays_have_none():
    weights = drawn("iid", networks=32, depth=32, width=2)
    whole = resmc.roughness_exponent(weights, axis=1, members=0).exponent
    assert np.isfinite(whole.stderr)
    assert np.isnan(resmc.roughness_exponent(weights[:31], axis=1, members=0).exponent.stderr)
    assert np.isnan(resmc.roughness_exponent(weights[0]).exponent.stderr)
    assert np.isnan((whole - resmc.roughness_exponent(2.0 * weights + 1.0, axis=1, members=0).exponent).stderr)


def test_intervals_cover_though_entries_of_a_network_are_dependent():
    """All 16 entries of a network share one path by half: errors from entries would be three times too small."""
    rng, covered, naive = np.random.default_rng(2), 0, 0
    for trial in range(300):
        theta = rng.standard_normal((40, 32, 16)) + rng.standard_normal((40, 32, 1))
        low, high = resmc.roughness_exponent(theta, members=1).exponent.interval(0.95)
        covered += low <= 0.5 <= high
        if trial < 60:
            entries = theta.swapaxes(1, 2).reshape(40, -1)
            low, high = resmc.roughness_exponent(entries, members=1).exponent.interval(0.95)
            naive += low <= 0.5 <= high
    assert 269 <= covered <= 297  # 1e-3 on either side of 285
    assert naive < 45


def test_weights_that_do_not_move_have_no_exponent_of_their_own():
    tied = np.broadcast_to(np.random.default_rng(3).standard_normal((32, 1, 5)), (32, 20, 5))
    found = resmc.roughness_exponent(tied, axis=1, members=0, path="weights")
    assert np.isnan(found.exponent.value)
    assert (found.mean_square.value == 0.0).all()
    assert float(resmc.roughness_exponent(tied, axis=1, members=0).exponent) == pytest.approx(1.0, abs=1e-12)


def test_the_table_has_a_row_for_each_lag():
    text = str(resmc.roughness_exponent(drawn("iid", 32, 64, 2), axis=1, members=0)._table())
    assert "exponent = 0.5" in text
    assert [line.split()[0] for line in text.splitlines()[-3:]] == ["1", "2", "4"]


ONE = np.ones((6, 2))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("many", {}, "weights='many' is not allowed: it must be an array of real numbers"),
        (1j * ONE, {}, "weights of complex numbers is not allowed"),
        (3.0, {}, r"weights of shape \(\) are not allowed"),
        (np.ones((4, 0)), {}, r"weights of shape \(4, 0\) are not allowed"),
        (np.array([1.0, np.nan, 2.0]), {}, "weights are not all finite"),
        (np.array([[1.0, np.inf, 2.0], [1.0, 2.0, 3.0]]), {"axis": 1, "members": 0}, "weights of 1 of 2 networks are"),
        (ONE, {"path": "steps"}, "path='steps' is not allowed"),
        (ONE, {"axis": 2}, "axis=2 is out of range: it must be an integer from -2 to 1"),
        (ONE, {"members": -3}, "members=-3 is out of range"),
        (ONE, {"members": 0}, "members=0 is not allowed: axis=0 is that of the layers"),
        (ONE, {"lags": (2,)}, r"lags=\(2,\) is not allowed: it must be at least two integers, increasing"),
        (ONE, {"lags": (2, 1)}, r"lags=\(2, 1\) is not allowed"),
        (ONE, {"lags": (1, 1)}, "lags holds 1.0 twice"),
        (ONE, {"lags": (1, 2.5)}, "lags=2.5 is not allowed"),
        (ONE, {"lags": (1, 7)}, "lags=7 is out of range: it must be an integer from 1 to 6"),
        (ONE, {"lags": (1, 6), "path": "weights"}, "lags=6 is out of range: it must be an integer from 1 to 5"),
        (np.multiply(1e200, ONE), {}, "weights of up to .*e.200 are out of range, as their squares are beyond"),
        (ONE[:1], {}, "weights of 1 layer are not allowed: path='sums' takes 2 or more"),
        (ONE[:2], {"path": "weights"}, "weights of 2 layers are not allowed: path='weights' takes 3 or more"),
    ],
)
def test_what_is_not_allowed_is_said_in_a_sentence(given, options, message):
    with pytest.raises(ValueError, match=message):
        resmc.roughness_exponent(given, **options)
