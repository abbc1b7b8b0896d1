"""Statistics of a heat map: averages over the inputs of a network, then means over independent networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from ..results.estimates import MIN_NETWORKS, Estimate, Floats
from ..results.groups import jackknifed
from ..tables import Column, Shown, Table

RATIO_OF_LOG = 0.5 / math.log(10.0)  # log10 of a ratio, by the natural logarithm of its square
SYMBOLS = {
    "growth": "|h_L|/|h_0|",
    "displacement": "|h_L - h_0|/|h_0|",
    "gradient": "|p_0|/|p_L|",
    "gradient_displacement": "|p_0 - p_L|/|p_L|",
}


@dataclass(frozen=True, eq=False)
class RowSums:
    """The networks of a row, each averaged over its inputs.

    Attributes
    ----------
    averages : ndarray, shape (networks, exponents, quotients)
        Averages over inputs of log10 of a ratio; infinite where one of them is, NaN where they are infinite both ways.
    zeros, exploded : ndarray of int, shape (exponents, quotients)
        Networks with an input whose ratio is 0, and with one that left the range of numbers.
    """

    averages: Floats
    zeros: NDArray[np.int64]
    exploded: NDArray[np.int64]

    @classmethod
    def of(cls, values: Floats) -> RowSums:
        """Average values of `HeatRow.values`, (networks, exponents, inputs, quotients)."""
        with np.errstate(invalid="ignore"):
            averages = RATIO_OF_LOG * values.mean(axis=2)
        zeros, exploded = (there.any(axis=2).sum(axis=0) for there in (np.isneginf(values), np.isposinf(values)))
        return cls(averages, np.asarray(zeros), np.asarray(exploded))

    @classmethod
    def joined(cls, parts: Sequence[RowSums], exponents: int, quotients: int) -> RowSums:
        """Join the parts of a row, in the order of the networks."""
        none = np.zeros((exponents, quotients), np.int64)
        return cls(
            np.concatenate([np.empty((0, exponents, quotients)), *(part.averages for part in parts)]),
            sum((part.zeros for part in parts), none),
            sum((part.exploded for part in parts), none),
        )


@dataclass(frozen=True, eq=False)
class Frontier(Shown):
    """The exponents beta at which networks of one depth neither leave nor keep their input.

    Attributes
    ----------
    quantity : str
        The ratio whose mean logarithm is 0 there, "displacement" or "gradient_displacement".
    hurst : ndarray, shape (H,)
    beta : Estimate, shape (H,)
        NaN where the mean logarithm does not cross 0 in the map.
    limit : ndarray, shape (H,)
        The frontier as the depth grows, where small branches neither grow nor shrink: `resmc.theory.noise_exponent`.
    limit_words : str
        The limit in words.
    """

    __repr__ = brief_repr

    quantity: str
    hurst: Floats
    beta: Estimate
    limit: Floats
    limit_words: str

    def _table(self) -> Table:
        columns = [Column("H", "hurst"), Column("beta", "beta", width=24), Column("as L grows", "limit")]
        rows = [[float(h), self.beta[i], float(x)] for i, (h, x) in enumerate(zip(self.hurst, self.limit, strict=True))]
        return Table(
            "frontier",
            f"frontier: the mean of log10 {SYMBOLS[self.quantity]} is 0",
            columns,
            rows,
            notes=[f"as L grows: {self.limit_words}; at a finite depth the frontier is not yet there"],
        )

    def summary(self) -> Table:
        """Return a table of exponents by H, beside what they are as the depth grows."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def mean_over_networks(averages: Floats) -> Estimate:
    """Estimate the mean over networks, the first axis; fewer than 32 have no error, and neither has an infinite one."""
    n = len(averages)
    shape = averages.shape[1:]
    if n == 0:
        return Estimate(np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, np.int64), np.full(shape, 1.0))
    with np.errstate(invalid="ignore"):
        value = averages.mean(axis=0)
        spread = averages.std(axis=0, ddof=1) if n >= MIN_NETWORKS else np.full(shape, np.nan)
    stderr = np.where(np.isfinite(value), spread / math.sqrt(n), np.nan)
    return Estimate(value, stderr, np.full(shape, n), np.full(shape, float(max(n - 1, 1))))


def crossing(averages: Floats, beta: Floats) -> Estimate:
    """Estimate where the mean over networks (networks, exponents) crosses 0."""
    n = len(averages)
    if n < 2:
        return Estimate(np.array(_zero(averages[0], beta) if n else np.nan), np.array(np.nan), np.array(n), 1.0)
    with np.errstate(invalid="ignore"):
        return jackknifed(averages.T, lambda part: np.array(_zero(part.mean(axis=1), beta)))


def _zero(mean: Floats, beta: Floats) -> float:
    """Return the beta between the last mean above 0 and the next, on a straight line; NaN if there is none."""
    above = np.flatnonzero(mean > 0.0)
    if not above.size or above[-1] + 1 >= len(beta):
        return np.nan
    i = above[-1]
    share = mean[i] / (mean[i] - mean[i + 1]) if np.isfinite(mean[i : i + 2]).all() else np.nan
    return float(beta[i] + share * (beta[i + 1] - beta[i]))
