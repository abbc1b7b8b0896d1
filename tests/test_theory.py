"""The predictions against independent numbers: quadrature, direct simulation, naive sums and each other.

Simulations have fixed seeds and pass within 4.5 standard errors: a right prediction would fail one such comparison in
150 000 seeds, and the seeds here are ones that pass.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, special

from resmc import theory
from resmc.models.resnet import ResNet
from resmc.theory import limits

Floats = NDArray[np.float64]

HALF = math.sqrt(0.5)
RHO = np.array([-1.0, -0.999, -0.7, -0.2, -1e-9, 0.0, 1e-9, 0.1, 0.5, 0.9, 0.9999, 1.0])
ALPHAS = (0.0, 0.3, HALF, 0.95, -0.3, -0.95)


def network(width: int = 10, depth: int = 20, alpha: float = HALF, **other: float | str) -> ResNet:
    """A normalised network."""
    return ResNet(width, depth, alpha, math.sqrt(1.0 - alpha * alpha), **other)  # type: ignore[arg-type]


def assert_within_errors(samples: Floats, expected: float, errors: float = 4.5) -> None:
    """The mean of independent samples lies within 4.5 of its standard errors of ``expected``."""
    error = samples.std(ddof=1) / math.sqrt(samples.size)
    assert abs(samples.mean() - expected) < errors * error, (samples.mean(), expected, error)


def simulate(
    rng: np.random.Generator, model: ResNet, networks: int, *, dense: bool = True
) -> tuple[Floats, Floats, Floats]:
    """|z_l|^2, A_l and F_l (axis 0: layers, axis 1: networks), from explicit weights or with |phi| g in their place."""
    n = model.width
    z = rng.standard_normal((networks, n)) * model.input_norm
    norms, asymmetries, fractions = [], [], []
    for _ in range(model.depth + 1):
        signs: Floats = np.ones(z.shape)
        if model.variant != "vanilla":
            signs = rng.choice(np.array([-1.0, 1.0]), z.shape)
        if model.variant == "balanced-half":
            signs[:, 1::2] = -signs[:, ::2]
        phi = np.maximum(signs * z, 0.0)
        norm, active = (z * z).sum(1), (phi * phi).sum(1)
        norms.append(norm)
        asymmetries.append(2.0 * active / np.where(norm > 0.0, norm, 1.0) - 1.0)
        fractions.append((phi > 0.0).mean(1))
        if dense:
            branch = np.einsum("bij,bj->bi", rng.standard_normal((networks, n, n)), phi)
        else:
            branch = np.sqrt(active)[:, None] * rng.standard_normal(z.shape)
        z = model.alpha * z + model.lam * math.sqrt(2.0 / n) * branch
    return np.array(norms), np.array(asymmetries), np.array(fractions)


# kernels


def angular_mean(f: Callable[[float, float], float], rho: float) -> float:
    """E[f(X, Y)] at |(X, Y)| = 1, by quadrature over the angle between the kinks of X|X|, Y|Y|."""
    theta = math.acos(rho)
    turn = 2.0 * math.pi
    kinks = sorted({0.0, turn, *((start + turn * part) % turn for start in (0.0, theta) for part in (0.25, 0.75))})
    total = 0.0
    for low, high in itertools.pairwise(kinks):
        total += integrate.quad(lambda u: f(math.cos(u), math.cos(u - theta)), low, high, epsabs=1e-13)[0]
    return total / turn


@pytest.mark.parametrize("rho", [-1.0, -0.7, 0.0, 0.1, 0.5, 0.9, 0.9999, 1.0])
def test_j_and_k_are_the_gaussian_expectations_that_define_them(rho: float) -> None:
    # X, Y have polar radius r with E r^4 = 8 and E r^2 = 2, independent of the angle.
    by_angle = 8.0 * angular_mean(lambda x, y: x * abs(x) * y * abs(y), rho)
    assert theory.J(rho) == pytest.approx(by_angle, abs=1e-11)
    by_angle = 2.0 * angular_mean(lambda x, y: x * abs(x) * math.copysign(1.0, y), rho)
    assert theory.K(rho) == pytest.approx(by_angle, abs=1e-11)
    by_angle = 8.0 * angular_mean(lambda x, y: abs(x * y), rho)
    assert theory.J_prime(rho) == pytest.approx(by_angle, abs=1e-11)


def test_j_prime_and_k_prime_are_the_derivatives() -> None:
    rho, step = np.linspace(-0.98, 0.98, 99), 1e-5
    for f, derivative in ((theory.J, theory.J_prime), (theory.K, theory.K_prime)):
        difference = (f(rho + step) - f(rho - step)) / (2.0 * step)
        np.testing.assert_allclose(derivative(rho), difference, atol=1e-8)


def test_kernels_are_odd_their_derivatives_even_and_the_endpoints_exact() -> None:
    for odd in (theory.J, theory.K, theory.growth_kernel):
        np.testing.assert_allclose(odd(-RHO), -odd(RHO), rtol=1e-15)
        assert odd(0.0) == 0.0
    for even in (theory.J_prime, theory.K_prime):
        np.testing.assert_allclose(even(-RHO), even(RHO), rtol=1e-15)
    assert theory.J(1.0) == pytest.approx(3.0, rel=1e-15)
    assert theory.K(1.0) == pytest.approx(1.0, rel=1e-15)
    assert theory.J_prime(1.0) == pytest.approx(4.0, rel=1e-15)
    assert theory.K_prime(1.0) == 0.0


def test_kernels_clip_a_correlation_that_rounding_took_past_one() -> None:
    for f in (theory.J, theory.K, theory.J_prime, theory.K_prime, theory.growth_kernel):
        np.testing.assert_array_equal(f([1.0 + 1e-15, -1.0 - 1e-15]), f([1.0, -1.0]))
        assert f(RHO.reshape(3, 4)).shape == (3, 4)


def test_kernels_keep_relative_accuracy_near_zero_correlation() -> None:
    assert theory.J(1e-12) == pytest.approx(8e-12 / math.pi, rel=1e-14)
    assert theory.K(1e-12) == pytest.approx(4e-12 / math.pi, rel=1e-14)


def test_growth_kernel_is_mean_plus_half_the_variance() -> None:
    theta = np.arccos(RHO)
    formula = (2.0 / np.pi) * np.sin(theta) * np.cos(theta) + 1.0 - 2.0 * theta / np.pi
    np.testing.assert_allclose(theory.growth_kernel(RHO), formula, atol=1e-15)
    np.testing.assert_allclose(theory.J(RHO) - 0.5 * RHO * theory.J_prime(RHO), formula, atol=1e-14)


def test_mean_log_chi_square_agrees_with_digamma_and_with_quadrature() -> None:
    degrees = np.array([1.0, 2.0, 7.0, 39.0, 39.9999, 40.0, 41.0, 100.0, 1000.0])
    direct = special.digamma(degrees / 2.0) - np.log(degrees / 2.0)
    np.testing.assert_allclose(theory.mean_log_chi_square(degrees), direct, rtol=1e-12)
    assert theory.mean_log_chi_square(2.0) == pytest.approx(-np.euler_gamma, rel=1e-14)
    assert theory.mean_log_chi_square(1e12) == pytest.approx(-1e-12, rel=1e-11)  # direct: no digit right


# limits


def test_spot_values_at_equal_weights() -> None:
    limit = theory.infinite_depth_and_width(network(width=100, depth=300))
    assert limit.ratio == 3.0
    assert limit.scaled_asymmetry == pytest.approx(-1.7177, abs=5e-5)
    assert limit.log_norm_variance == pytest.approx(3 * (2.25 + 3.1925), abs=3 * 5e-5)
    assert limit.log_second_moment == pytest.approx(3 * 0.7374, abs=3 * 5e-5)
    balanced = theory.infinite_depth_and_width(network(width=100, depth=300, variant="balanced"))
    assert balanced.log_norm_variance == pytest.approx(3 * 2.25, rel=1e-14)
    assert balanced.log_norm_mean == pytest.approx(-1.5 * 2.25, rel=1e-14)
    assert (balanced.scaled_asymmetry, balanced.scaled_active_fraction, balanced.log_second_moment) == (0, 0, 0)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_cumulative_sums_equal_the_naive_double_sums(alpha: float) -> None:
    model = network(width=7, depth=15, alpha=alpha, input_norm=3.0)
    n, lam = model.width, model.lam

    def asymmetry(layer: int) -> float:
        terms = [alpha**k * float(theory.J_prime(alpha**k)) for k in range(1, layer + 1)]
        return -(lam**2) / (2 * n) * sum(terms)

    def active(layer: int) -> float:
        terms = [alpha**k * float(theory.K_prime(alpha**k)) for k in range(1, layer + 1)]
        return 0.5 - lam**2 / (4 * n) * sum(terms)

    layers = range(model.depth + 1)
    v = np.array([(5 * lam**4 + 4 * alpha**2 * lam**2) * d / n for d in layers])
    pairs = [sum(float(theory.J(alpha**k)) for m in range(d) for k in range(1, d - m)) for d in layers]
    growth = [sum(float(theory.growth_kernel(alpha**k)) for m in range(d) for k in range(1, m + 1)) for d in layers]
    drift = np.array([lam**2 * sum(asymmetry(m) for m in range(d)) for d in layers])
    found = theory.log_norm_growth(model)
    np.testing.assert_array_equal(found.layers, layers)
    np.testing.assert_allclose(found.variance, v + 2 * lam**4 / n * np.array(pairs), atol=1e-13)
    np.testing.assert_allclose(found.mean, -v / 2 + drift, atol=1e-13)
    np.testing.assert_allclose(theory.variance_growth(model), lam**4 / n * np.array(growth), atol=1e-13)
    hypo = theory.hypoactivation(model)
    np.testing.assert_allclose(hypo.asymmetry, [asymmetry(d) for d in layers], atol=1e-14)
    np.testing.assert_allclose(hypo.active_fraction, [active(d) for d in layers], atol=1e-14)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("variant", ["vanilla", "balanced", "balanced-half"])
def test_log_second_moment_is_mean_plus_half_the_variance(alpha: float, variant: str) -> None:
    model = ResNet(20, 50, 3.0 * alpha, 3.0 * math.sqrt(1 - alpha**2), variant)
    growth = theory.log_norm_growth(model)
    np.testing.assert_allclose(theory.variance_growth(model), growth.mean + growth.variance / 2, rtol=1e-12, atol=1e-12)
    limit = theory.infinite_depth_and_width(model)
    assert limit.log_second_moment == pytest.approx(limit.log_norm_mean + limit.log_norm_variance / 2, abs=1e-12)


def test_log_norm_adds_the_first_layer_and_the_offset_of_each_layer() -> None:
    model = ResNet(9, 6, 1.2, -0.7, input_norm=2.5)
    unit = network(width=9, depth=6, alpha=model.normalised[0])
    whole, growth = theory.log_norm(model), theory.log_norm_growth(unit)
    offsets = np.array([model.log_norm_offset(layer) for layer in range(7)])
    first = special.digamma(4.5) - math.log(4.5)
    np.testing.assert_allclose(whole.mean, growth.mean + offsets + first, rtol=1e-13)
    np.testing.assert_allclose(whole.variance, growth.variance + special.polygamma(1, 4.5), rtol=1e-13)


@pytest.mark.parametrize("factor", [1e-200, 0.5, 1e150])
@pytest.mark.parametrize("alpha", [0.8, -0.8])
def test_scaling_both_weights_only_adds_the_log_scale_per_layer(factor: float, alpha: float) -> None:
    model, scaled = ResNet(12, 30, alpha, 0.6), ResNet(12, 30, factor * alpha, factor * 0.6)
    added = np.arange(31) * 2.0 * math.log(factor)
    before, after = theory.log_norm(model), theory.log_norm(scaled)
    np.testing.assert_allclose(after.mean, before.mean + added, rtol=1e-12)
    np.testing.assert_allclose(after.variance, before.variance, rtol=1e-12)
    np.testing.assert_allclose(theory.variance_growth(scaled), theory.variance_growth(model) + added, rtol=1e-12)
    np.testing.assert_allclose(
        theory.hypoactivation(scaled).asymmetry, theory.hypoactivation(model).asymmetry, rtol=1e-12
    )
    limit, scaled_limit = theory.infinite_depth_and_width(model), theory.infinite_depth_and_width(scaled)
    assert scaled_limit.log_norm_mean == pytest.approx(limit.log_norm_mean, rel=1e-12)
    assert scaled_limit.log_norm_variance == pytest.approx(limit.log_norm_variance, rel=1e-12)


def test_interlayer_correlation_is_j_over_three_and_absent_when_balanced() -> None:
    model = network(alpha=-0.8)
    expected = [1.0, *(float(theory.J((-0.8) ** k)) / 3.0 for k in (1, 2, 5))]
    np.testing.assert_allclose(theory.interlayer_correlation(model, [0, 1, 2, 5]), expected, rtol=1e-14)
    assert theory.interlayer_correlation(model, 1)[0] < 0.0
    np.testing.assert_array_equal(theory.interlayer_correlation(network(alpha=0.0), [0, 1, 2]), [1.0, 0.0, 0.0])
    balanced = network(variant="balanced-half")
    np.testing.assert_array_equal(theory.interlayer_correlation(balanced, [[0, 1], [2, 0]]), [[1, 0], [0, 1]])


def test_negative_skip_weights_reverse_the_odd_lags() -> None:
    positive, negative = network(alpha=0.6), network(alpha=-0.6)
    assert theory.hypoactivation(positive, 1).asymmetry[0] == -theory.hypoactivation(negative, 1).asymmetry[0] < 0.0
    limit = theory.infinite_depth_and_width(negative)
    assert limit.scaled_asymmetry > 0.0
    assert limit.log_norm_variance < theory.infinite_depth_and_width(positive).log_norm_variance


@pytest.mark.parametrize("alpha", [HALF, 0.97, -0.97])
def test_finite_layers_approach_the_ratio_limit_like_one_over_width(alpha: float) -> None:
    ratio = 2
    limit = theory.infinite_depth_and_width(network(width=10, depth=10 * ratio, alpha=alpha, input_norm=2.0))
    gaps = []
    for n in (20_000, 40_000):
        model = network(width=n, depth=ratio * n, alpha=alpha, input_norm=2.0)
        last, hypo = theory.log_norm(model, model.depth), theory.hypoactivation(model, model.depth)
        gaps.append(last.variance[0] - limit.log_norm_variance)
        assert last.mean[0] == pytest.approx(limit.log_norm_mean, abs=3e-3)
        assert n * hypo.asymmetry[0] == pytest.approx(limit.scaled_asymmetry, rel=1e-10)
        assert n * (hypo.active_fraction[0] - 0.5) == pytest.approx(limit.scaled_active_fraction, rel=1e-9)
        assert theory.variance_growth(model, model.depth)[0] == pytest.approx(limit.log_second_moment, abs=1e-2)
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=1e-3)


@pytest.mark.parametrize("alpha", [1 - 1e-5, pytest.param(-(1 - 1e-5), marks=pytest.mark.long), 1 - 1e-3, -0.5])
def test_infinite_sums_equal_the_sum_of_their_terms(alpha: float) -> None:
    model = network(alpha=alpha)
    lam, log_alpha = model.normalised[1], math.log(abs(alpha))
    k = np.arange(1, int(-42 / log_alpha) + 2)
    rho = np.exp(log_alpha * k) * np.where(k % 2, math.copysign(1.0, alpha), 1.0)
    limit = theory.infinite_depth_and_width(model)
    # math.fsum: the terms at negative alpha cancel almost entirely.
    assert limit.scaled_asymmetry == pytest.approx(-(lam**2) / 2 * math.fsum(rho * theory.J_prime(rho)), rel=1e-10)
    assert limit.scaled_active_fraction == pytest.approx(-(lam**2) / 4 * math.fsum(rho * theory.K_prime(rho)), rel=1e-8)
    growth = limit.ratio * lam**4 * math.fsum(theory.growth_kernel(rho))
    assert limit.log_second_moment == pytest.approx(growth, rel=1e-10)
    pairs = limit.ratio * (5 * lam**4 + 4 * alpha**2 * lam**2 + 2 * lam**4 * math.fsum(theory.J(rho)))
    assert limit.log_norm_variance == pytest.approx(pairs, rel=1e-10)


@pytest.mark.parametrize("lam", [1e-3, 1e-6, 1e-12])
def test_vanishing_branch_has_asymmetry_of_minus_three_over_width(lam: float) -> None:
    # sum_k rho_k J'(rho_k) -> (2/lam^2) (J(1) - J(0)) for alpha > 0, and -J'(1)/2 for alpha < 0.
    assert theory.infinite_depth_and_width(ResNet(5, 5, 1.0, lam)).scaled_asymmetry == pytest.approx(-3.0, rel=lam)
    negative = theory.infinite_depth_and_width(ResNet(5, 5, -1.0, lam)).scaled_asymmetry
    assert negative == pytest.approx(lam**2, rel=1e-3, abs=1e-15)


def test_without_branch_nothing_grows() -> None:
    for alpha in (2.0, -2.0):
        limit = theory.infinite_depth_and_width(ResNet(5, 50, alpha, 0.0, input_norm=3.0))
        assert (limit.log_norm_variance, limit.log_second_moment, limit.scaled_asymmetry) == (0.0, 0.0, 0.0)
        assert limit.log_norm_mean == 2.0 * math.log(3.0)
        found = theory.log_norm(ResNet(5, 50, alpha, 0.0, input_norm=3.0))
        exact = theory.skip_only(ResNet(5, 50, alpha, 0.0, input_norm=3.0))
        np.testing.assert_allclose(found.mean, exact.mean, rtol=1e-13)
        np.testing.assert_allclose(found.variance, exact.variance, rtol=1e-13)


def test_layers_keep_their_shape_and_order() -> None:
    model = network()
    everything, some = theory.log_norm(model), theory.log_norm(model, [[20, 0], [3, 3]])
    np.testing.assert_array_equal(some.mean, everything.mean[[[20, 0], [3, 3]]])
    assert theory.log_norm(model, []).mean.shape == (0,)
    assert theory.fully_connected(network(alpha=0.0), [4, 1]).mean.shape == (2,)


@pytest.mark.parametrize("layers", [-1, 21, [0, 21], [1.0], [True], ["1"]])
def test_layers_outside_the_network_are_refused(layers: object) -> None:
    with pytest.raises(ValueError, match=r"^layers=.* is not allowed.*from 0 to depth=20"):
        theory.log_norm(network(), layers)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^lags="):
        theory.interlayer_correlation(network(), layers)  # type: ignore[arg-type]


def test_leading_order_matches_a_simulation_at_large_width() -> None:
    # Leading order is off by O(d/n^2), allowed for: 8% here, where more than half of the variance comes from the
    # correlation of the layers.
    model = network(width=200, depth=20)
    norm, asymmetry, fraction = simulate(np.random.default_rng(11), model, 12_000, dense=False)
    hypo, growth = theory.hypoactivation(model), theory.log_norm_growth(model)
    assert_within_errors(asymmetry[-1], hypo.asymmetry[-1])
    assert_within_errors(fraction[-1], hypo.active_fraction[-1])
    assert abs(asymmetry[-1].mean()) > 6 * asymmetry[-1].std() / math.sqrt(12_000)  # so that 0 would have failed
    ratio = np.log(norm[-1] / norm[0])
    assert ratio.var() == pytest.approx(growth.variance[-1], rel=0.08)
    assert ratio.mean() == pytest.approx(growth.mean[-1], rel=0.08)
    correlation = np.corrcoef(asymmetry[-1], asymmetry[-3])[0, 1]
    assert correlation == pytest.approx(theory.interlayer_correlation(model, 2)[0], abs=4.5 / math.sqrt(12_000))


@pytest.mark.parametrize("variant", ["balanced", "balanced-half"])
def test_both_balanced_variants_have_the_same_leading_order(variant: str) -> None:
    model = network(width=64, depth=8, variant=variant)
    norm, asymmetry, fraction = simulate(np.random.default_rng(12), model, 20_000, dense=False)
    ratio = np.log(norm[-1] / norm[0])
    growth = theory.log_norm_growth(model)
    assert ratio.var() == pytest.approx(growth.variance[-1], rel=0.06)  # 2% of statistical and 2% of order 1/n
    assert ratio.mean() == pytest.approx(growth.mean[-1], rel=0.08)
    assert_within_errors(norm[-1] / norm[0], 1.0)
    assert_within_errors(asymmetry[-1], 0.0)
    assert_within_errors(fraction[-1], 0.5)
    assert_within_errors(asymmetry[-1] * asymmetry[-2], 0.0)


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


# distributions


@pytest.mark.parametrize("mean", [-3.0, 0.0, 40.0])
@pytest.mark.parametrize("deviation", [0.1, 1.0, 3.0, 10.0])
def test_output_cdf_agrees_with_adaptive_quadrature(mean: float, deviation: float) -> None:
    # Spread over the range in which exp(G/2) Z has its mass.
    t = np.sinh(np.linspace(-3.0, 3.0, 5) * deviation) * math.exp(mean / 2) + 0.3 * math.exp(mean / 2)

    def integrand(u: float, value: float) -> float:
        scaled = special.ndtr(value * math.exp(-(mean + deviation * u) / 2))
        return float(scaled) * math.exp(-u * u / 2) / math.sqrt(2 * math.pi)

    expected = []
    for value in t:
        centre = min(max((2 * math.log(abs(value)) - mean) / deviation, -9.0), 9.0)  # where the argument is 1
        breaks = sorted({-9.5, max(centre - 4 / deviation, -9.4), centre, min(centre + 8 / deviation, 9.4), 9.5})
        parts = [
            integrate.quad(integrand, low, high, args=(value,), epsabs=1e-13, epsrel=1e-12, limit=400)[0]
            for low, high in itertools.pairwise(breaks)
        ]
        expected.append(math.fsum(parts))
    np.testing.assert_allclose(theory.output_cdf(t, mean, deviation**2), expected, rtol=0, atol=1e-11)


def test_output_cdf_is_a_symmetric_distribution_function() -> None:
    t = np.concatenate([[-np.inf], -np.logspace(300, -300, 101), [0.0], np.logspace(-300, 300, 101), [np.inf]])
    for variance in (0.0, 4.0, 1e4):
        cdf = theory.output_cdf(t, -7.0, variance)
        assert cdf[0] == 0.0
        assert cdf[102] == pytest.approx(0.5, abs=1e-15)
        assert cdf[-1] == pytest.approx(1.0, abs=1e-13)
        assert np.all(np.diff(cdf) >= -1e-15)
        np.testing.assert_allclose(cdf + cdf[::-1], 1.0, rtol=1e-13)
    assert theory.output_cdf(np.zeros((2, 3)), 0.0, 1.0).shape == (2, 3)


def test_output_cdf_without_variance_is_the_gaussian_of_the_infinite_width_limit() -> None:
    t = np.linspace(-4.0, 4.0, 17)
    np.testing.assert_allclose(theory.output_cdf(t, 2.0, 0.0), special.ndtr(t / math.e), rtol=1e-13)


def test_output_cdf_refuses_a_law_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"variance=-1\.0"):
        theory.output_cdf(0.0, 0.0, -1.0)
    with pytest.raises(ValueError, match="mean=nan"):
        theory.output_cdf(0.0, math.nan, 1.0)


def test_chi_square_log_norm_cdf_is_the_law_of_the_first_layer() -> None:
    for n in (1, 6, 1000):
        first = theory.first_layer(network(width=n))
        deviation = math.sqrt(first.variance)
        x = first.mean + deviation * np.linspace(-120.0, 20.0, 300_001)
        cdf = theory.chi_square_log_norm_cdf(n, x)
        assert np.all(np.diff(cdf) >= 0.0)
        # The mean and variance of the distribution function are those of the cumulant formulas.
        mean = x[-1] - integrate.trapezoid(cdf, x)
        second = 2.0 * integrate.trapezoid((x - mean) * np.where(x > mean, 1.0 - cdf, -cdf), x)
        assert mean == pytest.approx(first.mean, abs=1e-6 * deviation)
        assert second == pytest.approx(first.variance, rel=1e-6)
    assert theory.chi_square_log_norm_cdf(2, 0.0) == pytest.approx(-math.expm1(-1.0), rel=1e-14)
    np.testing.assert_array_equal(theory.chi_square_log_norm_cdf(3, [-np.inf, 1e4, np.inf]), [0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="n=0"):
        theory.chi_square_log_norm_cdf(0, 0.0)


def test_theory_needs_neither_torch_nor_native_code() -> None:
    script = (
        "import sys, resmc; before = set(sys.modules); import resmc.theory; new = set(sys.modules) - before; "
        "assert not [m for m in new if m.split('.')[0] == 'torch' or m.startswith('resmc._')"
        " and m != 'resmc._system.checks'], sorted(new)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(("alpha", "lam"), [(0.9, 0.4), (-0.7, 1.0), (0.0, 1.0), (1.0, 0.0), (0.99999, 0.3)])
def test_sums_kept_between_calls_change_no_bit_of_a_limit(alpha: float, lam: float) -> None:
    def values(model: ResNet, layers: list[int] | None) -> list[np.ndarray]:
        norm, hypo = theory.log_norm(model, layers), theory.hypoactivation(model, layers)
        return [norm.mean, norm.variance, hypo.asymmetry, hypo.active_fraction, theory.variance_growth(model, layers)]

    def directly(model: ResNet, kernel, index: np.ndarray, twice: bool = False) -> np.ndarray:
        rho = limits._correlations(*limits._rate(model), int(index.max()))
        sums = np.concatenate([[0.0], np.cumsum(kernel(rho))])
        return np.concatenate([[0.0], np.cumsum(sums[:-1])]) if twice else sums

    models = [ResNet(n, d, alpha, lam) for n in (3, 64) for d in (40_000, 1, 7, 1024, 1025)]
    kept = [values(m, layers) for m in models for layers in (None, [m.depth])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_sums", directly)
        direct = [values(m, layers) for m in models for layers in (None, [m.depth])]
    for a, b in zip(kept, direct, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_models_of_one_alpha_and_lam_share_their_sums() -> None:
    limits._running_sums.cache_clear()
    for n in (3, 64):
        for d in (5, 100, 1000):
            theory.log_norm(ResNet(n, d, 0.9, 0.4))
    assert limits._running_sums.cache_info().misses == 2  # one for the mean, one for the variance
    with pytest.raises(ValueError, match="read-only"):
        limits._sums(ResNet(3, 5, 0.9, 0.4), theory.J, np.array([5]))[0] = 1.0
