"""Maps over H and beta as labelled data sets and data frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.plain import Plain
from ..analyses.export import TITLE, Variable, needed, source
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..results.estimates import Floats
from ..tables.frames import frame

if TYPE_CHECKING:
    import pandas
    import xarray

POINT, ROW = ("hurst", "beta"), ("hurst",)  # dimensions of what points have, and of what rows have
COORDINATES = {
    "hurst": "Hurst exponent H of the weights' noise across depth",
    "beta": "exponent of the scaling c L^-beta",
}


def dataset(
    hurst: Floats, beta: Floats, variables: Mapping[str, Variable], model: ResidualNetwork, attributes: Plain
) -> xarray.Dataset:
    """Return variables over H and beta as a data set, whose attributes name the network besides.

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    module, scaling = needed("to_xarray"), model.scaling
    assert isinstance(scaling, DepthScaling)
    places = {"hurst": hurst, "beta": beta}
    network: Plain = {"block": model.block, "activation": model.activation, "width": model.width, "depth": model.depth}
    network |= {"bias": model.bias, "c": scaling.c, "inside": int(scaling.inside)}
    data: xarray.Dataset = module.Dataset(
        {name: one.data() for name, one in variables.items()},
        coords={name: Variable((name,), places[name], words).data() for name, words in COORDINATES.items()},
        attrs={"title": TITLE, "source": source(), **network, **attributes},
    )
    return data


def points(hurst: Floats, beta: Floats, variables: Mapping[str, Variable]) -> pandas.DataFrame:
    """Return a row for each point: H, beta, and all variables of points and of their rows.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    shape = len(hurst), len(beta)
    columns: dict[str, Any] = {"hurst": np.repeat(hurst, shape[1]), "beta": np.tile(beta, shape[0])}
    for name, one in variables.items():
        values = np.asarray(one.values)
        columns[name] = np.broadcast_to(values if values.ndim == 2 else values[:, None], shape).ravel()
    return frame(columns)
