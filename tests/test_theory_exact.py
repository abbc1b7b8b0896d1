"""Exact moments of finite networks against quadrature, direct simulation and sums of their terms.

Simulations have fixed seeds and pass within 4.5 standard errors: a right prediction would fail one such comparison in
150 000 seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from explicit_networks import assert_within_errors, network, simulate
from scipy import special

from resmc import theory
from resmc.models.resnet import ResNet

# exact laws


def test_first_layer_is_a_log_chi_square_and_its_asymmetry_has_variance_three_over_n_plus_two() -> None:
    model = network(width=5, depth=1, input_norm=3.0)
    first = theory.first_layer(model)
    norm, asymmetry, _ = simulate(np.random.default_rng(1), model, 400_000, dense=False)
    standard = (np.log(norm[0] / 5) - first.mean) / math.sqrt(first.variance)
    for power, moment in ((1, 0.0), (2, 1.0), (3, first.skewness), (4, first.excess_kurtosis + 3.0)):
        assert_within_errors(standard**power, moment)
    assert_within_errors(asymmetry[0] ** 2, first.asymmetry_variance)


def test_first_layer_of_one_neuron_has_the_known_cumulants() -> None:
    first = theory.first_layer(network(width=1))
    assert first.mean == pytest.approx(-np.euler_gamma - math.log(2.0), rel=1e-14)
    assert first.variance == pytest.approx(math.pi**2 / 2, rel=1e-14)
    assert first.excess_kurtosis == pytest.approx(4.0, rel=1e-12)  # pi^4 over (pi^2/2)^2
    assert first.asymmetry_variance == pytest.approx(1.0)  # A = +-1


@pytest.mark.parametrize("variant", ["vanilla", "balanced"])
def test_one_step_is_the_conditional_mean_of_dense_networks(variant: str) -> None:
    model = ResNet(4, 2, -0.9, 1.3, variant)
    norm, asymmetry, _ = simulate(np.random.default_rng(2), model, 100_000)
    difference = norm[2] / norm[1] - theory.one_step(model, asymmetry[1])
    assert_within_errors(difference, 0.0)
    assert_within_errors(difference * asymmetry[1], 0.0)


def test_one_step_is_the_whole_scale_when_half_the_norm_is_active_and_the_skip_when_none() -> None:
    model = ResNet(4, 2, -0.9, 1.3)
    total = math.exp(model.log_scale)
    np.testing.assert_allclose(theory.one_step(model, [[0.0, -1.0]]), [[total, 0.81]], rtol=1e-14)


def test_balanced_recursion_matches_dense_networks() -> None:
    model = ResNet(4, 4, 0.9, -1.1, "balanced")
    norm, _, _ = simulate(np.random.default_rng(3), model, 150_000)
    exact = theory.balanced_moments(model)
    assert exact.log_second_moment[0] == exact.log_fourth_moment[0] == 0.0
    for layer in (1, 2, 3, 4):
        ratio = norm[layer] / norm[0]
        assert_within_errors(ratio, math.exp(exact.log_second_moment[layer]))
        assert_within_errors(ratio**2, math.exp(exact.log_fourth_moment[layer]))


@pytest.mark.parametrize("alpha", [0.0, 0.3, -0.9])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_balanced_recursion_equals_the_matrix_power(alpha: float, n: int) -> None:
    model = network(width=n, depth=30, alpha=alpha, variant="balanced")
    a, b = model.alpha, model.lam
    matrix = np.array(
        [
            [a**4 + (2 + 4 / n) * a**2 * b**2 + (1 + 2 / n) * b**4, (1 + 2 / n) * b**4],
            [6 * a**2 * b**2 / n + 3 * b**4 / n, a**4 + 3 * b**4 / n],
        ]
    )
    start = np.array([n**2 + 2 * n, 3 * n])
    exact = theory.balanced_moments(model, [0, 1, 30])
    powers = [np.linalg.matrix_power(matrix, d) @ start for d in (0, 1, 30)]
    np.testing.assert_allclose(exact.log_fourth_moment, [math.log(p[0] / start[0]) for p in powers], atol=1e-13)


def test_balanced_moments_without_skip_are_those_of_the_fully_connected_network() -> None:
    model = ResNet(6, 40, 0.0, 1.7, "balanced")
    expected = np.arange(41) * (math.log1p(5 / 6) + 4 * math.log(1.7))
    np.testing.assert_allclose(theory.balanced_moments(model).log_fourth_moment, expected, rtol=1e-12)
    np.testing.assert_allclose(theory.fully_connected(model).log_fourth_moment, expected, rtol=1e-12)


def test_balanced_moments_do_not_overflow_and_reach_the_limit_variance() -> None:
    model = network(width=1 << 17, depth=1 << 18, variant="balanced")
    moment = theory.balanced_moments(model, model.depth).log_fourth_moment[0]
    # For a Gaussian log-norm of mean -v/2, log E|z|^4 = v.
    assert moment == pytest.approx(theory.infinite_depth_and_width(model).log_norm_variance, rel=1e-4)
    deep = ResNet(3, (1 << 20) - 1, 1.0, 30.0, "balanced")
    assert 1e6 < theory.balanced_moments(deep, deep.depth).log_fourth_moment[0] < 1e8


@pytest.mark.parametrize("n", [3, 6])
def test_fully_connected_cumulants_match_dense_networks(n: int) -> None:
    model = ResNet(n, 3, 0.0, -1.4, input_norm=0.5)
    norm, asymmetry, _ = simulate(np.random.default_rng(4), model, 150_000)
    exact = theory.fully_connected(model)
    for layer in range(4):
        alive = norm[layer] > 0.0
        standard = (np.log(norm[layer][alive] / n) - exact.mean[layer]) / math.sqrt(exact.variance[layer])
        moments = (0.0, 1.0, exact.skewness[layer], exact.excess_kurtosis[layer] + 3.0)
        for power, moment in enumerate(moments, start=1):
            assert_within_errors(standard**power, moment)
        assert_within_errors(asymmetry[layer][alive] ** 2, theory.first_layer(model).asymmetry_variance)
        if layer == 0:
            assert alive.all()
            assert exact.dead_probability[0] == 0.0
        else:
            assert_within_errors(1.0 - alive, exact.dead_probability[layer])
            assert_within_errors(norm[layer] / norm[0], math.exp(exact.log_second_moment[layer]))
            assert_within_errors((norm[layer] / norm[0]) ** 2, math.exp(exact.log_fourth_moment[layer]))


@pytest.mark.parametrize("n", [1, 2, 5, 300])
def test_fully_connected_step_equals_the_whole_binomial_sum(n: int) -> None:
    k = np.arange(1, n + 1)
    weights = special.binom(n, k) / (2.0**n - 1.0)
    # The law of total cumulance; a, b, c are the first three given K, as deviations from their means.
    given = [special.digamma(k / 2) + math.log(4 / n), *(special.polygamma(order, k / 2) for order in (1, 2, 3))]
    means = [float(weights @ values) for values in given]
    a, b, c, _ = (values - mean for values, mean in zip(given, means, strict=True))
    variance = means[1] + weights @ a**2
    third = means[2] + weights @ (3 * a * b + a**3)
    fourth = means[3] + weights @ (4 * a * c + 3 * b**2 + 6 * a * a * b + a**4) - 3 * (weights @ a**2) ** 2
    exact = theory.fully_connected(network(width=n, depth=9, alpha=0.0))
    np.testing.assert_allclose(np.diff(exact.mean), np.full(9, means[0]), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.diff(exact.variance), np.full(9, variance), rtol=1e-9)
    np.testing.assert_allclose(np.diff(exact.skewness * exact.variance**1.5), np.full(9, third), rtol=1e-8)
    np.testing.assert_allclose(np.diff(exact.excess_kurtosis * exact.variance**2), np.full(9, fourth), rtol=1e-7)


def test_dead_probability_is_accurate_when_tiny_and_when_near_one() -> None:
    tiny = theory.fully_connected(network(width=100, depth=7, alpha=0.0)).dead_probability
    np.testing.assert_allclose(tiny, np.arange(8) * 2.0**-100, rtol=1e-14)
    assert theory.fully_connected(network(width=1, depth=60, alpha=0.0), 60).dead_probability[0] == 1.0
    assert theory.fully_connected(network(width=1, depth=60, alpha=0.0), 2).dead_probability[0] == pytest.approx(0.75)
    assert theory.fully_connected(network(width=5000, depth=60, alpha=0.0), 60).dead_probability[0] == 0.0


@pytest.mark.parametrize("n", [1 << 12, 1 << 24])
def test_fully_connected_network_of_large_width_reaches_the_limit(n: int) -> None:
    model = ResNet(n, 400, 0.0, 2.0)
    exact, limit = theory.fully_connected(model), theory.log_norm(model)
    np.testing.assert_allclose(exact.variance, limit.variance, rtol=4 / n)
    offset = np.array([model.log_norm_offset(layer) for layer in range(401)])
    np.testing.assert_allclose(exact.mean - offset, limit.mean - offset, rtol=3 / n + 1e-6)
    assert np.all(np.abs(exact.skewness) < 4 / math.sqrt(n))
    assert np.all(np.abs(exact.excess_kurtosis) < 15 / n)


def test_skip_only_carries_the_first_layer() -> None:
    model = ResNet(4, 5, -3.0, 0.0, "balanced-half", input_norm=2.0)
    exact, first = theory.skip_only(model), theory.first_layer(model)
    np.testing.assert_allclose(exact.mean, first.mean + np.arange(6) * math.log(9.0), rtol=1e-14)
    for name in ("variance", "skewness", "excess_kurtosis"):
        np.testing.assert_array_equal(getattr(exact, name), np.full(6, getattr(first, name)))


def test_exact_laws_refuse_networks_they_do_not_hold_for() -> None:
    with pytest.raises(ValueError, match=r"variant='vanilla'.*'balanced'"):
        theory.balanced_moments(network())
    with pytest.raises(ValueError, match="variant='balanced-half'"):
        theory.balanced_moments(network(variant="balanced-half"))
    with pytest.raises(ValueError, match=r"alpha=0\.5"):
        theory.fully_connected(network(alpha=0.5))
    with pytest.raises(ValueError, match=r"lam=0\.5"):
        theory.skip_only(ResNet(4, 5, 1.0, 0.5))
