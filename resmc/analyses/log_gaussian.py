r"""Is the final log-norm Gaussian, with which parameters, and what is then the law of an output neuron?

Li, Nica, Roy 2021 (arXiv 2106.04013): as depth and width grow at a fixed ratio, L_d = log(\|z_d\|^2/n) tends to a
Gaussian and an output neuron to exp(L_d/2) Z, Z ~ N(0, 1). The infinite-width limit instead predicts L_d of the law
log(chi^2_n/n) and a Gaussian output. Both claims become Kolmogorov-Smirnov distances here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from .. import theory
from ..estimates import Estimate, Floats, KSDistance, ks_distance, leave_one_out
from ..theory import FullyConnected, LogNormLimit, SkipOnly
from ._result import Result

if TYPE_CHECKING:
    from ..model import ResNet
    from ..simulation import Simulation


STEEPEST = 0.25  # the largest slope of Phi(e^u) in u is .242, at e^u = 1


@dataclass(frozen=True, eq=False, repr=False)
class OutputLaw(Result):
    """The law of one output neuron, exp(L_d/2) Z, mixed from the histogram of L_d without sampling.

    Attributes
    ----------
    ks_gaussian : KSDistance
        To the infinite-width limit, a centred Gaussian of variance input_norm^2 (alpha^2 + lam^2)^depth.
    ks_log_gaussian : KSDistance
        To the log-Gaussian mixture: exp(G/2) Z, G of the limit law of L_d.
    """

    ks_gaussian: KSDistance
    ks_log_gaussian: KSDistance


@dataclass(frozen=True, eq=False, repr=False)
class LogGaussianFit(Result):
    """Moments of the final log-norm L_d over the living networks, and distances between its law and others.

    Attributes
    ----------
    mean, variance, skewness, excess_kurtosis : Estimate
        Scalars.
    theory : LogNormLimit
        Mean and variance of the limit law, leading order in 1/n (a Gaussian: skewness and excess kurtosis 0).
    exact : theory.FullyConnected, theory.SkipOnly or None
        The exact mean, variance, skewness and excess kurtosis, where they are known (alpha = 0 or lam = 0).
    ks_fitted : KSDistance
        L_d against the Gaussian with its own mean and variance.
    ks_theory : KSDistance
        L_d against the limit law.
    ks_gaussian_limit : KSDistance
        L_d against log(chi^2_n/n), what the infinite-width limit predicts.
    output : OutputLaw
    """

    mean: Estimate
    variance: Estimate
    skewness: Estimate
    excess_kurtosis: Estimate
    theory: LogNormLimit
    exact: FullyConnected | SkipOnly | None
    ks_fitted: KSDistance
    ks_theory: KSDistance
    ks_gaussian_limit: KSDistance
    output: OutputLaw


def exact_log_norm(model: ResNet) -> FullyConnected | SkipOnly | None:
    """Exact moments of the final log-norm, where the theory has them."""
    if model.alpha == 0.0:
        return theory.fully_connected(model, [model.depth])
    if model.lam == 0.0:
        return theory.skip_only(model, [model.depth])
    return None


def fit(sim: Simulation) -> LogGaussianFit:
    """Analyse the final log-norm of ``sim``."""
    last = np.array([sim.model.depth])
    limit = theory.log_norm(sim.model, last)
    edges = sim.histogram.edges
    n_alive = int(sim.alive[-1])

    counts = leave_one_out(sim.statistics.histogram)
    alive = counts.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # nobody alive: no value
        cdf = np.cumsum(counts, axis=1)[:, :-1] / alive  # at every edge: the underflow is below the first
        resolution = float(counts[0].max() / alive[0, 0])
    moments = sim.statistics.pooled_log_norm[:, :, -1]
    sizes = sim.statistics.networks

    def distance(others: Floats) -> KSDistance:
        return ks_distance(cdf - others, sizes, n_alive, resolution)

    scale = sim.model.log_norm_offset(sim.model.depth)  # beyond the normalised network
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = moments[:, 1:2] + sim.offsets[-1]
        deviation = np.sqrt(moments[:, 2:3] / (moments[:, 0:1] - 1.0))
        fitted = ndtr((edges - mean) / deviation)
    theoretical = ndtr((edges - limit.mean[0]) / np.sqrt(limit.variance[0]))
    chi_square = theory.chi_square_log_norm_cdf(sim.model.width, edges - scale)
    return LogGaussianFit(
        mean=sim.log_norm_mean[-1],
        variance=sim.log_norm_variance[-1],
        skewness=sim.log_norm_skewness[-1],
        excess_kurtosis=sim.log_norm_excess_kurtosis[-1],
        theory=limit,
        exact=exact_log_norm(sim.model),
        ks_fitted=distance(fitted),
        ks_theory=distance(theoretical),
        ks_gaussian_limit=distance(chi_square),
        output=_output_law(sim, limit),
    )


def _output_law(sim: Simulation, limit: LogNormLimit) -> OutputLaw:
    """P(z_out <= t) = sum over bins of P(bin) Phi(t exp(-L/2)); t > 0 suffices, the law is symmetric.

    Everything is in units of the infinite-width output, so L is that of the normalised network. Dead networks and the
    underflow have output 0, the overflow infinite output.
    """
    counts = leave_one_out(sim.statistics.histogram)
    total = np.maximum(leave_one_out(sim.statistics.networks), 1)[:, None]
    used = np.flatnonzero(counts[0, 1:-1])
    scale = sim.model.log_norm_offset(sim.model.depth)
    centres = (sim.histogram.edges[:-1] + 0.5 * sim.bins.width)[used] - scale
    at_zero = total[:, 0] - counts[:, 1:].sum(axis=1)  # dead, and the underflow
    at_infinity = counts[:, -1]
    mean, variance = float(limit.mean[0] - scale), float(limit.variance[0])

    spread = 6.0 * np.sqrt(variance)
    low = min(centres.min() if used.size else 0.0, mean - spread, -spread)
    high = max(centres.max() if used.size else 0.0, mean + spread, 0.0)
    # On a grid of log t, ten points to an e-fold: the law of exp(L/2) Z has no detail finer than Z's.
    start, stop = 0.5 * low - 6.0, 0.5 * high + 2.0
    log_t = np.linspace(start, stop, int(np.clip(10.0 * (stop - start), 1024, 8192)))
    with np.errstate(over="ignore", under="ignore"):  # exp of much is infinite, Phi of that 1: the right limit
        kernel = ndtr(np.exp(log_t[:, None] - 0.5 * centres))
        gaussian = ndtr(np.exp(log_t))
        mixture = theory.output_cdf(np.exp(log_t - 0.5 * mean), 0.0, variance)
    cdf = (counts[:, 1:-1][:, used] @ kernel.T + at_zero[:, None] + 0.5 * at_infinity[:, None]) / total

    def distance(other: Floats) -> KSDistance:
        # between grid points neither law moves by more than the steepest part of Phi over one step
        step = float(log_t[1] - log_t[0])
        return ks_distance(cdf - other, sim.statistics.networks, sim.networks, STEEPEST * step)

    return OutputLaw(distance(gaussian), distance(mixture))
