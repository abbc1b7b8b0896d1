"""Estimates by name: `estimate` returns every observable of a record, whether sums or an analysis give it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

from .._system import checks
from ..results.estimates import Estimate
from ..results.observables import OBSERVABLES
from ..results.record import Record
from . import interlayer, log_gaussian

ANALYSES: dict[str, Callable[[Record], Any]] = {
    "log_gaussian_fit": log_gaussian.fit,
    "interlayer_correlations": interlayer.analyse,
}


def estimate(sim: Record, name: str) -> Estimate:
    """Return a quantity of ``sim`` by its name in `resmc.results.observables`: by layer, by lag, or one number.

    Raises
    ------
    ValueError
        If there is no such quantity, or correlations were not recorded.
    """
    return estimates(sim, [checks.choice("name", name, sim.observables)])[name]


def estimates(sim: Record, names: Iterable[str]) -> dict[str, Estimate]:
    """Return several quantities by name; an analysis that gives more than one of them is made once."""
    analyses: dict[str, Any] = {}
    out = {}
    for name in names:
        analysis, _, path = OBSERVABLES[name].analysis.partition(".")
        if not analysis:
            out[name] = sim.estimate(name)
            continue
        if analysis not in analyses:
            analyses[analysis] = ANALYSES[analysis](sim)
        out[name] = reduce(getattr, path.split("."), analyses[analysis])
    return out
