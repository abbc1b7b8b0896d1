"""Is the final log-norm Gaussian, with which parameters, and what is then the law of the output?

Li, Nica, Roy 2021 (arXiv 2106.04013): as depth and width grow with d/n fixed, L_d = log(|z_d|^2/n) tends to a
Gaussian and an output neuron to exp(L_d/2) Z, Z ~ N(0, 1). The infinite-width limit instead predicts L_d of the law
log(chi^2_n/n) and a Gaussian output. Both claims become Kolmogorov-Smirnov distances here; those of the output are in
`output_laws`. Of networks that are no `ResNet` neither limit is known: their log-norm is compared with the Gaussian of
its own mean and variance alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from .. import theory
from ..engine.moments import leave_one_out
from ..results.estimates import Estimate, Floats, KSDistance, ks_distance, ks_resolution
from ..results.record import Record
from ..theory import FullyConnected, LogMoments, LogNormLimit, SkipOnly
from ._result import Result
from .output_laws import OutputLaw, OutputNormLaw, one_output, output_norm


@dataclass(frozen=True, eq=False, repr=False)
class LogGaussianFit(Result):
    """Moments of the final log-norm L_d over the living networks, and distances between its law and others.

    Attributes
    ----------
    mean, variance, skewness, excess_kurtosis : Estimate
        Sample moments, scalars.
    theory : LogNormLimit or None
        Mean and variance of the limit law, leading order in 1/n (a Gaussian: skewness and excess kurtosis 0). None
        where no limit is known, as are the distances to it and to infinite width, and the laws of the output.
    next_order : LogNormLimit or None
        That mean and variance with the next order in 1/n (`resmc.theory.next_order`); None where it is not known. At
        that order the law is no longer a Gaussian, and so there is no distance to it.
    exact : theory.FullyConnected, theory.SkipOnly, theory.LogMoments or None
        The exact mean, variance, skewness and excess kurtosis, where they are known (`resmc.theory.facts`).
    ks_fitted : KSDistance
        L_d against the Gaussian with its own mean and variance. No value where a law is narrower than a few bins of the
        histogram (1/32 for a network that is no `ResNet`): they cannot tell then.
    ks_theory : KSDistance or None
        L_d against the limit law.
    ks_exact : KSDistance or None
        L_d against its exact law, where that is known (`resmc.theory.exact_law`); its ``p_value`` is Kolmogorov's.
    ks_gaussian_limit : KSDistance or None
        L_d against log(chi^2_n/n), the prediction of infinite width.
    output : OutputLaw or None
        The law of one output neuron.
    output_norm : OutputNormLaw or None
        The law of log(|z_out|^2), all n_out outputs of the model together.
    """

    mean: Estimate
    variance: Estimate
    skewness: Estimate
    excess_kurtosis: Estimate
    theory: LogNormLimit | None
    next_order: LogNormLimit | None
    exact: FullyConnected | SkipOnly | LogMoments | None
    ks_fitted: KSDistance
    ks_theory: KSDistance | None
    ks_exact: KSDistance | None
    ks_gaussian_limit: KSDistance | None
    output: OutputLaw | None
    output_norm: OutputNormLaw | None


def fit(sim: Record) -> LogGaussianFit:
    """Return the analysis of the final log-norm of ``sim``."""
    last = np.array([sim.model.depth])
    limit = sim.facts.log_norm_limit(last)
    edges = sim.histogram.edges
    n_alive = int(sim.alive[-1])

    counts = leave_one_out(sim.statistics.histogram)
    alive = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # no value where no network is alive
        cdf = np.cumsum(counts, axis=1)[:, :-1] / alive  # at every edge, the underflow being below the first
    moments = sim.statistics.norms.pooled_log_norm[:, :, -1]
    sizes = sim.statistics.networks

    def distance(others: Floats) -> KSDistance:
        apart = cdf - others
        return ks_distance(apart, sizes, n_alive, ks_resolution(apart[0], others if others.ndim == 1 else others[0]))

    with np.errstate(divide="ignore", invalid="ignore"):
        mean = moments[:, 1:2] + sim.offsets[-1]
        deviation = np.sqrt(moments[:, 2:3] / (moments[:, 0:1] - 1.0))
        fitted = ndtr((edges - mean) / deviation)
    theoretical = chi_square = None
    if limit is not None:
        scale = sim.resnet.log_norm_offset(sim.resnet.depth)  # the model's log-norm less that of the normalised network
        theoretical = ndtr((edges - limit.mean[0]) / np.sqrt(limit.variance[0]))
        chi_square = theory.chi_square_log_norm_cdf(sim.resnet.width, edges - scale)
    law = sim.facts.exact_law("log_norm")
    return LogGaussianFit(
        mean=sim.log_norm_mean[-1],
        variance=sim.log_norm_variance[-1],
        skewness=sim.log_norm_skewness[-1],
        excess_kurtosis=sim.log_norm_excess_kurtosis[-1],
        theory=limit,
        next_order=sim.facts.log_norm_limit(last, 2),
        exact=sim.facts.log_norm(last),
        ks_fitted=distance(fitted),
        ks_theory=None if theoretical is None else distance(theoretical),
        ks_exact=None if law is None else distance(law.cdf(edges)),
        ks_gaussian_limit=None if chi_square is None else distance(chi_square),
        output=None if limit is None else one_output(sim, limit),
        output_norm=None if limit is None else output_norm(sim, limit),
    )
