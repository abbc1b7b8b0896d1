"""Quantities that a sweep estimates at a point's last layer, each with its limit and, if known, its exact value.

All points are estimated at once: an entry of a `LayerSums`, elsewhere a layer, is here the last layer of a point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import theory
from ..engine.lowering import lower
from ..engine.sums import ActivitySums, LayerSums
from ..models.resnet import ResNet
from ..results import layer_estimates as by_entry
from ..results.estimates import Estimate, Floats
from ..results.layer_estimates import SecondMoment
from ..theory.facts import Facts

NAN = float("nan")


@dataclass(frozen=True)
class LastLayers:
    """The last layers of several models: ``sums`` has an entry for each of ``models``."""

    sums: LayerSums
    models: Sequence[ResNet]

    @cached_property
    def offsets(self) -> Floats:
        """Offsets to add to the log-norms in ``sums``, since the kernels leave constant factors of a model out."""
        return np.array([lower(m).offsets(np.array([m.depth]))[0] for m in self.models])

    @cached_property
    def widths(self) -> NDArray[np.int64]:
        """Widths of the models."""
        return np.array([m.width for m in self.models], np.int64)

    @property
    def activity(self) -> ActivitySums:
        """Sums of A and of active counts; sums of no network if no model has an A."""
        return self.sums.activity or ActivitySums.of_none(len(self.models))

    @cached_property
    def second_moment(self) -> SecondMoment:
        """Growth, and the networks that it takes to be reliable."""
        lacking = np.array([m.depth * (m.log_scale + lower(m).rounding_correction) for m in self.models])
        return by_entry.log_second_moment(self.sums.norms, lacking)


@dataclass(frozen=True)
class Quantity:
    """A quantity of the last layer.

    ``variable`` is the quantity's name in a data set; ``limit`` gives its leading order in 1/n; ``exact`` its exact
    value, NaN where it is not known; ``least`` the number of networks below which it has no error.
    """

    variable: str
    estimate: Callable[[LastLayers], Estimate]
    limit: Callable[[ResNet], float]
    exact: Callable[[Facts], float]
    least: Callable[[LastLayers], Floats] | None = None


def _exact_moment(name: str) -> Callable[[Facts], float]:
    def exact(facts: Facts) -> float:
        known = facts.log_norm(np.array([facts.model.depth]))
        return NAN if known is None else float(getattr(known, name)[0])

    return exact


QUANTITIES: dict[str, Quantity] = {
    "log_norm.mean": Quantity(
        "log_norm_mean",
        lambda e: by_entry.log_norm_mean(e.sums.norms, e.offsets),
        lambda m: float(theory.log_norm(m, [m.depth]).mean[0]),
        _exact_moment("mean"),
    ),
    "log_norm.variance": Quantity(
        "log_norm_variance",
        lambda e: by_entry.log_norm_variance(e.sums.norms),
        lambda m: float(theory.log_norm(m, [m.depth]).variance[0]),
        _exact_moment("variance"),
    ),
    "log_norm.skewness": Quantity(
        "log_norm_skewness",
        lambda e: by_entry.log_norm_skewness(e.sums.norms),
        lambda m: 0.0,
        _exact_moment("skewness"),
    ),
    "log_norm.excess_kurtosis": Quantity(
        "log_norm_excess_kurtosis",
        lambda e: by_entry.log_norm_excess_kurtosis(e.sums.norms),
        lambda m: 0.0,
        _exact_moment("excess_kurtosis"),
    ),
    "asymmetry": Quantity(
        "asymmetry",
        lambda e: by_entry.asymmetry_mean(e.activity),
        lambda m: float(theory.hypoactivation(m, [m.depth]).asymmetry[0]),
        lambda f: float(f.asymmetry(np.array([f.model.depth]))[0]),
    ),
    "active_fraction": Quantity(
        "active_fraction",
        lambda e: by_entry.active_fraction(e.activity, e.widths),
        lambda m: float(theory.hypoactivation(m, [m.depth]).active_fraction[0]),
        lambda f: float(f.active_fraction(np.array([f.model.depth]))[0]),
    ),
    "growth": Quantity(
        "log_second_moment",
        lambda e: e.second_moment.estimate,
        lambda m: float(theory.variance_growth(m, [m.depth])[0]),
        lambda f: float(f.growth(np.array([f.model.depth]))[0]),
        lambda e: e.second_moment.least,
    ),
}
