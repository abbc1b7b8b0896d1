"""Exact laws of fully connected networks with widths by layer, against a simulation that is written down here.

Each of the 30 comparisons has at most 20 numbers, bounds of 4.9 standard errors and Kolmogorov's law at 1e-6, so that a
correct program fails one with a probability of 5e-4.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import resmc
from resmc import ResidualNetwork, theory
from resmc.theory.chains import chain
from resmc.theory.facts import facts

pytestmark = pytest.mark.cpu
BOUND, KOLMOGOROV = 4.9, 1e-6
NETWORKS = 20_000
SLOPES = {"relu": 0.0, "linear": 1.0, "leaky_relu(0.2)": 0.2}
QUANTITIES = ("growth", "log_norm", "gradient")


def network(widths: tuple[int, ...], block: str, activation: str, **more: Any) -> ResidualNetwork:
    scales = tuple([1.2, -0.7, 1.4, 0.9][: len(widths) - 1])
    return ResidualNetwork(widths, len(widths) - 1, block, activation, 0.0, scales, **more)


def logarithms(model: ResidualNetwork, seed: int) -> dict[str, list[np.ndarray]]:
    """Logarithms of the squares by layer, the gradient's by passed layers: matrices, h and p of every network."""
    rng, leak = np.random.default_rng(seed), SLOPES[model.activation]
    widths, scales, inward = model.widths, model.scales, model.block == "phi-in"
    h = model.size * rng.standard_normal((NETWORKS, widths[0]))
    states, matrices, slopes = [h], [], []
    for k, s in enumerate(scales):
        M = rng.standard_normal((NETWORKS, widths[k + 1], widths[k])) / math.sqrt(widths[k])
        u = h if inward else np.einsum("nij,nj->ni", M, h)
        D = np.where(u > 0.0, 1.0, leak)
        h = s * (np.einsum("nij,nj->ni", M, D * h) if inward else D * u)
        states.append(h)
        matrices.append(M)
        slopes.append(D)
    p = rng.standard_normal((NETWORKS, widths[-1]))
    gradients = [p]
    for M, D, s in zip(matrices[::-1], slopes[::-1], scales[::-1], strict=True):
        p = s * (D * np.einsum("nij,ni->nj", M, p) if inward else np.einsum("nij,ni->nj", M, D * p))
        gradients.append(p)
    with np.errstate(divide="ignore"):
        H, P = ([np.log(np.sum(x**2, axis=1)) for x in vectors] for vectors in (states, gradients))
    return {
        "growth": [x - H[0] for x in H],
        "log_norm": [x - math.log(n) for x, n in zip(H, widths, strict=True)],
        "gradient": [x - P[0] for x in P],
    }


def z_scores(found: list[np.ndarray], links: Any) -> list[float]:
    """Differences of means and variances from cumulants, in standard errors, where they are not numbers."""
    mean, variance = links.cumulants(1), links.cumulants(2)
    out = []
    for layer, x in enumerate(found):
        alive = x[np.isfinite(x)]
        if variance[layer] < 1e-12:
            np.testing.assert_allclose(alive, mean[layer], atol=1e-9)
            continue
        away = (alive - alive.mean()) ** 2
        out.append((alive.mean() - mean[layer]) / (alive.std() / math.sqrt(len(alive))))
        out.append((away.mean() - variance[layer]) / (away.std() / math.sqrt(len(alive))))
    return [abs(one) for one in out]


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
def test_laws_are_those_of_matrices_that_are_written_out(block, activation):
    model = network((7, 30, 4, 12), block, activation, input_norm=1.3)
    found = logarithms(model, 3)
    for quantity in QUANTITIES:
        law = theory.exact_law(model, quantity)
        assert max(z_scores(found[quantity], chain(model, quantity))) < BOUND, quantity
        last = found[quantity][-1]
        alive = last[np.isfinite(last)]
        dead = law.probability_of_death
        assert abs(len(last) - len(alive) - NETWORKS * dead) <= BOUND * math.sqrt(NETWORKS * dead) + 1e-9
        assert stats.ks_1samp(alive, law.cdf).pvalue > KOLMOGOROV, quantity
        assert law.mean == pytest.approx(chain(model, quantity).cumulants(1)[-1], rel=1e-12)
        np.testing.assert_allclose(law.cdf(law.quantile([0.1, 0.9])), [0.1, 0.9], atol=1e-8)
    other = chain(network((7, 30, 5, 12), block, activation, input_norm=1.3), "growth")  # one neuron more
    assert max(z_scores(found["growth"], other)) > 9.0


@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
def test_equal_ends_and_equal_widths_are_special_cases(block):
    """B_0 times chi^2_{n_0} has the law of T_0; as a tuple, equal widths are one width."""
    back = network((9, 4, 9), block, "relu")
    law = theory.exact_law(back)
    assert {type(one).__name__ for one, _ in law.parts} == {"SumOfSquares"}
    assert law.mean == pytest.approx(chain(back).cumulants(1)[-1], rel=1e-12)
    assert law.moment(2.0) == pytest.approx(chain(back).log_powers(2.0)[-1] - math.log1p(-law.probability_of_death))
    equal, one = network((6, 6, 6), block, "relu"), replace(network((6, 6, 6), block, "relu"), width=6)
    assert equal == one
    for quantity in QUANTITIES:
        assert theory.exact_law(equal, quantity) == theory.exact_law(one, quantity) or (
            theory.exact_law(equal, quantity).parts == theory.exact_law(one, quantity).parts
        )


def test_moments_of_one_layer_are_closed():
    """E|h_1|^2q/|h_0|^2q of phi-in is that of a beta mixture times that of chi^2; the gradient's mean square s^2/2."""
    n, m, q = 5, 8, 1.5
    model = network((n, m), "phi-in", "relu")
    k = np.arange(1, n + 1)
    weights = special.comb(n, k) / (2.0**n - 1.0)
    active = weights @ np.exp(special.gammaln(0.5 * k + q) - special.gammaln(0.5 * k))
    share = active * math.exp(special.gammaln(0.5 * n) - special.gammaln(0.5 * n + q))
    square = q * math.log(2.0) + special.gammaln(0.5 * m + q) - special.gammaln(0.5 * m)
    expected = math.log(share) + square + q * math.log(1.2**2 / n)
    assert theory.exact_law(model).moment(q) == pytest.approx(expected, rel=1e-12)
    gradient = theory.exact_law(model, "gradient")
    assert gradient.moment(1.0) + math.log1p(-gradient.probability_of_death) == pytest.approx(math.log(1.2**2 / 2.0))


@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
def test_facts_by_layer_are_those_of_the_laws_and_of_the_simulation(block):
    """Means of squares by two derivations; dead, inactive and asymmetric networks by counting."""
    model, layers = network((7, 30, 4, 12), block, "relu", input_norm=1.3), np.arange(4)
    known, found = facts(model), logarithms(model, 8)
    np.testing.assert_allclose(known.growth(layers), chain(model).log_powers(1.0), atol=1e-12)
    given_alive = chain(model, "gradient").log_powers(1.0)[::-1]  # for all slopes of layers that are not dead before
    alive = np.log1p(-known.dead_fraction(layers)) * (layers < 3)
    np.testing.assert_allclose(known.second_moment("gradient", layers), given_alive + alive, atol=1e-12)
    by_neuron = np.log(1.69 * 7 / np.array(model.widths))
    np.testing.assert_allclose(known.mean_square(layers), known.growth(layers) + by_neuron)
    for quotient in ("growth", "gradient"):
        mean = known.quotient_moment(quotient, "mean", layers)
        np.testing.assert_allclose(mean, chain(model, quotient).cumulants(1)[:: 1 if quotient == "growth" else -1])
        assert np.isnan(known.second_moment(f"{'gradient_' * (quotient == 'gradient')}displacement", layers)[1])
    dead = np.array([np.mean(np.isneginf(x)) for x in found["growth"]])
    spread = np.sqrt(known.dead_fraction(layers) / NETWORKS)
    assert np.all(np.abs(dead - known.dead_fraction(layers)) <= BOUND * spread)
    assert known.dead_fraction(layers)[-1] > 0.005
    known_first = known.log_norm_moment("variance", np.array([0]))[0]
    assert known_first == pytest.approx(special.polygamma(1, 3.5), rel=1e-12)
    if block == "phi-in":
        np.testing.assert_allclose(known.inactive_fraction(layers), 0.5 ** np.array(model.widths))
        np.testing.assert_allclose(known.asymmetry_variance(layers), 3.0 / (np.array(model.widths) + 2.0))
    assert known.log_norm_limit(layers) is None


@pytest.mark.parametrize("block", ["phi-in", "phi-out"])
def test_simulations_show_these_laws(block):
    """40,000 networks of the kernels; a mean that is 10% larger is seen."""
    model = network((12, 30, 8, 20), block, "relu")
    sim = resmc.simulate(model, networks=40_000, seed=4, gradients=True, progress=False, threads=1)
    layers, known = np.asarray(sim.layers), facts(model)
    for quotient in ("growth", "gradient"):
        found = sim.log_ratio(quotient)
        moved = layers > 0 if quotient == "growth" else layers < model.depth
        for moment in ("mean", "variance"):
            exact = known.quotient_moment(quotient, moment, layers)
            assert np.abs(getattr(found, moment).z_score(exact)[moved]).max() < BOUND, (quotient, moment)
        assert np.abs(found.mean.z_score(1.1 * known.quotient_moment(quotient, "mean", layers))[moved]).max() > 9.0
        assert sim.exact_comparison(quotient).p_value > KOLMOGOROV
    assert np.abs(sim.estimate("log_norm.mean").z_score(known.log_norm(layers).mean)).max() < BOUND


def test_fourth_moments_with_dropout_are_of_one_width():
    model = ResidualNetwork((5, 8, 3), 2, "phi-in", "linear", 0.0, (1.0, 1.0), keep=0.5)
    assert "exact fourth moment with dropout" in theory.exact.no_dropout_moments(model)
    assert np.isnan(facts(model).log_moment(2.0, np.array([0, 1, 2]))[1:]).all()


def test_other_networks_with_widths_have_no_law_and_the_reason_is_said():
    assert "not homogeneous" in theory.no_exact_law(network((5, 3), "phi-in", "tanh"))
    assert "weights='uniform'" in theory.no_exact_law(network((5, 3), "phi-in", "relu", weights="uniform"))
    assert "bias=0.1" in theory.no_exact_law(network((5, 3), "phi-out", "relu", bias=0.1))
