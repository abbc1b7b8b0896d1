"""What is said of a simulation: its four analyses, and the form of an answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..analyses import Growth, Hypoactivation, InterlayerCorrelations, LogGaussianFit
from ..simulation import Simulation

LARGE = 0.25  # relative difference from a limit
FAR = "So large a difference from the limit means that the width is small for this depth: it holds as both grow."
LOOK = "That many standard errors are no chance: something is wrong, in the theory's assumptions or in the simulation."


@dataclass(frozen=True)
class Answer:
    """A question, its answer in one sentence, and what belongs to it."""

    key: str
    question: str
    verdict: str
    sentences: tuple[str, ...]
    figures: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Analyses:
    """What the report tells of one simulation, computed once; no correlations where none were recorded."""

    sim: Simulation
    fit: LogGaussianFit
    hypo: Hypoactivation
    inter: InterlayerCorrelations | None
    growth: Growth

    @classmethod
    def of(cls, sim: Simulation) -> Analyses:
        """Asks all four questions."""
        inter = sim.interlayer_correlations() if sim.correlations else None
        return cls(sim, sim.log_gaussian_fit(), sim.hypoactivation(), inter, sim.variance_growth())
