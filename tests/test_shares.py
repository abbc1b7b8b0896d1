"""Shares of a Gaussian vector's square that an activation leaves, and exact laws of orthogonal networks made of them.

Each of the 30 comparisons with simulations fails a correct program with a probability of 1e-5 at most.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy import integrate, special, stats

import resmc
from resmc import DepthScaling, ResidualNetwork, theory
from resmc.theory.factors import SumOfSquares, cumulants_of_law
from resmc.theory.facts import facts
from resmc.theory.shares import Share

pytestmark = pytest.mark.cpu
BOUND = 4.5


def network(n: int, depth: int, activation: str = "relu", block: str = "phi-in", s: float = 1.0) -> ResidualNetwork:
    return ResidualNetwork(n, depth, block, activation, 0.0, DepthScaling(0.0, s), "orthogonal")


def arcsine_law(x: np.ndarray) -> np.ndarray:
    """P(log B <= x) of ReLU and n = 2, given B > 0: B = 1 of two active neurons, else Beta(1/2, 1/2)."""
    return np.where(x >= 0.0, 1.0, 2.0 / 3.0 * 2.0 / np.pi * np.arcsin(np.exp(0.5 * np.minimum(x, 0.0))))


@pytest.mark.parametrize("law", [Share(1), Share(7), Share(784), Share(1, 0.3), Share(6, 0.2), Share(300, 0.5)])
def test_a_share_times_an_independent_square_has_the_law_of_what_the_activation_leaves(law):
    source = SumOfSquares("leaky_relu", law.units, law.leak) if law.leak else SumOfSquares("relu", law.units)
    whole = SumOfSquares("linear", law.units)
    assert law.death == source.death
    sums = np.array(cumulants_of_law(law)) + np.array(cumulants_of_law(whole))
    spread = cumulants_of_law(source)[1] ** (0.5 * np.arange(1, 9))
    np.testing.assert_allclose((sums / spread)[:4], (np.array(cumulants_of_law(source)) / spread)[:4], atol=2e-9)
    for q in (-0.3, 0.5, 2.0, 7.0):
        assert law.log_moment(q) + whole.log_moment(q) == pytest.approx(source.log_moment(q), abs=1e-10)


@pytest.mark.parametrize("leak", [0.0, 0.2])
@pytest.mark.parametrize("n", [2, 5, 40])
def test_transforms_and_moments_of_a_share_are_those_of_a_quadrature_over_beta_laws(n, leak):
    law, q = Share(n, leak), 1.7
    weights = special.comb(n, np.arange(n + 1)) * 0.5**n / (1.0 - law.death)

    def mean(function) -> complex:
        total = weights[n] * function(1.0) + (weights[0] * function(leak**2) if leak else 0.0)
        for k in range(1, n):
            for part in (np.real, np.imag):  # u = sin^2 v, so that no end is singular
                density = lambda v, k=k: 2.0 * math.sin(v) ** (k - 1) * math.cos(v) ** (n - k - 1)  # noqa: E731
                value = integrate.quad(
                    lambda v, part=part, density=density: density(v)
                    * part(complex(function(leak**2 + (1.0 - leak**2) * math.sin(v) ** 2))),
                    0.0, 0.5 * math.pi, limit=400, epsabs=1e-13, epsrel=1e-12,
                )[0]  # fmt: skip
                total += weights[k] / special.beta(0.5 * k, 0.5 * (n - k)) * value * (1j if part is np.imag else 1.0)
        return total

    assert law.log_moment(q) == pytest.approx(math.log(mean(lambda b: b**q).real), abs=1e-11)
    t = 0.4 * np.arange(3, 6)
    expected = [mean(lambda b, t=one: np.exp(1j * t * np.log(b))) for one in t]
    np.testing.assert_allclose(law.phi(0.4, 3, 3), expected, atol=1e-9 if leak else 1e-7)


def test_the_law_of_a_layer_of_two_neurons_is_the_arcsine_law_to_1e_8():
    law = theory.exact_law(network(2, 1))
    x = np.array([-20.0, -3.0, -0.7, -0.1, -1e-4, -1e-9, 1e-3])
    np.testing.assert_allclose(law.cdf(x), arcsine_law(x), atol=1e-8)
    assert (law.atom, law.probability_of_death) == (pytest.approx(1 / 3), pytest.approx(0.25))
    np.testing.assert_allclose(law.quantile(arcsine_law(x[1:4])), x[1:4], rtol=1e-6)
    assert law.quantile(0.9) == pytest.approx(0.0, abs=1e-12)
    density = 2.0 / 3.0 / np.pi * np.exp(0.5 * x[1:4]) / np.sqrt(-np.expm1(x[1:4]))
    np.testing.assert_allclose(law.pdf(x[1:4]), density, rtol=1e-6)


@pytest.mark.parametrize(("n", "depth"), [(2, 3), (5, 2), (30, 1), (24, 2)])
def test_moments_of_the_inverted_law_are_its_own_where_its_transform_falls_slowly(n, depth):
    law = theory.exact_law(network(n, depth))
    p = (np.arange(20_000) + 0.5) / 20_000
    x = law.quantile(p)
    assert x.mean() == pytest.approx(law.mean, abs=2e-3 * math.sqrt(law.variance))
    assert np.mean(np.exp(2.0 * x)) == pytest.approx(math.exp(law.moment(2.0)), rel=1e-4)


CASES = {
    "phi-in relu": network(9, 4, s=1.3),
    "phi-in balanced": network(6, 3, "balanced"),
    "phi-out relu": network(5, 3, block="phi-out"),
    "v-phi-w leaky": network(40, 3, "leaky_relu(0.3)", "v-phi-w"),
}


@pytest.mark.parametrize("name", CASES)
def test_growth_gradient_and_log_norm_of_orthogonal_networks_have_their_exact_laws(name):
    model = CASES[name]
    sim = resmc.simulate(model, networks=60_000, seed=5, gradients=True, progress=False, threads=1)
    layers, known = np.asarray(sim.layers), facts(model)
    for quotient in ("growth", "gradient"):
        found = sim.log_ratio(quotient)
        moved = layers > 0 if quotient == "growth" else layers < model.depth
        for moment in ("mean", "variance"):
            exact = known.quotient_moment(quotient, moment, layers)
            assert np.abs(getattr(found, moment).z_score(exact)[moved]).max() < BOUND, (quotient, moment)
        assert np.abs(found.variance.z_score(1.25 * exact)[moved]).max() > 9.0  # negative control
        compared = sim.exact_comparison(quotient)
        assert compared.p_value > 1e-5
    start = sim.estimate("log_norm.mean")
    assert np.abs(start.z_score(known.log_norm(layers).mean)).max() < BOUND
    law = theory.exact_law(model)
    assert theory.exact_law(model, "gradient").cumulant(3) == law.cumulant(3)
    dead = sim.estimate("dead_fraction").value[-1]
    assert abs(dead - law.probability_of_death) < BOUND * math.sqrt(law.probability_of_death / 60_000) + 1e-12


def test_a_narrow_leaky_law_has_moments_and_no_distribution_function():
    model = network(4, 2, "leaky_relu")
    law = theory.exact_law(model)
    k = np.arange(5)
    weights = special.comb(4, k) / 16.0
    share = 0.01**2 + (1.0 - 0.01**2) * k / 4.0  # E B given K
    assert law.moment(1.0) == pytest.approx(2.0 * math.log(weights @ share), abs=1e-12)
    assert law.no_distribution is not None
    for asked in (lambda: law.cdf(-1.0), lambda: law.pdf(-1.0), lambda: law.quantile(0.5)):
        with pytest.raises(ValueError, match="the distribution function of 'growth' is not resolved for this"):
            asked()
    assert facts(model).exact_law("growth") is None
    assert np.isnan(facts(model).final_quantile("growth", [0.5])).all()
    assert np.isfinite(facts(model).quotient_moment("growth", "variance", np.arange(3))).all()
    sim = resmc.simulate(model, networks=2000, seed=1, displacement=True, progress=False, threads=1)
    with pytest.raises(ValueError, match=re.escape("'growth' has nothing to be compared with: the distribution")):
        sim.exact_comparison("growth")
    assert "mean log |h_2|^2/|h_0|^2" in str(sim.summary())


def test_orthogonal_networks_with_a_skip_and_other_activations_have_no_law():
    beside = ResidualNetwork(8, 2, "v-phi-w", "linear", 0.7, weights="orthogonal")
    assert "beside a skip" in theory.no_exact_law(beside)
    assert "not homogeneous" in theory.no_exact_law(network(8, 2, "tanh"))


def test_a_beta_share_has_the_distribution_of_scipy_given_its_active_neurons():
    """KS distance of the law of n = 24 from its mixture of beta laws, at 50 points to 1e-8."""
    n = 24
    k = np.arange(1, n)
    weights = stats.binom(n, 0.5).pmf(np.arange(n + 1)) / (1.0 - 0.5**n)
    x = np.linspace(-3.0, -1e-3, 50)
    expected = stats.beta(0.5 * k, 0.5 * (n - k)).cdf(np.exp(x)[:, None]) @ weights[1:n]
    np.testing.assert_allclose(theory.exact_law(network(n, 1)).cdf(x), expected, atol=1e-8)
