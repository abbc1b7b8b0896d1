"""The projected trick in torch, eagerly and under `torch.compile`, in float32 on a batch of networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from .problem import SCALE, Floats, Problem, in_batches, log_norms, steps

LAYERS_AT_ONCE = 8  # at most, in one compiled call: calling compiled code costs some microseconds of Python


def eager(
    problem: Problem, networks: int, seed: int, *, batch: int = 256, threads: int = 1, in_python: bool = False
) -> Floats:
    """z <- alpha z + lam sqrt(2/n) |phi(z)| g in four passes in place.

    The factor alpha is folded into the step and multiplied in once every ``problem.fold`` layers: one pass less.
    torch draws normals on one thread whatever its settings; ``in_python`` gives every thread batches of its own.
    """

    def simulate(worker: int, batches: int) -> list[Floats]:
        if in_python:  # else whoever calls has set torch's threads
            torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(seed + (worker << 16))  # of 32 bits in all
        z, g, active = (torch.empty(batch, problem.width) for _ in range(3))
        norm, signs = torch.empty(batch, 1), Signs(z.numel(), generator)
        found = []
        with torch.inference_mode():
            for _ in range(batches):
                torch.randn(z.shape, generator=generator, out=z).mul_(SCALE)
                for factor, rescale in steps(problem):
                    if problem.variant == "vanilla":
                        torch.clamp_min(z, 0.0, out=active)
                    else:  # relu(s z) has the norm of z over the neurons with s = sign z: a fair bit each, whatever z
                        torch.mul(z, kept(signs.draw(), z), out=active)
                    torch.linalg.vector_norm(active, dim=1, keepdim=True, out=norm)
                    torch.randn(z.shape, generator=generator, out=g)
                    z.addcmul_(g, norm.mul_(factor))
                    if rescale != 1.0:
                        z.mul_(rescale)
                found.append(log_norms(z.numpy()))
        return found

    return in_batches(simulate, networks, batch, threads if in_python else 1)


def compiled(problem: Problem, networks: int, seed: int, *, batch: int = 256, threads: int = 1) -> Floats:
    """The same under torch.compile, some layers to a call: the passes are fused, the normals are torch's own."""
    at_once = max(k for k in range(1, LAYERS_AT_ONCE + 1) if problem.depth % k == 0)
    advance = _compiled(problem.alpha, problem.step, at_once, problem.variant)
    torch.manual_seed(seed)
    signs = Signs(batch * problem.width, None, at_once)

    def simulate(worker: int, batches: int) -> list[Floats]:
        found = []
        with torch.no_grad():
            for _ in range(batches):
                z = torch.randn(batch, problem.width).mul_(SCALE)
                for _ in range(0, problem.depth, at_once):
                    z = advance(z, signs.draw() if problem.variant == "balanced" else signs.words)
                found.append(log_norms(z.numpy()))
        return found

    return in_batches(simulate, networks, batch)


@cache
def _compiled(alpha: float, step: float, layers: int, variant: str) -> Callable[..., torch.Tensor]:
    def some_layers(z: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
        for layer in range(layers):
            active = torch.relu(z) if variant == "vanilla" else z * kept(signs[layer], z)
            norm = torch.linalg.vector_norm(active, dim=1, keepdim=True)
            z = alpha * z + step * norm * torch.randn_like(z)
        return z

    # Without fallback_random the compiled code draws its normals one by one, ten times slower.
    return torch.compile(some_layers, dynamic=False, options={"fallback_random": True})


class Signs:
    """A fair bit for each neuron of a batch, 64 to a word."""

    def __init__(self, neurons: int, generator: torch.Generator | None, layers: int = 0) -> None:
        shape = (-(-neurons // 64),)
        self.words = torch.zeros((layers, *shape) if layers else shape, dtype=torch.int64)
        self.generator = generator

    def draw(self) -> torch.Tensor:
        return self.words.random_(-(2**63), None, generator=self.generator)


_BITS = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8)


def kept(words: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """The bits of ``words`` as booleans in the shape of z."""
    bits = (words.view(torch.uint8)[:, None] & _BITS).ne(0)
    return bits.view(-1)[: z.numel()].view(z.shape)
