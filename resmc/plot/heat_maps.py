"""The map over H and beta: its cells, and the frontier between explosion and identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyses.verdict import SHOWN
from ..experiments.heat_map import HeatMap
from ..experiments.train.heat_map import TrainedHeatMap
from ..models.residual_network import ResidualNetwork
from ..results.estimates import Floats
from ..theory.depth_kinds import noise_exponent_formula
from . import maps
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 2.0  # powers of ten on either side of 0 at which a map's colours end
LABELS = {"hurst": "Hurst exponent $H$", "beta": r"exponent $\beta$"}
MOST_LETTERS = 28  # letters of the values at all ticks of an axis
ZERO = "mean 0"


def draw(result: HeatMap, ratio: str, x: str | None, y: str | None, ax: Axes | None, style: st.Style) -> Axes:
    """Draw a map, as `resmc.plot.plot_heat_map` does."""
    x, y = dimensions(x, y)
    if ratio not in result.quantities:
        raise ValueError(f"ratio={ratio!r} was not followed in this map: ask for gradients=True")
    found = result.estimate(ratio)
    columns, rows, values, stderr, missing = cells(result, found.value, found.stderr, x)
    if not np.isfinite(values).any():
        raise ValueError(f"ratio={ratio!r} has no finite mean at any point of the map")
    with st.panel("plot_heat_map", ax, 2.6) as ax:
        lines = draw_frontier(ax, result, ratio, x)
        label = rf"mean $\log_{{10}}\,{SHOWN[ratio]}$"
        maps.draw(ax, values, stderr, label, style, centred=True, most=REACH, missing=missing, more=lines)
        ticks(ax.xaxis, columns)
        ticks(ax.yaxis, rows)
        ax.set(xlabel=LABELS[x], ylabel=LABELS[y])
    return ax


def formula(model: ResidualNetwork) -> str:
    """Return the frontier as the depth grows, as a label."""
    return f"${noise_exponent_formula(model)}$".replace("max", r"\max")


def dimensions(x: str | None, y: str | None) -> tuple[str, str]:
    """Return the dimensions on both axes, by default H and beta.

    Raises
    ------
    ValueError
        If they are not these two.
    """
    x, y = x or ("beta" if y == "hurst" else "hurst"), y or ("hurst" if x == "beta" else "beta")
    if {x, y} != set(LABELS):
        raise ValueError(f"x={x!r} and y={y!r} are not allowed: a heat map has the dimensions 'hurst' and 'beta'")
    return x, y


def ticks(axis: Any, values: tuple[float, ...]) -> None:
    """Put ticks at the cells of a few short values, and at round numbers between those of others."""
    if len(values) <= maps.MOST_TICKS and sum(len(f"{one:g}") for one in values) <= MOST_LETTERS:
        maps.ticks(axis, values)
        return
    from matplotlib.ticker import MaxNLocator

    round_numbers = np.asarray(MaxNLocator(maps.MOST_TICKS - 2).tick_values(values[0], values[-1]))
    inside = round_numbers[(round_numbers >= values[0]) & (round_numbers <= values[-1])]
    axis.set_ticks(np.interp(inside, values, np.arange(len(values))).tolist(), [f"{one:g}" for one in inside])


def cells(
    result: HeatMap | TrainedHeatMap, value: Floats, stderr: Floats, x: str
) -> tuple[tuple[float, ...], tuple[float, ...], Floats, Floats, str]:
    """Return the values along x and along y, values and errors (H, beta) over (y, x), and what is missing, in words."""
    values, errors = (np.where(np.isfinite(one), one, np.nan) for one in (value, stderr))
    infinite, none = bool(np.isinf(value).any()), bool((result.networks == 0).any())
    missing = "infinite, or no value" if infinite and none else "infinite" if infinite else "no value"
    hurst, beta = tuple(result.hurst.tolist()), tuple(result.beta.tolist())
    if x == "hurst":
        return hurst, beta, values.T, errors.T, missing
    return beta, hurst, values, errors, missing


def draw_frontier(ax: Axes, result: HeatMap, ratio: str, x: str) -> list[Any]:
    """Draw the frontier as the depth grows, and where the mean is 0; return the entries of the legend."""
    backward = ratio in ("gradient", "gradient_displacement")
    frontier = result.frontier("gradient_displacement" if backward else "displacement")
    drawn = []
    if ratio in ("displacement", "gradient_displacement") and np.isfinite(frontier.beta.value).any():
        at = placed(result, frontier.beta.value, x)
        drawn.append(st.line(ax, *at, label=ZERO, color=st.DATA, zorder=3.5, marker=".", ms=3))
    return drawn + draw_limit(ax, result, x)


def draw_limit(ax: Axes, result: HeatMap | TrainedHeatMap, x: str) -> list[Any]:
    """Draw the frontier as the depth grows, if it lies in the map; return the entries of the legend."""
    limit = result.limit
    if not ((limit >= result.beta[0]) & (limit <= result.beta[-1])).any():
        return []
    return [st.line(ax, *placed(result, limit, x), label=formula(result.model), color=st.THEORY, ls=st.DASHED, lw=1.4,
                    zorder=4)]  # fmt: skip


def placed(result: HeatMap | TrainedHeatMap, exponents: Floats, x: str) -> tuple[Floats, Floats]:
    """Return where an exponent for each H lies in a map whose cells stand at 0, 1, 2, ..; between two of them others.

    A map of one H has a line across its cells.
    """
    rows, places = np.arange(len(result.hurst), dtype=np.float64), np.arange(len(result.beta), dtype=np.float64)
    rows = rows if len(rows) > 1 else np.array([-0.5, 0.5])
    known = np.where(np.isfinite(exponents), exponents, np.inf)
    at = np.broadcast_to(np.interp(known, result.beta, places, left=np.nan, right=np.nan), rows.shape)
    return (rows, at) if x == "hurst" else (at, rows)
