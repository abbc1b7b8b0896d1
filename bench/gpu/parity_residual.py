"""Residual networks on the GPU against the CPU, one by one, there and back: the rows that `bench.gpu.parity` adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import resmc
from resmc import DepthScaling, ResidualNetwork, Simulation

from .common import Floats

BOUND = 1e-4  # of contract 3, for the logarithm of a norm
FORWARD = ("log_norm", "displacement")
BACKWARD = ("gradient", "gradient_displacement", "overlap")
ROOT = DepthScaling(0.5, 1.3)


@dataclass(frozen=True)
class ResidualCase:
    model: ResidualNetwork
    networks: int
    method: str = "projected"

    @property
    def name(self) -> str:
        m = self.model
        weights = "" if m.weights == "gaussian" else f" {m.weights}"
        return f"{self.method} {m.block} {m.activation}{weights} {m.width}x{m.depth}, there and back"

    def tolerated(self, quantity: str) -> float:
        """The part of the networks that may differ by more than BOUND.

        A gradient depends on masks, and one flips where a pre-activation is closer to a kink than rounding.
        """
        narrow = 0.0 if self.model.width >= 64 and self.method == "projected" else 0.01
        return 0.1 if quantity in BACKWARD else narrow


def of(block: str, activation: str, width: int, depth: int, networks: int, **more: Any) -> ResidualCase:
    method = more.pop("method", "projected")
    return ResidualCase(ResidualNetwork(width, depth, block, activation, **{"scaling": ROOT, **more}), networks, method)


# The most telling first, every block and method among them.
RESIDUAL_CASES = (
    of("phi-in", "relu", 192, 200, 20_000),
    of("v-phi-w", "gelu", 192, 200, 20_000, bias=0.3),
    of("phi-out", "balanced-half", 192, 200, 20_000, scaling=DepthScaling(0.5, -1.3, inside=True)),
    of("phi-in", "relu", 24, 20, 4_096, method="dense"),
    of("v-phi-w", "tanh", 24, 20, 4_096, method="dense", weights="uniform", bias=0.3),
    of("phi-out", "relu", 130, 8, 512, method="dense", weights="rademacher"),
    of("v-phi-w", "relu", 40, 40, 20_000),
    of("phi-out", "silu", 190, 200, 10_000),
    of("phi-in", "balanced", 4_096, 32, 400),
    of("v-phi-w", "relu", 192, 1000, 4_000),
)


def simulate(case: ResidualCase, device: Any, seed: int) -> Simulation:
    """Every network and some ten layers of it, on a device."""
    layers = range(0, case.model.depth + 1, max(1, case.model.depth // 10))
    return resmc.simulate(
        case.model, networks=case.networks, seed=seed, method=case.method, device=device, layers=layers, gradients=True,
        keep_trajectories=case.networks, progress=False,
    )  # fmt: skip


def quantities(sim: Simulation) -> dict[str, Floats]:
    """By name, (networks, layers)."""
    return {"log_norm": sim.trajectories.log_norm, **sim.trajectories.ratios}


def compare(case: ResidualCase, device: Any = "cuda", seed: int = 11) -> dict[str, Any]:
    """How far the networks are apart: by quantity, the largest on a path of the differences."""
    here, there = (quantities(simulate(case, where, seed)) for where in ("cpu", device))
    found, holds = {}, True
    for name in (*FORWARD, *BACKWARD):
        same = np.isneginf(here[name]) & np.isneginf(there[name])
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(here[name] - there[name])).max(axis=1)
        above = float(np.mean(~(difference <= BOUND)))  # a NaN is above
        found[name] = {"median": float(np.median(difference)), "max": float(difference.max()), "above": above}
        holds = holds and above <= case.tolerated(name)
    forward = (
        f"{1.0 - case.tolerated('log_norm'):.0%} within {BOUND:g}, backwards {1.0 - case.tolerated('gradient'):.0%}"
    )
    return {"networks": case.networks, "quantities": found, "asked": forward, "holds": holds}
