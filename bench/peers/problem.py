"""The same networks without resmc: as published, and as good as torch and NumPy allow.

Every peer is a function ``peer(problem, networks, seed, **options)`` returning the log-norms L_d = log(|z_d|^2 / n).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Peer = Callable[..., Floats]

BATCHES = tuple(2**k for k in range(4, 14))


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
    def fold(self) -> int:
        """For how many layers the factor alpha may be kept apart before a float32 norm could overflow."""
        growth = 0.5 * math.log2(1.0 + (self.lam / self.alpha) ** 2) + abs(math.log2(self.alpha))
        return max(1, int(20.0 / max(growth, 1e-3)))


class ResidualNetwork(torch.nn.Module):
    """One vanilla network with explicit Gaussian weights, as in the papers' own experiments."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        n = problem.width
        self.problem = problem
        self.first = torch.nn.Parameter(torch.randn(n, 1))
        self.weights = torch.nn.ParameterList(torch.nn.Parameter(torch.randn(n, n)) for _ in range(problem.depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.first @ x
        for weight in self.weights:
            branch = math.sqrt(2.0 / self.problem.width) * (weight @ torch.relu(z))
            z = self.problem.alpha * z + self.problem.lam * branch
        return z


def module_loop(problem: Problem, networks: int, seed: int) -> Floats:
    """As published: one torch module per network, explicit weights, loops in Python."""
    if problem.variant != "vanilla":
        raise ValueError(f"variant={problem.variant!r} is not allowed: the module loop is vanilla")
    torch.manual_seed(seed)
    x = torch.ones(1)
    log_norms = np.empty(networks)
    with torch.no_grad():
        for i in range(networks):
            z = ResidualNetwork(problem)(x)
            log_norms[i] = torch.log(torch.sum(z**2) / problem.width).item()
    return log_norms


def torch_projected(problem: Problem, networks: int, seed: int, batch: int = 256) -> Floats:
    """A batch of networks at once, z <- alpha z + lam sqrt(2/n) |relu(z)| g, in four in-place passes over float32.

    The factor alpha is folded into the step and multiplied in once every ``problem.fold`` layers: one pass less.
    """
    n = problem.width
    generator = torch.Generator().manual_seed(seed)
    buffers = [torch.empty(batch, n) for _ in range(3)]
    length = torch.empty(batch, 1)
    signs = torch.empty(-(-batch * n // 64), dtype=torch.int64)
    bits = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.uint8)
    log_norms = np.empty(networks)
    with torch.inference_mode():
        for start, size in _chunks(networks, batch):
            z, g, active = (b[:size] for b in buffers)
            norm = length[:size]
            torch.randn(size, n, generator=generator, out=z)
            for factor, rescale in steps(problem):
                if problem.variant == "vanilla":
                    torch.clamp_min(z, 0.0, out=active)
                else:  # relu(s z) has the norm of z over the neurons with s = sign z: a fair bit each, whatever z
                    signs.random_(-(2**63), None, generator=generator)
                    keep = (signs.view(torch.uint8)[:, None] & bits).ne_(0).view(-1)[: size * n].view(size, n)
                    torch.mul(z, keep, out=active)
                torch.linalg.vector_norm(active, dim=1, keepdim=True, out=norm)
                norm.mul_(factor)
                torch.randn(size, n, generator=generator, out=g)
                z.addcmul_(g, norm)
                if rescale != 1.0:
                    z.mul_(rescale)
            torch.linalg.vector_norm(z, dim=1, keepdim=True, out=norm)
            log_norms[start : start + size] = 2.0 * np.log(norm[:, 0].double().numpy()) - math.log(n)
    return log_norms


def numpy_projected(
    problem: Problem, networks: int, seed: int, batch: int = 64, bit_generator: type[Any] = np.random.SFC64
) -> Floats:
    """The same in NumPy, with its ziggurat normals in float32."""
    n = problem.width
    generator = np.random.Generator(bit_generator(seed))
    buffers = [np.empty((batch, n), np.float32) for _ in range(3)]
    log_norms = np.empty(networks)
    for start, size in _chunks(networks, batch):
        z, g, active = (b[:size] for b in buffers)
        generator.standard_normal(out=z, dtype=np.float32)
        for factor, rescale in steps(problem):
            if problem.variant == "vanilla":
                np.maximum(z, np.float32(0.0), out=active)
            else:
                signs = np.frombuffer(generator.bytes(-(-size * n // 8)), np.uint8)
                np.multiply(z, np.unpackbits(signs, count=size * n).reshape(size, n), out=active)
            norm = np.sqrt(np.einsum("ij,ij->i", active, active)) * np.float32(factor)
            generator.standard_normal(out=g, dtype=np.float32)
            np.multiply(g, norm[:, None], out=g)
            np.add(z, g, out=z)
            if rescale != 1.0:
                np.multiply(z, np.float32(rescale), out=z)
        squares = np.einsum("ij,ij->i", z, z, dtype=np.float64)
        log_norms[start : start + size] = np.log(squares / n)
    return log_norms


def autotune(
    peer: Peer, problem: Problem, candidates: Sequence[dict[str, Any]], layers: int = 40, neurons: float = 4e7
) -> tuple[dict[str, Any], list[tuple[dict[str, Any], float]]]:
    """The fastest of ``candidates`` and what each reached, in neuron updates/s: the best of three interleaved turns.

    Every layer costs the same, so ``layers`` of them are enough; each turn runs whole batches of about ``neurons``.
    """
    short = replace(problem, depth=min(problem.depth, layers))
    best = [0.0] * len(candidates)
    for _ in range(3):
        for i, options in enumerate(candidates):
            batch = options["batch"]
            networks = batch * max(1, round(neurons / (batch * short.neurons)))
            begin = time.perf_counter()
            peer(short, networks, 0, **options)
            best[i] = max(best[i], networks * short.neurons / (time.perf_counter() - begin))
    return candidates[int(np.argmax(best))], list(zip(candidates, best, strict=True))


def _chunks(networks: int, batch: int) -> Iterator[tuple[int, int]]:
    for start in range(0, networks, batch):
        yield start, min(batch, networks - start)


def steps(problem: Problem) -> Iterator[tuple[float, float]]:
    """For each layer, the factor of |phi| g in z / alpha and what to multiply z by afterwards."""
    factor = problem.lam / problem.alpha * math.sqrt(2.0 / problem.width)
    for layer in range(1, problem.depth + 1):
        if layer == problem.depth:
            yield factor, problem.alpha ** ((layer - 1) % problem.fold + 1)
        else:
            yield factor, problem.alpha**problem.fold if layer % problem.fold == 0 else 1.0
