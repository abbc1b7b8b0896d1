"""Linear residual networks under gradient descent: how their weights tend to functions of the depth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..experiments.ode.linear import LinearDescent
from ..results.estimates import Estimate
from . import places
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = ("distance", "loss", "smoothness", "weights")
LABELS = {"loss": "loss", "smoothness": r"$\max_k N |A_{k+1} - A_k|$"}
MOST_MARKS = 7  # points with an error along a curve over time
MOST_ENTRIES = 4  # entries of the weights that are drawn


def plot_linear_descent(
    result: LinearDescent, quantity: str = "distance", *, ax: Axes | None = None, **style: Any
) -> Axes:
    """Draw the distance between depths N and 2N, the loss, the smoothness of weights in depth, or the weights.

    Parameters
    ----------
    result : LinearDescent
        Networks of several depths, from `resmc.ode.linear_descent`.
    quantity : {"distance", "loss", "smoothness", "weights"}
        "distance": the mean over targets of the largest |A^{2N}_{2k} - A^N_k| over layers and times against N, and a
        line that falls like 1/N. "loss" and "smoothness": means over targets against time, a curve for each depth.
        "weights": entries of the first target's final A_k against k/N, those (at most four) that differ most over the
        depth; where there is a limit, the curves of all depths come together.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``), or of the curves of weights (``plot``).

    Raises
    ------
    ValueError
        If ``result`` is no LinearDescent, a distance is 0, a loss is 0 at all times, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), figure 2 for the weights.
    """
    st.require("plot_linear_descent")
    st.check_kind("result", result, (LinearDescent,), "a LinearDescent, as resmc.ode.linear_descent returns it")
    checks.choice("quantity", quantity, QUANTITIES)
    with st.panel("plot_linear_descent", ax) as ax:
        if quantity == "distance":
            _distance(ax, result, style)
        elif quantity == "weights":
            _weights(ax, result, style)
        else:
            _over_time(ax, result, quantity, style)
    return ax


def _distance(ax: Axes, result: LinearDescent, style: st.Style) -> None:
    found, depths = result.final_distance, result.depths
    if not (found.value > 0.0).all():
        raise ValueError("result has a distance of 0, which has no place on a logarithmic axis: no weight moves")
    ax.set(xscale="log", yscale="log", xlabel="depth $N$", ylabel=r"$\sup |A^{2N}_{2k} - A^N_k|$")
    name = f"{_mean(found)}, {_targets(result)}: slope {st.in_words(result.distance_slope)}"
    points = st.points(ax, depths, found, style, st.Series(st.DATA, "o", "-"), name)
    handles = [points, st.limit(ax, depths, found.value[-1] * depths[-1] / depths, r"$\propto 1/N$")]
    handles += [st.hollow_proxy()] * bool(st.bare(found).any())
    st.depth_ticks(ax, depths)
    places.last(ax, partial(st.log_ticks, ax.yaxis))
    st.legend(ax, handles)


def _over_time(ax: Axes, result: LinearDescent, quantity: str, style: st.Style) -> None:
    values = getattr(result, quantity)
    labels = [f"N = {n}" for n in result.depths]
    marked = st.thinned(len(result.times), MOST_MARKS)
    handles: list[Any] = []
    for row, series in zip(values, looks.looks(labels), strict=True):
        found = result.mean_over_targets(row)
        st.line(ax, result.times, found.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
        handles.append(st.points(ax, result.times[marked], found[marked], style, series, labels[len(handles)]))
    if quantity == "loss":
        if not (values > 0.0).any():
            raise ValueError("result has a loss of 0 at all times, which has no place on a logarithmic axis")
        ax.set_yscale("log")
        places.last(ax, partial(st.log_ticks, ax.yaxis))
    ax.set(xlabel="time $s$", ylabel=LABELS[quantity])
    explained = [st.proxy(f"{_mean(found)}, {_targets(result)}", lw=0.9)]
    explained += [st.hollow_proxy()] * bool(st.bare(found).any())
    looks.legend(ax, labels, handles, explained)


def _weights(ax: Axes, result: LinearDescent, style: st.Style) -> None:
    width = result.targets.shape[1]
    differ = np.ptp(result.weights[-1], axis=0).ravel()
    chosen = np.sort(np.argsort(-differ, kind="stable")[:MOST_ENTRIES])
    labels = [f"N = {n}" for n in result.depths]
    handles: list[Any] = []
    for label, one, series in zip(labels, result.weights, looks.looks(labels), strict=True):
        drawn = {"color": series.colour, "ls": series.line, "lw": 0.9}
        for i, entry in enumerate(chosen):
            curve = st.line(ax, np.arange(len(one)) / len(one), one.reshape(len(one), -1)[:, entry], style, **drawn)
            curve.set_label(label if i == 0 else "_")
            handles += [curve] if i == 0 else []
    ax.set(xlabel="$k/N$", ylabel=f"entries of $A_k$ at $s = {result.times[-1]:g}$")
    named = ", ".join(f"({i}, {j})" for i, j in zip(*np.unravel_index(chosen, (width, width)), strict=True))
    looks.legend(ax, labels, handles, [st.proxy(f"entries {named}", lw=0.0)])


def _mean(found: Estimate) -> str:
    return "mean ± s.e." if np.isfinite(found.stderr).any() else "mean"


def _targets(result: LinearDescent) -> str:
    count = len(result.targets)
    return f"{count} target{'s' * (count != 1)}"
