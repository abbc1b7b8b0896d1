"""Answers about a simulation in words; every sentence follows from numbers, and says when there are none."""

from __future__ import annotations

from collections.abc import Iterator

from ..results.estimates import MIN_NETWORKS
from ..results.observable import letter
from ..results.record import Record
from .found import Analyses, Answer, rounding
from .numbers import count, counted
from .words_dead import shares
from .words_growth import growth
from .words_law import log_gaussian
from .words_layers import hypoactivation, interlayer
from .words_quotient import quotients


def answers(found: Analyses) -> tuple[Answer, ...]:
    """Return the answers in the order of the page: those that there are for this network."""
    return (
        log_gaussian(found),
        *hypoactivation(found),
        *interlayer(found),
        growth(found),
        *quotients(found),
        *shares(found),
    )


def caveats(sim: Record) -> Iterator[str]:
    """Yield sentences that concern all answers."""
    if sim.networks < MIN_NETWORKS:
        yield (
            f"With {counted(sim.networks, 'network')} there are no error bars: at least {MIN_NETWORKS} are "
            "needed, and thousands before the laws can be compared."
        )
    dead, d, z = int(sim.dead[-1]), sim.model.depth, letter(sim.lowered)
    if dead:
        share = f"{dead / sim.networks:.3g}"
        part = f" ({share} of all)" if share != "1" else ""
        yield (
            f"{count(dead)} of {counted(sim.networks, 'network')}{part} {'is' if dead == 1 else 'are'} dead at "
            f"layer {d}: {z}_{d} = 0{_why(sim)}. The dead are left out of {_left_out(sim)}, and count as 0 in E|{z}|²."
        )
    inactive = int(sim.inactive[-1])
    if inactive:
        yield f"In {counted(inactive, 'living network')} no neuron fires at the last layer; they are counted."
    if len(sim.numerics) > 2:
        yield (
            f"Several numerics classes computed it ({', '.join(sim.numerics[1:])}): the networks are the same, "
            f"their rounding is not, and {rounding([sim.model], sim.method)}."
        )


def _why(sim: Record) -> str:
    """Say why networks die, where that is known: rectifiers without a skip."""
    general = sim.lowered.general
    if general.carry != 0.0 or not sim.has_asymmetry:
        return ""
    return f", since {'carry' if letter(sim.lowered) == 'h' else 'alpha'} = 0 and no neuron fired at some layer"


def _left_out(sim: Record) -> str:
    return "log-norm, asymmetry and active fraction" if sim.has_asymmetry else "the log-norm"
