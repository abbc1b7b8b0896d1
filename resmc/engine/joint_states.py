"""States of several inputs in some networks, from inner products of the columns that the kernels carry."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DUST = 2.0**-40  # share of squared norms that float32 leaves of an input that is 0 while input 0 is not
NEAR = 120  # powers of two up to which units of columns need no care
LOWEST = -(1 << 30)  # exponent of a vector that is 0
# Shares of a squared difference, across a state, below which rounding may have made all of the angle. A difference of
# two columns besides column 0 has the rounding of both; and what is left across them, the kernels drop below 1e-12.
ALIGNED = 1e-12
CLOSE = 1e-10


def power(exponent: Integers) -> Floats:
    """Return 2^exponent, 0 below the range of floats and infinity above it, faster than `numpy.ldexp` does."""
    biased = np.clip(exponent, -1023, 1024)
    biased += 1023
    biased <<= 52
    return biased.view(np.float64)


class States:
    """Inner products of the states of all inputs in N networks, in units of 4^exponent (N,), from those of columns.

    Columns are h^0 and the differences d_a = h^a - h^0, in units of their own; ``norms`` has |h^a|^2 of every input, 0
    where it is dead. ``log_scale`` (m - 1, N) are logarithms of what the states of all inputs but the first are kept
    without: `scale` multiplies it to products. Where networks are ``lined`` (`resmc.engine.joint.lined`), states that
    seem to be on one line are.
    """

    def __init__(self, gram: Floats, unit: NDArray[np.int32], log_scale: Floats, lined: bool = False) -> None:
        count = len(unit)
        self.lined, self.log_scale = lined, [np.zeros(1), *log_scale]
        self.scaled = bool(log_scale.any())
        self.gram, self.count = gram, count
        if unit.min() > -NEAR and unit.max() < NEAR:  # near enough for all to have the unit 1
            self.exponent = self.apart = np.zeros(1, np.int64)
            self.large = self.small = [power(row.astype(np.int64)) for row in unit]
        else:
            self.exponent = _largest([(gram[a * (a + 3) // 2], unit[a]) for a in range(count)])
            self.apart = _largest([(gram[a * (a + 3) // 2], unit[a]) for a in range(1, count)] or [(gram[0], unit[0])])
            self.large = [power(unit[a] - self.exponent) for a in range(count)]  # factor of a column in states' unit
            self.small = [power(unit[a] - self.apart) for a in range(count)]  # factor in that of the differences
        self.first: Floats = gram[0] * self.large[0] ** 2
        self.along = [self.first] + [self._column(a, 0) for a in range(1, count)]  # h^0 . d_a
        self.norms: list[Floats] = [self.first]
        self.dead: list[NDArray[np.bool_]] = [self.first <= 0.0]
        for a in range(1, count):
            own = self._column(a, a)
            norm = self.first + 2.0 * self.along[a] + own
            dead = norm <= DUST * (self.first + own)
            if dead.any():
                norm = np.where(dead, 0.0, norm)
            self.norms.append(norm)
            self.dead.append(dead)
        self.living = not any(dead.any() for dead in self.dead)

    def _column(self, a: int, b: int) -> Floats:
        """Inner product of two columns, a >= b, in the states' unit."""
        found: Floats = self.gram[a * (a + 1) // 2 + b] * self.large[a] * self.large[b]
        return found

    def product(self, a: int, b: int) -> Floats:
        """Return h^a . h^b, a >= b."""
        if a == b:
            return self.norms[a]
        found: Floats = self.first + self.along[a]
        if b > 0:
            found += self.along[b]
            found += self._column(a, b)
        if not self.living:
            found[self.dead[a] | self.dead[b]] = 0.0
        return found

    def scale(self, a: int, b: int) -> Floats:
        """Return the factor of the product of two states."""
        return np.asarray(np.exp(self.log_scale[a] + self.log_scale[b]))

    def across(self, a: int, b: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return |h^a - h^b|^2 |h^b|^2 sin^2 of the angle between these two vectors, and where float32 tells it from 0.

        It is in the units of a difference times that of a state, squared: all digits of the difference count, which is
        far smaller than both states where inputs collapse onto each other. Of two inputs besides input 0 it is what
        the differences of both to input 0 leave.
        """
        gram, small, place = self.gram, self.small, a * (a + 1) // 2
        square = gram[place + a] * small[a] ** 2
        along = gram[place] * small[a] * self.large[0]
        least = ALIGNED * square
        if b > 0:
            other = b * (b + 1) // 2
            theirs = gram[other + b] * small[b] ** 2
            least = CLOSE * (square + theirs)
            square += theirs - 2.0 * gram[place + b] * small[a] * small[b]
            along -= gram[other] * small[b] * self.large[0]
            along += self.large[b] * (gram[place + b] * small[a] - gram[other + b] * small[b])
        whole = self.norms[b] * square
        along *= along
        found = whole - along
        return found, (found > least * self.norms[b]) & (self.norms[a] > 0.0)

    def log_sine_squared(self, a: int, b: int, logs: list[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return ln sin^2 of the angle of inputs a > b, 0 where they are on one line, and where they are not.

        ``logs`` are those of the norms. With delta = h^a - h^b, sin^2 = |delta|^2 |h^b|^2 sin^2(delta, h^b)/(|h^a|^2
        |h^b|^2).
        """
        found, known = self.across(a, b)
        if not known.all():
            found = np.where(known, found, 1.0)
        found = np.log(found)
        found -= logs[a]
        found -= logs[b]
        if self.apart is not self.exponent:
            found += (2.0 * math.log(2.0)) * (self.apart - self.exponent)
        np.minimum(found, 0.0, out=found)
        return (found if known.all() else np.where(known, found, 0.0)), known

    def together(self, a: int, b: int) -> NDArray[np.bool_]:
        """Say where the states of inputs a > b have one direction, as their layer has met multiples of one vector.

        Where networks are `lined`, those are states whose difference to input 0 is along it, as far as float32 tells.
        """
        one = self._along_first(a) if self.lined else np.zeros(1, bool)
        return np.asarray(one & self._along_first(b) if self.lined and b else one)

    def _along_first(self, a: int) -> NDArray[np.bool_]:
        _, known = self.across(a, 0)
        return np.asarray(~known & ~self.dead[a] & ~self.dead[0] & (self.first + self.along[a] > 0.0))


def _largest(columns: list[tuple[Floats, NDArray[np.int32]]]) -> Integers:
    """Return the largest unit of columns that are not 0, of squared norms and units (N,); 0 where all are."""
    units = [np.where(square > 0.0, unit, LOWEST) for square, unit in columns]
    largest = units[0].astype(np.int64)
    for unit in units[1:]:
        np.maximum(largest, unit, out=largest)
    return np.where(largest == LOWEST, 0, largest)
