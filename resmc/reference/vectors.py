"""Vectors of many networks, one a row: sizes, angles, and a scale carried as a logarithm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DUST = 2.0**-40  # times the size of a sum's terms; less is a rounding error where sums can be exactly 0


def dot(x: Floats, y: Floats) -> Floats:
    """Return x.y of each row, shape (N, 1)."""
    total: Floats = np.sum(x * y, axis=1, keepdims=True)
    return total


def squares(x: Floats) -> Floats:
    """Return |x|^2 of each row, shape (N, 1)."""
    return dot(x, x)


def without_dust(total: Floats, size: Floats) -> Floats:
    """Return a sum whose terms are of a size, 0 where it is but a rounding error beside them.

    float64 leaves about 2^-52 of the terms where a sum is 0, and its terms bring errors along that are not much larger;
    a sum that is below 2^-40 without being 0 is as rare as that is small.
    """
    return np.where(np.abs(total) < DUST * size, 0.0, total)


def norm(x: Floats) -> Floats:
    """Return |x| of each row, shape (N, 1), also where |x|^2 would underflow."""
    direction, size = shaped(x)
    return size * np.sqrt(squares(direction))


def unit(x: Floats) -> Floats:
    """Return x/|x| of each row; a row of zeros stays zero."""
    direction, _ = shaped(x)
    length = norm(direction)
    return direction / np.where(length > 0.0, length, 1.0)


def shaped(x: Floats) -> tuple[Floats, Floats]:
    """Return (x/size, size) with size = max |x_i| of each row, (N, 1); a row of zeros stays zero."""
    size: Floats = np.max(np.abs(x), axis=1, keepdims=True)
    return x / np.where(size > 0.0, size, 1.0), size


def rescaled(x: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Return exp(scale) x as x with max |x_i| = 1 and its scale; a row of zeros stays zero, with scale -inf."""
    direction, size = shaped(x)
    with np.errstate(divide="ignore"):
        return direction, scale + np.log(size)


@dataclass(frozen=True)
class Vectors:
    """exp(log) v, one vector for each network: v of shape (N, n), log of shape (N, 1)."""

    v: Floats
    log: Floats

    def rescaled(self) -> Vectors:
        """Return equal vectors with max |v_i| = 1; 0 becomes exp(-inf) 0."""
        return Vectors(*rescaled(self.v, self.log))

    def written_out(self) -> Vectors:
        """Return equal vectors with log = 0."""
        return Vectors(np.exp(self.log) * self.v, np.zeros_like(self.log))

    def zero(self) -> Vectors:
        """Return as many vectors 0."""
        return Vectors(np.zeros_like(self.v), np.full_like(self.log, -np.inf))

    def plus(self, other: Vectors, size: Floats | None = None) -> Vectors:
        """Return the sum, rescaled; without dust where ``other`` is itself a sum, of terms of a size in its units."""
        top = np.maximum(self.log, other.log)
        top = np.where(np.isneginf(top), 0.0, top)
        own, unit = np.exp(self.log - top) * self.v, np.exp(other.log - top)
        total = own + unit * other.v
        return Vectors(total if size is None else without_dust(total, np.abs(own) + unit * size), top).rescaled()

    def log_square(self) -> Floats:
        """Return ln |exp(log) v|^2, shape (N, 1)."""
        with np.errstate(divide="ignore"):
            return 2.0 * (self.log + np.log(norm(self.v)))


def cosine(a: Vectors, b: Vectors) -> Floats:
    """Return a.b/(|a| |b|), shape (N, 1); nan where one is 0."""
    zero = np.isneginf(a.log_square() + b.log_square())
    return np.where(zero, np.nan, dot(unit(a.v), unit(b.v)))


def log_quotient(a: Vectors, b: Vectors) -> Floats:
    """Return ln(|a|^2/|b|^2), shape (N, 1)."""
    with np.errstate(invalid="ignore"):
        return a.log_square() - b.log_square()
