"""The share of a Gaussian vector's square that an activation leaves: B = |sigma(g)|^2/|g|^2, g of n standard normals.

It is that of a vector that is uniform on the sphere, since g/|g| is, independent of |g|. With slopes 1 above 0 and a
below, K ~ Binomial(n, 1/2) neurons above 0, and U = chi^2_K, V = chi^2_{n-K} their squares and those of the others,

.. code-block:: text

    B = (U + a^2 V)/(U + V) = a^2 + (1 - a^2) u,      u ~ Beta(K/2, (n - K)/2) given K, 0 for K = 0, and 1 for K = n

So B is 1 with probability 2^-n, and a^2, or 0 for ReLU, with the same. In y = log(U/V) the density given K,

.. code-block:: text

    e^(K y/2)/((1 + e^y)^(n/2) Beta(K/2, (n - K)/2))

is analytic, so that sums over a lattice of y stand for integrals, as in `resmc.theory.lattice`. Of ReLU

.. code-block:: text

    E B^q = sum_k P(K = k) G(k/2, q)/G(n/2, q),      G(z, q) = Gamma(z + q)/Gamma(z)

for every complex q with real part above -1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .kernels import Floats
from .lattice import HIGHEST_CUMULANT, Points, active_counts, cumulants_of, lattice, support
from .power_sums import power_sums

FARTHEST = 120.0  # |y| beyond which no density matters
STIRLING = 30.0  # real part from which on Stirling's series has all digits
COLUMNS = 1 << 12  # frequencies at a time


@dataclass(frozen=True)
class Share:
    """The law of log B given B > 0: of ``units`` normals, with the slope ``leak`` below 0, which is 0 for ReLU."""

    units: int
    leak: float = 0.0

    @property
    def lowest_power(self) -> float:
        """The infimum of the q for which E B^q is finite: of several neurons one may be active alone."""
        return -0.5 if self.leak == 0.0 and self.units > 1 else -math.inf

    @property
    def death(self) -> float:
        """P(B = 0)."""
        return 0.5**self.units if self.leak == 0.0 else 0.0

    @property
    def atom(self) -> float:
        """P(log B = 0): no neuron is below 0."""
        return 0.5**self.units / (1.0 - self.death)

    def points(self) -> Points:
        """Return the law as points, with an exact characteristic function beside them."""
        return _points_of(self)

    def cumulants(self) -> tuple[float, ...]:
        """Return the cumulants of order 1 to 8; of ReLU from those of beta laws, which are differences of polygammas.

        The logarithm of a small B has a long tail, whose high moments would feel the end of any lattice.
        """
        if self.leak:
            return tuple(self.points().cumulants().tolist())
        k, log_weights = _weights(self.units)
        weight = np.exp(log_weights - math.log1p(-self.death))
        half = 0.5 * self.units
        orders = range(HIGHEST_CUMULANT)
        given = np.array([special.polygamma(j, 0.5 * k) - special.polygamma(j, half) for j in orders])
        mean = float(weight @ given[0])
        given[0] -= mean
        moments = [np.ones(k.shape)]  # about the mean, given k: m_j = sum_i binom(j - 1, i - 1) kappa_i m_{j-i}
        for j in range(1, HIGHEST_CUMULANT + 1):
            terms = [math.comb(j - 1, i - 1) * given[i - 1] * moments[j - i] for i in range(1, j + 1)]
            moments.append(np.sum(terms, axis=0))
        central = [float(weight @ one) for one in moments]
        central[1] = 0.0
        return mean, *cumulants_of(central)[1:]

    def log_moment(self, q: float) -> float:
        """Return log E B^q."""
        if self.leak == 0.0:
            k, log_weights = _weights(self.units)
            given = log_weights - math.log1p(-self.death)
            half = 0.5 * self.units
            ratios = special.gammaln(0.5 * k + q) - special.gammaln(0.5 * k)
            return float(special.logsumexp(given + ratios) - special.gammaln(half + q) + special.gammaln(half))
        ends = [-self.units * math.log(2.0) + q * x for x in (0.0, 2.0 * math.log(self.leak))]
        if self.units == 1:
            return float(special.logsumexp(ends))
        y = lattice(*support(lambda y: self._log_density(y) + q * self._log_share(y), -FARTHEST, FARTHEST))
        terms = self._log_density(y) + q * self._log_share(y) + math.log(y[1] - y[0])
        return float(special.logsumexp([*ends, *terms]))

    def _log_share(self, y: Floats) -> Floats:
        """Return log B at y."""
        if self.leak == 0.0:
            return -np.logaddexp(0.0, -y)
        return np.asarray(np.logaddexp(y, 2.0 * math.log(self.leak)) - np.logaddexp(0.0, y))

    def _log_density(self, y: Floats) -> Floats:
        """Return the logarithm of the density of y over all 0 < K < n."""
        k, log_weights = _weights(self.units)
        both = k < self.units
        k, log_weights = k[both], log_weights[both]
        given = log_weights - special.betaln(0.5 * k, 0.5 * (self.units - k))
        return np.asarray(
            special.logsumexp(given + 0.5 * k * y[:, None], axis=1) - 0.5 * self.units * np.logaddexp(0.0, y)
        )

    def phi(self, step: float, first: int, count: int) -> NDArray[np.complex128]:
        """Return E B^(it) at t = step m, m = first .. first + count - 1."""
        t = np.asarray(step * np.arange(first, first + count), np.float64)
        if self.leak == 0.0:
            parts = [self._relu_phi(t[i : i + COLUMNS]) for i in range(0, count, COLUMNS)]
            return np.concatenate(parts)
        finer = _lattice_points(self, _refinement(self, float(t[-1])))
        return power_sums(finer.x, finer.weight, step, first, count) + self.atom

    def _relu_phi(self, t: Floats) -> NDArray[np.complex128]:
        k, log_weights = _weights(self.units)
        weight = np.exp(log_weights - math.log1p(-self.death))
        whole = _log_gamma_change(0.5 * self.units, t)
        out = np.zeros(t.shape, np.complex128)
        for one, share in zip(k.tolist(), weight.tolist(), strict=True):
            out += share * np.exp(_log_gamma_change(0.5 * one, t) - whole)
        return out


def _weights(units: int) -> tuple[Floats, Floats]:
    """Return numbers of active neurons and logarithms of their weights, as `active_counts`, those that are felt."""
    k, log_weights = active_counts(units)
    felt = log_weights > -80.0
    felt[-1] |= k[-1] == units
    return k[felt], log_weights[felt]


def _log_gamma_change(z: float, t: Floats) -> NDArray[np.complex128]:
    """Return log Gamma(z + it) - log Gamma(z), from Stirling's series for large z, in which nothing cancels."""
    w = np.asarray(z + 1j * t, np.complex128)
    if z < STIRLING:
        return np.asarray(special.loggamma(w) - special.loggamma(z))
    change = 0.5 * np.log1p((t / z) ** 2) + 1j * np.arctan2(t, z)  # log w - log z
    turn = np.asarray((z - 0.5) * change + 1j * t * (math.log(z) + change - 1.0), np.complex128)
    return turn + _series(w) - _series(np.complex128(z))


def _series(w: NDArray[np.complex128] | np.complex128) -> NDArray[np.complex128]:
    y = 1.0 / w**2
    return np.asarray((1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188)))) / w)


def _refinement(law: Share, t: float) -> int:
    """Return how many times finer than at t = 0 a lattice must be: e^(itx) turns by t dx/dy at most."""
    y = _lattice_of(law, 1)
    steepest = (1.0 - law.leak) / (1.0 + law.leak)
    return math.ceil(1.0 + t * steepest * float(y[1] - y[0]) / (2.0 * math.pi)) if len(y) else 1


@lru_cache(maxsize=64)
def _lattice_of(law: Share, refinement: int) -> Floats:
    if law.units == 1:
        return np.zeros(0)
    coarse = lattice(*support(law._log_density, -FARTHEST, FARTHEST))
    return np.linspace(coarse[0], coarse[-1], refinement * (len(coarse) - 1) + 1)


@lru_cache(maxsize=8)
def _lattice_points(law: Share, refinement: int) -> Points:
    y = _lattice_of(law, refinement)
    end = 0.5**law.units
    lower = [2.0 * math.log(law.leak)] if law.leak else []  # no neuron is above 0
    weight = np.exp(law._log_density(y)) * (y[1] - y[0]) if len(y) else np.zeros(0)
    whole = 1.0 - law.death
    weight *= (whole - (1 + len(lower)) * end) / weight.sum() if len(y) else 1.0
    x, weight = np.concatenate([law._log_share(y), lower]), np.concatenate([weight, [end] * len(lower)]) / whole
    return Points(x, weight, np.zeros(len(x)), law.atom, law.phi)


@lru_cache(maxsize=64)
def _points_of(law: Share) -> Points:
    return _lattice_points(law, 1)
