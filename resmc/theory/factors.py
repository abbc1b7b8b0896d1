"""Laws of the factors by which one layer multiplies a squared norm, of networks whose layers do so independently.

.. code-block:: text

    SumOfSquares     T = |sigma(g)|^2, g of N standard normals: chi^2_N, chi^2_K with K ~ Binomial(N, 1/2), or leaky
    Share            T/|g|^2, which `resmc.theory.shares` has
    Step             (1 + c g)^2 + c^2 chi^2_{n-1}, c^2 = b^2 T: |e + c g|^2 of a unit vector e and a Gaussian g in R^n

Given c, Step/c^2 is a noncentral chi-square of n degrees with noncentrality 1/c^2. The law of T is given that T > 0;
Step is 1 where T is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Union

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..models.activations import LEAK
from .bessel import log_bessel_change
from .kernels import Floats, mean_log_chi_square
from .lattice import HIGHEST_CUMULANT, KEPT, Points, active_counts, lattice, log_inner_density, support
from .shares import Share

XI_SPACING = 0.19  # characteristic functions are resolved to t 2 w = 16, where that of a normal law is 1e-56
NARROW = 0.05  # c below which a law of log |e + c g|^2 has no tail that is felt
SLIGHT = 4.0  # a power that changes over all points by e^4 at most leaves their ends as negligible as they are
LARGEST_POWER = 64.0  # |q| of moments: beyond it they belong to networks that no sample has


@dataclass(frozen=True)
class SumOfSquares:
    """The law of log T, T = |sigma(g)|^2 of ``units`` standard normals, given T > 0; sigma is ``inner``.

    Of "leaky_relu" ``leak`` is the slope below 0, above 0 and below 1.
    """

    inner: str
    units: int
    leak: float = LEAK

    @property
    def lowest_power(self) -> float:
        """The infimum of the q for which E T^q is finite: a single neuron may be active alone."""
        return -0.5 if self.inner == "relu" else -0.5 * self.units

    @property
    def death(self) -> float:
        """P(T = 0)."""
        return 0.5**self.units if self.inner == "relu" else 0.0

    @property
    def atom(self) -> float:
        """The law has no atom."""
        return 0.0

    def points(self) -> Points:
        """Return the law as points."""
        return _points_of(self)

    def log_moment(self, q: float) -> float:
        """Return log E T^q."""
        half = 0.5 * self.units
        if self.inner == "linear":
            return float(_log_gamma_moment(np.array([half]), q)[0])
        if self.inner == "relu":
            k, log_weights = active_counts(self.units)
            given = log_weights - math.log1p(-self.death)
            return float(special.logsumexp(given + _log_gamma_moment(0.5 * k, q)))
        tau = lattice(*support(lambda tau: _log_lattice(self, tau) + q * tau, *_reach(self)))
        closing = np.ones(tau.shape)
        closing[0] = -1.0 / math.expm1(-(half + q) * (tau[1] - tau[0]))  # below the first point it is a power of T
        density = _log_lattice(self, tau)
        return float(special.logsumexp(density + q * tau, b=closing) + math.log(tau[1] - tau[0]))


Law = Union["SumOfSquares", "Step", Share]


class Rows(NamedTuple):
    """Laws of log R of some rows: which, x and the logarithm of its density (M, P), w (M,) and the spacing of xi."""

    block: NDArray[np.bool_]
    x: Floats
    log_density: Floats
    wide: Floats
    spacing: float

    def log_sums(self, q: float, width: int) -> Floats:
        """Return log E R^q of every row, but for a constant; below the first point the density is a power of R."""
        closing = np.ones(self.x.shape)
        closing[:, 0] = -1.0 / np.expm1(-(width + 2.0 * q) * self.wide * self.spacing)
        return np.asarray(special.logsumexp(self.log_density + q * self.x, axis=1, b=closing)) + math.log(self.spacing)


@dataclass(frozen=True)
class Step:
    """The law of log |e + c g|^2 in R^n, c = b sqrt(T): T is that of ``source``, or 1 without one.

    Given c the points are x = log(1 + n c^2) + 2 w xi, with w = c/sqrt(1 + n c^2) and a lattice of xi.
    """

    source: SumOfSquares | None
    width: int
    b: float

    @property
    def lowest_power(self) -> float:
        """The infimum of the q for which the moment is finite."""
        return -0.5 * self.width

    @property
    def death(self) -> float:
        """The factor is never 0."""
        return 0.0

    @property
    def atom(self) -> float:
        """P(the factor is 1)."""
        return 0.0 if self.source is None else self.source.death

    def points(self) -> Points:
        """Return the law as points."""
        return _points_of(self)

    def log_moment(self, q: float) -> float:
        """Return log E |e + c g|^(2q)."""
        points = self.points()
        if 8.0 * q >= -self.width and abs(q) * np.ptp(points.x) <= SLIGHT:  # the tilted law has the same points
            return math.log1p(float(points.weight @ np.expm1(q * points.x)))
        tau, log_weight = np.zeros(1), np.zeros(1)
        if self.source is not None:
            low, high = self._support(q)
            tau = lattice(low, high)
            log_weight = _log_lattice(self.source, tau) + math.log(tau[1] - tau[0])
        terms = log_weight + self._given(tau, q, 1)
        return float(special.logsumexp([*terms, math.log(self.atom)] if self.atom else terms))

    def rows(self, tau: Floats, coarse: int = 1, q: float = 0.0) -> Iterator[Rows]:
        """Yield the laws given tau, in blocks whose lattice of xi reaches as far as they need with a tilt by R^q.

        Where c is small a law is almost Gaussian in xi; where it is not, small R have probabilities like R^(n/2).
        """
        n, narrow = float(self.width), math.log(self.b) + 0.5 * tau < math.log(NARROW)
        right = 12.0 + max(0.5 * math.sqrt(n) * math.log1p(2.0 * max(q, 0.0) / n), 0.0)
        c = np.geomspace(NARROW, 20.0, 40)
        further = (KEPT + 3.0 - 0.5 / c**2) * np.hypot(1.0 / c, math.sqrt(n)) / (n + 2.0 * min(q, 0.0))
        tail = min(float(further.max()), 400.0) + 2.0 * abs(q) / math.sqrt(n)
        fine = min(XI_SPACING, 0.07 * math.sqrt(n))
        for block, left, spacing in ((narrow, 0.2 * abs(q), XI_SPACING), (~narrow, tail, fine)):
            if block.any():
                yield self._block(block, tau[block], lattice(-14.0 - left, right, coarse * spacing, 40))

    def _block(self, block: NDArray[np.bool_], tau: Floats, xi: Floats) -> Rows:
        n, log_c = float(self.width), math.log(self.b) + 0.5 * tau
        c = np.exp(log_c)[:, None]
        wide = 1.0 / np.hypot(np.exp(-log_c), math.sqrt(n))
        moved = 2.0 * wide[:, None] * xi
        start = np.hypot(1.0 / c, math.sqrt(n))  # sqrt(1/c^2 + n), at xi = 0 the root of the noncentral chi-square
        away = start * np.expm1(0.5 * moved)
        squares = -0.5 * away * (away + 2.0 * n / (start + 1.0 / c))
        bessel = log_bessel_change(0.5 * n - 1.0, start / c, 0.5 * moved)
        x = np.log1p(n * c**2) + moved
        return Rows(block, x, 0.5 * n * moved + squares + bessel, wide, float(xi[1] - xi[0]))

    def _given(self, tau: Floats, q: float, coarse: int) -> Floats:
        """Return the logarithm of the moment given tau, (M,)."""
        out = np.empty(tau.shape)
        for tilt, sign in ((q, 1.0), (0.0, -1.0)):
            for rows in self.rows(tau, coarse, tilt):
                total = rows.log_sums(tilt, self.width)
                out[rows.block] = total if sign > 0.0 else out[rows.block] - total
        return out

    def _support(self, q: float) -> tuple[float, float]:
        """Return where log T matters to the moment."""
        source = self.source
        assert source is not None
        whole = _reach(source)
        return support(lambda tau: _log_lattice(source, tau) + (self._given(tau, q, 4) if q else 0.0), *whole)


def _reach(source: SumOfSquares) -> tuple[float, float]:
    """Return the ends of all log T that could matter."""
    lowest = 110.0 / (1.0 if source.inner == "relu" else source.units)
    leak = 2.0 * math.log(1.0 / source.leak) if source.inner == "leaky_relu" else 0.0
    return math.log(source.units) - lowest - leak - 8.0, math.log(source.units + 2.0 * LARGEST_POWER) + 8.0


def _log_lattice(source: SumOfSquares, tau: Floats) -> Floats:
    return log_inner_density(source.inner, source.units, tau, source.leak)


@lru_cache(maxsize=16)
def _points_of(law: SumOfSquares | Step) -> Points:
    source = law if isinstance(law, SumOfSquares) else law.source
    tau, log_weight = np.zeros(1), np.zeros(1)
    if source is not None:
        tau = lattice(*support(lambda tau: _log_lattice(source, tau), *_reach(source)))
        log_weight = _log_lattice(source, tau)
        log_weight = log_weight - special.logsumexp(log_weight)
    if isinstance(law, SumOfSquares):
        kept = log_weight > log_weight.max() - KEPT
        return Points(tau[kept], np.exp(log_weight[kept]), np.full(int(kept.sum()), tau[1] - tau[0]))
    found = []
    largest = -math.inf
    for rows in law.rows(tau):
        log_row = log_weight[rows.block] - rows.log_sums(0.0, law.width) + math.log(rows.spacing)
        each = log_row[:, None] + rows.log_density
        largest = max(largest, float(each.max()))
        kept = each > largest - KEPT
        spacing = np.broadcast_to(2.0 * rows.wide[:, None] * rows.spacing, each.shape)
        found.append((rows.x[kept], each[kept], spacing[kept]))
    x, log_weight, spacing = (np.concatenate(parts) for parts in zip(*found, strict=True))
    weight = np.exp(log_weight)
    return Points(x, weight * ((1.0 - law.atom) / weight.sum()), spacing, law.atom)


@lru_cache(maxsize=1 << 14)
def cumulants_of_law(law: Law) -> tuple[float, ...]:
    """Return the cumulants of order 1 to 8."""
    if isinstance(law, SumOfSquares) and law.inner == "linear":
        first = math.log(law.units) + float(mean_log_chi_square(law.units))
        return first, *(float(special.polygamma(k, 0.5 * law.units)) for k in range(1, HIGHEST_CUMULANT))
    if isinstance(law, Share):
        return law.cumulants()
    return tuple(law.points().cumulants().tolist())


def _log_gamma_moment(half: Floats, q: float) -> Floats:
    """Return log E T^q of chi^2 laws with 2 ``half`` degrees."""
    return np.asarray(q * math.log(2.0) + special.gammaln(half + q) - special.gammaln(half))
