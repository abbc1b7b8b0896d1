"""Singular values of the Jacobians of networks, from the largest to the smallest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiments.singular_values import SingularValues
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

JACOBIANS = {
    "states": r"$\mathrm{d}h_L/\mathrm{d}h_0$",
    "network": r"$\mathrm{d}h_\mathrm{out}/\mathrm{d}x$",
}
OUTER = (0.05, 0.95)  # quantiles between which the pale band lies


def plot_singular_values(result: SingularValues, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw the logarithms of a Jacobian's singular values s_1 >= s_2 >= .. against their number.

    Points are means over the networks in which a value is not 0, with standard errors; a pale band has 90% of all
    networks. The thin curve has means of ln R_jj; dash-dotted are their exact values where they are known, the depth
    times the Lyapunov exponents. Singular values tend to them as networks become deep.

    Parameters
    ----------
    result : SingularValues
        From `resmc.jacobian_singular_values`.
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

    Source: `resmc.theory.lyapunov`.
    """
    st.require("plot_singular_values")
    wanted = "a SingularValues, as resmc.jacobian_singular_values returns it"
    st.check_kind("result", result, (SingularValues,), wanted)
    there = np.flatnonzero(result.nonzero > 0)
    j = there + 1.0
    low, high = result.quantile(OUTER).value[:, there]
    within = np.isfinite(low)
    with st.panel("plot_singular_values", ax) as ax:
        st.band(ax, j[within], low[within], high[within], st.SKY, "90% of networks")
        stretch = result.log_stretch.value[there]
        st.line(ax, j, stretch, color=st.DATA, lw=0.8, zorder=2, label=r"mean of $\ln\,R_{jj}$")
        st.exact(ax, j, result.exact_log_stretch[there], r"exact mean of $\ln\,R_{jj}$")
        mean = result.mean[there]
        series = st.Series(st.DATA, "o", "-")
        st.points(ax, j, mean, style, series, st.simulated(mean))
        entries = ax.get_legend_handles_labels()[0]
        if st.bare(mean).any():
            entries.append(st.hollow_proxy())
        ax.set(xlabel="number $j$", ylabel=rf"$\ln\,s_j$ of {JACOBIANS[result.of]}")
        st.integer_ticks(ax.xaxis)
        st.legend(ax, entries)
    return ax
