"""Explosion, identity, or neither? Networks of several depths L tell the limit as L grows (arXiv 2206.06929).

With independent weights and branches of size c L^(-beta), |h_L - h_0|/|h_0| and the gradient's
|p_0 - p_L|/|p_L| tend to 0 like L^(1/2 - beta) for beta > 1/2 (the identity), to a law for beta = 1/2 (the only
non-trivial exponent), and grow for beta < 1/2: with unbounded activations faster than any power.

The rule that decides, and its blind spot, are in `resmc.analyses.verdict`; `resmc.regime` simulates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .._system.words import counted
from ..models.residual_network import ResidualNetwork
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate
from ..results.propagation import Networks
from ..results.record import Record
from ..tables import Column, Table
from . import log_ratio
from ._result import Result
from .verdict import DECIDED, SHOWN, Verdict, decide


@dataclass(frozen=True, eq=False, repr=False)
class Regime(Result):
    """Verdicts with their evidence, as `resmc.regime` returns them.

    Attributes
    ----------
    depths : ndarray of int, shape (D,)
    displacement, growth : Estimate, shape (D,)
        Medians of ln |h_L - h_0|/|h_0| and ln |h_L|/|h_0|: without the squares of `LogRatio`.
    gradient_displacement, gradient : Estimate, shape (D,)
        Medians of ln |p_0 - p_L|/|p_L| and ln |p_0|/|p_L|.
    model : ResidualNetwork
        The network; its depth has no meaning here.
    forward, backward : Verdict
        The verdicts on displacement and on gradient_displacement.
    simulations : tuple of Simulation
        One for each depth.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("depths", "displacement", "growth", "gradient_displacement", "gradient")

    depths: NDArray[np.int64]
    displacement: Estimate
    growth: Estimate
    gradient_displacement: Estimate
    gradient: Estimate
    model: ResidualNetwork
    forward: Verdict
    backward: Verdict
    simulations: tuple[Record, ...]

    def _table(self) -> Table:
        s, names = self.simulations[0], self._by_entry[1:]
        networks = counted(s.networks, "network")
        return Table(
            "regime",
            f"regime of {self.model.title_of_any_depth}",
            [Column("depth", "depth", width=8), *(Column(f"ln {SHOWN[name]}", name, width=22) for name in names)],
            [[depth, *(getattr(self, name)[i] for name in names)] for i, depth in enumerate(self.depths.tolist())],
            [f"{networks} for each depth, seed {s.seed}, {s.method}; medians of logarithms +- s.e."],
            ["", f"forward:  {self.forward.sentence}", f"backward: {self.backward.sentence}"],
        )

    def summary(self) -> Table:
        """Return a table by depth, and the sentences of both verdicts."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return f"<Regime: forward {self.forward.name}, backward {self.backward.name}, depths {self.depths.tolist()}>"


def judge(model: ResidualNetwork, simulations: Sequence[Record], threshold: float) -> Regime:
    """Return the regime of ``model``, from a simulation of each depth that followed gradients; depths increase.

    Raises
    ------
    ValueError
        If a ratio is 0 in about half of the networks, whose median has no logarithm.
    """
    depths = [sim.model.depth for sim in simulations]
    found = {name: _medians(name, simulations) for name in SHOWN}
    doubt = _doubt(simulations[-1], float(found["growth"].value[-1]))
    forward, backward = (
        decide(name, depths, found[name], threshold, _quartiles((name, beside), simulations), doubt)
        for name, beside in zip(DECIDED, ("growth", "gradient"), strict=True)
    )
    for verdict in (forward, backward):
        share_networks(verdict, Networks.of_all(sim.drawn for sim in simulations))
    return Regime(
        np.array(depths), model=model, forward=forward, backward=backward, simulations=tuple(simulations), **found
    )


def _doubt(last: Record, growth: float) -> str:
    """Return why growth up to the largest depth proves no explosion, in words; empty if nothing speaks against it."""
    model = last.lowered.general
    if not model.inside or not model.sigma.smooth or model.sigma.curvature_at_zero == 0.0:
        return ""
    size = abs(float(model.scales[-1])) * float(np.hypot(model.inputs.size * np.exp(min(growth, 700.0)), model.bias))
    return f"arguments of the activation are of size {size:.2g} there, which is not near 0" if size > 1.0 else ""


def _quartiles(names: Sequence[str], simulations: Sequence[Record]) -> dict[str, Estimate]:
    """Return quartiles of two ratios' logarithms in each simulation, and the second's median, by what they are."""
    found = {}
    for name in names:
        analyses = [log_ratio.analyse(sim, name) for sim in simulations]
        for p, words in ((0.25, "lower quartile"), (0.5, "median"), (0.75, "upper quartile")):
            if p == 0.5 and name in DECIDED:
                continue
            each = [one.quantile(p) for one in analyses]
            value, stderr, df = (
                np.array([float(getattr(e, part)) for e in each]) for part in ("value", "stderr", "df")
            )
            n = np.array([int(e.n) for e in each])
            found[f"the {words} of {SHOWN[name]}"] = Estimate(0.5 * value, 0.5 * stderr, n, df)
    return found


def _medians(name: str, simulations: Sequence[Record]) -> Estimate:
    """Return the median of the logarithm of a ratio, a root of a quotient, in each simulation."""
    found = []
    for sim in simulations:
        median = log_ratio.analyse(sim, name).median
        if median is None or not np.isfinite([median.value, median.stderr]).all():
            share = f"about half of the networks at depth={sim.model.depth}"
            raise ValueError(f"{SHOWN[name]} is 0 in {share}: its median has no logarithm")
        found.append(median)
    value, stderr = (0.5 * np.array([float(getattr(m, part)) for m in found]) for part in ("value", "stderr"))
    df = np.array([float(m.df) for m in found])
    drawn = np.array([sim.drawn for sim in simulations], object)
    return share_networks(Estimate(value, stderr, np.array([int(m.n) for m in found]), df), drawn)
