"""ReLU networks in torch, float32, forwards and backwards: by the same exact-in-law trick, and by weights and autograd.

phi-in, h' = alpha h + lam sqrt(2/n) W relu(h), as `Problem` has it, and v-phi-w, h' = alpha h + lam sqrt(2/n) V relu(u)
with u = W h/sqrt(n), whose W is met by the same trick. Gradients are those of one output, p = (dh'/dh)^T p', and what
is returned is log |p_0|^2/|p_d|^2; without them log |h_d|^2/|h_0|^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from .problem import Floats, Problem, in_batches

Tensor = torch.Tensor
LAYERS_AT_ONCE = 4  # at most, in one compiled call


def forward(h: Tensor, alpha: float, step: float, inner: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Make the next layer, and what its way back needs: the normals, and with two matrices those of the inner one."""
    if inner:
        first = torch.randn_like(h)
        active = first.clamp_min(0.0) * (torch.linalg.vector_norm(h, dim=1, keepdim=True) / math.sqrt(h.shape[1]))
    else:
        first, active = h, h.clamp_min(0.0)
    g = torch.randn_like(h)
    size = torch.linalg.vector_norm(active, dim=1, keepdim=True)
    return alpha * h + (step * size) * g, (h, first, active, g)


def transposed(x: Tensor, g: Tensor, v: Tensor) -> Tensor:
    """W^T v where W x = |x| g: x (g.v/|x| - |v| x.f/|x|^2) + |v| f with fresh normals f."""
    fresh = torch.randn_like(x)
    square = (x * x).sum(1, keepdim=True).clamp_min(1e-30)  # where x is 0, any number serves
    norm = torch.linalg.vector_norm(v, dim=1, keepdim=True)
    along = (g * v).sum(1, keepdim=True) / square.sqrt() - norm * (x * fresh).sum(1, keepdim=True) / square
    found: Tensor = along * x + norm * fresh
    return found


def backward(p: Tensor, made: tuple[Tensor, ...], alpha: float, step: float, inner: bool) -> Tensor:
    """Make p of the layer before."""
    h, first, active, g = made
    v = (step * transposed(active, g, p)) * (first > 0.0)
    if inner:
        v = transposed(h, first, v) / math.sqrt(h.shape[1])
    return alpha * p + v


def projected(
    problem: Problem,
    networks: int,
    seed: int,
    *,
    inner: bool,
    gradients: bool,
    batch: int = 256,
    compiled: bool = False,
) -> Floats:
    """Return the logarithms of quotients, by the trick; all layers of a batch are kept for the way back."""
    n, d = problem.width, problem.depth
    at_once = max(k for k in range(1, LAYERS_AT_ONCE + 1) if d % k == 0) if compiled else 1
    onwards, back = _passes(problem.alpha, problem.step, inner, at_once, compiled)
    torch.manual_seed(seed)

    def simulate(worker: int, batches: int) -> list[Floats]:
        found = []
        with torch.no_grad():
            for _ in range(batches):
                start = h = torch.randn(batch, n)
                kept = []
                for _ in range(0, d, at_once):
                    h, made = onwards(h)
                    if gradients:
                        kept.append(made)
                if gradients:
                    start = h = torch.randn(batch, n)
                    while kept:
                        h = back(h, kept.pop())
                found.append(_quotient(h, start))
        return found

    return in_batches(simulate, networks, batch)


@cache
def _passes(alpha: float, step: float, inner: bool, layers: int, compiled: bool) -> tuple[Callable[..., Any], ...]:
    def onwards(h: Tensor) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
        made = []
        for _ in range(layers):
            h, of_layer = forward(h, alpha, step, inner)
            made.append(of_layer)
        return h, made

    def back(p: Tensor, made: list[tuple[Tensor, ...]]) -> Tensor:
        for of_layer in reversed(made):
            p = backward(p, of_layer, alpha, step, inner)
        return p

    if not compiled:
        return onwards, back
    options: dict[str, Any] = {"fallback_random": True}  # without it normals are drawn one by one, ten times slower
    return tuple(torch.compile(f, dynamic=False, options=options) for f in (onwards, back))


def explicit(problem: Problem, networks: int, seed: int, *, inner: bool, batch: int = 4) -> Floats:
    """Return log |p_0|^2/|p_d|^2 from weights that are drawn, torch.bmm and autograd."""
    n, d = problem.width, problem.depth

    def simulate(worker: int, batches: int) -> list[Floats]:
        generator = torch.Generator().manual_seed(seed)

        def weights() -> Tensor:
            return torch.randn(batch, n, n, generator=generator)

        found = []
        for _ in range(batches):
            first = h = torch.randn(batch, n, 1, generator=generator).requires_grad_()
            for _ in range(d):
                u = torch.bmm(weights(), h) / math.sqrt(n) if inner else h
                h = torch.baddbmm(h, weights(), torch.relu(u), beta=problem.alpha, alpha=problem.step)
            row = torch.randn(batch, n, 1, generator=generator)
            (p,) = torch.autograd.grad((row * h).sum(), first)
            found.append(_quotient(p[:, :, 0], row[:, :, 0]))
        return found

    return in_batches(simulate, networks, batch)


def _quotient(end: Tensor, start: Tensor) -> Floats:
    squares = [x.double().square().sum(1) for x in (end, start)]
    return (squares[0] / squares[1]).log().numpy()
