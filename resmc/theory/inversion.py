"""Distribution functions of sums of independent variables, from their characteristic functions.

Let S be a sum, phi its characteristic function, and P so long that S leaves an interval of length P around its mean
with probability 1e-12 at most. With t_m = 2 pi m/P the distribution function is a Fourier series there,

.. code-block:: text

    F(x) = (x - x_0)/P + sum_{m >= 1} (2/P) Re[phi(t_m) (e^(-i t_m x_0) - e^(-i t_m x))/(i t_m)]

whose only other error is what is left out beyond the last t_m. phi falls exponentially for smooth laws. Factors with an
atom at 1 (layers without an active neuron) leave it falling like powers of 1/t, as the density has one singular point,
where all layers are at their atom: there a sum of

.. code-block:: text

    (1 + r^2 t^2)^(-j/2)    and    i r t (1 + r^2 t^2)^(-(j+1)/2),        j = 1, 2, ..

is fitted to phi, whose distribution functions are known; what remains falls fast again. Products of shares of ReLU have
densities on one side of such a point alone, `resmc.theory.one_sided`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .kernels import Floats
from .lattice import Points
from .one_sided import OneSided
from .power_sums import CHUNK, power_sums

Complex = NDArray[np.complex128]

OUTSIDE = 1e-12  # probability beyond an end of the interval
NEGLIGIBLE = 1e-11  # size of a characteristic function from which on it is left out
FORETOLD = 3e-9  # error of a slow tail that was fitted an octave before
RESOLVED = math.pi  # spacing times frequency up to which a lattice has the characteristic function of its law
TERMS = 8  # functions of either kind that are fitted to a slow tail
REACH = 6.0  # r t of these at the last frequency
FIRST_FREQUENCIES, MOST_FREQUENCIES = 16, 1 << 16
MOST_UNKNOWN = 1 << 13  # frequencies after which a tail of no known form is given up
GRID = 1 << 10  # points between which quantiles are sought first
PLACED = 1e-15  # error of a quantile for the interval's length, where the distribution function jumps
ROUNDING = 1e-15  # error that sums leave in a distribution function

Part = tuple[Points, int]  # a law, and how many independent variables have it
Tail = Literal["fast", "two-sided", "one-sided", "unknown"]


@dataclass(frozen=True, eq=False)
class Singular:
    """A part of a law with one singular point, 0: an atom, and densities whose characteristic functions fall slowly.

    ``even`` and ``odd`` (J,) are the coefficients of (1 + r^2 t^2)^(-j/2) and i r t (1 + r^2 t^2)^(-(j+1)/2).
    """

    atom: float
    r: float
    even: Floats
    odd: Floats

    @classmethod
    def fit(cls, t: Floats, turned: Complex, atom: float) -> Singular:
        """Return the part that falls slowly, fitted to a characteristic function at the upper half of t."""
        upper = np.arange(len(t) // 2, len(t), max(1, len(t) // 512))
        values, r = turned[upper] - atom, REACH / float(t[-1])
        even = np.linalg.lstsq(_slow(r * t[upper], TERMS), values.real, rcond=1e-14)[0]
        odd = np.linalg.lstsq(_slow_odd(r * t[upper], TERMS), values.imag, rcond=1e-14)[0]
        return cls(atom, r, np.asarray(even, np.float64), np.asarray(odd, np.float64))

    @property
    def mass(self) -> float:
        """The integral of all of it."""
        return self.atom + float(self.even.sum())

    def phi(self, t: Floats) -> Complex:
        """Return the characteristic function."""
        rt = self.r * t
        return self.atom + _slow(rt, len(self.even)) @ self.even + 1j * (_slow_odd(rt, len(self.odd)) @ self.odd)

    def misses(self, t: Floats, phi: Complex) -> float:
        """Return the largest difference from ``phi`` in the upper half of the frequencies t."""
        upper = slice(len(t) // 2, None, max(1, len(t) // 512))
        return float(np.abs(self.phi(t[upper]) - phi[upper]).max())

    def cdf(self, y: Floats) -> Floats:
        """Return the distribution function."""
        u, side = np.abs(y) / self.r, np.sign(y)
        below = [0.5 + side * (0.5 - _integral_of_k0(u) / math.pi), 0.5 + 0.5 * side * -np.expm1(-u)]
        for j in range(3, len(self.even) + 1):
            below.append(below[j - 3] - side * _density_slope(j, u))
        densities = [_density(j + 1, u) for j in range(1, len(self.odd) + 1)]
        return self.atom * (y >= 0.0) + np.tensordot(self.even, below, 1) - np.tensordot(self.odd, densities, 1)

    def pdf(self, y: Floats) -> Floats:
        """Return the density of all but the atom."""
        u, side = np.abs(y) / self.r, np.sign(y)
        even = [_density(j, u) for j in range(1, len(self.even) + 1)]
        odd = [side * _density_slope(j + 1, u) for j in range(1, len(self.odd) + 1)]
        return (np.tensordot(self.even, even, 1) + np.tensordot(self.odd, odd, 1)) / self.r


def _slow(rt: Floats, terms: int) -> Floats:
    return np.asarray((1.0 + rt[:, None] ** 2) ** (-0.5 * np.arange(1, terms + 1)))


def _slow_odd(rt: Floats, terms: int) -> Floats:
    return np.asarray(rt[:, None] * (1.0 + rt[:, None] ** 2) ** (-0.5 * np.arange(2, terms + 2)))


def _density(j: int, u: Floats) -> Floats:
    """Return r times the density of (1 + r^2 t^2)^(-j/2) at |y| = r u: a Bessel function, infinite at 0 for j = 1."""
    order = 0.5 * (j - 1)
    factor = 1.0 / (math.sqrt(math.pi) * math.gamma(0.5 * j))
    at_zero = math.inf if j == 1 else 0.5 * factor * math.gamma(order)
    safe = np.where(u == 0.0, 1.0, u)
    return np.where(u == 0.0, at_zero, factor * (0.5 * safe) ** order * special.kv(order, safe))


def _density_slope(j: int, u: Floats) -> Floats:
    """Return minus the derivative of `_density` in u > 0, 0 at 0, for j >= 2."""
    order = 0.5 * (j - 1)
    safe = np.where(u == 0.0, 1.0, u)
    slope = 0.5**order / (math.sqrt(math.pi) * math.gamma(0.5 * j)) * safe**order * special.kv(order - 1.0, safe)
    return np.where(u == 0.0, 0.0, slope)


def _integral_of_k0(u: Floats) -> Floats:
    """Return the integral of K_0 from u to infinity: that of e^(-u cosh v)/cosh v over v > 0, by equal steps."""
    v = 0.1 * np.arange(400.0)
    weight = 0.1 / np.cosh(v)
    weight[0] *= 0.5
    return np.asarray(np.exp(-np.multiply.outer(u, np.cosh(v))) @ weight)


@dataclass(frozen=True, eq=False)
class Distribution:
    """The law of a sum S less its mean: made by `distribution`.

    Attributes
    ----------
    low, high : float
        Ends of the interval, beyond which the distribution function is 0 and 1.
    phi : ndarray of complex, shape (M,)
        Characteristic function at the frequencies 2 pi m/(high - low), m = 1 .. M, less that of the singular part.
    singular : Singular, OneSided or None
    place : float
        Where the singular part has its 0.
    """

    low: float
    high: float
    phi: Complex
    singular: Singular | OneSided | None = None
    place: float = 0.0

    @property
    def period(self) -> float:
        """The interval's length."""
        return self.high - self.low

    def cdf(self, x: Floats) -> Floats:
        """Return P(S <= x) at every x (K,)."""
        ends = np.append(np.clip(x, self.low, self.high), self.low)
        t = 2.0 * math.pi / self.period * np.arange(1, len(self.phi) + 1)
        values = self._series(ends, self.phi / (-1j * t))
        mass = 1.0
        if self.singular is not None:
            values += self.singular.cdf(ends - self.place)
            mass -= self.singular.mass
        values += mass * (ends - self.low) / self.period
        return np.clip(np.where(x >= self.high, 1.0, np.where(x < self.low, 0.0, values[:-1] - values[-1])), 0.0, 1.0)

    def pdf(self, x: Floats) -> Floats:
        """Return the density at every x (K,), without that of an atom."""
        inside = (x > self.low) & (x < self.high)
        at = np.clip(x, self.low, self.high)
        values, mass = self._series(at, self.phi), 1.0
        if self.singular is not None:
            values += self.singular.pdf(at - self.place)
            mass -= self.singular.mass
        return np.where(inside, np.maximum(values + mass / self.period, 0.0), 0.0)

    def quantile(self, p: Floats) -> Floats:
        """Return the smallest x with P(S <= x) >= p at every p (K,), by Chandrupatla's method between points of a grid.

        Where the distribution function jumps over p, this is the upper end of the last interval around the jump.
        """
        from scipy.optimize import elementwise  # takes longer to import than all else here together

        grid = np.linspace(self.low, self.high, 2 + min(len(p), GRID))
        below = np.maximum.accumulate(self.cdf(grid))
        above = np.clip(np.searchsorted(below, p), 1, len(grid) - 1)
        root = elementwise.find_root(
            lambda x, p: np.where(x >= self.high, 1.0, np.where(x <= self.low, 0.0, self.cdf(x))) - p,
            (grid[above - 1], grid[above]),
            args=(p,),
            tolerances={"xatol": PLACED * self.period, "xrtol": 0.0, "fatol": ROUNDING},
        )
        return np.asarray(np.where(np.abs(root.f_x) <= ROUNDING, root.x, root.bracket[1]))

    def _series(self, x: Floats, coefficients: Complex) -> Floats:
        """Return (2/P) Re sum_m coefficients_m e^(-i t_m x) at every x."""
        rows = math.isqrt(len(coefficients)) + 1
        padded = np.zeros(rows * -(-len(coefficients) // rows), np.complex128)
        padded[: len(coefficients)] = coefficients
        table = padded.reshape(-1, rows)  # m = 1 + rows q + r stands in row q and column r
        out = np.empty(x.shape)
        for start in range(0, len(x), CHUNK):
            angle = -2.0 * math.pi / self.period * x[start : start + CHUNK, None]
            inner = np.exp(1j * angle * np.arange(1, rows + 1)) @ table.T
            outer = np.exp(1j * angle * (rows * np.arange(len(table))))
            out[start : start + CHUNK] = (inner * outer).sum(axis=1).real
        return out * (2.0 / self.period)


def distribution(parts: Sequence[Part], tail: Tail) -> Distribution | None:
    """Return the law of the sum of independent variables, less its mean; None where its tail falls too slowly.

    Parameters
    ----------
    parts : sequence of (Points, int)
        Laws, and how many of the variables have each.
    tail : {"fast", "two-sided", "one-sided", "unknown"}
        How the characteristic function may fall: two-sided if all laws are singular at 0, where they have densities on
        both sides, one-sided if all are shares of ReLU, unknown if there is no form that could be fitted.
    """
    parts = [(points, count) for points, count in parts if count]
    means = [float(points.weight @ points.x) for points, _ in parts]
    low, high = _interval(parts, means)
    step = 2.0 * math.pi / (high - low)
    place = -sum(mean * count for mean, (_, count) in zip(means, parts, strict=True))
    form: type[Singular] | type[OneSided] = OneSided if tail == "one-sided" else Singular
    atom = math.prod(points.atom**count for points, count in parts)
    phi = np.empty(0, np.complex128)
    if tail == "unknown" and np.abs(_phi_of_all(parts, means, step, MOST_UNKNOWN, 2)).max() > NEGLIGIBLE:
        return None
    while len(phi) < (MOST_UNKNOWN if tail == "unknown" else MOST_FREQUENCIES):
        more = max(len(phi), FIRST_FREQUENCIES)
        phi = np.append(phi, _phi_of_all(parts, means, step, len(phi) + 1, more))
        if np.abs(phi[-(more // 2) :]).max() < NEGLIGIBLE:
            return Distribution(low, high, phi)
        t = np.asarray(step * np.arange(1, len(phi) + 1), np.float64)
        turned = phi * np.exp(-1j * t * place)
        slow = tail in ("two-sided", "one-sided")
        if slow and form.fit(t[: len(t) // 2], turned, atom).misses(t, turned) < FORETOLD:
            break
    else:
        if tail in ("one-sided", "unknown"):
            return None
    singular = form.fit(t, turned, atom)
    return Distribution(low, high, phi - singular.phi(t) * np.exp(1j * t * place), singular, place)


def _interval(parts: Sequence[Part], means: Sequence[float]) -> tuple[float, float]:
    """Return ends that S - E S leaves with probability 1e-12 at most, as P(S > x) <= E e^(qS - qx) for q > 0.

    Points that were left out as negligible are not felt here either, so that every q is allowed.
    """
    values = [np.append(points.x, 0.0) - mean for (points, _), mean in zip(parts, means, strict=True)]
    weights = [np.append(points.weight, points.atom) for points, _ in parts]
    counts = [count for _, count in parts]
    together = list(zip(values, weights, counts, strict=True))
    deviation = math.sqrt(sum(count * float(weight @ x**2) for x, weight, count in together))
    powers = np.geomspace(0.3, 60.0, 24) / deviation
    reach = []
    for q in (*powers.tolist(), *(-powers).tolist()):
        log_moment = sum(count * float(special.logsumexp(q * x, b=weight)) for x, weight, count in together)
        reach.append((log_moment - math.log(OUTSIDE)) / q)
    return max(reach[len(powers) :]), min(reach[: len(powers)])


def _phi_of_all(parts: Sequence[Part], means: Sequence[float], step: float, first: int, count: int) -> Complex:
    """Return the product of the parts' `_phi`."""
    log_size, angle = np.zeros(count), np.zeros(count)
    for (points, several), mean in zip(parts, means, strict=True):
        one = _phi(points, mean, step, first, count)
        with np.errstate(divide="ignore"):
            log_size += several * np.log(np.abs(one))
        angle += several * np.angle(one)
    return np.asarray(np.exp(log_size + 1j * angle))


def _phi(points: Points, mean: float, step: float, first: int, count: int) -> Complex:
    """Return E e^(i t (x - mean)) at t = step m, m = first .. first + count - 1.

    Frequencies come in parts that span a tenth of their size, in which the same points are resolved.
    """
    if points.phi is not None:
        return np.asarray(points.phi(step, first, count) * np.exp(-1j * mean * step * np.arange(first, first + count)))
    parts, start = [], first
    while start < first + count:
        more = min(max(FIRST_FREQUENCIES, start // 10), first + count - start)
        resolved = points.spacing * (step * (start + more)) < RESOLVED
        phi = power_sums(points.x[resolved] - mean, points.weight[resolved], step, start, more)
        if points.atom:
            phi += points.atom * np.exp(-1j * mean * step * np.arange(start, start + more))
        parts.append(phi)
        start += more
    return np.concatenate(parts)
