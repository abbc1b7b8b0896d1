"""Every quantity that resmc estimates, in one table.

Summaries, sweeps, data sets, plots, pages, JSON, extrapolations and the command line read `OBSERVABLES`; to add a
quantity is to add a row. In formulas L_l = log(|h_l|^2/n), A_l is the activation asymmetry, and F_l the fraction of
active neurons. Texts leave {v} for the letter of the state (z for a `ResNet`, h for others), {l} for the layer and {d}
for the depth, which has no letter of its own beside the log-norm's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from .. import theory
from ..engine.lowering import BACKWARD, MEAN_SQUARE, QUOTIENTS, Lowered
from . import layer_estimates as by_entry
from . import reliability
from .entries import Entries, Integers
from .estimates import Floats
from .observable import IN_DEPTH, Neutral, Observable, Scaled, Theory, unknown

if TYPE_CHECKING:
    from ..models.resnet import ResNet
    from ..theory.facts import Facts


def _moment(name: str) -> Theory:
    return lambda facts, layers: facts.log_norm_moment(name, layers)


def _limit_moment(name: str, order: int = 1) -> Theory:
    def limit(facts: Facts, layers: Integers) -> Floats:
        found = facts.log_norm_limit(layers, order)
        return unknown(facts, layers) if found is None else np.asarray(getattr(found, name), np.float64)

    return limit


def _zero_if_log_gaussian(facts: Facts, layers: Integers) -> Floats:
    return np.full(layers.shape, np.nan if facts.log_gaussian is None else 0.0)


def _activation_limit(name: str, order: int = 1) -> Theory:
    def limit(facts: Facts, layers: Integers) -> Floats:
        found = facts.hypoactivation_limit(layers, order)
        return unknown(facts, layers) if found is None else np.asarray(getattr(found, name), np.float64)

    return limit


def _correlation(facts: Facts, lags: Integers) -> Floats:
    known = facts.correlation
    return unknown(facts, lags) if known is None else np.where(lags == 0, 1.0, known)  # a layer with itself


def _has_asymmetry(lowered: Lowered, followed: frozenset[str]) -> bool:
    return lowered.has_asymmetry


def _mean_square_exists(lowered: Lowered, followed: frozenset[str]) -> bool:
    return not lowered.follows_mean_square or MEAN_SQUARE in followed


def _scale_alone(facts: Facts) -> float:
    return np.nan if facts.log_gaussian is None else facts.log_gaussian.depth * facts.log_gaussian.log_scale


def _minus_scale(model: ResNet) -> tuple[float, float]:
    return 1.0, model.depth * model.log_scale


def _at_infinity(name: str) -> Callable[[ResNet], float]:
    return lambda model: float(getattr(theory.infinite_depth_and_width(model), name))


ZERO = Neutral(lambda facts: 0.0, "0")
UNSCALED: Callable[[ResNet], tuple[float, float]] = lambda model: (1.0, 0.0)  # noqa: E731
WITHOUT_SCALE = "without depth log(alpha^2 + lam^2)"

LOG_NORM = (
    Observable(
        "log_norm.mean",
        "log_norm_mean",
        "mean L_{l}",
        r"$\mathrm{E}\,L_{l}$",
        "mean of the log-norm log(|{v}_{l}|^2/n)",
        "norms",
        lambda e: by_entry.log_norm_mean(e.norms, e.offsets),
        exact=_moment("mean"),
        limit=_limit_moment("mean"),
        second_order=_limit_moment("mean", 2),
        rows=(0, -1),
        headline=True,
        question="Where is the log-norm centred?",
        scaled=Scaled(r"$\mathrm{E}\,L_d$", WITHOUT_SCALE, _minus_scale, _at_infinity("log_norm_mean")),
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
        exact=_moment("variance"),
        limit=_limit_moment("variance"),
        second_order=_limit_moment("variance", 2),
        rows=(0, -1),
        headline=True,
        question="How wide is the log-norm's law?",
        scaled=Scaled(r"$\mathrm{Var}\,L_d$", "", UNSCALED, _at_infinity("log_norm_variance")),
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
        exact=_moment("skewness"),
        limit=_zero_if_log_gaussian,
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
        exact=_moment("excess_kurtosis"),
        limit=_zero_if_log_gaussian,
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
        neutral=Neutral(_scale_alone, "its value at infinite width"),
        scaled=Scaled(
            r"$\log\,\mathrm{E}|z_d|^2/|z_0|^2$", WITHOUT_SCALE, _minus_scale, _at_infinity("log_second_moment")
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
        limit=_activation_limit("asymmetry"),
        second_order=_activation_limit("asymmetry", 2),
        exists=_has_asymmetry,
        rows=(0, -1),
        headline=True,
        question="Does activation favour one sign?",
        neutral=ZERO,
        scaled=Scaled(
            r"$n\,\mathrm{E}\,A_d$",
            "n E[A_d]",
            lambda model: (float(model.width), 0.0),
            _at_infinity("scaled_asymmetry"),
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
        lambda e: by_entry.active_fraction(e.activity, e.widths),
        exact=lambda facts, layers: facts.active_fraction(layers),
        limit=_activation_limit("active_fraction"),
        second_order=_activation_limit("active_fraction", 2),
        exists=_has_asymmetry,
        rows=(0, -1),
        headline=True,
        question="Do fewer than half of the ReLUs fire?",
        neutral=Neutral(lambda facts: 0.5, "one half"),
        scaled=Scaled(
            r"$n\,(\mathrm{E}\,F_d - 1/2)$",
            "n (E[F_d] - 1/2)",
            lambda model: (float(model.width), 0.5),
            _at_infinity("scaled_active_fraction"),
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

FORMULAS = {
    "growth": "|{v}_{l}|^2/|{v}_0|^2",
    "displacement": "|{v}_{l}-{v}_0|^2/|{v}_0|^2",
    "gradient": "|p_{l}|^2/|p_{d}|^2",
    "gradient_displacement": "|p_{l}-p_{d}|^2/|p_{d}|^2",
}
ENDED = {  # the quotient at its end: gradients are named by layer 0
    "growth": "How far does the log-norm move?",
    "displacement": "How far does a network go from its first layer?",
    "gradient": "How does the gradient grow on its way to layer 0?",
    "gradient_displacement": "How far does the gradient go from the output's?",
}


def _final(name: str, moment: str) -> Theory:
    def limit(facts: Facts, layers: Integers) -> Floats:
        law = facts.final_limit(name)
        end = 0 if name in BACKWARD else facts.model.depth
        return np.where(layers == end, np.nan if law is None else getattr(law, moment), np.nan)

    return limit


def _exact_median(name: str) -> Theory:
    def exact(facts: Facts, layers: Integers) -> Floats:
        end = 0 if name in BACKWARD else facts.model.depth
        at_end = layers == end
        return np.where(at_end, facts.final_quantile(name, 0.5) if at_end.any() else np.nan, np.nan)

    return exact


def _quotient(name: str) -> Iterable[Observable]:
    """Yield the observables of one quotient: median of the final value, mean, variance, and second moment."""
    formula, words = FORMULAS[name], name.replace("_", " ")
    displaced = name.endswith("displacement")
    spread = reliability.DISPLACEMENT_VARIANCE if displaced else reliability.VARIANCE
    tex = formula.replace("-", " - ")

    def followed(lowered: Lowered, names: frozenset[str]) -> bool:
        return name in names

    yield Observable(
        f"{name}.median",
        f"log_{name}_median",
        f"median log {formula}",
        rf"median of $\log\,{tex}$",
        f"median of the {words}'s logarithm, log {formula}",
        name,
        lambda e: e.median(name),
        per="end",
        exact=_exact_median(name),
        exists=followed,
        headline=name != "growth",
        question=ENDED[name] if name != "growth" else "",
    )
    yield Observable(
        f"{name}.mean",
        f"log_{name}_mean",
        f"mean log {formula}",
        rf"$\mathrm{{E}}\,\log\,{tex}$",
        f"mean of the {words}'s logarithm, log {formula}",
        name,
        lambda e: by_entry.growth_log_mean(e.quotient(name), e.quotient_offsets(name)),
        exact=lambda facts, layers: facts.quotient_moment(name, "mean", layers),
        limit=_final(name, "mean"),
        limit_kind=IN_DEPTH,
        exists=followed,
    )
    yield Observable(
        f"{name}.variance",
        f"log_{name}_variance",
        f"variance log {formula}",
        rf"$\mathrm{{Var}}\,\log\,{tex}$",
        f"variance of the {words}'s logarithm, log {formula}",
        name,
        lambda e: by_entry.growth_log_variance(e.quotient(name), e.least(spread)),
        exact=lambda facts, layers: facts.quotient_moment(name, "variance", layers),
        limit=_final(name, "variance"),
        limit_kind=IN_DEPTH,
        exists=followed,
        least=lambda e: e.networks_for(spread, e.quotient(name)),
    )
    if name == "growth":
        return  # the observable "growth" is the second moment of this quotient, known without its final values

    def second_moment(e: Entries) -> by_entry.SecondMoment:
        least = e.least(reliability.DISPLACEMENT_SQUARE) if displaced else 0
        return by_entry.log_second_moment(
            e.quotient(name), e.quotient_offsets(name), least, -np.inf if displaced else np.nan
        )

    yield Observable(
        f"{name}.second_moment",
        f"log_{name}_second_moment",
        f"log E {formula}",
        rf"$\log\,\mathrm{{E}}\,{tex}$",
        f"logarithm of the {words}'s mean, log E {formula}",
        name,
        lambda e: second_moment(e).estimate,
        exact=lambda facts, layers: facts.second_moment(name, layers),
        exists=followed,
        least=lambda e: second_moment(e).least,
        rare=True,
    )


def _distance(name: str, symbol: str, words: str, analysis: str) -> Observable:
    def exists(lowered: Lowered, followed: frozenset[str]) -> bool:
        return lowered.log_gaussian is not None or name == "ks.fitted"

    label = symbol.replace("KS of", "KS distance of")
    return Observable(
        name, "ks_" + name.removeprefix("ks."), symbol, label, words, "histogram",
        per="run", exists=exists, analysis=f"log_gaussian_fit.{analysis}",
    )  # fmt: skip


DISTANCES = (
    _distance(
        "ks.fitted",
        "KS of L, fitted Gaussian",
        "KS distance of log(|{v}_d|^2/n) to the Gaussian of its own mean and variance",
        "ks_fitted",
    ),
    _distance(
        "ks.log_gaussian_limit",
        "KS of L, log-Gaussian limit",
        "KS distance of log(|{v}_d|^2/n) to the log-Gaussian limit",
        "ks_theory",
    ),
    _distance(
        "ks.infinite_width",
        "KS of L, infinite width",
        "KS distance of log(|{v}_d|^2/n) to infinite width",
        "ks_gaussian_limit",
    ),
    _distance(
        "ks.output_log_gaussian",
        "KS of output, log-Gaussian",
        "KS distance of an output neuron to the log-Gaussian limit",
        "output.ks_log_gaussian",
    ),
    _distance(
        "ks.output_infinite_width",
        "KS of output, infinite width",
        "KS distance of an output neuron to infinite width",
        "output.ks_gaussian",
    ),
)


def _exact_distance(name: str, symbol: str, words: str, quotient: str, analysis: str) -> Observable:
    def exists(lowered: Lowered, followed: frozenset[str]) -> bool:
        return lowered.facts.chain is not None and (quotient == "log_norm" or quotient in followed)

    label = symbol.replace("KS of", "KS distance of")
    return Observable(
        name, name.replace(".", "_"), symbol, label, words, "histogram",
        per="run", exists=exists, analysis=analysis, tests_exact=True,
    )  # fmt: skip


EXACT_DISTANCES = (
    _exact_distance(
        "ks.exact",
        "KS of L, exact law",
        "KS distance of log(|{v}_d|^2/n) to its exact law",
        "log_norm",
        "log_gaussian_fit.ks_exact",
    ),
    _exact_distance(
        "ks.growth",
        "KS of growth, exact law",
        "KS distance of log(|{v}_d|^2/|{v}_0|^2) to its exact law",
        "growth",
        "exact_growth.ks",
    ),
    _exact_distance(
        "ks.gradient",
        "KS of gradient, exact law",
        "KS distance of log(|p_0|^2/|p_d|^2) to its exact law",
        "gradient",
        "exact_gradient.ks",
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
        limit=lambda facts, lags: facts.correlation_limit(lags),
        second_order=lambda facts, lags: facts.correlation_limit(lags, 2),
        exact=_correlation,
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
    *(one for name in QUOTIENTS for one in _quotient(name)),
)
OBSERVABLES: dict[str, Observable] = {one.name: one for one in ALL}
SWEPT: dict[str, Observable] = {one.name: one for one in ALL if one.in_sweeps}


def existing(lowered: Lowered, followed: Iterable[str]) -> dict[str, Observable]:
    """Return, by name, the observables of a network of which these quotients were followed."""
    names = frozenset(followed)
    return {name: one for name, one in OBSERVABLES.items() if one.exists(lowered, names)}
