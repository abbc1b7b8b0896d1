"""A sweep as a labelled data set."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyses.export import TITLE, Variable, distance_variables, needed, source, variables
from ..analyses.found import estimates
from ..models.fields import field_of, told_apart
from ..results.observables import OBSERVABLES
from ..tables.frames import frame
from .axes import AXES, LONG_NAMES
from .joint_table import joint_columns, joint_variables

if TYPE_CHECKING:
    import pandas
    import xarray

    from .plan import Plan
    from .result import SweepResult


def to_xarray(result: SweepResult, *, laws: bool = False) -> xarray.Dataset:
    """Make a data set of every quantity of the points' ends, over the dimensions of the plan.

    The schema is that of `resmc.analyses.export`. Other variables are ``networks``, ``seed``, ``inactive`` and ``dead``
    (networks at the last layer), and with targets ``over_target`` (`SweepResult.over_target`). All fields of the models
    are coordinates. Where ``ratio`` is a dimension, it holds the values of the plan, and ``ratio_rounded`` is depth /
    width. ``laws`` adds the Kolmogorov-Smirnov distances of `Simulation.log_gaussian_fit`, which take another look at
    every shard, about a tenth of a second for a point. Several inputs, the tangent kernel and tangents have the
    variables of a simulation's data set, at the last layer.

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    module = needed("to_xarray")
    plan, (joint, numbers) = result.plan, joint_variables(result.plan, result.networks, result.load)
    found = _collected(result, laws) | joint
    data: xarray.Dataset = module.Dataset(
        {name: one.data() for name, one in found.items()},
        coords={name: one.data() for name, one in (coordinates(plan) | numbers).items()},
        attrs={
            "title": TITLE,
            "source": source(),
            "numerics": " ".join(result.numerics),
            "complete": int(result.complete),
            "plan": json.dumps(plan.to_dict()),
        },
    )
    return data


def to_dataframe(result: SweepResult, *, laws: bool = False) -> pandas.DataFrame:
    """Return a row for each point: the fields of its model, and all variables of `to_xarray`.

    What has inputs or tangents as dimensions has a column for each: ``cosine_0_1`` of inputs 0 and 1.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    plan, joint = result.plan, joint_variables(result.plan, result.networks, result.load)[0]
    found = _collected(result, laws) | joint_columns(joint, plan)
    return rows(plan.dims, plan.shape, coordinates(plan), found)


def rows(
    dims: Sequence[str], shape: tuple[int, ...], coordinates: Mapping[str, Variable], found: Mapping[str, Variable]
) -> pandas.DataFrame:
    """Return a row for each point of a shape: its coordinates, and variables; one with fewer dimensions has the first.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    places = np.unravel_index(np.arange(math.prod(shape)), shape) if dims else ()
    columns = {name: coordinates[name].values[place] for name, place in zip(dims, places, strict=True)}
    for name, one in {**found, **coordinates}.items():
        if name not in dims:
            values = np.asarray(one.values)
            lacking = (1,) * (len(shape) - values.ndim if values.ndim else 0)
            columns[name] = np.broadcast_to(values.reshape(values.shape + lacking), shape).ravel()
    return frame(columns)


def _collected(result: SweepResult, laws: bool) -> dict[str, Variable]:
    """Return the variables of `to_xarray` by name, each over the dimensions of the plan."""
    plan, dims = result.plan, result.plan.dims
    found: dict[str, Variable] = {}
    for name, one in result.quantities.items():
        found |= variables(one, dims, result.estimates[name], result.predictions[name])
    if plan.target_stderr:
        found["over_target"] = Variable(dims, result.over_target, "standard error over its target")
    found |= {
        "networks": Variable(dims, result.networks, "independent networks"),
        "inactive": Variable(dims, result.inactive, "living networks without an active neuron at the last layer"),
        "dead": Variable(dims, result.dead, "networks that are dead at the last layer"),
        "seed": Variable(dims, np.array(plan.seeds, np.uint64).reshape(plan.shape), "seed of the point"),
    }
    if "ratio" in dims:
        rounded = np.array(plan.ratios).reshape(plan.shape)
        found["ratio_rounded"] = Variable(dims, rounded, "ratio d/n with the depth rounded to an integer")
    if laws:
        found |= _distances(result)
    return found


def coordinates(plan: Plan) -> dict[str, Variable]:
    """Return the coordinates: dimensions, and fields that the models have; those that vary have all dimensions."""
    out: dict[str, Variable] = {}
    if plan.listed:
        out["point"] = Variable(("point",), np.arange(len(plan.models)), "place in the list of models")
    for name in AXES:
        words = LONG_NAMES[name]
        if name in plan.dims:
            out[name] = Variable((name,), _array(getattr(plan, name)), words)
            continue
        values = [field_of(model, name) for model in plan.models]
        if all(value is None for value in values):
            continue
        varies = plan.listed or len(set(values)) > 1
        array = _array(values)
        out[name] = Variable(plan.dims if varies else (), array.reshape(plan.shape) if varies else array[0], words)
    return out


def _array(values: Sequence[Any]) -> Any:
    """Return values of a field as an array: of numbers with NaN, or of words with "", where a network has none."""
    there = [value for value in values if value is not None]
    if all(isinstance(value, int | float) for value in there):
        return np.array([np.nan if value is None else value for value in values])
    words = iter(told_apart(there))
    return np.array(["" if value is None else next(words) for value in values])


def _distances(result: SweepResult) -> dict[str, Variable]:
    """Compute the distances between laws from the histograms of one point at a time."""
    plan = result.plan
    parts = ("value", "stderr", "n", "noise_floor", "resolution")
    distances = [one for one in OBSERVABLES.values() if one.per == "run"]
    columns = {one.name: np.full((len(parts), len(plan.models)), np.nan) for one in distances}
    for index in np.flatnonzero(result.networks).tolist():
        sim = result.load(index)
        there = [one.name for one in distances if one.name in sim.observables]
        for name, found in estimates(sim, there).items():
            columns[name][:, index] = [float(getattr(found, part)) for part in parts]
    out: dict[str, Variable] = {}
    for one in distances:
        value, stderr, _, floor, resolution = columns[one.name].reshape(len(parts), *plan.shape)
        if np.isfinite(value).any() or not result.networks.any():
            out |= distance_variables(one, plan.dims, value, stderr, floor, resolution)
    return out
