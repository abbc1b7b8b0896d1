"""A sweep as a labelled data set, and as netCDF or Zarr."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.writers import temporary_name
from ..analyses.export import TITLE, Variable, distance_variables, needed, source, variables
from ..analyses.found import estimates
from ..results.observables import DISTANCES
from .axes import AXES, LONG_NAMES, field_of, shown

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
    every shard, about a tenth of a second for a point.

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    xarray = needed("to_xarray")
    plan, dims = result.plan, result.plan.dims
    found: dict[str, Variable] = {}
    for name, one in result.quantities.items():
        found |= variables(one, dims, result.estimates[name], result.exact[name], result.limits[name])
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
    return xarray.Dataset(
        {name: one.data() for name, one in found.items()},
        coords={name: one.data() for name, one in _coordinates(plan).items()},
        attrs={
            "title": TITLE,
            "source": source(),
            "numerics": " ".join(result.numerics),
            "complete": int(result.complete),
            "plan": json.dumps(plan.to_dict()),
        },
    )


def to_dataframe(result: SweepResult, *, laws: bool = False) -> pandas.DataFrame:
    """Return a row for each point: the fields of its model, and all variables of `to_xarray`.

    Raises
    ------
    ImportError
        If xarray, which brings pandas, is not installed.
    """
    data = to_xarray(result, laws=laws)
    if not result.plan.dims:
        return data.expand_dims("point").to_dataframe().reset_index(drop=True)
    return data.to_dataframe().reset_index()


def _coordinates(plan: Plan) -> dict[str, Variable]:
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
    return np.array(["" if value is None else shown(value) for value in values])


def _distances(result: SweepResult) -> dict[str, Variable]:
    """Compute the distances between laws from the histograms of one point at a time."""
    plan = result.plan
    parts = ("value", "stderr", "n", "noise_floor", "resolution")
    columns = {one.name: np.full((len(parts), len(plan.models)), np.nan) for one in DISTANCES}
    for index, lowered in enumerate(plan.lowered):
        there = [one.name for one in DISTANCES if one.exists(lowered, frozenset())]
        for name, found in estimates(result.load(index), there).items() if result.networks.flat[index] else ():
            columns[name][:, index] = [float(getattr(found, part)) for part in parts]
    out: dict[str, Variable] = {}
    for one in DISTANCES:
        value, stderr, _, floor, resolution = columns[one.name].reshape(len(parts), *plan.shape)
        if np.isfinite(value).any() or not result.networks.any():
            out |= distance_variables(one, plan.dims, value, stderr, floor, resolution)
    return out


def to_netcdf(data: xarray.Dataset, path: str | Path) -> None:
    """Write a data set as netCDF 4. A file that is there already is replaced when the new one is whole.

    Raises
    ------
    ImportError
        If h5netcdf or h5py is not installed.
    OSError
        If the file cannot be written.
    """
    try:
        import h5netcdf  # noqa: F401 (xarray's engine below)
        import h5py  # noqa: F401 (needed by h5netcdf, which no longer installs it)
    except ImportError:
        raise ImportError("to_netcdf needs h5netcdf and h5py: install resmc[netcdf]") from None
    temporary = Path(path).with_name(temporary_name())
    try:
        data.to_netcdf(temporary, engine="h5netcdf")
        os.replace(temporary, path)
    except OSError as error:  # HDF5's own message would name the temporary file and steps inside the library
        raise OSError(f"path={str(path)!r} cannot be written: {os.strerror(error.errno or 5)}") from None
    finally:
        temporary.unlink(missing_ok=True)


def to_zarr(data: xarray.Dataset, path: str | Path) -> None:
    """Write a data set as a Zarr store of format 2, which every Zarr library reads.

    A Zarr store that is there already is replaced when the new one is whole.

    Raises
    ------
    ImportError
        If zarr is not installed.
    ValueError
        If the path is a file, or a folder with other files, which would be lost.
    OSError
        If the store cannot be written.
    """
    try:
        import zarr  # noqa: F401 (used by xarray)
    except ImportError:
        raise ImportError("to_zarr needs zarr: install resmc[zarr]") from None
    path = Path(path)
    check_zarr(path)
    temporary = path.with_name(temporary_name())
    try:
        data.to_zarr(temporary, mode="w", zarr_format=2)
        if path.exists():
            path.rename(old := path.with_name(temporary_name()))
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
    except OSError as error:
        raise OSError(f"path={str(path)!r} cannot be written: {os.strerror(error.errno or 5)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_zarr(path: Path) -> None:
    """Refuse a file, and a folder with other files than a Zarr store's, because `to_zarr` replaces what is there."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"path={str(path)!r} is not allowed: it is a file")
    if path.is_dir() and any(path.iterdir()) and not any((path / name).is_file() for name in (".zgroup", "zarr.json")):
        raise ValueError(f"path={str(path)!r} is not allowed: it is a folder with other files in it")
