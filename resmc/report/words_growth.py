"""The answer in words to: how does the output variance grow?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..analyses import Growth
from ..analyses.verdict import SHOWN
from ..results.estimates import MIN_NETWORKS, Estimate
from ..results.observable import NEXT
from ..results.observables import OBSERVABLES
from .found import LOOK, Analyses, Answer
from .numbers import beside, counted, disagrees, factor, plain, pm, ratio, score, typeset
from .words_quotient import figures_of, moments


def last_reliable(curve: Growth) -> int:
    """Return the index of the last layer up to which all are reliable; -1 if the first is not."""
    return int(np.argmin(np.append(curve.reliable, False))) - 1


def growth(found: Analyses) -> Answer:
    """Answer how the output variance grows."""
    model, curve = found.sim.model, found.growth
    d, one = model.depth, OBSERVABLES["growth"]
    last, exact, limit = curve.log_second_moment[-1], float(curve.exact[-1]), float(curve.theory[-1])
    second = None if curve.next_order is None else float(curve.next_order[-1])
    formula = typeset(one.called(d, found.letter))
    at = f"{formula} at d/n = {plain(model.ratio)}"
    known, says = math.isfinite(exact) or math.isfinite(limit), beside(last, exact, limit, second_order=second)
    figures = ("growth", *figures_of(found, "growth"))
    if not found.sim.alive[-1]:
        verdict = f"No network is alive at layer {d}: the plain mean of |{found.letter}_{d}|² is 0."
        sentence = f"For {at} theory says {says}: that mean is made by networks too rare to be among these."
        return Answer("growth", one.question, verdict, (sentence,) * known, ("growth",))
    sentences = [f"{at} is {pm(last)}{f' (theory: {says})' * known}."]
    if not curve.reliable[-1]:
        beyond = f"theory says {says}" if known else "no theory of it is known"
        sentences = [
            f"For {at} the plain mean of the networks gives {plain(float(last.value))}, which says little; {beyond}."
        ]
    scale = float(curve.gaussian[-1])
    if abs(scale) > 1e-9:
        sentences.append(f"(alpha² + lam²)^d alone makes {plain(scale)} of it; what is beyond is the networks' doing.")
    if not curve.reliable[-1] and math.isfinite(exact):
        verdict = f"{_theory(exact)} (theory); these networks are too few to show it."
    elif not curve.reliable[-1]:
        verdict = _unreliable(found)
    elif math.isfinite(exact):
        verdict = _exact_growth(last, exact, formula)
        sentences += [LOOK] if disagrees(last, exact) else []
    else:
        low, high = (factor(float(x)) for x in last.interval(0.95))
        verdict = (
            f"By a factor of {factor(float(last.value))} over {counted(d, 'layer')} (95% interval {low} to {high})"
        )
        if math.isfinite(limit):
            more = "" if second is None else f", {factor(second)} with the {NEXT}"
            verdict += f"; theory says {factor(limit)} at leading order in 1/n{more}, infinite width {factor(scale)}"
        verdict += "."
    sentences += _typical(found)
    return Answer("growth", one.question, verdict, tuple(sentences), figures)


def _typical(found: Analyses) -> Iterator[str]:
    """Say how far a network in the middle grows, where final values were kept, and the limit in depth of that law."""
    if "growth" not in found.quotients:
        return
    median = found.known("growth.median").estimate
    root = SHOWN["growth"].replace("L", str(found.sim.model.depth))
    yield (
        f"That mean is of squares, and rare networks count most in it: in the median {root} is "
        f"{ratio(float(median.value), float(median.stderr))}."
    )
    yield from moments(found, "growth")


def _theory(exact: float) -> str:
    return "Not at all, exactly" if abs(exact) < 1e-9 else f"By a factor of exactly {factor(exact)}"


def _exact_growth(last: Estimate, exact: float, formula: str) -> str:
    said = _theory(exact)
    if disagrees(last, exact):
        return f"{said}, says theory, but the estimate of its logarithm is {pm(last)}, {score(last, exact)}."
    if float(last.stderr) == 0.0:
        return f"{said}, and so it is in every network."
    return f"{said}; the estimate of {formula} is {pm(last)}, {score(last, exact)}."


def _unreliable(found: Analyses) -> str:
    curve, d, networks, z = found.growth, found.sim.model.depth, found.sim.networks, found.letter
    if networks < MIN_NETWORKS:
        return f"That cannot be said from {counted(networks, 'network')}."
    why = f"the mean of |{z}|² at layer {d} is ruled by rare networks, so its estimate has no error bar"
    k = last_reliable(curve)
    if k < 1:
        return f"That cannot be said at any recorded layer: {why}."
    change = float(curve.log_second_moment.value[k])
    formula = typeset(OBSERVABLES["growth"].called(int(curve.layers[k]), z))
    return (
        f"That cannot be said at full depth: {why}. Up to layer {curve.layers[k]} it can: there {formula} "
        f"is {pm(curve.log_second_moment[k])}, a factor of {factor(change)}."
    )
