"""Points of a plan by their coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief
from .axes import value_of
from .plan import Plan


def places(plan: Plan, where: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the points with these coordinates; of a list, ``point`` is the place in it.

    Raises
    ------
    ValueError
        As for `points_at`.
    """
    if plan.listed and set(where) == {"point"}:
        last = len(plan.models) - 1
        return [checks.integer("point", where["point"], 0, last, f"{last}, the last of the list")]
    found: list[int] = np.atleast_1d(points_at(plan, where)).ravel().tolist()
    return found


def points_at(plan: Plan, where: Mapping[str, Any], said: str = "{name}={value}") -> NDArray[np.int64]:
    """Return the numbers of the points with these coordinates, as an array over the dimensions that are left.

    Messages begin with ``said``, in which the dimension and its value are filled in.

    Raises
    ------
    ValueError
        If the plan has no such dimension, or the dimension not that value.
    """
    for name in where:
        if name not in plan.dims:
            dims = ", ".join(plan.dims) or "none"
            raise ValueError(
                f"{said.format(name=name, value=brief(where[name]))} is not allowed: the dimensions are {dims}"
            )
    where = {name: value_of(name, value) for name, value in where.items()}
    for name, value in where.items():
        if value not in getattr(plan, name):
            raise ValueError(
                f"{said.format(name=name, value=brief(value))} is not in the sweep: it has {brief(getattr(plan, name))}"
            )
    place = tuple(getattr(plan, name).index(where[name]) if name in where else slice(None) for name in plan.dims)
    return np.asarray(np.arange(len(plan.models)).reshape(plan.shape)[place])
