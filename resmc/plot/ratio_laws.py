"""Curves of the laws of quotients: of one or several simulations, with the limit of infinite depth beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import log_ratio
from ..analyses.verdict import SHOWN
from ..engine.finals import BIN_WIDTH
from ..engine.lowering import QUOTIENTS
from ..experiments.depth_limit import DepthLimit, LimitQuantity
from ..results.estimates import MIN_NETWORKS, Floats
from ..results.laws import Law
from ..results.record import Record
from ..theory.depth import Gaussian
from . import series
from . import style as st

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TAIL = 1e-3  # probability beyond either end of an axis
WIDEST = 12.0  # logarithm of the largest over the smallest ratio on an axis


def draw(
    sims: Mapping[str, Record],
    ratio: str,
    *,
    limit: DepthLimit | None = None,
    bins: int | None = None,
    ax: Axes | None = None,
    style: Mapping[str, Any] | None = None,
    title: Callable[[Axes], None] | None = None,
) -> Axes:
    """Draw the laws of a ratio in simulations by label; ``title`` is called with the Axes before the legend is made.

    Raises
    ------
    ValueError
        As `resmc.plot.plot_ratio_law`.
    """
    checks.choice("ratio", ratio, QUOTIENTS)
    if limit is not None:
        st.check_kind("limit", limit, (DepthLimit,), "a resmc.DepthLimit, or None")
        for ours in (one.lowered.general for one in sims.values()):
            if replace(limit.model, depth=ours.depth, n_out=ours.n_out) != ours:
                raise ValueError("limit is that of another network: it must be resmc.limit(..) of sim's model")
    laws = {label: _law(one, ratio) for label, one in sims.items()}
    ends = [_ends(law, ratio) for law in laws.values()]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    _check_reach(low, high, ratio)
    exact = _known_limit(list(sims.values()), ratio) if limit is None else _of(limit, ratio).law
    known = None if limit is None or exact is not None else _of(limit, ratio).samples
    if bins is None:
        finest = min(3.5 * _spread(law) * law.networks ** (-1.0 / 3.0) for law in laws.values())
        bins = int(np.clip((high - low) / finest, 8, 200))
    bins = checks.integer("bins", bins, 1, 1 << 12, "4096")
    edges = np.linspace(math.exp(0.5 * low), math.exp(0.5 * high), bins + 1)
    wide = np.diff(edges)
    with st.panel("plot_ratio_law", ax) as ax:
        handles = []
        for (label, law), look in zip(laws.items(), series.looks(list(laws)), strict=True):
            share = _shares((law.bins + 0.5) * BIN_WIDTH + law.offset, edges, law.counts, law.networks)
            density, stderr = share / wide, np.sqrt(share * (1.0 - share) / law.networks) / wide
            known_error = law.networks >= MIN_NETWORKS
            stderr = stderr if known_error else np.full(density.shape, np.nan)
            if len(laws) == 1:
                words = label or st.counted(law.networks) + (" ± s.e." if known_error else ", no error band")
                handles.append(st.histogram(ax, edges, density, stderr, style or {}, words))
            else:
                handles.append(st.outline(ax, edges, density, stderr, style or {}, look, label))
        banded = len(laws) > 1 and any(law.networks >= MIN_NETWORKS for law in laws.values())
        others = [st.proxy("bands: s.e.", lw=5.0, alpha=0.3)] if banded else []
        curve: st.Style = {
            "color": st.THEORY if len(laws) == 1 else st.ink(ax),
            "ls": st.DASHED,
            "lw": 1.4,
            "zorder": 4,
        }
        if exact is not None:
            x = np.linspace(edges[0], edges[-1], 400)
            others.append(st.line(ax, x, _log_normal(x, exact), label="log-Gaussian limit, $L = \\infty$", **curve))
        elif known is not None:
            found = _shares(known, edges, np.ones(len(known)), len(known)) / wide
            middle = 0.5 * (edges[1:] + edges[:-1])
            others.append(st.line(ax, middle, found, label="limit, $L = \\infty$, simulated", **curve))
        if len(sims) == 1:
            others += _exact(ax, next(iter(sims.values())), ratio, np.linspace(edges[0], edges[-1], 400)[1:])
        margin = 0.02 * (edges[-1] - edges[0])
        ax.set(xlim=(edges[0] - margin, edges[-1] + margin), xlabel=f"${SHOWN[ratio]}$", ylabel="density")
        ax.set_ylim(bottom=0.0)
        if title is not None:
            title(ax)
        series.legend(ax, list(laws), handles, others)
    return ax


def _exact(ax: Axes, sim: Record, ratio: str, x: Floats) -> list[Any]:
    """Draw the exact density of the ratio, the root of the quotient, over all networks, where it is known."""
    law = sim.facts.exact_law(ratio)
    if law is None or not law.parts:
        return []
    density = (1.0 - law.probability_of_death) * law.pdf(2.0 * np.log(x)) * 2.0 / x
    look: st.Style = {"color": st.EXACT, "ls": st.DASH_DOTTED, "lw": 1.4, "zorder": 5}
    return [st.line(ax, x, density, label="exact law", **look)]


def _known_limit(sims: list[Record], ratio: str) -> Gaussian | None:
    """Return the law that all simulations have as their depth grows; None where it is not known or not one."""
    found = {sim.facts.final_limit(ratio) for sim in sims}
    return found.pop() if len(found) == 1 else None


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
    _check_reach(low, high, ratio)
    middle, reach = 0.5 * (low + high), 0.6 * (high - low) + BIN_WIDTH
    return middle - reach, middle + reach


def _check_reach(low: float, high: float, ratio: str) -> None:
    if 0.5 * (high - low) > 1.2 * WIDEST or abs(high) > 1000.0:
        raise ValueError(
            f"ratio={ratio!r} goes from exp({0.5 * low:.3g}) to exp({0.5 * high:.3g}): too far for an axis"
        )


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
