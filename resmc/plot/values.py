"""Curves of any quantity: of one simulation by layer, and of the ends of several; what is drawn of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.words import brief
from ..analyses import found
from ..models.fields import told_apart
from ..results.estimates import Estimate, Floats, KSDistance
from ..results.observable import SENTENCES, Observable, Predictions
from ..results.observables import OBSERVABLES
from ..results.record import Record
from . import series
from . import style as st
from .fields import axis_label, in_words, label_of, letter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKED = 40  # points of a curve up to which each has a marker
MARKS = 12  # markers along a longer curve
WIDE_RANGE = 20.0  # quotient of the largest and the smallest value from which an axis is logarithmic
BESIDE = 0.6  # part of the room of a kind over which the points of several curves are spread
NAMES_ASIDE = 24  # letters of all labels of an axis beyond which they are turned


@dataclass(frozen=True)
class Curve:
    """Estimates over ``x`` with the theory beside them, NaN where there is none; ``noise`` of distances of laws."""

    x: Floats
    estimate: Estimate
    known: Predictions
    noise: Floats | None = None

    @property
    def second_order(self) -> Floats:
        """The limit with the next order in 1/n; NaN where all values are known exactly."""
        second = self.known.second_order
        return np.full(second.shape, np.nan) if np.isfinite(self.known.exact).all() else second


@dataclass(frozen=True)
class Axis:
    """The horizontal axis: its label, the values of its ticks where they are words, and if it is one of layers."""

    label: str
    words: tuple[str, ...] = ()
    layers: bool = False
    whole: bool = False


def positions(name: str, values: Sequence[Any]) -> tuple[Floats, Axis]:
    """Return where the values of a dimension are drawn, and the axis."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.array(values, np.float64), Axis(axis_label(name))
    return np.arange(float(len(values))), Axis(axis_label(name), tuple(told_apart(values, in_words)))


def draw_simulation(sim: Record, name: str, *, ax: Axes) -> Axes:
    """Draw a quantity of one simulation."""
    one = OBSERVABLES[name]
    label, axis, drawn = of_simulations({"": sim}, one)
    return draw(one, label, axis, drawn, ax, {})


def draw(
    one: Observable,
    label: str,
    axis: Axis,
    drawn: Mapping[str, Curve],
    ax: Axes | None,
    style: Mapping[str, Any],
    title: Callable[[Axes], None] | None = None,
) -> Axes:
    """Draw curves by label; ``title`` is called with the Axes before the legend is made.

    Raises
    ------
    ValueError
        If no curve has a value, or ``ax`` is no Axes.
    """
    if not any(np.isfinite(curve.estimate.value).any() for curve in drawn.values()):
        raise ValueError(f"name={one.name!r} has no value anywhere in result")
    with st.panel("plot_quantity", ax) as ax:
        looks = series.looks(list(drawn))
        handles = [
            _draw(ax, curve, look, style, words, axis, number, len(drawn), series.by_line(list(drawn)))
            for number, ((words, curve), look) in enumerate(zip(drawn.items(), looks, strict=True))
        ]
        others = _theory(ax, drawn, looks, SENTENCES[one.limit_kind], axis)
        if any(st.bare(c.estimate).any() for c in drawn.values()):
            others.append(st.hollow_proxy())
        ax.set(xlabel=axis.label, ylabel=label.replace(", ", ",\n"))  # words that would be longer than the axis
        _scale(ax, axis, drawn)
        if title is not None:
            title(ax)
        series.legend(ax, list(drawn), handles, others)
    return ax


def of_simulations(several: Mapping[str, Record], one: Observable) -> tuple[str, Axis, dict[str, Curve]]:
    """Return the label of a quantity, the horizontal axis, and curves by layer or lag; else one over the labels."""
    sims = list(several.values())
    if one.per in ("layer", "lag"):
        lag = one.per == "lag"
        label = one.label.replace("+1", "+k") if lag else one.labelled(r"\ell", letter_of(sims))
        axis = Axis("lag $k$ (layers)" if lag else r"layer $\ell$", layers=True, whole=True)
        return label, axis, {words: _by_layer(sim, one) for words, sim in several.items()}
    numbers = series.numbers(list(several)) if len(sims) > 1 else None
    if numbers is not None:
        order = np.argsort(numbers[1])
        x = np.array(numbers[1])[order]
        return (
            label_of(one, letter_of(sims)),
            Axis(numbers[0] or "label"),
            {"": of_ends([sims[i] for i in order], one, x)},
        )
    words = tuple(several) if len(sims) > 1 else (st.counted(sims[0].networks),)
    return (
        label_of(one, letter_of(sims)),
        Axis("simulation", words),
        {"": of_ends(sims, one, np.arange(float(len(sims))))},
    )


def _by_layer(sim: Record, one: Observable) -> Curve:
    """Return the curve of a simulation over its layers, or over the distances of layers above 0."""
    places, estimate = found.places(sim, one.name), found.estimate(sim, one.name)
    kept = np.flatnonzero(places > 0) if one.per == "lag" else np.arange(len(places))
    at = places[kept]
    return Curve(at.astype(np.float64), estimate[kept], found.predictions(sim, one.name)[kept])


def of_ends(sims: Sequence[Record], one: Observable, x: Floats) -> Curve:
    """Return the curve of the values at the end of each simulation, or at a distance of one layer."""
    values, noise, theory = [], [], []
    for sim in sims:
        estimate, places = found.estimate(sim, one.name), found.places(sim, one.name)
        wanted = 1 if one.per == "lag" else one.end(sim.model.depth)
        known = found.predictions(sim, one.name)
        if one.per in ("layer", "lag"):
            where = np.flatnonzero(places == wanted)
            if not where.size:
                raise ValueError(
                    f"name={one.name!r} needs two recorded layers at distance 1; layers={brief(sim.layers)}"
                )
            estimate, known = estimate[int(where[0])], known[int(where[0])]
        values.append(estimate)
        noise.append(estimate.noise_floor if isinstance(estimate, KSDistance) else np.nan)
        theory.append([float(part) for part in (known.exact, known.limit, known.second_order)])
    value, stderr = (np.array([float(getattr(e, part)) for e in values]) for part in ("value", "stderr"))
    known = Predictions(*np.array(theory, np.float64).T)
    several = Estimate(value, stderr, np.array([int(e.n) for e in values]))
    return Curve(x, several, known, np.array(noise) if one.per == "run" else None)


def _draw(
    ax: Axes,
    curve: Curve,
    look: st.Series,
    style: Mapping[str, Any],
    label: str,
    axis: Axis,
    number: int,
    count: int,
    by_line: bool = False,
) -> Any:
    """Draw the estimates of a curve, ``number`` of ``count``, and return their entry of the legend."""
    good = np.isfinite(curve.estimate.value)
    x, estimate = curve.x[good], curve.estimate[good]
    words = label or st.simulated(estimate)
    if axis.words:  # kinds have no order that a line could follow
        return st.points(ax, x + _aside(number, count), estimate, style, look, words)
    if not axis.layers:
        if len(x) > 1:
            joined = look.line if by_line else "-"
            st.line(ax, x, estimate.value, color=look.colour, ls=joined, lw=0.7, alpha=0.6, zorder=2)
        return st.points(ax, x, estimate, style, look, words)
    marked = len(x) <= MOST_MARKED
    given: st.Style = {"marker": "" if count == 1 and not marked else look.marker, "ms": 3.0, "color": look.colour}
    every = 1 if marked else (number * len(x) // (MARKS * count), -(-len(x) // MARKS))  # alike curves take other points
    handle = st.line(ax, x, estimate.value, style, label=words, lw=1.0, markevery=every, zorder=3, **given)
    st.band(ax, x, estimate.value - estimate.stderr, estimate.value + estimate.stderr, handle.get_color())
    st.hollow(ax, x, estimate.value, st.bare(estimate), handle.get_color(), look.marker)
    return handle


def _aside(number: int, count: int) -> float:
    """Return how far a curve's points stand beside the place of their kind, so that none hides another."""
    return BESIDE * ((number + 0.5) / count - 0.5)


def _theory(ax: Axes, drawn: Mapping[str, Curve], looks: Sequence[st.Series], sentence: str, axis: Axis) -> list[Any]:
    """Draw exact values, limits and noise of all curves, and return the legend's entries for those that there are."""
    single, out = len(drawn) == 1, []
    limits, second, exact = [], [], []
    if series.by_line(list(drawn)):  # the style of a line says already which curve it is
        drawn, looks = {}, ()
    for number, (curve, look) in enumerate(zip(drawn.values(), looks, strict=True)):
        own: st.Style = {} if single else {"color": look.colour, "lw": 0.8}
        own |= {"joined": not axis.words} | ({"ms": max(24.0 / len(drawn), 3.0)} if axis.words and not single else {})
        x = curve.x + _aside(number, len(drawn)) * bool(axis.words)
        limits.append(st.limit(ax, x, curve.known.limit, sentence if single else None, **own))
        second.append(st.next_order(ax, x, curve.second_order, st.NEXT_ORDER if single else None, **own))
        exact.append(st.exact(ax, x, curve.known.exact, st.EXACTLY if single else None, **own))
        if curve.noise is not None and np.isfinite(curve.noise).any():
            st.line(ax, x, curve.noise, ls="", marker="_", ms=9.0, color=st.SOFT, zorder=2)
    for artists, words, line in (
        (limits, sentence, st.DASHED),
        (second, st.NEXT_ORDER, st.SHORT_DASHED),
        (exact, st.EXACTLY, st.DASH_DOTTED),
    ):
        there = [artist for artist in artists if artist is not None]
        if there:
            lines = [artist for artist in there if artist.get_linestyle() != "None"]
            shown: st.Style = {"ls": line} if lines else {"ls": "", "marker": there[0].get_marker(), "ms": 5.0}
            out.append(there[0] if single else st.proxy(words, lw=0.9, **shown))
    if not single:
        out.append(st.proxy("bands and bars: s.e.", lw=0.0))
    if any(curve.noise is not None and np.isfinite(curve.noise).any() for curve in drawn.values()):
        out.append(st.proxy("noise of sampling alone", ls="", marker="_", ms=9.0))
    return out


def _scale(ax: Axes, axis: Axis, drawn: Mapping[str, Curve]) -> None:
    """Set ticks and scale of the horizontal axis."""
    x = next(iter(drawn.values())).x
    if axis.words:
        turned = sum(map(len, axis.words)) > NAMES_ASIDE
        ax.set_xticks(x, axis.words, rotation=30 if turned else 0, ha="right" if turned else "center")
        ax.set_xlim(-0.5, len(x) - 0.5)
    elif not axis.layers and x.min() > 0.0 and x.max() >= WIDE_RANGE * x.min():
        ax.set_xscale("log")
    elif axis.whole:
        ax.margins(x=0.02)
        st.integer_ticks(ax.xaxis)
