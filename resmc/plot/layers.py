"""Figures by layer: the fraction of ReLUs that fire, and the paths of the log-norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import Hypoactivation, hypoactivation
from ..results.observables import OBSERVABLES
from ..results.record import Record
from . import style as st
from .fields import letter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALVES = {"active_fraction": ("active fraction", 0.5, "1/2"), "asymmetry": ("asymmetry", 0.0, "0")}
MOST_MARKED = 40  # layers that have markers; of more, the curve alone is drawn
MOST_PATHS = 30


def plot_hypoactivation(
    result: Record | Hypoactivation,
    *,
    quantity: str = "active_fraction",
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the mean of F_l or A_l by layer, with a band of one standard error: do fewer than half of the ReLUs fire?

    F_l is the fraction of neurons that fire, A_l = 2 |phi(z_l)|^2/|z_l|^2 - 1. Beside the estimates stand the limit
    at leading order in 1/n, 1/2 - (lam^2/4n) sum_k rho_k K'(rho_k) and -(lam^2/2n) sum_k rho_k J'(rho_k) with
    rho_k = alpha^k, that with the next order (`resmc.theory.next_order`), and infinite width: 1/2 and 0, which is exact
    where all layers are symmetric (`resmc.theory.facts`). Networks that are no `ResNet` have no limit here: a line
    marks one half alone.

    Parameters
    ----------
    result : Simulation or Hypoactivation
        A network with a rectifier that acts on its layers (phi-in).
    quantity : {"active_fraction", "asymmetry"}
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates' curve (a ``Line2D``).

    Raises
    ------
    ValueError
        If ``result`` or ``quantity`` is another one, no rectifier acts on the layers, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_hypoactivation")
    st.check_kind("result", result, (Record, Hypoactivation), "a Simulation or a Hypoactivation")
    quantity = checks.choice("quantity", quantity, tuple(HALVES))
    analysis = hypoactivation.analyse(result) if isinstance(result, Record) else result
    words, half, half_in_words = HALVES[quantity]
    estimate, layers = getattr(analysis, quantity), analysis.layers
    exact, theory = getattr(analysis, f"exact_{quantity}"), analysis.theory
    symmetric = bool(np.isfinite(exact).all())
    with st.panel("plot_hypoactivation", ax) as ax:
        marker = "o" if len(layers) <= MOST_MARKED else ""
        curve = st.line(ax, layers, estimate.value, style, color=st.DATA, marker=marker, ms=2.5, zorder=3)
        bare = st.bare(estimate)
        curve.set_label("simulated" if bare[np.isfinite(estimate.value)].all() else "simulated ± s.e.")
        st.band(ax, layers, estimate.value - estimate.stderr, estimate.value + estimate.stderr, curve.get_color())
        if theory is not None and not symmetric:
            limit = getattr(theory, quantity)
            st.line(ax, layers, limit, color=st.THEORY, ls=st.DASHED, lw=1.4, label=st.LEADING_ORDER, zorder=4)
            if analysis.next_order is not None:
                st.next_order(ax, layers, getattr(analysis.next_order, quantity))
        known = f"exact, and at infinite width: {half_in_words}" if symmetric else f"infinite width: {half_in_words}"
        known = known if symmetric or theory is not None else half_in_words
        ax.axhline(half, color=st.ink(ax), ls=st.DOTTED, lw=1.4, label=known, zorder=2)
        if theory is None and not symmetric:
            st.exact(ax, layers, exact)
        entries = ax.get_legend_handles_labels()[0]
        if st.hollow(ax, layers, estimate.value, bare, curve.get_color()):
            entries.append(st.hollow_proxy())
        ax.margins(x=0.02)
        label = OBSERVABLES[quantity].labelled(r"\ell")
        ax.set(xlabel=r"layer $\ell$", ylabel=f"{words} {label}")
        st.integer_ticks(ax.xaxis)
        st.legend(ax, entries)
    return ax


def plot_trajectories(sim: Record, *, most: int = MOST_PATHS, ax: Axes | None = None, **style: Any) -> Axes:
    """Draw L_l = log(|z_l|^2/n) of a few networks against l/n, with mean and standard deviation of all networks.

    The paths are those that ``simulate(.., keep_trajectories=k)`` kept, a dead one up to its death. The band is the
    simulated mean -+ sqrt(Var L_l), not an error; mean and band have dashed lines in the log-Gaussian limit, at leading
    order in 1/n and with the next, if there is one, and lines of their own where they are known exactly: without a
    limit also at single layers.

    Parameters
    ----------
    sim : Simulation
    most : int
        Paths that are drawn at most, 1 or more.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the paths (``Line2D``).

    Raises
    ------
    ValueError
        If ``sim`` is no Simulation or kept no trajectories, ``most`` is out of range, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_trajectories")
    st.check_kind("sim", sim, (Record,), "a resmc.Simulation")
    most = checks.integer("most", most, 1, 1 << 20, "2^20")
    paths = sim.trajectories.to_numpy().log_norm[:most]
    if not len(paths):
        raise ValueError("sim kept no trajectories: simulate(.., keep_trajectories=20) keeps those of 20 networks")
    aspect = sim.model.aspects[sim.layers]
    mean, deviation = sim.log_norm_mean.value, np.sqrt(sim.log_norm_variance.value)
    limit, second = (sim.facts.log_norm_limit(sim.layers, order) for order in (1, 2))
    exact = [sim.facts.log_norm_moment(name, sim.layers) for name in ("mean", "variance")]
    shown = limit is None or bool(np.isfinite(exact).all())
    with st.panel("plot_trajectories", ax) as ax:
        for index, path in enumerate(np.where(np.isfinite(paths), paths, np.nan)):
            name = f"{len(paths)} network{'s' * (len(paths) != 1)}" if index == 0 else None
            st.line(ax, aspect, path, style, color=st.SKY, lw=0.6, alpha=0.8, label=name, zorder=1)
        st.line(ax, aspect, mean, color=st.BLUE, lw=1.6, label=r"mean, and $\pm\sigma$", zorder=3)
        ax.fill_between(aspect, mean - deviation, mean + deviation, color=st.BLUE, alpha=0.2, lw=0, zorder=2)
        for index, shift in enumerate((0.0, -1.0, 1.0)):
            if limit is not None:
                curve = limit.mean + shift * np.sqrt(limit.variance)
                name = r"log-Gaussian limit: mean, $\pm\sigma$" if index == 0 else None
                st.line(ax, aspect, curve, color=st.THEORY, ls=st.DASHED, lw=1.2, label=name, zorder=4)
            if second is not None and not np.isfinite(exact).all():
                curve = second.mean + shift * np.sqrt(second.variance)
                st.next_order(ax, aspect, curve, st.NEXT_ORDER if index == 0 else None, lw=1.2)
            if shown:
                name = r"exact mean, $\pm\sigma$" if index == 0 else None
                st.exact(ax, aspect, exact[0] + shift * np.sqrt(exact[1]), label=name)
        entries = ax.get_legend_handles_labels()[0]
        if st.hollow(ax, aspect, mean, st.bare(sim.log_norm_mean), st.BLUE):
            entries.append(st.hollow_proxy("hollow: mean without error bar"))
        ax.margins(x=0.0)
        ax.set(xlabel=r"$\ell/n$", ylabel=rf"log-norm $L_\ell = \log(|{letter_of(sim)}_\ell|^2/n)$")
        st.legend(ax, entries)
    return ax
