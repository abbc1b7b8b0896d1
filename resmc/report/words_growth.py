"""The answer in words to: how does the output variance grow?"""

from __future__ import annotations

import math

import numpy as np

from ..analyses import Growth
from ..results.estimates import MIN_NETWORKS, Estimate
from ..results.layer_estimates import MIN_EFFECTIVE_SAMPLE
from .found import LOOK, Analyses, Answer
from .numbers import beside, counted, disagrees, factor, plain, pm, score


def last_reliable(curve: Growth) -> int:
    """Return the index of the last layer up to which all are reliable; -1 if the first is not."""
    return int(np.argmin(np.append(curve.reliable, False))) - 1


def growth(found: Analyses) -> Answer:
    """Answer how the output variance grows."""
    model, curve = found.sim.resnet, found.growth
    d, question = model.depth, "How does the output variance grow?"
    last, exact, limit = curve.log_second_moment[-1], float(curve.exact[-1]), float(curve.theory[-1])
    at = f"log E|z_{d}|²/|z_0|² at d/n = {plain(model.ratio)}"
    if not found.sim.alive[-1]:
        verdict = f"No network is alive at layer {d}: the plain mean of |z_{d}|² is 0."
        sentence = (
            f"For {at} theory says {beside(last, exact, limit)}: that mean is made by networks too rare to be "
            "among these."
        )
        return Answer("growth", question, verdict, (sentence,), ("growth",))
    sentences = [f"{at} is {pm(last)} (theory: {beside(last, exact, limit)})."]
    if not curve.reliable[-1]:
        sentences = [
            f"For {at} the plain mean of the networks gives {plain(float(last.value))}, which says little; "
            f"theory says {beside(last, exact, limit)}."
        ]
    scale = d * model.log_scale
    if abs(scale) > 1e-9:
        sentences.append(f"(alpha² + lam²)^d alone makes {plain(scale)} of it; what is beyond is the networks' doing.")
    if not curve.reliable[-1] and math.isfinite(exact):
        verdict = f"{_theory(exact)} (theory); these networks are too few to show it."
    elif not curve.reliable[-1]:
        verdict = _unreliable(found)
    elif math.isfinite(exact):
        verdict = _exact_growth(last, exact, d)
        sentences += [LOOK] if disagrees(last, exact) else []
    else:
        low, high = (factor(float(x)) for x in last.interval(0.95))
        verdict = (
            f"By a factor of {factor(float(last.value))} over {counted(d, 'layer')} (95% interval {low} to "
            f"{high}); theory says {factor(limit)} at leading order in 1/n, infinite width "
            f"{factor(scale)}."
        )
    return Answer("growth", question, verdict, tuple(sentences), ("growth",))


def _theory(exact: float) -> str:
    return "Not at all, exactly" if abs(exact) < 1e-9 else f"By a factor of exactly {factor(exact)}"


def _exact_growth(last: Estimate, exact: float, d: int) -> str:
    theory = _theory(exact)
    if disagrees(last, exact):
        return f"{theory}, says theory, but the estimate of its logarithm is {pm(last)}, {score(last, exact)}."
    if float(last.stderr) == 0.0:
        return f"{theory}, and so it is in every network."
    return f"{theory}; the estimate of log E|z_{d}|²/|z_0|² is {pm(last)}, {score(last, exact)}."


def _unreliable(found: Analyses) -> str:
    curve, d, networks = found.growth, found.sim.resnet.depth, found.sim.networks
    if networks < MIN_NETWORKS:
        return f"That cannot be said from {counted(networks, 'network')}."
    effective = float(curve.effective_sample_size[-1])
    weight = f" (effective sample size {plain(effective, 2)})" if math.isfinite(effective) else ""
    why = f"the mean of |z|² at layer {d} is ruled by rare networks{weight}, so its estimate has no error"
    if networks < MIN_EFFECTIVE_SAMPLE:
        why = f"{counted(networks, 'network')} are fewer than the {MIN_EFFECTIVE_SAMPLE:.0f} that its error needs"
    k = last_reliable(curve)
    if k < 1:
        return f"That cannot be said at any recorded layer: {why}."
    change = float(curve.log_second_moment.value[k])
    return (
        f"That cannot be said at full depth: {why}. Up to layer {curve.layers[k]} it can: there log E|z|²/|z_0|² "
        f"is {pm(curve.log_second_moment[k])}, a factor of {factor(change)}."
    )
