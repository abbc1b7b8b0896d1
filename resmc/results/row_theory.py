"""Theory beside the rows of `resmc.results.observables`: functions of facts and layers, which the rows are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .. import theory
from ..engine.lowering import BACKWARD
from ..theory.lags import lags_of
from .entries import Integers
from .estimates import Floats
from .observable import Neutral, Theory, unknown

if TYPE_CHECKING:
    from ..models.resnet import ResNet
    from ..theory.facts import Facts

ZERO = Neutral(lambda facts: 0.0, "0")
UNSCALED: Callable[[ResNet], tuple[float, float]] = lambda model: (1.0, 0.0)  # noqa: E731
WITHOUT_SCALE = "without depth log(alpha^2 + lam^2)"


def moment(name: str) -> Theory:
    """Return the exact moment of the log-norm."""
    return lambda facts, layers: facts.log_norm_moment(name, layers)


def limit_moment(name: str, order: int = 1) -> Theory:
    """Return the mean or variance of the log-Gaussian limit, with the next order in 1/n for ``order`` = 2."""

    def limit(facts: Facts, layers: Integers) -> Floats:
        found = facts.log_norm_limit(layers, order)
        return unknown(facts, layers) if found is None else np.asarray(getattr(found, name), np.float64)

    return limit


def zero_if_log_gaussian(facts: Facts, layers: Integers) -> Floats:
    """Return 0 where there is a log-Gaussian limit."""
    return np.full(layers.shape, np.nan if facts.log_gaussian is None else 0.0)


def activation_limit(name: str, order: int = 1) -> Theory:
    """Return the limit of E A_l or E F_l, with the next order in 1/n for ``order`` = 2."""

    def limit(facts: Facts, layers: Integers) -> Floats:
        found = facts.hypoactivation_limit(layers, order)
        return unknown(facts, layers) if found is None else np.asarray(getattr(found, name), np.float64)

    return limit


def correlation(facts: Facts, layers: Integers) -> Floats:
    """Return the exact correlation of A at each distance of two ``layers``."""
    lags, known = lags_of(layers)[0], facts.correlation
    return unknown(facts, lags) if known is None else np.where(lags == 0, 1.0, known)  # a layer with itself


def scale_alone(facts: Facts) -> float:
    """Return d log(alpha^2 + lam^2), which is all of the growth at infinite width."""
    return np.nan if facts.log_gaussian is None else facts.log_gaussian.depth * facts.log_gaussian.log_scale


def minus_scale(model: ResNet) -> tuple[float, float]:
    """Return the factor and the shift of what is without d log(alpha^2 + lam^2)."""
    return 1.0, model.depth * model.log_scale


def at_infinity(name: str) -> Callable[[ResNet], float]:
    """Return the limit as n and d grow with d/n fixed."""
    return lambda model: float(getattr(theory.infinite_depth_and_width(model), name))


def final(name: str, moment: str) -> Theory:
    """Return the limit in depth of a moment of a quotient's logarithm, at the quotient's end."""

    def limit(facts: Facts, layers: Integers) -> Floats:
        law = facts.final_limit(name)
        end = 0 if name in BACKWARD else facts.model.depth
        return np.where(layers == end, np.nan if law is None else getattr(law, moment), np.nan)

    return limit


def exact_median(name: str) -> Theory:
    """Return the exact median of a quotient's logarithm, at the quotient's end."""

    def exact(facts: Facts, layers: Integers) -> Floats:
        end = 0 if name in BACKWARD else facts.model.depth
        at_end = layers == end
        return np.where(at_end, facts.final_quantile(name, 0.5) if at_end.any() else np.nan, np.nan)

    return exact
