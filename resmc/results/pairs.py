"""Covariances and correlations of A between layers, from sums of products over networks alive at both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..engine.moments import leave_one_out
from ..engine.recording import GROUPS
from ..engine.sums import ActivitySums, Sums
from .estimates import Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """Covariance of A_l and A_m, and both variances over the same networks; (R, R) arrays, symmetric."""

    covariance: Floats
    first: Floats
    second: Floats

    @property
    def correlation(self) -> Floats:
        """The correlation; NaN where a layer's A does not vary."""
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.sqrt(self.first) * np.sqrt(self.second)
            return np.where(size > 0, self.covariance / size, np.nan)


def pair_statistics(s: Sums, activity: ActivitySums) -> Iterator[Pairs]:
    """Yield the statistics of pairs for all networks, and then without each group.

    Sums are over the networks alive at both layers, that is at the later one.
    """
    size = activity.records.shape[1]
    deaths = s.partial_sums.shape[1] > 0
    alive, total = leave_one_out(activity.alive), leave_one_out(activity.asymmetry)
    later = np.maximum.outer(np.arange(size), np.arange(size))
    earlier = np.minimum.outer(np.arange(size), np.arange(size))
    wholes = {id(a): a.sum(axis=0) for a in (s.products, s.partial_sums, s.partial_squares)}

    def packed(array: Floats, j: int) -> Floats:
        whole = wholes[id(array)]
        return _unpacked(whole if j == 0 else whole - array[j - 1], size)

    for j in range(GROUPS + 1):
        square = packed(s.products, j)
        diagonal = np.diagonal(square)
        n = alive[j].astype(float)[later]
        sum_l = packed(s.partial_sums, j) if deaths else total[j][earlier]
        square_l = packed(s.partial_squares, j) if deaths else diagonal[earlier]
        sum_m, square_m = total[j][later], diagonal[later]
        with np.errstate(divide="ignore", invalid="ignore"):
            yield Pairs(
                *(
                    (a - b / n) / (n - 1.0)
                    for a, b in ((square, sum_l * sum_m), (square_l, sum_l**2), (square_m, sum_m**2))
                )
            )


def _unpacked(packed: Floats, size: int) -> Floats:
    """Return the symmetric matrix of a packed upper triangle."""
    upper = np.zeros((size, size))
    upper[np.triu_indices(size)] = packed
    return upper + np.triu(upper, 1).T
