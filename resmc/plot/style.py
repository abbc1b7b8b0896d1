"""The style of all figures: colours, new figures, legends that hide nothing, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief
from ..results.estimates import Estimate
from ..results.observable import NEXT
from . import places
from .places import COLUMN, LABEL, TICK, size_of_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 2.4  # inches, of a figure whose legend lies within the axes

# Okabe and Ito's colours, which differ for every kind of colour vision. In grey some of them are alike, so line styles
# or markers differ wherever colours do. Black, on a dark ground white, is infinite width alone: see `ink`.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
DATA, THEORY, SECOND, INFINITE, EXACT = BLUE, VERMILION, PURPLE, BLACK, GREEN
SOFT = "#737373"  # a grey that is seen on white and on black
PALE, OPACITY = "#BFDCEC", 0.25  # areas under lines: blue of that opacity, and how it looks on white
MISSING = "#D9D9D9"
MOST_HOLLOW = 40  # points of a curve that are marked as those without an error bar
CONTRAST = 3.0  # least contrast of a line with its ground
DASHED, DOTTED, DASH_DOTTED = (0, (5, 2)), (0, (1, 1.5)), (0, (7, 1.5, 1.2, 1.5))
SHORT_DASHED = (0, (2.5, 1))
HEADROOM = 1.1
LEADING_ORDER = "limit, leading order in 1/n"
NEXT_ORDER = f"{NEXT} in 1/n"
EXACTLY = "exact"
HOLLOW = "hollow: no error bar"

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
    Series(SKY, "P", SHORT_DASHED),
)


def require(function: str) -> None:
    """Say which extra is missing before anything is computed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(f"{function} needs matplotlib: install resmc[plot]") from None


def check_axes(ax: Any) -> None:
    """Refuse what is not an Axes of matplotlib with two dimensions."""
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise ValueError(f"ax={brief(ax)} is not allowed: it must be a matplotlib Axes, or None for a new figure")
    if ax is not None and hasattr(ax, "get_zlim"):
        raise ValueError(f"ax={brief(ax)} is not allowed: it must have two dimensions, not three")


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
    """Yield ``ax`` or the Axes of a new figure, which is closed if drawing on it fails; then place what is written.

    A new figure is one of pyplot's, so that a notebook and ``plt.show()`` show it, once.
    """
    require(function)
    check_axes(ax)
    if ax is not None:
        with _options(function):
            yield ax
        places.finish(ax)
        return
    with panels(function, 1, height) as (ax,):
        yield ax


@contextmanager
def panels(function: str, count: int, height: float = HEIGHT) -> Iterator[list[Axes]]:
    """Yield the Axes side by side of a new figure, each of a column's width, as `panel` does."""
    require(function)
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(count * COLUMN, height), layout="constrained")
    figure.set_label(places.OURS)
    try:
        axes = list(figure.subplots(1, count, squeeze=False)[0])
        for ax in axes:
            _shrink(ax)
        with _options(function):
            yield axes
        for ax in axes:
            places.finish(ax)
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


def simulated(estimate: Estimate) -> str:
    """Return the words for estimates in a legend: with standard errors if any has one."""
    return "simulated ± s.e." if np.isfinite(estimate.stderr).any() else "simulated"


def known(ax: Axes, x: Any, values: Any, label: str | None, marker: str, *, joined: bool = True, **look: Any) -> Any:
    """Draw theory where it is known, with a marker where a line would not show it: beside values that are not known.

    Points that are not ``joined`` have markers alone.

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
    joined = joined and bool((there[1:] & there[:-1]).any())
    look |= {} if joined else {"ls": ""}
    return line(ax, x, values, look, label=label, marker="" if joined and there.all() else marker)


def exact(ax: Axes, x: Any, values: Any, label: str | None = EXACTLY, **look: Any) -> Any:
    """Draw exact values: see `known`."""
    given: Style = {"color": EXACT, "ls": DASH_DOTTED, "ms": 5.0, "mew": 1.2}
    return known(ax, x, values, label, "x", **given | look)


def limit(ax: Axes, x: Any, values: Any, label: str | None = LEADING_ORDER, **look: Any) -> Any:
    """Draw a limit: see `known`."""
    given: Style = {"color": THEORY, "ls": DASHED, "lw": 1.4, "ms": 11.0, "mew": 1.4}
    return known(ax, x, values, label, "_", **given | look)


def next_order(ax: Axes, x: Any, values: Any, label: str | None = NEXT_ORDER, **look: Any) -> Any:
    """Draw a limit with the next order in 1/n: see `known`."""
    given: Style = {"color": SECOND, "ls": SHORT_DASHED, "lw": 1.4, "ms": 11.0, "mew": 1.4}
    return known(ax, x, values, label, "_", **given | look)


def band(ax: Axes, x: Any, low: Any, high: Any, colour: Any, label: str | None = None) -> None:
    """Fill the band between two curves."""
    ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0, label=label)


def points(ax: Axes, x: Any, estimate: Estimate, style: Mapping[str, Any], series: Series, label: str | None) -> Any:
    """Draw estimates with their standard errors; an estimate without one is hollow and has no bar."""
    from matplotlib.lines import Line2D

    x, value, stderr = np.asarray(x, np.float64), estimate.value, estimate.stderr
    given = merged(Line2D, style, color=series.colour, marker=series.marker, ls="", ms=3.5, lw=1.0, mew=0.8)
    good = np.isfinite(stderr)
    filled = bool(good.any()) or good.size == 0
    bars = ax.errorbar(
        x[good], value[good], stderr[good], capsize=1.5, label=label if filled else None, zorder=3, **given
    )
    if good.all():
        return bars
    empty = {k: v for k, v in given.items() if k not in ("markerfacecolor", "linestyle")}
    name = None if filled else label
    points = ax.plot(x[~good], value[~good], ls="", mfc=ground(ax) or "none", zorder=3, label=name, **empty)[0]
    return bars if filled else points


def bare(estimate: Estimate) -> NDArray[np.bool_]:
    """Return where an estimate has a value, but no error that could be trusted."""
    return np.asarray(np.isfinite(estimate.value) & ~np.isfinite(estimate.stderr))


def hollow(ax: Axes, x: Any, y: Any, where: NDArray[np.bool_], colour: Any, marker: str = "o", **look: Any) -> bool:
    """Mark points of a curve that have no error bar; return True if there are any."""
    index = np.flatnonzero(where)
    if not index.size:
        return False
    index = index[thinned(len(index), MOST_HOLLOW)]
    given: Style = {"ls": "", "marker": marker, "ms": 3.5, "mew": 0.8, "zorder": 3.5, "mfc": ground(ax) or "none"}
    ax.plot(np.asarray(x)[index], np.asarray(y)[index], color=colour, **given | look)
    return True


def histogram(ax: Axes, edges: Any, density: Any, stderr: Any, style: Mapping[str, Any], label: str) -> Any:
    """Draw a density in cells, and around it a band of one standard error, or a dashed outline if it has none."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import StepPatch

    behind = channels(ax)
    fill = to_rgba(DATA, OPACITY if behind is None or luminance(behind) > 0.18 else 2.0 * OPACITY)
    body = ax.stairs(density, edges, **merged(StepPatch, style, facecolor=fill, fill=True, label=label, zorder=1))
    if not np.isfinite(stderr).all():
        ax.stairs(density, edges, color=DATA, lw=0.8, ls=DASHED, zorder=2)
        return body
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

    if np.isfinite(stderr).all():
        ax.stairs(
            density + stderr, edges, baseline=density - stderr, fill=True, color=series.colour, alpha=OPACITY, zorder=1
        )
    given = merged(StepPatch, style, edgecolor=series.colour, linestyle=series.line, linewidth=1.0, zorder=2)
    step = ax.stairs(density, edges, fill=False, baseline=None, **given)
    middle, every = 0.5 * (np.asarray(edges)[1:] + np.asarray(edges)[:-1]), -(-len(density) // 8)
    marks: Style = {"ls": series.line, "marker": series.marker, "ms": 3.0, "lw": 1.0, "color": series.colour}
    ax.plot(middle[::every], density[::every], zorder=3, **marks | {"ls": ""})
    return proxy(label, **marks | {"color": step.get_edgecolor()})


def shown_peak(others: float, infinite: float) -> tuple[float, float, str]:
    """Return the top of an axis of densities, what infinite width's is divided by to fit, and words that say so."""
    if infinite <= 2.5 * others:
        return HEADROOM * max(others, infinite), 1.0, ""
    power = 10.0 ** np.floor(np.log10(infinite / others))
    divisor = next(float(power * k) for k in (1.0, 2.0, 5.0, 10.0) if infinite <= HEADROOM * others * power * k)
    return HEADROOM * max(others, infinite / divisor), divisor, f" (÷ {count_in_words(round(divisor))})"


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of 0 .. count - 1 with the first and the last: neighbours say nearly the same."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def legend(ax: Axes, handles: Sequence[Any] | None = None) -> None:
    """Explain what is drawn where that hides nothing, once all is drawn: see `places`."""
    places.explain(ax, ax.get_legend_handles_labels()[0] if handles is None else list(handles))


def channels(ax: Axes) -> tuple[float, float, float] | None:
    """Return red, green and blue of what is drawn on; None if it is transparent."""
    from matplotlib.colors import to_rgba

    behind: Any = ax
    while behind is not None:
        red, green, blue, alpha = to_rgba(behind.patch.get_facecolor())
        if alpha > 0.5:
            return red, green, blue
        parent = behind.get_figure()
        behind = parent if parent is not behind else None
    return None


def ground(ax: Axes) -> str | None:
    """Return the colour of what is drawn on, "white" or #rrggbb; None if it is transparent."""
    from matplotlib.colors import to_hex

    found = channels(ax)
    return None if found is None else str(to_hex(found)).replace("#ffffff", "white")


def ink(ax: Axes) -> str:
    """Return the colour of lines that others are compared with: that of the labels, where it is seen on the ground."""
    from matplotlib.colors import to_hex, to_rgb

    behind, colour = channels(ax), str(to_hex(ax.xaxis.label.get_color()))
    if behind is None or contrast(to_rgb(colour), behind) >= CONTRAST:
        return colour
    return max(("#000000", "#ffffff"), key=lambda one: contrast(to_rgb(one), behind))


def luminance(rgb: Sequence[float]) -> float:
    """Return the relative luminance, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def integer_ticks(axis: Any, most: Any = "auto") -> None:
    """Put ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 2.5, 5, 10]))


def log_ticks(axis: Any) -> None:
    """Put few ticks on a logarithmic axis, as numbers where these are short, and no two of them close together."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = float(np.log10(high / low))
    parts = (1.0, 2.0, 5.0) if decades < 2.0 else (1.0, 3.0) if decades < 3.0 else (1.0,)
    axis.set_major_locator(LogLocator(10.0, subs=parts, numticks=8))
    short = low >= 1e-3 and high <= 2e4

    def written(value: float, place: int | None = None) -> str:
        return f"{value:g}" if short else rf"$10^{{{round(float(np.log10(value)))}}}$"

    if short or decades >= 3.0:
        axis.set_major_formatter(FuncFormatter(written))
    axis.set_minor_formatter(NullFormatter())


def depth_ticks(ax: Axes, depths: Any) -> None:
    """Put ticks at the depths themselves where there are less than two decades, whose own labels would overlap."""
    there = np.unique(depths)
    if there[-1] >= 100.0 * there[0]:
        return
    kept = [there[0]]
    for depth in there[1:]:
        if np.log(depth / kept[-1]) >= 0.12 * np.log(there[-1] / there[0]):
            kept.append(depth)
    ax.set_xticks(kept, [f"{depth:g}" for depth in kept])
    ax.set_xticks([], minor=True)


def proxy(label: str, **style: Any) -> Any:
    """Return a line of the legend that stands for several curves."""
    from matplotlib.lines import Line2D

    given: Style = {"color": SOFT, "lw": 1.2} | style
    return Line2D([], [], label=label, **given)


def hollow_proxy(label: str = HOLLOW) -> Any:
    """Return a line of the legend for the hollow points."""
    return proxy(label, ls="", marker="o", mfc="none", ms=3.5, mew=0.8)


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


def colour_bar(ax: Any, mesh: Any, label: str, **given: Any) -> Any:
    """Add a labelled colour bar beside ``ax``, in the font sizes of ``ax``."""
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.06, pad=0.03, aspect=18, **given)
    bar.set_label(label, size=ax.yaxis.label.get_fontsize())
    bar.ax.tick_params(labelsize=size_of_ticks(ax))
    return bar
