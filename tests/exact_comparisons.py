"""Comparisons of a simulation with all that is known exactly of its network, as z-scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

import resmc
from resmc import Estimate, ResNet, Simulation, theory

BOUND = 4.0


def z_of_probability(p: float) -> float:
    """The |z| of a Gaussian with two-sided probability ``p``."""
    return float(-special.ndtri(0.5 * min(max(p, 1e-300), 1.0)))


def z_of_student(t: float, df: float) -> float:
    """Student's ``t`` as the z of a Gaussian with the same probability, with its sign."""
    if not math.isfinite(t) or math.isinf(df):
        return t
    return math.copysign(z_of_probability(2.0 * float(special.stdtr(df, -abs(t)))), t)


def z_against_exact(estimate: Estimate, exact: float) -> float:
    """z of a scalar estimate; without any spread 0 if it is right and infinite if it is not; NaN stays NaN."""
    value, stderr = float(estimate.value), float(estimate.stderr)
    if stderr == 0.0:
        return 0.0 if math.isclose(value, exact, rel_tol=1e-9, abs_tol=1e-9) else math.inf
    return z_of_student((value - exact) / stderr, estimate.df)


def z_of_mean(samples: ArrayLike, exact: float) -> float:
    """z of the mean of independent samples."""
    x = np.asarray(samples, np.float64)
    return float((x.mean() - exact) / (x.std(ddof=1) / math.sqrt(len(x))))


def z_of_count(count: int, of: int, p: float) -> float:
    """z of a binomial count, from its exact tail probabilities."""
    tail = min(stats.binom.cdf(count, of, p), stats.binom.sf(count - 1, of, p))
    return math.copysign(z_of_probability(2.0 * float(tail)), count - of * p)


def assert_all_within(comparisons: Iterable[tuple[str, float]], at_least: int, bound: float = BOUND) -> None:
    """Every |z| is below ``bound``, none is NaN, and there are ``at_least`` so many (a test must not shrink unseen)."""
    found = list(comparisons)
    worst = max(found, key=lambda c: math.inf if math.isnan(c[1]) else abs(c[1]))
    print(f"COMPARISONS {len(found)} LARGEST {worst[1]:+.2f} {worst[0]}")
    bad = [f"{name}: z = {z:+.2f}" for name, z in found if not abs(z) < bound]
    assert not bad, f"{len(bad)} of {len(found)} comparisons: {'; '.join(bad)}"
    assert len(found) >= at_least


def few_layers(sim: Simulation) -> list[int]:
    """Positions of layer 0, 1, the middle and the last: neighbouring layers say nearly the same."""
    last = len(sim.layers) - 1
    return sorted({0, 1, last // 2, last})


def first_layer_comparisons(sim: Simulation, claimed: ResNet | None = None) -> Iterator[tuple[str, float]]:
    """The four cumulants of L_0, and mean and variance of A_0 and F_0."""
    model = claimed or sim.model
    exact = theory.first_layer(model)
    for name in ("mean", "variance", "skewness", "excess_kurtosis"):
        estimate = getattr(sim, f"log_norm_{name}")[0]
        if np.isfinite(estimate.stderr):  # narrow networks have a kurtosis without an error
            yield f"L_0 {name}", z_against_exact(estimate, getattr(exact, name))
    yield "A_0 mean", z_against_exact(sim.asymmetry_mean[0], 0.0)
    yield "F_0 mean", z_against_exact(sim.active_fraction[0], 0.5)
    if model.width > 1:  # one neuron has A = +-1, whose variance estimate has no Gaussian error
        yield "A_0 variance", z_against_exact(sim.asymmetry_variance[0], 3.0 / (model.width + 2.0))


def log_fourth_moment(sim: Simulation) -> tuple[Estimate, NDArray[np.bool_]]:
    """log E|z_l|^4/|z_0|^4 by layer from the sums behind `variance_growth`, and where it is reliable.

    Reliable by the rule of the second moment, applied to |z|^4: twice the deviation of the log-norm.
    """
    sums, unit = sim.statistics.norms.pooled_growth()
    total = np.concatenate([[sim.networks], sim.networks - sim.statistics.networks])[:, None]
    with np.errstate(divide="ignore"):
        logs = np.log(sums[:, 1] / total) + 2.0 * (unit * math.log(2.0) + sim.offsets - sim.offsets[0])
    moments = sim.statistics.norms.whole_moments("growth_log")
    deviation = np.sqrt(moments[2] / np.maximum(moments[0] - 1.0, 1.0))
    reliable = 2.0 * deviation <= math.sqrt(2.0 * math.log(sim.networks)) - 2.0
    estimate = resmc.results.estimates.jackknife(logs, sim.statistics.networks, sim.networks)
    return replace(estimate, stderr=np.where(reliable, estimate.stderr, np.nan)), reliable


def exact_comparisons(sim: Simulation, claimed: ResNet | None = None) -> Iterator[tuple[str, float]]:
    """All that is known exactly about ``sim`` (or about the model it is claimed to be), at a few layers."""
    model = claimed or sim.model
    n = model.width
    symmetric = model.variant != "vanilla" or model.alpha == 0.0
    yield from first_layer_comparisons(sim, model)

    law: Any = None
    if model.alpha == 0.0:
        law = theory.fully_connected(model, sim.layers)
    elif model.lam == 0.0:
        law = theory.skip_only(model, sim.layers)
    curve = sim.variance_growth()
    fourth, fourth_reliable = log_fourth_moment(sim)
    log_norm = {name: getattr(sim, f"log_norm_{name}") for name in ("mean", "variance", "skewness", "excess_kurtosis")}
    asymmetry, asymmetry_variance, active = sim.asymmetry_mean, sim.asymmetry_variance, sim.active_fraction
    exact_fourth = None
    if model.alpha == 0.0:
        exact_fourth = law.log_fourth_moment
    elif model.variant == "balanced":
        exact_fourth = theory.balanced_moments(model, sim.layers).log_fourth_moment

    for i in few_layers(sim)[1:]:
        layer = int(sim.layers[i])
        if law is not None:
            for name, moment in log_norm.items():
                if np.isfinite(moment.stderr[i]):
                    yield f"L_{layer} {name}", z_against_exact(moment[i], getattr(law, name)[i])
        if symmetric:
            yield f"A_{layer} mean", z_against_exact(asymmetry[i], 0.0)
            yield f"F_{layer} mean", z_against_exact(active[i], 0.5)
        if law is not None and n > 1:
            yield f"A_{layer} variance", z_against_exact(asymmetry_variance[i], 3.0 / (n + 2.0))
        if (symmetric or model.lam == 0.0 or layer == 1) and curve.reliable[i]:
            yield f"E|z_{layer}|^2", z_against_exact(curve.log_second_moment[i], layer * model.log_scale)
        if exact_fourth is not None and fourth_reliable[i]:
            yield f"E|z_{layer}|^4", z_against_exact(fourth[i], float(exact_fourth[i]))
        if model.alpha == 0.0:
            alive = (1.0 - 0.5**n) ** layer
            yield f"dead at {layer}", z_of_count(int(sim.dead[i]), sim.networks, 1.0 - alive)
            yield f"inactive at {layer}", z_of_count(int(sim.inactive[i]), sim.networks, alive * 0.5**n)
    if symmetric and (n > 1 or model.alpha != 0.0):  # alpha = 0, one neuron: alive later means A = 1 before
        inter = sim.interlayer_correlations()
        for k in sorted({1, len(inter.lags) // 2, len(inter.lags) - 1}):
            yield f"correlation at lag {inter.lags[k]}", z_against_exact(inter.by_lag[k], 0.0)
