"""Tables of activations: piecewise cubics that stand for any function of one number, as the kernels read them.

Nodes stand at |u| = m 2^k - 1 on either side of 0, with m from 1 to 2 in 2^fine steps and k = 0 .. octaves - 1: cells
are as wide as 2^-fine (1 + |u|), rounded down to a power of two. A kink cuts the cell that it is in, and beyond the
last node there is a straight line. With d = |u| - (node below) a cell has four float32,

.. code-block:: text

    sigma(u) = a0 + a1 d + a2 d^2 + a3 d^3

A table is the activation: kernels, twin, modules and theory read the same numbers. It is made of a function so that
values are off by less than 5e-7 of the largest |sigma(v)| or |v sigma'(v)| of all |v| <= |u|, and slopes by less than
5e-7 of the steepest one; float32 adds as much at most (``csrc/include/resmc/activation_table.hpp``).
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_KINKS = 8  # on either side of 0
MOST_OCTAVES = 24
MOST_CELLS = 1 << 14
COARSEST, FINEST = 3, 10
ERROR = 5e-7  # largest error of a table
SAMPLES = 9  # values from each cell: a polynomial of degree 8 has all digits of what a cubic may stand for
DISAGREEMENT = 1e-5  # largest distance of slopes that are handed in from those of the values, in units of the steepest
FARTHEST = 2.0**MOST_OCTAVES - 1.0

_AT = np.cos(np.pi * (np.arange(SAMPLES) + 0.5) / SAMPLES)[::-1]  # Chebyshev's points of -1 to 1, ends not among them
_TO_POWERS = np.linalg.inv(np.vander(_AT, SAMPLES, increasing=True))
_THREE = np.cos(np.pi * (np.arange(3) + 0.5) / 3)[::-1]
_THREE_TO_POWERS = np.linalg.inv(np.vander(_THREE, 3, increasing=True))
_CHECKED = np.concatenate([[-1.0 + 1e-6], np.linspace(-0.97, 0.97, 12), [1.0 - 1e-6]])


class Cells(NamedTuple):
    """Cells of a table in the order of u, as functions of x - origin: a cell ends at the next one's first edge."""

    edges: Floats  # (M - 1,)
    origins: Floats  # (M,)
    powers: Floats  # (M, 4)


@dataclass(frozen=True, eq=False)
class KernelTable:
    """A table as the kernels take it.

    Attributes
    ----------
    fine, octaves : int
        Cells of an octave are 2^fine; beyond ``octaves`` of them there is a straight line.
    above, below : tuple of float
        |kinks| above 0 and below, increasing.
    cells : ndarray, shape (M, 4)
        float32: the cells above 0, from 0 outwards, then those below.
    """

    fine: int
    octaves: int
    above: tuple[float, ...]
    below: tuple[float, ...]
    cells: NDArray[np.float32]

    @property
    def array(self) -> NDArray[np.float32]:
        """Kinks and cells in one array, as ``activation_table.hpp`` reads them."""
        kinks = np.full((2, MOST_KINKS), np.inf, np.float32)
        kinks[0, : len(self.above)], kinks[1, : len(self.below)] = self.above, self.below
        return np.concatenate([kinks.ravel(), self.cells.ravel()])

    @property
    def packed(self) -> str:
        """The cells in base64, as files have them."""
        return base64.b64encode(zlib.compress(self.cells.astype("<f4").tobytes(), 9)).decode("ascii")

    @property
    def counts(self) -> tuple[int, int]:
        """Number of cells above 0 and below."""
        side = (self.octaves << self.fine) + 1
        return side + len(self.above), side + len(self.below)

    @cached_property
    def ordered(self) -> Cells:
        """The cells in the order of u, in float64."""
        count = self.counts[0]
        parts = []
        for sign, kinks, cells in ((1.0, self.above, self.cells[:count]), (-1.0, self.below, self.cells[count:])):
            low, _, origins = side_cells(self.fine, self.octaves, kinks)
            parts.append((sign * low, sign * origins, cells.astype(np.float64) * sign ** np.arange(4)))
        (up, up_origins, up_powers), (down, down_origins, down_powers) = parts
        return Cells(
            np.concatenate([down[:0:-1], up]),
            np.concatenate([down_origins[::-1], up_origins]),
            np.concatenate([down_powers[::-1], up_powers]),
        )

    def value(self, x: Floats) -> Floats:
        """Return sigma(x)."""
        d, a = self._at(x)
        return a[..., 0] + d * (a[..., 1] + d * (a[..., 2] + d * a[..., 3]))

    def slope(self, x: Floats) -> Floats:
        """Return sigma'(x), at a kink that from below."""
        d, a = self._at(x)
        return a[..., 1] + d * (2.0 * a[..., 2] + 3.0 * d * a[..., 3])

    def _at(self, x: Floats) -> tuple[Floats, Floats]:
        cells, x = self.ordered, np.asarray(x, np.float64)
        which = np.searchsorted(cells.edges, x, side="left")
        return x - cells.origins[which], cells.powers[which]

    def torch(self, torch: Any, x: Any) -> Any:
        """Return sigma(x) of a tensor, which torch differentiates as often as it is asked to."""
        d, a = self._tensors(torch, x)
        return a[0] + d * (a[1] + d * (a[2] + d * a[3]))

    def pulled(self, torch: Any, g: Any, x: Any, y: Any) -> Any:
        """Return g sigma'(x) of tensors."""
        d, a = self._tensors(torch, x)
        return g * (a[1] + d * (2.0 * a[2] + 3.0 * d * a[3]))

    def _tensors(self, torch: Any, x: Any) -> tuple[Any, list[Any]]:
        edges, origins, powers = (torch.as_tensor(part, dtype=x.dtype, device=x.device) for part in self.ordered)
        which = torch.bucketize(x.detach(), edges)
        return x - origins[which], [powers[:, i].contiguous()[which] for i in range(4)]


def side_cells(fine: int, octaves: int, kinks: tuple[float, ...]) -> tuple[Floats, Floats, Floats]:
    """Return where the cells of a side of 0 begin and end, and their nodes, in |u|; the last one ends at infinity.

    Where a kink is a node, an empty cell comes first: rounding may lead to it, and it goes on with the cell before it.
    """
    steps = 1.0 + np.arange(1 << fine) / (1 << fine)
    nodes = np.concatenate([*(steps * 2.0**k - 1.0 for k in range(octaves)), [2.0**octaves - 1.0]])
    low = np.sort(np.concatenate([nodes, kinks]))
    return low, np.append(low[1:], np.inf), nodes[np.searchsorted(nodes, low, side="right") - 1]


def tabulated(
    value: Callable[[Floats], Floats], slope: Callable[[Floats], Floats] | None, kinks: tuple[float, ...]
) -> KernelTable:
    """Return the coarsest table that has a function's values and slopes to the stated error.

    Raises
    ------
    ValueError
        If slopes do not match values, or no table is fine enough.
    """
    above = tuple(k for k in kinks if k > 0.0)
    below = tuple(sorted(-k for k in kinks if k < 0.0))
    octaves = _octaves(value, max([*above, *below], default=0.0))
    x = np.concatenate([np.linspace(-8.0, 8.0, 801), [-FARTHEST, FARTHEST]])
    if np.ptp(value(x)) <= 1e-9 * np.abs(value(x)).max():
        raise ValueError("value is not allowed: it is constant, and no input would be felt")
    table, worst = coarsest(value, slope, above, below, octaves)
    if table is None:
        raise ValueError(
            f"value is not allowed: it is not smooth enough near x={worst:.6g} to be tabulated to 1e-6; give all "
            "places where it bends as kinks"
        )
    return table


def coarsest(
    value: Callable[[Floats], Floats],
    slope: Callable[[Floats], Floats] | None,
    above: tuple[float, ...],
    below: tuple[float, ...],
    octaves: int,
) -> tuple[KernelTable | None, float]:
    """Return the coarsest good enough table of so many octaves, or None, and where the finest one tried is worst."""
    worst = (np.inf, 0.0)
    for fine in range(COARSEST, FINEST + 1):
        if 2 * ((octaves << fine) + 1) + len(above) + len(below) > MOST_CELLS:
            break
        found = [_side(value, slope, sign, fine, octaves, own) for sign, own in ((1.0, above), (-1.0, below))]
        steepest = max(float(np.abs(side.slopes).max()) for side in found)
        worst = _worst_error(found, steepest)
        if worst[0] < 1.0:
            if slope is not None:
                _check_slopes(found, steepest)
            table = KernelTable(fine, octaves, above, below, np.concatenate([side.cells for side in found]))
            return table, worst[1]
    return None, worst[1]


def unpacked(what: str, given: Any, count: int) -> NDArray[np.float32]:
    """Return the cells of a table from what `KernelTable.packed` gives, (count, 4).

    Raises
    ------
    ValueError
        For anything else; ``what`` has the table.
    """
    try:
        opened = zlib.decompressobj()
        raw = opened.decompress(base64.b64decode(given, validate=True), 16 * MOST_CELLS + 1)
    except (TypeError, ValueError, binascii.Error, zlib.error):
        raise ValueError(f"{what}'s table is not allowed: it cannot be unpacked") from None
    if len(raw) != 16 * count:
        raise ValueError(f"{what}'s table is not allowed: it must have {count} cells")
    cells = np.frombuffer(raw, "<f4").reshape(count, 4).astype(np.float32)
    if not np.isfinite(cells).all():
        raise ValueError(f"{what}'s table is not allowed: it is not finite")
    return cells


class _Side(NamedTuple):
    """A side of 0, tabulated: cells, and at some places of each (M, P) where they are, values, slopes and errors."""

    cells: NDArray[np.float32]
    x: Floats
    values: Floats
    slopes: Floats
    value_errors: Floats
    slope_errors: Floats
    disagreement: Floats


@np.errstate(over="ignore", invalid="ignore")  # values that overflow are refused afterwards
def _side(
    value: Callable[[Floats], Floats],
    slope: Callable[[Floats], Floats] | None,
    sign: float,
    fine: int,
    octaves: int,
    kinks: tuple[float, ...],
) -> _Side:
    low, high, origins = side_cells(fine, octaves, kinks)
    high[-1] = 2.0 * low[-1] + 1.0
    centre, half = 0.5 * (low + high)[:, None], np.maximum(0.5 * (high - low)[:, None], 1e-30)
    inner = value(sign * (centre + half * _AT))
    powers = inner @ _TO_POWERS.T  # coefficients in (|u| - centre)/half

    def slopes_at(t: Floats) -> Floats:
        return np.polynomial.polynomial.polyval(t, np.polynomial.polynomial.polyder(powers.T), tensor=True) / half

    own = slopes_at(_THREE)
    quadratic = own @ _THREE_TO_POWERS.T / half ** np.arange(3)  # coefficients in |u| - centre
    shift = origins[:, None] - centre
    a = np.zeros((len(low), 4))
    a[:, 1:2] = quadratic[:, :1] + shift * (quadratic[:, 1:2] + shift * quadratic[:, 2:])
    a[:, 2:3] = (quadratic[:, 1:2] + 2.0 * shift * quadratic[:, 2:]) / 2.0
    a[:, 3:4] = quadratic[:, 2:] / 3.0
    empty = high <= low
    # The straight line has the slope of the way from the last node to far beyond it.
    end = float(low[-1])
    a[-1, 1] = float((value(np.array([sign * FARTHEST * 2.0])) - value(np.array([sign * end])))[0]) / (
        2.0 * FARTHEST - end
    )
    a[-1, 2:] = 0.0
    a[:, 1:] = a[:, 1:].astype(np.float32)
    at_node = value(sign * origins)
    d = centre - origins[:, None]
    middle = value(sign * centre)[:, 0] - (d * (a[:, 1:2] + d * (a[:, 2:3] + d * a[:, 3:])))[:, 0]
    a[:, 0] = np.where(low == origins, at_node, middle)
    for i in np.flatnonzero(empty):
        d = origins[i] - origins[i - 1]
        b1, b2, b3 = a[i - 1, 1:]
        a[i] = at_node[i], b1 + d * (2.0 * b2 + 3.0 * d * b3), b2 + 3.0 * d * b3, b3
    cells = a.astype(np.float32)

    at = centre + half * _CHECKED
    exact, exact_slopes = value(sign * at), slopes_at(_CHECKED)
    d, p = at - origins[:, None], cells.astype(np.float64)[:, :, None]
    values = p[:, 0] + d * (p[:, 1] + d * (p[:, 2] + d * p[:, 3]))
    slopes = p[:, 1] + d * (2.0 * p[:, 2] + 3.0 * d * p[:, 3])
    given = exact_slopes if slope is None else sign * slope(sign * at)
    kept = ~empty
    return _Side(
        cells,
        (sign * at)[kept],
        exact[kept],
        exact_slopes[kept],
        np.abs(values - exact)[kept],
        np.abs(slopes - exact_slopes)[kept],
        np.abs(given - exact_slopes)[kept],
    )


def _worst_error(sides: list[_Side], steepest: float) -> tuple[float, float]:
    """Return the largest error in units of what is allowed, and where it is."""
    x = np.concatenate([side.x.ravel() for side in sides])
    values = np.concatenate([side.values.ravel() for side in sides])
    slopes = np.concatenate([side.slopes.ravel() for side in sides])
    order = np.argsort(np.abs(x))
    sizes = np.empty_like(x)
    sizes[order] = np.maximum.accumulate(np.maximum(np.abs(values), np.abs(x * slopes))[order])
    value_errors = np.concatenate([side.value_errors.ravel() for side in sides])
    slope_errors = np.concatenate([side.slope_errors.ravel() for side in sides])
    errors = np.maximum(
        value_errors / np.maximum(ERROR * sizes, 1e-300), slope_errors / np.maximum(ERROR * steepest, 1e-300)
    )
    errors[(value_errors <= 1e-40) & (slope_errors <= 1e-40)] = 0.0
    worst = int(np.argmax(errors))
    return float(errors[worst]), float(x[worst])


def _check_slopes(sides: list[_Side], steepest: float) -> None:
    for side in sides:
        worst = np.unravel_index(int(np.argmax(side.disagreement)), side.disagreement.shape)
        if not float(side.disagreement[worst]) <= DISAGREEMENT * steepest:
            raise ValueError(
                f"slope does not match value: near x={float(side.x[worst]):.6g} it is off by "
                f"{float(side.disagreement[worst]):.3g} from the difference quotients of value"
            )


def _octaves(value: Callable[[Floats], Floats], least: float) -> int:
    """Return the octaves beyond which a function is as good as straight on both sides."""
    for octaves in range(1, MOST_OCTAVES + 1):
        end = 2.0**octaves - 1.0
        if end > least and _straight(value, end):
            return octaves
    raise ValueError("value is not allowed: it must be as good as a straight line for large |x|, and is not up to 2^24")


def _straight(value: Callable[[Floats], Floats], end: float) -> bool:
    within = np.abs(value(np.linspace(-end, end, 257))).max()
    x = np.concatenate([np.linspace(end, 2.0 * end + 1.0, 65), np.geomspace(2.0 * end + 1.0, 2.0 * FARTHEST, 65)])
    for sign in (1.0, -1.0):
        found = value(sign * x)
        line = found[0] + (found[-1] - found[0]) * ((x - end) / (x[-1] - end))
        if not (np.abs(found - line) <= 0.2 * ERROR * np.maximum(np.abs(found), within)).all():
            return False
    return True
