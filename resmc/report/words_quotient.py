"""Answers in words about quotients: how far networks go from their first layer, and gradients from the output's."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..analyses import LogRatio, exact_comparison
from ..analyses.verdict import SHOWN
from ..results.estimates import MIN_NETWORKS, KSDistance
from ..results.laws import Law
from ..results.observables import OBSERVABLES
from .found import LOOK, Analyses, Answer
from .numbers import counted, disagrees, has_error, plain, plain_ratio, pm, ratio, the, theory, typeset

UNLIKELY = 1e-4  # p-values below it are called no chance
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def quotients(found: Analyses) -> Iterator[Answer]:
    """Answer the question of each quotient that was followed and whose median asks one; growth is asked elsewhere."""
    for name, one in found.quotients.items():
        question = OBSERVABLES[f"{name}.median"].question
        if question:
            yield Answer(slug(name), question, _verdict(found, name, one), tuple(_more(found, name, one)),
                         figures_of(found, name))  # fmt: skip


def slug(name: str) -> str:
    """Return a quantity's name as an id."""
    return name.replace(".", "-").replace("_", "-")


def figures_of(found: Analyses, name: str) -> tuple[str, ...]:
    """Return the keys of a quotient's figures: its law, and its mean by layer; none where its law was not kept."""
    if name not in found.quotients:
        return ()
    law = found.quotients[name].law
    drawn = law is not None and len(law.bins) > 0
    by_layer = (f"{slug(name)}-by-layer",) if name != "growth" else ()
    return (f"{slug(name)}-law", *by_layer) if drawn else ()


def root_of(found: Analyses, name: str) -> str:
    """Return the ratio whose square is the quotient, with the number of the last layer."""
    return typeset(SHOWN[name].replace(" - ", "-").replace("L", str(found.sim.model.depth)))


def _verdict(found: Analyses, name: str, one: LogRatio) -> str:
    assert one.law is not None
    law, root = one.law, root_of(found, name)
    if law.zeros == law.networks:
        return f"Not at all: {root} is 0 in every network."
    if law.exploded == law.networks:
        return f"There is no {root}: every network starts from 0."
    values = one.quantile(QUANTILES)
    low, middle, high = (plain_ratio(float(values.value[i])) for i in (0, 2, 4))
    if law.networks < MIN_NETWORKS:
        return f"That cannot be said from {counted(law.networks, 'network')}; here the median of {root} is {middle}."
    median = values[2]
    if float(median.value) == math.inf:
        return f"In half of the networks or more there is no {root}: they start from 0."
    if not math.isfinite(float(median.value)):
        return f"In half of the networks or more not at all: the median of {root} is 0."
    return (
        f"In the median {root} is {ratio(float(median.value), float(median.stderr))}; nine networks in ten lie between "
        f"{low} and {high}."
    )


def _more(found: Analyses, name: str, one: LogRatio) -> Iterator[str]:
    law = one.law
    assert law is not None
    if law.zeros == law.networks:
        return
    if law.zeros:
        yield (
            f"In {counted(law.zeros, 'network')} it is exactly 0: left out of mean and variance of the logarithm, "
            "counted in quantiles and in the mean of squares."
        )
    if law.exploded:
        yield (
            f"{counted(law.exploded, 'network')} start{'s' * (law.exploded == 1)} from 0 and "
            f"{'has' if law.exploded == 1 else 'have'} none: left out of every mean, infinite in quantiles."
        )
    values = one.quantile(QUANTILES)
    if np.isfinite(values.value).all() and law.networks >= MIN_NETWORKS:
        median = OBSERVABLES[f"{name}.median"]
        logarithm = typeset(median.called(one.end, found.letter, found.sim.model.depth).removeprefix("median "))
        known = found.sim.facts.final_quantile(name, QUANTILES).tolist()
        said = [f"{100.0 * p:g}% {pm(values[i])}{theory(values[i], known[i])}" for i, p in enumerate(QUANTILES)]
        yield f"Quantiles of {logarithm}: {', '.join(said)}."
        yield from _distance(found, name, law)
    yield from moments(found, name)


def _distance(found: Analyses, name: str, law: Law) -> Iterator[str]:
    """Say how far the law is from the exact one, where that is known."""
    exact = found.sim.facts.exact_law(name)
    if exact is None:
        return
    ks = exact_comparison.distance(law, exact)
    if has_error(ks):
        yield from away_from_exact(ks)


def away_from_exact(ks: KSDistance) -> Iterator[str]:
    """Say how far a law is from its exact one: the distance, sampling noise, and how likely a larger distance is."""
    yield (
        f"Its law is at a Kolmogorov-Smirnov distance of {pm(ks)} from the exact one (sampling noise: "
        f"{plain(ks.noise_floor, 2)}, p = {plain(ks.p_value, 2)})."
    )
    if ks.p_value < UNLIKELY:
        yield "So large a distance is no chance: something is wrong, in the theory's assumptions or in the simulation."


def moments(found: Analyses, name: str) -> Iterator[str]:
    """Say mean, variance and second moment of a quotient's final value, with the theory beside them."""
    end = found.quotients[name].end
    for moment in ("mean", "variance", "second_moment"):
        if f"{name}.{moment}" not in found.sim.observables:
            continue
        known = found.known(f"{name}.{moment}")
        one, e = known.observable, known.estimate
        if not math.isfinite(float(e.value)):
            continue
        words = the(one.described(end, found.letter, found.sim.model.depth))
        ruled = one.rare and not has_error(e) and found.sim.networks >= MIN_NETWORKS
        beside = theory(e, known.exact, known.limit, one.limit_kind, known.second_order)
        yield f"{words} is {pm(e)}{beside}{'; rare networks rule that mean' * ruled}."
        if disagrees(e, known.exact):
            yield LOOK
