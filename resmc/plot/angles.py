"""Angles between the states of two inputs, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from .._system.words import brief
from ..analyses import Angles, angles
from ..results.record import Record
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {"cosine": r"cosine of the angle", "log_sine_squared": r"$\log\,\sin^2$ of the angle"}
ALLOWED = "the numbers of two different inputs, such as (0, 1)"
MOST_MARKED = 40  # layers that have markers; of more, the curve alone is drawn


def plot_angles(
    result: Record | Angles | Sequence[Record | Angles],
    *,
    quantity: str = "cosine",
    inputs: tuple[int, int] = (0, 1),
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the angle between the states of two inputs by layer: do they collapse onto each other?

    The curve is the mean over networks, with a band of one standard error, and around it, pale, one standard deviation
    of networks. Dotted is infinite width; dash-dotted is the law of small angles, exact at this width, where inputs are
    close and it is known.

    Parameters
    ----------
    result : Simulation or Angles
        A simulation of several inputs, or its ``angles()``; or a list of one.
    quantity : {"cosine", "log_sine_squared"}
        The latter has the digits of small angles; where networks have lost them, it has no error (`Angles`).
    inputs : pair of int
        Which two inputs.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates' curve (a ``Line2D``).

    Raises
    ------
    ValueError
        If ``result`` is another one or has one input, ``quantity`` or ``inputs`` are not of it, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: `resmc.theory.infinite_width`, `resmc.theory.lyapunov`.
    """
    st.require("plot_angles")
    one: Any = result
    if isinstance(result, list | tuple):
        if len(result) != 1:
            raise ValueError(f"result holds {len(result)} simulations: it must be one; draw each into an ax of its own")
        one = result[0]
    st.check_kind("result", one, (Record, Angles), "a Simulation or its angles()")
    quantity = checks.choice("quantity", quantity, tuple(QUANTITIES))
    found: Angles = angles.analyse(one) if isinstance(one, Record) else one
    b, a = input_pair(inputs, found.cosine.shape[1], ALLOWED)
    if a == b:
        raise ValueError(f"inputs={brief(inputs)} is not allowed: it must be {ALLOWED}")
    layers, mean = found.layers, getattr(found, quantity)[:, a, b]
    deviation = np.sqrt(getattr(found, f"{quantity}_variance").value[:, a, b])
    with st.panel("plot_angles", ax) as ax:
        marker = "o" if len(layers) <= MOST_MARKED else ""
        curve = st.line(ax, layers, mean.value, style, color=st.DATA, marker=marker, ms=2.5, zorder=3)
        curve.set_label(st.simulated(mean))
        st.band(ax, layers, mean.value - mean.stderr, mean.value + mean.stderr, curve.get_color())
        most = 1.0 if quantity == "cosine" else np.inf
        ends = (np.clip(mean.value + sign * deviation, -most, most) for sign in (-1.0, 1.0))
        ax.fill_between(layers, *ends, color=st.SKY, alpha=0.25, lw=0, zorder=1, label="± one standard deviation")
        limit = getattr(found.infinite_width, quantity)[:, a, b]
        st.known(ax, layers, limit, "infinite width", "_", color=st.ink(ax), ls=st.DOTTED, lw=1.4, zorder=2)
        if quantity == "log_sine_squared":
            st.exact(ax, layers, found.small_angle[:, a, b], "exact for small angles")
        entries = ax.get_legend_handles_labels()[0]
        if st.hollow(ax, layers, mean.value, st.bare(mean), curve.get_color()):
            entries.append(st.hollow_proxy())
        ax.margins(x=0.02)
        ax.set(xlabel=r"layer $\ell$", ylabel=QUANTITIES[quantity])
        st.integer_ticks(ax.xaxis)
        st.legend(ax, entries)
    return ax


def input_pair(inputs: Any, count: int, allowed: str) -> tuple[int, int]:
    """Return the numbers of two inputs out of ``count``; ``allowed`` says what would be right.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    if not isinstance(inputs, tuple | list) or len(inputs) != 2:
        raise ValueError(f"inputs={brief(inputs)} is not allowed: it must be {allowed}")
    first, second = (checks.integer("inputs", one, 0, count - 1) for one in inputs)
    return first, second
