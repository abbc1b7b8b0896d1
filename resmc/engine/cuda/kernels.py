"""A GPU's kernels over typed records, which here become the dictionaries that the extension takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ... import _native
from ..lowering import KernelNetwork, KernelResidual
from ..native import plain

KernelError = _native.KernelError


@dataclass(frozen=True)
class Properties:
    """A GPU, as its driver describes it; sizes in bytes."""

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int
    shared_block: int
    shared_multiprocessor: int


@dataclass(frozen=True)
class Shape:
    """How networks are spread over threads: csrc/cuda/shape.hpp."""

    threads: int  # threads of a team
    rounds: int  # quads of each thread
    memory: int  # where states are kept
    block_threads: int
    block_networks: int
    block_floats: int


BEST = (-1, -1)  # threads of a team and where states are kept: those that take least instructions


@dataclass(frozen=True)
class Columns:
    """Columns begin .. end - 1 of a chunk."""

    columns: int
    n_layers: int
    begin: int
    end: int


@dataclass(frozen=True)
class Launch(Columns):
    """One launch of the kernels that simulate."""

    first: int
    seed: int
    variant: int
    method: int
    output_begin: int
    output_end: int
    look_every: int
    look_every_row: int
    blocks: int


@dataclass(frozen=True)
class ColumnLaunch(Columns):
    """One launch of the kernels of columns with weights that are handed in: `ColumnJob` and `Launch` say more."""

    first: int
    seed: int
    output_begin: int
    output_end: int
    look_every: int
    look_every_row: int
    columns_of_network: int
    backward: bool
    from_layer: int
    to_layer: int
    first_layer: int
    given_layers: int
    tied: bool


@dataclass(frozen=True)
class PopulationLaunch:
    """Whole populations from one layer of their schedule, number ``slot``, to the next: `PopulationJob` says more."""

    seed: int
    variant: int
    first: int  # network
    populations: int
    size: int
    power: float
    slot: int
    n_layers: int
    from_layer: int
    to_layer: int
    resamples: bool
    look_every: int
    look_every_row: int


@dataclass(frozen=True)
class Reduction(Columns):
    """Sums over the networks of a chunk."""

    first: int
    batch: int
    bin_low: float
    bin_width: float
    n_bins: int


@dataclass(frozen=True)
class RawValues:
    """Samples and paths of the first columns from ``begin`` on."""

    columns: int
    n_layers: int
    begin: int
    samples: int
    paths: int


@dataclass(frozen=True)
class QuotientValues(Columns):
    """Final values of a quotient, which are those of recorded layer ``slot``, and paths of its first columns."""

    slot: int
    paths: int


Pointers = dict[str, int]  # addresses by the names that the kernels know them by


class Kernels:
    """A GPU's kernels over typed records; ``bound`` is what the extension exports."""

    def __init__(self, bound: Any) -> None:
        self.bound = bound

    @property
    def architectures(self) -> str:
        """Names of the architectures that there is machine code for, and the one whose PTX there is."""
        return str(self.bound.architectures)

    def properties(self, ordinal: int) -> Properties:
        """The GPU number ``ordinal``."""
        return Properties(**self.bound.properties(ordinal))

    def shape(
        self, network: KernelNetwork, method: int, properties: Properties, wanted: tuple[int, int] = BEST
    ) -> Shape:
        """The shape for a network, or with a team and a memory of the caller's choice.

        Raises
        ------
        ValueError
            If there is no such shape.
        """
        return Shape(**self.bound.shape(plain(network), method, plain(properties), *wanted))

    def population_shape(self, network: KernelNetwork, properties: Properties, threads: int = BEST[0]) -> Shape:
        """The shape for networks that rest in device memory from one launch to the next, or with such a team."""
        return Shape(**self.bound.population_shape(plain(network), plain(properties), threads))

    def simulate(
        self,
        network: KernelNetwork,
        launch: Launch,
        properties: Properties,
        shape: Shape,
        pointers: Pointers,
        ordinal: int,
        stream: int,
    ) -> None:
        """Enqueues networks of a chunk."""
        self.bound.simulate(plain(network), plain(launch), plain(properties), plain(shape), pointers, ordinal, stream)

    def columns(
        self,
        network: KernelResidual,
        launch: ColumnLaunch,
        properties: Properties,
        shape: Shape,
        pointers: Pointers,
        ordinal: int,
        stream: int,
    ) -> None:
        """Enqueues columns of a chunk, with weights that are handed in."""
        self.bound.columns(plain(network), plain(launch), plain(properties), plain(shape), pointers, ordinal, stream)

    def populations(
        self,
        network: KernelNetwork,
        launch: PopulationLaunch,
        properties: Properties,
        shape: Shape,
        pointers: Pointers,
        ordinal: int,
        stream: int,
    ) -> None:
        """Enqueues populations through some layers, their weights there and, where wanted, their resampling."""
        self.bound.populations(
            plain(network), plain(launch), plain(properties), plain(shape), pointers, ordinal, stream
        )

    def reduce(self, width: int, reduction: Reduction, pointers: Pointers, ordinal: int, stream: int) -> None:
        """Enqueues the sums over a chunk, batch by batch, and then into the groups."""
        self.bound.reduce(width, plain(reduction), pointers, ordinal, stream)

    def raw(self, width: int, values: RawValues, pointers: Pointers, ordinal: int, stream: int) -> None:
        """Enqueues samples and paths."""
        self.bound.raw(width, plain(values), pointers, ordinal, stream)

    def quotient(self, width: int, values: QuotientValues, pointers: Pointers, ordinal: int, stream: int) -> None:
        """Enqueues final values and paths of a quotient."""
        self.bound.quotient(width, plain(values), pointers, ordinal, stream)

    def draw(
        self, network: KernelNetwork, seed: int, threads: int, networks: int, sums: int, ordinal: int, stream: int
    ) -> None:
        """Enqueues the generator alone; ``sums`` is the address of one float for each thread."""
        self.bound.draw(plain(network), seed, threads, networks, sums, ordinal, stream)

    def __getattr__(self, name: str) -> Any:
        """Hand on calls that take and give nothing but numbers: driver, words, normals, roots, failure."""
        return getattr(self.bound, name)


def cuda_kernels() -> Kernels | None:
    """The CUDA kernels of this build, or None."""
    cuda = getattr(_native, "cuda", None)
    return None if cuda is None else Kernels(cuda.kernels)
