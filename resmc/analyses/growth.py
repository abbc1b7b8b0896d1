"""How does the output variance grow with depth?

E|z_l|^2/|z_0|^2 grows like exp(c l/n) in a vanilla ResNet and is exactly (alpha^2 + lam^2)^l in a balanced one (Li,
Nica, Roy 2021, arXiv 2106.04013). A network of depth d contains every depth below d: one run gives the whole curve.

The mean of |z|^2 is ruled by rare networks: `resmc.results.layer_estimates.SecondMoment` says when it is called
reliable. Where it is not, `resmc.moment_growth` estimates the same by populations that are resampled on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.record import Record
from ..tables import Table
from ._result import Result, if_known

ELSEWHERE = "rare networks rule the mean where it has no error: resmc.moment_growth(model) has it there"


@dataclass(frozen=True, eq=False, repr=False)
class Growth(Result):
    """Growth of the second moment by recorded layer (R,).

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    ratio : ndarray, shape (R,)
        l/n.
    log_second_moment : Estimate, shape (R,)
        log E|z_l|^2/|z_0|^2, dead networks counting as 0; no error where it is not reliable.
    theory : ndarray, shape (R,)
        The limit of log_second_moment at leading order in 1/n; NaN where none is known.
    next_order : ndarray, shape (R,), or None
        That limit with the next order in 1/n (`resmc.theory.next_order`); None where it is not known.
    exact : ndarray, shape (R,)
        The exact value of log_second_moment where it is known (`resmc.theory.facts`), else NaN.
    gaussian : ndarray, shape (R,)
        The prediction of infinite width, l log(alpha^2 + lam^2): no growth for normalised weights. NaN where no
        `ResNet` is the network.
    reliable : ndarray of bool, shape (R,)
        True where log_second_moment has an error.
    effective_sample_size : ndarray, shape (R,)
    """

    _by_entry: ClassVar[tuple[str, ...]] = (
        "layers",
        "ratio",
        "log_second_moment",
        "theory",
        "next_order",
        "exact",
        "gaussian",
        "reliable",
        "effective_sample_size",
    )

    layers: NDArray[np.int64]
    ratio: Floats
    log_second_moment: Estimate
    theory: Floats
    next_order: Floats | None
    exact: Floats
    gaussian: Floats
    reliable: NDArray[np.bool_]
    effective_sample_size: Floats

    @property
    def note(self) -> str:
        """Where to ask for what is not reliable here; empty if all is."""
        return "" if self.reliable.all() else ELSEWHERE

    def __repr__(self) -> str:
        return super().__repr__() + f"\n  ({self.note})" * bool(self.note)

    def _rows(self, most: int) -> Table:
        table = super()._rows(most)
        return replace(table, notes=[*table.notes, self.note]) if self.note else table


def analyse(sim: Record) -> Growth:
    """Return the growth curve of ``sim``."""
    moment, facts = sim.entries.growth, sim.facts
    log_scale = np.nan if facts.log_gaussian is None else facts.log_gaussian.log_scale
    return Growth(
        layers=sim.layers,
        ratio=sim.model.aspects[sim.layers],
        log_second_moment=moment.estimate,
        theory=facts.growth_limit(sim.layers),
        next_order=if_known(facts.growth_limit(sim.layers, 2)),
        exact=facts.growth(sim.layers),
        gaussian=np.asarray(sim.layers * log_scale, np.float64),
        reliable=moment.reliable,
        effective_sample_size=moment.effective_sample_size,
    )
