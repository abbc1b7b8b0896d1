"""Heat maps of a sweep's quantities over any two of its dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief
from ..models.fields import told_apart
from ..results.estimates import Floats
from ..results.observables import OBSERVABLES
from ..sweep.result import SweepResult
from . import style as st
from .fields import axis_label, in_words, label_of
from .select import chosen, letter_of_sweep, say_fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = ("value", "stderr", "relative")
MOST_TICKS = 8
MOST_WRITTEN = 6  # cells along an axis, up to which values are written into the cells


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
    Points without a value are grey and hatched, and the legend says so. Maps of up to six cells along each axis have
    the numbers written into their cells.
    """
    st.require("plot_sweep")
    st.check_kind("result", result, (SweepResult,), "a SweepResult")
    quantity = checks.choice("quantity", quantity, tuple(result.estimates))
    show = checks.choice("show", show, SHOWN)
    x, y, index = cells(result, x, y, sel)
    values = _shown(result, quantity, index, show)
    if not np.isfinite(values).any():
        why = {
            "value": "no value at any point here",
            "stderr": "no standard error at any point here: it takes more networks",
            "relative": "nothing to compare at any point here: its limit is 0 or there is none, or there is no value",
        }[show]
        raise ValueError(f"{quantity} has {why}")
    with st.panel("plot_sweep", ax, 2.6) as ax:
        rows, columns = values.shape
        ax.set_facecolor(st.MISSING)
        given: st.Style = {"cmap": "cividis"}
        if show == "relative":
            reach = float(np.nanmax(np.abs(values))) or 1.0
            given = {"cmap": st.diverging()} | ({} if "norm" in style else {"vmin": -reach, "vmax": reach})
        mesh = ax.pcolormesh(np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, values, **given | style)
        notes = []
        missing = ~np.isfinite(values)
        if missing.any():
            words = {"value": "no value", "stderr": "no standard error"}.get(show, "no value, no limit, or limit 0")
            notes.append(hatch(ax, missing, words))
        one = OBSERVABLES[quantity]
        name = label_of(one, letter_of_sweep(result))
        labels = {"value": name, "stderr": f"s.e. of {name}", "relative": f"{name}, relative to {one.limit_kind}"}
        bar = st.colour_bar(ax, mesh, labels[show])
        if show == "relative":
            from matplotlib.ticker import PercentFormatter

            bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        if max(rows, columns) <= MOST_WRITTEN:
            _write(ax, mesh, values, show)
        elif show == "relative" and (dashes := st.mark_negative(ax, range(columns), range(rows), values, reach)):
            notes.append(dashes)
        for axis, dimension in ((ax.xaxis, x), (ax.yaxis, y)):
            ticks(axis, getattr(result.plan, dimension))
        ax.set(xlabel=axis_label(x), ylabel=axis_label(y))
        say_fixed(ax, sel)
        if notes:
            st.legend(ax, notes)
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


def _shown(result: SweepResult, quantity: str, index: NDArray[np.int64], show: str) -> Floats:
    """Return the values of the points ``index`` that are shown."""
    estimate = result.estimates[quantity]
    if show == "stderr":
        return np.asarray(estimate.stderr.ravel()[index])
    values = estimate.value.ravel()[index]
    if show == "relative":
        values = estimate.relative_difference(result.limits[quantity]).ravel()[index]
    return np.where(np.isfinite(values), values, np.nan)


def hatch(ax: Axes, missing: Any, words: str) -> Any:
    """Hatch the cells without a value, and return their entry of the legend."""
    from matplotlib.patches import Patch, Rectangle

    for row, column in np.argwhere(missing):
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1.0, 1.0, fc=st.MISSING, ec="0.5", hatch="////", lw=0.0))
    return Patch(fc=st.MISSING, ec="0.5", hatch="////", lw=0.0, label=words)


def _write(ax: Axes, mesh: Any, values: Floats, show: str) -> None:
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = mesh.to_rgba(value)
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5
            text = f"{value:+.1%}".replace("-", "−") if show == "relative" else f"{value:.3g}".replace("-", "−")
            ax.text(column, row, text, ha="center", va="center", fontsize=st.LEGEND, color="w" if dark else "k")


def ticks(axis: Any, values: tuple[Any, ...]) -> None:
    """Put at most eight ticks, at the centres of cells."""
    where = range(0, len(values), -(-len(values) // MOST_TICKS))
    words = told_apart(values, in_words)
    axis.set_ticks(list(where), [words[i] for i in where])
