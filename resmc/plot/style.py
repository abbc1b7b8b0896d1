"""The style of all figures: colours, new figures, legends that hide nothing, and refusals in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief
from ..results.estimates import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN = 3.4  # inches: a column of a two-column page
HEIGHT = 2.3  # inches, without the legend
LABEL, TICK, LEGEND = 9.0, 8.0, 7.0  # font sizes in points, for the width of a column

# Okabe and Ito's colours, which differ for every kind of colour vision. In grey some of them are alike, so line styles
# or markers differ wherever colours do. Black is infinite width alone.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
DATA, THEORY, INFINITE, EXACT = BLUE, VERMILION, BLACK, GREEN
PALE = "#BFDCEC"  # a light blue for areas under lines
MISSING = "#D9D9D9"
MOST_MARKED_CELLS = 40  # along an axis of a map
DASHED, DOTTED, DASH_DOTTED = (0, (5, 2)), (0, (1, 1.5)), (0, (7, 1.5, 1.2, 1.5))
HEADROOM = 1.1
LEADING_ORDER = "limit, leading order in 1/n"
EXACTLY = "exact"

Style = dict[str, Any]  # keywords of matplotlib's artists


class Series(NamedTuple):
    """The look of one of several curves: the marker of the estimates, and the line style of the theory."""

    colour: str
    marker: str
    line: Any


SERIES = (
    Series(BLUE, "o", "-"),
    Series(VERMILION, "s", DASHED),
    Series(GREEN, "^", (0, (5, 1.5, 1, 1.5))),
    Series(PURPLE, "D", (0, (8, 2, 1, 2, 1, 2))),
    Series(ORANGE, "v", (0, (10, 3))),
    Series(SKY, "P", (0, (2.5, 1))),
)


def require(function: str) -> None:
    """Say which extra is missing before anything is computed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(f"{function} needs matplotlib: install resmc[plot]") from None


def check_axes(ax: Any) -> None:
    """Refuse what is not an Axes of matplotlib."""
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise ValueError(f"ax={brief(ax)} is not allowed: it must be a matplotlib Axes, or None for a new figure")


@contextmanager
def _options(function: str) -> Iterator[None]:
    """Say in a sentence that an option is unknown to matplotlib too."""
    try:
        yield
    except (AttributeError, TypeError) as error:
        if "keyword" not in str(error):
            raise
        raise ValueError(f"{function} was given an option that is neither its own nor the artist's: {error}") from None


@contextmanager
def panel(function: str, ax: Axes | None, height: float = HEIGHT) -> Iterator[Axes]:
    """Yield ``ax``, or the Axes of a new figure, which is closed if drawing on it fails.

    A new figure is one of pyplot's, so that a notebook and ``plt.show()`` show it, once.
    """
    require(function)
    check_axes(ax)
    if ax is not None:
        with _options(function):
            yield ax
        return
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(COLUMN, height), layout="constrained")
    try:
        ax = figure.subplots()
        _shrink(ax)
        with _options(function):
            yield ax
        found: Any = ax.get_legend()
        if found is not None:  # the figure grows by the legend, and the data keep their room
            rows = -(-len(found.get_texts()) // found._ncols)
            figure.set_figheight(height + (LEGEND * 1.6 * rows + 4.0) / 72.0)
    except BaseException:
        pyplot.close(figure)
        raise


def _shrink(ax: Any) -> None:
    """Set the font sizes for a figure of the width of a column."""
    ax.tick_params(labelsize=TICK)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(LABEL)
        axis.get_offset_text().set_fontsize(TICK)
    ax.title.set_fontsize(LABEL)


def merged(kind: type, style: Mapping[str, Any], **defaults: Any) -> Style:
    """Return ``style`` over ``defaults`` for an artist of this kind, whichever aliases (``lw``, ``c``) are used."""
    from matplotlib.cbook import normalize_kwargs

    return normalize_kwargs(defaults, kind) | normalize_kwargs(dict(style), kind)


def line(ax: Axes, x: Any, y: Any, style: Mapping[str, Any] | None = None, **defaults: Any) -> Any:
    """Draw a curve."""
    from matplotlib.lines import Line2D

    return ax.plot(x, y, **merged(Line2D, style or {}, **{"lw": 1.2} | defaults))[0]


def known(ax: Axes, x: Any, values: Any, label: str | None, marker: str, **look: Any) -> Any:
    """Draw theory where it is known, with a marker where a line would not show it: beside values that are not known.

    Returns
    -------
    Line2D or None
        None where nothing is known.
    """
    x, values = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(values, np.float64))
    there = np.isfinite(values)
    if not there.any():
        return None
    look = {"zorder": 4} | look
    if not (there[1:] & there[:-1]).any():
        look["ls"] = ""
    return line(ax, x, values, look, label=label, marker="" if there.all() and there.size > 1 else marker)


def exact(ax: Axes, x: Any, values: Any, label: str | None = EXACTLY, **look: Any) -> Any:
    """Draw exact values: see `known`."""
    return known(ax, x, values, label, "x", **{"color": EXACT, "ls": DASH_DOTTED, "ms": 5.0, "mew": 1.2} | look)


def limit(ax: Axes, x: Any, values: Any, label: str | None = LEADING_ORDER, **look: Any) -> Any:
    """Draw a limit: see `known`."""
    return known(ax, x, values, label, "_", **{"color": THEORY, "ls": DASHED, "lw": 1.4, "ms": 11.0, "mew": 1.4} | look)


def band(ax: Axes, x: Any, low: Any, high: Any, colour: Any, label: str | None = None) -> None:
    """Fill the band between two curves."""
    ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0, label=label)


def points(ax: Axes, x: Any, estimate: Estimate, style: Mapping[str, Any], series: Series, label: str | None) -> Any:
    """Draw estimates with their standard errors; an estimate without one is hollow and has no bar."""
    from matplotlib.lines import Line2D

    x, value, stderr = np.asarray(x, np.float64), estimate.value, estimate.stderr
    given = merged(Line2D, style, color=series.colour, marker=series.marker, ls="", ms=3.5, lw=1.0, mew=0.8)
    good = np.isfinite(stderr)
    bars = ax.errorbar(x[good], value[good], stderr[good], capsize=1.5, label=label, zorder=3, **given)
    if not good.all():
        hollow = {k: v for k, v in given.items() if k not in ("markerfacecolor", "linestyle")}
        ax.plot(x[~good], value[~good], ls="", mfc="white", zorder=3, **hollow)
    return bars


def histogram(ax: Axes, edges: Any, density: Any, stderr: Any, style: Mapping[str, Any], label: str) -> Any:
    """Draw a density in cells, and around it a band of one standard error."""
    from matplotlib.patches import StepPatch

    body = ax.stairs(density, edges, **merged(StepPatch, style, facecolor=PALE, fill=True, label=label, zorder=1))
    ax.stairs(density + stderr, edges, baseline=density - stderr, fill=True, color=DATA, alpha=0.6, zorder=2)
    return body


def outline(
    ax: Axes, edges: Any, density: Any, stderr: Any, style: Mapping[str, Any], series: Series, label: str
) -> Any:
    """Draw one of several densities as a line through its cells with sparse markers, and a band of one standard error.

    Returns
    -------
    Line2D
        The curve, with its line, colour and marker, for a legend.
    """
    from matplotlib.patches import StepPatch

    ax.stairs(density + stderr, edges, baseline=density - stderr, fill=True, color=series.colour, alpha=0.25, zorder=1)
    given = merged(StepPatch, style, edgecolor=series.colour, linestyle=series.line, linewidth=1.0, zorder=2)
    step = ax.stairs(density, edges, fill=False, baseline=None, **given)
    middle, every = 0.5 * (np.asarray(edges)[1:] + np.asarray(edges)[:-1]), -(-len(density) // 8)
    marks: Style = {"ls": series.line, "marker": series.marker, "ms": 3.0, "lw": 1.0, "color": series.colour}
    ax.plot(middle[::every], density[::every], zorder=3, **marks | {"ls": ""})
    return proxy(label, **marks | {"color": step.get_edgecolor()})


def shown_peak(others: float, infinite: float) -> tuple[float, str]:
    """Return the top of an axis of densities, and words for the legend where infinite width's peak lies above."""
    if infinite <= 2.5 * others:
        return HEADROOM * max(others, infinite), ""
    return 1.35 * others, f" (peak {infinite:.2g})"


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of 0 .. count - 1 with the first and the last: neighbours say nearly the same."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def legend(ax: Any, handles: Sequence[Any] | None = None) -> None:
    """Put the legend below the axes where the figure's layout makes room, else where the fewest data are.

    The distance from the axes is made of font sizes in points, and so clears the labels of the x axis at every size.
    """
    found = ax.get_legend_handles_labels()[0] if handles is None else list(handles)
    label_size, tick_size = float(ax.xaxis.label.get_fontsize()), _size_of_ticks(ax)
    size = LEGEND / LABEL * label_size
    given: Style = {"handles": found, "fontsize": size, "handlelength": 2.2, "labelspacing": 0.3, "columnspacing": 1.2}
    if ax.figure.get_layout_engine() is None:
        given |= {"loc": "best", "ncols": -(-len(found) // 12), "borderaxespad": 0.3}
        ax.legend(frameon=True, edgecolor="none", framealpha=0.8, **given)
        return
    given |= {"frameon": False, "borderaxespad": 0.0}
    from matplotlib.transforms import ScaledTranslation

    spec = ax.get_subplotspec()
    share = ax.get_position().width if spec is None else 0.84 * len(spec.colspan) / spec.get_gridspec().ncols
    columns = _columns([str(h.get_label()) for h in found], size, 72.0 * share * ax.figure.bbox.width / ax.figure.dpi)
    where = ax.transAxes + ScaledTranslation(
        0.0, -(1.3 * (tick_size + label_size) + 14.0) / 72.0, ax.figure.dpi_scale_trans
    )
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), bbox_transform=where, ncols=columns, **given)


def _columns(labels: Sequence[str], size: float, room: float) -> int:
    """Return how many columns fit into ``room`` points, letters being a bit over half as wide as high."""
    lengths = [len(re.sub(r"\\mathrm|[\\${}^_]", "", label)) for label in labels]
    for columns in range(min(6, max(3, -(-len(labels) // 4))), 1, -1):
        parts = np.array_split(np.array(lengths), columns)
        if sum(0.56 * size * part.max(initial=0) + 4.6 * size for part in parts) <= room:
            return min(columns, len(labels))
    return 1


def _size_of_ticks(ax: Any) -> float:
    labels = ax.xaxis.get_ticklabels()
    return float(labels[0].get_fontsize()) if labels else TICK


def integer_ticks(axis: Any, most: Any = "auto") -> None:
    """Put ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 2.5, 5, 10]))


def proxy(label: str, **style: Any) -> Any:
    """Return a line of the legend that stands for several curves."""
    from matplotlib.lines import Line2D

    given: Style = {"color": "0.35", "lw": 1.2} | style
    return Line2D([], [], label=label, **given)


def hollow_proxy(label: str) -> Any:
    """Return a line of the legend for the hollow points."""
    return proxy(label, ls="", marker="o", mfc="white", ms=3.5, mew=0.8)


def in_words(estimate: Estimate) -> str:
    """Return a scalar estimate with its error, in words."""
    return str(estimate).replace("+-", "±").replace("-", "−")


def count_in_words(networks: int) -> str:
    """Return a number of networks in few letters."""
    if networks >= 10**4:
        mantissa, exponent = f"{networks:.3g}".split("e+") if networks >= 10**6 else (f"{networks:,}", "")
        return f"{float(mantissa):g}·10$^{{{int(exponent)}}}$" if exponent else mantissa.replace(",", " ")
    return str(networks)


def counted(networks: int) -> str:
    """Return a number of networks with the noun, in few letters."""
    return f"{count_in_words(networks)} network{'s' * (networks != 1)}"


def several(name: str, result: Any, kinds: tuple[type, ...], allowed: str) -> Style:
    """Return ``result`` as a mapping from label to result of one of ``kinds``; a single result has the label ''.

    Raises
    ------
    ValueError
        If a result is of another kind, or there is none.
    """
    if isinstance(result, kinds):
        return {"": result}
    if isinstance(result, Mapping):
        check_count(name, len(result))
        for label, one in result.items():
            if not isinstance(one, kinds):
                raise ValueError(f"{name}[{label!r}]={one!r} is not allowed: it must be {allowed}")
        return {str(label): one for label, one in result.items()}
    raise ValueError(f"{name}={brief(result)} is not allowed: it must be {allowed}, or a mapping from labels to them")


def check_count(name: str, curves: int) -> None:
    """Refuse a figure without curves."""
    if curves < 1:
        raise ValueError(f"{name} holds {curves} curves: it must be at least 1")


def check_kind(name: str, result: Any, kinds: tuple[type, ...], allowed: str) -> None:
    """Refuse a result of another kind."""
    if not isinstance(result, kinds):
        raise ValueError(f"{name}={brief(result)} is not allowed: it must be {allowed}")


def diverging() -> Any:
    """Return the colours of centred maps, orange, white, blue; blue ends darker, so that grey tells the ends apart."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("resmc", ["#B35806", "#E69F00", "#FFFFFF", "#56B4E9", "#08306B"])


def colour_bar(ax: Any, mesh: Any, label: str) -> Any:
    """Add a labelled colour bar beside ``ax``, in the font sizes of ``ax``."""
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.06, pad=0.03, aspect=18)
    bar.set_label(label, size=ax.yaxis.label.get_fontsize())
    bar.ax.tick_params(labelsize=_size_of_ticks(ax))
    return bar


def mark_negative(ax: Any, x: Any, y: Any, values: Any, reach: float) -> Any:
    """Mark each cell that is clearly below 0 with a dash, since grey alone would not tell; None if no cell is marked.

    ``values`` have the shape (len(y), len(x)); the colours end at ``reach``. Maps of too many cells have no dashes.
    """
    if max(values.shape) > MOST_MARKED_CELLS:
        return None
    row, column = np.nonzero(np.nan_to_num(values) < -0.1 * reach)
    if not row.size:
        return None
    size = min(60.0 / max(values.shape), 5.0)
    style = {"marker": "_", "ms": size, "mew": 0.8, "color": BLACK, "ls": ""}
    return ax.plot(np.asarray(x)[column], np.asarray(y)[row], label="dash: below 0", **style)[0]
