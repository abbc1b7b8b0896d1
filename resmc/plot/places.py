"""Places of what is written: legends that hide nothing, and labels no longer than their axes.

A legend stands where nothing is drawn within the axes; else in room that is made above or below the data; else below
the axes, and a figure of ours grows by it. Places are found when all is drawn, in the size that the axes then have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .occupied import drawn, widened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN = 3.4  # inches: a column of a two-column page
LABEL, TICK, LEGEND = 9.0, 8.0, 7.0  # font sizes in points, for the width of a column
SMALLEST = 6.0  # points: no text is smaller
CELL = 2.0  # points: how finely it is seen where something is drawn
WIDER = 1.04  # letters in a file of another resolution may be so much wider than those that are measured
CLEAR = 3.0  # points between a legend and what is drawn
MOST_ROOM = 0.32  # part of the height that may be made free for a legend, where it could stand below the axes
LEAST_DATA = 0.3  # part of the height that is left to the data in any case
MATH = re.compile(r"\$[^$]*\$")
LOOK: dict[str, Any] = {"frameon": False, "handlelength": 1.9, "labelspacing": 0.25, "columnspacing": 1.0,
                        "handletextpad": 0.6, "borderpad": 0.2}  # fmt: skip
OURS = "resmc"  # label of figures that are made for one drawing
_asked: WeakKeyDictionary[Any, list[Any]] = WeakKeyDictionary()
_later: WeakKeyDictionary[Any, list[Callable[[], None]]] = WeakKeyDictionary()
_last: WeakKeyDictionary[Any, list[Callable[[], None]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Box:
    """A legend of so many columns, and its width and height in pixels."""

    columns: int
    width: float
    height: float


def size_of_ticks(ax: Any) -> float:
    """Return the font size of the ticks' labels."""
    labels = ax.xaxis.get_ticklabels()
    return float(labels[0].get_fontsize()) if labels else TICK


def explain(ax: Axes, handles: list[Any]) -> None:
    """Ask for a legend, which `finish` places."""
    _asked[ax] = handles


def later(ax: Axes, function: Callable[[], None]) -> None:
    """Ask for something to be done when the axes have their size."""
    _later.setdefault(ax, []).append(function)


def last(ax: Axes, function: Callable[[], None]) -> None:
    """Ask for something to be done when the axes have their ends too."""
    _last.setdefault(ax, []).append(function)


def finish(ax: Axes) -> None:
    """Shorten labels to their axes, do what waits for their size, and place the legend."""
    _lay_out(ax)
    _keep_bars_inside(ax)
    changed = [_fit(axis.label, _length(axis)) for axis in _axes_with_labels(ax)]
    if any(changed):
        _lay_out(ax)
    for function in _later.pop(ax, ()):
        function()
    handles = _asked.pop(ax, [])
    if handles:
        _legend(ax, handles)
        if _engine(ax) is not None:
            _lay_out(ax)
        # A legend may have made the axes shorter.
        changed = [_fit(axis.label, _length(axis)) for axis in _axes_with_labels(ax)]
        if any(changed):
            _lay_out(ax)
    if _engine(ax) is None:
        _pull_in(ax.yaxis)
    for function in _last.pop(ax, ()):
        function()


def _lay_out(ax: Axes) -> None:
    """Give the axes the size they will have."""
    figure: Any = ax.get_figure()
    while figure.get_figure() is not None and figure.get_figure() is not figure:
        figure = figure.get_figure()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    ax.get_xlim(), ax.get_ylim()  # limits are found when they are asked for


def _axes_with_labels(ax: Axes) -> Iterator[Any]:
    yield ax.xaxis
    yield ax.yaxis
    for bar in _bars(ax):
        yield bar.yaxis


def _bars(ax: Axes) -> list[Any]:
    """Return the axes of the colour bars of ``ax``."""
    found = [one.colorbar for one in ax.collections if getattr(one, "colorbar", None) is not None]
    kept = [bar.ax for bar in found if bar is not None]
    return kept + [one for one in getattr(ax, "_colorbars", ()) if one not in kept]


def _keep_bars_inside(ax: Any) -> None:
    """Make axes and their bar of colours narrower, where no layout does, until its words end where the axes did."""
    spec = ax.get_subplotspec()
    if _engine(ax) is not None or spec is None:
        return
    for bar in _bars(ax):
        around = bar.get_tightbbox()
        spec = spec.get_topmost_subplotspec()
        excess = (around.x1 - ax.figure.bbox.width * spec.get_position(ax.figure).x1) / ax.figure.bbox.width
        x, y, width, height = ax.get_position().bounds
        if 0.0 < excess < 0.6 * width:
            ax.set_position((x, y, width - excess, height))
            x, y, width, height = bar.get_position().bounds
            bar.set_position((x - excess, y, width, height))


def _length(axis: Any) -> float:
    """Return how long a label may be, in pixels: its axis and a little, but never beyond the figure."""
    box = axis.axes.get_window_extent()
    return 1.04 * float(box.width if axis.axis_name == "x" else box.height)


def _fit(label: Any, room: float) -> bool:
    """Break a label into two lines, or make it smaller, until it is as short as its axis; True if it changed."""

    def length() -> float:
        box = label.get_window_extent()
        return float(max(box.width, box.height))

    text = label.get_text()
    if not text or length() <= room:
        return False
    if "\n" not in text:
        broken = _broken(text)
        label.set_text(broken)
    while length() > room and label.get_fontsize() > SMALLEST:
        label.set_fontsize(max(label.get_fontsize() - 0.5, SMALLEST))
    return True


def _pull_in(axis: Any) -> None:
    """Move a vertical axis's label nearer to the numbers, then make it smaller, until it lies within the figure."""
    label, edge = axis.label, axis.axes.figure.bbox.x0
    while label.get_text():
        axis.get_tightbbox()  # puts the label in its place
        if label.get_window_extent().x0 >= edge:
            return
        if axis.labelpad > 0.0:
            axis.labelpad = max(axis.labelpad - 1.0, 0.0)
        elif label.get_fontsize() > SMALLEST:
            label.set_fontsize(max(label.get_fontsize() - 0.5, SMALLEST))
        else:
            return


def _broken(text: str) -> str:
    """Break a text at the blank nearest to its middle, but not within a formula; after a comma if there is one."""
    plain = MATH.sub(lambda found: "x" * len(found[0]), text)
    breaks = [i for i, letter in enumerate(plain) if letter == " "]
    if not breaks:
        return text
    best = min(breaks, key=lambda i: abs(i - 0.5 * len(text)) - 0.25 * len(text) * (plain[i - 1] == ","))
    return f"{text[:best]}\n{text[best + 1 :]}"


# -------------------------------------------------------------------------------------------------------------- legends


def _legend(ax: Any, handles: list[Any]) -> None:
    size = max(LEGEND / LABEL * float(ax.xaxis.label.get_fontsize()), SMALLEST)
    if any(hasattr(one, "get_clim") and one.get_array() is not None and np.ndim(one.get_array()) == 2
           for one in ax.collections):  # fmt: skip
        _outside(ax, handles, min(size, LEGEND))
        return
    sizes = [size, SMALLEST] if size > SMALLEST else [size]
    laid_out = _engine(ax) is not None
    if not laid_out and next(_boxes(ax, handles, size)).width > 0.98 * ax.bbox.width:
        _break_long(ax, handles)
    pixels = ax.figure.dpi / 72.0
    clear = widened(drawn(ax, CELL * pixels), int(np.ceil(CLEAR / CELL)))
    for box in _boxes(ax, handles, size):
        place = _free(clear, box, CELL * pixels)
        if place is not None:
            _put(ax, handles, size, box, place)
            return
    rooms = []
    for each in sizes[: 1 if laid_out else 2]:
        fitting = [box for box in _boxes(ax, handles, each) if box.width < 0.98 * ax.bbox.width]
        rooms += [(*_room(ax, clear, box, above), box, above, each) for box in fitting for above in _sides(ax)]
    rooms = [one for one in rooms if one[0] <= (MOST_ROOM if laid_out else 1.0 - LEAST_DATA)]
    if rooms:
        extent, left, box, above, each = min(
            rooms, key=lambda one: one[0] + 0.05 * (not one[3]) + 0.1 * (one[4] < size)
        )
        _make_room(ax, extent, above)
        vertical = 1.0 - (box.height + 2 * pixels) / ax.bbox.height if above else 2 * pixels / ax.bbox.height
        _put(ax, handles, each, box, (left, vertical))
        return
    _outside(ax, handles, size)


def _engine(ax: Any) -> Any:
    return ax.figure.get_layout_engine()


def _boxes(ax: Any, handles: list[Any], size: float, most: int = 4) -> Iterator[Box]:
    """Yield the sizes of the legend in one column, two, and more, each when it is asked for."""
    for columns in range(1, min(most, len(handles)) + 1):
        legend = ax.legend(handles=handles, fontsize=size, ncols=columns, loc="upper left", **LOOK)
        box = legend.get_window_extent()
        legend.remove()
        yield Box(columns, WIDER * float(box.width), float(box.height))


def _break_long(ax: Any, handles: list[Any]) -> None:
    """Break the entries of a legend that is wider than its axes into two lines."""
    letters = 0.8 * ax.bbox.width / (0.55 * SMALLEST * ax.figure.dpi / 72.0)
    for one in handles:
        text = str(one.get_label())
        if len(MATH.sub("x", text)) > 0.75 * letters:
            one.set_label(_broken(text))


def _put(ax: Any, handles: list[Any], size: float, box: Box, place: Any) -> None:
    """Draw the legend in a corner, or with its lower left corner at ``place`` in parts of the axes."""
    columns, given = box.columns, {"loc": place}
    if not isinstance(place, str):  # the nearer side stays where it is if letters are wider than thought
        right = place[0] + box.width / ax.bbox.width
        on_the_right = 1.0 - right < place[0]
        side, x = ("right", right) if on_the_right else ("left", place[0])
        given = {"loc": f"lower {side}", "bbox_to_anchor": (x, place[1])}
    ax.legend(handles=handles, fontsize=size, ncols=columns, borderaxespad=0.2 if isinstance(place, str) else 0.0,
              **given, **LOOK)  # fmt: skip


def _free(mask: NDArray[np.bool_], box: Box, cell: float) -> Any:
    """Return a corner, or the place in parts of the axes, where a legend of this size hides nothing; or None."""
    rows, columns = mask.shape
    height, width = int(np.ceil(box.height / cell)) + 1, int(np.ceil(box.width / cell)) + 1
    if height > rows or width > columns:
        return None
    total = np.zeros((rows + 1, columns + 1), np.int64)
    total[1:, 1:] = np.cumsum(np.cumsum(mask, axis=0), axis=1)
    inside = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    corners = {"upper right": (-1, -1), "upper left": (-1, 0), "lower right": (0, -1), "lower left": (0, 0)}
    for name, (row, column) in corners.items():
        if inside[row, column] == 0:
            return name
    y, x = np.nonzero(inside == 0)
    if not y.size:
        return None
    away = np.minimum(y, inside.shape[0] - 1 - y) + np.minimum(x, inside.shape[1] - 1 - x)
    best = int(np.argmin(away))
    column, row = np.clip(x[best], 1, max(columns - width, 1)), np.clip(y[best], 1, max(rows - height, 1))
    return float(column) / columns, float(row) / rows  # not on the frame


def _sides(ax: Any) -> tuple[bool, ...]:
    """Return the sides at which room may be made: above, and below where the axis does not begin at a fixed 0."""
    return (True, False) if ax.get_autoscaley_on() else (True,)


def _room(ax: Any, mask: NDArray[np.bool_], box: Box, above: bool) -> tuple[float, float]:
    """Return the part of the height that must be added, as a part of what it will be, and where the legend begins."""
    rows, columns = mask.shape
    pixels = ax.figure.dpi / 72.0
    width = min(int(np.ceil(box.width / ax.bbox.width * columns)) + 1, columns)
    there = mask if above else mask[::-1]
    reach = np.where(there.any(axis=0), rows - np.argmax(there[::-1], axis=0), 0) / rows
    tallest = np.array([reach[i : i + width].max() for i in range(columns - width + 1)])
    centre = 0.5 * (columns - width)
    order = np.lexsort((-np.abs(np.arange(len(tallest)) - centre), tallest.round(2)))
    at = int(order[0])
    needed = (box.height + (4.0 + CLEAR) * pixels) / ax.bbox.height
    if needed >= 1.0:
        return np.inf, 0.0
    factor = max(float(tallest[at]) / (1.0 - needed), 1.0)
    left = min(max(at / columns, 2.0 * pixels / ax.bbox.width), 1.0 - (box.width + 2.0 * pixels) / ax.bbox.width)
    return 1.0 - 1.0 / factor, max(left, 0.0)


def _make_room(ax: Any, part: float, above: bool) -> None:
    """Make the vertical axis longer, so that ``part`` of it is new; what is drawn later may still change its ends."""
    if part <= 0.0:
        return
    factor = 1.0 / (1.0 - part)
    at = ax.transData.inverted().transform(ax.transAxes.transform([(0.0, factor), (0.0, 1.0 - factor)]))[:, 1]
    low, high = ax.get_ylim()
    if not ax.get_autoscaley_on():
        ax.set_ylim((low, at[0]) if above else (at[1], high))
        return
    margin = ax.margins()[1]
    forward, back = ax.yaxis.get_transform(), ax.yaxis.get_transform().inverted()
    ends = forward.transform(np.array([low, high]))
    new = forward.transform(np.array([at[0] if above else at[1]]))[0]
    other = ends[0] if above else ends[1]
    wanted = new - margin / (1.0 + 2.0 * margin) * (new - other)
    x = ax.dataLim.x0 if np.isfinite(ax.dataLim.x0) else 0.0
    ax.update_datalim([(x, float(back.transform(np.array([wanted]))[0]))], updatex=False)
    ax.autoscale_view(scalex=False)


def _outside(ax: Any, handles: list[Any], size: float) -> None:
    """Put the legend below the axes; or above them, which end lower, where no layout makes room."""
    from matplotlib.transforms import ScaledTranslation

    figure, pixels = ax.figure, ax.figure.dpi / 72.0
    spec, laid_out = ax.get_subplotspec(), _engine(ax) is not None
    share = 1.0 if spec is None else len(spec.colspan) / spec.get_gridspec().ncols
    room = 0.97 * share * figure.bbox.width
    size = size if laid_out else SMALLEST
    boxes = list(_boxes(ax, handles, size, 6))
    fitting = [one for one in boxes if one.width <= ax.bbox.width] or [one for one in boxes if one.width <= room]
    box = min(fitting, key=lambda one: one.height, default=boxes[0])
    if not laid_out:
        _end_lower(ax, box.height + 3.0 * pixels)
    frame = ax.get_window_extent()
    lowest = min([one.get_window_extent().y0 for one in _below(ax)], default=frame.y0)
    clear = 2.0 if not laid_out else (lowest - frame.y0) / pixels - 3.0
    where = ax.transAxes + ScaledTranslation(0.0, clear / 72.0, figure.dpi_scale_trans)
    level = 0.0 if laid_out else 1.0
    given = {"loc": "upper center" if laid_out else "lower center", "bbox_to_anchor": (_middle(ax, box, share), level)}
    legend = ax.legend(handles=handles, fontsize=size, ncols=box.columns, borderaxespad=0.0, bbox_transform=where,
                       **given, **LOOK)  # fmt: skip
    if laid_out and _ours(ax):
        figure.set_figheight(figure.get_figheight() + box.height / pixels / 72.0)
        _lay_out(ax)
        legend.set_bbox_to_anchor((_middle(ax, box, share), level), where)


def _ours(ax: Any) -> bool:
    """Return True if the figure is one that was made for this drawing, which may grow."""
    return getattr(ax.figure, "get_label", str)() == OURS


def _below(ax: Any) -> list[Any]:
    """Return what is written below the axes."""
    return [one for one in (*ax.get_xticklabels(), ax.xaxis.label) if one.get_text() and one.get_visible()]


def _middle(ax: Any, box: Box, share: float) -> float:
    """Return the middle of a legend in parts of the axes' width, such that it stays within the axes' share."""
    figure, frame = ax.figure.bbox, ax.get_window_extent()
    if box.width <= frame.width:
        return 0.5
    centre = 0.5 * (frame.x0 + frame.x1)
    number = int((centre - figure.x0) / (figure.width * share)) if share < 1.0 else 0
    start, end = figure.x0 + number * share * figure.width, figure.x0 + (number + 1) * share * figure.width
    centre = min(max(centre, start + 0.5 * box.width + 1.0), end - 0.5 * box.width - 1.0)
    return float((centre - frame.x0) / frame.width)


def _end_lower(ax: Any, pixels: float) -> None:
    """Lower the upper end of axes and their colour bars, whose title stays where it is."""
    part = min(pixels / ax.bbox.height, 1.0 - LEAST_DATA)
    for one in (ax, *_bars(ax)):
        x, y, width, height = one.get_position().bounds
        one.set_position((x, y, width, (1.0 - part) * height))
    if ax.get_title():
        size = ax.title.get_fontsize()
        ax.set_title(ax.get_title(), pad=6.0 + 72.0 * pixels / ax.figure.dpi, fontsize=size)
