"""Correlations of the asymmetries of different layers: as a matrix, and by the distance between layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from ..analyses import InterlayerCorrelations, interlayer
from ..results.estimates import Floats
from ..results.record import Record
from . import maps
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CORRELATION = r"$\mathrm{Corr}(A_\ell, A_m)$"
KINDS = (Record, InterlayerCorrelations)
ALLOWED = "a Simulation or an InterlayerCorrelations"
SMALL = 0.01  # the axis ends where the limits of all curves have fallen below
FEWEST_LAGS = 8
VISIBLE, SIGNAL = 0.05, 4.0  # a correlation that is seen in a map, and standard errors by which it is no noise
WINDOW, FEWEST_LAYERS = 4, 20  # layers of a map: times the largest lag that is seen, and so many at least
NEGATIVE = -0.1  # a correlation whose cell is marked: the noise around 0 has either sign


def plot_interlayer(
    result: Record | InterlayerCorrelations,
    *,
    layers: tuple[int, int] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw Corr(A_l, A_m) of the recorded layers as a heat map; grey where a layer's A does not vary.

    Parameters
    ----------
    result : Simulation or InterlayerCorrelations
    layers : pair of int, optional
        The first and the last layer shown. By default all; or of networks so deep that their correlations would be a
        hairline along the diagonal, the last ones: four times as many as the largest lag with a correlation of 0.05.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the map (a ``QuadMesh``); the colours are centred at 0 unless ``norm``, ``vmin`` or ``vmax`` say
        otherwise.

    Raises
    ------
    ValueError
        If ``result`` is of another kind, the simulation was made with ``correlations=False`` or has too few living
        networks for any correlation, ``layers`` are no two increasing numbers with a recorded layer between, or ``ax``
        is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_interlayer")
    st.check_kind("result", result, KINDS, ALLOWED)
    analysis = _checked("result", _analysis(result))
    kept = _shown(analysis) if layers is None else _between(analysis.layers, layers)
    with st.panel("plot_interlayer", ax, 2.65) as ax:
        edges = _edges(analysis.layers)
        limits = {} if "norm" in style else {"vmin": -1.0, "vmax": 1.0}
        ax.set_facecolor(st.MISSING)
        # A PDF holds the cells as one picture: one by one, thousands of layers would make it large and slow.
        look = {"cmap": st.diverging(), "rasterized": True} | limits | style
        mesh = ax.pcolormesh(edges, edges, analysis.matrix.value, **look)
        st.colour_bar(ax, mesh, CORRELATION)
        ax.set(xlabel=r"layer $\ell$", ylabel="layer $m$")
        for axis in (ax.xaxis, ax.yaxis):
            st.integer_ticks(axis, 5)
        at, value = analysis.layers[kept], analysis.matrix.value[np.ix_(kept, kept)]
        there = np.isfinite(value)
        bare = there & ~np.isfinite(analysis.matrix.stderr[np.ix_(kept, kept)])
        dashes = maps.mark_negative(ax, at, at, value, NEGATIVE)
        notes = [*([dashes] if dashes else []), *maps.mark_bare(ax, at, at, bare, there)]
        if notes:
            st.legend(ax, notes)
        ends = edges[kept[0]], edges[kept[-1] + 1]
        ax.set(xlim=ends, ylim=ends)
    return ax


def plot_interlayer_by_lag(
    result: Record | InterlayerCorrelations | Mapping[str, Record | InterlayerCorrelations],
    *,
    max_lag: int | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw Corr(A_l, A_{l+k}) averaged over l against the lag k >= 1, with standard errors; lines are limits.

    The limit at leading order in 1/n is J(alpha^k)/3; with the next order it is averaged over the same pairs of layers.

    Parameters
    ----------
    result : Simulation, InterlayerCorrelations, or a mapping from labels to them
        Correlations, of any number of labels.
    max_lag : int, optional
        The largest lag; by default the one beyond which all limits are below 0.01.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` or one of the mapping is of another kind, or has no correlations or too few living networks,
        ``max_lag`` is below the smallest lag recorded, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_interlayer_by_lag")
    several = st.several("result", result, KINDS, ALLOWED)
    found = {
        label: _checked(f"result[{label!r}]" if label else "result", _analysis(one)) for label, one in several.items()
    }
    if max_lag is not None:
        max_lag = checks.integer("max_lag", max_lag, 1, 1 << 20, "2^20")
        first = min(int(lag) for one in found.values() for lag in one.lags if lag >= 1)
        if max_lag < first:
            raise ValueError(f"max_lag={max_lag} is not allowed: the layers recorded are at least {first} apart")
    shown = _last_lag(list(found.values())) if max_lag is None else max_lag
    with st.panel("plot_interlayer_by_lag", ax) as ax:
        ax.axhline(0.0, color=st.SOFT, lw=0.8, zorder=1)
        handles = []
        for (label, one), series in zip(found.items(), looks.looks(list(found)), strict=True):
            kept = np.flatnonzero((one.lags >= 1) & (one.lags <= shown))
            kept = kept[st.thinned(len(kept), 40)] if len(kept) else kept
            theory = series if len(found) > 1 else st.Series(st.THEORY, "", st.DASHED)
            dash = "_" if len(kept) == 1 else ""  # a line of one point cannot be seen
            leading = {"color": theory.colour, "ls": theory.line, "marker": dash, "ms": 12, "zorder": 2}
            st.line(ax, one.lags[kept], one.theory_by_lag[kept], leading)
            second = _next_order(one)
            if second is not None:
                own: st.Style = {"color": series.colour, "lw": 0.8} if len(found) > 1 else {}
                st.next_order(ax, one.lags[kept], second[kept], None, **own, zorder=2)
            handles.append(
                st.points(ax, one.lags[kept], one.by_lag[kept], style, series, label or st.simulated(one.by_lag[kept]))
            )
        leading = {"color": st.SOFT} if len(found) > 1 else {"color": st.THEORY, "ls": st.DASHED}
        limit = r"limit $J(\alpha^k)/3$" if any(one.exact is None for one in found.values()) else "exact: 0"
        lines = [st.proxy(limit if len(found) == 1 else f"{limit}; bars: s.e.", **leading)]
        if any(_next_order(one) is not None for one in found.values()):
            shorter: st.Style = {"color": st.SOFT, "lw": 0.8} if len(found) > 1 else {"color": st.SECOND}
            lines.append(st.proxy(st.NEXT_ORDER, **shorter, ls=st.SHORT_DASHED))
        ax.set(xlabel="lag $k$ (layers)", ylabel=r"$\mathrm{Corr}(A_\ell, A_{\ell+k})$")
        st.integer_ticks(ax.xaxis)
        if shown == 1:
            ax.set_xlim(0.5, 1.5)
        bare = any(st.bare(one.by_lag[(one.lags >= 1) & (one.lags <= shown)]).any() for one in found.values())
        looks.legend(ax, list(found), handles, [*lines, *([st.hollow_proxy()] if bare else [])])
    return ax


def _analysis(result: Record | InterlayerCorrelations) -> InterlayerCorrelations:
    return interlayer.analyse(result) if isinstance(result, Record) else result


def _next_order(one: InterlayerCorrelations) -> Floats | None:
    """Return the limit with the next order in 1/n by lag, where the correlation is not known exactly."""
    return one.next_order_by_lag if one.exact is None else None


def _checked(name: str, analysis: InterlayerCorrelations) -> InterlayerCorrelations:
    """Return ``analysis``, or raise ValueError where its figure would be empty."""
    if not np.isfinite(analysis.by_lag.value[1:]).any():
        raise ValueError(f"{name} has no correlation between layers: too few networks live at two of them")
    return analysis


def _edges(layers: NDArray[np.int64]) -> Floats:
    """Return the edges of the cells around the layers, half way to the next layer."""
    if len(layers) == 1:
        return np.array([layers[0] - 0.5, layers[0] + 0.5])
    middle = 0.5 * (layers[1:] + layers[:-1])
    return np.concatenate([[1.5 * layers[0] - 0.5 * layers[1]], middle, [1.5 * layers[-1] - 0.5 * layers[-2]]])


def _shown(analysis: InterlayerCorrelations) -> NDArray[np.int64]:
    """Return the indices of the layers of a map: all, or the last where most of them would show no correlation."""
    lags, value = analysis.lags, np.abs(analysis.by_lag.value)
    noise = np.nan_to_num(analysis.by_lag.stderr, nan=np.inf)
    seen = lags[(lags > 0) & (value >= VISIBLE) & (value > SIGNAL * noise)]
    step = int(np.diff(analysis.layers).max(initial=1))
    wanted = max(WINDOW * int(seen.max(initial=1)), FEWEST_LAYERS * step)
    last = int(analysis.layers[-1])
    if 2 * wanted > last or not np.isfinite(noise[lags > 0]).any():
        return np.arange(len(analysis.layers))
    return np.flatnonzero(analysis.layers >= last - wanted)


def _between(recorded: NDArray[np.int64], layers: Any) -> NDArray[np.int64]:
    try:
        first, last = (
            (checks.integer("layers", one, 0, 1 << 31, "2^31") for one in layers) if len(layers) == 2 else (1, 0)
        )
    except (TypeError, OverflowError):
        first, last = 1, 0
    kept = np.flatnonzero((recorded >= first) & (recorded <= last))
    if not kept.size:
        raise ValueError(
            f"layers={layers!r} is not allowed: it must be the first and the last of the layers shown, which lie "
            f"between {recorded[0]} and {recorded[-1]}"
        )
    return kept


def _last_lag(found: list[InterlayerCorrelations]) -> int:
    """Return the last lag to show: the limits beyond are too small to see, but some lags are always shown."""
    last = 1
    for one in found:
        large = one.lags[np.abs(one.theory_by_lag) >= SMALL]
        fewest = one.lags[min(FEWEST_LAGS, len(one.lags) - 1)]
        last = max(last, int(large.max(initial=1)), int(fewest))
    return last
