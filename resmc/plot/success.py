"""Training with gradients without stored states: at which depths it succeeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiments.ode.success import Success
from . import series as looks
from . import style as st
from .ode import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_success(result: Success | Mapping[str, Success], *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the fraction of networks whose training succeeds against the depth N, with the adjoint and with autograd.

    Points with errors are fractions with the adjoint, a curve for each scheme; dotted lines of the same colours are
    those with autograd, the control.

    Parameters
    ----------
    result : Success, or a mapping from labels to them
        Counts, as `resmc.ode.success` returns them.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else or holds nothing, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 5, for the question.
    """
    st.require("plot_success")
    given = st.several("result", result, (Success,), "a Success, as resmc.ode.success returns it")
    curves = {
        ", ".join(filter(None, (label, NAMES[scheme]))): (one, i)
        for label, one in given.items()
        for i, scheme in enumerate(one.schemes)
    }
    with st.panel("plot_success", ax) as ax:
        handles = []
        for (label, (one, i)), series in zip(curves.items(), looks.looks(list(curves)), strict=True):
            found, control = one.success("adjoint")[i], one.success("autograd")[i]
            st.line(ax, one.depths, found.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            st.line(ax, one.depths, control.value, color=series.colour, ls=st.DOTTED, lw=1.2, zorder=1)
            handles.append(st.points(ax, one.depths, found, style, series, f"{label}, adjoint"))
        ax.set(xscale="log", xlabel="depth $N$", ylabel="fraction that succeeds", ylim=(-0.08, 1.12))
        st.depth_ticks(ax, np.concatenate([one.depths for one in given.values()]).astype(np.float64))
        counts = {one.networks for one in given.values()}
        networks = f", {st.counted(counts.pop())}" if len(counts) == 1 else ""
        explained = [st.proxy(f"autograd{networks}", ls=st.DOTTED)]
        explained += [st.hollow_proxy()] if any(st.bare(one.success()).any() for one in given.values()) else []
        looks.legend(ax, list(curves), handles, explained)
    return ax
