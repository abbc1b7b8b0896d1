"""What an estimate was made of, and how errors follow from that: to first order, by the slopes of what was computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Slope = Callable[[Floats], Any]


@dataclass(frozen=True)
class Networks:
    """Random networks behind an estimate: their seed, and disjoint ranges [start, stop) of their numbers.

    Networks of one seed and number share random numbers even if their models differ, and so are dependent.
    """

    seed: int | str
    ranges: tuple[tuple[int, int], ...]

    def meet(self, other: Networks) -> bool:
        """Return True if both have networks of one seed and number."""
        return self.seed == other.seed and any(a < d and c < b for a, b in self.ranges for c, d in other.ranges)


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


def _meet(a: Any, b: Any) -> bool:
    return a is not None and b is not None and a.meet(b)


_MEET = np.frompyfunc(_meet, 2, 1)


def added(parts: list[Part], shape: tuple[int, ...]) -> tuple[Part, ...]:
    """Add up the slopes of equal parts; where different ones share networks, their errors are not known."""
    kept: list[Part] = []
    unknown = np.zeros(shape, bool)
    for part in parts:
        for i, other in enumerate(kept):
            same = np.asarray(part.place == other.place) & (part.source == other.source)
            if same.all():
                kept[i] = replace(other, slope=np.asarray(other.slope + part.slope))
                break
            alike = same | np.asarray(_MEET(part.networks, other.networks), bool)
            unknown |= alike & (part.slope != 0.0) & (other.slope != 0.0)
        else:
            kept.append(part)
    if unknown.any():
        kept = [replace(part, stderr=np.where(unknown, np.nan, part.stderr)) for part in kept]
    return tuple(kept)


def error(parts: tuple[Part, ...], shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the standard error, and its degrees of freedom by Welch and Satterthwaite.

    With v_i the parts' variances, df = (sum v_i)^2 / sum v_i^2/df_i.
    """
    variances = [np.where(part.slope == 0.0, 0.0, (part.slope * part.stderr) ** 2) for part in parts]
    total = sum(variances, np.zeros(shape))
    # shares of the whole, whose squares neither over- nor underflow
    inverse = sum(((v / total) ** 2 / part.df for v, part in zip(variances, parts, strict=True)), np.zeros(shape))
    df = np.where(inverse > 0.0, 1.0 / inverse, np.inf)
    return np.sqrt(total), np.where(np.isnan(total), min(np.min(p.df, initial=np.inf) for p in parts), df)


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
OF_VALUES = (  # what asks for the values alone
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.isfinite, np.isinf, np.isnan, np.sign, np.signbit,
)  # fmt: skip
