"""Populations that are resampled on the GPU against the CPU: the rows that `bench.gpu.parity` adds.

Where a sum of weights is as close to one of resampling's points as rounding moves it, an offspring goes to the
neighbour, and the population is another one of the same law from there on. That is rare, and the rarer the smaller
populations are: the distance of sums from points is that of 1/size, for each of as many sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet

from .common import HALF

BOUND = 1e-4  # of contract 3, for the logarithm of a mean of norms
TOLERATED = 0.01  # part of the populations that may have gone another way
SIZE = 64


@dataclass(frozen=True)
class PopulationCase:
    model: ResNet | ResidualNetwork
    populations: int
    q: float = 1.0

    @property
    def name(self) -> str:
        m = self.model
        kind = m.variant if isinstance(m, ResNet) else f"{m.block} {m.activation}"
        return f"populations of {SIZE}, {kind} {m.width}x{m.depth}, q {self.q:g}"


POPULATION_CASES = (
    PopulationCase(ResNet(40, 200, HALF, HALF), 512),
    PopulationCase(ResidualNetwork(40, 80, "v-phi-w", "relu", scaling=DepthScaling(0.5)), 512),
    PopulationCase(ResNet(192, 200, HALF, HALF, "balanced"), 256, 2.0),
    PopulationCase(ResNet(24, 48, HALF, HALF, "balanced-half"), 512, -1.0),
    PopulationCase(ResidualNetwork(192, 40, "phi-in", "tanh", bias=0.3, scaling=DepthScaling(0.5)), 256, 2.0),
    PopulationCase(ResidualNetwork(190, 40, "phi-out", "gelu", scaling=DepthScaling(0.5)), 256),
    PopulationCase(ResNet(4096, 16, HALF, HALF), 16, 4.0),
    PopulationCase(ResNet(3, 40, 0.0, 1.0), 512),  # networks die
)


def compare(case: PopulationCase, device: Any = "cuda", seed: int = 11) -> dict[str, Any]:
    """How far populations are apart: the largest difference of log Z over the layers, for each."""
    runs = [
        resmc.moment_growth(
            case.model, case.q, populations=case.populations, size=SIZE, seed=seed, device=where, progress=False
        )
        for where in ("cpu", device)
    ]
    here, there = (run.log_product for run in runs)
    with np.errstate(invalid="ignore"):
        apart = np.where(np.isneginf(here) & np.isneginf(there), 0.0, np.abs(here - there)).max(axis=1)
    above = float(np.mean(~(apart <= BOUND)))  # a NaN is above
    return {
        "populations": case.populations,
        "layers": len(runs[0].layers),
        "log_product_difference": {"median": float(np.median(apart)), "max": float(apart.max())},
        "above_1e-4": above,
        "asked": f"{1.0 - TOLERATED:.0%} within {BOUND:g}",
        "holds": above <= TOLERATED,
    }
