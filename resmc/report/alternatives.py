"""Titles and descriptions of the figures, with their numbers, for readers who do not see them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..analyses import InterlayerCorrelations, LogGaussianFit
from ..plot.laws import quantile
from ..results.estimates import Estimate
from ..results.observable import NEXT
from ..results.observables import OBSERVABLES
from .found import Analyses
from .numbers import counted, factor, plain, plain_ratio, pm, typeset
from .words_growth import last_reliable
from .words_quotient import QUANTILES, root_of, slug

TITLES = {
    "log_norm": "The law of the final log-norm",
    "qq": "Quantiles of the log-norm against those of {law}",
    "output": "The law of log|{z}_out|²",
    "trajectories": "Paths of single networks",
    "hypoactivation": "Active neurons by layer",
    "interlayer": "Correlations of all pairs of layers",
    "interlayer_by_lag": "Correlation by distance of layers",
    "growth": "Growth of the mean square",
}


def title(found: Analyses, key: str) -> str:
    """Return the title of a figure."""
    if key in TITLES:
        law = "a Gaussian" if found.fit.theory is None else "the limit"
        return TITLES[key].format(z=found.letter, law=law)
    name, kind = names(found)[key]
    if kind == "law":
        return f"The law of {root_of(found, name)}"
    words = typeset(OBSERVABLES[name].called("l", found.letter))
    return f"{words[0].upper()}{words[1:]} by layer"


def description(found: Analyses, key: str) -> str:
    """Return the description of a figure."""
    if key in DESCRIPTIONS:
        return DESCRIPTIONS[key](found)
    name, kind = names(found)[key]
    return _quotient_law(found, name) if kind == "law" else _by_layer(found, name)


def names(found: Analyses) -> dict[str, tuple[str, str]]:
    """Return, by the key of its figure, each quotient with "law" and each quantity with "layers"."""
    out = {f"{slug(name)}-law": (name, "law") for name in found.quotients}
    out |= {f"{slug(name)}-by-layer": (f"{name}.mean", "layers") for name in found.quotients}
    return out | {slug(name): (name, "layers") for name in ("dead_fraction", "inactive_fraction")}


def _quotient_law(found: Analyses, name: str) -> str:
    law = found.quotients[name].law
    assert law is not None
    values = law.quantile(QUANTILES).value.tolist()
    low, quarter, middle, three, high = (plain_ratio(x) for x in values)
    return (
        f"Histogram of {root_of(found, name)} over {counted(law.networks, 'network')}: the median is {middle}, half of "
        f"them {_range(quarter, three)}, and nine in ten {_range(low, high)}."
    )


def _range(low: str, high: str) -> str:
    return f"lie between {low} and {high}" if low != high else f"are {low} to three digits"


def _by_layer(found: Analyses, name: str) -> str:
    sim, one = found.sim, OBSERVABLES[name]
    estimate = one.estimate_of(sim.entries)
    exact = one.exact(sim.facts, sim.layers)
    there = np.flatnonzero(np.isfinite(estimate.value))
    words = typeset(one.described("l", found.letter))
    if not there.size:
        return f"The {words}, at {counted(len(sim.layers), 'layer')}: it has no value at any."
    first, last = (int(i) for i in there[[0, -1]])
    known = f" Exact values are known at {counted(int(np.isfinite(exact).sum()), 'layer')}."
    return (
        f"The {words}, over {counted(there.size, 'layer')}: {_at(estimate, first)} at layer {sim.layers[first]} and "
        f"{_at(estimate, last)} at layer {sim.layers[last]}.{known if np.isfinite(exact).any() else ''}"
    )


def _at(estimate: Estimate, i: int) -> str:
    return pm(estimate[i])


def _log_norm(found: Analyses) -> str:
    fit, d = found.fit, found.sim.model.depth
    low, high = quantile(found.sim, [0.025, 0.975])
    text = (
        f"Histogram of the log-norm at layer {d} of {counted(int(found.sim.alive[-1]), 'network')}. It is centred "
        f"at {plain(float(fit.mean.value))} with a standard deviation of "
        f"{plain(math.sqrt(max(float(fit.variance.value), 0.0)))}; 95% of it lies between {plain(low)} and "
        f"{plain(high)}."
    )
    if fit.theory is None or fit.ks_gaussian_limit is None:
        return text
    return (
        f"{text} The log-Gaussian limit has mean {plain(float(fit.theory.mean[0]))} and standard "
        f"deviation {plain(math.sqrt(float(fit.theory.variance[0])))}{_next(fit)}; the infinite-width law is at a "
        f"distance of {plain(float(fit.ks_gaussian_limit.value), 2)}."
    )


def _next(fit: LogGaussianFit) -> str:
    """Return mean and standard deviation with the next order in 1/n, where they are known."""
    if fit.next_order is None:
        return ""
    mean, deviation = float(fit.next_order.mean[0]), math.sqrt(float(fit.next_order.variance[0]))
    return f", with the {NEXT} in 1/n {plain(mean)} and {plain(deviation)}"


def _qq(found: Analyses) -> str:
    fit = found.fit
    of = "the Gaussian of the same mean and variance"
    if fit.theory is not None:
        of = (
            f"the log-Gaussian limit, of mean {plain(float(fit.theory.mean[0]))} and variance "
            f"{plain(float(fit.theory.variance[0]))}"
        )
    return (
        f"Quantiles of the log-norm over those of {of}: points on the "
        f"dashed line would be of that law. The skewness is {pm(fit.skewness)}, the excess kurtosis "
        f"{pm(fit.excess_kurtosis)}; the 1%, 50% and 99% quantiles are "
        f"{', '.join(map(plain, quantile(found.sim, [0.01, 0.5, 0.99])))}."
    )


def _output(found: Analyses) -> str:
    law = found.fit.output_norm
    outputs = counted(found.sim.model.n_out, "output")
    if law is None:
        return f"Density of the logarithm of the squared output, {outputs}, mixed from the law of the log-norm."
    return (
        f"Density of the logarithm of the squared output, {outputs}, beside those of the log-Gaussian limit and of "
        f"infinite width: at a distance of {plain(float(law.ks_log_gaussian.value), 2)} from the first of these "
        f"and of {plain(float(law.ks_gaussian.value), 2)} from the second."
    )


def _trajectories(found: Analyses) -> str:
    paths = found.sim.trajectories.to_numpy().log_norm
    last = paths[:, -1][np.isfinite(paths[:, -1])]
    if not last.size:
        return f"Paths of the log-norm of {counted(len(paths), 'network')} over the layers; all of them die."
    return (
        f"Paths of the log-norm of {counted(len(paths), 'network')} over the layers, which spread with depth: at "
        f"the last layer {counted(last.size, 'living one lies', 'living ones lie')} between "
        f"{plain(float(last.min()))} and {plain(float(last.max()))}."
    )


def _hypoactivation(found: Analyses) -> str:
    hypo = found.hypo
    assert hypo is not None
    active = hypo.active_fraction
    theory = hypo.exact_active_fraction if hypo.theory is None else hypo.theory.active_fraction
    known, more = float(theory[-1]), ""
    if hypo.next_order is not None and math.isnan(float(hypo.exact_active_fraction[-1])):
        more = f" at leading order in 1/n and {plain(float(hypo.next_order.active_fraction[-1]), 5)} with the {NEXT}"
    says = f"; theory says {plain(known, 5)}{more} there" if math.isfinite(known) else ""
    return (
        f"Mean fraction of active neurons over the layers 0 to {hypo.layers[-1]}: "
        f"{plain(float(active.value[0]), 5)} at the first and {pm(active[-1])} at the last{says}."
    )


def _interlayer(found: Analyses) -> str:
    inter = found.inter
    assert inter is not None
    corner = inter.matrix.value[0, -1]
    return (
        f"Heat map of the correlation of the asymmetries of {counted(len(inter.layers), 'layer')} with each other: "
        f"1 on the diagonal, {plain(float(inter.by_lag.value[1]), 3)} at distance {inter.lags[1]}, "
        f"{plain(float(corner), 3)} between the first and the last layer."
    )


def _by_lag(found: Analyses) -> str:
    inter = found.inter
    assert inter is not None
    shown = [k for k in (1, 2, 5, 10) if k < len(inter.lags)]
    values = ", ".join(
        f"{plain(float(inter.by_lag.value[k]), 3)} at {inter.lags[k]} (theory "
        f"{plain(float(inter.theory_by_lag[k]), 3)}{_next_at(inter, k)})"
        for k in shown
    )
    return f"Correlation of the asymmetries over the distance between layers: {values}."


def _next_at(inter: InterlayerCorrelations, k: int) -> str:
    """Return the correlation at the k-th lag with the next order in 1/n, where nothing exact is known."""
    if inter.exact is not None or inter.next_order_by_lag is None:
        return ""
    return f", {plain(float(inter.next_order_by_lag[k]), 3)} with the {NEXT}"


def _growth(found: Analyses) -> str:
    curve = found.growth
    formula = typeset(OBSERVABLES["growth"].called("l", found.letter))
    exact, more = float(curve.exact[-1]), ""
    known = exact if math.isfinite(exact) else float(curve.theory[-1])
    if curve.next_order is not None and math.isnan(exact):
        more = f", and {plain(float(curve.next_order[-1]))} with the {NEXT} in 1/n"
    says = f", where theory says {plain(known)}, a factor of {factor(known)}{more}" if math.isfinite(known) else ""
    text = (
        f"{formula} over l/n up to {plain(float(curve.ratio[-1]))}: it ends at {pm(curve.log_second_moment[-1])}{says}."
    )
    if curve.reliable.all():
        return f"{text} All layers are reliable."
    k = last_reliable(curve)
    until = f"up to layer {curve.layers[k]}" if k > 0 else "at no recorded layer"
    return f"{text} The estimate is reliable {until}."


DESCRIPTIONS: dict[str, Callable[[Analyses], str]] = {
    "log_norm": _log_norm,
    "qq": _qq,
    "output": _output,
    "trajectories": _trajectories,
    "hypoactivation": _hypoactivation,
    "interlayer": _interlayer,
    "interlayer_by_lag": _by_lag,
    "growth": _growth,
}
