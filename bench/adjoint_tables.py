"""The tables of `bench.adjoint`, and how much they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .harness import cell

BACKWARD = ("autograd", "adjoint")


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes
    ----------
    depths, networks : of the table by depth
    deep : depths that one network has besides
    claim : (width, depth, batch) at which the errors in float32 are stated
    memory : width, batch, and the depths between which memory must not grow
    memory_blocks : of which memory is measured
    times : (width, batch, depth) of every line of times
    peer : (width, batch, depth)
    rounds : of everything that is timed by turns
    """

    depths: tuple[int, ...]
    networks: int
    deep: tuple[int, ...]
    claim: tuple[int, int, int]
    memory: tuple[int, int, tuple[int, ...]]
    memory_blocks: tuple[str, ...]
    times: tuple[tuple[int, int, int], ...]
    peer: tuple[int, int, int]
    rounds: int


def table(headings: str, rows: list[list[str]]) -> list[str]:
    """Lines of a table, and an empty one."""
    columns = headings.split("|")
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)] + [""]


def by_depth_table(found: dict[str, Any], size: Size) -> list[str]:
    lines = [
        "Errors against autograd in the same dtype, geometric means over networks; width 16, v-phi-w, 4 inputs each.\n"
    ]
    for name, case in found.items():
        rows = []
        for row in case["rows"]:
            for kind in ("gradient", "inversion"):
                value, stderr = row[f"{kind}_slope"]
                slope = f"{value:.3f} +- {stderr:.3f}" if np.isfinite(value) else "rounding"
                rows.append([row["scheme"], row["dtype"], kind, *(f"{one:.2g}" for one in row[kind]), slope])
        depths = "|".join(f"N = {depth}" for depth in case["depths"])
        lines += [f"{name}, {case['networks']} networks\n"]
        lines += table(f"scheme|dtype|error|{depths}|slope from N = 64", rows)
    return lines


def deep_table(found: dict[str, Any], size: Size) -> list[str]:
    rows = [
        [name, kind, *(f"{pair[at]:.2g}" for pair in pairs)]
        for name, case in found["cases"].items()
        for kind, pairs in case.items()
        for at in (0, 1)
    ]
    for at, row in enumerate(rows):
        row.insert(2, ("gradient", "inversion")[at % 2])
    return ["One network of each, deeper\n", *table(
        "weights, activation|scheme, dtype|error|" + "|".join(f"N = {depth}" for depth in found["depths"]), rows)
    ]  # fmt: skip


def claims_table(found: list[dict[str, Any]], size: Size) -> list[str]:
    width, depth, batch = size.claim
    rows = [[row["block"], row["scheme"], f"{row['error']:.2g}"] for row in found]
    title = f"Gradient error at N = {depth}, width {width}, batch {batch}, smooth, tanh, float32 (wanted: below 1e-4)\n"
    return [title, *table("block|scheme|error", rows)]


def memory_table(found: list[dict[str, Any]], size: Size) -> list[str]:
    peaks = {(row["block"], row["depth"], row["backward"]): row["MiB"] for row in found}
    rows = []
    for block, depth in dict.fromkeys((row["block"], row["depth"]) for row in found):
        a, b = (peaks[block, depth, one] for one in BACKWARD)
        rows.append([block, str(depth), f"{a:.1f}", f"{b:.2f}", f"{100.0 * b / a:.2f}%"])
    title = (
        "Peak memory beyond parameters and gradients, MiB, a process each: VmHWM less VmRSS before, less "
        f"gradients; width {size.memory[0]}, batch {size.memory[1]}, float32 (wanted: below 2%)\n"
    )
    return [title, *table("block|N|autograd|adjoint|adjoint of autograd's", rows)]


def times_table(found: list[dict[str, Any]], size: Size) -> list[str]:
    rows = [
        [
            *(str(row[name]) for name in ("block", "width", "batch", "depth")),
            *(cell(row[f"{name}_seconds"], 1e3) for name in BACKWARD),
            *(cell(row[f"over_{name}"]) for name in ("autograd", "loop")),
        ]
        for row in found
    ]
    title = (
        "Forward and backward, float32, Euler, smooth, tanh: milliseconds and ratios within each round, median (least "
        "to most); the loop is of torch's operations with autograd (wanted: at most 1.8, phi-out, and 1.65, v-phi-w)\n"
    )
    return [title, *table("block|width|batch|N|autograd|adjoint|ratio|ratio to the loop", rows)]


def peer_table(found: list[dict[str, Any]], size: Size) -> list[str]:
    width, batch, depth = size.peer
    rows = [[row["weights"], row["who"], f"{row['error']:.2g}", cell(row["seconds"], 1e3)] for row in found]
    title = (
        f"torchdiffeq's `odeint_adjoint` with N = {depth} Euler steps, width {width}, batch {batch}, float32; error of "
        "the gradient of the matrices that V(t) and W(t) are made of, against autograd through the steps\n"
    )
    return [title, *table("weights|who|error|milliseconds", rows)]
