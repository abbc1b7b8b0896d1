"""`limit`: the equation that a residual network of fixed width tends to as its depth grows, of whatever kind it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from .._system.progress import reporting
from .._system.stopping import stoppable
from .._system.words import brief
from ..models.residual_network import ResidualNetwork
from ..results.estimates import Floats
from ..theory.depth import depth_limit
from ..theory.depth_kinds import as_independent, depth_kind
from ..theory.ordinary import depth_ode
from ..theory.trend_noise import trend_noise_limit
from . import depth_limit as in_law
from . import ode_limit, trend_limit
from .convergence import checked_depths
from .depth_limit import MAX_STEPS, DepthLimit
from .ode_limit import OdeLimit

MAX_NETWORKS = 10**8
NETWORKS = {"sde": 10_000, "sde with drift": 1_000, "ode": 32}  # by kind of limit
STEPS = 400
DEPTHS = {"ode": (128, 256, 512, 1024, 2048), "sde with drift": (32, 64, 128, 256)}


@stoppable()
def limit(
    model: ResidualNetwork,
    *,
    networks: float | None = None,
    seed: int = 0,
    steps: int | None = None,
    depths: Sequence[int] | None = None,
    h0: ArrayLike | None = None,
    gradients: bool = True,
    progress: bool | Callable[[int, int], object] | None = None,
) -> DepthLimit | OdeLimit:
    """Simulate the limit of ``model`` as its depth grows at fixed width, forward and backward.

    The weights' dependence in depth decides which equation that is (`resmc.theory.depth_kind`):

    ==========================  ======================================  ===========================================
    weights                     the limit                               returned
    ==========================  ======================================  ===========================================
    independent, beta = 1/2     an Ito equation, in law                 `DepthLimit`
    smooth or tied, beta = 1    an ordinary equation for each network   `OdeLimit`: its solution, and how networks
                                                                        of several depths tend to it
    `Mixture`, b = (1, 1/2)     an Ito equation with a drift            `TrendNoiseLimit`: a `DepthLimit`, and how
                                                                        networks tend to it that share its noise
    ==========================  ======================================  ===========================================

    The start is H_0 = A x as in a network, or ``h0``; the backward pass starts from P_1, a row of W_out. By default, a
    width of 40 takes 10 to 60 seconds on one core, or two minutes with v-phi-w and a kinked activation on smooth
    weights. The memory stays below 500 MB for independent weights, and below 2 GB for all.

    Parameters
    ----------
    model : ResidualNetwork
        A network with carry 1, and a scaling that has a limit. The depth has no meaning here, but that a readout is
        drawn for each depth anew.
    networks : int, optional
        How many networks, 1 to 10^8: by default 10,000 with independent weights, 1000 with a mixture, of which the
        first 32 are compared with networks, and 32 with smooth or tied ones.
    seed : int
        0 to 2^64 - 1. Equal arguments give equal numbers. Networks that are followed one by one have the first layer,
        the readout and the smooth or tied weights of those of ``simulate(.., seed=seed)``, number 0 and on; all else
        comes from ``numpy.random.Philox``.
    steps : int, optional
        Steps of the fine grid for an Ito equation in law, even, 2 to 2^20, by default 400; ``refinement`` in the result
        shows their effect. Not for ordinary equations, whose steps SciPy chooses.
    depths : sequence of int, optional
        Depths of the networks that are compared with their equations, increasing: by default 128, 256, .., 2048 for
        ordinary equations, and 32, 64, 128, 256 for a mixture. Not for independent weights.
    h0 : array of float, shape (width,), optional
        A start H_0 that all networks share.
    gradients : bool
        True to simulate the backward pass too.
    progress : bool or callable, optional
        As for `simulate`.

    Raises
    ------
    ValueError
        If the model has no such limit (the message says why), or an argument is out of range.
    """
    kind = depth_kind(model)
    if kind.name not in NETWORKS:
        raise ValueError(kind.reason)
    count = NETWORKS[kind.name] if networks is None else networks
    count = checks.integer("networks", count, 1, MAX_NETWORKS, "10^8")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    if kind.name == "ode" and steps is not None:
        raise ValueError(f"steps={brief(steps)} is not allowed: SciPy chooses those of an ordinary equation")
    steps = checks.integer("steps", STEPS if steps is None else steps, 2, MAX_STEPS, "even, to 2^20")
    if steps % 2:
        raise ValueError(f"steps={steps} is not allowed: it must be even, for a grid of half as many")
    if kind.name == "sde" and depths is not None:
        raise ValueError(
            f"depths={brief(depths)} is not allowed: the limit of independent weights is one in law, and no network "
            "has an equation of its own"
        )
    chosen = [] if kind.name == "sde" else checked_depths(DEPTHS[kind.name] if depths is None else depths)
    checks.boolean("gradients", gradients)
    start = None if h0 is None else _start(model, h0)
    with reporting(progress, count, "limit") as report:
        if kind.name == "ode":
            return ode_limit.simulate(depth_ode(model), count, seed, chosen, start, gradients, report)
        if kind.name == "sde":
            plain = as_independent(model)
            assert plain is not None
            return in_law.simulate(depth_limit(plain), count, seed, steps, start, gradients, report)
        return trend_limit.simulate(trend_noise_limit(model), count, seed, steps, chosen, start, gradients, report)


def _start(model: ResidualNetwork, h0: ArrayLike) -> Floats:
    try:
        start = np.asarray(h0, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"h0={brief(h0)} is not allowed: it must be an array of numbers") from None
    if start.shape != (model.width,):
        raise ValueError(f"h0 of shape {start.shape} is not allowed: it must have width={model.width} entries")
    if not np.isfinite(start).all() or not start.any():
        raise ValueError("h0 is not allowed to hold infinite numbers or NaN, or nothing but 0")
    largest = float(np.abs(start).max())
    if not model.homogeneous and not 2.0**-50 <= largest <= 2.0**50:
        raise ValueError(
            f"h0 with a largest entry of {largest:g} is out of range with activation={model.activation!r} and "
            f"bias={model.bias!r}, whose networks cannot be rescaled: it must be from 2^-50 to 2^50"
        )
    return start
