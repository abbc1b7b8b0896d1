"""The CPU's kernels over typed records, which here become the dictionaries that the extension takes.

The extension checks names, types and sizes of what it is handed; that values make sense has been checked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _native
from .._system.progress import Report
from .arrays import Array, Arrays
from .lowering import KernelNetwork, KernelResidual
from .request import Job

NUMERICS_VERSION = str(_native.NUMERICS_VERSION)


def plain(record: Any) -> dict[str, Any]:
    """A typed record as the extension takes it."""
    return dict(vars(record))


def simulate(
    network: KernelNetwork,
    job: Job,
    layers: NDArray[np.int64],
    arrays: Arrays,
    threads: int,
    instructions: str,
    report: Report | None,
) -> None:
    """Adds the networks of ``job`` to ``arrays``, on the CPU; what ``report`` raises stops the run and comes out."""
    _native.simulate(
        plain(network), plain(job), layers.astype(np.uint32), arrays.named(), threads, instructions, report
    )


def thread_bytes(network: KernelNetwork, job: Job, n_layers: int, instructions: str) -> int:
    """Bytes of memory that each CPU thread takes, with so many recorded layers."""
    layers = np.arange(n_layers, dtype=np.uint32)
    return _native.thread_bytes(plain(network), plain(job), layers, instructions)


def occupied(histogram: NDArray[np.int64], total: int) -> tuple[int, int, int]:
    """The first occupied bin, one past the last, and a number with all bits that counts have, of bins of (G, 2 + bins).

    ``total`` is what all bins but underflow and overflow hold, by which a part of them is known to hold all.
    """
    return _native.occupied(histogram, total)


# -- columns of networks whose weights are handed in ------------------------------------------------------------------


@dataclass(frozen=True)
class ColumnJob:
    """All that the kernels are told of some columns, for one way through some layers.

    Attributes
    ----------
    seed, first, networks, columns : int
        The networks, and how many columns each has.
    backward : bool
        From layer ``to_layer`` to layer ``from_layer``, instead of the other way.
    from_layer, to_layer : int
    first_layer, n_layers : int
        The layers whose weights are handed in; with ``tied`` all layers have the one that there is.
    tied : bool
    row, row_first : int
        Records have rows of so many numbers; column c of network i is number row_first + i columns + c.
    """

    seed: int
    first: int
    networks: int
    columns: int
    backward: bool
    from_layer: int
    to_layer: int
    first_layer: int
    n_layers: int
    tied: bool
    row: int
    row_first: int


def empty_records(network: KernelResidual, n_layers: int, row: int, outputs: bool) -> dict[str, Array]:
    """Records of columns, by the names that the kernels know them by: (n_layers, row), and outputs (n_out, row).

    Squares are in units of 4^exponent.
    """
    shape = (n_layers, row)
    records: dict[str, Array] = {
        "square": np.empty(shape, np.float32),
        "exponent": np.empty(shape, np.int32),
        "asymmetry": np.empty(shape, np.float32),
        "active": np.empty(shape, np.uint32),
    }
    for name in network.quotients[1:]:
        records[f"{name}_square"] = np.empty(shape, np.float32)
        records[f"{name}_exponent"] = np.empty(shape, np.int32)
    if network.gradients:
        records["overlap"] = np.empty(shape, np.float32)
    if outputs:
        records["output"] = np.empty((network.n_out, row), np.float32)
    return records


def record_bytes(network: KernelResidual) -> int:
    """Bytes of the records of one column at one layer."""
    return 16 + 8 * len(network.quotients[1:]) + (4 if network.gradients else 0)


def column_state_bytes(network: KernelResidual, networks: int, columns: int, instructions: str) -> int:
    """Bytes that the columns of so many networks keep from one way through layers to the next."""
    return _native.column_state_bytes(plain(network), networks, columns, instructions)


def columns(
    network: KernelResidual,
    job: ColumnJob,
    layers: NDArray[np.int64],
    arrays: dict[str, Array],
    records: dict[str, Array],
    threads: int,
    instructions: str,
    report: Report | None,
) -> None:
    """Takes columns through some layers, or back, and fills ``records`` of those that are among ``layers``.

    ``arrays`` are outer, inner and bias as far as the block has them, (N, n_layers, ..); factors (columns,) on every
    layer's step; start (N, n, columns) where h_0 is handed in; and state, bytes at a multiple of 64.
    """
    _native.columns(
        plain(network), plain(job), layers.astype(np.uint32), arrays, records, threads, instructions, report
    )


def reduce(
    network: KernelResidual,
    job: Job,
    layers: NDArray[np.int64],
    records: dict[str, Array],
    arrays: Arrays,
    threads: int,
    instructions: str,
    report: Report | None,
) -> None:
    """Adds networks of one column, whose ``records`` are there, to ``arrays``, as `simulate` adds its own."""
    _native.reduce(
        plain(network), plain(job), layers.astype(np.uint32), records, arrays.named(), threads, instructions, report
    )


# -- several inputs and tangents --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JointJob:
    """All that the kernels are told of networks with several inputs, or tangents.

    Attributes
    ----------
    method : int
        Place of the method in `resmc.models.network.METHODS`.
    seed, first, networks : int
    inputs, tangents : int
    backward, independent : bool
        True to go backward too, and to do so with matrices of its own.
    reorthogonalise : int
        Layers after which tangents are made orthonormal again.
    row, row_first : int
        Arrays have rows of so many networks; network ``first`` is number row_first.
    """

    method: int
    seed: int
    first: int
    networks: int
    inputs: int
    tangents: int
    backward: bool
    independent: bool
    reorthogonalise: int
    row: int
    row_first: int


def joint(
    network: KernelResidual,
    job: JointJob,
    layers: NDArray[np.int64],
    arrays: dict[str, Array],
    threads: int,
    instructions: str,
    report: Report | None,
) -> None:
    """Simulates networks with several inputs, and fills ``arrays``, whose last axis is the networks.

    Read is ``start`` (m, m), a lower triangle of float64: the columns of h_0, which are h^0, h^1 - h^0, .., are that
    times normals. Where A is drawn entry by entry, ``rows`` (m, 4 + n_in + 8) are read too, float32: the directions of
    x^0, x^1 - x^0, .. between zeros, and ``start`` has but the norms of these in its rows. Filled are `empty_records`
    of input 0, and by recorded layer R and pair a >= b of inputs, P of them:

    - ``gram`` (R, P, N), ``unit`` (R, m, N): inner products of columns a and b, in units of 2^(unit_a + unit_b);
    - ``log_stretch`` (R, k, N): logarithm of how much tangent j has grown across those before it;
    - and with ``backward``, of gradients p^a of one output, ``gradient_gram`` (R, P, N) and ``gradient_unit`` (R, m, N)
      alike, and but with a batch norm ``kernel`` (R, P, N), the tangent kernel's part of the layers from that one on.
    """
    _native.joint(plain(network), plain(job), layers.astype(np.uint32), arrays, threads, instructions, report)


def joint_thread_bytes(network: KernelResidual, job: JointJob, instructions: str) -> int:
    """Bytes of memory that each CPU thread takes for networks with several inputs."""
    return _native.joint_thread_bytes(plain(network), plain(job), instructions)


# -- populations that are resampled -----------------------------------------------------------------------------------

PACK = 32  # populations begin at multiples of it, so that no pack or warp of networks holds two of them


def population_stride(size: int) -> int:
    """Numbers of networks from one population to the next."""
    return -(-size // PACK) * PACK


@dataclass(frozen=True)
class PopulationJob:
    """All that the kernels are told of populations besides the network and the layers.

    Attributes
    ----------
    variant, seed : int
    first, count, size : int
        Populations first .. first + count - 1 of so many networks each.
    power : float
        Networks are weighted by |z|^(2 power).
    """

    variant: int
    seed: int
    first: int
    count: int
    size: int
    power: float


def populations(
    network: KernelNetwork,
    job: PopulationJob,
    layers: NDArray[np.int64],
    arrays: dict[str, NDArray[np.float64]],
    threads: int,
    instructions: str,
    report: Report | None,
) -> None:
    """Take populations through all layers, weighting and resampling them at ``layers``.

    ``arrays`` (count, len(layers)) come to hold, of the weights at each layer, the largest one's logarithm, "top"; the
    mean of weights over the largest, "mean", 0 where all networks are dead; "effective", (sum w)^2/(size sum w^2); and
    "growth", the mean of log |z_l|^2/|z_0|^2 by these weights.
    """
    _native.populations(plain(network), plain(job), layers.astype(np.uint32), arrays, threads, instructions, report)


def population_thread_bytes(width: int, size: int, instructions: str) -> int:
    """Bytes of memory that each CPU thread takes for a population."""
    return _native.population_thread_bytes(width, size, instructions)


# -- weights as arrays ----------------------------------------------------------------------------------------------

STREAMS: dict[str, int] = dict(_native.STREAMS)


def entries(
    seed: int,
    stream: str,
    network: int,
    first_layer: int,
    n_layers: int,
    first_quad: int,
    n_quads: int,
    law: int,
    instructions: str,
) -> NDArray[np.float32]:
    """Entries of one network's matrices, of variance 1, float32 (n_layers, 4 n_quads): those of the dense method.

    ``law`` is the number of a weight law. The interpreter's lock is released.
    """
    return _native.entries(
        instructions, law, seed, STREAMS[stream], network, first_layer, n_layers, first_quad, n_quads
    )


def waves(
    seed: int,
    stream: str,
    network: int,
    amplitudes: NDArray[np.float32],
    real: int,
    imaginary: int,
    out: NDArray[np.complex64],
    instructions: str,
) -> None:
    """Puts normals times amplitudes (K, 2) of frequencies 0 .. K - 1 into out, (K, 4 quads).

    Real parts are of the quads from ``real`` on, imaginary parts of those from ``imaginary`` on. The interpreter's lock
    is released.
    """
    _native.waves(instructions, seed, STREAMS[stream], network, amplitudes, real, imaginary, out)


def combine(
    coefficients: NDArray[np.float32], x: NDArray[np.float32], out: NDArray[np.float32], instructions: str
) -> None:
    """Puts coefficients (rows, terms) times x (terms, columns or more) into out (rows, columns), by one thread.

    Rows of ``x`` and ``out`` are contiguous. An element's bits depend on its row of coefficients and its column of x
    alone, so that matrices may be cut in any way. The interpreter's lock is released.
    """
    _native.combine(instructions, coefficients, x, out)
