r"""Growth of E\|z_l\|^2 with depth, in one simulation or over a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system import checks
from ..analyses import Growth
from ..results.record import Record
from ..sweep.result import SweepResult
from . import style as st
from .curves import MOST, Curve, draw, of_layers
from .select import chosen, coordinate, say_fixed

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
    r"""Draw log E\|z_l\|^2/\|z_0\|^2 against l/n with standard errors, its limit at leading order, and infinite width.

    Infinite width, the Gaussian limit, gives l log(alpha^2 + lam^2), which is 0 for normalised weights: no growth. A
    vanilla ResNet grows like exp(c l/n). The plain mean of \|z\|^2 is ruled by rare networks: where it is not reliable
    (`resmc.results.layer_estimates.SecondMoment`) points are hollow and without a bar, and the legend says so.

    Parameters
    ----------
    result : Simulation, Growth, SweepResult, or a mapping from labels to simulations or growths
        A sweep over ``ratio`` or ``depth`` gives the last layer of each point against d/n, a curve for each value of
        the other dimensions.
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
        If ``result`` is of another kind, has more than six curves, is a sweep without a dimension ``ratio`` or
        ``depth``, ``sel`` names something else than its dimensions and values, ``most`` is below 2, or ``ax`` is no
        Axes.
    ImportError
        If matplotlib is not installed.

    Source: Li, Nica, Roy 2021 (arXiv 2106.04013).
    """
    st.require("plot_growth")
    most = checks.integer("most", most, 2, 1 << 20, "2^20")
    if isinstance(result, SweepResult):
        curves = _of_sweep(result, sel)
    elif sel is not None:
        raise ValueError(f"sel={sel!r} is not allowed here: it chooses points of a SweepResult")
    else:
        found = st.several("result", result, (Record, Growth), ALLOWED + " (or a SweepResult)")
        curves = {label: of_layers(one, most) for label, one in found.items()}
    letter = "d" if isinstance(result, SweepResult) else r"\ell"
    return draw(curves, letter, ax, style, partial(say_fixed, sel=sel))


def _of_sweep(result: SweepResult, sel: Mapping[str, Any] | None) -> dict[str, Curve]:
    index, left = chosen(result, sel)
    along = [name for name in ("ratio", "depth") if name in left]
    if not along:
        free = ", ".join(left) or "none"
        raise ValueError(f"result has no dimension ratio or depth left to draw the growth over: it has {free}")
    others = [name for name in left if name != along[0]]
    index = np.moveaxis(index, left.index(along[0]), -1)
    names = [[coordinate(name, value) for value in getattr(result.plan, name)] for name in others]
    if index[..., 0].size > len(st.SERIES):
        raise ValueError(
            f"result has {index[..., 0].size} curves over {', '.join(others)}: fix some with sel to have at most "
            f"{len(st.SERIES)}, as in sel={{{others[-1]!r}: {getattr(result.plan, others[-1])[0]!r}}}"
        )
    curves = {}
    for place in np.ndindex(index.shape[:-1]):
        label = ", ".join(names[axis][i] for axis, i in enumerate(place))
        curves[label] = _of_points(result, index[place])
    return curves


def _of_points(result: SweepResult, index: Any) -> Curve:
    models = [result.plan.models[i] for i in index]
    estimate = result.estimates["growth"].reshape((-1,))[index]
    return Curve(
        aspect=np.array([m.ratio for m in models]),
        estimate=estimate,
        theory=result.limits["growth"].ravel()[index],
        gaussian=np.array([m.depth * m.log_scale for m in models]),
    )
