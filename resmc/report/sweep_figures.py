"""Figures of a sweep: a map of each quantity over two dimensions, or lines over one, for each value of the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.lowering import QUOTIENTS
from ..plot import style
from ..plot.depth import plot_depth_ratio, plot_heat_map
from ..plot.fields import label_of
from ..plot.growth import plot_growth
from ..plot.quantity import plot_quantity
from ..plot.series import NAMED
from ..plot.sweeps import plot_sweep
from ..results.observables import OBSERVABLES
from ..sweep.axes import shown
from .figures import Figure, figure
from .numbers import count
from .words_quotient import slug
from .words_sweep import asked, describe, letter_of, title

if TYPE_CHECKING:
    from ..sweep.plan import Plan
    from ..sweep.result import SweepResult

MOST_POINTS = 20_000  # points of a plan up to which it has figures
MOST_LOADED = 400  # points of a plan up to which the laws of all are read from the store for a figure
MOST_FACETS = 6  # figures of one quantity
MOST_CURVES = 6  # curves of a growth up to which they say more than a map
ALONG = ("ratio", "depth")  # dimensions that the horizontal axis prefers, in this order
Draw = Callable[[Any], Any]


def drawn(result: SweepResult) -> dict[str, list[Figure]]:
    """Return the figures of each quantity; none of a plan that is one point, or too large, or has no networks yet."""
    if not 1 < len(result.plan.models) <= MOST_POINTS or not result.networks.any():
        return {}
    there = {name for name in asked(result) if np.isfinite(result.estimates[name].value).any()}
    return {name: list(_of(result, name)) for name in asked(result) if name in there}


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
        where = ", ".join(f"{d} {shown(v)}" for d, v in sel.items() if len(getattr(plan, d)) > 1)
        for kind, draw in _drawings(result, name, axes, sel).items():
            caption = title(result, name) + (f", {kind}" if kind else "") + (f" ({where})" if where else "")
            key = f"{slug(name)}-{'figure' if not kind else slug(kind.replace(' ', '-'))}-{number + 1}"
            yield figure(key, caption, describe(result, name, sel), draw)


def _drawings(result: SweepResult, name: str, axes: list[str], sel: Mapping[str, Any]) -> dict[str, Draw]:
    """Return the drawings of a quantity at the points ``sel``, by what distinguishes them in words."""
    plan = result.plan
    if plan.listed:
        return {"": lambda ax: _listed(result, name, ax)}
    quotient, _, moment = name.partition(".")
    if quotient in QUOTIENTS and moment == "median" and len(plan.models) <= MOST_LOADED and _whole(result):
        out: dict[str, Draw] = {}
        if "depth" in axes:
            out["over depth"] = lambda ax: plot_depth_ratio(result, quotient, sel=sel, ax=ax)
        if len(axes) == 2:
            x, y = (axes[1], axes[0]) if axes[0] == "depth" else axes
            out["as a map"] = lambda ax: plot_heat_map(result, quotient, x, y, sel=sel, ax=ax)
        if out:
            return out
    second = len(getattr(plan, axes[1])) if len(axes) == 2 else 1
    if name == "growth" and second <= MOST_CURVES and axes and axes[0] in ALONG:
        return {"": lambda ax: plot_growth(result, sel=sel, ax=ax)}
    if len(axes) == 2 and (_numbers(plan, axes[1]) or second > NAMED):
        return {"": lambda ax: plot_sweep(result, name, x=axes[0], y=axes[1], sel=sel, ax=ax)}
    return {"": lambda ax: plot_quantity(result, name, along=axes[0] if axes else None, sel=sel, ax=ax)}


def _whole(result: SweepResult) -> bool:
    """Return True if all points have networks, and followed the same."""
    return bool(result.networks.all()) and len(set(result.plan.observables)) == 1


def _numbers(plan: Plan, name: str) -> bool:
    """Return True if the values of a dimension are numbers, and not words, vectors or true and false."""
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in getattr(plan, name))


def _dims(plan: Plan) -> tuple[list[str], list[str]]:
    """Return the dimensions of a figure, the horizontal one first, and the dimensions that it fixes."""
    if plan.listed:
        return [], []
    long = [d for d in plan.dims if len(getattr(plan, d)) > 1]
    numbers = [d for d in long if _numbers(plan, d)]
    numeric = [*(d for d in ALONG if d in numbers), *(d for d in numbers if d not in ALONG)]
    named = [d for d in long if d not in numeric]
    axes = [*numeric, *named][:2]
    return axes, [d for d in plan.dims if d not in axes]


def _listed(result: SweepResult, name: str, ax: Any) -> None:
    """Draw a quantity over the numbers of a list's points, with the theory that there is."""
    one, flat = OBSERVABLES[name], result.estimates[name].reshape((-1,))
    x = np.arange(len(result.plan.models))
    exact, limit = result.exact[name].ravel(), result.limits[name].ravel()
    theory = np.where(np.isfinite(exact), exact, limit)
    handles = [style.points(ax, x, flat, {}, style.SERIES[0], "simulated ± s.e.")]
    if np.isfinite(theory).any():
        ax.plot(x, theory, ls="", marker="_", color=style.THEORY, zorder=2)
        handles.append(style.proxy("theory", ls="", marker="_", color=style.THEORY))
    ax.set(xlabel="number of the point", ylabel=label_of(one, letter_of(result)))
    style.integer_ticks(ax.xaxis)
    style.legend(ax, handles)
