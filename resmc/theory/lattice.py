"""Laws of logarithms of positive factors as weighted points of a lattice, on which sums stand for integrals.

The trapezoidal rule on equally spaced points converges exponentially for densities that are analytic, as these are:
log T of a sum of squares T, and log |e + c g|^2 of a unit vector e, a Gaussian vector g and a random c. With spacings
of an eighth of an e-fold, or of a quarter of a standard deviation, nothing is left of its error but rounding, so that
moments, cumulants and characteristic functions are sums over the points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..models.activations import LEAK
from .kernels import Floats

KEPT = 45.0  # points whose weight is e^-45 of the largest or less are left out
SPACING = 0.17
COARSE = 129  # points that look for the places where a density is large
HIGHEST_CUMULANT = 8


@dataclass(frozen=True, eq=False)
class Points:
    """A law as points: weights (N,) that sum to 1 - ``atom``, and an atom at 0.

    Attributes
    ----------
    x, weight : ndarray, shape (N,)
    spacing : ndarray, shape (N,)
        Distance of a point from its neighbours, which must be small beside a period for them to make their part of a
        characteristic function.
    atom : float
        Probability of exactly 0.
    phi : callable or None
        Characteristic function at step m, m = first .. first + count - 1, of (step, first, count); None where the sum
        over the points is it.
    """

    x: Floats
    weight: Floats
    spacing: Floats
    atom: float = 0.0
    phi: Callable[[float, int, int], NDArray[np.complex128]] | None = None

    def cumulants(self) -> Floats:
        """Return the cumulants of order 1 to 8: (8,)."""
        mean = float(self.weight @ self.x)
        shift = np.append(self.x - mean, -mean)
        weight = np.append(self.weight, self.atom)
        moments = [1.0, 0.0]
        power = shift * weight
        for _ in range(2, HIGHEST_CUMULANT + 1):
            power = power * shift
            moments.append(float(power.sum()))
        return np.array([mean, *cumulants_of(moments)[1:]])


def cumulants_of(moments: list[float]) -> list[float]:
    """Return cumulants 1, 2, .. of moments 0, 1, ..: m_k = sum_j binom(k - 1, j - 1) kappa_j m_{k-j}."""
    kappa: list[float] = []
    for k in range(1, len(moments)):
        known = sum(math.comb(k - 1, j - 1) * kappa[j - 1] * moments[k - j] for j in range(1, k))
        kappa.append(moments[k] - known)
    return kappa


def support(
    log_density: Callable[[Floats], Floats], low: float, high: float, kept: float = KEPT
) -> tuple[float, float]:
    """Return the part of [low, high] beyond which a density of one peak is below e^-kept of its maximum."""
    while True:
        x = np.linspace(low, high, COARSE)
        values = log_density(x)
        inside = np.flatnonzero(values > values.max() - kept)
        first, last = max(int(inside[0]) - 1, 0), min(int(inside[-1]) + 1, COARSE - 1)
        if last - first > COARSE // 2:
            return low, high
        low, high = float(x[first]), float(x[last])


def lattice(low: float, high: float, spacing: float = SPACING, least: int = 80) -> Floats:
    """Return equally spaced points from low to high, no further apart than ``spacing``, and at least so many."""
    return np.linspace(low, high, max(math.ceil((high - low) / spacing), least) + 1)


# ------------------------------------------------------------------------------------------------------ sums of squares


def active_counts(units: int) -> tuple[Floats, Floats]:
    """Return numbers of active neurons K >= 1 and the logarithms of their weights, K ~ Binomial(units, 1/2).

    The weights sum to P(K >= 1). Among many units only every m-th K is there, m a third of the standard deviation or
    less, with m times its weight: a sum over so smooth a law is its integral, to e^-170.
    """
    reach, stride = math.ceil(60.0 * math.sqrt(units)), max(1, int(math.sqrt(units) / 6.0))
    k = np.arange(max(1, units // 2 - reach), min(units, units // 2 + reach) + 1, dtype=np.float64)
    log_weights = np.concatenate([[0.0], np.cumsum(np.log((units - k[:-1]) / (k[:-1] + 1.0)))])[::stride]
    log_weights -= special.logsumexp(log_weights)
    return k[::stride], log_weights + math.log1p(-(0.5**units))


def log_chi_square_density(k: Floats | float, tau: Floats) -> Floats:
    """Return the logarithm of the density of log chi^2_k at tau = log k + d: k/2 (d - (e^d - 1)) + that at d = 0."""
    half, d = np.asarray(0.5 * k), tau - np.log(k)
    large = np.maximum(half, 10.0)
    y = 1.0 / large**2
    stirling = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / large
    small = np.minimum(half, 10.0)
    exact = small * np.log(small) - small - special.gammaln(small)
    peak = np.where(half < 10.0, exact, 0.5 * np.log(large / (2.0 * math.pi)) - stirling)
    with np.errstate(over="ignore"):
        return np.asarray(half * (d - np.expm1(d)) + peak)


def log_inner_density(inner: str, units: int, tau: Floats, leak: float = LEAK) -> Floats:
    """Return the logarithm of the density of log T at tau (M,): T = |sigma(g)|^2 of ``units`` standard normals, T > 0.

    ``inner`` is "linear" (chi^2_N), "relu" (chi^2_K, K ~ Binomial(N, 1/2), the density's integral being P(K >= 1)), or
    "leaky_relu" (chi^2_K + leak^2 chi^2_{N-K}).
    """
    if inner == "linear":
        return log_chi_square_density(float(units), tau)
    k, log_weights = active_counts(units)
    if inner == "relu":
        return np.asarray(special.logsumexp(log_chi_square_density(k, tau[:, None]) + log_weights, axis=1))
    return _log_leaky_density(units, k, log_weights, tau, 2.0 * math.log(leak))


def _log_leaky_density(units: int, k: Floats, log_weights: Floats, tau: Floats, leak: float) -> Floats:
    """Return the density of log(U + V), U = chi^2_K, V = e^leak chi^2_{N-K}, as a sum over y = log(V/U).

    The joint density of log(U + V) and y is that of log U and log V, in which K stands beside y alone.
    """
    n = float(units)
    one_sided = [log_chi_square_density(n, tau - shift) - n * math.log(2.0) for shift in (0.0, leak)]
    both = k < n
    k, log_weights = k[both], log_weights[both]
    if not len(k):
        return np.asarray(special.logsumexp(one_sided, axis=0))
    given_k = log_weights - special.gammaln(0.5 * k) - special.gammaln(0.5 * (n - k))

    def joint(y: Floats) -> Floats:
        """Return the logarithm of the joint density, (M, len(y))."""
        by_ratio = special.logsumexp(given_k - 0.5 * k * (y[:, None] - leak), axis=1)
        log_u, log_v = tau[:, None] - np.logaddexp(0.0, y), tau[:, None] - np.logaddexp(0.0, -y) - leak
        with np.errstate(over="ignore"):
            return np.asarray(by_ratio + 0.5 * n * (log_v - math.log(2.0)) - 0.5 * (np.exp(log_u) + np.exp(log_v)))

    low, high = support(lambda y: joint(y).max(axis=0), leak - 110.0, leak + 110.0)
    y = lattice(low, high)
    mixed = special.logsumexp(joint(y), axis=1) + math.log(y[1] - y[0])
    return np.asarray(special.logsumexp([*one_sided, mixed], axis=0))
