"""Covariances and correlations of A between layers, from sums of products over networks alive at both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine.moments import leave_one_out
from ..engine.recording import GROUPS
from ..engine.sums import ActivitySums, Sums
from .estimates import Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """Covariance of A_l and A_m, and the product of their standard deviations over the same networks.

    Both are arrays over the pairs l <= m of R layers, packed by rows of the upper triangle: R (R + 1)/2 numbers.
    """

    covariance: Floats
    deviations: Floats

    @property
    def correlation(self) -> Floats:
        """The correlation; NaN where a layer's A does not vary."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.deviations > 0, self.covariance / self.deviations, np.nan)


def pair_statistics(s: Sums, activity: ActivitySums) -> Iterator[Pairs]:
    """Yield the statistics of pairs for all networks, and then without each group.

    Sums are over the networks alive at both layers, that is at the later one.
    """
    first, second = np.triu_indices(activity.records.shape[1])
    same = np.flatnonzero(first == second)
    deaths = s.partial_sums.shape[1] > 0
    alive, total = leave_one_out(activity.alive), leave_one_out(activity.asymmetry)
    wholes = {id(a): a.sum(axis=0) for a in (s.products, s.partial_sums, s.partial_squares)}

    def without(array: Floats, j: int) -> Floats:
        whole = wholes[id(array)]
        return np.asarray(whole if j == 0 else whole - array[j - 1])

    def central(products: Floats, sums: Floats, n: Floats) -> Floats:
        return np.asarray((products - sums / n) / (n - 1.0))

    for j in range(GROUPS + 1):
        products, n, sums = without(s.products, j), alive[j].astype(float), total[j]
        squares = products[same]
        with np.errstate(divide="ignore", invalid="ignore"):
            if not deaths and (n == n[0]).all():  # a layer's variance is the same in all of its pairs
                deviation = np.sqrt(central(squares, sums**2, n))
                yield Pairs(central(products, sums[first] * sums[second], n[:1]), deviation[first] * deviation[second])
                continue
            sum_l = without(s.partial_sums, j) if deaths else sums[first]
            square_l = without(s.partial_squares, j) if deaths else squares[first]
            sum_m, square_m, n = sums[second], squares[second], n[second]
            yield Pairs(
                central(products, sum_l * sum_m, n),
                np.sqrt(central(square_l, sum_l**2, n)) * np.sqrt(central(square_m, sum_m**2, n)),
            )


def places_of_pairs(size: int) -> NDArray[np.int64]:
    """Return for every two of so many layers where their pair stands in the packed upper triangle, (R, R)."""
    upper = np.zeros((size, size), np.int64)
    upper[np.triu_indices(size)] = np.arange(size * (size + 1) // 2)
    return upper + np.triu(upper, 1).T
