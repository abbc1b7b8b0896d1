"""Four answers about a simulation in words; every sentence follows from numbers, and says when there are none."""

from __future__ import annotations

from collections.abc import Iterator

from ..results.estimates import MIN_NETWORKS
from ..results.record import Record
from .found import Analyses, Answer, rounding
from .numbers import count, counted
from .words_growth import growth
from .words_law import log_gaussian
from .words_layers import hypoactivation, interlayer


def answers(found: Analyses) -> tuple[Answer, ...]:
    """Return the answers in the order of the page."""
    return (log_gaussian(found), hypoactivation(found), interlayer(found), growth(found))


def caveats(sim: Record) -> Iterator[str]:
    """Yield sentences that concern all answers."""
    if sim.networks < MIN_NETWORKS:
        yield (
            f"With {counted(sim.networks, 'network')} there are no standard errors: at least {MIN_NETWORKS} are "
            "needed, and thousands before the laws can be compared."
        )
    dead, d = int(sim.dead[-1]), sim.resnet.depth
    if dead:
        share = f"{dead / sim.networks:.3g}"
        part = f" ({share} of all)" if share != "1" else ""
        yield (
            f"{count(dead)} of {counted(sim.networks, 'network')}{part} {'is' if dead == 1 else 'are'} dead at "
            f"layer {d}: z_{d} = 0, since alpha = 0 and no neuron fired at some layer. The dead are left out of "
            "log-norm, asymmetry and active fraction, and count as 0 in E|z|²."
        )
    inactive = int(sim.inactive[-1])
    if inactive:
        yield f"In {counted(inactive, 'living network')} no neuron fires at the last layer; they are counted."
    if len(sim.numerics) > 2:
        yield (
            f"Several numerics classes computed it ({', '.join(sim.numerics[1:])}): the networks are the same, "
            f"their rounding is not, and {rounding([sim.resnet], sim.method)}."
        )
