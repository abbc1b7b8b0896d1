"""The law of one number over all networks, from counts in narrow bins: quantiles with errors, whatever the law."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from .._system.words import brief_repr
from ..engine.finals import BIN_WIDTH, FinalCounts
from .estimates import MIN_NETWORKS, Estimate, Floats


@dataclass(frozen=True, eq=False)
class Law(FinalCounts):
    """Counts of networks by value, and quantiles, interpolated within a bin.

    Attributes
    ----------
    bins : ndarray of int, shape (K,)
        The occupied bins, increasing: bin b holds the values from b to b + 1 times 2^-16.
    counts : ndarray of int, shape (K,)
    zeros : int
        Networks whose value is -infinity: the logarithm of 0.
    offset : float
        Number that is added to all values.
    """

    __repr__ = brief_repr

    offset: float = 0.0

    @staticmethod
    def shifted(counts: FinalCounts, offset: float) -> Law:
        """The law of counted values, each plus ``offset``."""
        return Law(counts.bins, counts.counts, counts.zeros, offset)

    @staticmethod
    def of(values: Floats, offset: float = 0.0) -> Law:
        """The law of some values, -infinity among them."""
        return Law.shifted(FinalCounts.counted(values), offset)

    @staticmethod
    def joined(laws: Iterable[Law]) -> Law:
        """The law of all networks of several; all have the same offset."""
        laws = list(laws)
        return Law.shifted(FinalCounts.added(laws), laws[0].offset)

    @property
    def networks(self) -> int:
        """How many."""
        return int(self.counts.sum()) + self.zeros

    def quantile(self, p: ArrayLike) -> Estimate:
        """The value below which the fraction p of the networks lies; an array of p gives an array.

        The standard error is half the distance of the quantiles of p - sqrt(p (1 - p)/N) and p + sqrt(p (1 - p)/N):
        the number of networks below a value is binomial, whatever the law. To it is added, in squares, half a bin.
        That distance is a sum of 2 sqrt(p (1 - p) N) spacings between neighbours, nearly independent and exponential,
        and so has half as many degrees of freedom.

        Raises
        ------
        ValueError
            If a p does not lie strictly between 0 and 1.
        """
        wanted = np.asarray(p)
        for x in wanted.flat:
            if not 0.0 < checks.real("p", x.item()) < 1.0:
                raise ValueError(f"p={x.item()!r} is not allowed: it must lie strictly between 0 and 1")
        wanted = wanted.astype(np.float64)
        n = self.networks
        spread = np.sqrt(wanted * (1.0 - wanted) / n)
        below, above = wanted - spread, wanted + spread
        with np.errstate(invalid="ignore"):
            stderr = np.hypot(0.5 * (self._inverse(above) - self._inverse(below)), 0.5 * BIN_WIDTH)
        known = (n >= MIN_NETWORKS) & (below > 0.0) & (above < 1.0) & np.isfinite(stderr)
        freedom = np.maximum(spread * n, 1.0)
        return Estimate(self._inverse(wanted), np.where(known, stderr, np.nan), np.asarray(n), freedom)

    @property
    def median(self) -> Estimate:
        """The quantile of 1/2."""
        return self.quantile(0.5)

    def _inverse(self, p: Floats) -> Floats:
        """Where the distribution function, linear within a bin, is p."""
        n = self.networks
        ends = self.zeros + np.cumsum(self.counts)
        target = np.clip(p, 0.0, 1.0) * n
        if not len(ends):
            return np.full(np.shape(p), -np.inf)
        i = np.minimum(np.searchsorted(ends, target), len(ends) - 1)
        within = np.clip(1.0 - (ends[i] - target) / self.counts[i], 0.0, 1.0)
        value = (self.bins[i] + within) * BIN_WIDTH + self.offset
        return np.where(target <= self.zeros, -np.inf, value) if self.zeros else np.asarray(value)

    def histogram(self, bins: int = 100) -> tuple[Floats, Floats]:
        """Density over so many equal bins between the lowest and the highest value: (edges, density).

        Values at -infinity are left out of the density, which then integrates to less than 1.
        """
        bins = checks.integer("bins", bins, 1, 1 << 20, "2^20")
        if not len(self.bins):
            raise ValueError("there is no histogram: every value is the logarithm of 0")
        low, high = self.bins[0] * BIN_WIDTH, (self.bins[-1] + 1) * BIN_WIDTH
        edges = np.linspace(low, high, bins + 1)
        counts, _ = np.histogram((self.bins + 0.5) * BIN_WIDTH, edges, weights=self.counts)
        return edges + self.offset, counts / (self.networks * np.diff(edges))
