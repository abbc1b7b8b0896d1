r"""Curves of log E\|z_l\|^2/\|z_0\|^2 over l/n: of simulations, and of anything else that has such curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyses import Growth, growth
from ..results.estimates import Estimate, Floats
from ..results.record import Record
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNRELIABLE = "hollow: unreliable, no error"
MOST = 25  # layers of a simulation that are drawn


@dataclass(frozen=True)
class Curve:
    """Estimates of log E|z_l|^2/|z_0|^2 over l/n (``aspect``), with the limits of the theory and of infinite width."""

    aspect: Floats
    estimate: Estimate
    theory: Floats
    gaussian: Floats


def of_layers(result: Record | Growth, most: int = MOST) -> Curve:
    """Return the curve of one simulation."""
    found = growth.analyse(result) if isinstance(result, Record) else result
    kept = st.thinned(len(found.layers), most)
    return Curve(found.ratio[kept], found.log_second_moment[kept], found.theory[kept], found.gaussian[kept])


def draw_simulation(result: Record | Growth, *, ax: Axes) -> Axes:
    """Draw the curve of one simulation."""
    return draw({"": of_layers(result)}, r"\ell", ax, {})


def draw(
    curves: Mapping[str, Curve], letter: str, ax: Axes | None, style: Mapping[str, Any], title: Any = None
) -> Axes:
    """Draw curves by label, over ``letter``/n; ``title`` is called with the Axes before the legend is made."""
    single = len(curves) == 1
    with st.panel("plot_growth", ax) as ax:
        flat = all(np.all(np.abs(c.gaussian) < 1e-9) for c in curves.values())  # 0 up to rounding
        if flat:
            ax.axhline(0.0, color=st.INFINITE, ls=st.DOTTED, lw=1.4, zorder=1)
        for curve in [] if flat else curves.values():
            st.line(ax, curve.aspect, curve.gaussian, color=st.INFINITE, ls=st.DOTTED, lw=1.4, zorder=1)
        handles = []
        for (label, curve), series in zip(curves.items(), st.SERIES, strict=False):
            theory = st.Series(st.THEORY, "", st.DASHED) if single else series
            st.line(ax, curve.aspect, curve.theory, color=theory.colour, ls=theory.line, zorder=2)
            handles.append(st.points(ax, curve.aspect, curve.estimate, style, series, label or "simulated ± s.e."))
        leading = {"color": st.THEORY, "ls": st.DASHED} if single else {}
        handles.append(st.proxy(st.LEADING_ORDER if single else "leading order; bars: s.e.", **leading))
        gaussian = "Gaussian limit: 0" if flat else rf"Gaussian limit: ${letter}\,\log(\alpha^2+\lambda^2)$"
        handles.append(st.proxy(gaussian, color=st.INFINITE, ls=st.DOTTED, lw=1.4))
        values = [c.estimate for c in curves.values()]
        if any((np.isfinite(e.value) & ~np.isfinite(e.stderr)).any() for e in values):
            handles.append(st.hollow_proxy(UNRELIABLE))
        ax.set(xlabel=rf"${letter}/n$", ylabel=rf"$\log\,\mathrm{{E}}|z_{letter}|^2/|z_0|^2$")
        if title is not None:
            title(ax)
        st.legend(ax, handles)
    return ax
