"""A simulation as a labelled data set or a data frame, and the schema that sweeps share.

An observable (`resmc.results.observables`) whose variable is ``q`` gives ``q``, ``q_stderr``, ``q_theory`` (its limit,
NaN where there is none) and ``q_exact`` (NaN where it is not known), where rare networks may rule it ``q_reliable``,
and where the next order in 1/n is known ``q_second_order``, the limit with it; a distance between laws gives ``q``,
``q_stderr``, ``q_noise_floor`` and ``q_resolution``. Every variable has a ``long_name`` and ``units`` ("1": all
quantities are pure numbers, logarithms natural), those of an observable its name as ``observable`` and their limit's
kind as ``limit``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.plain import Plain
from ..results.estimates import Estimate, KSDistance
from ..results.observable import SECOND_ORDER, SENTENCES, Observable, Predictions
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..tables.frames import frame
from . import interlayer, joint_export
from .found import estimates, predictions

if TYPE_CHECKING:
    import pandas
    import xarray

Dims = tuple[str, ...]
LAYER = ("layer",)
TITLE = "random residual networks at initialisation, by Monte Carlo"


@dataclass(frozen=True)
class Variable:
    """A variable of a data set: dimensions, values and attributes."""

    dims: Dims
    values: Any
    long_name: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> tuple[Dims, Any, dict[str, str]]:
        """Return what xarray makes a variable of."""
        return self.dims, self.values, {"long_name": self.long_name, "units": "1", **self.attributes}


def variables(one: Observable, dims: Dims, found: Estimate, known: Predictions) -> Iterator[tuple[str, Variable]]:
    """Yield the variables of an observable by name: estimates of some shape, and the theory beside them."""
    name, words, own = one.variable, one.long_name, {"observable": one.name}
    yield name, Variable(dims, found.value, words, own)
    yield f"{name}_stderr", Variable(dims, found.stderr, f"standard error of the {words}", own)
    kind = {**own, "limit": one.limit_kind}
    yield f"{name}_theory", Variable(dims, known.limit, f"{SENTENCES[one.limit_kind]} of the {words}", kind)
    if np.isfinite(known.second_order).any():
        yield f"{name}_second_order", Variable(dims, known.second_order, f"{SECOND_ORDER} of the {words}", kind)
    yield f"{name}_exact", Variable(dims, known.exact, f"exact value, where it is known, of the {words}", own)
    if one.least is not None:
        words = f"true where there are networks enough for an error of the {words}"
        yield f"{name}_reliable", Variable(dims, np.isfinite(found.stderr), words, own)


def distance_variables(
    one: Observable, dims: Dims, value: Any, stderr: Any, noise_floor: Any, resolution: Any
) -> Iterator[tuple[str, Variable]]:
    """Yield the variables of a distance between laws by name."""
    name, words, own = one.variable, one.long_name, {"observable": one.name}
    yield name, Variable(dims, value, words, own)
    yield f"{name}_stderr", Variable(dims, stderr, f"standard error of the {words}", own)
    yield f"{name}_noise_floor", Variable(dims, noise_floor, f"mean of the {words} by sampling noise alone", own)
    yield f"{name}_resolution", Variable(dims, resolution, f"most by which the {words} may be larger", own)


def to_xarray(sim: Record, *, laws: bool = False) -> xarray.Dataset:
    """Return every quantity with its error and theory; attributes hold model and run.

    The schema is that of `resmc.analyses.export`, which sweeps share. The dimensions are ``layer`` (recorded layers)
    and ``bin``, and where correlations were kept ``lag`` and ``layer2`` (the recorded layers once more, for matrices).
    Several inputs are ``input`` and ``input_``, tangents ``tangent``, and networks that were kept of these ``network``.
    Medians of final values have no dimension. ``laws`` adds the Kolmogorov-Smirnov distances of
    `Simulation.log_gaussian_fit`.

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    module = needed("to_xarray")
    found, coordinates = _collected(sim, laws)
    data: xarray.Dataset = module.Dataset(
        {name: one.data() for name, one in found.items()},
        coords={name: one.data() for name, one in coordinates.items()},
        attrs={
            "title": TITLE,
            "source": source(),
            **_plain(sim.model.to_dict()),
            "method": sim.method,
            "seed": np.uint64(sim.seed),
            "networks": sim.networks,
            "numerics": " ".join(sim.numerics),
        },
    )
    return data


def _collected(sim: Record, laws: bool) -> tuple[dict[str, Variable], dict[str, Variable]]:
    """Return the variables and the coordinates of `to_xarray`, by name."""
    found: dict[str, Variable] = {}
    edges = sim.histogram.edges
    coordinates = {
        "layer": Variable(LAYER, sim.layers, "layer l"),
        "ratio": Variable(LAYER, sim.model.aspects[sim.layers], "ratio l/n"),
        "bin": Variable(("bin",), 0.5 * (edges[:-1] + edges[1:]), "middle of a bin of the log-norm"),
    }
    for name in sim.observables:
        one = OBSERVABLES[name]
        if one.per == "layer":
            found |= variables(one, LAYER, sim.estimate(name), predictions(sim, name))
        elif one.per == "end":
            found |= variables(one, (), sim.estimate(name), predictions(sim, name))
        elif one.per == "lag" and sim.correlations:
            inter = interlayer.analyse(sim)
            lags = inter.lags
            found |= variables(one, ("lag",), inter.by_lag, predictions(sim, name))
            pairs, words = ("layer", "layer2"), "correlation of the asymmetries of two layers"
            found["asymmetry_correlation"] = Variable(pairs, inter.matrix.value, words)
            found["asymmetry_correlation_stderr"] = Variable(
                pairs, inter.matrix.stderr, f"standard error of the {words}"
            )
            coordinates["layer2"] = Variable(("layer2",), sim.layers, "the other layer")
            coordinates["lag"] = Variable(("lag",), lags, "distance of two layers")
    if laws:
        names = [name for name in sim.observables if OBSERVABLES[name].per == "run"]
        for name, e in estimates(sim, names).items():
            assert isinstance(e, KSDistance)
            found |= distance_variables(OBSERVABLES[name], (), e.value, e.stderr, e.noise_floor, e.resolution)
    found["alive"] = Variable(LAYER, sim.alive, "networks that are not dead")
    found["dead"] = Variable(LAYER, sim.dead, "networks that are dead")
    if sim.has_asymmetry:
        found["inactive"] = Variable(LAYER, sim.inactive, "living networks without an active neuron")
    found |= {name: Variable(*rest) for name, *rest in joint_export.variables(sim)}
    coordinates |= {name: Variable(*rest) for name, *rest in joint_export.coordinates(sim)}
    found["histogram"] = Variable(("bin",), sim.histogram.counts, "networks by the log-norm of the last layer")
    return found, coordinates


def to_dataframe(sim: Record) -> pandas.DataFrame:
    """Return a row for each recorded layer: all variables of `to_xarray` that have one number for each.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    found, coordinates = _collected(sim, laws=False)
    by_layer = {name: one.values for name, one in found.items() if one.dims == LAYER}
    return frame({"layer": sim.layers, **by_layer, "ratio": coordinates["ratio"].values})


def needed(call: str) -> Any:
    """Return the module xarray, which ``call`` needs."""
    try:
        import xarray
    except ImportError:
        raise ImportError(f"{call} needs xarray: install resmc[xarray]") from None
    return xarray


def source() -> str:
    """Name this version, for the attributes of a data set."""
    return f"resmc {metadata.version('resmc')}"


def _plain(described: Plain) -> Plain:
    """Return a model's fields as values that a file's attributes may have: numbers, words and lists of numbers."""
    out: Plain = {}
    for name, value in described.items():
        if isinstance(value, dict):
            out |= {f"{name}_{part}": int(x) if isinstance(x, bool) else x for part, x in value.items()}
        elif value is not None:
            out[name] = value
    return out
