"""How a simulation is cut: chunks of networks that fit into memory, and launches short enough to be interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..lowering import KernelNetwork, KernelResidual
from ..request import Job
from ..sums import ACTIVITY_SUMS, NORM_SUMS
from .kernels import Shape

RECORD_BYTES = 2 << 30  # records of a chunk, if there is so much memory
MEMORY_SHARE = 0.4  # share of the free memory for a chunk's records, and again for states
RESIDENT_THREADS = 512  # threads of a multiprocessor that have states in device memory: 512 of 128 registers fit
RESIDUAL_THREADS = 384  # the same of kernels of any residual network: 384 of 168 registers fit
LAUNCH_WORK = 1 << 36  # normals drawn by one launch: tenths of a second on a large GPU
LOOK_WORK = 1 << 14  # normals drawn by one thread between two looks at whether to stop
SUM_RUN = 32  # quads of a thread in a run of csrc/include/resmc/projected.hpp: it may look between two of them
MEMORY_DEVICE = 2  # number of that place for states in csrc/cuda/arguments.hpp


@dataclass(frozen=True)
class Plan:
    """Networks first .. first + count - 1 in chunks of ``columns``, launches of ``part``, from ``start`` on.

    ``start`` and ``columns`` are multiples of the batches that are folded as one, so that cutting otherwise changes
    nothing but the order in which a product sums.
    """

    first: int
    count: int
    start: int
    columns: int
    part: int
    wave: int
    look_every: int
    look_every_row: int
    workspace_blocks: int

    def chunks(self) -> Iterator[tuple[int, int, int]]:
        """(number of the first column, begin, end) of every chunk, begin .. end - 1 the columns wanted."""
        stop = self.first + self.count
        for at in range(self.start, stop, self.columns):
            yield at, max(self.first - at, 0), min(stop - at, self.columns)


def n_products(deaths_possible: bool, correlations: bool) -> int:
    """How many matrices are multiplied: A with A; where networks can die, A and A^2 with the living."""
    return (3 if deaths_possible else 1) if correlations else 0


def bytes_per_column(network: KernelNetwork, job: Job, n_layers: int) -> int:
    """Device memory of a network: records, sums of batches, and factors (A; the living, A^2) with their products."""
    products = n_products(job.deaths_possible, job.correlations)
    n_quotients = max(len(network.quotients) - 1, 0)  # but for the growth, which has the records of h
    records = 16 + 8 * n_quotients + (4 if n_quotients > 1 else 0)
    by_layer = records + 8 * products + -(-(NORM_SUMS.itemsize + ACTIVITY_SUMS.itemsize) // job.batch)
    return n_layers * by_layer + -(-products * 8 * n_layers**2 // job.batch) + (8 if job.mean_square else 0)


def steps(network: KernelNetwork) -> int:
    """Layers that a network goes through: forwards, backwards, and once more but for the last segment."""
    depth = network.depth
    if not (isinstance(network, KernelResidual) and network.gradients):
        return depth
    return 2 * depth + (-(-depth // network.segment) - 1) * (network.segment - 1)


def best_segment(
    network: KernelResidual,
    networks: int,
    shape_of: Callable[[KernelNetwork], Shape],
    multiprocessors: int,
    free_bytes: int,
) -> int:
    """Layers to keep at a time for the backward pass; no bit depends on it.

    As many as leave room for all networks that a GPU can have at once, or those that take least memory.
    """
    depth, segment = network.depth, network.segment
    for parts in range(1, math.isqrt(depth) + 1) if network.gradients else ():
        segment = -(-depth // parts)
        shape = shape_of(replace(network, segment=segment))
        blocks = min(
            resident_blocks(shape, multiprocessors, RESIDUAL_THREADS), -(-networks // shape.block_networks) + 1
        )
        if 4 * blocks * shape.block_floats <= MEMORY_SHARE * free_bytes:
            break
    return segment


def resident_blocks(shape: Shape, multiprocessors: int, threads: int) -> int:
    """Blocks with states in device memory that are worth launching where a multiprocessor has so many threads."""
    return int(multiprocessors * max(1, threads // shape.block_threads))


def make_plan(
    network: KernelNetwork,
    job: Job,
    shape: Shape,
    n_layers: int,
    multiprocessors: int,
    free_bytes: int,
    most_columns: int | None = None,
) -> Plan:
    """A plan for a device with so much memory; ``most_columns`` after it was found to have less."""
    align = max(job.batch, 32)
    start = job.first // align * align
    wanted = -(-(job.first + job.count - start) // align) * align
    budget = min(RECORD_BYTES, int(MEMORY_SHARE * free_bytes))
    columns = budget // bytes_per_column(network, job, n_layers)
    columns = min(columns, 1 << 20, wanted if most_columns is None else most_columns) // align * align
    columns = max(columns, align)

    dense = network.width if job.method == 1 else 1
    draws = 3 if isinstance(network, KernelResidual) else 1  # draws for each neuron in a layer, about
    normals = max(network.width, inner_of(network)) * (steps(network) + 1) * dense * draws
    wave = multiprocessors * max(1, 768 // shape.block_threads) * shape.block_networks
    blocks = 0
    if shape.memory == MEMORY_DEVICE:
        fitting = int(MEMORY_SHARE * free_bytes) // (4 * shape.block_floats)
        resident = RESIDUAL_THREADS if isinstance(network, KernelResidual) else RESIDENT_THREADS
        blocks = min(resident_blocks(shape, multiprocessors, resident), -(-columns // shape.block_networks) + 1)
        blocks = min(blocks, max(fitting, 1))
        wave = min(wave, blocks * shape.block_networks)
    part = max(LAUNCH_WORK // normals // wave, 1) * wave
    rounds = max(shape.rounds, -(-inner_of(network) // (4 * shape.threads)))
    per_layer = 4 * rounds * dense * draws
    return Plan(
        first=job.first,
        count=job.count,
        start=start,
        columns=columns,
        part=part,
        wave=wave,
        look_every=power_of_two(LOOK_WORK // per_layer),
        look_every_row=power_of_two(int(LOOK_WORK / normals_per_call(network, shape, job.method))),
        workspace_blocks=blocks,
    )


def normals_per_call(network: KernelNetwork, shape: Shape, method: int) -> float:
    """Normals that a thread draws from one call of `stopped` in a layer to the next, about (csrc/cuda/team.hpp).

    With explicit weights it calls for every row; on the way back, for 4 SUM_RUN rows of a quad of columns at a time,
    which begin anywhere in a quad of draws. The projected method calls for every run of quads and for what is left.
    """
    if method == 0:
        calls = -(-shape.rounds // SUM_RUN) + ((shape.rounds - 1) % SUM_RUN != 0)
        return 4.0 * shape.rounds / calls
    if not (isinstance(network, KernelResidual) and network.gradients):
        return float(network.width)
    rows, columns = 4.0, -(-network.width // (4 * SUM_RUN))  # calls for a quad, forwards and backwards
    return (rows * network.width + 6.0 * network.width) / (rows + columns)


def inner_of(network: KernelNetwork) -> int:
    """Return how many neurons the activation acts on."""
    return network.inner if isinstance(network, KernelResidual) else network.width


def power_of_two(number: int) -> int:
    """The largest that is not larger, at least 1."""
    return 1 << max(0, number.bit_length() - 1)
