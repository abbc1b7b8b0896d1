"""Simulations against everything that is known exactly at finite width and depth (widths 1 to 4096).

Every comparison is turned into the z of a Gaussian with the same two-sided probability: a jackknife estimate through
Student's t with 31 degrees of freedom, a count through its binomial law, a Kolmogorov-Smirnov test through its
p-value. |z| < 4 has a false-alarm probability of 6.3e-5 per comparison; this file makes about 1630 of them, so a
correct program fails with probability below 10% when seeds are chosen. The seeds are fixed, none was tried and
replaced, and no test is repeated. That these comparisons find faults is shown in test_negative_controls.py, which uses
the very functions and sample sizes of this file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from exact_comparisons import (
    BOUND,
    assert_all_within,
    exact_comparisons,
    first_layer_comparisons,
    log_fourth_moment,
    z_against_exact,
    z_of_count,
    z_of_mean,
    z_of_probability,
    z_of_student,
)
from numpy.typing import NDArray
from scipy import special, stats

import resmc
from resmc import ResNet, Simulation, theory

NETWORKS = 131_072  # of most simulations here
HALF = math.sqrt(0.5)

Floats = NDArray[np.float64]
Comparisons = list[tuple[str, float]]

# -------------------------------------------------------------------------------------------------------- first layer


@pytest.mark.parametrize("variant", ["vanilla", "balanced", "balanced-half"])
@pytest.mark.parametrize(
    ("width", "input_norm"), [(1, 1.0), (2, 0.3), (3, 1.0), (6, 7.0), (16, 1.0), (100, 1e-3), (4096, 5.0)]
)
def test_the_first_layer_has_the_law_of_log_chi_square(width: int, input_norm: float, variant: str):
    if variant == "balanced-half" and width % 2:
        width += 1
    sim = resmc.simulate(
        width=width, depth=1, alpha=0.6, lam=0.8, variant=variant, input_norm=input_norm,
        networks=NETWORKS if width < 1000 else 32_768, seed=100 + width, layers=[0],
    )  # fmt: skip
    assert_all_within(first_layer_comparisons(sim), at_least=6)
    if width == 1:  # |A| = 1: its variance is 1 up to mean^2, and chi^2_1 exceeds 21 with probability 5e-6
        assert abs(float(sim.asymmetry_variance.value[0]) - 1.0) < 21.0 / NETWORKS
    # F_0 is a binomial fraction: the error of its mean is known, and estimated to a relative 1/sqrt(2 N) or better
    exact_error = math.sqrt(0.25 / width / sim.networks)
    assert float(sim.active_fraction.stderr[0]) == pytest.approx(exact_error, rel=4.0 / math.sqrt(2.0 * sim.networks))


# ---------------------------------------------------------------------------------------------- whole laws, all layers


def every_other(cases: list[tuple[Any, ...]], first: int) -> list[Any]:
    """Every other one of cases that go from narrow to wide, such that all variants are among them; others are long."""
    return [case if i % 2 == first else pytest.param(*case, marks=pytest.mark.long) for i, case in enumerate(cases)]


CONNECTED = [
    # width, depth, lam, variant
    (1, 2, 1.0, "vanilla"),
    (1, 3, -0.7, "balanced"),
    (2, 5, -1.3, "vanilla"),
    (2, 4, 0.5, "balanced-half"),
    (3, 12, 1.0, "balanced"),
    (4, 30, 3.0, "vanilla"),
    (7, 9, -0.2, "balanced"),
    (16, 64, -1.3, "vanilla"),
    (40, 20, 2.0, "balanced"),
    (64, 32, 0.8, "balanced-half"),
    (256, 64, -1.0, "vanilla"),
    (1024, 16, 1.5, "balanced-half"),
    (4096, 4, -0.9, "vanilla"),
]


def networks_for(width: int, depth: int) -> int:
    """As many as keep a simulation below about half a second, at most `NETWORKS`."""
    return min(NETWORKS, max(16_384, 2**30 // (width * depth) // 4096 * 4096))


@pytest.mark.parametrize(("width", "depth", "lam", "variant"), every_other(CONNECTED, 1))
def test_fully_connected_networks_have_their_exact_law(width: int, depth: int, lam: float, variant: str):
    sim = resmc.simulate(
        width=width,
        depth=depth,
        alpha=0.0,
        lam=lam,
        variant=variant,
        networks=networks_for(width, depth),
        seed=200 + width,
    )
    assert_all_within(exact_comparisons(sim), at_least=20)


@pytest.mark.parametrize(("width", "alpha"), [(1, 1.0), (2, -0.9), (5, 2.5), (64, -1.0), (4096, 0.1)])
@pytest.mark.parametrize("variant", ["vanilla", "balanced"])
def test_without_residual_branch_the_log_norm_is_that_of_the_first_layer(width: int, alpha: float, variant: str):
    sim = resmc.simulate(
        width=width, depth=7, alpha=alpha, lam=0.0, variant=variant, networks=networks_for(width, 7), seed=300 + width
    )
    assert_all_within(exact_comparisons(sim), at_least=20)


BALANCED = [
    # width, depth, alpha, lam, variant
    (1, 1, 0.6, 0.8, "balanced"),
    (2, 1, -0.6, 0.8, "balanced"),
    (2, 2, 0.9, 0.3, "balanced-half"),
    (4, 3, 1.2, 0.5, "balanced"),
    (8, 6, -2.0, 1.0, "balanced"),
    (10, 20, 0.8, -0.6, "balanced-half"),
    (16, 4, HALF, HALF, "balanced"),
    (33, 30, 0.3, 0.1, "balanced"),
    (64, 16, 0.5, -1.5, "balanced"),
    (128, 200, -HALF, HALF, "balanced"),
    (256, 64, 0.95, 0.3, "balanced"),
    (1024, 32, 3.0, 3.0, "balanced-half"),
    (4096, 4, 0.6, 0.8, "balanced"),
]


@pytest.mark.parametrize(("width", "depth", "alpha", "lam", "variant"), every_other(BALANCED, 0))
def test_balanced_networks_have_their_exact_moments_and_no_correlation(
    width: int, depth: int, alpha: float, lam: float, variant: str
):
    model = ResNet(width, depth, alpha, lam, variant)
    sim = resmc.simulate(model, networks=networks_for(width, depth), seed=400 + width)
    found = list(exact_comparisons(sim))
    assert any(name.startswith("E|z_") and name.endswith("2") for name, _ in found)  # not everything was unreliable
    assert variant != "balanced" or width == 1 or any(name.endswith("^4") for name, _ in found)
    assert_all_within(found, at_least=10)


# ----------------------------------------------------------------------------------------------- one step, any network


def one_step_comparisons(sim: Simulation, claimed: ResNet | None = None) -> Iterator[tuple[str, float]]:
    r"""Mean and variance of \|z_{l+1}\|^2/\|z_l\|^2 given z_l, weighted with 1, A_l and A_l^2.

    With p = 1 + A_l the mean is alpha^2 + lam^2 p (theory.one_step), and the squared residual
    2 alpha lam sqrt(2/n) \|phi\| z.g + lam^2 (2/n) \|phi\|^2 (\|g\|^2 - n) has the mean
    (4 alpha^2 lam^2 p + 2 lam^4 p^2)/n, as \|phi\|^2/\|z\|^2 = p/2 (our derivation).
    """
    model = claimed or sim.model
    s = math.exp(model.log_scale)
    log_norm, asymmetry = sim.trajectories.log_norm, sim.trajectories.asymmetry.astype(np.float64)
    for i in sorted({0, len(sim.layers) // 2, len(sim.layers) - 2}):
        alive = np.isfinite(log_norm[:, i])
        a = asymmetry[alive, i]
        with np.errstate(over="ignore"):
            residual = (np.exp(log_norm[alive, i + 1] - log_norm[alive, i]) - theory.one_step(model, a)) / s
        square = (4.0 * model.alpha**2 * model.lam**2 * (1.0 + a) + 2.0 * model.lam**4 * (1.0 + a) ** 2) / model.width
        for power in range(3):
            weight = a**power
            yield f"residual A_{i}^{power}", z_of_mean(weight * residual, 0.0)
        yield f"residual^2 at {i}", z_of_mean(residual**2 - square / s**2, 0.0)


STEP_NETWORKS = 100_000  # at 40 000, 2% in lam was caught in the first of these with a power of 97% only
STEPS = [
    (3, 6, HALF, HALF, "vanilla"),
    (5, 4, -0.5, 1.0, "balanced"),
    (8, 10, 0.0, -1.0, "vanilla"),
    (17, 12, -0.9, 0.4, "vanilla"),
    (64, 20, 2.0, 1.5, "balanced-half"),
    (512, 30, 0.3, -0.7, "vanilla"),
]


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize(("width", "depth", "alpha", "lam", "variant"), STEPS)
def test_one_step_of_the_norm_has_its_conditional_mean_and_variance(
    width: int, depth: int, alpha: float, lam: float, variant: str, method: str
):
    if method == "dense" and width > 64:
        width = 24
    networks = STEP_NETWORKS if method == "projected" else 40_000 if width < 64 else 4_096
    sim = resmc.simulate(
        ResNet(width, depth, alpha, lam, variant),
        method=method, networks=networks, seed=700 + width, keep_trajectories=networks,
    )  # fmt: skip
    assert_all_within(one_step_comparisons(sim), at_least=12)


def test_an_inactive_network_is_carried_on_unchanged():
    sim = resmc.simulate(width=2, depth=6, alpha=-0.7, lam=1.1, networks=20_000, seed=510, keep_trajectories=20_000)
    paths = sim.trajectories
    inactive = paths.asymmetry[:, :-1] == -1.0  # or so nearly that a float32 does not tell: |phi|/|z| < 2e-4
    change = np.abs(np.diff(paths.log_norm, axis=1) - 2.0 * math.log(0.7))
    exactly = int(sim.inactive[:-1].sum())
    assert 1000 < exactly <= inactive.sum() <= 1.001 * exactly
    assert (change[inactive] < 2e-6).sum() >= exactly
    assert change[inactive].max() < 3e-3
    assert change[~inactive].mean() > 0.1


# ------------------------------------------------------------------------------------------------------------- outputs

OUTPUTS = [
    (1, 2, 0.5, 0.9, "vanilla", 3, 2.0),
    (4, 5, HALF, HALF, "vanilla", 4, 1.0),
    (6, 8, -0.8, 1.4, "balanced", 5, 0.1),
    (10, 20, 0.0, 1.0, "vanilla", 2, 1.0),
    (64, 32, 0.9, 0.2, "balanced-half", 3, 30.0),
]


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize(("width", "depth", "alpha", "lam", "variant", "n_out", "input_norm"), OUTPUTS)
def test_outputs_are_independent_gaussians_times_the_final_norm(
    width: int, depth: int, alpha: float, lam: float, variant: str, n_out: int, input_norm: float, method: str
):
    networks = 40_000 if width < 64 or method == "projected" else 4_096
    model = ResNet(width, depth, alpha, lam, variant, n_out, input_norm)
    sim = resmc.simulate(model, method=method, networks=networks, seed=600 + width, keep_samples=networks)
    alive = np.isfinite(sim.samples.log_norm)
    assert sim.samples.output.shape == (networks, n_out)
    assert np.all(sim.samples.output[~alive] == 0.0)
    log_norm = sim.samples.log_norm[alive]
    z = sim.samples.output[alive] / np.exp(0.5 * log_norm)[:, None]
    found: Comparisons = []
    for k in range(n_out):
        found.append((f"law of output {k}", z_of_probability(stats.kstest(z[:, k], "norm").pvalue)))
        found += [(f"moment {p} of output {k}", z_of_mean(z[:, k] ** p, m)) for p, m in enumerate((0, 1, 0, 3), 1)]
        found.append((f"output {k} and log-norm", z_of_mean(z[:, k] * (log_norm - log_norm.mean()), 0.0)))
        # the scale must not depend on the norm; the mean removed is estimated, which only narrows the spread
        found.append(
            (f"|output {k}| and log-norm", z_of_mean((z[:, k] ** 2 - 1.0) * (log_norm - log_norm.mean()), 0.0))
        )
        found += [(f"outputs {j}, {k}", z_of_mean(z[:, j] * z[:, k], 0.0)) for j in range(k)]
    assert_all_within(found, at_least=7 * n_out)


@cache
def mixed_output_cdf(width: int, steps: int) -> tuple[Floats, Floats]:
    """A grid of t and P(out <= t) there, by quadrature in quantiles: lam = 0 (no steps), or alpha = 0 and one step.

    |z_0|^2/n is chi^2_n/n; one step multiplies with (2/n) chi^2_K, K ~ Binomial(n, 1/2).
    """
    nodes = 100 if steps else 2000  # the error, below 1/(2 nodes), is no more than a standard error of the KS test
    q = (np.arange(nodes) + 0.5) / nodes
    norms = stats.chi2.ppf(q, width) / width
    weights = np.full(nodes, 1.0 / nodes)
    dead = 0.0
    if steps:
        k = np.arange(1, width + 1)
        probability = stats.binom.pmf(k, width, 0.5)
        dead = 0.5**width
        step = 2.0 / width * stats.chi2.ppf(q[:, None], k)
        weights = (weights[:, None, None] * (probability / nodes)).repeat(nodes, axis=1).ravel()
        norms = (norms[:, None, None] * step).ravel()
    grid = np.concatenate([-np.geomspace(1e-4, 30.0, 200)[::-1], [-1e-12, 1e-12], np.geomspace(1e-4, 30.0, 200)])
    return grid, np.array([weights @ special.ndtr(x / np.sqrt(norms)) + dead * (x > 0.0) for x in grid])


@pytest.mark.parametrize(
    ("width", "depth", "alpha", "lam"), [(1, 4, -0.7, 0.0), (3, 9, 1.5, 0.0), (2, 1, 0.0, -1.3), (6, 1, 0.0, 0.4)]
)
def test_one_output_has_its_exact_mixture_law(width: int, depth: int, alpha: float, lam: float):
    networks = 40_000
    sim = resmc.simulate(
        width=width, depth=depth, alpha=alpha, lam=lam, input_norm=3.0, n_out=2,
        networks=networks, seed=620 + width, keep_samples=networks,
    )  # fmt: skip
    out = sim.samples.output / (3.0 * (alpha**2 + lam**2) ** (depth / 2.0))
    steps = 1 if alpha == 0.0 else 0
    found: Comparisons = []
    for k in range(2):
        if steps:
            found.append(("dead", z_of_count(int((out[:, k] == 0.0).sum()), networks, 0.5**width)))
        living = out[out[:, k] != 0.0, k]
        at_zero = 0.5**width if steps else 0.0

        def cdf(t: Floats, at_zero: float = at_zero) -> Floats:
            return (np.interp(t, *mixed_output_cdf(width, steps)) - at_zero * (t > 0.0)) / (1.0 - at_zero)

        found.append(("law", z_of_probability(stats.kstest(living, cdf).pvalue)))
        assert stats.kstest(living, "norm").pvalue < 1e-10  # the control: it is not the Gaussian of infinite width
    assert_all_within(found, at_least=2)


def test_input_norm_only_shifts_the_log_norm():
    def run(input_norm: float) -> Simulation:
        return resmc.simulate(
            width=9, depth=11, alpha=0.4, lam=-1.2, input_norm=input_norm, networks=5_000, seed=630,
            keep_samples=50, keep_trajectories=50,
        )  # fmt: skip

    one, other = run(1.0), run(1e-5)
    shift = 2.0 * math.log(1e-5)
    np.testing.assert_allclose(other.log_norm_mean.value - one.log_norm_mean.value, shift, atol=1e-11)
    np.testing.assert_allclose(other.samples.log_norm - one.samples.log_norm, shift, atol=1e-11)
    np.testing.assert_allclose(other.trajectories.log_norm - one.trajectories.log_norm, shift, atol=1e-11)
    np.testing.assert_allclose(other.samples.output, one.samples.output * 1e-5, rtol=1e-6)
    np.testing.assert_allclose(other.histogram.edges - one.histogram.edges, shift, atol=1e-11)
    np.testing.assert_array_equal(other.histogram.counts, one.histogram.counts)
    for name in (
        "log_norm_variance",
        "log_norm_skewness",
        "asymmetry_mean",
        "active_fraction",
        "asymmetry_correlation",
    ):
        np.testing.assert_array_equal(getattr(other, name).value, getattr(one, name).value)
    np.testing.assert_array_equal(
        other.variance_growth().log_second_moment.value, one.variance_growth().log_second_moment.value
    )


def test_these_comparisons_reject_a_neighbouring_model():
    """The negative control at hand: each oracle, held against the law of a slightly different network, fails."""
    balanced = resmc.simulate(width=16, depth=4, alpha=HALF, lam=HALF, variant="balanced", networks=NETWORKS, seed=640)
    wrong_depth = theory.balanced_moments(ResNet(16, 5, HALF, HALF, "balanced")).log_fourth_moment[5]
    assert abs(z_against_exact(log_fourth_moment(balanced)[0][-1], float(wrong_depth))) > 2 * BOUND
    connected = resmc.simulate(width=16, depth=8, alpha=0.0, lam=1.0, networks=NETWORKS, seed=641)
    wrong = theory.fully_connected(ResNet(13, 8, 0.0, 1.0))
    for name in ("mean", "variance", "skewness"):
        z = z_against_exact(getattr(connected, f"log_norm_{name}")[-1], float(getattr(wrong, name)[-1]))
        assert abs(z) > BOUND, name
    with pytest.raises(AssertionError):
        assert_all_within([("a", 0.1), ("b", math.nan)], at_least=1)
    with pytest.raises(AssertionError):
        assert_all_within([("a", 0.1), ("b", -4.1)], at_least=1)
    with pytest.raises(AssertionError):
        assert_all_within([("a", 0.1)], at_least=2)
    assert z_of_student(4.0, 31.0) == pytest.approx(stats.norm.isf(stats.t.sf(4.0, 31)))
