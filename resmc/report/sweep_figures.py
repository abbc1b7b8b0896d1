"""Figures of a sweep: a map of each quantity over two dimensions, or lines over one, for each value of the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.lowering import QUOTIENTS
from ..models.fields import told_apart
from ..plot.fields import label_of
from ..plot.growth import plot_growth
from ..plot.select import chosen, letter_of_sweep
from ..plot.select import curves as curves_of
from ..plot.series import NAMED
from ..plot.sweeps import plot_sweep
from ..plot.values import Axis, Curve, draw, positions
from ..results.observables import OBSERVABLES
from .figures import Figure, figure
from .numbers import count
from .words_quotient import slug
from .words_sweep import asked, describe, title

if TYPE_CHECKING:
    from ..sweep.plan import Plan
    from ..sweep.result import SweepResult

MOST_POINTS = 20_000  # points of a plan up to which it has figures
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
        if rest and not np.isfinite(result.estimates[name].value.ravel()[chosen(result, sel)[0]]).any():
            continue  # not computed yet, or networks that have no such quantity
        where = ", ".join(f"{d} {_told(plan, d, v)}" for d, v in sel.items() if len(getattr(plan, d)) > 1)
        for kind, drawing in _drawings(result, name, axes, sel).items():
            caption = title(result, name) + (f", {kind}" if kind else "") + (f" ({where})" if where else "")
            key = f"{slug(name)}-{'figure' if not kind else slug(kind.replace(' ', '-'))}-{number + 1}"
            yield figure(key, caption, describe(result, name, sel), drawing)


def _told(plan: Plan, name: str, value: Any) -> str:
    """Return a value in words that no other value of its dimension has."""
    values = list(getattr(plan, name))
    return told_apart(values)[values.index(value)]


def _drawings(result: SweepResult, name: str, axes: list[str], sel: Mapping[str, Any]) -> dict[str, Draw]:
    """Return the drawings of a quantity at the points ``sel``, by what distinguishes them in words."""
    plan = result.plan
    if plan.listed:
        index, axis = np.arange(len(plan.models)), Axis("number of the point", whole=True)
        return {"": lambda ax: _lines(result, name, {"": index}, index.astype(np.float64), axis, ax)}
    second = len(getattr(plan, axes[1])) if len(axes) == 2 else 1
    curves: dict[str, Draw] = {
        "over " + (axes[0] if axes else "nothing"): lambda ax: _along(result, name, axes, sel, ax)
    }
    a_map: dict[str, Draw] = {"as a map": lambda ax: _map(result, name, axes, sel, ax)}
    several = len(axes) == 2 and (_numbers(plan, axes[1]) or second > NAMED)
    if several and "depth" in axes and OBSERVABLES[name].sums in QUOTIENTS:
        return curves | a_map  # how a ratio moves with the depth is a curve, and its regimes are parts of a map
    if name == "growth" and second <= MOST_CURVES and axes and axes[0] in ALONG:
        return {"": lambda ax: plot_growth(result, sel=sel, ax=ax)}
    return {"": next(iter((a_map if several else curves).values()))}


def _along(result: SweepResult, name: str, axes: list[str], sel: Mapping[str, Any], ax: Any) -> None:
    """Draw a quantity over the first dimension, with a curve for each value of the second."""
    along, points = curves_of(result, sel, axes[0] if axes else None)
    _lines(result, name, points, *positions(along, getattr(result.plan, along)), ax)


def _lines(result: SweepResult, name: str, points: Mapping[str, Any], x: Any, axis: Axis, ax: Any) -> None:
    """Draw a quantity at several points by label, with the theory that there is."""
    one, flat = OBSERVABLES[name], result.estimates[name].reshape((-1,))
    known = result.predictions[name].ravel()
    drawn = {label: Curve(x, flat[index], known[index]) for label, index in points.items()}
    draw(one, label_of(one, letter_of_sweep(result)), axis, drawn, ax, {})


def _map(result: SweepResult, name: str, axes: list[str], sel: Mapping[str, Any], ax: Any) -> None:
    """Draw a quantity over two dimensions."""
    x, y = axes
    if OBSERVABLES[name].sums in QUOTIENTS:
        x, y = (y, x) if x == "depth" else (x, y)
    plot_sweep(result, name, x=x, y=y, sel=sel, ax=ax)


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
