"""The analyses of a simulation that a report speaks of, its quantities as sentences need them, and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..analyses import (
    Growth,
    Hypoactivation,
    InterlayerCorrelations,
    LogGaussianFit,
    LogRatio,
    growth,
    hypoactivation,
    interlayer,
    log_gaussian,
    log_ratio,
)
from ..models.residual_network import Model
from ..results.estimates import Estimate
from ..results.observable import Observable, letter
from ..results.observables import OBSERVABLES
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
class Known:
    """A quantity at its end: the row of the table, the estimate, and the theory beside it, NaN where there is none."""

    observable: Observable
    estimate: Estimate
    exact: float
    limit: float
    second_order: float


@dataclass(frozen=True)
class Analyses:
    """Analyses of one simulation, computed once.

    ``hypo`` is there where the network has an activation asymmetry, ``inter`` where its correlations were recorded;
    ``quotients`` has what was followed and has a law of final values, by name.
    """

    sim: Record
    fit: LogGaussianFit
    hypo: Hypoactivation | None
    inter: InterlayerCorrelations | None
    growth: Growth
    quotients: Mapping[str, LogRatio] = field(default_factory=dict)

    @classmethod
    def of(cls, sim: Record) -> Analyses:
        """Analyse ``sim``."""
        return cls(
            sim,
            log_gaussian.fit(sim),
            hypoactivation.analyse(sim) if sim.has_asymmetry else None,
            interlayer.analyse(sim) if sim.correlations else None,
            growth.analyse(sim),
            {name: log_ratio.analyse(sim, name) for name in sim.laws},
        )

    @property
    def letter(self) -> str:
        """Letter of the state: z in the log-Gaussian spelling, h in the general one."""
        return letter(self.sim.lowered)

    def known(self, name: str) -> Known:
        """Return a quantity that is estimated from sums, at its end."""
        one, facts = OBSERVABLES[name], self.sim.facts
        theory = (one.exact_value(facts), one.limit_value(facts), one.second_order_value(facts))
        return Known(one, one.estimate_of(self.sim.end)[0], *theory)
