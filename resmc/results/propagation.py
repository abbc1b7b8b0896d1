"""Origins of estimates, and how errors follow from them: to first order, by the slopes of what was computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Slope = Callable[[Floats], Any]


@dataclass(frozen=True)
class Networks:
    """Random networks behind an estimate: ranges (seed, start, stop), start <= number < stop.

    Networks of one seed and number share random numbers even if their models differ, and so are dependent.
    """

    ranges: tuple[tuple[int | str, int, int], ...]

    @staticmethod
    def of(seed: int | str, ranges: Iterable[tuple[int, int]]) -> Networks:
        """Return networks of one seed."""
        return Networks(tuple((seed, start, stop) for start, stop in ranges))

    @staticmethod
    def of_all(several: Iterable[Networks]) -> Networks:
        """Return the networks behind an estimate that was made of all of these."""
        return Networks(tuple(one for networks in several for one in networks.ranges))

    def meet(self, other: Networks) -> bool:
        """Return True if both have networks of one seed and number."""
        return any(s == t and a < d and c < b for s, a, b in self.ranges for t, c, d in other.ranges)


@dataclass(frozen=True, eq=False)
class Part:
    """An estimate that another was made of, entry by entry: arrays of the other's shape.

    ``source`` names the estimate, ``place`` the entry of it, ``networks`` what is known of its networks (a `Networks`
    or None), ``slope`` the derivative by it, ``stderr`` and ``df`` its error.
    """

    source: bytes
    place: NDArray[np.int64]
    networks: NDArray[np.object_]
    slope: Floats
    stderr: Floats
    df: Floats

    def each(self, change: Callable[[Any], Any]) -> Part:
        """Return the part with every array changed alike: indexed, in another shape."""
        place, networks, slope, stderr, df = (
            np.asarray(change(array)) for array in (self.place, self.networks, self.slope, self.stderr, self.df)
        )
        return Part(self.source, place, networks, slope, stderr, df)

    def times(self, slope: Any) -> Part:
        """Return the part of a function that has this derivative by the estimate."""
        return Part(self.source, self.place, self.networks, np.asarray(self.slope * slope), self.stderr, self.df)


def _meet(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.meet(b)


_MEET = np.frompyfunc(_meet, 2, 1)


def added(parts: list[Part]) -> tuple[Part, ...]:
    """Add up the slopes of equal parts, entry by entry."""
    kept: dict[tuple[bytes, bytes], Part] = {}
    for part in parts:
        rest, own = part, (part.source, part.place.tobytes())
        for key in [own] if own in kept else [k for k in kept if k[0] == own[0]] if part.place.ndim else []:
            same = np.asarray(rest.place == kept[key].place)
            if same.any():
                kept[key] = replace(kept[key], slope=kept[key].slope + np.where(same, rest.slope, 0.0))
                rest = rest.times(np.where(same, 0.0, 1.0))
        if own not in kept:
            kept[own] = rest
    return tuple(kept.values())


def _dependent(parts: tuple[Part, ...], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return True where two parts share networks, so that their covariance would be needed."""
    found = np.zeros(shape, bool)
    by_seed: dict[int | str, list[Part]] = {}  # parts of different seeds need no second look
    for part in parts:
        drawn: list[Any] = part.networks.ravel().tolist()
        for seed in {seed for one in drawn if one is not None for seed, _, _ in one.ranges}:
            by_seed.setdefault(seed, []).append(part)
    for alike in by_seed.values():
        for a, b in combinations(alike, 2):
            both = np.asarray((a.slope != 0.0) & (b.slope != 0.0)) & ~found
            if found.all():
                return found
            if both.any():
                found |= both & np.asarray(_MEET(a.networks, b.networks), bool)
    return found


def error(parts: tuple[Part, ...], shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the standard error, and its degrees of freedom by Welch and Satterthwaite.

    With v_i the parts' variances, df = (sum v_i)^2 / sum v_i^2/df_i. There is no error where parts are dependent.
    """
    sizes = [np.where(part.slope == 0.0, 0.0, np.abs(part.slope * part.stderr)) for part in parts]
    largest = np.max(sizes, axis=0)
    shares = [np.where(largest == 0.0, 0.0, size / largest) ** 2 for size in sizes]  # neither over- nor underflow
    whole = sum(shares, np.zeros(shape))
    inverse = sum(((share / whole) ** 2 / part.df for share, part in zip(shares, parts, strict=True)), np.zeros(shape))
    df = np.where(inverse > 0.0, 1.0 / inverse, np.inf)
    fewest = min(np.min(part.df, initial=np.inf) for part in parts)
    stderr = np.where(_dependent(parts, shape), np.nan, largest * np.sqrt(whole))
    return stderr, np.where(np.isnan(whole), fewest, df)


def _bent(slope: Slope) -> Slope:
    """Return the slope of a function that is not linear, NaN where it is 0: there is no error of first order there."""
    return lambda x: np.where(slope(x) == 0.0, np.nan, slope(x))


UNARY: dict[np.ufunc, Slope] = {
    np.positive: np.ones_like,
    np.negative: lambda x: -np.ones_like(x),
    np.absolute: lambda x: np.where(x < 0.0, -1.0, 1.0),
    np.fabs: lambda x: np.where(x < 0.0, -1.0, 1.0),
    np.exp: _bent(np.exp),
    np.exp2: _bent(lambda x: np.log(2.0) * np.exp2(x)),
    np.expm1: _bent(np.exp),
    np.log: _bent(lambda x: 1.0 / x),
    np.log2: _bent(lambda x: 1.0 / (np.log(2.0) * x)),
    np.log10: _bent(lambda x: 1.0 / (np.log(10.0) * x)),
    np.log1p: _bent(lambda x: 1.0 / (1.0 + x)),
    np.sqrt: _bent(lambda x: 0.5 / np.sqrt(x)),
    np.cbrt: _bent(lambda x: 1.0 / (3.0 * np.cbrt(x) ** 2)),
    np.square: _bent(lambda x: 2.0 * x),
    np.reciprocal: _bent(lambda x: -1.0 / x**2),
    np.sin: _bent(np.cos),
    np.cos: _bent(lambda x: -np.sin(x)),
    np.tan: _bent(lambda x: 1.0 / np.cos(x) ** 2),
    np.arctan: _bent(lambda x: 1.0 / (1.0 + x**2)),
    np.sinh: _bent(np.cosh),
    np.cosh: _bent(np.sinh),
    np.tanh: _bent(lambda x: 1.0 / np.cosh(x) ** 2),
}


def _power_slopes(x: Floats, y: Floats) -> tuple[Any, Any]:
    return np.where(y == 0.0, 0.0, _bent(lambda base: y * base ** (y - 1.0))(x)), np.log(x) * x**y


BINARY: dict[np.ufunc, Callable[[Floats, Floats], tuple[Any, Any]]] = {
    np.add: lambda x, y: (1.0, 1.0),
    np.subtract: lambda x, y: (1.0, -1.0),
    np.multiply: lambda x, y: (y, x),
    np.divide: lambda x, y: (1.0 / y, -x / y**2),
    np.power: _power_slopes,
    np.float_power: _power_slopes,
}
OF_VALUES = (  # functions of the values alone
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.isfinite, np.isinf, np.isnan, np.sign, np.signbit,
)  # fmt: skip
