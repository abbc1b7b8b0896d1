"""Points of a sweep by the dimensions they are drawn over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sweep.result import SweepResult, points_at

SYMBOLS = {
    "width": "$n$",
    "depth": "$d$",
    "ratio": "$d/n$",
    "alpha": r"$\alpha$",
    "lam": r"$\lambda$",
    "n_out": r"$n_{\mathrm{out}}$",
    "input_norm": "input norm",
}


def chosen(result: SweepResult, sel: Mapping[str, Any] | None) -> tuple[NDArray[np.int64], list[str]]:
    """Return the numbers of the points that have the coordinates ``sel``, over the dimensions left, and their names.

    Raises
    ------
    ValueError
        If the sweep is a list of models, or ``sel`` is no mapping from its dimensions to their values.
    """
    if result.plan.listed:
        raise ValueError("result is a sweep over a list of models, which has no dimensions to draw over: give a grid")
    if sel is not None and not isinstance(sel, Mapping):
        raise ValueError(f"sel={sel!r} is not allowed: it must be a mapping like {{'variant': 'vanilla'}}")
    fixed = dict(sel or {})
    index = points_at(result.plan, fixed, "sel[{name!r}]={value!r}")
    return index, [name for name in result.plan.dims if name not in fixed]


def coordinate(name: str, value: Any) -> str:
    """Return a value of a dimension in a figure's words."""
    return value if isinstance(value, str) else f"{SYMBOLS[name]} = {value:.4g}"


def say_fixed(ax: Any, sel: Mapping[str, Any] | None) -> None:
    """Say above the axes which points are drawn."""
    if sel:
        words = ", ".join(coordinate(name, value) for name, value in sel.items())
        ax.set_title(words, fontsize=ax.xaxis.label.get_fontsize())
