"""Maps: colours that end where values do, but never within the noise; numbers with errors; what has none, is marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..models.fields import told_apart
from ..results.estimates import Floats
from . import places
from . import style as st
from .fields import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOISE = 4.0  # standard errors that the colours go at least to either side of the middle
MOST_TICKS = 8
MOST_WRITTEN = 6  # cells along an axis, up to which values are written into the cells
MOST_MARKED = 40  # cells along an axis, up to which each cell is marked
MOST_LETTERS = 7  # of a number in a cell
FEWEST_PARTS = 0.4  # logarithm of how many units of the last digit the smallest error has at least: 2.5
CELL_TEXT = 7.0  # points
SEQUENTIAL = "cividis"
BARE = "circle: no error bar"
ALL_BARE = "no cell has an error bar"


@dataclass(frozen=True)
class Scale:
    """The ends of a map's colours, and "neither", "min", "max" or "both" for those that values lie beyond."""

    low: float
    high: float
    beyond: str


def scale(values: Floats, stderr: Floats, *, centred: bool, most: float = np.inf) -> Scale:
    """Return the ends of the colours of ``values`` with the errors ``stderr``, NaN where there is none.

    They hold all values that have an error (all, if none has). They reach at least four standard errors, in quadratic
    mean, to either side of the middle, so that a map of noise is pale and not the whole range of colours.

    Parameters
    ----------
    values, stderr : ndarray
    centred : bool
        True if the middle is 0.
    most : float
        How far centred colours reach at most.
    """
    there = np.isfinite(values)
    trusted = there & np.isfinite(stderr)
    kept = values[trusted if trusted.any() else there]
    noise = NOISE * float(np.sqrt(np.mean(stderr[trusted] ** 2))) if trusted.any() else 0.0
    if centred:
        middle, reach = 0.0, min(max(float(np.abs(kept).max()), noise), most)
    else:
        middle = 0.5 * (float(kept.max()) + float(kept.min()))
        reach = max(0.5 * (float(kept.max()) - float(kept.min())), noise)
    reach = reach or 0.05 * abs(middle) or 1.0
    low, high = middle - reach, middle + reach
    rounding = 1e-9 * reach
    below, above = bool((values[there] < low - rounding).any()), bool((values[there] > high + rounding).any())
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    return Scale(low, high, beyond[below, above])


def draw(
    ax: Axes,
    values: Floats,
    stderr: Floats,
    label: str,
    style: st.Style,
    *,
    centred: bool = False,
    most: float = np.inf,
    missing: str = "no value",
    percent: bool = False,
    errors: bool = True,
    more: Sequence[Any] = (),
) -> Any:
    """Draw a cell for each of ``values``, with a bar of colours, numbers or marks, and a legend for them.

    Parameters
    ----------
    ax : matplotlib Axes
    values, stderr : ndarray, shape (rows, columns)
        Values and their standard errors, NaN where there is none.
    label : str
        The label of the bar of colours.
    style : mapping
        Keywords of the map, which override ours.
    centred, most
        As in `scale`.
    missing : str
        Words for cells without a value.
    percent : bool
        True if numbers are written as percentages with a sign.
    errors : bool
        False if the values are themselves errors, which have none.
    more : sequence of artists
        Entries of the legend for what else is drawn.

    Returns
    -------
    QuadMesh
    """
    rows, columns = values.shape
    ax.set_facecolor(st.MISSING)
    found = scale(values, stderr, centred=centred, most=most)
    given: st.Style = {"cmap": st.diverging() if centred else SEQUENTIAL}
    given |= {} if "norm" in style else {"vmin": found.low, "vmax": found.high}
    mesh = ax.pcolormesh(np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, values, **given | style)
    own = {"norm", "vmin", "vmax"} & set(style)
    bar = st.colour_bar(ax, mesh, label, extend="neither" if own else found.beyond)
    if percent:
        from matplotlib.ticker import PercentFormatter

        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    there = np.isfinite(values)
    bare = there & ~np.isfinite(stderr) & errors
    notes = [*more] if there.all() else [*more, _hatch(ax, ~there, missing)]
    x, y = np.arange(columns), np.arange(rows)
    if max(rows, columns) <= MOST_WRITTEN:
        _write(ax, mesh, values, stderr if errors else np.full(values.shape, np.nan), percent)
    elif centred and (dashes := mark_negative(ax, x, y, values)):
        notes.append(dashes)
    notes += mark_bare(ax, x, y, bare, there)
    if notes:
        st.legend(ax, notes)
    return mesh


def mark_negative(ax: Any, x: Any, y: Any, values: Any, below: float = 0.0) -> Any:
    """Mark each cell whose value is less than ``below`` with a dash, since grey alone would not tell; None if none is.

    ``values`` have the shape (len(y), len(x)). Maps of too many cells have no dashes.
    """
    if max(values.shape) > MOST_MARKED:
        return None
    with np.errstate(invalid="ignore"):
        row, column = np.nonzero(values < below)
    if not row.size:
        return None
    style = {"marker": "_", "ms": _size(values), "mew": 0.8, "color": st.BLACK, "ls": ""}
    label = f"dash: below {below:g}".replace("-", "−")
    ax.plot(np.asarray(x)[column], np.asarray(y)[row], label=label, **style)
    return st.proxy(label, **style | {"color": ax.xaxis.label.get_color(), "ms": 5.0})


def mark_bare(ax: Any, x: Any, y: Any, bare: NDArray[np.bool_], there: NDArray[np.bool_]) -> list[Any]:
    """Mark each cell that has a value, but no error; return the entries of the legend that say so."""
    if not bare.any():
        return []
    if bare[there].all():
        return [st.proxy(ALL_BARE, lw=0.0)]
    row, column = np.nonzero(bare)
    if max(bare.shape) <= MOST_MARKED:
        written = max(bare.shape) <= MOST_WRITTEN
        look: st.Style = {
            "ls": "",
            "marker": "o",
            "ms": 0.7 * _size(bare),
            "mew": 0.7,
            "mec": st.BLACK,
            "mfc": "#ffffff",
        }
        ax.plot(np.asarray(x)[column], np.asarray(y)[row] - 0.28 * written, label=BARE, **look)
        return [st.proxy(BARE, **look | {"ms": 3.5, "mec": ax.xaxis.label.get_color(), "mfc": "none"})]
    from matplotlib.patches import Patch, PathPatch
    from matplotlib.path import Path

    wide, high = (np.gradient(np.asarray(one, np.float64)) if len(one) > 1 else np.ones(1) for one in (x, y))
    corners = 0.5 * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
    centres = np.column_stack([np.asarray(x)[column], np.asarray(y)[row]])
    sides = np.column_stack([wide[column], high[row]])
    hatched: st.Style = {"facecolor": "none", "edgecolor": "0.3", "hatch": "......", "linewidth": 0.0}
    cells = centres[:, None, :] + corners * sides[:, None, :]
    path = Path.make_compound_path_from_polys(cells)  # one for all, which is drawn at once
    ax.add_artist(PathPatch(path, rasterized=True, **hatched))
    return [Patch(label="dotted: no error bar", **hatched)]


def ticks(axis: Any, values: tuple[Any, ...]) -> None:
    """Put at most eight ticks, at the centres of cells."""
    where = range(0, len(values), -(-len(values) // MOST_TICKS))
    words = told_apart(values, in_words)
    axis.set_ticks(list(where), [words[i] for i in where])


def _size(values: Any) -> float:
    return float(min(60.0 / max(values.shape), 5.0))


def _hatch(ax: Axes, missing: Any, words: str) -> Any:
    """Hatch the cells without a value, and return their entry of the legend."""
    from matplotlib.patches import Patch, Rectangle

    for row, column in np.argwhere(missing):
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1.0, 1.0, fc=st.MISSING, ec="0.5", hatch="////", lw=0.0))
    return Patch(fc=st.MISSING, ec="0.5", hatch="////", lw=0.0, label=words)


def numbers(values: Floats, stderr: Floats, percent: bool = False) -> tuple[list[list[str]], list[list[str]]]:
    """Return values and errors as all cells of a map have them: with one number of decimals, or one power of ten.

    The smallest error is 2.5 units of the last digit at least, and the largest number is no longer than fits into a
    cell. Cells without a value or error have an empty text.
    """
    factor = 100.0 if percent else 1.0
    there, known = np.isfinite(values), np.isfinite(stderr) & (stderr > 0.0)
    largest = float(np.abs(values[there]).max()) * factor if there.any() else 0.0
    finest = float(stderr[known].min()) * factor if known.any() else 1e-2 * largest
    decimals = int(np.clip(np.ceil(FEWEST_PARTS - np.log10(finest)) if finest > 0.0 else 2, 0, 12))
    whole = max(int(np.floor(np.log10(largest))) + 1, 1) if largest > 0.0 else 1
    decimals = max(min(decimals, MOST_LETTERS - 2 - whole), 0)
    large = whole > MOST_LETTERS - 1
    too_small = 0.0 < largest < 0.5 * 10.0**-decimals

    def written(number: float, sign: str, ends: str) -> str:
        if not np.isfinite(number):
            return ""
        text = f"{factor * number:{sign}.1e}" if large or too_small else f"{factor * number:{sign}.{decimals}f}"
        if not text.strip("+-0."):
            text = (
                text.lstrip("+-") if number or known.any() else "0"
            )  # no sign of nought, and no decimals if it is one
        return text.replace("-", "−") + ends

    ends = "%" if percent else ""
    said = [[written(float(v), "+" if percent else "", ends) for v in row] for row in values]
    with_errors = [["±" + t if (t := written(float(e), "", ends)) else "" for e in row] for row in stderr]
    return said, with_errors


def _write(ax: Axes, mesh: Any, values: Floats, stderr: Floats, percent: bool) -> None:
    """Write values and errors into the cells, as far as they fit."""
    said, errors = numbers(values, stderr, percent)
    from matplotlib.patheffects import withStroke

    texts = []
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = mesh.to_rgba(value)
            dark = st.luminance(colour[:3]) < 0.18
            text = f"{said[row][column]}\n{errors[row][column]}".rstrip("\n")
            look: st.Style = {"ha": "center", "va": "center", "fontsize": CELL_TEXT, "color": "w" if dark else "k"}
            look |= {"zorder": 5, "path_effects": [withStroke(linewidth=2.0, foreground=colour)]}  # lines end around it
            texts.append(ax.text(column, row, text, linespacing=1.1, **look))

    def fit() -> None:
        frame = ax.get_window_extent()
        width, height = 0.97 * frame.width / values.shape[1], 0.97 * frame.height / values.shape[0]
        for size, whole in ((CELL_TEXT, True), (places.SMALLEST, True), (CELL_TEXT, False), (places.SMALLEST, False)):
            for text in texts:
                text.set_fontsize(size)
                text.set_text(text.get_text() if whole else text.get_text().partition("\n")[0])
            boxes = [text.get_window_extent() for text in texts]
            if all(box.width <= width and box.height <= height for box in boxes):
                return
        for text in texts:
            text.remove()

    places.later(ax, fit)
