"""A simulation as a labelled data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .estimates import Estimate

if TYPE_CHECKING:
    import xarray

    from .simulation import Simulation


def to_xarray(sim: Simulation) -> xarray.Dataset:
    """Every estimate by layer with ``_stderr`` and theory beside it; attributes hold the model and the run.

    Dimensions: ``layer`` (recorded layers), ``layer2`` (the same, for matrices), ``lag``, ``bin``;
    ``layer2`` and ``lag`` only where correlations were kept.

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: install resmc[xarray]") from None
    hypo, growth = sim.hypoactivation(), sim.variance_growth()
    variables: dict[str, tuple[tuple[str, ...], object]] = {}

    def put(name: str, dims: tuple[str, ...], estimate: Estimate) -> None:
        variables[name] = (dims, estimate.value)
        variables[f"{name}_stderr"] = (dims, estimate.stderr)

    layer = ("layer",)
    put("log_norm_mean", layer, sim.log_norm_mean)
    put("log_norm_variance", layer, sim.log_norm_variance)
    put("log_norm_skewness", layer, sim.log_norm_skewness)
    put("log_norm_excess_kurtosis", layer, sim.log_norm_excess_kurtosis)
    put("asymmetry", layer, hypo.asymmetry)
    put("active_fraction", layer, hypo.active_fraction)
    put("log_second_moment", layer, growth.log_second_moment)
    from . import theory

    limit = theory.log_norm(sim.model, sim.layers)
    variables |= {
        "log_norm_mean_theory": (layer, limit.mean),
        "log_norm_variance_theory": (layer, limit.variance),
        "asymmetry_theory": (layer, hypo.theory.asymmetry),
        "active_fraction_theory": (layer, hypo.theory.active_fraction),
        "log_second_moment_theory": (layer, growth.theory),
        "log_second_moment_reliable": (layer, growth.reliable),
        "alive": (layer, sim.alive),
        "inactive": (layer, sim.inactive),
        "dead": (layer, sim.dead),
        "histogram": (("bin",), sim.histogram.counts),
    }
    edges = sim.histogram.edges
    coordinates: dict[str, object] = {
        "layer": sim.layers,
        "ratio": (layer, growth.ratio),
        "bin": 0.5 * (edges[:-1] + edges[1:]),
    }
    if sim.correlations:
        inter = sim.interlayer_correlations()
        put("asymmetry_correlation", ("layer", "layer2"), inter.matrix)
        put("asymmetry_correlation_by_lag", ("lag",), inter.by_lag)
        variables["asymmetry_correlation_by_lag_theory"] = (("lag",), inter.theory_by_lag)
        coordinates |= {"layer2": sim.layers, "lag": inter.lags}
    return xarray.Dataset(
        variables,
        coords=coordinates,
        attrs={
            **sim.model.to_dict(),
            "method": sim.method,
            "seed": np.uint64(sim.seed),
            "networks": sim.networks,
            "numerics": " ".join(sim.numerics),
        },
    )
