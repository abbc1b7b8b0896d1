"""Weights written out as float32 arrays, layers of some networks at a time: every dependence in depth.

`resmc.reference.sources` has the same weights in float64, entry by entry from the same counters. Here they are made in
blocks of entries, a block by one thread. A block is the same whatever the threads, the networks and layers that are
asked for, and so is each of its bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from .._system.build import instruction_set
from .._system.cpus import usable_cpus
from .._system.stopping import look
from .._system.words import brief_repr
from ..models.processes import Covariance, FractionalNoise, Process, SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..models.weight_law import WEIGHTS
from ..reference.sources import ENTRIES_OF, Entries
from ..theory.processes import fractional_noise_embedding, smooth_basis, smooth_series
from . import native

Floats = NDArray[np.float32]
Amplitudes = NDArray[np.float64]
GAUSSIAN = WEIGHTS["gaussian"].number

COLUMNS = 512  # entries of a block: what is drawn for it stays in a cache
LAYERS = 4096  # layers that are made at a time, where each can be made by itself
COEFFICIENTS = 1 << 18  # layers that are sums are made so many at a time that they have about as many coefficients
WAVES = 1 << 17  # numbers of a path's block: what the transform of a block of entries fits a cache with
FULL = 128  # entries that fill a pack of AVX-512 with their quads
MOST_WAVES = 1 << 21  # numbers of a block that are worth it to fill a pack
FEWEST = 16  # entries of a block, however deep a network is
ALONE = 1 << 15  # numbers that a thread draws sooner than others could begin


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights of N networks in layers begin .. end - 1, float32 (of a GPU's source, tensors), in C order.

    Entries have variance 1, but for a covariance matrix, which has its own, and a `Mixture`, whose factors are in them:
    the network has them divided by sqrt(n), and the bias multiplied by ``bias``.

    Attributes
    ----------
    networks : range
    begin, end : int
    tied : bool
        True if one layer stands for all: the axis of layers has the length 1.
    outer, inner : array (N, layers, n, n), or None
        The matrices by their places (`resmc.models.blocks`); None where the block lacks them.
    bias : array (N, layers, n), or None
        None without bias.
    """

    networks: range
    begin: int
    end: int
    tied: bool
    outer: Any
    inner: Any
    bias: Any

    __repr__ = brief_repr


class Machine(Protocol):
    """The maker of numbers and of their sums: threads of the CPU here, a GPU in `resmc.engine.cuda.weights`.

    Attributes
    ----------
    grain : int
        A block has so many times the entries that suit a thread of a CPU,
    most_numbers : int
        or fewer, if it would have more numbers.
    """

    grain: int
    most_numbers: int

    def empty(self, *shape: int) -> Any:
        """Return an array of float32 that holds anything."""

    def entries(
        self, seed: int, stream: str, network: int, first: int, layers: int, quad: int, quads: int, law: int
    ) -> Any:
        """Return entries of variance 1, (layers, 4 quads)."""

    def combine(self, coefficients: NDArray[np.float64], x: Any, out: Any) -> None:
        """Put coefficients (layers, terms) times x (terms, columns or more) into out (layers, columns)."""

    def path(
        self, seed: int, stream: str, network: int, real: int, imaginary: int, quads: int, amplitudes: Amplitudes
    ) -> Any:
        """Return paths (2 M, 4 quads), the transforms of waves with these amplitudes (M + 1, 2)."""


class Threads(threading.local):
    """The CPU: a block is made by one thread, which keeps its memory for waves."""

    grain, most_numbers = 1, 0

    def __init__(self, instructions: str) -> None:
        self.instructions = instructions
        self.waves = np.empty((0, 0), np.complex64)

    def empty(self, *shape: int) -> Floats:
        """Return an array of float32 that holds anything."""
        return np.empty(shape, np.float32)

    def entries(
        self, seed: int, stream: str, network: int, first: int, layers: int, quad: int, quads: int, law: int
    ) -> Floats:
        """Return entries of variance 1, (layers, 4 quads)."""
        return native.entries(seed, stream, network, first, layers, quad, quads, law, self.instructions)

    def combine(self, coefficients: NDArray[np.float64], x: Floats, out: Floats) -> None:
        """Put coefficients times x into out, terms in their order."""
        native.combine(coefficients.astype(np.float32), x, out, self.instructions)

    def path(
        self, seed: int, stream: str, network: int, real: int, imaginary: int, quads: int, amplitudes: Amplitudes
    ) -> Floats:
        """Return the inverse real Fourier transform, of length 2 M and without a factor, of normals' waves."""
        if self.waves.shape != (len(amplitudes), 4 * quads):
            self.waves = np.empty((len(amplitudes), 4 * quads), np.complex64)
        factors = amplitudes.astype(np.float32)
        native.waves(seed, stream, network, factors, real, imaginary, self.waves, self.instructions)
        path = scipy.fft.irfft(self.waves, 2 * len(factors) - 2, axis=0, norm="forward", workers=1)
        return np.asarray(path, np.float32)


@dataclass(frozen=True)
class Block:
    """Neighbouring entries first .. first + count - 1 of a matrix or bias of ``size`` entries, of one network."""

    machine: Machine
    seed: int
    network: int
    streams: Entries
    law: int
    size: int
    first: int
    count: int

    @property
    def quads(self) -> int:
        """Quads that the entries take."""
        return -(-self.count // 4)

    def quad(self, p: int) -> int:
        """Return the first quad of the entries' numbers p, where every entry has several."""
        return p * -(-self.size // 4) + self.first // 4

    def drawn(self, stream: str, first: int, layers: int, p: int = 0) -> Any:
        """Return numbers p of the entries, from layer ``first`` on, (layers, 4 quads)."""
        quad, quads = self.quad(p), self.quads
        return self.machine.entries(self.seed, stream, self.network, first, layers, quad, quads, self.law)

    def path(self, amplitudes: Amplitudes) -> Any:
        """Return the entries in twice as many layers as there are waves, (2 M, 4 quads), that these make."""
        quads = self.quad(0), self.quad(1), self.quads
        return self.machine.path(self.seed, self.streams.noise, self.network, *quads, amplitudes)


Fill = Callable[[Block, Any], None]  # puts entries of a block into an array (layers, count)
Task = Callable[[], None]


def fill_layers(begin: int, end: int, block: Block, out: Any) -> None:
    """Put independent layers begin .. end - 1 into out."""
    out[:] = block.drawn(block.streams.layers, begin, end - begin)[:, : block.count]


def fill_smooth(basis: NDArray[np.float64], block: Block, out: Any) -> None:
    """Put the sums over terms of a smooth process's basis (layers, 2, K + 1) times normals into out."""
    layers, _, terms = basis.shape
    x = block.machine.empty(2 * terms, 4 * block.quads)
    for p in (0, 1):
        x[p * terms : (p + 1) * terms] = block.drawn(block.streams.trend, 0, terms, p)
    block.machine.combine(basis.reshape(layers, 2 * terms), x, out)


def fill_covariance(root: NDArray[np.float64], block: Block, out: Any) -> None:
    """Put root (layers, depth) times normals into out."""
    block.machine.combine(root, block.drawn(block.streams.noise, 0, root.shape[1]), out)


def fill_noise(begin: int, end: int, add: bool, amplitudes: Amplitudes, block: Block, out: Any) -> None:
    """Put layers begin .. end - 1 of the whole path that waves of these amplitudes make into out, or add them to it."""
    path = block.path(amplitudes)[begin:end, : block.count]
    if add:
        out += path
    else:
        out[:] = path


@dataclass(frozen=True)
class Pass:
    """One way through the layers that are asked for."""

    fill_of: Callable[[int, int], Fill]  # for layers begin .. end - 1
    layers: int  # layers at a time
    columns: int  # entries of a block that suits a thread
    numbers: int  # numbers of an entry that are there at a time: terms, or layers
    scratch: int  # bytes that a thread takes for a block

    def grain(self, machine: Machine) -> int:
        """Return how many times larger a block of ``machine`` is, whatever layers and networks are asked for."""
        return max(1, min(machine.grain, machine.most_numbers // (self.columns * self.numbers)))


def passes_of(process: str | Process, depth: int) -> list[Pass]:
    """Return how layers of networks of ``depth`` are made: one pass, of a mixture two."""
    if isinstance(process, str):
        layers = min(LAYERS, depth)
        scratch = 4 * layers * COLUMNS
        return [Pass(lambda begin, end: partial(fill_layers, begin, end), layers, COLUMNS, layers, scratch)]
    if isinstance(process, FractionalNoise):
        return [_noise_pass(process, depth, 1.0, add=False)]
    if isinstance(process, SmoothProcess):
        return [_smooth_pass(process, depth, 1.0)]
    if isinstance(process, Covariance):
        scratch = 4 * (COLUMNS + depth) * depth
        fill_of = lambda begin, end: partial(fill_covariance, process.root[begin:end])  # noqa: E731
        return [Pass(fill_of, LAYERS, COLUMNS, depth, scratch)]
    trend, noise = process.factors(depth)
    return [_smooth_pass(process.trend, depth, trend), _noise_pass(process.noise, depth, noise, add=True)]


def _smooth_pass(process: SmoothProcess, depth: int, factor: float) -> Pass:
    terms = 2 * len(smooth_series(process.length).variances)
    layers = min(max(COEFFICIENTS // terms, 1), depth)
    return Pass(
        lambda begin, end: partial(fill_smooth, factor * smooth_basis(process, depth, begin, end)),
        layers,
        COLUMNS,
        max(terms, layers),
        terms * (8 * COLUMNS + 40 * layers),
    )


def _noise_pass(process: FractionalNoise, depth: int, factor: float, add: bool) -> Pass:
    amplitudes = factor * fractional_noise_embedding(process.hurst, depth).amplitudes
    columns = noise_columns(depth)
    return Pass(
        lambda begin, end: partial(fill_noise, begin, end, add, amplitudes),
        depth,
        columns,
        len(amplitudes),
        16 * len(amplitudes) * columns,
    )


def noise_columns(depth: int) -> int:
    """Return how many entries' paths are transformed together: a power of two that depends on the depth alone."""
    wanted = max(WAVES // depth, min(FULL, MOST_WAVES // depth), FEWEST)
    return 1 << (min(wanted, 1 << 12).bit_length() - 1)


class WeightSource:
    """Weights of networks of one seed, drawn in chunks of layers.

    Independent and tied layers, smooth processes and covariance matrices are made layer by layer. Fractional noise is
    made by a Fourier transform over all layers, of which the chunk's are kept: drawing a network in c chunks costs c
    times as much.

    Attributes
    ----------
    scratch_bytes : int
        Bytes that drawing takes besides what it returns, at most.
    """

    def __init__(
        self, model: ResidualNetwork, seed: int, threads: int | None = None, machine: Machine | None = None
    ) -> None:
        self.model, self.seed = model, seed
        self.threads = usable_cpus() if threads is None else threads
        self.machine: Machine = Threads(instruction_set()) if machine is None else machine
        self.tied = model.dependence == "tied"
        n, block = model.width, model.residual_block
        self.sizes: dict[str, int] = {place: n * n for place in (block.V, block.W) if place is not None}
        if model.bias:
            self.sizes["bias"] = n
        self.passes = passes_of(model.dependence, model.depth)
        self.scratch_bytes = self.threads * max(one.grain(self.machine) * one.scratch for one in self.passes)

    def draw(self, networks: range, begin: int, end: int) -> LayerWeights:
        """Return the weights of consecutive networks in layers begin .. end - 1, of which there is at least one."""
        layers, n = 1 if self.tied else end - begin, self.model.width
        arrays = {name: self.machine.empty(len(networks), layers, size) for name, size in self.sizes.items()}
        works = self._works(networks, *((0, 1) if self.tied else (begin, end)), arrays)
        if self.threads == 1 or len(networks) * layers * sum(self.sizes.values()) <= ALONE:
            for work in works:
                for task in work:
                    task()
                    look()
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                for work in works:
                    for _ in pool.map(_done, work):
                        look()
        shaped = {name: array.reshape(len(networks), layers, -1, n) for name, array in arrays.items() if name != "bias"}
        if self.model.weight_law.matrices is not None:
            self._make_matrices(self.model.weight_law.matrices, list(shaped.values()))
        return LayerWeights(
            networks, begin, end, self.tied, shaped.get("outer"), shaped.get("inner"), arrays.get("bias")
        )

    def _make_matrices(self, matrices: Callable[[Amplitudes], Amplitudes], drawn: list[Any]) -> None:
        """Make matrices of a law whose entries depend on each other of Gaussian ones, in float64, one by one."""
        each = [matrix for array in drawn for network in array for matrix in network]

        def make(matrix: Floats) -> None:
            matrix[:] = matrices(matrix.astype(np.float64))

        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(make, each):
                look()

    def _works(self, networks: range, begin: int, end: int, arrays: dict[str, Any]) -> Iterator[list[Task]]:
        """Yield lists of tasks that may be done at the same time, one list after the other."""
        for one in self.passes:
            for first in range(begin, end, one.layers):
                last = min(first + one.layers, end)
                fill = one.fill_of(first, last)
                yield [
                    partial(
                        fill, block, array[at, first - begin : last - begin, block.first : block.first + block.count]
                    )
                    for name, array in arrays.items()
                    for at, network in enumerate(networks)
                    for block in self._blocks(name, network, one.columns * one.grain(self.machine))
                ]

    def _blocks(self, name: str, network: int, columns: int) -> Iterator[Block]:
        """Yield the blocks of a matrix or bias."""
        size, law = self.sizes[name], self._law(name)
        for first in range(0, size, columns):
            count = min(columns, size - first)
            yield Block(self.machine, self.seed, network, ENTRIES_OF[name], law, size, first, count)

    def _law(self, name: str) -> int:
        """Return the number of the law that entries are drawn of."""
        if name == "bias":
            return WEIGHTS[self.model.bias_law].number
        return GAUSSIAN if self.model.weight_law.matrices is not None else self.model.weight_law.number


def _done(task: Task) -> None:
    task()
