"""Laws of quotients by layer, before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..experiments.train.log_ratio import TrainedLogRatios
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKS = 7  # points with an error along a curve over the layers
LABELS = {
    "gradient": r"mean of $\ln |p_\ell|^2/|p_L|^2$",
    "growth": r"mean of $\ln |h_\ell|^2/|h_0|^2$",
}


def plot_trained_log_ratio(result: TrainedLogRatios, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the mean logarithm of a quotient against l/L after training, and dotted before it, a colour for each model.

    The limit is that before training as the depth grows, which layers make in equal parts; it is drawn where all models
    have the same.

    Parameters
    ----------
    result : TrainedLogRatios
        Laws, as `resmc.train.log_ratio` returns them.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.
    """
    st.require("plot_trained_log_ratio")
    wanted = "a TrainedLogRatios, as resmc.train.log_ratio returns it"
    st.check_kind("result", result, (TrainedLogRatios,), wanted)
    depths = [row.model.depth for row in result.rows]
    labels = [f"L = {depth}" for depth in depths]
    if len(set(depths)) < len(depths):
        labels = [f"model {i}, L = {depth}" for i, depth in enumerate(depths)]
    with st.panel("plot_trained_log_ratio", ax) as ax:
        handles = []
        for row, label, series in zip(result.rows, labels, looks.looks(labels), strict=True):
            t, marks = row.layers / row.model.depth, st.thinned(len(row.layers), MOST_MARKS)
            st.line(ax, t, row.mean_before.value, color=series.colour, ls=st.DOTTED, lw=1.2, zorder=1)
            st.line(ax, t, row.mean_after.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            handles.append(st.points(ax, t[marks], row.mean_after[marks], style, series, label))
        explained = [st.proxy(f"before training, {st.counted(result.networks)}", ls=st.DOTTED)]
        limits = {row.limit.mean for row in result.rows if row.limit is not None}
        if len(limits) == 1 and all(row.limit is not None for row in result.rows):
            row = result.rows[0]
            label = "limit before, as L grows"
            explained.append(st.limit(ax, row.layers / row.model.depth, row.limit_by_layer, label, color=st.SOFT))
        explained += [st.hollow_proxy()] * any(bool(st.bare(row.mean_after).any()) for row in result.rows)
        ax.set(xlabel=r"$\ell/L$", ylabel=LABELS[result.name])
        looks.legend(ax, labels, handles, [one for one in explained if one is not None])
    return ax
