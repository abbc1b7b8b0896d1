"""Columns that the matrices of several inputs meet: column 0 is input 0's vector, column a input a's difference to it.

Inputs of a network come close to each other with depth. Their differences are therefore carried along by themselves, in
units of their own, and keep all their digits; a tangent is a difference that is infinitely small. Columns are ordered:
the m inputs, then the k tangents.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..models.activation_record import ActivationRecord
from .vectors import Floats, without_dust

# In a Gram matrix with unit diagonal, a column whose pivot is below PIVOT is a combination of those before it. Where it
# is below ROUNDING over a pivot before it, times the square of what the column has along that one, it is one too.
PIVOT, ROUNDING = 1e-12, 1e-14
NEAR = 0.5  # smooth functions of points closer than this are subtracted by an integral of their slope
LEAST_NORM = 2.0**-40  # share of the squares of two vectors that rounding leaves of that of their sum, where it is 0
_EXPONENT = 700.0  # exp of it is a float64
_HALF_EXPONENT = 350.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


@dataclass(frozen=True)
class Columns:
    """exp(log) v, some vectors for each network: v of shape (N, c, n), log of shape (N, c, 1)."""

    v: Floats
    log: Floats

    @property
    def count(self) -> int:
        """Number of columns, c."""
        return int(self.v.shape[1])

    def part(self, first: int, end: int) -> Columns:
        """Return the columns from ``first`` to before ``end``."""
        return Columns(self.v[:, first:end], self.log[:, first:end])

    def beside(self, others: Columns) -> Columns:
        """Return these columns and others behind them."""
        return Columns(np.concatenate([self.v, others.v], 1), np.concatenate([self.log, others.log], 1))

    def times(self, factor: float | Floats) -> Columns:
        """Return the columns times a factor."""
        return Columns(factor * self.v, self.log)

    def rescaled(self) -> Columns:
        """Return equal columns with max |v_i| = 1; 0 becomes exp(-inf) 0."""
        size = np.max(np.abs(self.v), axis=2, keepdims=True)
        with np.errstate(divide="ignore"):
            return Columns(self.v / np.where(size > 0.0, size, 1.0), self.log + np.log(size))

    def together(self) -> Columns:
        """Return equal columns in the units of the largest of them."""
        x = self.rescaled()
        top = np.max(x.log, axis=1, keepdims=True)
        top = np.where(np.isneginf(top), 0.0, top)
        return Columns(np.exp(x.log - top) * x.v, np.broadcast_to(top, x.log.shape))

    def stepped(self, carry: float, branch: Columns, dust: bool) -> Columns:
        """Return carry times the columns, and a branch added, whose units may be others; without dust if asked."""
        top = np.maximum(self.log, branch.log)
        top = np.where(np.isneginf(top), 0.0, top)
        own, added = carry * np.exp(self.log - top) * self.v, np.exp(branch.log - top) * branch.v
        return Columns(without_dust(own + added, np.abs(own) + np.abs(added)) if dust else own + added, top)

    def products(self) -> tuple[Floats, Floats]:
        """Return e and g with v_a . v_b = exp(e) g for all pairs a >= b, both (N, P), P = c (c + 1)/2 (`pairs`)."""
        x = self.rescaled()
        log = np.where(np.isneginf(x.log), 0.0, x.log)[:, :, 0]
        a, b = pairs(self.count)
        return log[:, a] + log[:, b], np.einsum("npi,npi->np", x.v[:, a], x.v[:, b])


def pairs(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a and b of all pairs a >= b of ``count`` columns; the pair (a, b) is number a (a + 1)/2 + b."""
    return np.tril_indices(count)


def raw(x: Columns) -> Columns:
    """Return the vectors of all inputs, x_0 and x_0 + (x_a - x_0), in common units; no tangents are among ``x``."""
    top = np.max(x.log, axis=1, keepdims=True)
    top = np.where(np.isneginf(top), 0.0, top)
    written = np.exp(x.log - top) * x.v
    written[:, 1:] += written[:, :1]
    return Columns(written, np.broadcast_to(top, x.log.shape))


# ------------------------------------------------------------------------------------------------- norms


def levelled(x: Columns, inputs: int, skip: bool) -> tuple[Columns, Floats]:
    """Return the columns of a homogeneous network with all inputs at the norm of input 0, and ln of what they lost.

    Input a becomes x^a/rho with rho = |x^a|/|x^0|, its column c_a = x^a - x^0 becomes (c_a - (rho - 1) x^0)/rho, and ln
    rho is returned, (N, m). rho - 1 = (2 c_a.x^0 + |c_a|^2)/(|x^0|^2 (rho + 1)) has the digits that c_a has. Left alone
    are vectors that are 0, and a column along x^0 to within PIVOT; but without a skip that is 0, as states then are on
    one line for good, unless they are opposite.
    """
    x = x.rescaled()
    v, log = x.v.copy(), np.zeros((len(x.v), inputs))
    first = x.v[:, 0]
    start = np.sum(first**2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for a in range(1, inputs):
            along, square = np.sum(x.v[:, a] * first, axis=1), np.sum(x.v[:, a] ** 2, axis=1)
            unit = np.exp(np.minimum(x.log[:, a, 0] - x.log[:, 0, 0], _HALF_EXPONENT))
            grown = 2.0 * along + unit * square
            norm, whole = start + unit * grown, start + unit * (unit * square)
            rho = np.sqrt(norm / start)
            lined = along * along > (1.0 - PIVOT) * start * square
            joined = lined & (start + unit * along > 0.0) & (not skip)
            moved = (start > 0.0) & (square > 0.0) & (norm > LEAST_NORM * whole) & (unit < np.exp(_HALF_EXPONENT))
            moved &= joined | ~lined
            own = np.where(moved, np.where(joined, 0.0, 1.0 / rho), 1.0)[:, None]
            off = np.where(moved & ~joined, grown / (start * rho * (1.0 + rho)), 0.0)[:, None]
            v[:, a] = own * x.v[:, a] - off * first
            log[:, a] = np.where(moved, np.log(rho), 0.0)
    return Columns(v, x.log), log


# ------------------------------------------------------------------------------------------------- Gram matrices


def factored(v: Floats) -> tuple[Floats, Floats]:
    """Return the sizes of vectors (N, c, n), (N, c, 1), and the Cholesky factor L of their cosines, (N, c, c).

    L is lower triangular, and size_a size_b (L L^T)_ab = v_a . v_b. A column of L whose pivot is below 1e-12 is 0: that
    vector is a combination of those before it, as a vector 0 is.
    """
    largest = np.max(np.abs(v), axis=2, keepdims=True)
    shaped = v / np.where(largest > 0.0, largest, 1.0)
    length = np.sqrt(np.sum(shaped**2, axis=2, keepdims=True))
    unit = shaped / np.where(length > 0.0, length, 1.0)
    return largest * length, _cholesky(unit @ unit.transpose(0, 2, 1))


def _cholesky(gram: Floats) -> Floats:
    factor = np.zeros_like(gram)
    for j in range(gram.shape[1]):
        before = np.diagonal(factor, axis1=1, axis2=2)[:, :j]
        along = factor[:, j, :j] / np.where(before > 0.0, before, 1.0)
        pivot = gram[:, j, j] - np.sum(factor[:, j, :j] ** 2, axis=1)
        root = np.sqrt(np.where(pivot < PIVOT + ROUNDING * np.sum(along**2, axis=1), 0.0, pivot))[:, None]
        rest = gram[:, j:, j] - np.einsum("nak,nk->na", factor[:, j:, :j], factor[:, j, :j])
        factor[:, j:, j] = np.where(root > 0.0, rest / np.where(root > 0.0, root, 1.0), 0.0)
        factor[:, j, j] = root[:, 0]
    return factor


def orthonormal(v: Floats) -> Floats:
    """Return q with v_a = size_a sum_b L_ab q_b (`factored`): orthonormal vectors, and 0 where a pivot is."""
    size, factor = factored(v)
    q = v / np.where(size > 0.0, size, 1.0)
    for a in range(q.shape[1]):
        pivot = factor[:, a, a, None]
        rest = q[:, a] - np.einsum("nb,nbi->ni", factor[:, a, :a], q[:, :a])
        q[:, a] = np.where(pivot > 0.0, rest / np.where(pivot > 0.0, pivot, 1.0), 0.0)
    return q


# ------------------------------------------------------------------------------------------------- activations


@dataclass(frozen=True)
class Activated:
    """An activation of some networks, with their signs and masks: kept sigma(signs x).

    An input that is 0 in a neuron is a difference of two equal numbers there, or of nearly equal ones where rounding
    has touched them: x_0 + (x_a - x_0) without dust.
    """

    sigma: ActivationRecord
    signs: Floats  # (N, n), or ones (1, 1)
    kept: Floats = field(default_factory=lambda: np.ones((1, 1)))  # dropout: 0 or 1/sqrt(keep), or ones (1, 1)

    def __call__(self, x: Columns, inputs: int) -> Columns:
        """Return sigma(x_0), the differences sigma(x_a) - sigma(x_0), and sigma'(x_0) t of tangents t.

        Where sigma is not homogeneous, column 0 is written out (log = 0).
        """
        first = self.signs * x.v[:, 0]
        found = [self.sigma.value(first)]
        for a in range(1, inputs):
            start, moved = self._around(x, a)
            difference = self._linear if self.sigma.homogeneous else self._smooth
            found.append(difference(start, moved, x.log[:, a]))
        slope = self.signs * self.sigma.slope(first)
        found += [slope * x.v[:, a] for a in range(inputs, x.count)]
        return Columns(self.kept[:, None] * np.stack(found, axis=1), x.log)

    def slopes(self, x: Columns) -> Floats:
        """Return the slopes at the vectors of all inputs, (N, c, n); no tangents are among ``x``."""
        totals = [self.signs * x.v[:, 0]] + [_sum(*self._around(x, a)) for a in range(1, x.count)]
        return self.kept[:, None] * np.stack([self.signs * self.sigma.slope(total) for total in totals], axis=1)

    def _around(self, x: Columns, a: int) -> tuple[Floats, Floats]:
        """Return s x_0 and s (x_a - x_0): in the units of the difference where sigma is homogeneous, else written out.

        Where a difference is as good as infinitely small, s x_0 is as good as infinite in its units.
        """
        first, moved = self.signs * x.v[:, 0], self.signs * x.v[:, a]
        if not self.sigma.homogeneous:
            return first, np.exp(x.log[:, a]) * moved
        with np.errstate(invalid="ignore"):
            apart = np.nan_to_num(x.log[:, 0] - x.log[:, a], nan=0.0)  # where both are 0
        return np.exp(np.minimum(apart, _EXPONENT)) * first, moved

    def _linear(self, start: Floats, moved: Floats, _: Floats) -> Floats:
        """Return sigma(start + moved) - sigma(start) of a piecewise linear sigma, with a kink at 0 or none."""
        total, slope = _sum(start, moved), self.sigma.slope(start)
        same = slope == self.sigma.slope(total)
        return np.where(same, slope * moved, self.sigma.value(total) - self.sigma.value(start))

    def _smooth(self, start: Floats, moved: Floats, log: Floats) -> Floats:
        """Return the difference of a smooth sigma, divided by exp(log)."""
        unit = np.exp(np.maximum(log, -_EXPONENT))
        far = (self.sigma.value(start + moved) - self.sigma.value(start)) / unit
        near = self._mean_slope(start, moved)
        return np.where(np.abs(moved) < NEAR, near * moved / unit, far)

    def _mean_slope(self, start: Floats, moved: Floats) -> Floats:
        """Return the mean of the slope on the way from start to start + moved, which is cut at kinks."""
        ends = [np.zeros_like(start), np.ones_like(start)]
        if self.sigma.kinks:
            with np.errstate(divide="ignore", invalid="ignore"):
                cuts = [np.clip(np.nan_to_num((kink - start) / moved), 0.0, 1.0) for kink in self.sigma.kinks]
            ends = list(np.sort(np.stack([*ends, *cuts]), axis=0))
        mean = np.zeros_like(start)
        for low, high in itertools.pairwise(ends):
            for node, weight in zip(_NODES, _WEIGHTS, strict=True):
                at = low + 0.5 * (1.0 + node) * (high - low)
                mean += (high - low) * (0.5 * weight) * self.sigma.slope(start + at * moved)
        return mean


def _sum(start: Floats, moved: Floats) -> Floats:
    return without_dust(start + moved, np.abs(start) + np.abs(moved))
