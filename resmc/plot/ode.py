"""Distances of networks from their ordinary equations over the depth, and the bound that Euler's stays below."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiments.convergence import mean_log
from ..experiments.ode.distance import Distance
from ..results.estimates import Estimate, Floats
from . import places
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"euler": "Euler", "heun": "Heun"}
FARTHEST = 1e4  # times the largest distance: bounds beyond it are said in words, as they would leave no room


def plot_ode_distance(
    result: Distance | Mapping[str, Distance], *, bounds: bool | None = None, ax: Axes | None = None, **style: Any
) -> Axes:
    """Draw distances of networks from their ordinary equations against the depth N, both logarithmic.

    A point is the geometric mean over networks of max_k |x_k - x(k/N)|, its error that of the mean logarithm; the
    legend says the slopes. The bounds, geometric means too, are those of ``bound`` and ``step_bound`` of the result:
    they hold for Euler's distance, network by network. One beyond 10^4 times all distances is said in words alone.

    Parameters
    ----------
    result : Distance, or a mapping from labels to them
        Distances, as `resmc.ode.distance` returns them.
    bounds : bool, optional
        True to draw both bounds, by default where there is one result and it has Euler's distance.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, holds nothing or no distance above 0, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 3, for distance and bound.
    """
    st.require("plot_ode_distance")
    given = st.several("result", result, (Distance,), "a Distance, as resmc.ode.distance returns it")
    curves: dict[str, tuple[Distance, str]] = {}
    for label, one in given.items():
        for scheme in one.schemes:
            if not np.isfinite(one.log_distance(scheme).value).any():
                raise ValueError(f"result has no logarithm of a distance of {NAMES[scheme]}: all are 0")
            curves[", ".join(filter(None, (label, NAMES[scheme])))] = (one, scheme)
    wanted = len(given) == 1 and all("euler" in one.schemes for one in given.values()) if bounds is None else bounds
    with st.panel("plot_ode_distance", ax) as ax:
        handles, means = [], [_geometric(getattr(one, scheme)) for one, scheme in curves.values()]
        lines = zip(curves.items(), means, looks.looks(list(curves)), strict=True)
        for (label, (one, scheme)), mean, series in lines:
            st.line(ax, one.depths, mean.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            handles.append(st.points(ax, one.depths, mean, style, series, label + _slope(one, scheme)))
        least, largest = (float(f([f(mean.value) for mean in means])) for f in (np.nanmin, np.nanmax))
        if wanted:
            for label, one in given.items():
                handles += _bounds(ax, one, label, largest)
        decades = largest > 10.0 * least
        ax.set(xscale="log", yscale="log" if decades else "linear", xlabel="depth $N$")
        ax.set_ylabel(r"$\max_k\,|x_k - x(k/N)|$")
        if decades:
            places.last(ax, partial(st.log_ticks, ax.yaxis))
        st.depth_ticks(ax, np.concatenate([one.depths for one in given.values()]).astype(np.float64))
        if any(st.bare(mean).any() for mean in means):
            handles.append(st.hollow_proxy())
        looks.legend(ax, list(curves), handles, [])
    return ax


def _geometric(values: Floats) -> Estimate:
    """Return geometric means over networks, with the errors of the mean logarithms, times the mean."""
    logs = mean_log(values)
    mean = np.exp(logs.value)
    return Estimate(mean, mean * logs.stderr, logs.n)


def _slope(one: Distance, scheme: str) -> str:
    slope: Estimate = getattr(one, f"{scheme}_slope")
    return f": slope {st.in_words(slope)}" if np.isfinite(float(slope.value)) else ""


def _bounds(ax: Axes, one: Distance, label: str, largest: float) -> list[Any]:
    """Draw both bounds of a result, or say how large they are; return their entries of the legend."""
    entries = []
    for words, values, line in (
        ("Euler's bound", one.bound, st.DASHED),
        ("Euler's bound by step", one.step_bound, st.DOTTED),
    ):
        name = ", ".join(filter(None, (label, words)))
        with np.errstate(divide="ignore"):
            mean = np.exp(np.log(values).mean(axis=1))  # infinite where any is: no network is left out
        if np.isfinite(mean).all() and mean.max() <= FARTHEST * largest:
            entries.append(st.line(ax, one.depths, mean, color=st.SOFT, ls=line, lw=1.0, label=name, zorder=1))
        else:
            least = np.nanmin(np.where(np.isfinite(mean), mean, np.inf))
            power = rf"$10^{{{int(np.floor(np.log10(least)))}}}$" if np.isfinite(least) else "all floats"
            entries.append(st.proxy(f"{name}: above {power}", color=st.SOFT, ls=line, lw=1.0))
    return entries
