"""The map over H and beta after training, beside the map before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from .._system.words import brief
from ..experiments.train.heat_map import TrainedHeatMap
from ..results.estimates import Floats
from . import heat_maps, maps
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 2.6  # inches
BARS = {
    "accuracy": "test accuracy",
    "loss": r"$\log_{10}$ test loss",
    "growth": r"before: mean $\log_{10}\,|h_L|/|h_0|$",
    "learning_rate": r"$\log_{10}$ learning rate",
    "failed": "fraction that fails",
}


def plot_trained_map(
    result: TrainedHeatMap,
    quantity: str | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw a map over H and beta after training, a cell for each point; by default beside the map before training.

    A dashed line is the frontier between explosion and identity of networks before training, as the depth grows. Cells
    are marked and written into as in `plot_sweep`.

    Parameters
    ----------
    result : TrainedHeatMap
        A map, as `resmc.train.heat_map` returns it.
    quantity : {"accuracy", "loss", "growth", "learning_rate", "failed"}, optional
        "accuracy" and "loss" are those of the test examples at the rate of each point, "growth" that before training.
        Without it the accuracy (of a regression the loss) is drawn, and in a new figure the growth on its left.
    x, y : {"hurst", "beta"}, optional
        In either order.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the maps (each a ``QuadMesh``).

    Returns
    -------
    Axes
        Of two maps the right one.

    Raises
    ------
    ValueError
        If ``result`` is no TrainedHeatMap or has no such quantity, x and y are not the two dimensions, or ``ax`` is no
        Axes.
    ImportError
        If matplotlib is not installed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), figure 9.
    """
    st.require("plot_trained_map")
    if not isinstance(result, TrainedHeatMap):
        raise ValueError(f"result={brief(result)} is not allowed: it must be a TrainedHeatMap of resmc.train.heat_map")
    x, _ = heat_maps.dimensions(x, y)
    if quantity is not None or ax is not None:
        with st.panel("plot_trained_map", ax, HEIGHT) as ax:
            _draw(ax, result, result.score if quantity is None else quantity, x, style)
        return ax
    with st.panels("plot_trained_map", 2, HEIGHT) as (before, after):
        _draw(before, result, "growth", x, style)
        _draw(after, result, result.score, x, style)
    return after


def _draw(ax: Axes, result: TrainedHeatMap, quantity: str, x: str, style: st.Style) -> None:
    value, stderr = _values(result, quantity)
    columns, rows, values, errors, missing = heat_maps.cells(result, value, stderr, x)
    if not np.isfinite(values).any():
        raise ValueError(f"quantity={quantity!r} has no finite value at any point of the map")
    lines = heat_maps.draw_limit(ax, result, x)
    growth = quantity == "growth"
    given = {"vmin": 0.0, "vmax": 1.0} | style if quantity == "failed" else style
    maps.draw(ax, values, errors, BARS[quantity], given, centred=growth, most=heat_maps.REACH if growth else np.inf,
              missing=missing, errors=quantity in result.quantities, more=lines)  # fmt: skip
    heat_maps.ticks(ax.xaxis, columns)
    heat_maps.ticks(ax.yaxis, rows)
    ax.set(xlabel=heat_maps.LABELS[x], ylabel=heat_maps.LABELS["beta" if x == "hurst" else "hurst"])


def _values(result: TrainedHeatMap, quantity: str) -> tuple[Floats, Floats]:
    """Return values and errors over (H, beta)."""
    checks.choice("quantity", quantity, tuple(BARS))
    if quantity in ("accuracy", "loss", "growth"):
        found = result.estimate(quantity)
        if quantity == "loss":
            return np.log10(found.value), found.stderr / (found.value * np.log(10.0))
        return found.value, found.stderr
    value = np.log10(result.learning_rate) if quantity == "learning_rate" else result.failed
    return value, np.full(value.shape, np.nan)
