"""A simulation as a labelled data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .. import theory
from .._system.plain import Plain
from ..results.estimates import Estimate
from ..results.record import Record
from . import growth as growths
from . import hypoactivation, interlayer, log_ratio

if TYPE_CHECKING:
    import xarray


LAYER = ("layer",)


def to_xarray(sim: Record) -> xarray.Dataset:
    """Return every estimate by layer with ``_stderr``, and for a `ResNet` its theory; attributes hold model and run.

    The dimensions are ``layer`` (recorded layers) and ``bin``, and where correlations were kept ``lag`` and ``layer2``
    (the recorded layers once more, for matrices).

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: install resmc[xarray]") from None
    variables: dict[str, tuple[tuple[str, ...], object]] = {}
    edges = sim.histogram.edges
    coordinates: dict[str, object] = {
        "layer": sim.layers,
        "ratio": ("layer", sim.layers / sim.model.width),
        "bin": 0.5 * (edges[:-1] + edges[1:]),
    }

    def put(name: str, dims: tuple[str, ...], estimate: Estimate) -> None:
        variables[name] = (dims, estimate.value)
        variables[f"{name}_stderr"] = (dims, estimate.stderr)

    put("log_norm_mean", LAYER, sim.log_norm_mean)
    put("log_norm_variance", LAYER, sim.log_norm_variance)
    put("log_norm_skewness", LAYER, sim.log_norm_skewness)
    put("log_norm_excess_kurtosis", LAYER, sim.log_norm_excess_kurtosis)
    variables["alive"] = (LAYER, sim.alive)
    variables["dead"] = (LAYER, sim.dead)
    variables["histogram"] = (("bin",), sim.histogram.counts)
    for name in sim.laws:
        found = log_ratio.analyse(sim, name)
        put(f"log_{name}_mean", LAYER, found.mean)
        put(f"log_{name}_variance", LAYER, found.variance)
        put(f"log_{name}_second_moment", LAYER, found.log_second_moment)
    if sim.has_asymmetry:
        put("asymmetry", LAYER, sim.asymmetry_mean)
        put("active_fraction", LAYER, sim.active_fraction)
        variables["inactive"] = (LAYER, sim.inactive)
    if sim.lowered.log_gaussian is not None:
        _put_theory(sim, put, variables, coordinates)
    return xarray.Dataset(
        variables,
        coords=coordinates,
        attrs={
            **_plain(sim.model.to_dict()),
            "method": sim.method,
            "seed": np.uint64(sim.seed),
            "networks": sim.networks,
            "numerics": " ".join(sim.numerics),
        },
    )


def _put_theory(sim: Record, put: Callable[..., None], variables: Plain, coordinates: dict[str, object]) -> None:
    """Put the limits of ResNets, and the estimates that only ResNets have, among the variables."""
    hypo, growth = hypoactivation.analyse(sim), growths.analyse(sim)
    put("log_second_moment", LAYER, growth.log_second_moment)
    limit = theory.log_norm(sim.resnet, sim.layers)
    variables |= {
        "log_norm_mean_theory": (LAYER, limit.mean),
        "log_norm_variance_theory": (LAYER, limit.variance),
        "asymmetry_theory": (LAYER, hypo.theory.asymmetry),
        "active_fraction_theory": (LAYER, hypo.theory.active_fraction),
        "log_second_moment_theory": (LAYER, growth.theory),
        "log_second_moment_reliable": (LAYER, growth.reliable),
    }
    if sim.correlations:
        inter = interlayer.analyse(sim)
        put("asymmetry_correlation", ("layer", "layer2"), inter.matrix)
        put("asymmetry_correlation_by_lag", ("lag",), inter.by_lag)
        variables["asymmetry_correlation_by_lag_theory"] = (("lag",), inter.theory_by_lag)
        coordinates |= {"layer2": sim.layers, "lag": inter.lags}


def _plain(described: Plain) -> Plain:
    """Return a model's fields as values that a file's attributes may have: numbers, words and lists of numbers."""
    out: Plain = {}
    for name, value in described.items():
        if isinstance(value, dict):
            out |= {f"{name}_{part}": int(x) if isinstance(x, bool) else x for part, x in value.items()}
        elif value is not None:
            out[name] = value
    return out
