"""Estimates of a simulation by name: every quantity of `resmc.results.observables`, from whichever analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate
from ..results.observable import Predictions
from ..results.observables import OBSERVABLES
from ..results.record import Record
from ..theory.lags import lags_of
from . import exact_comparison, interlayer, log_gaussian

ANALYSES: dict[str, Callable[[Record], Any]] = {
    "log_gaussian_fit": log_gaussian.fit,
    "interlayer_correlations": interlayer.average,
    "exact_growth": partial(exact_comparison.compare, name="growth"),
    "exact_gradient": partial(exact_comparison.compare, name="gradient"),
}


def estimate(sim: Record, name: str) -> Estimate:
    """Return a quantity by its name, any of ``sim.observables``.

    Returns
    -------
    Estimate
        By recorded layer, or by distance between recorded layers (from 0) for "interlayer.lag1"; else one number: a
        median of a final value, or a distance between laws.

    Raises
    ------
    ValueError
        If there is no such quantity here, the message naming those that there are; or if correlations were not summed.
    """
    return estimates(sim, [name])[name]


def estimates(sim: Record, names: Iterable[str]) -> dict[str, Estimate]:
    """Return several quantities by name, as `estimate` does; an analysis behind several of them is made once."""
    there = sim.observables
    made: dict[str, Any] = {}
    out: dict[str, Estimate] = {}
    for name in names:
        one = OBSERVABLES[checks.choice("name", name, there)]
        if not one.analysis:
            out[name] = sim.estimate(name)
            continue
        analysis, *path = one.analysis.split(".")
        if analysis not in made:
            made[analysis] = ANALYSES[analysis](sim)
        out[name] = share_networks(reduce(getattr, path, made[analysis]), sim.drawn)
    return out


def predictions(sim: Record, name: str) -> Predictions:
    """Return the theory beside the entries of `estimate`: exact values, limits, and these with the next order in 1/n.

    Raises
    ------
    ValueError
        If there is no such quantity here.
    """
    one = OBSERVABLES[checks.choice("name", name, sim.observables)]
    if one.per in ("layer", "lag"):
        return one.predictions(sim.facts, sim.layers)
    return one.predictions(sim.facts, np.array([one.end(sim.model.depth)]))[0]


def places(sim: Record, name: str) -> NDArray[np.int64]:
    """Return the layers or the distances of layers that the entries of `estimate` belong to; for one number its layer.

    Raises
    ------
    ValueError
        If there is no such quantity here.
    """
    one = OBSERVABLES[checks.choice("name", name, sim.observables)]
    if one.per == "layer":
        return sim.layers
    if one.per == "lag":
        return lags_of(sim.layers)[0]
    return np.array([one.end(sim.model.depth)])
