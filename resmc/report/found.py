"""The four analyses of a simulation that a report speaks of, and the form of an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..analyses import (
    Growth,
    Hypoactivation,
    InterlayerCorrelations,
    LogGaussianFit,
    growth,
    hypoactivation,
    interlayer,
    log_gaussian,
)
from ..models.residual_network import Model
from ..results.record import Record

LARGE = 0.25  # relative difference from a limit that needs an explanation
FAR = "So large a difference from the limit means that the width is small for this depth: it holds as both grow."
LOOK = "That many standard errors are no chance: something is wrong, in the theory's assumptions or in the simulation."


def rounding(models: Iterable[Model], method: str) -> str:
    """Say how far log-norms of the same networks agree between numerics classes, as ARCHITECTURE.md promises."""
    models = list(models)
    if method != "projected" or any(m.depth > 1000 for m in models):
        return "log-norms agree up to rounding"
    share = "" if all(m.width >= 64 for m in models) else "99% of "
    return f"{share}log-norms agree within 1e-4"


@dataclass(frozen=True)
class Answer:
    """A question, its answer in one sentence, further sentences, and the keys of its figures."""

    key: str
    question: str
    verdict: str
    sentences: tuple[str, ...]
    figures: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Analyses:
    """Analyses of one simulation, computed once; without correlations where none were recorded."""

    sim: Record
    fit: LogGaussianFit
    hypo: Hypoactivation
    inter: InterlayerCorrelations | None
    growth: Growth

    @classmethod
    def of(cls, sim: Record) -> Analyses:
        """Analyse ``sim``."""
        inter = interlayer.analyse(sim) if sim.correlations else None
        return cls(sim, log_gaussian.fit(sim), hypoactivation.analyse(sim), inter, growth.analyse(sim))
