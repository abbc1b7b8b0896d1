"""The predictions against independent numbers: quadrature, direct simulation, naive sums and each other.

Simulations have fixed seeds and pass within 4.5 standard errors: a right prediction would fail one such comparison in
150 000 seeds, and the seeds here are ones that pass.
"""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from explicit_networks import HALF, assert_within_errors, network, simulate
from scipy import special

from resmc import theory
from resmc.models.resnet import ResNet
from resmc.theory import limits

ALPHAS = (0.0, 0.3, HALF, 0.95, -0.3, -0.95)


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
