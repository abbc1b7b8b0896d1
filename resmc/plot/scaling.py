"""Sizes of weights against the depth, with their exponents: of arrays, and of networks before and after training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses.scaling import ScalingExponents
from ..analyses.scaling_statistics import KINDS
from ..experiments.train.scaling import TIMES, TrainedScaling
from ..results.estimates import Estimate
from . import places
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {
    "size": r"$\mathrm{max}_k |A_k|$",
    "root_square": r"$(\Sigma_k |A_k|^2)^{1/2}$",
    "increment": r"$\mathrm{max}_k |A_{k+1} - A_k|$",
    "root_increment": r"$(L \Sigma_k |A_{k+1} - A_k|^2)^{1/2}$",
    "trend": "trend",
    "noise": "noise",
    "sum": r"$(\Sigma_w |\Sigma_{k \in w} A_k|^2)^{1/2}$, windows $w$",
}


def plot_scaling_exponents(
    result: ScalingExponents | TrainedScaling, kind: str | None = None, *, ax: Axes | None = None, **style: Any
) -> Axes:
    """Draw sizes of weights against the depth L, both logarithmic; the legend says exponents.

    Parameters
    ----------
    result : ScalingExponents or TrainedScaling
        From `resmc.scaling_exponents` or `resmc.train.scaling`; of the latter a size before and after training, and of
        what was learnt.
    kind : {"size", "root_square", "increment", "root_increment", "trend", "noise", "sum"}, optional
        The size that is drawn; of arrays by default all that have an exponent, of trained networks "size".
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, the size has no exponent, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Cohen, Cont, Rossier, Xu (arXiv 2105.12245), section 4, for these figures of trained weights.
    """
    st.require("plot_scaling_exponents")
    wanted = "a ScalingExponents, as resmc.scaling_exponents returns it, or what resmc.train.scaling returns"
    st.check_kind("result", result, (ScalingExponents, TrainedScaling), wanted)
    if kind is not None:
        checks.choice("kind", kind, KINDS)
    curves = {name: one for name, one in _curves(result, kind).items() if np.isfinite(float(one[1]))}
    if not curves:
        raise ValueError(f"kind={kind!r} is not allowed: it is 0, or not seen, at some depth, and has no exponent")
    labels = list(curves)
    with st.panel("plot_scaling_exponents", ax) as ax:
        handles = []
        for (label, (size, exponent)), series in zip(curves.items(), looks.looks(labels), strict=True):
            st.line(ax, result.depths, size.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            handles.append(st.points(ax, result.depths, size, style, series, f"{label}: {st.in_words(exponent)}"))
        drawn = LABELS[kind or "size"] if isinstance(result, TrainedScaling) or kind else "size"
        ax.set(xscale="log", yscale="log", xlabel="depth $L$", ylabel=drawn)
        places.last(ax, partial(st.log_ticks, ax.yaxis))
        st.depth_ticks(ax, result.depths.astype(np.float64))
        networks = result.kept if isinstance(result, TrainedScaling) else result.networks
        explained = [st.proxy(f"exponent ± s.e., {st.counted(networks)}", lw=0.0)]
        explained += [st.hollow_proxy()] * any(bool(st.bare(size).any()) for size, _ in curves.values())
        looks.legend(ax, labels, handles, explained)
    return ax


def _curves(result: ScalingExponents | TrainedScaling, kind: str | None) -> dict[str, tuple[Estimate, Estimate]]:
    """Return the size by depth and its exponent, by what the legend says."""
    if isinstance(result, TrainedScaling):
        return {words: _curve(getattr(result, time), kind or "size") for time, words in TIMES.items()}
    return {LABELS[one]: _curve(result, one) for one in ((kind,) if kind else KINDS)}


def _curve(found: ScalingExponents, kind: str) -> tuple[Estimate, Estimate]:
    logs = found.log_sizes[KINDS.index(kind)]
    size = np.exp(logs.value)
    return Estimate(size, size * logs.stderr, logs.n, logs.df), getattr(found, f"{kind}_exponent")
