"""Estimates at several widths, extrapolated to infinite width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyses import Extrapolation
from ..results.estimates import Estimate
from ..results.observables import OBSERVABLES
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_extrapolation(result: Extrapolation, *, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw estimates against 1/n, the polynomial fitted to them, and its value at 1/n = 0 beside the limit if known.

    The band around the fit is one statistical error, sqrt(v C v) with v = (1, 1/n, .., 1/n^p) and C the covariance of
    the coefficients. The diamond is the value at infinite width, whose error bar contains that of the degree, too; the
    dashed line is the limit it is tested against.

    Parameters
    ----------
    result : Extrapolation
        The fit, from `resmc.extrapolate`.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is no Extrapolation, or ``ax`` no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013) for the limits; the fit is ours.
    """
    st.require("plot_extrapolation")
    st.check_kind("result", result, (Extrapolation,), "an Extrapolation, as resmc.extrapolate returns it")
    x = 1.0 / result.widths
    grid = np.linspace(0.0, 1.03 * float(x.max()), 201)
    powers = np.vander(grid, len(result.coefficients), increasing=True)
    fit = powers @ result.coefficients
    stderr = np.sqrt(np.maximum(np.sum(powers @ result.covariance * powers, axis=1), 0.0))
    degree = len(result.coefficients) - 1
    with st.panel("plot_extrapolation", ax) as ax:
        bars = st.points(ax, x, result.estimates, style, st.Series(st.DATA, "o", "-"), "simulated ± s.e.")
        name = "fit ± s.e., " + {1: "linear", 2: "quadratic"}.get(degree, f"degree {degree}") + " in 1/n"
        curve = st.line(ax, grid, fit, color=st.DATA, lw=1.0, label=name, zorder=2)
        st.band(ax, grid, fit - stderr, fit + stderr, st.DATA)
        at_zero = Estimate(result.value.value[None], result.value.stderr[None], result.value.n[None])
        name = f"at 1/n = 0: {st.in_words(result.value)}"
        value = st.points(ax, [0.0], at_zero, {"ms": 4.5, "clip_on": False}, st.Series(st.ink(ax), "D", "-"), name)
        handles, one = [bars, curve, value], OBSERVABLES[result.quantity]
        label = one.labelled(0 if one.backward else "d")
        if np.isfinite(result.limit):
            test = "no z" if result.remark else f"z = {result.z_score:+z.1f}"
            name = f"limit: {result.limit:.5g}, {test}".replace("-", "−")
            handles.append(ax.axhline(result.limit, color=st.THEORY, ls=st.DASHED, lw=1.4, zorder=1, label=name))
            label = label if one.scaled is None else one.scaled.label
        ax.set(xlabel="$1/n$", ylabel=label)
        ax.set_xlim(-0.08 * grid[-1], 1.02 * grid[-1])
        ax.margins(y=0.1)  # the limit may be the largest or the smallest of all
        st.legend(ax, handles)
    return ax
