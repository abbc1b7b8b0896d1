"""The law of one number over all networks, from counts in narrow bins: quantiles with errors, whatever the law."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from .._system.words import brief_repr
from ..engine.finals import BIN_WIDTH, FinalCounts
from .arithmetic import share_networks
from .estimates import MIN_NETWORKS, NORMAL_95, Estimate, Floats

UNMOVED = 10  # times as many networks in bin 0 as beside it show that most of them have the value 0 itself
TAIL = 0.025  # probability on either side of an interval of 95%


@dataclass(frozen=True, eq=False)
class Law(FinalCounts):
    """Counts of networks by value, and quantiles, interpolated within a bin.

    Nobody is left out: -infinity lies below all values and +infinity above, in every median and quantile.

    Attributes
    ----------
    bins : ndarray of int, shape (K,)
        The occupied bins, increasing: bin b holds the values from b to b + 1 times 2^-16.
    counts : ndarray of int, shape (K,)
    zeros : int
        Networks whose value is -infinity: the logarithm of 0.
    exploded : int
        Networks whose value is +infinity: what grew beyond all bounds, or started from 0.
    offset : float
        Number that is added to all values.
    """

    __repr__ = brief_repr

    offset: float = 0.0

    _networks: ClassVar[Any] = None

    @staticmethod
    def shifted(counts: FinalCounts, offset: float) -> Law:
        """The law of counted values, each plus ``offset``."""
        return Law(counts.bins, counts.counts, counts.zeros, counts.exploded, offset)

    @staticmethod
    def of(values: Floats, offset: float = 0.0) -> Law:
        """The law of some values, infinite ones among them."""
        return Law.shifted(FinalCounts.counted(values), offset)

    @staticmethod
    def joined(laws: Iterable[Law]) -> Law:
        """The law of all networks of several; all have the same offset."""
        laws = list(laws)
        return Law.shifted(FinalCounts.added(laws), laws[0].offset)

    def of_networks(self, drawn: Any) -> None:
        """Note which networks these are, as `share_networks` takes it: quantiles depend on their other estimates."""
        object.__setattr__(self, "_networks", drawn)

    @property
    def networks(self) -> int:
        """How many."""
        return int(self.counts.sum()) + self.zeros + self.exploded

    def quantile(self, p: ArrayLike) -> Estimate:
        """The value below which the fraction p of the networks lies; an array of p gives an array.

        The standard error is such that the interval of 95% reaches the farther one of the two values that enclose the
        quantile (`enclosing`) on either side; half a bin is added in squares, but for the value that networks have in
        which nothing moves, ln 1 = 0, which is known exactly. There is no error where there is no such value, or where
        one is infinite.

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
        below, above = enclosing(n, wanted)
        value = self._inverse(wanted)
        with np.errstate(invalid="ignore"):
            low, high = (self._inverse((order - 0.5) / n) for order in (below, above))
            within = np.where(self._unmoved() & (low == self.offset) & (high == self.offset), 0.0, 0.5 * BIN_WIDTH)
            stderr = np.hypot(np.maximum(value - low, high - value) / NORMAL_95, within)
        known = (n >= MIN_NETWORKS) & (below >= 1.0) & (above <= n) & np.isfinite(stderr)
        return share_networks(Estimate(value, np.where(known, stderr, np.nan), np.asarray(n)), self._networks)

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
            return np.where(target <= self.zeros, -np.inf, np.inf) if n else np.full(np.shape(p), np.nan)
        i = np.minimum(np.searchsorted(ends, target), len(ends) - 1)
        within = np.clip(1.0 - (ends[i] - target) / self.counts[i], 0.0, 1.0)
        if self._unmoved():
            within = np.where(self.bins[i] == 0, 0.0, within)
        value = (self.bins[i] + within) * BIN_WIDTH + self.offset
        value = np.where(target > ends[-1], np.inf, value)
        return np.where(target <= self.zeros, -np.inf, value) if self.zeros else value

    def _unmoved(self) -> bool:
        """Return True if bin 0 holds far more networks than both bins beside it: it then holds the value 0 itself.

        A law that is narrower than a bin and has its middle near 0 fills bins 0 and -1 alike.
        """
        zero, *beside = (int(self.counts[self.bins == b].sum()) for b in (0, -1, 1))
        return zero > UNMOVED * sum(beside)

    def histogram(self, bins: int = 100) -> tuple[Floats, Floats]:
        """Density over so many equal bins between the lowest and the highest value: (edges, density).

        Infinite values are left out of the density, which then integrates to less than 1.
        """
        bins = checks.integer("bins", bins, 1, 1 << 20, "2^20")
        if not len(self.bins):
            raise ValueError("there is no histogram: every value is infinite, as the logarithm of 0 is")
        low, high = self.bins[0] * BIN_WIDTH, (self.bins[-1] + 1) * BIN_WIDTH
        edges = np.linspace(low, high, bins + 1)
        counts, _ = np.histogram((self.bins + 0.5) * BIN_WIDTH, edges, weights=self.counts)
        return edges + self.offset, counts / (self.networks * np.diff(edges))


def enclosing(n: int, p: Floats) -> tuple[Floats, Floats]:
    """Return r and s: in 95% of samples or more the r-th and the s-th of ``n`` values in order enclose the p quantile.

    How many values lie below the true quantile is binomial, whatever the law, atoms too: r and s - 1 are the quantiles
    of 2.5% and 97.5% of that law. Where there are no such values, r is 0 or s is n + 1.

    Source: Conover 1999, Practical Nonparametric Statistics, 3.2.
    """
    from scipy.special import bdtrik  # not at the top, because it takes long to import

    return np.ceil(bdtrik(TAIL, n, p)), np.ceil(bdtrik(1.0 - TAIL, n, p)) + 1.0
