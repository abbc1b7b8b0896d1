"""Several inputs through a network in torch, float32: by the same exact-in-law trick, and by weights and autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .problem import Floats, Problem, in_batches, steps


def start(cosines: list[list[float]]) -> torch.Tensor:
    """Return the Cholesky factor of the inputs' Gram matrix."""
    return torch.linalg.cholesky(torch.tensor(cosines, dtype=torch.float64)).float()


def projected(problem: Problem, networks: int, seed: int, *, factor: torch.Tensor, batch: int = 128) -> Floats:
    """Return cosines of inputs 0 and 1 in the last layer: W Phi = G C^T with C C^T = Phi^T Phi, in place.

    torch has no fast Cholesky factor of many small matrices: column after column, all networks at once, is faster.
    """
    m, n = len(factor), problem.width

    def simulate(worker: int, batches: int) -> list[Floats]:
        generator = torch.Generator().manual_seed(seed)
        h, g, active = (torch.empty(batch, m, n) for _ in range(3))
        found = []
        with torch.inference_mode():
            for _ in range(batches):
                torch.randn(h.shape, generator=generator, out=g)
                torch.matmul(factor, g, out=h)
                for step, rescale in steps(problem):
                    torch.clamp_min(h, 0.0, out=active)
                    lower = cholesky(torch.bmm(active, active.mT))
                    torch.randn(h.shape, generator=generator, out=g)
                    torch.baddbmm(h, lower, g, alpha=step, out=h)
                    if rescale != 1.0:
                        h.mul_(rescale)
                gram = torch.bmm(h[:, :2], h[:, :2].mT).double()
                found.append((gram[:, 0, 1] / (gram[:, 0, 0] * gram[:, 1, 1]).sqrt()).numpy())
        return found

    return in_batches(simulate, networks, batch)


def cholesky(gram: torch.Tensor) -> torch.Tensor:
    """Return the lower triangular factors of positive definite matrices (B, m, m)."""
    lower = torch.zeros_like(gram)
    for j in range(gram.shape[-1]):
        rest = gram[:, j:, j]
        if j:
            rest = rest - torch.bmm(lower[:, j:, :j], lower[:, j, :j, None])[:, :, 0]
        lower[:, j:, j] = rest * rest[:, :1].clamp_min(1e-30).rsqrt()
    return lower


def explicit_kernels(problem: Problem, networks: int, seed: int, *, factor: torch.Tensor, batch: int = 4) -> Floats:
    """Return (K_00, K_01) of the layers' matrices, (networks, 2), from weights, torch.bmm and autograd.

    The parameters are W with entries of variance 1; a gradient is made for each input, of all networks at once.
    """
    m, n, d = len(factor), problem.width, problem.depth

    def simulate(worker: int, batches: int) -> list[Any]:
        generator = torch.Generator().manual_seed(seed)
        found = []
        for _ in range(batches):
            weights = [torch.randn(batch, n, n, generator=generator).requires_grad_() for _ in range(d)]
            h = factor @ torch.randn(batch, m, n, generator=generator)
            readout = torch.randn(batch, n, 1, generator=generator) / math.sqrt(n)
            for w in weights:
                h = torch.baddbmm(h, torch.relu(h), w.mT, beta=problem.alpha, alpha=problem.step)
            outputs = torch.bmm(h, readout)[:, :, 0]
            grads = [torch.autograd.grad(outputs[:, a].sum(), weights, retain_graph=a + 1 < m) for a in range(m)]
            kernel = torch.zeros(batch, 2, dtype=torch.float64)
            for b in range(2):
                for x, y in zip(grads[0], grads[b], strict=True):
                    kernel[:, b] += (x * y).sum((1, 2))
            found.append(kernel.numpy())
        return found

    return in_batches(simulate, networks, batch)


def hidden_layers(
    inputs: Sequence[Sequence[float]], width: int, networks: int, seed: int, *, batch: int = 8192
) -> Floats:
    """Return K_01, (networks,), of 3 fully connected hidden ReLU layers with weights N(0, 2), all written out.

    Gradients are taken by hand, with respect to the weights of all four matrices.
    """
    x, n, root = torch.tensor(inputs).T, width, math.sqrt(width)

    def simulate(worker: int, batches: int) -> list[Floats]:
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> torch.Tensor:
            return torch.randn(batch, *shape, generator=generator).mul_(math.sqrt(2.0))

        found = []
        with torch.inference_mode():
            for _ in range(batches):
                matrices = [weights(n, len(x)) / math.sqrt(len(x)), *(weights(n, n) / root for _ in range(2))]
                met, pre = [x.expand(batch, -1, -1)], []
                for matrix in matrices:
                    pre.append(matrix @ met[-1])
                    met.append(torch.relu(pre[-1]))
                back, sizes = weights(n, 1) / root, (len(x), n, n)
                kernel = (met[-1][:, :, 0] * met[-1][:, :, 1]).sum(1, dtype=torch.float64) / n
                for matrix, u, a, fan_in in zip(matrices[::-1], pre[::-1], met[-2::-1], sizes[::-1], strict=True):
                    q = (u > 0) * back
                    kernel += (q[:, :, 0] * q[:, :, 1]).sum(1) * (a[:, :, 0] * a[:, :, 1]).sum(1) / fan_in
                    back = matrix.mT @ q
                found.append(kernel.numpy())
        return found

    return in_batches(simulate, networks, batch)
