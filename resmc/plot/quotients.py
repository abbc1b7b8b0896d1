r"""Laws of the quotients: how far residual networks go from their input, or gradients from the output's; and limits.

What is drawn is the root of a quotient, a ratio of lengths such as \|h_L\|/\|h_0\|.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import log_ratio
from ..analyses.verdict import SHOWN
from ..engine.finals import BIN_WIDTH
from ..engine.lowering import QUOTIENTS
from ..experiments.depth_limit import DepthLimit, LimitQuantity
from ..results.estimates import Floats
from ..results.laws import Law
from ..results.record import Record
from ..theory.depth import Gaussian
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TAIL = 1e-3  # probability beyond either end of an axis
WIDEST = 12.0  # logarithm of the largest over the smallest ratio on an axis


def plot_ratio_law(
    sim: Record,
    ratio: str = "growth",
    *,
    limit: DepthLimit | None = None,
    bins: int | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    r"""Draw the law of a ratio over the networks as a histogram, with the limit of infinite depth beside it.

    The band is one standard error, sqrt(p (1 - p)/N) over the width of a bin.

    Parameters
    ----------
    sim : Simulation
    ratio : {"growth", "displacement", "gradient", "gradient_displacement"}
        A ratio, as in `plot_depth_ratio`.
    limit : DepthLimit, optional
        A limit from `resmc.limit`, whose networks' law is drawn where no law is known. By default the log-Gaussian law
        of `resmc.theory.depth_limit` is drawn where there is one.
    bins : int, optional
        Number of bins, by default Scott's.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the histogram (a ``StepPatch``).

    Raises
    ------
    ValueError
        If ``sim`` is no Simulation that followed this ratio, the ratio is 0 in most networks or spread over too many
        powers of ten, ``limit`` is no DepthLimit of this network, ``bins`` is out of range, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), figure 2.
    """
    st.require("plot_ratio_law")
    st.check_kind("sim", sim, (Record,), "a resmc.Simulation")
    checks.choice("ratio", ratio, QUOTIENTS)
    if limit is not None:
        st.check_kind("limit", limit, (DepthLimit,), "a resmc.DepthLimit, or None")
        ours = sim.lowered.general
        if replace(limit.model, depth=ours.depth, n_out=ours.n_out) != ours:
            raise ValueError("limit is that of another network: it must be resmc.limit(..) of sim's model")
    law = _law(sim, ratio)
    low, high = _ends(law, ratio)
    exact = sim.facts.final_limit(ratio) if limit is None else _of(limit, ratio).law
    known = None if limit is None or exact is not None else _of(limit, ratio).samples
    if bins is None:
        bins = int(np.clip((high - low) / (3.5 * _spread(law)) * law.networks ** (1.0 / 3.0), 8, 200))
    bins = checks.integer("bins", bins, 1, 1 << 12, "4096")
    edges = np.linspace(math.exp(0.5 * low), math.exp(0.5 * high), bins + 1)
    share = _shares((law.bins + 0.5) * BIN_WIDTH + law.offset, edges, law.counts, law.networks)
    wide = np.diff(edges)
    with st.panel("plot_ratio_law", ax) as ax:
        label = f"{st.count_in_words(law.networks)} networks ± s.e."
        stderr = np.sqrt(share * (1.0 - share) / law.networks)
        st.histogram(ax, edges, share / wide, stderr / wide, style, label)
        look: st.Style = {"color": st.THEORY, "ls": st.DASHED, "lw": 1.4, "zorder": 3}
        if exact is not None:
            x = np.linspace(edges[0], edges[-1], 400)
            st.line(ax, x, _log_normal(x, exact), label="log-Gaussian limit, $L = \\infty$", **look)
        elif known is not None:
            found = _shares(known, edges, np.ones(len(known)), len(known)) / wide
            st.line(ax, 0.5 * (edges[1:] + edges[:-1]), found, label="limit, $L = \\infty$, simulated", **look)
        ax.set(xlim=(edges[0], edges[-1]), xlabel=f"${SHOWN[ratio]}$", ylabel="density")
        ax.set_ylim(bottom=0.0)
        st.legend(ax)
    return ax


def _law(sim: Record, ratio: str) -> Law:
    law = log_ratio.analyse(sim, ratio).law
    if law is None:
        raise ValueError(f"sim has no law of {ratio!r}: simulate with displacement=True or gradients=True")
    return law


def _ends(law: Law, ratio: str) -> tuple[float, float]:
    """Return the ends of the axis, as logarithms of the quotient."""
    low, high = law.quantile([TAIL, 1.0 - TAIL]).value
    if not np.isfinite(low):
        raise ValueError(f"ratio={ratio!r} is 0 in too many of sim's networks for a histogram")
    if 0.5 * (high - low) > WIDEST or abs(high) > 1000.0:
        raise ValueError(
            f"ratio={ratio!r} goes from exp({0.5 * low:.3g}) to exp({0.5 * high:.3g}): too far for an axis"
        )
    middle, reach = 0.5 * (low + high), 0.6 * (high - low) + BIN_WIDTH
    return middle - reach, middle + reach


def _spread(law: Law) -> float:
    """Return the standard deviation of a Gaussian with the quartiles of ``law``."""
    low, high = law.quantile([0.25, 0.75]).value
    return float(high - low) / 1.349 + BIN_WIDTH


def _of(limit: DepthLimit, ratio: str) -> LimitQuantity:
    found: LimitQuantity | None = getattr(limit, ratio)
    if found is None:
        raise ValueError(f"limit has no {ratio!r}: simulate it with gradients=True")
    return found


def _shares(values: Any, edges: Floats, weights: Any, total: int) -> Floats:
    """Return the share of the networks in each bin of the ratio, from logarithms ``values`` of the quotient."""
    counts, _ = np.histogram(np.exp(0.5 * values[np.isfinite(values)]), edges, weights=weights[np.isfinite(values)])
    return counts / total


def _log_normal(x: Floats, law: Gaussian) -> Floats:
    """Return the density of a ratio x whose square, the quotient, has a Gaussian logarithm."""
    deviation = 0.5 * math.sqrt(law.variance)
    return np.exp(-0.5 * ((np.log(x) - 0.5 * law.mean) / deviation) ** 2) / (x * deviation * math.sqrt(2.0 * math.pi))
