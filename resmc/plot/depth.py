"""Deep networks whose branches shrink with the depth: how far they and their gradients go, over depth and exponent.

The figures are those of Marion, Fermanian, Biau, Vert (arXiv 2206.06929): explosion, identity, and neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from .._system.words import brief
from ..analyses import log_ratio
from ..analyses.regime import Regime
from ..analyses.verdict import SHOWN
from ..engine.lowering import QUOTIENTS
from ..experiments.heat_map import HeatMap
from ..experiments.train.heat_map import TrainedHeatMap
from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..sweep.result import SweepResult
from . import heat_maps, maps, places
from . import series as looks
from . import style as st
from .fields import FIELDS, axis_label, field
from .heat_maps import REACH
from .select import curves as curves_of_sweep
from .select import say_fixed
from .sweeps import cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST = 690.0  # logarithm of a ratio that is drawn: its exponential must be a float
MOST_BANDS = 6  # curves up to which bands do not hide each other
ALLOWED = "a Regime, a sequence of Simulation, a SweepResult, or a mapping from labels to either of the first two"


def plot_depth_ratio(
    result: Any,
    ratio: str = "displacement",
    *,
    between: tuple[float, float] = (0.05, 0.95),
    sel: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the median of a ratio and the band between two of its quantiles against the depth L, both logarithmic.

    More than six curves have no bands, which would hide each other.

    Parameters
    ----------
    result : Regime, sequence of Simulation, SweepResult, or a mapping from labels to either of the first two
        Simulations of different depths, which give a curve for each label, any number of them; the legend says a
        `Regime`'s verdict on the ratio. A sweep over ``depth`` gives a curve for each value of its other dimensions.
    ratio : {"growth", "displacement", "gradient", "gradient_displacement"}
        |h_L|/|h_0|, |h_L - h_0|/|h_0|, |p_0|/|p_L| or |p_0 - p_L|/|p_L|.
    between : pair of float
        Probabilities of the band's quantiles.
    sel : mapping, optional
        Values to which dimensions of a sweep are fixed: ``{"beta": 0.5}``.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the medians (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` holds something else, nothing, or two simulations of one depth, the ratio was not followed or is
        too large to be drawn, ``between`` are no increasing probabilities, ``sel`` names something else than a sweep's
        dimensions and values, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), figures 1 and 3.
    """
    st.require("plot_depth_ratio")
    checks.choice("ratio", ratio, QUOTIENTS)
    low, high = _between(between)
    curves = _curves(result, sel)
    drawn = {label: _by_depth(sims, ratio, low, high) for label, (sims, _) in curves.items()}
    words_of = {label: ": ".join(filter(None, (label, _verdict(known, ratio)))) for label, (_, known) in curves.items()}
    with st.panel("plot_depth_ratio", ax) as ax:
        explained = _explained([sim for sims, _ in curves.values() for sim in sims], low, high)
        explained += [st.hollow_proxy()] if any(st.bare(median).any() for _, median, _ in drawn.values()) else []
        handles = []
        bands = len(drawn) <= MOST_BANDS
        for (label, (depths, median, band)), series in zip(drawn.items(), looks.looks(list(drawn)), strict=True):
            if bands and len(depths) == 1:  # a band without width
                ax.vlines(depths, *band, color=series.colour, alpha=0.2, lw=8.0)
            elif bands:
                ax.fill_between(depths, *band, color=series.colour, alpha=0.2, lw=0)
            st.line(ax, depths, median.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            handles.append(st.points(ax, depths, median, style, series, words_of[label] or explained[0].get_label()))
        ends = [end for _, _, band in drawn.values() for end in band]
        explained = explained if bands else [explained[0], *explained[2:]]
        decades = max(e.max() for e in ends) > 10.0 * min(e.min() for e in ends)
        ax.set(xscale="log", yscale="log" if decades else "linear", xlabel="depth $L$", ylabel=f"${SHOWN[ratio]}$")
        if decades:
            places.last(ax, partial(st.log_ticks, ax.yaxis))
        st.depth_ticks(ax, np.concatenate([depths for depths, _, _ in drawn.values()]))
        say_fixed(ax, result, sel)
        looks.legend(ax, list(drawn), handles, explained if any(words_of.values()) else explained[1:])
    return ax


def plot_heat_map(
    simulations: Sequence[Record] | SweepResult | HeatMap,
    ratio: str = "displacement",
    x: str | None = None,
    y: str | None = None,
    *,
    sel: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the mean of log10 of a ratio over two fields of the models, or a `HeatMap`, a cell for each point.

    Blue is above 0 (a ratio of 1), orange below 0, and cells below 0 have a dash where no numbers are written; the
    colours end two powers of ten from 0. Cells are marked and written into as in `plot_sweep`. A `HeatMap` has two
    lines besides: the frontier as the depth grows, and where the mean of a displacement is 0 at its own depth.

    Parameters
    ----------
    simulations : sequence of Simulation, SweepResult, or HeatMap
        Simulations, one for each pair of values of x and y; pairs without one are grey and hatched.
    ratio : {"growth", "displacement", "gradient", "gradient_displacement"}
        A ratio, as in `plot_depth_ratio`.
    x, y : str, optional
        Fields of the models, as "beta", "c", "depth", "width", "bias", "carry" or "activation"; "beta" and "depth" by
        default. Of a sweep its dimensions, by default the last and the first that ``sel`` leaves. Of a heat map
        "hurst" and "beta", in either order.
    sel : mapping, optional
        Values to which the other dimensions of a sweep are fixed.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the map (a ``QuadMesh``).

    Raises
    ------
    ValueError
        If a simulation is of another kind, has no such field or did not follow the ratio, x and y are the same, two
        simulations fall into one cell, dimensions of a sweep are left, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), the maps over beta and regularity.
    """
    st.require("plot_heat_map")
    if isinstance(simulations, TrainedHeatMap):
        raise ValueError(f"simulations={brief(simulations)} is not allowed: plot_trained_map draws maps after training")
    checks.choice("ratio", ratio, QUOTIENTS)
    if isinstance(simulations, HeatMap) and sel is None:
        return heat_maps.draw(simulations, ratio, x, y, ax, style)
    if isinstance(simulations, SweepResult):
        x, y, columns, rows, means, errors = _cells_of_sweep(simulations, ratio, x, y, sel)
    else:
        if sel is not None:
            raise ValueError(f"sel={brief(sel)} is not allowed here: it chooses points of a SweepResult")
        x, y = x or "beta", y or "depth"
        columns, rows, means, errors = _cells(_several("simulations", simulations), ratio, x, y)
    values, stderr = (0.5 * np.where(np.isfinite(one), one, np.nan) / math.log(10.0) for one in (means, errors))
    if not np.isfinite(values).any():
        raise ValueError(f"ratio={ratio!r} has no logarithm in any simulation: it is 0")
    with st.panel("plot_heat_map", ax, 2.6) as ax:
        label = rf"mean $\log_{{10}}\,{SHOWN[ratio]}$"
        maps.draw(ax, values, stderr, label, style, centred=True, most=REACH)
        maps.ticks(ax.xaxis, columns)
        maps.ticks(ax.yaxis, rows)
        ax.set(xlabel=_label(x), ylabel=_label(y))
        say_fixed(ax, simulations, sel)
    return ax


def _between(given: Any) -> tuple[float, float]:
    try:
        low, high = (checks.real("between", p) for p in given)
    except TypeError:
        low, high = 1.0, 0.0
    if not 0.0 < low < high < 1.0:
        raise ValueError(
            f"between={brief(given)} is not allowed: it must be two increasing probabilities between 0 and 1"
        )
    return low, high


def _curves(result: Any, sel: Mapping[str, Any] | None) -> dict[str, tuple[list[Record], Regime | None]]:
    """Return by label the simulations by increasing depth, and the regime that they come from if there is one."""
    given = result if isinstance(result, Mapping) else {"": result}
    if isinstance(result, SweepResult):
        points = curves_of_sweep(result, sel, "depth")[1]
        given = {label: [result.load(int(i)) for i in index] for label, index in points.items()}
    elif sel is not None:
        raise ValueError(f"sel={brief(sel)} is not allowed here: it chooses points of a SweepResult")
    st.check_count("result", len(given))
    curves = {}
    for label, one in given.items():
        known = one if isinstance(one, Regime) else None
        sims = sorted(_several("result", one if known is None else known.simulations), key=lambda sim: sim.model.depth)
        if len({sim.model.depth for sim in sims}) < len(sims):
            raise ValueError("result has several simulations of one depth in a curve: give each curve a label")
        curves[label if isinstance(label, str) else str(label)] = (sims, known)
    return curves


def _several(name: str, given: Any) -> list[Record]:
    if not isinstance(given, Sequence) or not given or not all(isinstance(sim, Record) for sim in given):
        allowed = ALLOWED if name == "result" else "a sequence of Simulation"
        raise ValueError(f"{name}={brief(given)} is not allowed: it must be {allowed}")
    return list(given)


def _by_depth(sims: list[Record], ratio: str, low: float, high: float) -> tuple[Any, Estimate, tuple[Any, Any]]:
    """Return depths, medians of the ratio itself, and its two quantiles."""
    found = [log_ratio.analyse(sim, ratio).quantile([low, 0.5, high]) for sim in sims]
    logs = 0.5 * np.array([one.value for one in found])
    if logs.max() > LARGEST:
        raise ValueError(f"ratio={ratio!r} is as large as exp({logs.max():.4g}) here: leave out what cannot be drawn")
    below, median, above = np.exp(logs).T
    stderr = median * 0.5 * np.array([one.stderr[1] for one in found])
    depths = np.array([sim.model.depth for sim in sims], np.float64)
    return depths, Estimate(median, stderr, np.array([sim.networks for sim in sims])), (below, above)


def _verdict(regime: Regime | None, ratio: str) -> str:
    if regime is None:
        return ""
    return {one.ratio: one.name for one in (regime.forward, regime.backward)}.get(ratio, "")


def _explained(sims: list[Record], low: float, high: float) -> list[Any]:
    """Return entries of the legend that explain points and bands."""
    from matplotlib.patches import Patch

    counts = {sim.networks for sim in sims}
    networks = f", {st.counted(counts.pop())}" if len(counts) == 1 else ""
    band = Patch(color=st.SOFT, alpha=0.3, lw=0, label=f"{100 * low:g}% to {100 * high:g}%")
    return [st.proxy(f"median ± s.e.{networks}", lw=0.9), band]


def _cells(sims: list[Record], ratio: str, x: str, y: str) -> tuple[tuple[Any, ...], tuple[Any, ...], Floats, Floats]:
    """Return the values of both fields, and the means of a quotient's logarithm over (y, x) with their errors."""
    for name, value in (("x", x), ("y", y)):
        checks.choice(name, value, tuple(FIELDS))
    if x == y:
        raise ValueError(f"y={y!r} is not allowed: it is x already")
    pairs = [(field(sim.model, x), field(sim.model, y)) for sim in sims]
    if len(set(pairs)) < len(pairs):
        raise ValueError(f"simulations has several at one pair of x={x!r} and y={y!r}: a cell holds one")
    columns, rows = (tuple(_ordered(set(values))) for values in zip(*pairs, strict=True))
    means, errors = np.full((2, len(rows), len(columns)), np.nan)
    for sim, (at_x, at_y) in zip(sims, pairs, strict=True):
        one, place = log_ratio.analyse(sim, ratio).final_mean, (rows.index(at_y), columns.index(at_x))
        means[place], errors[place] = float(one.value), float(one.stderr)
    return columns, rows, means, errors


def _ordered(values: set[Any]) -> list[Any]:
    """Return numbers or words in their order, and scalings or inputs in that of their texts."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)


def _cells_of_sweep(
    result: SweepResult, ratio: str, x: str | None, y: str | None, sel: Mapping[str, Any] | None
) -> tuple[str, str, tuple[Any, ...], tuple[Any, ...], Floats, Floats]:
    """Return both dimensions, their values, and the means of a quotient's logarithm over (y, x) with their errors."""
    name = f"{ratio}.mean"
    if name not in result.estimates:
        there = ", ".join(one for one in QUOTIENTS if f"{one}.mean" in result.estimates)
        raise ValueError(
            f"ratio={ratio!r} was not followed in this sweep: there are {there or 'none'}. A Sweep follows more with "
            "displacement=True or gradients=True; plot_sweep draws maps of other quantities"
        )
    x, y, index = cells(result, x, y, sel)
    columns, rows = (tuple(getattr(result.plan, dimension)) for dimension in (x, y))
    one = result.estimates[name]
    return x, y, columns, rows, np.asarray(one.value.ravel()[index]), np.asarray(one.stderr.ravel()[index])


def _label(name: str) -> str:
    """Return a field's label; the depth is the L of the ratios' names."""
    return "depth $L$" if name == "depth" else axis_label(name)
