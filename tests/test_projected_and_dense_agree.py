"""The native projected method against the native dense method, which draws every weight: one law, two programs.

The two runs of a comparison have different seeds, so that they share not even the first layer. A difference of two
estimates is divided by their combined error and, through Student's t with Welch's degrees of freedom, turned into the z
of a Gaussian; |z| < 4 has a false-alarm probability of 6.3e-5 per comparison. This file makes about 1000 (and 900
more in the long run), so a correct program fails with probability below 7% (12%) when seeds are chosen. The seeds are
fixed, none was tried and replaced, and no test is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from exact_comparisons import BOUND, assert_all_within, few_layers, log_fourth_moment, z_of_probability, z_of_student
from scipy import stats

import resmc
from resmc import Estimate, ResNet, Simulation

HALF = math.sqrt(0.5)


def z_of_difference(a: Estimate, b: Estimate) -> float:
    """z of the difference of two independent scalar estimates."""
    va, vb = float(a.stderr) ** 2, float(b.stderr) ** 2
    difference = float(a.value) - float(b.value)
    if va + vb == 0.0:
        return 0.0 if abs(difference) < 1e-9 else math.inf
    df = (va + vb) ** 2 / (va**2 / a.df + vb**2 / b.df) if math.isfinite(a.df) and math.isfinite(b.df) else math.inf
    return z_of_student(difference / math.sqrt(va + vb), df)


def z_of_two_counts(a: int, b: int, of_a: int, of_b: int) -> float:
    """z of two binomial counts: by Fisher's exact test, or the Gaussian it tends to where both exceed 100."""
    if min(a, b, of_a - a, of_b - b) > 100:
        p = (a + b) / (of_a + of_b)
        return (a / of_a - b / of_b) / math.sqrt(p * (1.0 - p) * (1.0 / of_a + 1.0 / of_b))
    return z_of_probability(float(stats.fisher_exact([[a, of_a - a], [b, of_b - b]]).pvalue))


def law_comparisons(a: Simulation, b: Simulation) -> Iterator[tuple[str, float]]:
    """Whether two independent simulations have one law: all moments at a few layers, all lags, final laws."""
    moments = {
        name: (getattr(a, name), getattr(b, name))
        for name in (
            "log_norm_mean", "log_norm_variance", "log_norm_skewness", "log_norm_excess_kurtosis",
            "asymmetry_mean", "asymmetry_variance", "active_fraction",
        )
    }  # fmt: skip
    if a.model.width == 1:  # one neuron has A = +-1, whose variance estimate has no Gaussian error
        del moments["asymmetry_variance"]
    curves = [s.variance_growth() for s in (a, b)]
    fourths = [log_fourth_moment(s) for s in (a, b)]
    for i in few_layers(a):
        layer = int(a.layers[i])
        for name, (x, y) in moments.items():
            if np.isfinite([x.stderr[i], y.stderr[i]]).all():  # narrow networks have a kurtosis without an error
                yield f"{name} at {layer}", z_of_difference(x[i], y[i])
        for name in ("inactive", "dead"):
            counts = [int(getattr(s, name)[i]) for s in (a, b)]
            if sum(counts):
                yield f"{name} at {layer}", z_of_two_counts(*counts, a.networks, b.networks)
        if layer and all(c.reliable[i] for c in curves):
            yield f"E|z_{layer}|^2", z_of_difference(*(c.log_second_moment[i] for c in curves))
        if layer and all(reliable[i] for _, reliable in fourths):
            yield f"E|z_{layer}|^4", z_of_difference(*(e[i] for e, _ in fourths))
    inter = [s.interlayer_correlations() for s in (a, b)]
    if a.model.width > 1:  # one neuron: A = 1 at every layer before the last of a network alive with alpha = 0
        lags = np.unique(np.geomspace(1, len(a.layers) - 1, 6).astype(int))
        for k in lags:
            yield f"correlation at lag {a.layers[k]}", z_of_difference(*(x.by_lag[k] for x in inter))
        last = len(a.layers) - 1
        for i, j in {(0, last), (last - 1, last)}:
            yield f"covariance {i}, {j}", z_of_difference(*(s.asymmetry_covariance[i, j] for s in (a, b)))
    final = [s.samples.log_norm[np.isfinite(s.samples.log_norm)] for s in (a, b)]
    yield "law of L_d", z_of_probability(stats.ks_2samp(*final).pvalue)
    for k in range(a.model.n_out):
        yield (
            f"law of output {k}",
            z_of_probability(
                stats.ks_2samp(*(s.samples.output[s.samples.output[:, k] != 0.0, k] for s in (a, b))).pvalue
            ),
        )
    paths = [s.trajectories.asymmetry[:, -1] for s in (a, b)]
    if a.model.width > 1:
        # inactive networks all have A = -1: a tie, which their count has compared already
        yield "law of A_d", z_of_probability(stats.ks_2samp(*(x[x > -1.0] for x in paths)).pvalue)


def dense_networks(width: int, depth: int) -> int:
    """As many as keep the dense run near a second: 2^29 weights, at most 65536 networks."""
    return min(65_536, max(4_096, 2**29 // (width**2 * depth)))


def pair(
    model: ResNet, seed: int, dense_model: ResNet | None = None, networks: int | None = None
) -> tuple[Simulation, Simulation]:
    """A projected and a dense run of different seeds; the projected one, as it is cheap, is twice as long."""
    networks = networks or dense_networks(model.width, model.depth)
    projected = resmc.simulate(
        model, networks=2 * networks, seed=seed, keep_samples=2 * networks, keep_trajectories=2 * networks
    )
    dense = resmc.simulate(
        dense_model or model, method="dense", networks=networks, seed=seed + 1_000_000,
        keep_samples=networks, keep_trajectories=networks,
    )  # fmt: skip
    return projected, dense


MODELS = [
    ResNet(1, 3, 0.6, 0.8),
    ResNet(1, 2, -1.5, 0.7, "balanced"),
    ResNet(1, 2, 0.0, 2.0),
    ResNet(2, 6, HALF, -HALF),
    ResNet(2, 4, -0.3, 0.1, "balanced-half"),
    ResNet(3, 12, HALF, HALF),
    ResNet(3, 8, 0.0, 0.6, "balanced"),
    ResNet(4, 10, -2.0, 3.0),
    ResNet(5, 7, 0.95, 0.3, "balanced", n_out=2),
    ResNet(8, 16, 0.0, -1.0),
    ResNet(10, 20, 0.9, -1.1, n_out=3),
    ResNet(13, 9, -0.8, 0.6),
    ResNet(16, 32, 0.5, 0.2, "balanced-half"),
    ResNet(16, 48, HALF, HALF, input_norm=4.0),
    ResNet(23, 40, -0.97, 0.2),
    ResNet(32, 16, 0.0, 5.0, "balanced-half"),
    ResNet(32, 32, 0.99, 0.1),
    ResNet(40, 10, -0.5, -0.5, "balanced"),
    ResNet(64, 24, HALF, HALF),
    ResNet(64, 16, -3.0, 2.0, "balanced"),
    ResNet(64, 12, 0.0, 1.0),
]


def label(model: ResNet) -> str:
    """For the test's name."""
    return f"{model.variant}-{model.width}x{model.depth}-alpha{model.alpha:.3g}-lam{model.lam:.3g}"


@pytest.mark.parametrize(
    "model",
    [model if i % 2 == 0 else pytest.param(model, marks=pytest.mark.long) for i, model in enumerate(MODELS)],
    ids=label,
)
def test_projected_networks_have_the_law_of_networks_with_explicit_weights(model: ResNet):
    projected, dense = pair(model, seed=7000 + MODELS.index(model))
    assert_all_within(law_comparisons(projected, dense), at_least=20 if model.width == 1 else 40)


def test_opposite_residual_branches_have_one_law():
    """W and -W have one law: lam and -lam agree for every variant, and alpha and -alpha for balanced networks."""
    networks = 65_536

    def run(alpha: float, lam: float, variant: str, seed: int) -> Simulation:
        return resmc.simulate(
            width=6, depth=9, alpha=alpha, lam=lam, variant=variant, networks=networks, seed=seed,
            keep_samples=networks, keep_trajectories=networks,
        )  # fmt: skip

    vanilla = run(0.7, 0.9, "vanilla", 7101), run(0.7, -0.9, "vanilla", 7102)
    balanced = run(0.7, 0.9, "balanced", 7103), run(-0.7, -0.9, "balanced", 7104)
    assert_all_within([*law_comparisons(*vanilla), *law_comparisons(*balanced)], at_least=80)
    # the control: in a vanilla network the sign of alpha matters
    worst = max(abs(z) for _, z in law_comparisons(vanilla[0], run(-0.7, 0.9, "vanilla", 7105)))
    assert worst > 2.0 * BOUND


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS, ids=label)
def test_projected_and_dense_agree_in_a_long_run(model: ResNet):
    networks = 8 * dense_networks(model.width, model.depth)
    keep = {"keep_samples": networks, "keep_trajectories": networks}
    projected = resmc.simulate(model, networks=networks, seed=7200 + MODELS.index(model), **keep)
    dense = resmc.simulate(model, method="dense", networks=networks, seed=7300 + MODELS.index(model), **keep)
    assert_all_within(law_comparisons(projected, dense), at_least=20 if model.width == 1 else 40)


def test_the_comparison_rejects_other_networks():
    """The negative control: 2% in lam, a variant, a width, all at the sample sizes used above."""
    model = ResNet(16, 32, 0.5, 0.2)
    for other in (ResNet(16, 32, 0.5, 0.204), ResNet(16, 32, 0.5, 0.2, "balanced"), ResNet(15, 32, 0.5, 0.2)):
        found = list(law_comparisons(*pair(model, seed=7400, dense_model=other)))
        assert max(abs(z) for _, z in found) > BOUND, other
