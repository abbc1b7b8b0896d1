"""Any quantity: by layer of one or several simulations, or over a dimension of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import Regime, found
from ..results.estimates import Estimate, Floats, KSDistance
from ..results.observable import SENTENCES, Observable
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..sweep.result import SweepResult
from . import series
from . import style as st
from .select import axis_label, curves, in_words, label_of, letter_of, say_fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKED = 40  # points of a curve up to which each has a marker
MARKS = 12  # markers along a longer curve
WIDE_RANGE = 20.0  # quotient of the largest and the smallest value from which an axis is logarithmic
NAMES_ASIDE = 24  # letters of all labels of an axis beyond which they are turned
ALLOWED = "a Simulation (or a Regime or a SweepResult)"


@dataclass(frozen=True)
class Curve:
    """Estimates over ``x``, with exact values and limits, NaN where there are none; ``noise`` of distances of laws."""

    x: Floats
    estimate: Estimate
    exact: Floats
    limit: Floats
    noise: Floats | None = None


@dataclass(frozen=True)
class Axis:
    """The horizontal axis: its label, the values of its ticks where they are words, and if it is one of layers."""

    label: str
    words: tuple[str, ...] = ()
    layers: bool = False
    whole: bool = False


def plot_quantity(
    result: Record | Regime | SweepResult | Mapping[str, Record],
    name: str,
    *,
    along: str | None = None,
    sel: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw any quantity of any network, with the exact values and the limits that are known of it.

    Curves are drawn with standard errors: a band by layer, bars elsewhere. A point without an error is hollow. Limits
    are dashed and exact values dash-dotted, of several curves in the curves' colours.

    Parameters
    ----------
    result : Simulation, Regime, SweepResult, or a mapping from labels to simulations
        Simulations are drawn by recorded layer, any number of them. A quantity that is one number for each simulation
        is drawn over the labels, and a correlation over the distance of layers. A `Regime` is drawn over its depths,
        a sweep over ``along`` with a curve for each value of its other dimensions, at the last layer, or at layer 0
        of gradients.
    name : str
        A name of ``sim.observables`` or ``result.estimates``, such as "log_norm.variance" or "displacement.median".
    along : str, optional
        The dimension of a sweep; by default the last of several values that ``sel`` leaves.
    sel : mapping, optional
        Values to which dimensions of a sweep are fixed: ``{"variant": "vanilla"}``.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates (a ``Line2D``, or an ``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is of another kind or empty, there is no such quantity or it has no value, ``along`` or ``sel``
        name something else than a sweep's dimensions and values, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.
    """
    st.require("plot_quantity")
    one = OBSERVABLES[checks.choice("name", name, tuple(OBSERVABLES))]
    if not isinstance(result, SweepResult):
        for argument, value in (("along", along), ("sel", sel)):
            if value is not None:
                raise ValueError(f"{argument}={value!r} is not allowed here: it chooses points of a SweepResult")
    label, axis, drawn = _collected(result, one, along, sel)
    if not any(np.isfinite(curve.estimate.value).any() for curve in drawn.values()):
        raise ValueError(f"name={name!r} has no value anywhere in result")
    with st.panel("plot_quantity", ax) as ax:
        looks = series.looks(list(drawn))
        handles = [
            _draw(ax, curve, look, style, words, axis.layers, len(drawn) == 1)
            for (words, curve), look in zip(drawn.items(), looks, strict=True)
        ]
        others = _theory(ax, drawn, looks, SENTENCES[one.limit_kind])
        if any((np.isfinite(c.estimate.value) & ~np.isfinite(c.estimate.stderr)).any() for c in drawn.values()):
            others.append(st.hollow_proxy("hollow: no error"))
        ax.set(xlabel=axis.label, ylabel=label)
        _scale(ax, axis, drawn)
        say_fixed(ax, sel)
        series.legend(ax, list(drawn), handles, others)
    return ax


# -- the curves -------------------------------------------------------------------------------------------------------


def _collected(
    result: Any, one: Observable, along: str | None, sel: Mapping[str, Any] | None
) -> tuple[str, Axis, dict[str, Curve]]:
    """Return the label of the quantity, the horizontal axis, and the curves by label."""
    if isinstance(result, SweepResult):
        label = label_of(one, letter_of(result))
        along, points = curves(result, sel, along)
        values = getattr(result.plan, along)
        x, axis = _positions(along, values)
        return label, axis, {words: _of_points(result, one, index, x) for words, index in points.items()}
    if isinstance(result, Regime):
        sims = list(result.simulations)
        axis = Axis("depth $L$", whole=True)
        return label_of(one, letter_of(sims)), axis, {"": _of_ends(sims, one, result.depths.astype(np.float64))}
    several = st.several("result", result, (Record,), ALLOWED)
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
            {"": _of_ends([sims[i] for i in order], one, x)},
        )
    words = tuple(several) if len(sims) > 1 else (f"{st.count_in_words(sims[0].networks)} networks",)
    return (
        label_of(one, letter_of(sims)),
        Axis("simulation", words),
        {"": _of_ends(sims, one, np.arange(float(len(sims))))},
    )


def _positions(name: str, values: Sequence[Any]) -> tuple[Floats, Axis]:
    """Return where the values of a dimension are drawn, and the axis."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.array(values, np.float64), Axis(axis_label(name))
    return np.arange(float(len(values))), Axis(axis_label(name), tuple(in_words(v) for v in values))


def _by_layer(sim: Record, one: Observable) -> Curve:
    """Return the curve of a simulation over its layers, or over the distances of layers above 0."""
    places, estimate = found.places(sim, one.name), found.estimate(sim, one.name)
    kept = np.flatnonzero(places > 0) if one.per == "lag" else np.arange(len(places))
    at = places[kept]
    return Curve(at.astype(np.float64), estimate[kept], one.exact(sim.facts, at), one.limit(sim.facts, at))


def _of_ends(sims: Sequence[Record], one: Observable, x: Floats) -> Curve:
    """Return the curve of the values at the end of each simulation, or at a distance of one layer."""
    values, noise, theory = [], [], []
    for sim in sims:
        estimate, places = found.estimate(sim, one.name), found.places(sim, one.name)
        wanted = 1 if one.per == "lag" else one.end(sim.model.depth)
        if one.per in ("layer", "lag"):
            where = np.flatnonzero(places == wanted)
            if not where.size:
                raise ValueError(f"name={one.name!r} needs two recorded layers at distance 1; layers={sim.layers}")
            estimate = estimate[int(where[0])]
        values.append(estimate)
        noise.append(estimate.noise_floor if isinstance(estimate, KSDistance) else np.nan)
        at = np.array([wanted])
        theory.append([float(known(sim.facts, at)[0]) for known in (one.exact, one.limit)])
    value, stderr = (np.array([float(getattr(e, part)) for e in values]) for part in ("value", "stderr"))
    exact, limit = np.array(theory, np.float64).T
    several = Estimate(value, stderr, np.array([int(e.n) for e in values]))
    return Curve(x, several, exact, limit, np.array(noise) if one.per == "run" else None)


def _of_points(result: SweepResult, one: Observable, index: Any, x: Floats) -> Curve:
    """Return the curve of the points ``index`` of a sweep."""
    if one.name not in result.estimates:
        if one.in_sweeps:
            raise ValueError(f"name={one.name!r} is not in this sweep: there are {', '.join(result.estimates)}")
        return _of_ends([result.load(int(i)) for i in index], one, x)
    exact, limit = (theory[one.name].ravel()[index] for theory in (result.exact, result.limits))
    return Curve(x, result.estimates[one.name].reshape((-1,))[index], exact, limit)


# -- what is drawn of them --------------------------------------------------------------------------------------------


def _draw(
    ax: Axes, curve: Curve, look: st.Series, style: Mapping[str, Any], label: str, layers: bool, single: bool
) -> Any:
    """Draw the estimates of a curve, and return their entry of the legend."""
    good = np.isfinite(curve.estimate.value)
    x, estimate = curve.x[good], curve.estimate[good]
    words = label or "simulated ± s.e."
    if not layers:
        if len(x) > 1:
            st.line(ax, x, estimate.value, color=look.colour, lw=0.7, alpha=0.6, zorder=2)
        return st.points(ax, x, estimate, style, look, words)
    marked = len(x) <= MOST_MARKED
    given: st.Style = {"marker": "" if single and not marked else look.marker, "ms": 3.0, "color": look.colour}
    every = 1 if marked else -(-len(x) // MARKS)
    handle = st.line(ax, x, estimate.value, style, label=words, lw=1.0, markevery=every, zorder=3, **given)
    low, high = estimate.value - estimate.stderr, estimate.value + estimate.stderr
    st.band(ax, x, low, high, handle.get_color())
    bare = np.flatnonzero(~np.isfinite(estimate.stderr))
    bare = bare[st.thinned(len(bare), MOST_MARKED)] if bare.size else bare
    st.line(ax, x[bare], estimate.value[bare], ls="", marker=look.marker, ms=3.5, mfc="white", mew=0.8, zorder=3,
            color=handle.get_color())  # fmt: skip
    return handle


def _theory(ax: Axes, drawn: Mapping[str, Curve], looks: Sequence[st.Series], sentence: str) -> list[Any]:
    """Draw exact values, limits and noise of all curves, and return the legend's entries for those that there are."""
    single, out = len(drawn) == 1, []
    limits, exact = [], []
    for curve, look in zip(drawn.values(), looks, strict=True):
        own: st.Style = {} if single else {"color": look.colour, "lw": 0.8}
        limits.append(st.limit(ax, curve.x, curve.limit, sentence if single else None, **own))
        exact.append(st.exact(ax, curve.x, curve.exact, st.EXACTLY if single else None, **own))
        if curve.noise is not None and np.isfinite(curve.noise).any():
            st.line(ax, curve.x, curve.noise, ls="", marker="_", ms=9.0, color="0.35", zorder=2)
    for artists, words, line in ((limits, sentence, st.DASHED), (exact, st.EXACTLY, st.DASH_DOTTED)):
        there = [artist for artist in artists if artist is not None]
        if there:
            out.append(there[0] if single else st.proxy(words, ls=line, lw=0.9))
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
