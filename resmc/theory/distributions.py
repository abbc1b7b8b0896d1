"""Distribution functions of the output and of the log-norm, to hold histograms and samples against."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .._system import checks
from .kernels import Floats


def output_cdf(t: ArrayLike, mean: float, variance: float) -> Floats:
    """Return P(exp(G/2) Z <= t) = E[Phi(t exp(-G/2))] for independent G ~ N(mean, variance) and Z ~ N(0, 1).

    One output neuron has this law when its network's last log-norm L_d is Gaussian, as in the limit of infinite depth
    and width: take mean and variance from `resmc.theory.log_norm` (Li, Nica, Roy 2021,
    arXiv 2106.04013). A variance of 0 gives the Gaussian of the infinite-width limit.

    Parameters
    ----------
    t : array of float
        Values of the output, any shape; the result has the same shape.
    mean, variance : float
        Mean and variance of the log-norm. The absolute error of the result is below 1e-12 up to a standard deviation
        of 100 and beyond.

    Raises
    ------
    ValueError
        If ``mean`` or ``variance`` is not finite, or ``variance`` is negative.
    """
    mean = checks.real("mean", mean)
    variance = checks.real("variance", variance)
    if variance < 0.0:
        raise ValueError(f"variance={variance} is not allowed: it must not be negative")
    deviation = float(np.sqrt(variance))
    t = np.asarray(t, dtype=np.float64)
    with np.errstate(divide="ignore"):  # log 0 = -inf and exp(large) = inf have the right limits
        log_size = np.log(np.abs(t))
    beyond = _beyond_zero(log_size, mean, deviation) if deviation > WIDE else _below(t, log_size, mean, deviation)
    return np.asarray(0.5 + np.sign(t) * beyond if deviation > WIDE else beyond)


WIDE = 10.0  # deviation of a log-norm from which on the mean over the output's own law takes fewer nodes


def _below(t: Floats, log_size: Floats, mean: float, deviation: float) -> Floats:
    """Return P(exp(G/2) Z <= t) as a mean over G.

    Equally spaced nodes converge exponentially here: the integrand is analytic and small in a strip whose width falls
    like 1/deviation, so the spacing does too. Gauss-Hermite rules, spread over a range that grows with their size,
    would need thousands of nodes at a deviation of 10; this takes 600.
    """
    spacing = min(0.5, 0.3 / max(deviation, 1e-300))
    nodes = spacing * np.arange(-np.ceil(9.0 / spacing), np.ceil(9.0 / spacing) + 1.0)
    weights = np.exp(-0.5 * nodes * nodes)
    weights /= weights.sum()
    result = np.zeros(t.shape)
    with np.errstate(over="ignore"):
        for node, weight in zip(nodes, weights, strict=True):
            result += weight * special.ndtr(np.sign(t) * np.exp(log_size - 0.5 * (mean + deviation * node)))
    return result


def _beyond_zero(log_size: Floats, mean: float, deviation: float) -> Floats:
    """Return P(0 < exp(G/2) Z <= |t|) as a mean over log Z, whatever the deviation of G, if it is large."""
    spacing = 0.125
    nodes = spacing * np.arange(-36.0 / spacing, 2.25 / spacing + 1.0)  # exp(-36) < 1e-15, and Z < exp(2.25)
    weights = np.exp(nodes - 0.5 * np.exp(2.0 * nodes))
    weights *= 0.5 / weights.sum()
    result = np.zeros(log_size.shape)
    for node, weight in zip(nodes, weights, strict=True):
        result += weight * special.ndtr((2.0 * (log_size - node) - mean) / deviation)
    return result


def output_norm_cdf(x: ArrayLike, n_out: int, mean: float, variance: float) -> Floats:
    """Return P(G + log chi^2_k <= x) for independent G ~ N(mean, variance) and chi^2_k with k = ``n_out``.

    log(|z_out|^2), z_out = exp(G/2) Z in R^k, has this law when the last log-norm is the Gaussian G of the limit of
    infinite depth and width: take mean and variance from `resmc.theory.log_norm` (Li, Nica, Roy 2021, arXiv
    2106.04013). A variance of 0 gives log chi^2_k + mean, the infinite-width limit. For k = 1 the law is
    2 `output_cdf` (exp(x/2)) - 1.

    Parameters
    ----------
    x : array of float
        Values of log(|z_out|^2), any shape; the result has the same shape.
    n_out : int
        Outputs, 1 to 2^17.
    mean, variance : float
        Mean and variance of the log-norm. The absolute error of the result is below 1e-11.

    Raises
    ------
    ValueError
        If ``n_out`` is out of range, ``mean`` or ``variance`` not finite, or ``variance`` negative.
    """
    n_out = checks.integer("n_out", n_out, 1, 1 << 17, "2^17")
    mean = checks.real("mean", mean)
    variance = checks.real("variance", variance)
    if variance < 0.0:
        raise ValueError(f"variance={variance} is not allowed: it must not be negative")
    x = np.asarray(x, dtype=np.float64) - mean
    half, deviation = 0.5 * n_out, float(np.sqrt(variance))

    def chi_square(y: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return np.asarray(special.gammainc(half, 0.5 * np.exp(y)))

    if deviation == 0.0:
        return chi_square(x)
    # Equally spaced nodes over the narrower of the two laws, which converge exponentially: densities and distribution
    # functions are analytic, and bounded in a strip of half-width pi/2 on the side of the chi-square.
    spread = float(np.sqrt(special.polygamma(1, half)))
    result = np.zeros(x.shape)
    spacing = min(0.5 * min(spread, deviation), 0.3)
    if deviation <= spread:
        count = np.ceil(9.0 * deviation / spacing)
        nodes = spacing * np.arange(-count, count + 1.0)
        weights = np.exp(-0.5 * (nodes / deviation) ** 2)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            result += weight * chi_square(x - node)
        return result
    low, high = np.log(2.0 * np.array([special.gammaincinv(half, 1e-17), special.gammainccinv(half, 1e-17)]))
    nodes = np.arange(low, high + spacing, spacing)
    weights = np.exp(
        half * (nodes - np.log(n_out)) - 0.5 * (np.exp(nodes) - n_out)
    )  # the chi-square's density, but for a factor
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        result += weight * special.ndtr((x - node) / deviation)
    return result


def chi_square_log_norm_cdf(n: int, x: ArrayLike) -> Floats:
    """Return P(log(chi^2_n/n) <= x): the law of L_0, and of every L_l in the limit of infinite width at a fixed depth.

    The law is that for alpha^2 + lam^2 = 1 and input_norm = 1; otherwise subtract ``model.log_norm_offset(layer)`` from
    the log-norms first. ``x`` may have any shape; the result has the same. Raises ValueError unless n is an integer
    from 1 to 2^24.
    """
    n = checks.integer("n", n, 1, 1 << 24, "2^24")
    with np.errstate(over="ignore"):
        return np.asarray(special.gammainc(n / 2.0, n / 2.0 * np.exp(np.asarray(x, dtype=np.float64))))
