"""Answers in words to: do fewer than half of the ReLUs fire, and do the layers correlate?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..analyses import InterlayerCorrelations
from ..results.estimates import Estimate
from ..results.observables import OBSERVABLES
from .found import LOOK, Analyses, Answer, Known
from .numbers import beside, counted, disagrees, has_error, plain, pm, resolved, score, theory


def hypoactivation(found: Analyses) -> Iterator[Answer]:
    """Answer if fewer than half of the ReLUs fire, where neurons act on the layers and so fire or not."""
    sim, hypo, d, z = found.sim, found.hypo, found.sim.model.depth, found.letter
    if hypo is None:
        return
    question = OBSERVABLES["active_fraction"].question
    if not sim.alive[-1]:
        verdict = f"No network is alive at layer {d}: there are no neurons to count."
        yield Answer("hypoactivation", question, verdict, (), ("hypoactivation",))
        return
    fraction, balance = found.known("active_fraction"), found.known("asymmetry")
    active, asymmetry, exact = hypo.active_fraction[-1], hypo.asymmetry[-1], fraction.exact
    sentences = [
        f"The mean active fraction F_{d} is {pm(active)}{_known(fraction, active)}.",
        f"The mean asymmetry A_{d} = 2|φ({z}_{d})|²/|{z}_{d}|² − 1 is {pm(asymmetry)}{_known(balance, asymmetry)}.",
    ]
    if math.isfinite(exact):
        sentences += [LOOK] if disagrees(active, exact) or disagrees(asymmetry, balance.exact) else []
    elif len(sim.layers) > 2:
        start = float(hypo.exact_active_fraction[0])
        said = f" (exactly {100.0 * start:g}%)" if math.isfinite(start) else ""
        sentences.append(f"At layer 0, {_as_percent(hypo.active_fraction[0])} of the neurons fire{said}.")
    verdict = _half(active, exact, fraction.limit, d)
    yield Answer("hypoactivation", question, verdict, tuple(sentences), ("hypoactivation",))


def _known(known: Known, estimate: Estimate) -> str:
    return theory(estimate, known.exact, known.limit, second_order=known.second_order)


def _half(active: Estimate, exact: float, limit: float, d: int) -> str:
    share = _as_percent(active)
    if math.isfinite(exact):
        if not has_error(active):
            return f"On average exactly half do in this model; here it is {share} at layer {d}."
        if disagrees(active, exact):
            return f"Exactly half should, but {share} do at layer {d}, {score(active, exact)}."
        z = score(active, exact)
        return f"No: on average exactly half do in this model, and {share} do at layer {d}{f' ({z})' if z else ''}."
    if not has_error(active):
        return f"That cannot be said without a standard error; it is {share} at layer {d}."
    below = 0.5 - float(active.value)
    if not resolved(below, active.stderr):
        tends = f"; the limit is {100 * limit:.4g}%" if math.isfinite(limit) else ""
        return f"Not seen: {share} fire at layer {d}, within three standard errors of 50%{tends}."
    return f"{'Yes' if below > 0 else 'No, more than half do'}: {share} of the neurons fire at layer {d}, not 50%."


def _as_percent(fraction: Estimate) -> str:
    scaled = Estimate(100.0 * fraction.value, 100.0 * fraction.stderr, fraction.n, fraction.df)
    return f"({pm(scaled)})%" if has_error(scaled) else f"{plain(float(scaled.value), 5)}%"


def interlayer(found: Analyses) -> Iterator[Answer]:
    """Answer if the layers correlate, where such correlations can be recorded."""
    if OBSERVABLES["interlayer.lag1"].exists(found.sim.lowered, frozenset()):
        yield _interlayer(found.inter)


def _interlayer(inter: InterlayerCorrelations | None) -> Answer:
    question = "Do the layers correlate?"
    if inter is None:
        verdict = "That was not recorded: the simulation was made with correlations=False."
        return Answer("interlayer", question, verdict, ("All other answers are the same with it or without it.",))
    figures = ("interlayer", "interlayer_by_lag")
    lag, first = int(inter.lags[1]), inter.by_lag[1]
    if not math.isfinite(float(first.value)):
        verdict = "The asymmetry does not vary at a layer, or no two networks live: there is no correlation."
        return Answer("interlayer", question, verdict, ())
    exact, limit = inter.exact, float(inter.theory_by_lag[1])
    pair = "neighbouring layers" if lag == 1 else f"layers {lag} apart"
    if exact is not None:
        wrong = disagrees(first, exact)
        if not has_error(first):
            verdict = f"In theory they do not in this model; here the correlation of {pair} is {pm(first)}."
            return Answer("interlayer", question, verdict, tuple(_lags(inter)), figures)
        verdict = (
            f"{'They should not, but' if wrong else 'No, as theory says exactly:'} the asymmetries of {pair} "
            f"have a correlation of {pm(first)}{_in_brackets(score(first, exact))}."
        )
        return Answer("interlayer", question, verdict, (LOOK,) if wrong else tuple(_lags(inter)), figures)
    if not has_error(first):
        verdict = f"That cannot be said without a standard error; for {pair} the estimate is {pm(first)}."
    elif not resolved(first.value, first.stderr):
        verdict = f"Not seen: the correlation of {pair} is {pm(first)}; its limit is {plain(limit)}."
    else:
        verdict = f"Yes: the asymmetries of {pair} have a correlation of {pm(first)} (theory: {_beside(inter, 1)})."
    return Answer("interlayer", question, verdict, tuple(_lags(inter)), figures)


def _beside(inter: InterlayerCorrelations, k: int) -> str:
    """Return the limit at the k-th lag, in one order or two, as a clause."""
    second = None if inter.next_order_by_lag is None else float(inter.next_order_by_lag[k])
    return beside(inter.by_lag[k], None, float(inter.theory_by_lag[k]), second_order=second)


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _lags(inter: InterlayerCorrelations) -> Iterator[str]:
    """Yield sentences about the correlation by distance, each a mean over all pairs of recorded layers."""
    yield (
        "Each number is a mean over all pairs of recorded layers at that distance, "
        f"among {counted(len(inter.layers), 'recorded layer')}."
    )
    value, stderr = inter.by_lag.value, inter.by_lag.stderr
    if inter.exact is not None or len(inter.lags) < 3 or not resolved(value[1], stderr[1]) or value[1] <= 0.0:
        return
    below = np.flatnonzero(value[1:] < 0.5 * value[1]) + 1
    if below.size:
        k = int(below[0])
        yield (
            f"It falls below half of that at distance {inter.lags[k]}: {pm(inter.by_lag[k])} (theory: "
            f"{_beside(inter, k)})."
        )
    else:
        yield f"It stays above half of that up to distance {inter.lags[-1]}: {pm(inter.by_lag[-1])}."
