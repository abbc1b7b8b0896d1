"""Distribution functions of one output neuron and of the log-norm, to hold histograms and samples against."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from .. import _checks
from .kernels import Floats


def output_cdf(t: ArrayLike, mean: float, variance: float) -> Floats:
    """P(exp(G/2) Z <= t) = E[Phi(t exp(-G/2))] for independent G ~ N(mean, variance) and Z ~ N(0, 1).

    This is the law of one output neuron when its network's last log-norm L_d is Gaussian, as it is in the limit of
    infinite depth and width: take mean and variance from `resmc.theory.log_norm` (Li, Nica, Roy 2021,
    arXiv 2106.04013). A variance of 0 gives the Gaussian of the infinite-width limit.

    Parameters
    ----------
    t : array of float
        Values of the output, any shape; the result has the same shape.
    mean, variance : float
        Of the log-norm. The absolute error is below 1e-12 up to a standard deviation of 100 and beyond.

    Raises
    ------
    ValueError
        If ``mean`` or ``variance`` is not finite, or ``variance`` is negative.
    """
    mean = _checks.real("mean", mean)
    variance = _checks.real("variance", variance)
    if variance < 0.0:
        raise ValueError(f"variance={variance} is not allowed: it must not be negative")
    deviation = np.sqrt(variance)
    # Equally spaced nodes, which converge exponentially here: the integrand is analytic and small in a strip whose
    # width falls like 1/deviation, so the spacing does too. Gauss-Hermite rules, spread over a range that grows with
    # their size, would need thousands of nodes at a deviation of 10; this takes 600.
    spacing = min(0.5, 0.3 / max(float(deviation), 1e-300))
    nodes = spacing * np.arange(-np.ceil(9.0 / spacing), np.ceil(9.0 / spacing) + 1.0)
    weights = np.exp(-0.5 * nodes * nodes)
    weights /= weights.sum()
    t = np.asarray(t, dtype=np.float64)
    result = np.zeros(t.shape)
    with np.errstate(divide="ignore", over="ignore"):  # log 0 = -inf and exp(large) = inf have the right limits
        log_size = np.log(np.abs(t))
        for node, weight in zip(nodes, weights, strict=True):
            result += weight * special.ndtr(np.sign(t) * np.exp(log_size - 0.5 * (mean + deviation * node)))
    return result


def chi_square_log_norm_cdf(n: int, x: ArrayLike) -> Floats:
    """P(log(chi^2_n/n) <= x): the law of L_0, and of every L_l in the limit of infinite width at a fixed depth.

    For alpha^2 + lam^2 = 1 and input_norm = 1; otherwise subtract ``model.log_norm_offset(layer)`` from the log-norms
    first. ``x`` may have any shape; the result has the same. Raises ValueError unless n is an integer from 1 to 2^24.
    """
    n = _checks.integer("n", n, 1, 1 << 24, "2^24")
    with np.errstate(over="ignore"):
        return np.asarray(special.gammainc(n / 2.0, n / 2.0 * np.exp(np.asarray(x, dtype=np.float64))))
