"""Any quantity: by layer of one or several simulations, or over a dimension of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from .._system.words import brief
from ..analyses import Regime
from ..results.estimates import Floats
from ..results.observable import Observable
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..sweep.result import SweepResult
from . import style as st
from .fields import axis_label, label_of, letter_of
from .select import curves, letter_of_sweep, say_fixed
from .values import Axis, Curve, draw, of_ends, of_simulations, positions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALLOWED = "a Simulation (or a Regime or a SweepResult)"


def plot_quantity(
    result: Record | Regime | SweepResult | Mapping[str, Record],
    name: str,
    *,
    along: str | None = None,
    sel: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw any quantity of any network, with the exact values and the limits that are known of it.

    Curves are drawn with standard errors: a band by layer, bars elsewhere. A point without an error is hollow. Limits
    are dashed, with the next order in 1/n by shorter dashes, and exact values dash-dotted, of several curves in the
    curves' colours.

    Parameters
    ----------
    result : Simulation, Regime, SweepResult, or a mapping from labels to simulations
        Simulations are drawn by recorded layer, any number of them. A quantity that is one number for each simulation
        is drawn over the labels, and a correlation over the distance of layers. A `Regime` is drawn over its depths,
        a sweep over ``along`` with a curve for each value of its other dimensions, at the last layer, or at layer 0
        of gradients.
    name : str
        A name of ``sim.observables`` or ``result.estimates``, such as "log_norm.variance" or "displacement.median".
    along : str, optional
        The dimension of a sweep; by default the last of several values that ``sel`` leaves.
    sel : mapping, optional
        Values to which dimensions of a sweep are fixed: ``{"variant": "vanilla"}``.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates (a ``Line2D``, or an ``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is of another kind or empty, there is no such quantity or it has no value, ``along`` or ``sel``
        name something else than a sweep's dimensions and values, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.
    """
    st.require("plot_quantity")
    one = OBSERVABLES[checks.choice("name", name, tuple(OBSERVABLES))]
    if not isinstance(result, SweepResult):
        for argument, value in (("along", along), ("sel", sel)):
            if value is not None:
                raise ValueError(f"{argument}={brief(value)} is not allowed here: it chooses points of a SweepResult")
    label, axis, drawn = _collected(result, one, along, sel)
    return draw(one, label, axis, drawn, ax, style, partial(say_fixed, result=result, sel=sel))


def _collected(
    result: Any, one: Observable, along: str | None, sel: Mapping[str, Any] | None
) -> tuple[str, Axis, dict[str, Curve]]:
    """Return the label of the quantity, the horizontal axis, and the curves by label."""
    if isinstance(result, SweepResult):
        label = label_of(one, letter_of_sweep(result))
        along, points = curves(result, sel, along)
        values = getattr(result.plan, along)
        x, axis = positions(along, values)
        return label, axis, {words: _of_points(result, one, index, x) for words, index in points.items()}
    if isinstance(result, Regime):
        sims = list(result.simulations)
        axis = Axis(axis_label("depth"), whole=True)
        return label_of(one, letter_of(sims)), axis, {"": of_ends(sims, one, result.depths.astype(np.float64))}
    return of_simulations(st.several("result", result, (Record,), ALLOWED), one)


def _of_points(result: SweepResult, one: Observable, index: Any, x: Floats) -> Curve:
    """Return the curve of the points ``index`` of a sweep."""
    if one.name not in result.estimates:
        if one.in_sweeps:
            raise ValueError(f"name={one.name!r} is not in this sweep: there are {', '.join(result.estimates)}")
        return of_ends([result.load(int(i)) for i in index], one, x)
    return Curve(x, result.estimates[one.name].reshape((-1,))[index], result.predictions[one.name].ravel()[index])
