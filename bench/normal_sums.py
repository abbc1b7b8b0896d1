"""Sums over normals, and how they compare with the exact law: moments, tails, correlations between neighbours.

Each quantity has an exact expectation and an exact standard error under independent standard normals, so that a z-score
is one and nothing is estimated twice. Tails are counts: their z-score is that of the exact binomial probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

POWERS = range(1, 9)
SIGMAS = range(1, 7)
# Whose products are summed, and what is paired with what in blocks of shape [network, 4 quads] of successive layers.
PAIRS = {
    "cosine and sine of a draw": "g0 g1, g2 g3",
    "both draws of a quad": "g0 g2, g1 g3",
    "neighbouring quads": "same place, next quad",
    "neighbouring networks": "same neuron, next network",
    "neighbouring layers": "same neuron and network, next layer",
}
FALSE_ALARM = 1e-3  # the probability that a right sample is refused, shared evenly by all lines

Floats = NDArray[np.float64]


@dataclass
class Sums:
    """What is kept of a sample."""

    draws: int = 0
    powers: Floats = field(default_factory=lambda: np.zeros(len(POWERS)))  # sums of g^k
    above: Floats = field(default_factory=lambda: np.zeros(len(SIGMAS)))  # how many g > s
    below: Floats = field(default_factory=lambda: np.zeros(len(SIGMAS)))  # how many g < -s
    pairs: Floats = field(default_factory=lambda: np.zeros(len(PAIRS)))  # how many
    products: Floats = field(default_factory=lambda: np.zeros(len(PAIRS)))  # sums of x y
    squares: Floats = field(default_factory=lambda: np.zeros(len(PAIRS)))  # sums of (x^2 - 1) (y^2 - 1)

    def add(self, other: Sums) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def add_layer(self, normals: NDArray[np.float32], before: Floats | None = None) -> Floats:
        """Adds a block [networks, 4 quads] and its products with the layer before it; returns it as that of the next.

        A block should fit into a core's own cache. Rows are summed one by one by `vecdot`, which starts no threads.
        """
        g = normals.astype(np.float64)
        g2 = g * g
        g3, g4 = g2 * g, g2 * g2
        terms = ((g, None), (g, g), (g2, g), (g2, g2), (g4, g), (g4, g2), (g4, g3), (g4, g4))
        self.draws += g.size
        self.powers += [_dot(x, y) for x, y in terms]
        self.above += [np.count_nonzero(normals > s) for s in SIGMAS]
        self.below += [np.count_nonzero(normals < -s) for s in SIGMAS]
        g2 -= 1.0
        self._add_pairs(self.products, g, before)
        self._add_pairs(self.squares, g2, None if before is None else before * before - 1.0)
        self.pairs += [g.size / 2, g.size / 2, g[:, 4:].size, g[1:].size, 0 if before is None else g.size]
        return g

    @staticmethod
    def _add_pairs(sums: Floats, x: Floats, before: Floats | None) -> None:
        quads = x.reshape(len(x), -1, 4)
        sums[0] += _dot(quads[:, :, 0], quads[:, :, 1]) + _dot(quads[:, :, 2], quads[:, :, 3])
        sums[1] += _dot(quads[:, :, 0], quads[:, :, 2]) + _dot(quads[:, :, 1], quads[:, :, 3])
        sums[2] += _dot(x[:, :-4], x[:, 4:])
        sums[3] += _dot(x[:-1], x[1:])
        if before is not None:
            sums[4] += _dot(before, x)


def _dot(x: Floats, y: Floats | None) -> float:
    return float(x.sum() if y is None else np.vecdot(x, y).sum())


@dataclass(frozen=True)
class Line:
    """A quantity beside its exact value."""

    quantity: str
    expected: float
    measured: float
    stderr: float
    z: float


def lines(sums: Sums) -> Iterator[Line]:
    """Every comparison.

    ::

        mean g^k         E g^k = (k - 1)!! or 0          Var g^k = E g^(2k) - (E g^k)^2
        beyond s sigma   n P(g > s), counted             binomial
        correlations     0                               1 / sqrt(pairs);  of squares: mean of (x^2 - 1)(y^2 - 1) / 2
    """
    n = sums.draws
    for k, total in zip(POWERS, sums.powers, strict=True):
        exact = moment(k)
        yield _line(f"mean of g^{k}", exact, float(total) / n, math.sqrt((moment(2 * k) - exact**2) / n))
    sides = {"above +": sums.above, "below -": sums.below, "beyond +-": sums.above + sums.below}
    for side, counts in sides.items():
        for s, count in zip(SIGMAS, counts, strict=True):
            yield _count(f"{side}{s} sigma", n, float(norm.sf(s)) * (2 if side == "beyond +-" else 1), int(count))
    for i, name in enumerate(PAIRS):
        stderr = 1.0 / math.sqrt(float(sums.pairs[i]))
        yield _line(f"correlation, {name}", 0.0, float(sums.products[i] / sums.pairs[i]), stderr)
        yield _line(f"correlation of squares, {name}", 0.0, float(sums.squares[i] / sums.pairs[i] / 2.0), stderr)


def moment(k: int) -> float:
    """E g^k of a standard normal."""
    return 0.0 if k % 2 else float(math.prod(range(k - 1, 0, -2)))


def _line(quantity: str, expected: float, measured: float, stderr: float) -> Line:
    return Line(quantity, expected, measured, stderr, (measured - expected) / stderr)


def _count(quantity: str, n: int, p: float, count: int) -> Line:
    """The z-score is the normal's with the binomial's probability of being that far off on this side.

    Where the count is the likeliest of all, neither side says anything and it is 0.
    """
    high, low = norm.isf(binom.sf(count - 1, n, p)), norm.ppf(binom.cdf(count, n, p))
    z = high if high > 0.0 else min(low, 0.0)
    return Line(quantity, n * p, count, math.sqrt(n * p * (1.0 - p)), float(z))


@dataclass(frozen=True)
class Verdict:
    """Whether all lines agree with the law."""

    passed: bool
    bound: float  # on |z|, of each line
    worst: Line
    variance_seen: float  # relative error of the variance that would be refused in 99 of 100 runs

    def __str__(self) -> str:
        return (
            f"{'PASSED' if self.passed else 'REFUSED'}: the largest |z| is {abs(self.worst.z):.2f} "
            f"({self.worst.quantity}), the bound {self.bound:.2f}; a right generator fails with probability "
            f"{FALSE_ALARM:g} at most, one whose variance is off by a factor 1 +- {self.variance_seen:.2g} in 99 of "
            "100 runs."
        )


def verdict(compared: list[Line], draws: int) -> Verdict:
    """Bonferroni: each line may be wrong with an even share of FALSE_ALARM. NaN is refused."""
    bound = float(norm.isf(FALSE_ALARM / 2.0 / len(compared)))
    worst = max(compared, key=lambda line: math.inf if math.isnan(line.z) else abs(line.z))
    seen = (bound + float(norm.isf(0.01))) * math.sqrt(2.0 / draws)
    return Verdict(abs(worst.z) <= bound, bound, worst, seen)
