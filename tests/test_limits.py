"""Extrapolated to infinite width at a fixed d/n, simulations reach the limits of Li, Nica, Roy 2021 (arXiv 2106.04013).

Widths 48 to 512 at d/n = 1/4 and a quadratic in 1/n. Each of the 6 networks gives 8 limits: 48 comparisons (and 4 in
narrower networks), as z of a Gaussian through Student's t with 31 degrees (the weighted fit pools 8 independent errors,
so its own are more), with a false-alarm probability of 6.3e-5 each, and 52 p-values of the fit, each below 1e-4 with
probability 1e-4 (somewhat more, as the errors in the chi-square are estimated): below 1% in all. The smallest effect
that a negative control must see, at 4 standard errors, is one of 8, and so seen with a power above 99.99%. Seeds are
fixed, none was tried and replaced. An exponentially small part alpha^(2 d) of the sums over layers is no power of 1/n;
it is below 2e-4 of a limit here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from exact_comparisons import BOUND, assert_all_within, z_of_student
from numpy.typing import NDArray
from scipy.special import stdtrit

import resmc
from resmc import Estimate, ResidualNetwork, ResNet, Simulation, theory
from resmc.analyses import extrapolation
from resmc.analyses.extrapolation import Extrapolation
from resmc.results.observables import OBSERVABLES

Floats = NDArray[np.float64]
SCALED = {name: one for name, one in OBSERVABLES.items() if one.scaled is not None}
HALF = math.sqrt(0.5)
WIDTHS = (48, 64, 96, 128, 192, 256, 384, 512)
RATIO = 0.25
NETS = [
    (HALF, HALF, "vanilla"),
    (-0.6, 1.2, "vanilla"),
    (0.9, 1.1, "vanilla"),
    (0.0, 0.5, "vanilla"),
    (HALF, HALF, "balanced"),
    (-1.5, 0.8, "balanced"),
]
SHORT = NETS[:2]  # of both signs of alpha


def networks_for(width: int) -> int:
    """As many as make wide networks cost the same at each width, and the narrow ones less."""
    return min(100_000, 4 * 10**9 // width**2)


@cache
def simulations(alpha: float, lam: float, variant: str) -> tuple[Simulation, ...]:
    """All widths; layers enough for the last layer and for the correlations at lag 1."""
    found = []
    for width in WIDTHS:
        depth = round(RATIO * width)
        found.append(
            resmc.simulate(
                ResNet(width, depth, alpha, lam, variant),
                networks=networks_for(width),
                seed=8000 + width + 1000 * NETS.index((alpha, lam, variant)),
            )
        )
    return tuple(found)


def z_of_fit(fit: Extrapolation, limit: float | None = None) -> float:
    """z at infinite width against the theory's limit, or another one, by the statistical error alone.

    Of widths as large as here: the error of the degree that comes to it elsewhere would hide what a test looks for.
    """
    stderr = math.sqrt(fit.covariance[0, 0])
    t = (float(fit.value.value) - (fit.limit if limit is None else limit)) / stderr
    return z_of_student(t, fit.value.df)


@pytest.mark.parametrize(
    "net",
    [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in NETS],
    ids=lambda net: f"{net[2]}-alpha{net[0]:.3g}-lam{net[1]:.3g}",
)
def test_extrapolations_reach_the_limits(net: tuple[float, float, str]):
    comparisons = []
    for quantity in SCALED:
        fit = resmc.extrapolate(simulations(*net), quantity)
        z = z_of_fit(fit)
        assert fit.z_score == pytest.approx((float(fit.value.value) - fit.limit) / float(fit.value.stderr))
        comparisons.append((quantity, z))
        print(f"LIMIT {quantity:24} {fit.value} limit {fit.limit:.5f} z {z:+.2f} p {fit.p_value:.3f}")
        assert fit.p_value > 1e-4, quantity
        assert len(fit.coefficients) == 3
    assert_all_within(comparisons, at_least=8)


def test_any_network_is_extrapolated_and_where_no_limit_is_known_none_is_claimed():
    """E|h_L|^2/|h_0|^2 of v-phi-w with ReLU is (1 + s^2/2)^L at every width, and so is its value at infinite width."""
    sims = [
        resmc.simulate(ResidualNetwork(n, 10, "v-phi-w"), networks=20_000, seed=n, progress=False) for n in (10, 20, 40)
    ]
    fit = resmc.extrapolate(sims, "growth")
    assert abs(fit.value.z_score(10 * math.log1p(0.05))) < 4.5
    assert math.isnan(fit.limit)
    assert math.isnan(fit.z_score)
    assert np.isfinite(resmc.extrapolate(sims, "displacement.median").value.stderr)
    with pytest.raises(ValueError, match="quantity='asymmetry' is not allowed: it must be one of 'log_norm"):
        resmc.extrapolate(sims, "asymmetry")
    other = resmc.simulate(ResidualNetwork(80, 10, "v-phi-w", bias=0.5), networks=2000, seed=80, progress=False)
    with pytest.raises(ValueError, match=r"simulations differ in bias \(\[0.0, 0.5\]\): an extrapolation needs one"):
        resmc.extrapolate([*sims, other], "growth")


@pytest.mark.long
@pytest.mark.parametrize(("alpha", "lam"), [(-0.6, 1.2), (HALF, HALF)])
def test_hypoactivation_reaches_its_limit_and_changes_sign_with_alpha(alpha: float, lam: float):
    """n E[A_d] has the error sqrt(3 n/N): narrower networks, and more of them, say more than the widths above.

    (Not much narrower: from width 16 at d/n = 1, where 1/n^3 counts, a quadratic ended 3 standard errors off.)
    """
    sims = [
        resmc.simulate(
            width=n, depth=n // 2, alpha=alpha, lam=lam, networks=400_000, seed=8800 + n, layers=[n // 2]
        ) for n in (32, 48, 64, 96, 128)
    ]  # fmt: skip
    comparisons = []
    for quantity in ("asymmetry", "active_fraction"):
        fit = resmc.extrapolate(sims, quantity)
        print(f"LIMIT {quantity:24} {fit.value} limit {fit.limit:.5f} z {z_of_fit(fit):+.2f} p {fit.p_value:.3f}")
        comparisons.append((quantity, z_of_fit(fit)))
        assert fit.p_value > 1e-4
        assert fit.limit * alpha < 0.0
        opposite = SCALED[quantity].scaled.limit(ResNet(32, 16, -alpha, lam))
        assert abs(z_of_fit(fit, opposite)) > 2.0 * BOUND  # the control
    assert_all_within(comparisons, at_least=2)


def test_the_limits_are_those_of_the_paper():
    """n E[A] = -1.7177, variance (2.25 + 3.1925) d/n, growth 0.7374 d/n at alpha = lam = 1/sqrt(2); J(alpha)/3."""
    sims = simulations(HALF, HALF, "vanilla")

    def limit(quantity: str) -> float:
        return resmc.extrapolate(sims, quantity).limit

    assert limit("asymmetry") == pytest.approx(-1.7177, abs=5e-5)
    assert limit("log_norm.variance") == pytest.approx(RATIO * (2.25 + 3.1925), rel=1e-4)
    assert limit("growth") == pytest.approx(RATIO * 0.7374, rel=1e-4)
    assert limit("log_norm.mean") == pytest.approx(RATIO * (-2.25 / 2.0 - 1.7177 / 2.0), rel=1e-4)
    angle = math.pi / 4.0
    lag1 = (6.0 / math.pi) * math.sin(angle) * math.cos(angle) + (1.0 + 2.0 * math.cos(angle) ** 2) * 0.5
    assert limit("interlayer.lag1") == pytest.approx(lag1 / 3.0, rel=1e-12)
    assert limit("log_norm.skewness") == limit("log_norm.excess_kurtosis") == 0.0


def test_extrapolations_reject_wrong_limits():
    """The negative control: the limits of the other variant, and of a network with lam 20% larger, are out of reach."""
    vanilla, balanced = simulations(HALF, HALF, "vanilla"), simulations(HALF, HALF, "balanced")
    for quantity in ("log_norm.mean", "log_norm.variance", "asymmetry", "active_fraction", "interlayer.lag1", "growth"):
        of_vanilla, of_balanced = resmc.extrapolate(vanilla, quantity), resmc.extrapolate(balanced, quantity)
        assert abs(z_of_fit(of_vanilla, of_balanced.limit)) > BOUND, quantity
        assert abs(z_of_fit(of_balanced, of_vanilla.limit)) > BOUND, quantity
    other = theory.infinite_depth_and_width(ResNet(48, 12, HALF, 1.2 * HALF))
    assert abs(z_of_fit(resmc.extrapolate(vanilla, "log_norm.variance"), other.log_norm_variance)) > BOUND


def test_without_extrapolation_a_finite_width_misses_the_limit():
    """Why extrapolate: at one width the difference from the limit is many standard errors."""
    sim = simulations(HALF, HALF, "vanilla")[0]
    limit = theory.infinite_depth_and_width(sim.model)
    assert abs(float(sim.log_norm_variance[-1].z_score(limit.log_norm_variance))) > BOUND


def test_the_fit_is_weighted_least_squares_in_the_inverse_width():
    fit = resmc.extrapolate(simulations(HALF, HALF, "vanilla"), "log_norm.variance", degree=2)
    x, y, error = 1.0 / np.array(WIDTHS), fit.estimates.value, fit.estimates.stderr
    coefficients, covariance = np.polyfit(x, y, 2, w=1.0 / error, cov="unscaled")
    np.testing.assert_allclose(fit.coefficients, coefficients[::-1], rtol=1e-6)
    np.testing.assert_allclose(fit.covariance, covariance[::-1, ::-1], rtol=1e-6)
    assert float(fit.value.stderr) == pytest.approx(math.hypot(math.sqrt(covariance[2, 2]), fit.truncation))
    assert fit.chi_square == pytest.approx(np.sum(((np.polyval(coefficients, x) - y) / error) ** 2))
    assert fit.widths.tolist() == list(WIDTHS)
    assert len(resmc.extrapolate(simulations(HALF, HALF, "vanilla")[:3]).coefficients) == 2


def test_the_error_of_the_degree_is_that_of_the_next_one_and_without_the_narrowest_width():
    sims = [small(n) for n in (8, 12, 16, 24, 32)]
    fit, more, fewer = (resmc.extrapolate(one, degree=degree) for one, degree in ((sims, 2), (sims, 3), (sims[1:], 2)))
    moved = max(abs(float(other.value.value - fit.value.value)) for other in (more, fewer))
    assert fit.truncation == pytest.approx(math.hypot(moved, 0.5 * math.sqrt(more.covariance[0, 0])))


def test_a_fit_that_nothing_tests_or_that_is_rejected_has_no_z_and_says_why():
    sims = [small(n) for n in (8, 16, 32, 64)]
    two = resmc.extrapolate(sims[:2])
    assert math.isnan(two.p_value)
    assert math.isnan(two.z_score)
    assert math.isnan(two.truncation)
    assert math.isnan(two.value.stderr)
    assert two.remark == "no error and no z: 2 widths leave nothing to test a polynomial of degree 1 with"
    assert two.remark in repr(two)
    assert math.isfinite(two.limit)
    narrow = [small(n, networks=200_000) for n in (8, 16, 32)]
    bad = resmc.extrapolate(narrow, "log_norm.variance", degree=1)
    assert bad.p_value < 1e-3
    assert math.isnan(bad.z_score)
    assert "no z: a polynomial of degree 1 does not fit (p = " in bad.remark
    good = resmc.extrapolate(sims)
    assert good.remark == ""
    assert math.isfinite(good.z_score)


def made_up(function: Callable[[Floats], Floats], widths: Floats, noise: float, rng: np.random.Generator) -> Estimate:
    """Estimates of a function of the width, whose errors are known as well as those of 32 groups are."""
    value = function(widths) + noise * rng.normal(size=widths.size)
    stderr = noise * np.sqrt(rng.chisquare(31, widths.size) / 31)
    return Estimate(value, stderr, np.full(widths.size, 1000), 31.0)


def test_intervals_hold_the_value_at_infinite_width_whatever_the_noise():
    """960 syntheses, 160 for each noise: 95% less 3 standard deviations of 160. By s alone few or none do."""
    rng = np.random.default_rng(9)
    functions = [lambda n: np.exp(5 / n), lambda n: 1 / (1 + 3 / n), lambda n: 5 / n + 30 / n**2, lambda n: 1 + 3 / n]
    held, alone = np.zeros(6), np.zeros(6)
    for i, noise in enumerate((1e-5, 1e-4, 3e-4, 1e-3, 1e-2, 0.1)):
        for widths in (np.array([8.0, 16, 32, 64]), np.array([8.0, 12, 16, 24, 32, 48, 64])):
            for function in functions:
                for _ in range(20):
                    given = made_up(function, widths, noise, rng)
                    coefficients, covariance, _ = extrapolation._fit(widths, given, 2)
                    statistical, limit = math.sqrt(covariance[0, 0]), float(function(np.array(1e15)))
                    truncation = extrapolation._truncation(widths, given, 2, float(coefficients[0]))
                    away = abs(float(coefficients[0]) - limit)
                    held[i] += away < stdtrit(31, 0.975) * math.hypot(statistical, truncation)
                    alone[i] += away < stdtrit(31, 0.975) * statistical
    assert (held / 160 > 0.95 - 3.0 * math.sqrt(0.95 * 0.05 / 160)).all(), held / 160
    assert (alone[:2] / 160 < 0.7).all()  # the control


def test_the_order_of_the_simulations_does_not_matter():
    sims = simulations(*SHORT[0])
    assert float(resmc.extrapolate(sims[::-1]).value.value) == float(resmc.extrapolate(sims).value.value)


def small(width: int = 8, depth: int | None = None, networks: int = 4_000, **other: object) -> Simulation:
    """A quick simulation of d/n = 1/2 to build bad requests from."""
    fields = {"alpha": 0.6, "lam": 0.8} | other
    return resmc.simulate(width=width, depth=depth or width // 2, networks=networks, seed=8900 + width, **fields)  # type: ignore[arg-type]


def test_what_cannot_be_extrapolated_is_a_value_error():
    good = [small(8), small(16), small(32)]
    assert math.isfinite(float(resmc.extrapolate(good).value.value))
    with pytest.raises(ValueError, match=r"quantity='log_norm'.*log_norm\.mean"):
        resmc.extrapolate(good, "log_norm")
    with pytest.raises(ValueError, match=r"widths \[8\].*different widths"):
        resmc.extrapolate(good[:1])
    with pytest.raises(ValueError, match="different widths"):
        resmc.extrapolate([])
    with pytest.raises(ValueError, match="simulations is a single one"):
        resmc.extrapolate(good[0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"widths \[8, 8, 16, 32\].*different widths"):
        resmc.extrapolate([*good, small(8)])
    for name, other in (
        ("ratio", small(64, 16)),
        ("alpha", small(64, alpha=0.5)),
        ("lam", small(64, lam=0.7)),
        ("variant", small(64, variant="balanced")),
        ("input_norm", small(64, input_norm=2.0)),
    ):
        with pytest.raises(ValueError, match=f"differ in {name}"):
            resmc.extrapolate([*good, other])
    shared, other = (resmc.simulate(width=w, depth=w // 2, alpha=0.6, lam=0.8, networks=100) for w in (8, 16))
    with pytest.raises(ValueError, match="widths 8 and 16 are not independent: they share random numbers"):
        resmc.extrapolate([shared, other])
    model = ResNet(16, 8, 0.6, 0.8)
    disjoint = resmc.simulate(model, networks=100, first_network=100)
    assert math.isfinite(float(resmc.extrapolate([shared, disjoint]).value.value))
    for degree in (0, 3, 1.5, -1):
        with pytest.raises(ValueError, match="degree"):
            resmc.extrapolate(good, degree=degree)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no standard error at widths \[64\]"):
        resmc.extrapolate([*good, small(64, networks=31)])
    with pytest.raises(ValueError, match=r"'growth' has no standard error at widths \[8, 16, 32\]"):
        resmc.extrapolate([small(w, 8 * w, networks=2_000) for w in (8, 16, 32)], "growth")
    with pytest.raises(ValueError, match=r"interlayer\.lag1.*distance 1"):
        resmc.extrapolate([small(w, layers=[0, w // 2]) for w in (8, 16)], "interlayer.lag1")
