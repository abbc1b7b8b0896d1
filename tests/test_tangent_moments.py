"""Mean and second moment of the tangent kernel (`resmc.theory.tangent_moments`), against networks written out in NumPy.

Estimates pass within 4.5 standard errors at fixed seeds. K^2 has tails that grow with d/n: networks are shallow or
wide enough for the mean of as many as there are, and the deep ones are checked against the limit instead.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import resmc
from resmc import theory


def kernels(model: resmc.ResidualNetwork, networks: int, rng: np.random.Generator, tied: bool = True) -> np.ndarray:
    """The tangent kernel of one input, matrices and gradients written out, (networks,).

    Gradients that are not tied go back through matrices of their own.
    """
    n, sigma, root = model.width, model.sigma, math.sqrt(model.width)
    h = model.size * rng.standard_normal((networks, n, 1))
    steps = []
    for s in model.scales:
        outer, inner = (rng.standard_normal((networks, n, n)) / root for _ in range(2))
        u = inner @ h if model.block == "v-phi-w" else h
        steps.append((s, outer, inner, h, u))
        h = model.carry * h + s * outer @ sigma.value(u)
    p = rng.standard_normal((networks, n, 1)) / root
    found = square(h) / n
    for s, outer, inner, before, u in reversed(steps):
        found += s**2 / n * square(p) * square(sigma.value(u))
        back = outer if tied else rng.standard_normal(outer.shape) / root
        q = s * sigma.slope(u) * (back.transpose(0, 2, 1) @ p)
        if model.block == "v-phi-w":
            found += square(q) * square(before) / n
            q = inner.transpose(0, 2, 1) @ q
        p = model.carry * p + q
    return found + model.size**2 * square(p)


def square(x: np.ndarray) -> np.ndarray:
    return np.sum(x**2, axis=(1, 2))


def assert_agrees(model: resmc.ResidualNetwork, networks: int, seed: int, tied: bool = True) -> None:
    exact, rng, part = theory.kernel_moments(model, not tied), np.random.default_rng(seed), 2000
    samples = np.concatenate([kernels(model, part, rng, tied) for _ in range(networks // part)])
    for values, expected in ((samples, exact.mean), (samples**2, exact.mean**2 * exact.second_moment_ratio)):
        error = values.std(ddof=1) / math.sqrt(networks)
        assert abs(values.mean() - expected) < 4.5 * error
        assert error < 0.12 * expected
    wrong = exact.mean**2 * exact.second_moment_ratio / (1.0 + 5.0 / model.width)  # a layer less, but for the constant
    assert abs(np.mean(samples**2) - wrong) > 4.5 * np.std(samples**2) / math.sqrt(networks)


@pytest.mark.parametrize(
    ("width", "scaling", "activation"),
    [
        (8, (1.4,), "relu"),
        (8, (1.5, 1.0, 2.0), "relu"),
        (3, (1.4, 1.4), "balanced"),
        (8, (0.9, 1.1, 1.0, 1.0), "linear"),
        (5, (1.4, 1.4), "leaky_relu"),
    ],
)
def test_mean_and_second_moment_are_those_of_networks_written_out(width, scaling, activation):
    depth = len(scaling)
    model = resmc.ResidualNetwork(width, depth, carry=0.0, scaling=scaling, activation=activation, input_norm=1.3)
    assert_agrees(model, 20_000, 5)


@pytest.mark.parametrize(
    ("width", "scaling", "activation", "carry"),
    [
        (4, (0.8, 0.5), "relu", 0.7),
        (3, (1.4, 1.2), "balanced", 0.0),
        (5, (0.6, 0.9, 0.0, 0.5), "leaky_relu", 1.0),
        (8, (0.5, 0.7, 0.6), "linear", -1.0),
        (1, (0.3,), "relu", 1.0),
    ],
)
def test_networks_with_two_matrices_in_a_branch_have_their_second_moment(width, scaling, activation, carry):
    model = resmc.ResidualNetwork(width, len(scaling), "v-phi-w", activation, carry, scaling, input_norm=1.3)
    assert_agrees(model, 20_000, 8)


@pytest.mark.parametrize(("scaling", "activation"), [((1.4, 1.4), "relu"), ((0.9, 1.1, 1.0), "linear")])
def test_gradients_through_matrices_of_their_own_have_another_second_moment(scaling, activation):
    model = resmc.ResidualNetwork(8, len(scaling), carry=0.0, scaling=scaling, activation=activation)
    assert_agrees(model, 20_000, 7, tied=False)
    alone, tied = (theory.kernel_moments(model, independent).second_moment_ratio for independent in (True, False))
    assert alone < tied


@pytest.mark.long
@pytest.mark.parametrize(("width", "depth", "networks"), [(8, 4, 400_000), (20, 10, 200_000)])
def test_deeper_networks_have_this_second_moment_too(width, depth, networks):
    model = resmc.ResidualNetwork(width, depth, carry=0.0, scaling=(math.sqrt(2.0),) * depth)
    for tied in (True, False):
        assert_agrees(model, networks, 6, tied)


def test_the_mean_has_no_correction_at_any_width():
    for width in (1, 7, 500):
        assert math.isclose(theory.kernel_moments(resmc.ResNet(width, 9, 0.0, 1.0)).mean, 11.0, rel_tol=1e-12)


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("aspect", [0.25, 1.0, 4.0])
def test_the_limit_is_that_of_wide_networks(aspect, independent):
    """Both orders of 1/n are seen: halving 1/n halves the distance to the limit."""
    limit, away = theory.kernel_moment_limit(aspect, independent), []
    for n in (10_000, 20_000):
        exact = theory.kernel_moments(resmc.ResNet(n, int(n * aspect), 0.0, 1.0), independent)
        away.append(exact.second_moment_ratio / limit - 1.0)
    assert abs(away[0]) < 50.0 * aspect / 10_000 + 1e-3
    assert math.isclose(away[0] / away[1], 2.0, rel_tol=0.02)


def test_the_constant_beside_the_exponential_falls_from_1_to_a_third():
    t = np.array([1e-6, 0.5, 1.0, 2.0, 4.0, 100.0])
    constants = np.array([theory.kernel_moment_limit(x) * math.exp(-5.0 * x) for x in t])
    np.testing.assert_allclose(constants[[0, -1]], [1.0, 1.0 / 3.0], atol=0.003)
    assert (np.diff(constants) < 0.0).all()
    plain = 1.0 / 3.0 + 2.0 / (9.0 * t) - 1.0 / (27.0 * t**2) + np.exp(-6.0 * t) / (27.0 * t**2)
    np.testing.assert_allclose(constants[1:], plain[1:], rtol=1e-12)
    alone = [theory.kernel_moment_limit(x, True) * math.exp(-5.0 * x) for x in t[1:].tolist()]
    np.testing.assert_allclose(alone, (1.0 / (2.0 * t) - (1.0 - np.exp(-4.0 * t)) / (8.0 * t**2))[1:], rtol=1e-12)


def test_no_depth_overflows():
    found = theory.kernel_moments(resmc.ResNet(4, 2000, 0.0, 1.0))
    assert found.second_moment_ratio == math.inf
    assert math.isclose(found.log_second_moment_ratio / (2000 * math.log(2.25)), 1.0, rel_tol=0.01)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (resmc.ResNet(10, 5, 0.5, 0.5), "carry"),
        (resmc.ResidualNetwork(10, 5, "phi-out", carry=0.0), "block"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, activation="tanh"), "activation"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, weights="uniform"), "weights"),
        (resmc.ResidualNetwork(10, 5, carry=0.0, bias=1.0), "bias"),
        (resmc.ResidualNetwork(10, 2, carry=0.0, scaling=(1.0, 0.0)), "scaling 0"),
    ],
)
def test_other_networks_are_refused_in_words(model, words):
    assert words in theory.no_kernel_moments(model)
    with pytest.raises(ValueError, match=words):
        theory.kernel_moments(model)


def test_an_aspect_that_is_not_above_0_is_refused():
    with pytest.raises(ValueError, match="aspect"):
        theory.kernel_moment_limit(0.0)
