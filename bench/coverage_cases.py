"""Networks, and the estimates of one simulation, whose intervals `python -m bench.coverage` counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmc import DepthScaling, Estimate, ResidualNetwork, ResNet, Simulation, SmoothProcess, Weights, simulate
from resmc.engine.lowering import lower
from resmc.results.entries import End, Entries
from resmc.results.observables import SWEPT

HALF = 0.5**0.5
QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
FIRST_SEED = 1_000_000


@dataclass(frozen=True)
class Case:
    """A network that is simulated again and again.

    Attributes
    ----------
    name, words : str
    model : ResNet or ResidualNetwork
    options : mapping
        Options of `simulate`.
    laws : bool
        True if distances between laws are counted, too, which take longer than all else.
    most : int
        Networks of a simulation at most; weights that depend on each other in depth are drawn, which takes longer.
    """

    name: str
    words: str
    model: ResNet | ResidualNetwork
    options: dict[str, Any] = field(default_factory=dict)
    laws: bool = False
    most: int = 20_000


FOLLOWED = {"gradients": True}
CASES = (
    Case("wide", "vanilla, width 64, depth 16", ResNet(64, 16, HALF, HALF), laws=True),
    Case("wide balanced", "balanced, width 64, depth 16", ResNet(64, 16, HALF, HALF, "balanced"), laws=True),
    Case("wide connected", "fully connected, width 64, depth 8", ResNet(64, 8, 0.0, 2.0**0.5)),
    Case("wide v-phi-w", "v-phi-w with gradients, width 64, depth 8", ResidualNetwork(64, 8, "v-phi-w"), FOLLOWED),
    Case("width 16 connected", "fully connected, width 16, depth 8", ResNet(16, 8, 0.0, 2.0**0.5)),
    Case("width 4", "vanilla, width 4, depth 12", ResNet(4, 12, HALF, HALF), laws=True),
    Case("width 4 balanced", "balanced, width 4, depth 13", ResNet(4, 13, HALF, HALF, "balanced")),
    Case("width 1", "vanilla, width 1, depth 8", ResNet(1, 8, HALF, HALF)),
    Case("dying, width 6", "fully connected, width 6, depth 30: 38% die", ResNet(6, 30, 0.0, 2.0**0.5)),
    Case("dying, width 3", "fully connected, width 3, depth 10: 74% die", ResNet(3, 10, 0.0, 2.0**0.5)),
    Case("atoms, width 2", "phi-in relu, carry .9, width 2, depth 6", ResidualNetwork(2, 6, carry=0.9), FOLLOWED),
    Case(
        "rare, width 2",
        "phi-in relu, carry 0, c = 1, beta = 0, width 2, depth 5: 76% die",
        ResidualNetwork(2, 5, carry=0.0, scaling=DepthScaling(0.0, 1.0)),
        FOLLOWED,
    ),
    Case(
        "gelu, width 4",
        "phi-out gelu with biases, width 4, depth 10",
        ResidualNetwork(4, 10, "phi-out", "gelu", bias=0.3),
        FOLLOWED,
    ),
    Case(
        "tied, width 4",
        "phi-in relu with the same weights in every layer, width 4, depth 8",
        ResidualNetwork(4, 8, weights=Weights(depth="tied")),
        FOLLOWED,
        most=2_000,
    ),
    Case(
        "smooth, width 4",
        "v-phi-w relu with weights smooth in depth, beta = 1, width 4, depth 12",
        ResidualNetwork(4, 12, "v-phi-w", scaling=DepthScaling(1.0), weights=Weights(depth=SmoothProcess())),
        FOLLOWED,
        most=2_000,
    ),
)


def run(case: Case, networks: int, seed: int, threads: int | None = 1) -> Simulation:
    """Simulate a case: the first layers, the middle and the last are recorded."""
    depth = case.model.depth
    layers = sorted({0, 1, depth // 2, depth})
    return simulate(
        case.model, networks=networks, seed=seed, layers=layers, threads=threads, progress=False, **case.options
    )


def single(case: Case, sim: Simulation) -> Iterator[tuple[str, Estimate]]:
    """Yield by name the estimates that are made of one simulation at a time, each one number."""
    for name, law in sim.laws.items():
        values = law.quantile(QUANTILES)
        for k, p in enumerate(QUANTILES):
            yield f"{name}.quantile({p:g})", values[k]
    if sim.correlations and case.model.width:
        inter, covariance = sim.interlayer_correlations(), sim.asymmetry_covariance
        yield "correlation, layers 0 and 1", inter.matrix[0, 1]
        yield "correlation, layers 0 and d", inter.matrix[0, -1]
        yield "correlation, lag 1", inter.by_lag[1]
        yield "covariance, layers 0 and 1", covariance[0, 1]
    if case.laws:
        fit = sim.log_gaussian_fit()
        yield "ks.fitted", fit.ks_fitted
        if fit.ks_theory is not None and fit.ks_gaussian_limit is not None and fit.output is not None:
            yield "ks.log_gaussian_limit", fit.ks_theory
            yield "ks.infinite_width", fit.ks_gaussian_limit
            yield "ks.output_log_gaussian", fit.output.ks_log_gaussian
            yield "ks.output_infinite_width", fit.output.ks_gaussian
        if fit.output_norm is not None:
            yield "ks.output_norm_log_gaussian", fit.output_norm.ks_log_gaussian


def swept(case: Case, ends: list[End]) -> Iterator[tuple[str, Estimate, float]]:
    """Yield by name the estimates of many simulations at once (S,), and the exact value, NaN where none is known."""
    lowered = lower(case.model)
    entries = Entries.of_ends(ends, [lowered] * len(ends))
    followed = frozenset({*ends[0].quotients, *ends[0].medians})
    for name, one in SWEPT.items():
        if one.exists(lowered, followed):
            yield name, one.estimate_of(entries), one.exact_value(lowered.facts)


def joined(estimates: list[Estimate]) -> Estimate:
    """Return estimates of one number each as one of many."""
    parts = (np.array([float(getattr(e, part)) for e in estimates]) for part in ("value", "stderr", "df"))
    value, stderr, df = parts
    return Estimate(value, stderr, np.array([int(e.n) for e in estimates], np.int64), df)


def everything(case: Case, sims: Iterator[Simulation]) -> dict[str, tuple[Estimate, float]]:
    """Return every estimate of a case over many simulations, with the exact value or NaN."""
    ends: list[End] = []
    alone: dict[str, list[Estimate]] = {}
    for sim in sims:
        ends.append(sim.final().end())
        for name, estimate in single(case, sim):
            alone.setdefault(name, []).append(estimate)
    found = {name: (estimate, exact) for name, estimate, exact in swept(case, ends)}
    return found | {name: (joined(several), float("nan")) for name, several in alone.items()}


def covered(estimate: Estimate, truth: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which entries have an error, which intervals of 95% hold the truth, and which miss it by 4 errors.

    An interval never holds an infinite truth. If any entry has one, all count, and those without do not miss: where
    one network in sixteen does not move, the 5% quantile of displacements has an interval in one run of 400 alone.
    """
    low, high = estimate.interval(0.95)
    there = np.isfinite(estimate.stderr)
    if np.isinf(truth) and there.any():
        return np.ones_like(there), ~there, np.zeros_like(there)
    with np.errstate(invalid="ignore"):
        return there, (low <= truth) & (truth <= high), np.abs(estimate.value - truth) > 4.0 * estimate.stderr
