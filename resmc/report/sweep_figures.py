"""Figures of a sweep: a map of each quantity over two dimensions, or lines over one, for each value of the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..plot import series, style
from ..plot.growth import plot_growth
from ..plot.select import axis_label, chosen
from ..plot.sweeps import plot_sweep
from ..results.observables import OBSERVABLES
from .figures import Figure, figure
from .numbers import count
from .words_sweep import QUESTIONS, describe, slug, title

if TYPE_CHECKING:
    from ..sweep.plan import Plan
    from ..sweep.result import SweepResult

MOST_POINTS = 20_000  # points of a plan up to which it has figures
MOST_FACETS = 6  # figures of one quantity
ALONG = ("ratio", "depth")  # dimensions that the horizontal axis prefers, in this order


def drawn(result: SweepResult) -> dict[str, list[Figure]]:
    """Return the figures of each quantity; none of a plan that is one point, or too large, or has no networks yet."""
    if not 1 < len(result.plan.models) <= MOST_POINTS or not result.networks.any():
        return {}
    return {name: list(_of(result, name)) for name in QUESTIONS}


def left_out(result: SweepResult) -> str:
    """Return the sentence that a quantity has more figures than are drawn, if it has."""
    sizes = {d: len(getattr(result.plan, d)) for d in _dims(result.plan)[1]}
    parts, over = math.prod(sizes.values()), ", ".join(d for d, n in sizes.items() if n > 1)
    if parts <= MOST_FACETS:
        return ""
    return f"Of the {count(parts)} figures over {over} the first {MOST_FACETS} are drawn; the table has all points."


def _of(result: SweepResult, name: str) -> Iterator[Figure]:
    plan = result.plan
    axes, rest = _dims(plan)
    places = itertools.product(*(getattr(plan, d) for d in rest))
    for number, values in enumerate(itertools.islice(places, MOST_FACETS)):
        sel = dict(zip(rest, values, strict=True))
        shown = {d: v for d, v in sel.items() if len(getattr(plan, d)) > 1}
        where = ", ".join(f"{d} {v:.4g}" if isinstance(v, float) else f"{d} {v}" for d, v in shown.items())
        caption = title(name) + (f" ({where})" if where else "")
        key = f"{slug(name)}-figure-{number + 1}"

        def draw(ax: Any, sel: Mapping[str, Any] = sel) -> None:
            if name == "growth" and axes and axes[0] in ALONG:
                plot_growth(result, sel=sel, ax=ax)
            elif len(axes) == 2 and "variant" not in axes:
                plot_sweep(result, name, x=axes[0], y=axes[1], sel=sel, ax=ax)
            else:
                _lines(result, name, axes, sel, ax)

        yield figure(key, caption, describe(result, name, sel), draw)


def _dims(plan: Plan) -> tuple[list[str], list[str]]:
    """Return the dimensions of a figure, the horizontal one first, and the dimensions that it fixes."""
    if plan.listed:
        return [], []
    long = [d for d in plan.dims if len(getattr(plan, d)) > 1]
    numeric = sorted((d for d in long if d != "variant"), key=lambda d: (d not in ALONG, long.index(d)))
    axes = numeric[:2] if len(numeric) > 1 else [*numeric, *(["variant"] if "variant" in long else [])]
    return axes, [d for d in plan.dims if d not in axes]


def _lines(result: SweepResult, name: str, axes: list[str], sel: Mapping[str, Any], ax: Any) -> None:
    """Draw a quantity over one dimension, or over the numbers of a list's points, with its theory dashed."""
    plan = result.plan
    estimate = result.estimates[name].reshape((-1,))
    exact, limit = result.exact[name].ravel(), result.limits[name].ravel()
    theory = np.where(np.isfinite(exact), exact, limit)
    if plan.listed:
        curves, x, ticks = [("", np.arange(len(plan.models)))], np.arange(len(plan.models)), None
        label = "number of the point"
    else:
        index, left = chosen(result, sel)
        along = axes[0]
        index = np.moveaxis(index, left.index(along), -1).reshape(-1, len(getattr(plan, along)))
        names = getattr(plan, axes[1]) if len(axes) == 2 else ("",)
        curves = list(zip(map(str, names), index, strict=True))
        ticks = getattr(plan, along) if along == "variant" else None
        x = np.arange(len(ticks)) if ticks else np.array(getattr(plan, along), np.float64)
        label = axis_label(along)
    handles = []
    for (words, index), look in zip(curves, series.looks([words for words, _ in curves]), strict=True):
        colour = style.THEORY if len(curves) == 1 else look.colour
        if not plan.listed:
            style.line(ax, x, theory[index], color=colour, ls=style.DASHED, zorder=2)
        else:
            ax.plot(x, theory[index], ls="", marker="_", color=colour, zorder=2)
        handles.append(style.points(ax, x, estimate[index], {}, look, words or "simulated ± s.e."))
    lines = {"ls": "", "marker": "_"} if plan.listed else {"ls": style.DASHED}
    handles.append(style.proxy("theory", color=style.THEORY if len(curves) == 1 else "0.35", **lines))
    ax.set(xlabel=label, ylabel=OBSERVABLES[name].labelled("d", "z"))
    if ticks:
        ax.set_xticks(x, ticks)
    style.legend(ax, handles)
