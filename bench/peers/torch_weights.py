"""Explicit weights in torch, a batch of networks in one product: what the dense method is compared with."""

from __future__ import annotations

import torch

from .problem import SCALE, Floats, Problem, in_batches, log_norms
from .published import active


def batched(
    problem: Problem, networks: int, seed: int, *, batch: int = 16, threads: int = 1, in_python: bool = False
) -> Floats:
    """Weights drawn afresh for each layer into one buffer, `torch.bmm`; ``in_python`` as in `torch_projected.eager`."""
    n = problem.width

    def simulate(worker: int, batches: int) -> list[Floats]:
        if in_python:
            torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(seed + (worker << 16))  # of 32 bits in all
        weights, branch = torch.empty(batch, n, n), torch.empty(batch, n, 1)
        found = []
        with torch.inference_mode():
            for _ in range(batches):
                z = torch.randn(batch, n, 1, generator=generator).mul_(SCALE)
                for _ in range(problem.depth):
                    torch.randn(weights.shape, generator=generator, out=weights)
                    torch.bmm(weights, active(problem, z), out=branch)
                    z.mul_(problem.alpha).add_(branch, alpha=problem.step)
                found.append(log_norms(z[:, :, 0].numpy()))
        return found

    return in_batches(simulate, networks, batch, threads if in_python else 1)
