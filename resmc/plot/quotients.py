"""Laws of the quotients: how far residual networks go from their input, or gradients from the output's; and limits.

What is drawn is the root of a quotient, a ratio of lengths such as |h_L|/|h_0|.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.words import brief
from ..experiments.depth_limit import DepthLimit
from ..results.record import Record
from ..sweep.result import SweepResult
from . import style as st
from .fields import coordinates
from .ratio_laws import draw
from .select import chosen, say_fixed
from .series import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_ratio_law(
    sim: Record | SweepResult | Mapping[str, Record],
    ratio: str = "growth",
    *,
    limit: DepthLimit | None = None,
    bins: int | None = None,
    sel: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw the law of a ratio over the networks as a histogram, with the limit of infinite depth beside it.

    For one simulation the exact density is drawn too, where it is known (`resmc.theory.exact_law`).

    The band is one standard error, sqrt(p (1 - p)/N) over the width of a bin. Several laws are drawn as outlines, and
    limits only where they are laws of all simulations.

    Parameters
    ----------
    sim : Simulation, SweepResult, or a mapping from labels to simulations
        Of a sweep, the laws of all points that ``sel`` leaves.
    ratio : {"growth", "displacement", "gradient", "gradient_displacement"}
        A ratio, as in `plot_depth_ratio`.
    limit : DepthLimit, optional
        A limit from `resmc.limit`, whose networks' law is drawn where no law is known. By default the log-Gaussian law
        of `resmc.theory.depth_limit` is drawn where there is one.
    bins : int, optional
        Number of bins, by default Scott's.
    sel : mapping, optional
        Values to which dimensions of a sweep are fixed.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the histogram (a ``StepPatch``).

    Raises
    ------
    ValueError
        If ``sim`` is no Simulation that followed this ratio, the ratio is 0 in most networks or spread over too many
        powers of ten, ``limit`` is no DepthLimit of this network, ``bins`` is out of range, ``sel`` names something
        else than a sweep's dimensions and values, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), figure 2.
    """
    st.require("plot_ratio_law")
    sims = _simulations(sim, sel)
    return draw(sims, ratio, limit=limit, bins=bins, ax=ax, style=style, title=partial(say_fixed, result=sim, sel=sel))


def _simulations(sim: Any, sel: Mapping[str, Any] | None) -> dict[str, Record]:
    """Return simulations by label."""
    if not isinstance(sim, SweepResult):
        if sel is not None:
            raise ValueError(f"sel={brief(sel)} is not allowed here: it chooses points of a SweepResult")
        return st.several("sim", sim, (Record,), "a resmc.Simulation (or a SweepResult)")
    index, left = chosen(sim, sel)
    names = [coordinates(name, getattr(sim.plan, name)) for name in left]
    return {
        Label([names[axis][i] for axis, i in enumerate(place)]): sim.load(int(index[place]))
        for place in np.ndindex(index.shape)
    }
