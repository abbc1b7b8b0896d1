"""All peers: what each needs, which of its options are tuned, and over what."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from .problem import Peer, Problem

NETWORK, MATRIX = 1, 2  # a batch holds so many times width^1, or width^2, floats in its largest array


@dataclass(frozen=True)
class Contender:
    """One peer. Axes are tuned one after the other, each value against the best found so far."""

    name: str
    role: str  # "published", "smart" or "weights" (explicit ones, batched)
    module: str  # of this package
    function: str
    library: str  # that it needs beside NumPy
    floats: tuple[int, ...] = ()  # in the largest array of a batch; none: the peer has no batches
    power: int = NETWORK
    axes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    threaded_axes: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # with more than one thread only

    @property
    def method(self) -> str:
        """Of resmc, to be compared with: explicit weights against explicit weights where both are batched."""
        return "dense" if self.role == "weights" else "projected"

    def load(self) -> Peer:
        """The function; ModuleNotFoundError if its library is missing."""
        peer: Peer = getattr(importlib.import_module(f".{self.module}", __package__), self.function)
        return peer

    def options(self, problem: Problem, threads: int, at_most: int = 0) -> dict[str, tuple[Any, ...]]:
        """Name and values of each axis: all of them, or ``at_most`` so many."""
        sizes = sorted({_batch(floats, problem.width**self.power) for floats in self.floats})
        axes: dict[str, tuple[Any, ...]] = {"batch": tuple(sizes)} if sizes else {}
        axes |= self.axes
        if threads > 1:
            axes |= {
                name: tuple(threads if v == "threads" else v for v in vs) for name, vs in self.threaded_axes.items()
            }
        return {name: values[:: -(-len(values) // (at_most or len(values)))] for name, values in axes.items()}


def _batch(floats: int, each: int) -> int:
    """The power of two, at least 1, that brings a batch nearest to so many floats from below."""
    return 1 << max(0, (floats // each).bit_length() - 1)


_BATCHES = tuple(2**k for k in (14, 16, 17, 18, 19, 20))
_WEIGHTS = tuple(2**k for k in (15, 17, 19, 21))
_NUMPY = {"bit_generator": ("SFC64", "PCG64")}
_JAX = {"generator": ("threefry2x32", "rbg", "unsafe_rbg")}
_PYTHON = {"in_python": (False, True)}
_DEVICES = {"devices": (1, "threads")}

CONTENDERS = {
    c.name: c
    for c in (
        Contender("torch module loop, default construction", "published", "published", "default_module_loop", "torch"),
        Contender("torch module loop, weights drawn once", "published", "published", "module_loop", "torch"),
        Contender("torch eager", "smart", "torch_projected", "eager", "torch", _BATCHES, threaded_axes=_PYTHON),
        Contender("torch.compile", "smart", "torch_projected", "compiled", "torch", (2**16, 2**18, 2**19)),
        Contender("NumPy", "smart", "numpy_projected", "projected", "numpy", _BATCHES, axes=_NUMPY),
        Contender(
            "JAX jit+scan", "smart", "jax_projected", "projected", "jax", (2**11, 2**13, 2**15, 2**17),
            axes=_JAX, threaded_axes=_DEVICES,
        ),
        Contender("Numba parallel", "smart", "numba_projected", "projected", "numba", axes=_NUMPY),
        Contender("torch.bmm", "weights", "torch_weights", "batched", "torch", _WEIGHTS, MATRIX, {}, _PYTHON),
        Contender("JAX vmap+scan", "weights", "jax_weights", "batched", "jax", _WEIGHTS, MATRIX, _JAX, _DEVICES),
    )
}  # fmt: skip
