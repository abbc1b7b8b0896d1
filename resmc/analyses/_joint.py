"""Shared parts of the analyses of several inputs: what was asked for, and rows with theory beside an estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.joint_sums import JointSums
from ..results.estimates import WORTH_SAYING, Estimate, Floats
from ..results.joint_estimates import JointEstimates
from ..results.record import Record
from ..tables import Column, Table
from ..tables.cells import cell
from ..tables.table import MOST_LAYERS, few

MOST_PAIRS = 6  # pairs of inputs in a table, at each layer
THEORY = [
    Column("theory", numeric=False),
    Column("which is", numeric=False, obvious=True),
    Column("", numeric=False),
    Column(None, "exact"),
    Column(None, "z_score"),
    Column(None, "infinite_width"),
    Column(None, "relative_difference"),
]


def estimates_of(sim: Record) -> JointEstimates:
    """Return the estimates from a simulation's sums over several inputs, or tangents."""
    return JointEstimates(sums_of(sim), sim.lowered, sim.layers)


def sums_of(sim: Record, call: str = "", fewest: int = 1) -> JointSums:
    """Return a simulation's sums over several inputs, or tangents.

    Raises
    ------
    ValueError
        If there are none, or of fewer inputs than ``call`` needs.
    """
    if sim.joint is None or sim.joint.recording.count < fewest:
        raise ValueError(
            f"{call} needs several inputs, and there is one: simulate(.., gram=) takes their Gram matrix, inputs= the "
            "inputs themselves, angle= that of two"
        )
    return sim.joint


def theory_cells(found: Estimate, exact: float, limit: float) -> list[Any]:
    """Return cells of THEORY: a z-score against an exact value, or else the relative difference from a limit."""
    z = float(found.z_score(exact)) if np.isfinite(exact) else np.nan
    difference = float(found.relative_difference(limit)) if np.isfinite(limit) else np.nan
    numbers = [exact, z, limit, difference]
    if np.isfinite(exact):
        return [theory_cell(found, exact), "exact", f"z = {z:+z.2f}" if np.isfinite(z) else "", *numbers]
    if np.isfinite(limit):
        said = f"{difference:+z.2%}" if np.isfinite(difference) and abs(difference) <= WORTH_SAYING else ""
        return [theory_cell(found, limit), "infinite width", said, *numbers]
    return ["", "", "", *numbers]


def theory_cell(found: Estimate, value: float) -> str:
    """Write a value beside an estimate, of which it has the size; empty if it is NaN."""
    return cell(value, size=float(np.nan_to_num(np.fmax(np.abs(found.value), found.stderr), posinf=0.0)))


def table_of_pairs(
    name: str,
    title: str,
    layers: NDArray[np.int64],
    pairs: Sequence[tuple[int, int]],
    columns: Sequence[Column],
    cells: Callable[[int, int, int], list[Any]],
) -> Table:
    """Return a row for each recorded layer and pair of inputs, the first of them in what is printed.

    ``columns`` stand behind those of the layer and the inputs; cells(i, a, b) fills them for the pair (b, a) at
    recorded layer ``i``.
    """

    def table(most: int, most_pairs: int) -> Table:
        rows = [
            [int(layers[i]), f"{b}, {a}", *cells(i, a, b)]
            for i in chosen_layers(len(layers), most)
            for b, a in pairs[:most_pairs]
        ]
        left = len(layers) * len(pairs) - len(rows)
        first = [Column("layer", "layer"), Column("inputs", "inputs", numeric=False)]
        complete = (lambda: table(len(layers), len(pairs))) if left else None
        return Table(name, title, [*first, *columns], rows, left_out=left, complete=complete)

    return table(MOST_LAYERS, MOST_PAIRS)


def pairs_below(count: int, own: bool) -> list[tuple[int, int]]:
    """Return pairs of inputs (b, a), b before a, with each input's pair with itself if ``own``."""
    return [(b, a) for a in range(count) for b in range(a + own)]


def chosen_layers(count: int, most: int) -> list[int]:
    """Return places of a few recorded layers."""
    return few(count, most)


def nothing_known(shape: tuple[int, ...]) -> Floats:
    """Return NaN of a shape."""
    return np.full(shape, np.nan)
