"""Every quantity that resmc estimates, in one table.

Summaries, sweeps, data sets, plots, pages, JSON, extrapolations and the command line read `OBSERVABLES`; to add a
quantity is to add a row. In formulas L_l = log(|h_l|^2/n), A_l is the activation asymmetry, and F_l the fraction of
active neurons. Texts leave {v} for the letter of the state (z for a `ResNet`, h for others), {l} for the layer and {d}
for the depth, which has no letter of its own beside the log-norm's. Rows that come in families have files of their own,
`quotient_rows` and `distance_rows`; what stands in the rows as theory is made in `row_theory`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import theory
from ..engine.lowering import MEAN_SQUARE, QUOTIENTS, Lowered
from . import layer_estimates as by_entry
from . import reliability
from .distance_rows import DISTANCES, EXACT_DISTANCES
from .observable import Neutral, Observable, Scaled
from .quotient_rows import quotient
from .row_theory import (
    UNSCALED,
    WITHOUT_SCALE,
    ZERO,
    activation_limit,
    at_infinity,
    correlation,
    limit_moment,
    minus_scale,
    moment,
    scale_alone,
    zero_if_log_gaussian,
)


def _has_asymmetry(lowered: Lowered, followed: frozenset[str]) -> bool:
    return lowered.has_asymmetry


def _mean_square_exists(lowered: Lowered, followed: frozenset[str]) -> bool:
    return not lowered.follows_mean_square or MEAN_SQUARE in followed


LOG_NORM = (
    Observable(
        "log_norm.mean",
        "log_norm_mean",
        "mean L_{l}",
        r"$\mathrm{E}\,L_{l}$",
        "mean of the log-norm log(|{v}_{l}|^2/n)",
        "norms",
        lambda e: by_entry.log_norm_mean(e.norms, e.offsets),
        exact=moment("mean"),
        limit=limit_moment("mean"),
        second_order=limit_moment("mean", 2),
        rows=(0, -1),
        headline=True,
        question="Where is the log-norm centred?",
        scaled=Scaled(r"$\mathrm{E}\,L_d$", WITHOUT_SCALE, minus_scale, at_infinity("log_norm_mean")),
    ),
    Observable(
        "log_norm.variance",
        "log_norm_variance",
        "variance L_{l}",
        r"$\mathrm{Var}\,L_{l}$",
        "variance of the log-norm log(|{v}_{l}|^2/n)",
        "norms",
        lambda e: by_entry.log_norm_variance(e.norms, e.least(reliability.VARIANCE)),
        least=lambda e: e.networks_for(reliability.VARIANCE, e.norms),
        exact=moment("variance"),
        limit=limit_moment("variance"),
        second_order=limit_moment("variance", 2),
        rows=(0, -1),
        headline=True,
        question="How wide is the log-norm's law?",
        scaled=Scaled(r"$\mathrm{Var}\,L_d$", "", UNSCALED, at_infinity("log_norm_variance")),
    ),
    Observable(
        "log_norm.skewness",
        "log_norm_skewness",
        "skewness L_{l}",
        "skewness of $L_{l}$",
        "skewness of the log-norm log(|{v}_{l}|^2/n)",
        "norms",
        lambda e: by_entry.log_norm_skewness(e.norms, e.least(reliability.SKEWNESS)),
        least=lambda e: e.networks_for(reliability.SKEWNESS, e.norms),
        exact=moment("skewness"),
        limit=zero_if_log_gaussian,
        question="Is the log-norm's law symmetric?",
        neutral=ZERO,
        scaled=Scaled("skewness of $L_d$", "", UNSCALED, lambda model: 0.0),
    ),
    Observable(
        "log_norm.excess_kurtosis",
        "log_norm_excess_kurtosis",
        "excess kurtosis L_{l}",
        "excess kurtosis of $L_{l}$",
        "excess kurtosis of the log-norm log(|{v}_{l}|^2/n)",
        "norms",
        lambda e: by_entry.log_norm_excess_kurtosis(e.norms, e.least(reliability.KURTOSIS)),
        least=lambda e: e.networks_for(reliability.KURTOSIS, e.norms),
        exact=moment("excess_kurtosis"),
        limit=zero_if_log_gaussian,
        question="Are its tails those of a Gaussian?",
        neutral=ZERO,
        scaled=Scaled("excess kurtosis of $L_d$", "", UNSCALED, lambda model: 0.0),
    ),
)

MEAN_SQUARES = (
    Observable(
        "growth",
        "log_second_moment",
        "log E|{v}_{l}|^2/|{v}_0|^2",
        r"$\log\,\mathrm{E}|{v}_{l}|^2/|{v}_0|^2$",
        "growth log E|{v}_{l}|^2/|{v}_0|^2",
        "norms",
        lambda e: e.growth.estimate,
        exact=lambda facts, layers: facts.growth(layers),
        limit=lambda facts, layers: facts.growth_limit(layers),
        second_order=lambda facts, layers: facts.growth_limit(layers, 2),
        headline=True,
        question="How does the output variance grow?",
        neutral=Neutral(scale_alone, "its value at infinite width"),
        scaled=Scaled(
            r"$\log\,\mathrm{E}|z_d|^2/|z_0|^2$", WITHOUT_SCALE, minus_scale, at_infinity("log_second_moment")
        ),
        least=lambda e: e.growth.least,
        rare=True,
    ),
    Observable(
        "mean_square",
        "log_mean_square",
        "log E|{v}_{l}|^2/n",
        r"$\log\,\mathrm{E}|{v}_{l}|^2/n$",
        "logarithm of the mean square, log E|{v}_{l}|^2/n",
        "mean_square",
        lambda e: e.mean_square.estimate,
        exact=lambda facts, layers: facts.mean_square(layers),
        limit=lambda facts, layers: facts.growth_limit(layers) + 2.0 * np.log(facts.model.inputs.size),
        second_order=lambda facts, layers: facts.growth_limit(layers, 2) + 2.0 * np.log(facts.model.inputs.size),
        exists=_mean_square_exists,
        question="How large is a layer?",
        least=lambda e: e.mean_square.least,
        rare=True,
    ),
)

ACTIVITY = (
    Observable(
        "asymmetry",
        "asymmetry",
        "E A_{l}",
        r"$\mathrm{E}\,A_{l}$",
        "mean activation asymmetry 2 |phi({v}_{l})|^2/|{v}_{l}|^2 - 1",
        "activity",
        lambda e: by_entry.asymmetry_mean(e.activity, e.widths),
        exact=lambda facts, layers: facts.asymmetry(layers),
        limit=activation_limit("asymmetry"),
        second_order=activation_limit("asymmetry", 2),
        exists=_has_asymmetry,
        rows=(0, -1),
        headline=True,
        question="Does activation favour one sign?",
        neutral=ZERO,
        scaled=Scaled(
            r"$n\,\mathrm{E}\,A_d$",
            "n E[A_d]",
            lambda model: (float(model.width), 0.0),
            at_infinity("scaled_asymmetry"),
        ),
    ),
    Observable(
        "asymmetry.variance",
        "asymmetry_variance",
        "variance A_{l}",
        r"$\mathrm{Var}\,A_{l}$",
        "variance of the activation asymmetry 2 |phi({v}_{l})|^2/|{v}_{l}|^2 - 1",
        "activity",
        lambda e: by_entry.asymmetry_variance(e.activity),
        exact=lambda facts, layers: facts.asymmetry_variance(layers),
        exists=_has_asymmetry,
        rows=(0,),
    ),
    Observable(
        "active_fraction",
        "active_fraction",
        "E F_{l}",
        r"$\mathrm{E}\,F_{l}$",
        "mean fraction of active neurons",
        "activity",
        lambda e: by_entry.active_fraction(e.activity, e.widths, e.largest_widths),
        exact=lambda facts, layers: facts.active_fraction(layers),
        limit=activation_limit("active_fraction"),
        second_order=activation_limit("active_fraction", 2),
        exists=_has_asymmetry,
        rows=(0, -1),
        headline=True,
        question="Do fewer than half of the ReLUs fire?",
        neutral=Neutral(lambda facts: 0.5, "one half"),
        scaled=Scaled(
            r"$n\,(\mathrm{E}\,F_d - 1/2)$",
            "n (E[F_d] - 1/2)",
            lambda model: (float(model.width), 0.5),
            at_infinity("scaled_active_fraction"),
        ),
    ),
    Observable(
        "inactive_fraction",
        "inactive_fraction",
        "P(inactive at {l})",
        r"$\mathrm{P}(\phi({v}_{l}) = 0)$",
        "fraction of the living networks that have no active neuron",
        "activity",
        lambda e: by_entry.inactive_fraction(e.activity),
        exact=lambda facts, layers: facts.inactive_fraction(layers),
        exists=_has_asymmetry,
    ),
)

DEATHS = (
    Observable(
        "dead_fraction",
        "dead_fraction",
        "P({v}_{l} = 0)",
        r"$\mathrm{P}({v}_{l} = 0)$",
        "fraction of the networks that are dead, {v}_{l} = 0",
        "norms",
        lambda e: by_entry.dead_fraction(e.norms),
        exact=lambda facts, layers: facts.dead_fraction(layers),
    ),
)

CORRELATIONS = (
    Observable(
        "interlayer.lag1",
        "asymmetry_correlation_by_lag",
        "Corr A, lag {l}",
        r"$\mathrm{Corr}(A_\ell, A_{\ell+1})$",
        "correlation of the asymmetries of two layers by their distance",
        "products",
        per="lag",
        limit=lambda facts, layers: facts.correlation_by_lag(layers),
        second_order=lambda facts, layers: facts.correlation_by_lag(layers, 2),
        exact=correlation,
        exists=lambda lowered, followed: lowered.log_gaussian is not None and lowered.has_asymmetry,
        scaled=Scaled(
            r"$\mathrm{Corr}(A_\ell, A_{\ell+1})$",
            "",
            UNSCALED,
            lambda model: float(theory.interlayer_correlation(model, [1])[0]),
        ),
        analysis="interlayer_correlations.by_lag",
        least=lambda e: e.networks_for(reliability.CORRELATION, e.norms),
    ),
)

ALL = (
    *LOG_NORM,
    *MEAN_SQUARES,
    *ACTIVITY,
    *DEATHS,
    *CORRELATIONS,
    *DISTANCES,
    *EXACT_DISTANCES,
    *(one for name in QUOTIENTS for one in quotient(name)),
)
OBSERVABLES: dict[str, Observable] = {one.name: one for one in ALL}
SWEPT: dict[str, Observable] = {one.name: one for one in ALL if one.in_sweeps}


def existing(lowered: Lowered, followed: Iterable[str]) -> dict[str, Observable]:
    """Return, by name, the observables of a network of which these quotients were followed."""
    names = frozenset(followed)
    return {name: one for name, one in OBSERVABLES.items() if one.exists(lowered, names)}
