"""`regime`: several depths of one residual network, simulated and judged by `resmc.analyses.regime`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .._system import checks
from .._system.progress import reporting
from .._system.stopping import stoppable
from .._system.words import brief
from ..analyses.regime import Regime, judge
from ..analyses.verdict import THRESHOLD, check_depths, check_threshold
from ..engine.devices import Named
from ..engine.request import MAX_NETWORK
from ..models.processes import Covariance
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..results.estimates import MIN_NETWORKS
from ..simulation import simulate

DEPTHS = (10, 30, 100, 300, 1000)


@stoppable()
def regime(
    model: ResidualNetwork,
    depths: Sequence[int] = DEPTHS,
    *,
    networks: float = 2000,
    seed: int = 0,
    method: str = "auto",
    threshold: float = THRESHOLD,
    progress: bool | Callable[[int, int], object] | None = None,
    device: Named = "auto",
    threads: int | None = None,
) -> Regime:
    """Simulate ``model`` at several depths, and say whether it explodes, tends to the identity, or does neither.

    Forward pass and gradient are judged by the slope, with its confidence interval, of the median log-quotient against
    ln L, by the slope at the largest depths, by the level there, and by the quartiles. `resmc.analyses.verdict` states
    the rule, its power, and what it cannot see; where it cannot tell it says "undecided", and why.

    >>> found = resmc.regime(ResidualNetwork(40, 1, "v-phi-w", scaling=DepthScaling(0.5)))
    >>> print(found.summary())

    Parameters
    ----------
    model : ResidualNetwork
        A network with a `DepthScaling` and carry 1; its own depth has no meaning here. Layers may depend on each other,
        but for a covariance matrix; their networks then take longer, at cost width^2 a layer.
    depths : sequence of int
        At least three depths, increasing; a verdict takes at least four, the last 10 times the first or more. A factor
        of 30 or more tells most.
    networks : int
        Networks for each depth, at least 32. Depth number i has the networks i * networks .. (i + 1) * networks - 1 of
        ``seed``, so that depths are independent.
    threshold : float
        Slopes between -threshold and threshold count as none.
    seed, method, progress, device, threads
        As for `simulate`.

    Raises
    ------
    ValueError
        For a model whose depth cannot be chosen (a `ResNet`, scaling layer by layer), arguments out of range, or a
        quotient that is 0 in about half of the networks, so that its median has no logarithm.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929); the rule is ours.
    """
    _check_model(model)
    chosen = check_depths(depths)
    networks = checks.integer("networks", networks, MIN_NETWORKS, MAX_NETWORK // len(chosen), "2^48 over the depths")
    threshold = check_threshold(threshold)
    models = [replace(model, depth=depth) for depth in chosen]
    total, before, simulations = sum(chosen), 0, []
    with reporting(progress, networks * len(chosen), "regime") as report:
        for i, one in enumerate(models):
            told: Any = False
            if report is not None:
                told = lambda done, n, b=before, d=one.depth: report((b + d * done / n) / total)  # noqa: E731
            sim = simulate(
                one,
                networks=networks,
                seed=seed,
                first_network=i * networks,
                method=method,
                gradients=True,
                layers=[0],
                correlations=False,
                progress=told,
                device=device,
                threads=threads,
            )
            simulations.append(sim)
            before += one.depth
    return judge(model, simulations, threshold)


def _check_model(model: Any) -> None:
    if not isinstance(model, ResidualNetwork):
        raise ValueError(
            f"model={brief(model)} is not allowed: it must be a ResidualNetwork, whose branches shrink with L"
        )
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError("scaling layer by layer is not allowed: it has one depth, and a regime needs a DepthScaling")
    if isinstance(model.dependence, Covariance):
        raise ValueError("weights with a covariance matrix are not allowed: it has one depth")
    if model.carry != 1.0:
        raise ValueError(f"carry={model.carry!r} is not allowed: a regime needs 1, or all grows or falls like carry^L")
