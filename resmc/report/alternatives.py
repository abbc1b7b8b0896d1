"""Descriptions of the figures, with their numbers, for readers who do not see them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..plot.laws import quantile
from .found import Analyses
from .numbers import counted, factor, plain, pm
from .words_growth import last_reliable

TITLES = {
    "log_norm": "The law of the final log-norm",
    "qq": "Quantiles of the log-norm against those of the limit",
    "output": "The law of log|z_out|²",
    "trajectories": "Paths of single networks",
    "hypoactivation": "Active neurons by layer",
    "interlayer": "Correlations of all pairs of layers",
    "interlayer_by_lag": "Correlation by distance of layers",
    "growth": "Growth of the mean square",
}


def _log_norm(found: Analyses) -> str:
    fit, d = found.fit, found.sim.resnet.depth
    low, high = quantile(found.sim, [0.025, 0.975])
    return (
        f"Histogram of the log-norm at layer {d} of {counted(int(found.sim.alive[-1]), 'network')}. It is centred "
        f"at {plain(float(fit.mean.value))} with a standard deviation of "
        f"{plain(math.sqrt(max(float(fit.variance.value), 0.0)))}; 95% of it lies between {plain(low)} and "
        f"{plain(high)}. The log-Gaussian limit has mean {plain(float(fit.theory.mean[0]))} and standard "
        f"deviation {plain(math.sqrt(float(fit.theory.variance[0])))}; the infinite-width law is at a distance of "
        f"{plain(float(fit.ks_gaussian_limit.value), 2)}."
    )


def _qq(found: Analyses) -> str:
    fit = found.fit
    return (
        f"Quantiles of the log-norm over those of the log-Gaussian limit, of mean "
        f"{plain(float(fit.theory.mean[0]))} and variance {plain(float(fit.theory.variance[0]))}: points on the "
        f"dashed line would be of that law. The skewness is {pm(fit.skewness)}, the excess kurtosis "
        f"{pm(fit.excess_kurtosis)}; the 1%, 50% and 99% quantiles are "
        f"{', '.join(map(plain, quantile(found.sim, [0.01, 0.5, 0.99])))}."
    )


def _output(found: Analyses) -> str:
    law = found.fit.output_norm
    outputs = counted(found.sim.resnet.n_out, "output")
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
    active = hypo.active_fraction
    return (
        f"Mean fraction of active neurons over the layers 0 to {hypo.layers[-1]}: "
        f"{plain(float(active.value[0]), 5)} at the first and {pm(active[-1])} at the last; theory says "
        f"{plain(float(hypo.theory.active_fraction[-1]), 5)} there."
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
        f"{plain(float(inter.theory_by_lag[k]), 3)})"
        for k in shown
    )
    return f"Correlation of the asymmetries over the distance between layers: {values}."


def _growth(found: Analyses) -> str:
    curve = found.growth
    text = (
        f"log E|z_l|²/|z_0|² over l/n up to {plain(float(curve.ratio[-1]))}: it ends at "
        f"{pm(curve.log_second_moment[-1])}, where theory says {plain(float(curve.theory[-1]))}, "
        f"a factor of {factor(float(curve.theory[-1]))}."
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
