"""Several inputs, the tangent kernel and tangents of all points of a sweep, for its data set and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analyses import joint_export, joint_summary
from ..analyses.export import Variable
from ..analyses.joint_export import Named
from ..analyses.joint_summary import Headline
from ..results.estimates import Estimate
from ..simulation import Simulation
from .plan import Plan


def joint_variables(
    plan: Plan, networks: NDArray[np.int64], load: Callable[[int], Simulation]
) -> tuple[dict[str, Variable], dict[str, Variable]]:
    """Return variables and coordinates by name: those of `resmc.analyses.joint_export`, at the last layer.

    Points are read one after the other by ``load``; one without ``networks`` has NaN. A single input has no dimension.
    """
    if plan.joints[0] is None:
        return {}, {}
    points: dict[str, list[np.ndarray | None]] = {}
    last: dict[str, Named] = {}
    coordinates: dict[str, Variable] = {}
    for index, count in enumerate(networks.ravel().tolist()):
        if not count:
            continue
        sim = load(index)
        coordinates = {name: Variable(dims, *rest) for name, dims, *rest in joint_export.coordinates(sim)}
        for one in _at_the_end(sim):
            last[one[0]] = one
            points.setdefault(one[0], [None] * len(plan.models))[index] = np.asarray(one[2], np.float64)
    found = {}
    for name, (_, dims, values, words) in last.items():
        nothing = np.full(np.shape(values), np.nan)
        array = np.stack([nothing if one is None else one for one in points[name]])
        found[name] = Variable((*plan.dims, *dims), array.reshape(*plan.shape, *nothing.shape), words)
    used = {dim for one in found.values() for dim in one.dims}
    return found, {name: one for name, one in coordinates.items() if name in used}


def _at_the_end(sim: Simulation) -> Iterator[Named]:
    """Yield variables at the last layer, and those of a single input without its dimensions."""
    for name, dims, values, words in joint_export.variables(sim):
        if dims[:1] == ("layer",):
            dims, values = dims[1:], values[-1]
        if dims == joint_export.PAIR and sim.gram.size == 1:
            dims, values = (), values[0, 0]
        yield name, dims, values, words


def joint_columns(found: Mapping[str, Variable], plan: Plan) -> dict[str, Variable]:
    """Return variables without dimensions of their own: one for each input, pair a <= b or tangent, named by these."""
    out = {}
    for name, one in found.items():
        dims = [dim for dim in one.dims if dim not in plan.dims]
        own = np.shape(one.values)[len(plan.shape) :]
        for place in product(*map(range, own)):
            if dims == list(joint_export.PAIR) and place[0] > place[1]:
                continue
            first = 1 if dims == ["tangent"] else 0
            key = "_".join([name, *(str(first + i) for i in place)])
            where = ", ".join(f"{dims[0]} {first + i}" for i in place)
            values: NDArray[Any] = np.asarray(one.values)
            at: tuple[Any, ...] = (..., *place)
            words = f"{one.long_name}, {where}" if place else one.long_name
            out[key] = Variable(plan.dims, values[at], words)
    return out


def joint_headlines(
    plan: Plan, networks: NDArray[np.int64], load: Callable[[int], Simulation], points: Sequence[int]
) -> dict[str, list[Headline]]:
    """Return the numbers that stand for each analysis, of points of a sweep by their places; none of one input alone.

    Points are read one after the other by ``load``; one without ``networks`` has no value.
    """
    if plan.joints[0] is None:
        return {}
    there = [i for i in points if networks.flat[i]]
    found = {i: {one.key: one for one in joint_summary.headlines(load(i))} for i in there}
    names = {key: one.name for each in found.values() for key, one in each.items()}
    nothing = Estimate(np.array(np.nan), np.array(np.nan), np.array(0))
    return {
        key: [found.get(i, {}).get(key, Headline(key, name, nothing, np.nan, np.nan)) for i in points]
        for key, name in names.items()
    }
