"""Rows of `resmc.results.observables` about quotients |v_l|^2/|start|^2: the same for each of the four."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..engine.lowering import Lowered
from . import layer_estimates as by_entry
from . import reliability
from .entries import Entries
from .observable import IN_DEPTH, Observable
from .row_theory import exact_median, final

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


def quotient(name: str) -> Iterable[Observable]:
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
        exact=exact_median(name),
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
        limit=final(name, "mean"),
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
        limit=final(name, "variance"),
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
