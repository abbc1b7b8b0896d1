"""Counts of final values in narrow bins, of which only the occupied ones are kept: laws that can be added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr

BIN_WIDTH = 2.0**-16  # width of a bin, in natural logarithms
LEAST_JOINED = 1 << 20  # bins that may wait in any case


@dataclass(frozen=True, eq=False)
class FinalCounts:
    """Counts of networks by value.

    Attributes
    ----------
    bins : ndarray of int, shape (K,)
        The occupied bins, increasing: bin b holds the values from b to b + 1 times 2^-16.
    counts : ndarray of int, shape (K,)
    zeros : int
        Networks whose value is -infinity: the logarithm of 0.
    exploded : int
        Networks whose value is +infinity.
    """

    __repr__ = brief_repr

    bins: NDArray[np.int64]
    counts: NDArray[np.int64]
    zeros: int = 0
    exploded: int = 0

    def __post_init__(self) -> None:
        self.bins.setflags(write=False)
        self.counts.setflags(write=False)

    @staticmethod
    def counted(values: NDArray[np.float64]) -> FinalCounts:
        """The counts of some values, infinite ones among them.

        Raises
        ------
        ValueError
            If a value is NaN: it has no place in a law, and leaving it out would shift all quantiles.
        """
        if np.isnan(values).any():
            raise ValueError(f"values holds {int(np.isnan(values).sum())} NaN: a law has numbers and infinities alone")
        finite = values[np.isfinite(values)]
        bins, counts = np.unique(np.floor(finite / BIN_WIDTH).astype(np.int64), return_counts=True)
        exploded = int(np.isposinf(values).sum())
        return FinalCounts(bins, counts.astype(np.int64), len(values) - len(finite) - exploded, exploded)

    @staticmethod
    def added(parts: Iterable[FinalCounts]) -> FinalCounts:
        """The counts of all networks of several."""
        parts = list(parts)
        bins, where = np.unique(np.concatenate([part.bins for part in parts]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, where, np.concatenate([part.counts for part in parts]))
        return FinalCounts(bins, counts, sum(part.zeros for part in parts), sum(part.exploded for part in parts))


class Tally:
    """Counts of final values that come part by part.

    Parts wait until they hold as many bins as what is joined already: joining each as it comes would sort the whole law
    once more for every part.
    """

    def __init__(self) -> None:
        self.joined = FinalCounts(np.empty(0, np.int64), np.empty(0, np.int64))
        self.waiting: list[FinalCounts] = []

    def add(self, values: NDArray[np.float64]) -> None:
        """Counts some values, -infinity among them."""
        self.add_counts(FinalCounts.counted(values))

    def add_counts(self, counts: FinalCounts) -> None:
        """Takes counts over."""
        self.waiting.append(counts)
        if sum(len(part.bins) for part in self.waiting) > max(len(self.joined.bins), LEAST_JOINED):
            self._join()

    def counts(self) -> FinalCounts:
        """All counts so far."""
        self._join()
        return self.joined

    def _join(self) -> None:
        if self.waiting:
            self.joined = FinalCounts.added([self.joined, *self.waiting])
            self.waiting = []
