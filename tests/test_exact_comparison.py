"""Simulated networks have their exact laws, and the comparison sees it where a law is another."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, theory
from resmc.analyses import exact_comparison
from resmc.report.found import Analyses
from resmc.report.words_law import log_gaussian
from resmc.report.words_quotient import quotients
from resmc.results.laws import Law

pytestmark = pytest.mark.cpu


def network(width: int, depth: int, activation: str = "relu", block: str = "v-phi-w", **more) -> ResidualNetwork:
    return ResidualNetwork(width, depth, block, activation, **more)


CONSTANT = DepthScaling(0.0, 1.0)
MODELS = {
    "relu": network(20, 30),
    "width 2": network(2, 6),
    "width 2, one layer": network(2, 1, scaling=CONSTANT),
    "balanced": network(3, 5, "balanced"),
    "balanced-half": network(8, 20, "balanced-half", carry=0.7, scaling=DepthScaling(0.0, 0.5)),
    "leaky": network(5, 9, "leaky_relu", carry=0.8, scaling=DepthScaling(0.0, 0.6)),
    "linear": network(4, 6, "linear", carry=0.0, scaling=CONSTANT),
    "phi-in linear": network(4, 7, "linear", "phi-in"),
    "by layer": network(4, 4, carry=-1.2, scaling=(0.2, 0.5, 1.0, 2.0)),
    "fully connected": ResNet(3, 5, 0.0, 1.0),
    "fully connected, balanced": ResNet(12, 10, 0.0, 0.7, "balanced-half"),
    "phi-out, no skip": network(6, 3, "relu", "phi-out", carry=0.0, scaling=DepthScaling(0.0, 1.4)),
}
QUICK = ("width 2", "leaky", "fully connected")


def scores(sim: resmc.Simulation) -> list[float]:
    """Differences from exact values in standard errors: moments of both quotients and of the log-norm, quantiles."""
    out: list[float] = []
    for name in ("growth", "gradient"):
        law, ratio = theory.exact_law(sim.model, name), sim.log_ratio(name)
        out += [float(ratio.final_mean.z_score(law.mean)), float(ratio.final_variance.z_score(law.variance))]
        out += sim.exact_comparison(name).z_score.tolist()
        out += moment_scores(ratio.law, law)
    start = theory.exact_law(sim.model, "log_norm")
    for name in ("mean", "variance", "skewness"):
        out.append(float(sim.estimate(f"log_norm.{name}")[-1].z_score(getattr(start, name))))
    return [z for z in out if math.isfinite(z)]


def moment_scores(law: Law, exact: theory.ExactLaw) -> list[float]:
    """Mean, variance and skewness, as moments about the exact mean: their errors are known, and they have no bias.

    The variance of a mean of x^k is (E x^2k - (E x^k)^2)/N, which the exact law's cumulants give.
    """
    x = (law.bins + 0.5) * 2.0**-16 + law.offset - exact.mean
    moments = central_moments(exact)
    found = [float(law.counts @ x**k) / law.counts.sum() for k in (1, 2, 3)]
    errors = [math.sqrt((moments[2 * k] - moments[k] ** 2) / law.counts.sum()) for k in (1, 2, 3)]
    return [(one - moments[k]) / error for k, one, error in zip((1, 2, 3), found, errors, strict=True)]


def central_moments(exact: theory.ExactLaw) -> list[float]:
    """Moments about the mean of orders 0 to 6, from cumulants: m_k = sum_j C(k - 1, j - 1) kappa_j m_{k - j}."""
    moments = [1.0]
    for k in range(1, 7):
        terms = [math.comb(k - 1, j - 1) * exact.cumulant(j) * moments[k - j] for j in range(2, k + 1)]
        moments.append(math.fsum(terms))
    return moments


def p_values(sim: resmc.Simulation) -> list[float]:
    """Of both quotients and the log-norm."""
    found = [sim.exact_comparison(name).p_value for name in ("growth", "gradient")]
    return [*found, sim.log_gaussian_fit().ks_exact.p_value]


@pytest.mark.parametrize("name", QUICK)
def test_networks_have_their_exact_laws(name):
    """Some 80 numbers at 5 standard errors, 9 p-values at 1e-6: a level of 1e-4."""
    sim = resmc.simulate(MODELS[name], networks=30_000, seed=6, gradients=True)
    assert max(map(abs, scores(sim))) < 5.0
    assert min(p_values(sim)) > 1e-6


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_ten_million_networks_have_their_exact_laws(model):
    """Mean, variance and skewness of the growth at 4 standard errors: 36 numbers in all, a level of 36 x 6.3e-5 = .2%.

    All else, some 30 numbers of each model, which depend on each other, at 4.5 standard errors of t with 31 degrees of
    freedom; and three p-values of Kolmogorov and Smirnov's at 1e-5, so that distances are at the floor of noise.
    """
    sim = resmc.simulate(model, networks=1e7, seed=7, gradients=True)
    growth = moment_scores(sim.log_ratio("growth").law, theory.exact_law(model))
    assert max(map(abs, growth)) < 4.0, growth
    assert max(map(abs, scores(sim))) < 4.5
    assert min(p_values(sim)) > 1e-5


def test_a_law_that_is_another_is_seen_to_be():
    """The law of networks one neuron wider, and the limit of infinite depth."""
    sim = resmc.simulate(MODELS["width 2"], networks=30_000, seed=6, gradients=True)
    law = sim.log_ratio("growth").law
    wider = theory.exact_law(replace(sim.model, width=3))
    assert exact_comparison.distance(law, wider).p_value < 1e-12
    deeper = theory.exact_law(replace(sim.model, depth=60))
    assert exact_comparison.distance(law, deeper).p_value < 1e-12
    right = exact_comparison.distance(law, theory.exact_law(sim.model))
    assert right.value < 2.0 * right.noise_floor


def test_moments_of_samples_have_the_errors_that_are_said_and_those_of_another_law_do_not():
    """200 samples of an exact law: the mean square of each score is 1 within 5 standard errors.

    They are drawn from its quantiles at the middles of 20,000 equal parts of (0, 1), for a quantile takes .1 ms: a law
    whose moments are the exact one's within a hundredth of the errors that samples have, and this is asked first.
    """
    law, other = (theory.exact_law(network(width, 3)) for width in (3, 4))
    points = law.quantile((np.arange(20_000) + 0.5) / 20_000)
    drawn = Law.of(points)
    parts = math.sqrt(500.0 / 20_000.0)  # of the scores that these points have, where there are 500 of them
    assert np.abs(moment_scores(drawn, law)).max() * parts < 0.01
    values = np.random.default_rng(5).choice(points, size=(200, 500))
    scored = np.array([moment_scores(Law.of(row), law) for row in values])
    # A score's kurtosis is at most 3 + (that of x^3)/500, which is below 6.
    assert np.abs((scored**2).mean(axis=0) - 1.0).max() < 5.0 * math.sqrt(5.0 / 200.0)
    assert np.abs(scored.mean(axis=0)).max() < 5.0 / math.sqrt(200.0)
    assert np.abs(moment_scores(Law.of(values.ravel()), other)).max() > 8.0


def test_p_values_of_networks_of_their_own_law_are_uniform():
    """The mean of 40 uniform numbers, at 5 standard errors; and Kolmogorov's test of them at 1e-6."""
    model = network(3, 2, "linear", "phi-in")
    law = theory.exact_law(model)
    values = law.quantile(np.random.default_rng(2).uniform(size=(40, 300)))
    p = np.sort([exact_comparison.distance(Law.of(row), law).p_value for row in values])
    assert abs(p.mean() - 0.5) < 5.0 / math.sqrt(12.0 * len(p))
    assert np.abs(p - (np.arange(40) + 0.5) / 40.0).max() < 2.8 / math.sqrt(40.0)


def test_a_summary_a_page_and_figures_show_the_exact_law():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    sim = resmc.simulate(MODELS["width 2"], networks=2000, seed=1, gradients=True)
    lines = {line.split("  ")[0]: line for line in str(sim.summary()).splitlines()}
    for name in ("median log |h_6|^2/|h_0|^2", "mean log |p_0|^2/|p_6|^2", "variance log |h_6|^2/|h_0|^2", "mean L_6"):
        assert "exact" in lines[name], name
        assert "z = " in lines[name], name
    for name in ("KS of L, exact law", "KS of growth, exact law", "KS of gradient, exact law"):
        assert "p = " in lines[name], name
    for draw in (resmc.plot.plot_ratio_law, resmc.plot.plot_log_norm, resmc.plot.plot_qq):
        assert "exact law" in [text.get_text() for text in draw(sim).get_legend().get_texts()]
    assert "exact law" not in [
        text.get_text() for text in resmc.plot.plot_ratio_law(sim, "displacement").get_legend().get_texts()
    ]
    analyses = Analyses.of(sim)
    said = [sentence for answer in (log_gaussian(analyses), *quotients(analyses)) for sentence in answer.sentences]
    assert sum("from the exact one (sampling noise: " in sentence for sentence in said) == 2
    assert sum("Quantiles of" in sentence and sentence.count("exactly") == 5 for sentence in said) == 1


def test_networks_without_a_law_or_without_final_values_are_refused_with_the_reason():
    tanh = resmc.simulate(network(3, 2, "tanh"), networks=40, gradients=True)
    with pytest.raises(ValueError, match=r"'growth' has nothing to be compared with: .* not homogeneous"):
        tanh.exact_comparison()
    with pytest.raises(ValueError, match="name='displacement' is not allowed"):
        tanh.exact_comparison("displacement")
    with pytest.raises(ValueError, match="'gradient' was not followed"):
        resmc.simulate(network(3, 2), networks=40).exact_comparison("gradient")
    with pytest.raises(ValueError, match="'growth' has no law here"):
        resmc.simulate(ResNet(3, 2, 0.0, 1.0), networks=40).exact_comparison()
