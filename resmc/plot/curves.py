"""Curves of log E|z_l|^2/|z_0|^2 over l/n: of simulations, and of anything else that has such curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyses import Growth, growth
from ..results.estimates import Estimate, Floats
from ..results.observables import OBSERVABLES
from ..results.record import Record
from . import series as several
from . import style as st
from .fields import letter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNRELIABLE = "hollow: unreliable, no error bar"
MOST = 25  # layers of a simulation that are drawn


@dataclass(frozen=True)
class Curve:
    """Estimates of log E|z_l|^2/|z_0|^2 over l/n (``aspect``), with limits in two orders, exact values, infinite width.

    All theory is NaN where it is not known; ``called`` is the letter of the state.
    """

    aspect: Floats
    estimate: Estimate
    theory: Floats
    next_order: Floats
    exact: Floats
    gaussian: Floats
    called: str = "h"

    @property
    def known(self) -> bool:
        """True if all values are known exactly."""
        return bool(np.isfinite(self.exact).all())

    @property
    def has_limit(self) -> bool:
        """True if there is a limit at leading order."""
        return bool(np.isfinite(self.theory).any())

    @property
    def has_next_order(self) -> bool:
        """True if the limit is known with the next order in 1/n, and not all values are known exactly."""
        return not self.known and bool(np.isfinite(self.next_order).any())

    @property
    def flat(self) -> bool:
        """True if infinite width says no growth: 0 up to rounding."""
        return bool(np.all(np.abs(self.gaussian) < 1e-9))


def of_layers(result: Record | Growth, most: int = MOST) -> Curve:
    """Return the curve of one simulation."""
    found = growth.analyse(result) if isinstance(result, Record) else result
    theoretical = "z" if np.isfinite(found.gaussian).all() else "h"  # a Growth does not say how its network is spelled
    called = letter_of(result) if isinstance(result, Record) else theoretical
    kept = st.thinned(len(found.layers), most)
    unknown = np.full(found.theory.shape, np.nan)
    second = unknown if found.next_order is None else found.next_order
    return Curve(
        aspect=found.ratio[kept],
        estimate=found.log_second_moment[kept],
        theory=found.theory[kept],
        next_order=second[kept],
        exact=found.exact[kept],
        gaussian=found.gaussian[kept],
        called=called,
    )


def draw_simulation(result: Record | Growth, *, ax: Axes) -> Axes:
    """Draw the curve of one simulation."""
    return draw({"": of_layers(result)}, r"\ell", ax, {})


def draw(curves: Mapping[str, Curve], layer: str, ax: Axes | None, style: Mapping[str, Any], title: Any = None) -> Axes:
    """Draw curves by label, over ``layer``/n; ``title`` is called with the Axes before the legend is made."""
    single, all_of_them = len(curves) == 1, list(curves.values())
    with st.panel("plot_growth", ax) as ax:
        chosen = several.looks(list(curves))
        bars = []
        for (label, curve), look in zip(curves.items(), chosen, strict=True):
            if not single:
                known = curve.exact if curve.known else curve.theory
                if not np.isfinite(known).any():  # a line that leads from point to point, and is thinner than theory
                    st.line(ax, curve.aspect, curve.estimate.value, color=look.colour, ls=look.line, lw=0.6, zorder=2)
                st.line(ax, curve.aspect, known, color=look.colour, ls=look.line, zorder=2)
                if curve.has_next_order:
                    st.next_order(ax, curve.aspect, curve.next_order, None, color=look.colour, lw=0.8, zorder=2)
            elif curve.known:
                st.exact(ax, curve.aspect, curve.exact)
            elif curve.has_limit:
                st.line(ax, curve.aspect, curve.theory, color=st.THEORY, ls=st.DASHED, zorder=2)
                st.next_order(ax, curve.aspect, curve.next_order, None, zorder=2)
            bars.append(st.points(ax, curve.aspect, curve.estimate, style, look, label or st.simulated(curve.estimate)))
        others = [*_theory(all_of_them, single), *_infinite_width(ax, all_of_them, layer)]
        if any(st.bare(c.estimate).any() for c in all_of_them):
            others.append(st.hollow_proxy(UNRELIABLE))
        called = "z" if {c.called for c in all_of_them} == {"z"} else "h"
        ax.set(xlabel=rf"${layer}/n$", ylabel=OBSERVABLES["growth"].labelled(layer, called))
        if title is not None:
            title(ax)
        several.legend(ax, list(curves), bars, others)
    return ax


def _theory(curves: list[Curve], single: bool) -> list[Any]:
    """Return entries of the legend for the theory that is drawn."""
    exact, limit = any(c.known for c in curves), any(c.has_limit and not c.known for c in curves)
    look: st.Style = {"color": st.SECOND} if single else {"color": st.SOFT, "lw": 0.8}
    second = [st.proxy(st.NEXT_ORDER, **look, ls=st.SHORT_DASHED)] if any(c.has_next_order for c in curves) else []
    if single and exact:
        return [st.proxy(st.EXACTLY, color=st.EXACT, ls=st.DASH_DOTTED)]
    if single:
        return [st.proxy(st.LEADING_ORDER, color=st.THEORY, ls=st.DASHED), *second] if limit else []
    words = [word for word, there in (("exact", exact), ("leading order", limit)) if there]
    return [st.proxy(f"{' or '.join(words)}; bars: s.e." if words else "bars: s.e.", lw=1.2 if words else 0.0), *second]


def _infinite_width(ax: Axes, curves: list[Curve], layer: str) -> list[Any]:
    """Draw the Gaussian limit of the curves that have one, and return its entry of the legend."""
    known = [curve for curve in curves if np.isfinite(curve.gaussian).any()]
    look: st.Style = {"color": st.ink(ax), "ls": st.DOTTED, "lw": 1.4}
    if not known:
        return []
    flat = all(curve.flat for curve in known)
    if flat:
        ax.axhline(0.0, zorder=1, **look)
    for curve in [] if flat else known:
        st.line(ax, curve.aspect, curve.gaussian, zorder=1, **look)
    words = "Gaussian limit: 0" if flat else rf"Gaussian limit: ${layer}\,\log(\alpha^2+\lambda^2)$"
    return [st.proxy(words, **look)]
