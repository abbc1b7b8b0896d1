"""Answers in words about networks that die, and those in which no neuron fires: shares, with exact ones beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..results.observables import OBSERVABLES
from .found import LOOK, Analyses, Answer
from .numbers import beside, count, counted, disagrees, plain, pm, the
from .words_quotient import slug

SEEN = 0.1  # networks that are expected, from which on a question is asked though there are none
QUESTIONS = {"dead_fraction": "Do networks die?", "inactive_fraction": "Are there networks where no neuron fires?"}


def shares(found: Analyses) -> Iterator[Answer]:
    """Answer each question where there are such networks, or may well be."""
    sim = found.sim
    for name, counts in (("dead_fraction", sim.dead), ("inactive_fraction", sim.inactive)):
        if name not in sim.observables:
            continue
        exact = OBSERVABLES[name].exact(sim.facts, sim.layers)
        expected = max((x for x in exact.tolist() if not math.isnan(x)), default=0.0) * sim.networks
        if counts.any() or expected > SEEN:
            yield _answer(found, name, int(counts[-1]), int(counts.max()))


def _answer(found: Analyses, name: str, last: int, most: int) -> Answer:
    sim, known = found.sim, found.known(name)
    d, e = sim.model.depth, known.estimate
    of = counted(sim.networks, "network") if name == "dead_fraction" else counted(int(sim.alive[-1]), "living network")
    exactly = math.isfinite(known.exact)
    if last:
        verdict = f"Yes: {count(last)} of {of} at layer {d}."
    elif most:
        verdict = f"Not at the last layer, but up to {counted(most, 'network')} at another."
    elif exactly and known.exact > 0.0:
        verdict = f"Not seen in {of} at layer {d}; in theory, the share of such networks is {plain(known.exact)}."
    else:
        verdict = f"Not seen in {of} at any recorded layer."
    sentences = []
    if math.isfinite(float(e.value)):
        beyond = f" ({beside(e, known.exact)})" if exactly else ""
        sentences.append(f"{the(known.observable.described(d, found.letter, d))} is {pm(e)}{beyond}.")
    if disagrees(e, known.exact):
        sentences.append(LOOK)
    return Answer(slug(name), QUESTIONS[name], verdict, tuple(sentences), (slug(name),) if most else ())
