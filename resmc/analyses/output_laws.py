"""The law of the output, mixed exactly from the histogram of the final log-norm: nothing is sampled.

Given L_d = log(|z_d|^2/n), one output neuron is exp(L_d/2) Z with Z ~ N(0, 1), and n_out of them together have
|z_out|^2 = exp(L_d) chi^2_{n_out}. Both limits of Li, Nica, Roy 2021 (arXiv 2106.04013) say what L_d is:
Gaussian, or 0 at infinite width. How far the mixed law is from theirs is a Kolmogorov-Smirnov distance here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.special import ndtr

from .. import theory
from .._system import checks
from ..engine.moments import leave_one_out
from ..results.estimates import Estimate, Floats, KSDistance, ks_distance, mean_estimate
from ..results.record import Record
from ..theory import LogNormLimit
from ._result import Result

STEEPEST = 0.25  # the largest slope of Phi(e^u) in u is .242, at e^u = 1
MOST_POINTS = 1 << 14  # points of the grid on which the law of an output's norm is evaluated
MOST_BINS_DRAWN = 1024


@dataclass(frozen=True, eq=False, repr=False)
class OutputLaw(Result):
    """The law of one output neuron, exp(L_d/2) Z, mixed from the histogram of L_d without sampling.

    Attributes
    ----------
    ks_gaussian : KSDistance
        Distance to the infinite-width limit, a centred Gaussian of variance input_norm^2 (alpha^2 + lam^2)^depth.
    ks_log_gaussian : KSDistance
        Distance to the log-Gaussian mixture: exp(G/2) Z, G of the limit law of L_d.
    """

    ks_gaussian: KSDistance
    ks_log_gaussian: KSDistance


@dataclass(frozen=True, eq=False, repr=False)
class OutputNormLaw(Result):
    """The law of log(|z_out|^2) with n_out outputs, mixed from the histogram of L_d without sampling.

    With one output a distance is twice that of `OutputLaw`: P(|z_out|^2 <= t^2) = 2 P(z_out <= t) - 1.

    Attributes
    ----------
    n_out : int
    ks_gaussian : KSDistance
        Distance to the infinite-width limit, log chi^2_{n_out} + 2 log input_norm + depth log(alpha^2 + lam^2).
    ks_log_gaussian : KSDistance
        Distance to the log-Gaussian mixture: G + log chi^2_{n_out}, G of the limit law of L_d.
    """

    n_out: int
    ks_gaussian: KSDistance
    ks_log_gaussian: KSDistance


def one_output(sim: Record, limit: LogNormLimit) -> OutputLaw:
    """Compare the law of one output with both limits: P(z_out <= t) = sum over bins of P(bin) Phi(t exp(-L/2)).

    The law is symmetric, so that t > 0 suffices.

    Everything is in units of the infinite-width output, so L is that of the normalised network. Dead networks and the
    underflow have output 0, the overflow infinite output.
    """
    counts = leave_one_out(sim.statistics.histogram)
    total = np.maximum(leave_one_out(sim.statistics.networks), 1)[:, None]
    used = np.flatnonzero(counts[0, 1:-1])
    scale = sim.resnet.log_norm_offset(sim.resnet.depth)
    centres = (sim.histogram.edges[:-1] + 0.5 * sim.bins.width)[used] - scale
    at_zero = total[:, 0] - counts[:, 1:].sum(axis=1)  # dead networks and the underflow
    at_infinity = counts[:, -1]
    mean, variance = float(limit.mean[0] - scale), float(limit.variance[0])

    spread = 6.0 * np.sqrt(variance)
    low = min(centres.min() if used.size else 0.0, mean - spread, -spread)
    high = max(centres.max() if used.size else 0.0, mean + spread, 0.0)
    # The grid of log t has ten points to an e-fold: the law of exp(L/2) Z has no detail finer than that of Z.
    start, stop = 0.5 * low - 6.0, 0.5 * high + 2.0
    log_t = np.linspace(start, stop, int(np.clip(10.0 * (stop - start), 1024, 8192)))
    with np.errstate(over="ignore", under="ignore"):  # exp overflows to infinity, where Phi is 1: the right limit
        kernel = ndtr(np.exp(log_t[:, None] - 0.5 * centres))
        gaussian = ndtr(np.exp(log_t))
        mixture = theory.output_cdf(np.exp(log_t - 0.5 * mean), 0.0, variance)
    cdf = (counts[:, 1:-1][:, used] @ kernel.T + at_zero[:, None] + 0.5 * at_infinity[:, None]) / total

    def distance(other: Floats) -> KSDistance:
        # Between grid points neither law moves by more than the steepest part of Phi over one step; and an L may lie
        # half a bin from the centre of its bin, which is a quarter of a bin in log t.
        step = float(log_t[1] - log_t[0]) + 0.25 * sim.bins.width
        apart = cdf - other
        resolution = _smooth(apart[0], STEEPEST * step, counts[0, 1:-1], total[0, 0])
        return ks_distance(apart, sim.statistics.networks, sim.networks, resolution)

    return OutputLaw(distance(gaussian), distance(mixture))


def output_norm(sim: Record, limit: LogNormLimit | None = None, n_out: int | None = None) -> OutputNormLaw:
    """Compare the law of the output's norm with both limits, in units of the infinite-width output.

    P(log|z_out|^2 <= x) = sum over bins of P(bin) P(log chi^2_{n_out} <= x - L). Dead networks and the underflow
    lie below every x.

    Parameters
    ----------
    n_out : int, optional
        Outputs, 1 to 2^17; those of the model by default: the law depends on n_out, the simulation does not.

    Raises
    ------
    ValueError
        If ``n_out`` is out of range, or no `ResNet` is this network: then no limit is known.
    """
    n_out = outputs(sim, n_out)
    last = np.array([sim.resnet.depth])
    limit = theory.log_norm(sim.resnet, last) if limit is None else limit
    counts = leave_one_out(sim.statistics.histogram)
    total = np.maximum(leave_one_out(sim.statistics.networks), 1)[:, None]
    used = np.flatnonzero(counts[0, 1:-1])
    first, stop = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    probability = counts[:, 1 + first : 1 + stop] / total
    at_zero = 1.0 - counts[:, 1:].sum(axis=1, keepdims=True) / total  # dead networks and the underflow

    scale = sim.resnet.log_norm_offset(sim.resnet.depth)
    mean, deviation = float(limit.mean[0] - scale), float(limit.variance[0]) ** 0.5
    step = sim.bins.width
    centre = float(sim.histogram.edges[first] - scale) + 0.5 * step  # centre of the first bin that is used
    end = centre + step * (stop - 1 - first)
    tails = _log_chi_square(n_out, np.array([1e-6, 0.5, 1.0 - 1e-9]))
    low = min(centre, mean - 6.0 * deviation, 0.0) + tails[0]
    high = max(end, mean + 6.0 * deviation, 0.0) + tails[2]
    # Points and bins on one lattice make the mixture a convolution. Bins are joined where they would be too many.
    joined = int(np.ceil((high - low) / (step * MOST_POINTS)))
    if joined > 1:
        padded = np.pad(probability, ((0, 0), (0, -probability.shape[1] % joined)))
        probability = padded.reshape(len(padded), -1, joined).sum(axis=2)
        centre, step = centre + 0.5 * (joined - 1) * step, joined * step
    origin = centre + 0.5 * step + float(tails[1])  # between two bins, if log chi^2 were its median
    start, points = int(np.floor((low - origin) / step)), int(np.ceil((high - low) / step)) + 2
    x: Floats = np.asarray(origin + step * np.arange(start, start + points), np.float64)
    lags = np.arange(start - probability.shape[1] + 1, start + points)
    kernel = _log_chi_square_cdf(n_out, np.asarray(origin - centre + step * lags, np.float64))
    size = 1 << (len(kernel) + probability.shape[1]).bit_length()
    product = np.fft.rfft(probability, size) * np.fft.rfft(kernel, size)
    cdf = np.clip(np.fft.irfft(product, size)[:, probability.shape[1] - 1 : len(kernel)] + at_zero, 0.0, 1.0)

    # An L may lie half a bin from the centre of its bin, and bins are as wide as steps: for x between the points i and
    # i + 1 the mixed law is between its values at i - 1 and i + 2. The other law increases, so the grid and the bins
    # may hide two steps of the mixed law, whatever the other does between its points.
    resolution = float((cdf[0, 2:] - cdf[0, :-2]).max())

    def distance(other: Floats) -> KSDistance:
        apart = cdf - other
        finest = _smooth(apart[0], resolution, counts[0, 1:-1], total[0, 0])
        return ks_distance(apart, sim.statistics.networks, sim.networks, finest)

    return OutputNormLaw(
        n_out,
        ks_gaussian=distance(_log_chi_square_cdf(n_out, x)),
        ks_log_gaussian=distance(theory.output_norm_cdf(x, n_out, mean, deviation**2)),
    )


def _smooth(differences: Floats, bound: float, counts: NDArray[np.int64], total: int) -> float:
    """Return by how much a distance of a mixed law may exceed its value on the grid, at most ``bound``.

    Where the log-norms fill several bins, where they lie in theirs averages out, and the mixed law is as smooth as that
    of one network's output, over which the grid has ten points to an e-fold: then the difference of two laws changes
    between two points by no more than it does from point to point.
    """
    narrow = counts.max(initial=0) > 0.25 * total
    return bound if narrow else min(bound, float(np.abs(np.diff(differences)).max(initial=0.0)))


def output_norm_cells(sim: Record, edges: Floats, n_out: int | None = None) -> Estimate:
    """Return P(edges_j < log|z_out|^2 <= edges_{j+1}) for all j, in the model's units, for a histogram.

    Each network contributes the probability given its L_d, so the error is that of a mean. The readout's weights must
    be Gaussian: only then is the law given L_d that of exp(L_d) chi^2.

    Parameters
    ----------
    edges : ndarray, shape (M + 1,)
        Edges of the cells, increasing.
    n_out : int, optional
        Outputs, 1 to 2^17; those of the model by default.

    Raises
    ------
    ValueError
        If ``n_out`` is out of range, or the weights are not Gaussian.
    """
    n_out = outputs(sim, n_out)
    if sim.lowered.law != "gaussian":
        raise ValueError(
            f"weights={sim.lowered.law!r} have no law of the output mixed from log-norms: it must be 'gaussian'"
        )
    counts, n = sim.histogram.counts, sim.networks
    used = np.flatnonzero(counts)
    first, stop = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    joined = -(-(stop - first) // MOST_BINS_DRAWN)
    padded = np.pad(counts[first:stop], (0, -(stop - first) % joined)).reshape(-1, joined).sum(axis=1)
    centres = sim.histogram.edges[first] + joined * sim.bins.width * (0.5 + np.arange(len(padded)))
    given = np.diff(_log_chi_square_cdf(n_out, np.subtract.outer(edges, centres)), axis=0)
    total, squares = given @ padded, given**2 @ padded
    return mean_estimate(total, np.maximum(squares - total**2 / n, 0.0), np.full(total.shape, n, np.int64))


def outputs(sim: Record, n_out: int | None) -> int:
    """Return ``n_out`` if it is allowed, or the model's for None."""
    return sim.model.n_out if n_out is None else checks.integer("n_out", n_out, 1, 1 << 17, "2^17")


def _log_chi_square_cdf(n_out: int, x: Floats) -> Floats:
    """Return P(log chi^2_{n_out} <= x)."""
    with np.errstate(over="ignore"):
        return np.asarray(special.gammainc(0.5 * n_out, 0.5 * np.exp(x)))


def _log_chi_square(n_out: int, p: Floats) -> Floats:
    """Return the quantiles of log chi^2_{n_out} at the probabilities p."""
    return np.asarray(np.log(2.0 * special.gammaincinv(0.5 * n_out, p)))
