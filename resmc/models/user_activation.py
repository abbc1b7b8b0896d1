"""Activations of a user's own: any function of one number, made into a table that kernels and all else read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from .activation_record import ActivationRecord
from .activation_table import (
    COARSEST,
    FARTHEST,
    FINEST,
    MOST_CELLS,
    MOST_KINKS,
    MOST_OCTAVES,
    SAMPLES,
    Floats,
    KernelTable,
    tabulated,
    unpacked,
)
from .activations import kinked
from .user_function import UserFunction, checked_function, named

STEEPEST = 2.0**10
FLAT_WITHIN = 8.0  # |x| beyond which float32 may make 0 of what is not
TABLE, SLOPES = 18, 17  # the kernels' numbers of a table, and of two slopes
OF_SLOPES = {"name", "above", "below"}  # fields of a description: a homogeneous activation's, any other's
OF_TABLE = {"name", "table", "fine", "octaves", "kinks", "slope_at_zero", "curvature_at_zero"}


class Activation(UserFunction):
    """An activation of one's own, for ``activation`` of a `ResidualNetwork`.

    The function is made into a table, which is the activation from then on: kernels on CPUs and GPUs, the reference,
    modules and theory read it, a pickle and a file have it, and a store knows it by its hash. The table is a cubic
    between nodes that are no further apart than 2^-3 (1 + |x|), and straight beyond the last of them, at most 2^24 - 1.
    Its values are off by less than 1e-6 of the largest |sigma(v)| or |v sigma'(v)| of all |v| <= |x|, its slopes by
    less than 1e-6 of the steepest slope, float32 included.

    Parameters
    ----------
    value : callable
        sigma(x) of an array of float64 of any shape, entry by entry; a function of torch will do. It must be
        continuous, finite for |x| < 2^25, as good as straight for large |x|, and nowhere steeper than 2^10.
    slope : callable, optional
        sigma'(x). It is only compared with the difference quotients of ``value``, which give the table its slopes.
    name : str, optional
        A name of letters, digits and _, by default that of ``value``.
    homogeneous : bool
        True if sigma(c x) = c sigma(x) for every c > 0: two slopes, which need no table, and all theory of such.
    kinks : sequence of float
        Where sigma bends, at most 8 on either side of 0: nodes of the table. 0 is a node in any case.

    Raises
    ------
    ValueError
        For a function that is not finite, not continuous, too steep, constant, not straight far from 0, or not smooth
        enough between its kinks; for slopes that are not finite or do not match; for a ``homogeneous`` that is not
        true; for a bad name or kinks.

    Examples
    --------
    >>> import numpy as np
    >>> import resmc
    >>> bent = resmc.Activation(lambda x: np.arctan(x) + 0.1 * x, name="bent")
    >>> resmc.ResidualNetwork(64, 10, activation=bent).sigma.odd
    True
    """

    record: ActivationRecord

    def __init__(
        self,
        value: Callable[[Any], ArrayLike],
        slope: Callable[[Any], ArrayLike] | None = None,
        *,
        name: str | None = None,
        homogeneous: bool = False,
        kinks: Sequence[float] = (),
    ) -> None:
        if not callable(value):
            raise ValueError(f"value={brief(value)} is not allowed: it must be a function of an array")
        if slope is not None and not callable(slope):
            raise ValueError(f"slope={brief(slope)} is not allowed: it must be a function of an array, or None")
        self.name = named(value, name)
        sigma, places = _checked("value", value), _kinks(kinks)
        derivative = None if slope is None else _checked("slope", slope)
        if derivative is not None:
            derivative(np.array([-FARTHEST, FARTHEST]))
        if checks.boolean("homogeneous", homogeneous):
            self.record = _of_slopes(*_slopes(sigma, derivative))
            return
        _check_continuous(sigma, places)
        table = tabulated(sigma, derivative, places)
        table, slope_at_zero, curvature = _at_zero(sigma, table)
        self.record = _of_table(table, slope_at_zero, curvature)
        if self.record.steepest > STEEPEST:
            raise ValueError(f"value is not allowed: its slope is up to {self.record.steepest:.4g}, more than 2^10")

    def _held(self) -> NDArray[Any]:
        """Return the table, or the two slopes of a homogeneous one."""
        r = self.record
        return np.array([r.above, r.below]) if r.table is None else r.table.array

    def to_dict(self) -> Plain:
        """Return the activation as plain values, its table among them."""
        r = self.record
        if r.table is None:
            return {"name": self.name, "above": r.above, "below": r.below}
        t = r.table
        return {
            "name": self.name,
            "table": t.packed,
            "fine": t.fine,
            "octaves": t.octaves,
            "kinks": [*(-k for k in reversed(t.below)), *t.above],
            "slope_at_zero": None if math.isnan(r.slope_at_zero) else r.slope_at_zero,
            "curvature_at_zero": None if math.isnan(r.curvature_at_zero) else r.curvature_at_zero,
        }

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> Activation:
        """Return the activation that `to_dict` described.

        Raises
        ------
        ValueError
            For anything else.
        """
        made = object.__new__(Activation)
        if set(described) not in (OF_SLOPES, OF_TABLE):
            raise ValueError(
                f"activation={brief(dict(described))} is not allowed: it must have what resmc.Activation.to_dict gives"
            )
        made.name = named(None, described["name"])
        if set(described) == OF_SLOPES:
            made.record = _of_slopes(checks.real("above", described["above"]), checks.real("below", described["below"]))
            return made
        fine = checks.integer("fine", described["fine"], COARSEST, FINEST)
        octaves = checks.integer("octaves", described["octaves"], 1, MOST_OCTAVES)
        places = _kinks(described["kinks"])
        above, below = tuple(k for k in places if k > 0.0), tuple(sorted(-k for k in places if k < 0.0))
        count = 2 * ((octaves << fine) + 1) + len(places)
        if count > MOST_CELLS or 0.0 in places or max([*above, *below], default=0.0) >= 2.0**octaves - 1.0:
            raise ValueError("an activation's table is not allowed: its kinks and cells are not those of a table")
        cells = unpacked("an activation", described["table"], count)
        at_zero = [
            math.nan if described[key] is None else checks.real(key, described[key])
            for key in ("slope_at_zero", "curvature_at_zero")
        ]
        made.record = _of_table(KernelTable(fine, octaves, above, below, cells), *at_zero)
        if not 0.0 < made.record.steepest <= STEEPEST:
            raise ValueError("an activation's table is not allowed: its slopes are out of range")
        return made


def _kinks(given: Any) -> tuple[float, ...]:
    """Return kinks as float32 has them, in order."""
    found = np.sort(checks.numbers("kinks", given if len(given) else np.zeros(0)).ravel())
    rounded = found.astype(np.float32).astype(np.float64)
    if not (np.abs(rounded) < FARTHEST / 2.0).all() or not (np.diff(rounded) > 0.0).all():
        raise ValueError(f"kinks={brief(given)} are not allowed: they must differ, and be within 2^23 of 0")
    if max((rounded > 0.0).sum(), (rounded < 0.0).sum()) > MOST_KINKS:
        raise ValueError(f"kinks={brief(given)} are not allowed: at most {MOST_KINKS} on either side of 0")
    return tuple(rounded.tolist())


def _checked(name: str, function: Callable[[Any], ArrayLike]) -> Callable[[Floats], Floats]:
    return checked_function(name, function, "x", "for |x| < 2^25")


def _slopes(value: Callable[[Floats], Floats], slope: Callable[[Floats], Floats] | None) -> tuple[float, float]:
    """Return the slopes of a homogeneous function above 0 and below."""
    x = np.concatenate([np.geomspace(1e-3, 1e3, 61), -np.geomspace(1e-3, 1e3, 61)])
    above, below = float(value(np.ones(1))[0]), -float(value(-np.ones(1))[0])
    line = np.where(x > 0.0, above, below)
    if np.abs(value(x) - line * x).max() > 1e-9 * 1e3 * max(abs(above), abs(below), 1e-9):
        raise ValueError("homogeneous=True is not allowed: sigma(c x) is not c sigma(x)")
    if slope is not None and np.abs(slope(x) - line).max() > 1e-5 * max(abs(above), abs(below)):
        raise ValueError("slope does not match value: a homogeneous function has one slope on each side of 0")
    return above, below


def _of_slopes(above: float, below: float) -> ActivationRecord:
    if 0.0 in (above, below):
        raise ValueError("a homogeneous activation with slope 0 on a side of 0 is not allowed: that is 'relu'")
    if max(abs(above), abs(below)) > STEEPEST:
        raise ValueError("a homogeneous activation is not allowed with a slope above 2^10")
    return kinked(SLOPES, above, below)


def _check_continuous(value: Callable[[Floats], Floats], kinks: tuple[float, ...]) -> None:
    for place in sorted({0.0, *kinks}):
        apart = max(abs(place), 1.0) * 1e-6
        low, high = value(np.array([place - apart, place + apart])).tolist()
        if abs(high - low) > 8.0 * STEEPEST * apart:
            raise ValueError(f"value is not allowed: it jumps at x={place:.6g}, and must be continuous")


def _at_zero(value: Callable[[Floats], Floats], table: KernelTable) -> tuple[KernelTable, float, float]:
    """Return slope and curvature at 0, NaN where there are none; and the table, exactly odd where the function is."""
    x = np.concatenate([np.geomspace(1e-6, 1e3, 200), np.linspace(0.01, 20.0, 200)])
    up, down = value(x), value(-x)
    if table.above == table.below and (np.abs(up + down) <= 1e-14 * np.abs(up)).all():
        half = table.cells[: table.counts[0]]
        table = KernelTable(table.fine, table.octaves, table.above, table.below, np.concatenate([half, -half]))
    nearest = min([*table.above, *table.below, 1.0])
    h = min(0.0625, nearest)
    t = 0.5 * h * (np.cos(np.pi * (np.arange(SAMPLES) + 0.5) / SAMPLES)[::-1] + 1.0)
    fits = [np.polynomial.Polynomial.fit(sign * t, value(sign * t), SAMPLES - 1) for sign in (1.0, -1.0)]
    (s1, s2), (c1, c2) = ([float(f.deriv(k)(0.0)) for f in fits] for k in (1, 2))
    steepest = max(abs(s1), abs(s2), float(np.abs(table.slope(np.linspace(-8.0, 8.0, 801))).max()))
    slope = 0.5 * (s1 + s2) if abs(s1 - s2) <= 1e-7 * steepest else math.nan
    curvature = 0.5 * (c1 + c2) if abs(c1 - c2) <= 1e-4 * steepest and not math.isnan(slope) else math.nan
    return table, slope, 0.0 if abs(curvature) < 1e-6 * steepest else curvature


def _of_table(table: KernelTable, slope_at_zero: float, curvature: float) -> ActivationRecord:
    count = table.counts[0]
    up, down = table.cells[:count], table.cells[count:]
    cells = table.ordered
    _, a1, a2, a3 = cells.powers.T
    low, high = np.append(cells.edges[:1] - 1.0, cells.edges), np.append(cells.edges, cells.edges[-1:] + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = np.clip(np.nan_to_num(cells.origins - a2 / (3.0 * a3)), low, high)  # where a cell's slope turns
    slopes = np.array([a1 + d * (2.0 * a2 + 3.0 * d * a3) for d in (x - cells.origins for x in (low, high, bend))])
    flat = (cells.powers == 0.0).all(axis=1) & (np.minimum(np.abs(low), np.abs(high)) < FLAT_WITHIN)
    kinks = (*(-k for k in reversed(table.below)), *((0.0,) if math.isnan(curvature) else ()), *table.above)
    return ActivationRecord(
        TABLE,
        table.value,
        table.slope,
        table.torch,
        table.pulled,
        at_zero=float(up[0, 0]),
        slope_at_zero=slope_at_zero,
        curvature_at_zero=curvature,
        odd=bool(table.above == table.below and np.array_equal(up, -down)),
        steepest=float(np.abs(slopes).max()),
        table=table,
        kinks=kinks,
        vanishes=bool(flat.any()),
    )
