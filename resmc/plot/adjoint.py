"""Gradients without stored states over the depth: their errors, and where training with them succeeds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..experiments.convergence import mean_log
from ..experiments.ode.adjoint_errors import AdjointErrors
from ..experiments.ode.success import Success
from ..results.estimates import Estimate
from . import places
from . import series as looks
from . import style as st
from .ode import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {
    "gradient": r"$|g - g_{\mathrm{autograd}}|/|g_{\mathrm{autograd}}|$",
    "inversion": r"$|x_0 - \tilde x_0|/|x_0|$",
}


def plot_adjoint_errors(
    result: AdjointErrors | Mapping[str, AdjointErrors],
    quantity: str = "gradient",
    *,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw errors of gradients that recover their states, or of recovered inputs, against the depth N.

    Both axes are logarithmic. A point is the geometric mean over networks, its error that of the mean logarithm; there
    is a curve for each scheme and each floating-point format, and the legend says slopes where there is one.

    Parameters
    ----------
    result : AdjointErrors, or a mapping from labels to them
        Errors, as `resmc.ode.adjoint_errors` returns them.
    quantity : {"gradient", "inversion"}
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else or holds nothing, an error has no logarithm in any network, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 4.
    """
    st.require("plot_adjoint_errors")
    given = st.several("result", result, (AdjointErrors,), "an AdjointErrors, as resmc.ode.adjoint_errors returns it")
    checks.choice("quantity", quantity, tuple(QUANTITIES))
    curves: dict[str, tuple[AdjointErrors, Estimate]] = {}
    for label, one in given.items():
        for i, scheme in enumerate(one.schemes):
            for j, dtype in enumerate(one.dtypes):
                logs = mean_log(getattr(one, quantity)[i, j])
                name = ", ".join(filter(None, (label, NAMES[scheme], dtype if len(one.dtypes) > 1 else "")))
                if not np.isfinite(logs.value).any():
                    raise ValueError(f"result has no logarithm of an error of {name}: all are 0 or infinite")
                slope = getattr(one, f"{quantity}_slope")(scheme, dtype)
                words = f": slope {st.in_words(slope)}" if np.isfinite(float(slope.value)) else ""
                mean = np.exp(logs.value)
                curves[name + words] = (one, Estimate(mean, mean * logs.stderr, logs.n))
    with st.panel("plot_adjoint_errors", ax) as ax:
        handles = []
        for (label, (one, mean)), series in zip(curves.items(), looks.looks(list(curves)), strict=True):
            st.line(ax, one.depths, mean.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            handles.append(st.points(ax, one.depths, mean, style, series, label))
        ax.set(xscale="log", yscale="log", xlabel="depth $N$", ylabel=QUANTITIES[quantity])
        places.last(ax, partial(st.log_ticks, ax.yaxis))
        st.depth_ticks(ax, np.concatenate([one.depths for one in given.values()]).astype(np.float64))
        explained = [st.hollow_proxy()] if any(st.bare(mean).any() for _, mean in curves.values()) else []
        looks.legend(ax, list(curves), handles, explained)
    return ax


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
