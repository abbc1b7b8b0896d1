"""Errors of gradients without stored states over the depth, for both schemes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..experiments.ode.adjoint_errors import AdjointErrors
from ..results.estimates import Estimate
from . import places
from . import series as looks
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {"euler": "Euler", "heun": "Heun"}
KINDS = {"gradient": "relative error of the gradient", "inversion": "relative miss of the input"}


def plot_adjoint_errors(result: AdjointErrors, kind: str = "gradient", *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw errors of gradients that recover their states against the number of steps N, both logarithmic.

    A point is the geometric mean over networks, its error that of the mean logarithm; there is a curve for each scheme
    and dtype, and the legend says slopes from N = 64 on, of errors above rounding.

    Parameters
    ----------
    result : AdjointErrors
        Errors, as `resmc.ode.adjoint_errors` returns them.
    kind : {"gradient", "inversion"}
        The gradient's error, or the miss of the recovered input.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the points (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is anything else, has no error above 0 in a curve, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 4, for the gradient.
    """
    st.require("plot_adjoint_errors")
    st.check_kind("result", result, (AdjointErrors,), "an AdjointErrors, as resmc.ode.adjoint_errors returns it")
    checks.choice("kind", kind, tuple(KINDS))
    curves: dict[str, tuple[Estimate, Estimate]] = {}
    for scheme in result.schemes:
        for dtype in result.dtypes:
            logs = getattr(result, f"log_{kind}")(scheme, dtype)
            if not np.isfinite(logs.value).any():
                raise ValueError(f"result has no logarithm of an error of {NAMES[scheme]} in {dtype}: all are 0")
            mean = np.exp(logs.value)
            slope = getattr(result, f"{kind}_slope")(scheme, dtype)
            curves[f"{NAMES[scheme]}, {dtype}"] = (Estimate(mean, mean * logs.stderr, logs.n), slope)
    with st.panel("plot_adjoint_errors", ax) as ax:
        handles = []
        for (label, (mean, slope)), series in zip(curves.items(), looks.looks(list(curves)), strict=True):
            words = f": slope {st.in_words(slope)}" if np.isfinite(float(slope.value)) else ""
            st.line(ax, result.depths, mean.value, color=series.colour, ls=series.line, lw=0.9, zorder=2)
            handles.append(st.points(ax, result.depths, mean, style, series, label + words))
        ax.set(xscale="log", yscale="log", xlabel="steps $N$", ylabel=KINDS[kind])
        places.last(ax, partial(st.log_ticks, ax.yaxis))
        st.depth_ticks(ax, result.depths.astype(np.float64))
        if any(st.bare(mean).any() for mean, _ in curves.values()):
            handles.append(st.hollow_proxy())
        looks.legend(ax, list(curves), handles, [])
    return ax
