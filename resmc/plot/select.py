"""Points of a sweep by the dimensions they are drawn over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief
from ..sweep.axes import value_of
from ..sweep.places import points_at
from ..sweep.result import SweepResult
from .fields import coordinates
from .series import Label


def letter_of_sweep(result: SweepResult) -> str:
    """Return the letter of the states: z if all networks are spelled as a `ResNet`, else h."""
    return result.plan.letter


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
        raise ValueError(f"sel={brief(sel)} is not allowed: it must be a mapping like {{'variant': 'vanilla'}}")
    fixed = dict(sel or {})
    index = points_at(result.plan, fixed, "sel[{name!r}]={value}")
    return index, [name for name in result.plan.dims if name not in fixed]


def curves(
    result: SweepResult, sel: Mapping[str, Any] | None, along: str | None, preferred: Sequence[str] = ()
) -> tuple[str, dict[str, NDArray[np.int64]]]:
    """Return the dimension to draw over and, for each value of all others, a label and the numbers of its points.

    ``along`` names the dimension; by default it is the first of ``preferred`` that ``sel`` leaves, else the last that
    has several values.

    Raises
    ------
    ValueError
        As `chosen`; or if there is no dimension left, or not the one asked for.
    """
    index, left = chosen(result, sel)
    free = ", ".join(left) or "none"
    if along is not None and along not in left:
        raise ValueError(f"along={along!r} is not allowed: the dimensions left are {free}")
    if along is None:
        long = [name for name in left if len(getattr(result.plan, name)) > 1] or left
        if not left:
            raise ValueError(f"result has no dimension left to draw over: sel={dict(sel or {})!r} fixes all")
        along = next((name for name in preferred if name in left), long[-1])
    others = [name for name in left if name != along]
    index = np.moveaxis(index, left.index(along), -1)
    names = [coordinates(name, getattr(result.plan, name)) for name in others]
    return along, {
        Label([names[axis][i] for axis, i in enumerate(place)]): index[place] for place in np.ndindex(index.shape[:-1])
    }


def say_fixed(ax: Any, result: Any, sel: Mapping[str, Any] | None) -> None:
    """Say above the axes which points of a sweep are drawn, told apart from its other points."""
    if sel:
        ax.set_title(fixed(result, sel), fontsize=ax.xaxis.label.get_fontsize())


def fixed(result: SweepResult, sel: Mapping[str, Any]) -> str:
    """Return the coordinates ``sel`` of a sweep in words that no other coordinates of it have."""
    words = []
    for name, value in sel.items():
        values = list(getattr(result.plan, name))
        words.append(coordinates(name, values)[values.index(value_of(name, value))])
    return ", ".join(words)
