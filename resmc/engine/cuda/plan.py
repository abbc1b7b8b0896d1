"""How a simulation is cut: chunks of networks that fit into memory, and launches short enough to be interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..lowering import QUOTIENTS

RECORD_BYTES = 2 << 30  # of a chunk, if there is so much
MEMORY_SHARE = 0.4  # of what is free: for a chunk's records, and again for states
RESIDENT_THREADS = 1024  # of a multiprocessor that have states in device memory
LAUNCH_WORK = 1 << 36  # normals drawn by one launch: tenths of a second on a large GPU
LOOK_WORK = 1 << 14  # normals drawn by one thread between two looks at whether to stop
MEMORY_DEVICE = 2  # of csrc/cuda/arguments.hpp: where states are kept


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


def ratios(network: dict[str, Any]) -> tuple[str, ...]:
    """What is recorded besides h; nothing but for the kernels of any residual network."""
    return (QUOTIENTS if network["gradients"] else QUOTIENTS[:2])[1:] if "block" in network else ()


def bytes_per_column(n_layers: int, batch: int, deaths_possible: bool, correlations: bool, n_ratios: int = 0) -> int:
    """Of device memory: records, sums of batches, and what is multiplied (A; who is alive, A^2) with its products."""
    products = n_products(deaths_possible, correlations)
    records = 16 + 8 * n_ratios + (4 if n_ratios > 1 else 0)
    return n_layers * (records + 8 * products + -(-120 // batch)) + -(-products * 8 * n_layers**2 // batch)


def steps(network: dict[str, Any]) -> int:
    """Layers that a network goes through: forwards, backwards, and once more but for the last segment."""
    depth = int(network["depth"])
    if not network.get("gradients"):
        return depth
    segment = int(network["segment"])
    return 2 * depth + (-(-depth // segment) - 1) * (segment - 1)


def best_segment(
    network: dict[str, Any],
    networks: int,
    shape_of: Callable[[dict[str, Any]], dict[str, Any]],
    multiprocessors: int,
    free_bytes: int,
) -> int:
    """Layers to keep at a time for the backward pass; no bit depends on it.

    As many as leave room for all networks that a GPU can have at once, or those that take least memory.
    """
    depth, segment = int(network["depth"]), int(network["segment"])
    for parts in range(1, math.isqrt(depth) + 1) if network["gradients"] else ():
        segment = -(-depth // parts)
        shape = shape_of(network | {"segment": segment})
        blocks = min(resident_blocks(shape, multiprocessors), -(-networks // shape["block_networks"]) + 1)
        if 4 * blocks * shape["block_floats"] <= MEMORY_SHARE * free_bytes:
            break
    return segment


def resident_blocks(shape: dict[str, Any], multiprocessors: int) -> int:
    """Blocks of threads with states in device memory that are worth launching."""
    return int(multiprocessors * max(1, RESIDENT_THREADS // shape["block_threads"]))


def make_plan(
    network: dict[str, Any],
    settings: dict[str, Any],
    shape: dict[str, Any],
    n_layers: int,
    multiprocessors: int,
    free_bytes: int,
    most_columns: int | None = None,
) -> Plan:
    """A plan for a device with so much memory; ``most_columns`` after it was found to have less."""
    align = max(settings["batch"], 32)
    start = settings["first"] // align * align
    wanted = -(-(settings["first"] + settings["count"] - start) // align) * align
    budget = min(RECORD_BYTES, int(MEMORY_SHARE * free_bytes))
    per_column = bytes_per_column(
        n_layers, settings["batch"], settings["deaths_possible"], settings["correlations"], len(ratios(network))
    )
    columns = budget // per_column
    columns = min(columns, 1 << 20, wanted if most_columns is None else most_columns) // align * align
    columns = max(columns, align)

    dense = network["width"] if settings["method"] == 1 else 1
    draws = 3 if "block" in network else 1  # of a neuron in a layer, about
    normals = network["width"] * (steps(network) + 1) * dense * draws
    wave = multiprocessors * max(1, 768 // shape["block_threads"]) * shape["block_networks"]
    blocks = 0
    if shape["memory"] == MEMORY_DEVICE:
        fitting = int(MEMORY_SHARE * free_bytes) // (4 * shape["block_floats"])
        blocks = min(resident_blocks(shape, multiprocessors), -(-columns // shape["block_networks"]) + 1)
        blocks = min(blocks, max(fitting, 1))
        wave = min(wave, blocks * shape["block_networks"])
    part = max(LAUNCH_WORK // normals // wave, 1) * wave
    per_layer = 4 * shape["rounds"] * dense * draws
    return Plan(
        first=settings["first"],
        count=settings["count"],
        start=start,
        columns=columns,
        part=part,
        wave=wave,
        look_every=power_of_two(LOOK_WORK // per_layer),
        look_every_row=power_of_two(LOOK_WORK // network["width"]),
        workspace_blocks=blocks,
    )


def power_of_two(number: int) -> int:
    """The largest that is not larger, at least 1."""
    return 1 << max(0, number.bit_length() - 1)
