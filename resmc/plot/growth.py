"""Growth of E|z_l|^2 with depth, in one simulation or over a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from .._system.words import brief
from ..analyses import Growth
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..sweep.result import SweepResult
from ..theory.facts import facts
from . import style as st
from .curves import MOST, Curve, draw, of_layers
from .select import chosen, curves, letter_of_sweep, say_fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALLOWED = "a Simulation or a Growth"


def plot_growth(
    result: Record | Growth | SweepResult | Mapping[str, Record | Growth],
    *,
    sel: Mapping[str, Any] | None = None,
    most: int = MOST,
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Draw log E|z_l|^2/|z_0|^2 against l/n with standard errors, and the theory that there is of it.

    Infinite width, the Gaussian limit, gives l log(alpha^2 + lam^2), which is 0 for normalised weights: no growth. A
    vanilla ResNet grows like exp(c l/n), which is drawn at leading order in 1/n, and with the next. Exact values are
    drawn where all are known, and take the place of the limit. Networks that are no `ResNet` have no limit here.

    The plain mean of |z|^2 is ruled by rare networks: where it is not reliable
    (`resmc.results.layer_estimates.SecondMoment`) points are hollow and without a bar, and the legend says so.

    Parameters
    ----------
    result : Simulation, Growth, SweepResult, or a mapping from labels to simulations or growths
        Networks of any kind, any number of curves. A sweep over ``ratio`` or ``depth`` gives the last layer of each
        point against d/n, a curve for each value of the other dimensions.
    sel : mapping, optional
        Values to which dimensions of a sweep are fixed: ``{"variant": "vanilla"}``.
    most : int
        Layers of a simulation that are drawn at most, equally spaced.
    ax : matplotlib Axes, optional
        A new figure by default.
    **style
        Keywords of the estimates (``errorbar``).

    Raises
    ------
    ValueError
        If ``result`` is of another kind or empty, is a sweep without a dimension ``ratio`` or ``depth``, ``sel`` names
        something else than its dimensions and values, ``most`` is below 2, or ``ax`` is no Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_growth")
    most = checks.integer("most", most, 2, 1 << 20, "2^20")
    if isinstance(result, SweepResult):
        drawn = _of_sweep(result, sel)
    elif sel is not None:
        raise ValueError(f"sel={brief(sel)} is not allowed here: it chooses points of a SweepResult")
    else:
        found = st.several("result", result, (Record, Growth), ALLOWED + " (or a SweepResult)")
        drawn = {label: of_layers(one, most) for label, one in found.items()}
    layer = "d" if isinstance(result, SweepResult) else r"\ell"
    return draw(drawn, layer, ax, style, partial(say_fixed, result=result, sel=sel))


def _of_sweep(result: SweepResult, sel: Mapping[str, Any] | None) -> dict[str, Curve]:
    _, left = chosen(result, sel)
    along = next((name for name in ("ratio", "depth") if name in left), None)
    if along is None:
        free = ", ".join(left) or "none"
        raise ValueError(f"result has no dimension ratio or depth left to draw the growth over: it has {free}")
    called = letter_of_sweep(result)
    return {label: _of_points(result, index, called) for label, index in curves(result, sel, along)[1].items()}


def _of_points(result: SweepResult, index: Any, called: str) -> Curve:
    models, infinite_width = [result.plan.models[i] for i in index], OBSERVABLES["growth"].neutral
    assert infinite_width is not None
    known = result.predictions["growth"].ravel()[index]
    return Curve(
        aspect=np.array([m.ratio for m in models]),
        estimate=result.estimates["growth"].reshape((-1,))[index],
        theory=known.limit,
        next_order=known.second_order,
        exact=known.exact,
        gaussian=np.array([infinite_width.value(facts(m)) for m in models]),
        called=called,
    )
