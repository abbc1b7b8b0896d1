r"""Explosion, identity, or neither? What a residual network tends to as its depth L grows (arXiv 2206.06929).

With independent weights and branches of size c L^(-beta), \|h_L - h_0\|/\|h_0\| and the gradient's
\|p_0 - p_L\|/\|p_L\| tend to 0 like L^(1/2 - beta) for beta > 1/2 (the identity), to a law for beta = 1/2 (the only
non-trivial exponent), and grow for beta < 1/2: with unbounded activations faster than any power.

How that is decided, and what it cannot see, is in `resmc.analyses.verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from ..estimates import MIN_NETWORKS, Estimate
from ..progress import reporting
from ..residual_network import DepthScaling, ResidualNetwork
from ..simulate import MAX_NETWORK, simulate
from ..simulation import Simulation
from ._result import Result
from .verdict import DECIDED, SHOWN, THRESHOLD, Verdict, check_depths, check_threshold, decide

DEPTHS = (10, 30, 100, 300, 1000)


@dataclass(frozen=True, eq=False, repr=False)
class Regime(Result):
    r"""The verdicts and their evidence; what `regime` returns.

    Attributes
    ----------
    depths : ndarray of int, shape (D,)
    displacement, growth : Estimate, shape (D,)
        Medians of ln \|h_L - h_0\|/\|h_0\| and ln \|h_L\|/\|h_0\|: without the squares of `LogRatio`.
    gradient_displacement, gradient : Estimate, shape (D,)
        Medians of ln \|p_0 - p_L\|/\|p_L\| and ln \|p_0\|/\|p_L\|.
    model : ResidualNetwork
        Its depth has no meaning here.
    forward, backward : Verdict
        On displacement and gradient_displacement.
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
    simulations: tuple[Simulation, ...]

    def summary(self) -> str:
        """A table by depth, and both sentences."""
        m, s = self.model, self.simulations[0]
        lines = [
            f"regime of {m.block}, {m.activation}  width {m.width}  {m.scaling}  {m.weights}, bias {m.bias:.6g}",
            f"{s.networks} networks for each depth, seed {s.seed}, {s.method}; medians of logarithms +- s.e.",
            "",
            "depth   " + "".join(f"{'ln ' + SHOWN[name]:<22}" for name in self._by_entry[1:]).rstrip(),
        ]
        for i, depth in enumerate(self.depths):
            cells = (getattr(self, name)[i] for name in self._by_entry[1:])
            lines.append(f"{depth:<8}" + "".join(f"{cell!s:<22}" for cell in cells).rstrip())
        return "\n".join([*lines, "", f"forward:  {self.forward.sentence}", f"backward: {self.backward.sentence}"])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"<Regime: forward {self.forward.name}, backward {self.backward.name}, depths {self.depths.tolist()}>"


def regime(
    model: ResidualNetwork,
    depths: Sequence[int] = DEPTHS,
    *,
    networks: int = 2000,
    seed: int = 0,
    method: str = "projected",
    threshold: float = THRESHOLD,
    progress: bool | Callable[[int, int], None] | None = None,
    device: Any = "auto",
    threads: int | None = None,
) -> Regime:
    r"""Simulate ``model`` at several depths, and say whether it explodes, tends to the identity, or does neither.

    For the forward pass and for the gradient, by the slope of the median of the ratios' logarithms against ln L with
    its interval: `resmc.analyses.verdict` states the rule, its power, and what it cannot see.

    >>> found = resmc.regime(ResidualNetwork(40, 1, "v-phi-w", scaling=DepthScaling(0.5)))
    >>> print(found.summary())

    Parameters
    ----------
    model : ResidualNetwork
        With a `DepthScaling` and carry 1; its own depth has no meaning here.
    depths : sequence of int
        At least three, increasing. A factor of 30 and more between the ends tells most.
    networks : int
        For each depth, at least 32. Depth number i has the networks i * networks .. (i + 1) * networks - 1 of ``seed``,
        so that depths are independent.
    threshold : float
        Slopes between -threshold and threshold count as none.
    seed, method, progress, device, threads
        As for `simulate`.

    Raises
    ------
    ValueError
        For a model without depths to choose (a `ResNet`, scaling layer by layer), arguments out of range, or a ratio
        that is 0 in about half of the networks, whose median has no logarithm.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929); the rule is ours.
    """
    _check_model(model)
    chosen = check_depths(depths)
    networks = _checks.integer("networks", networks, MIN_NETWORKS, MAX_NETWORK // len(chosen), "2^48 over the depths")
    threshold = check_threshold(threshold)
    models = [replace(model, depth=depth) for depth in chosen]
    total, before, simulations = sum(chosen), 0, []
    with reporting(progress, networks * len(chosen), "regime") as report:
        for i, one in enumerate(models):
            told: Any = False
            if report is not None:
                told = lambda done, n, b=before, d=one.depth: report((b + d * done / n) / total)  # noqa: E731
            simulations.append(
                simulate(one, networks=networks, seed=seed, first_network=i * networks, method=method, gradients=True,
                         layers=[0], correlations=False, progress=told, device=device, threads=threads)
            )  # fmt: skip
            before += one.depth
    found = {name: _medians(name, simulations) for name in SHOWN}
    forward, backward = (decide(name, chosen, found[name], threshold) for name in DECIDED)
    return Regime(np.array(chosen), model=model, forward=forward, backward=backward, simulations=tuple(simulations),
                  **found)  # fmt: skip


def _medians(name: str, simulations: Sequence[Simulation]) -> Estimate:
    """Of the ratio's logarithm, by simulation."""
    found = []
    for sim in simulations:
        median = sim.log_ratio(name).median
        if median is None or not np.isfinite([median.value, median.stderr]).all():
            share = f"about half of the networks at depth={sim.model.depth}"
            raise ValueError(f"{SHOWN[name]} is 0 in {share}: its median has no logarithm")
        found.append(median)
    value, stderr = (0.5 * np.array([float(getattr(m, part)) for m in found]) for part in ("value", "stderr"))
    return Estimate(value, stderr, np.array([int(m.n) for m in found]))


def _check_model(model: Any) -> None:
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={model!r} is not allowed: it must be a ResidualNetwork, whose branches shrink with L")
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError("scaling layer by layer is not allowed: it has one depth, and a regime needs a DepthScaling")
    if model.carry != 1.0:
        raise ValueError(f"carry={model.carry!r} is not allowed: a regime needs 1, or all grows or falls like carry^L")
