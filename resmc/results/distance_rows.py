"""Rows of `resmc.results.observables` about Kolmogorov-Smirnov distances between laws, one for a simulation."""

from __future__ import annotations

from ..engine.lowering import Lowered
from .observable import Observable


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
        known = quotient == "log_norm" or quotient in followed
        return known and lowered.facts.chain is not None and not lowered.facts.no_exact_law(quotient)

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
