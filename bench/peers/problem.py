"""What every peer simulates, and what they share: steps with alpha folded in, batches, threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Peer = Callable[..., Floats]

# Batched peers start so much larger, which every layer keeps: they shrink with depth, and at width 40 and depth 1000
# the float32 squares of one network in some hundred would otherwise underflow.
SCALE = 2.0**20


@dataclass(frozen=True)
class Problem:
    """The network to simulate, with alpha > 0: the batched peers take it out of the ReLU."""

    width: int
    depth: int
    alpha: float = math.sqrt(0.5)
    lam: float = math.sqrt(0.5)
    variant: str = "vanilla"

    def __post_init__(self) -> None:
        if not self.alpha > 0.0:
            raise ValueError(f"alpha={self.alpha!r} is not allowed: it must be positive")
        if self.variant not in ("vanilla", "balanced"):
            raise ValueError(f"variant={self.variant!r} is not allowed: it must be 'vanilla' or 'balanced'")

    @property
    def neurons(self) -> int:
        """Neuron updates of one network."""
        return self.width * self.depth

    @property
    def step(self) -> float:
        """The factor lam sqrt(2/n) of W phi(z)."""
        return self.lam * math.sqrt(2.0 / self.width)

    @property
    def fold(self) -> int:
        """For how many layers the factor alpha may be kept apart before a float32 norm could overflow."""
        growth = 0.5 * math.log2(1.0 + (self.lam / self.alpha) ** 2) + abs(math.log2(self.alpha))
        return max(1, int(20.0 / max(growth, 1e-3)))


def steps(problem: Problem) -> Iterator[tuple[float, float]]:
    """For each layer, the factor of |phi| g in z / alpha and what to multiply z by afterwards."""
    factor = problem.step / problem.alpha
    for layer in range(1, problem.depth + 1):
        if layer == problem.depth:
            yield factor, problem.alpha ** ((layer - 1) % problem.fold + 1)
        else:
            yield factor, problem.alpha**problem.fold if layer % problem.fold == 0 else 1.0


def log_norms(z: NDArray[Any]) -> Floats:
    """L_d of each row that started with `SCALE`, in double: its square may be too small for float32."""
    squares = np.einsum("ij,ij->i", z, z, dtype=np.float64)
    return np.asarray(np.log(squares / z.shape[1]) - 2.0 * math.log(SCALE))


def in_batches(simulate: Callable[[int, int], list[Floats]], networks: int, batch: int, workers: int = 1) -> Floats:
    """Log-norms of ``networks`` networks in whole batches, shared among ``workers`` threads of Python.

    ``simulate(worker, batches)`` returns one array per batch. Every library here releases the interpreter while it
    computes.
    """
    total = -(-networks // batch)
    counts = [total // workers + (worker < total % workers) for worker in range(workers)]
    if workers == 1:
        found = [simulate(0, total)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(simulate, range(workers), counts))
    return np.concatenate([part for parts in found for part in parts])[:networks]
