"""A sweep as a labelled data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analyses.log_gaussian import LogGaussianFit
from ..results.estimates import KSDistance
from .plan import AXES
from .quantities import QUANTITIES

if TYPE_CHECKING:
    import xarray

    from .result import SweepResult

Distance = Callable[[LogGaussianFit], KSDistance]
DISTANCES: dict[str, Distance] = {  # Kolmogorov-Smirnov distances to the fitted Gaussian and to limit laws
    "ks_fitted": lambda fit: fit.ks_fitted,
    "ks_log_gaussian_limit": lambda fit: fit.ks_theory,
    "ks_infinite_width": lambda fit: fit.ks_gaussian_limit,
    "ks_output_log_gaussian": lambda fit: fit.output.ks_log_gaussian,
    "ks_output_infinite_width": lambda fit: fit.output.ks_gaussian,
}
ENDINGS = {
    "_stderr": "standard error of the",
    "_theory": "limit at leading order in 1/n of the",
    "_exact": "exact value, where it is known, of the",
    "_noise_floor": "what sampling noise alone would make of the",
    "_reliable": "whether rare networks leave an error to the",
}
LONG_NAMES = {
    "log_norm_mean": "mean of log(|z_d|^2/n)",
    "log_norm_variance": "variance of log(|z_d|^2/n)",
    "log_norm_skewness": "skewness of log(|z_d|^2/n)",
    "log_norm_excess_kurtosis": "excess kurtosis of log(|z_d|^2/n)",
    "asymmetry": "mean activation asymmetry 2 |phi(z_d)|^2/|z_d|^2 - 1",
    "active_fraction": "mean fraction of active neurons at the last layer",
    "log_second_moment": "growth log E|z_d|^2/|z_0|^2",
    "over_target": "standard error over its target",
    "networks": "independent networks",
    "inactive": "living networks without an active neuron at the last layer",
    "dead": "networks with z_d = 0",
    "seed": "seed of the point",
    "ks_fitted": "KS distance of log(|z_d|^2/n) to the Gaussian of its own mean and variance",
    "ks_log_gaussian_limit": "KS distance of log(|z_d|^2/n) to the log-Gaussian limit",
    "ks_infinite_width": "KS distance of log(|z_d|^2/n) to infinite width",
    "ks_output_log_gaussian": "KS distance of an output neuron to the log-Gaussian limit",
    "ks_output_infinite_width": "KS distance of an output neuron to infinite width",
    "point": "place in the list of models",
    "width": "width n",
    "depth": "depth d",
    "ratio": "ratio d/n",
    "ratio_rounded": "ratio d/n with the depth rounded to an integer",
    "alpha": "skip coefficient",
    "lam": "residual coefficient",
    "variant": "variant of the network",
    "n_out": "output neurons",
    "input_norm": "norm of the input, |x|/sqrt(n_in)",
}


def to_xarray(result: SweepResult, *, laws: bool = False) -> xarray.Dataset:
    """Make a data set of every quantity of the last layer, over the dimensions of the plan.

    A quantity ``q`` gives four variables: ``q``, ``q_stderr``, ``q_theory`` (the limit at leading order in 1/n) and
    ``q_exact`` (NaN where it is not known). Other variables are ``networks``, ``seed``, ``inactive`` and ``dead``
    (networks at the last layer), ``log_second_moment_reliable``, and with targets ``over_target``
    (`SweepResult.over_target`). All fields of the models are coordinates. Where ``ratio`` is a dimension, it holds the
    values of the plan, and ``ratio_rounded`` is depth / width. Every variable has a ``long_name``. ``laws`` adds the
    Kolmogorov-Smirnov distances of `Simulation.log_gaussian_fit`, with ``_stderr`` and ``_noise_floor``; they take
    another look at every shard, about a tenth of a second for a point.

    Raises
    ------
    ImportError
        If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: install resmc[xarray]") from None
    plan, dims, shape = result.plan, result.plan.dims, result.plan.shape
    variables: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name, quantity in QUANTITIES.items():
        estimate = result.estimates[name]
        variables[quantity.variable] = (dims, estimate.value)
        variables[f"{quantity.variable}_stderr"] = (dims, estimate.stderr)
        variables[f"{quantity.variable}_theory"] = (dims, result.limits[name])
        variables[f"{quantity.variable}_exact"] = (dims, result.exact[name])
    variables["log_second_moment_reliable"] = (dims, np.isfinite(result.estimates["growth"].stderr))
    if plan.target_stderr:
        variables["over_target"] = (dims, result.over_target)
    variables["networks"] = (dims, result.networks)
    variables["inactive"] = (dims, result.inactive)
    variables["dead"] = (dims, result.dead)
    variables["seed"] = (dims, np.array(plan.seeds, np.uint64).reshape(shape))
    if laws:
        variables |= _distances(result)

    coordinates: dict[str, Any] = {} if not plan.listed else {"point": np.arange(len(plan.models))}
    for name in AXES:
        if name in dims:
            coordinates[name] = np.array(getattr(plan, name))
            continue
        values = np.array([getattr(model, name) for model in plan.models])
        varies = plan.listed or (name in ("depth", "ratio") and len(set(values.tolist())) > 1)
        coordinates[name] = (dims, values.reshape(shape)) if varies else values[0]
    if "ratio" in dims:
        variables["ratio_rounded"] = (dims, np.array(plan.ratios).reshape(shape))
    data = xarray.Dataset(
        variables,
        coords=coordinates,
        attrs={
            "title": "random residual networks at initialisation, by Monte Carlo",
            "source": f"resmc {metadata.version('resmc')}",
            "numerics": " ".join(result.numerics),
            "complete": int(result.complete),
            "plan": json.dumps(plan.to_dict()),
        },
    )
    for variable in data.variables:
        data[variable].attrs["long_name"] = _long_name(str(variable))
    return data


def _long_name(variable: str) -> str:
    """Describe a variable in words."""
    for ending, words in ENDINGS.items():
        if variable.endswith(ending):
            return f"{words} {LONG_NAMES[variable.removesuffix(ending)]}"
    return LONG_NAMES[variable]


def _distances(result: SweepResult) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Compute the `DISTANCES` from the histograms of one point at a time."""
    columns: dict[str, list[float]] = {
        f"{name}{suffix}": [] for name in DISTANCES for suffix in ("", "_stderr", "_noise_floor")
    }
    for index in range(len(result.plan.models)):
        fit = result.load(index).log_gaussian_fit() if result.networks.flat[index] else None
        for name, distance in DISTANCES.items():
            found = None if fit is None else distance(fit)
            columns[name].append(np.nan if found is None else float(found.value))
            columns[f"{name}_stderr"].append(np.nan if found is None else float(found.stderr))
            columns[f"{name}_noise_floor"].append(np.nan if found is None else found.noise_floor)
    plan = result.plan
    return {name: (plan.dims, np.array(values).reshape(plan.shape)) for name, values in columns.items()}
