"""How a simulation is cut: chunks of networks that fit into memory, and launches short enough to be interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

RECORD_BYTES = 2 << 30  # of a chunk, if there is so much
LAUNCH_WORK = 1 << 36  # normals drawn by one launch: tenths of a second on a large GPU
LOOK_WORK = 1 << 14  # normals drawn by one thread between two looks at whether to stop
MEMORY_DEVICE = 2  # of csrc/cuda/arguments.hpp: where states are kept


@dataclass(frozen=True)
class Plan:
    """Networks first .. first + count - 1 in chunks of ``columns``, launches of ``part``, from ``start`` on.

    ``start`` and ``columns`` are multiples of the blocks that are folded as one, so that cutting otherwise changes
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


def bytes_per_column(n_layers: int, block: int, deaths_possible: bool, correlations: bool) -> int:
    """Of device memory: records, sums of blocks, and what is multiplied (A; who is alive, A^2) with its products."""
    products = n_products(deaths_possible, correlations)
    return n_layers * (16 + 8 * products + -(-120 // block)) + -(-products * 8 * n_layers**2 // block)


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
    align = max(settings["block"], 32)
    start = settings["first"] // align * align
    wanted = -(-(settings["first"] + settings["count"] - start) // align) * align
    budget = min(RECORD_BYTES, int(0.4 * free_bytes))
    per_column = bytes_per_column(n_layers, settings["block"], settings["deaths_possible"], settings["correlations"])
    columns = budget // per_column
    columns = min(columns, 1 << 20, wanted if most_columns is None else most_columns) // align * align
    columns = max(columns, align)

    dense = network["width"] if settings["method"] == 1 else 1
    normals = network["width"] * (network["depth"] + 1) * dense
    wave = multiprocessors * max(1, 768 // shape["block_threads"]) * shape["block_networks"]
    part = max(LAUNCH_WORK // normals // wave, 1) * wave
    per_layer = 4 * shape["rounds"] * dense
    blocks = -(-columns // shape["block_networks"]) + 1
    return Plan(
        first=settings["first"],
        count=settings["count"],
        start=start,
        columns=columns,
        part=part,
        wave=wave,
        look_every=power_of_two(LOOK_WORK // per_layer),
        look_every_row=power_of_two(LOOK_WORK // network["width"]),
        workspace_blocks=min(2 * multiprocessors, blocks) if shape["memory"] == MEMORY_DEVICE else 0,
    )


def power_of_two(number: int) -> int:
    """The largest that is not larger, at least 1."""
    return 1 << max(0, number.bit_length() - 1)
