"""Heat maps of a sweep's quantities over any two of its dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief
from ..engine.lowering import QUOTIENTS
from ..results.estimates import Floats
from ..results.observables import OBSERVABLES
from ..sweep.result import SweepResult
from . import maps
from . import style as st
from .fields import axis_label, label_of
from .select import chosen, letter_of_sweep, say_fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("value", "stderr", "relative")
REACH = 9.21  # logarithm of a quotient at which colours end: two powers of ten of the ratio whose square it is


def plot_sweep(
    result: SweepResult,
    quantity: str = "log_norm.variance",
    x: str | None = None,
    y: str | None = None,
    show: str = "value",
    *,
    sel: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw a quantity of the last layer over two dimensions of a sweep as a heat map, a cell for each point.

    Parameters
    ----------
    result : SweepResult
    quantity : str
        A name of ``result.estimates``, as ``log_norm.variance``, ``growth`` or ``displacement.median``: quantities of
        the last layer, of gradients those of layer 0.
    x, y : str, optional
        Dimensions of the sweep; by default the last and the first that ``sel`` leaves.
    show : {"value", "stderr", "relative"}
        The estimate, its standard error, or (value - limit)/limit (none where the limit is 0 or not known).
    sel : mapping, optional
        Values to which the other dimensions are fixed: ``{"variant": "vanilla"}``.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the map (a ``QuadMesh``).

    Raises
    ------
    ValueError
        For a quantity, dimension, value or ``show`` that does not exist, if dimensions remain that are neither drawn
        nor fixed, if there is nothing to show at any point, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    Points without a value are grey and hatched, points without a standard error have a circle, and the legend says so.
    Colours end at the values that have an error, but reach at least four standard errors to either side of their
    middle: what is noise looks alike. Medians and means of ratios have colours that part at 0, where the ratio is 1,
    and end two powers of ten from there. Maps of up to six cells along each axis have numbers and errors written into
    their cells, all with as many decimals.
    """
    st.require("plot_sweep")
    st.check_kind("result", result, (SweepResult,), "a SweepResult")
    quantity = checks.choice("quantity", quantity, tuple(result.estimates))
    show = checks.choice("show", show, SHOWN)
    x, y, index = cells(result, x, y, sel)
    values, stderr = _shown(result, quantity, index, show)
    if not np.isfinite(values).any():
        why = {
            "value": "no value at any point here",
            "stderr": "no standard error at any point here: it takes more networks",
            "relative": "nothing to compare at any point here: its limit is 0 or there is none, or there is no value",
        }[show]
        raise ValueError(f"{quantity} has {why}")
    one = OBSERVABLES[quantity]
    name = label_of(one, letter_of_sweep(result))
    labels = {"value": name, "stderr": f"s.e. of {name}", "relative": f"{name}, relative to {one.limit_kind}"}
    missing = {"value": "no value", "stderr": "no standard error", "relative": "no value, no limit, or limit 0"}
    with st.panel("plot_sweep", ax, 2.6) as ax:
        parted = show == "value" and one.sums in QUOTIENTS and quantity.endswith((".median", ".mean"))
        look: st.Style = {"centred": show == "relative" or parted, "percent": show == "relative"}
        maps.draw(ax, values, stderr, labels[show], style, missing=missing[show], errors=show != "stderr",
                  most=REACH if parted else np.inf, **look)  # fmt: skip
        for axis, dimension in ((ax.xaxis, x), (ax.yaxis, y)):
            maps.ticks(axis, getattr(result.plan, dimension))
        ax.set(xlabel=axis_label(x), ylabel=axis_label(y))
        say_fixed(ax, result, sel)
    return ax


def cells(
    result: SweepResult, x: str | None, y: str | None, sel: Mapping[str, Any] | None
) -> tuple[str, str, NDArray[np.int64]]:
    """Return the two dimensions of a map, and the numbers of the points over (y, x).

    Raises
    ------
    ValueError
        If the sweep has no such dimensions, or others are left.
    """
    index, left = chosen(result, sel)
    for name, value in (("x", x), ("y", y)):
        if value is not None and value not in left:
            raise ValueError(
                f"{name}={brief(value)} is not allowed: the dimensions left are {', '.join(left) or 'none'}"
            )
    if x is not None and x == y:
        raise ValueError(f"y={y!r} is not allowed: it is x already")
    if len(left) < 2:
        raise ValueError(f"result has {len(left)} dimensions left ({', '.join(left) or 'none'}): a map needs two")
    x = x or next(name for name in reversed(left) if name != y)
    y = y or next(name for name in left if name != x)
    rest = [name for name in left if name not in (x, y)]
    if rest:
        one = rest[0]
        raise ValueError(
            f"sel leaves {', '.join(rest)} beside x={x!r} and y={y!r}: fix them, as in "
            f"sel={{{one!r}: {getattr(result.plan, one)[0]!r}}}"
        )
    return x, y, index if left.index(y) < left.index(x) else index.T


def _shown(result: SweepResult, quantity: str, index: NDArray[np.int64], show: str) -> tuple[Floats, Floats]:
    """Return the values of the points ``index`` that are shown, and their standard errors."""
    estimate = result.estimates[quantity]
    stderr = np.asarray(estimate.stderr.ravel()[index])
    if show == "stderr":
        return stderr, np.full(stderr.shape, np.nan)
    values = estimate.value.ravel()[index]
    if show == "relative":
        limit = result.limits[quantity]
        values = estimate.relative_difference(limit).ravel()[index]
        with np.errstate(divide="ignore", invalid="ignore"):
            stderr = stderr / np.abs(limit.ravel()[index])
    return np.where(np.isfinite(values), values, np.nan), np.where(np.isfinite(stderr), stderr, np.nan)
