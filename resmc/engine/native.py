"""Where Python meets the extension: the only file that turns typed records into the dictionaries which it takes.

The extension checks names, types and sizes of what it is handed; that values make sense has been checked before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _native
from .lowering import MEAN_SQUARE, KernelNetwork, KernelResidual
from .request import Job
from .sums import NormSums, Sums

NUMERICS_VERSION = str(_native.NUMERICS_VERSION)

Array = NDArray[Any]
Report = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class QuotientArrays:
    """Arrays that the kernels fill for one quotient; for that of h itself ("growth") the final values alone."""

    final: NDArray[np.float64]  # (N,): ln |v|^2/|start|^2 of every network of a part
    norms: NormSums | None = None
    path: NDArray[np.float64] | None = None  # (k, R)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Arrays on the host that the kernels add to, or fill; all in the kernels' units.

    Attributes
    ----------
    sums : Sums
    sample_log_norm, sample_output, sample_exponent : ndarray, shapes (k,), (k, n_out), (k,)
        Final values of the first networks; outputs in units of 2^exponent.
    path_log_norm, path_asymmetry, path_overlap : ndarray, shape (k, R)
        Paths of the first networks; overlaps with gradients alone.
    quotients : dict of QuotientArrays
        By name, "growth" first; empty where nothing but h is followed.
    mean_square : NormSums or None
        Of h measured from 1, W_l = |h_l|^2/n; None where the growth says as much.
    """

    sums: Sums
    sample_log_norm: NDArray[np.float64]
    sample_output: NDArray[np.float64]
    sample_exponent: NDArray[np.int32]
    path_log_norm: NDArray[np.float64]
    path_asymmetry: NDArray[np.float32]
    path_overlap: NDArray[np.float32]
    quotients: dict[str, QuotientArrays] = field(default_factory=dict)
    mean_square: NormSums | None = None

    @staticmethod
    def empty(network: KernelNetwork, job: Job, n_layers: int) -> Arrays:
        """Sums of no network, and room for what is kept; final values are those of a part (`part`)."""
        kept, paths = job.keep_samples, job.keep_trajectories
        nothing = np.empty(0)
        quotients = {
            name: QuotientArrays(nothing)
            if name == "growth"
            else QuotientArrays(nothing, NormSums.of_none(n_layers), np.empty((paths, n_layers)))
            for name in network.quotients
        }
        return Arrays(
            sums=Sums.zeros(n_layers, job.n_bins, job.deaths_possible, job.correlations, job.activity),
            sample_log_norm=np.empty(kept),
            sample_output=np.empty((kept, network.n_out)),
            sample_exponent=np.empty(kept, np.int32),
            path_log_norm=np.empty((paths, n_layers)),
            path_asymmetry=np.empty((paths, n_layers), np.float32),
            path_overlap=np.empty((paths if "gradient" in network.quotients else 0, n_layers), np.float32),
            quotients=quotients,
            mean_square=NormSums.of_none(n_layers) if job.mean_square else None,
        )

    def part(self, at: int, job: Job) -> Arrays:
        """Arrays for the networks of ``job``, which begin ``at``: the same sums, views of what is kept, new finals."""
        part = self.view(at, job)
        return replace(part, quotients={n: replace(q, final=np.empty(job.count)) for n, q in part.quotients.items()})

    def view(self, at: int, job: Job) -> Arrays:
        """Arrays with the same sums, and with views of all else for the networks of ``job``, which begin ``at``."""

        def kept(array: Array, count: int) -> Array:
            return array[at : at + count]

        paths = job.keep_trajectories
        return replace(
            self,
            sample_log_norm=kept(self.sample_log_norm, job.keep_samples),
            sample_output=kept(self.sample_output, job.keep_samples),
            sample_exponent=kept(self.sample_exponent, job.keep_samples),
            path_log_norm=kept(self.path_log_norm, paths),
            path_asymmetry=kept(self.path_asymmetry, paths),
            path_overlap=kept(self.path_overlap, paths),
            quotients={
                name: replace(q, final=kept(q.final, job.count), path=None if q.path is None else kept(q.path, paths))
                for name, q in self.quotients.items()
            },
        )

    def named(self) -> dict[str, Array]:
        """Every array by the name that the kernels know it by."""
        out = self.sums.arrays()
        for name in ("sample_log_norm", "sample_output", "sample_exponent", "path_log_norm", "path_asymmetry"):
            out[name] = getattr(self, name)
        if self.quotients:
            out["path_overlap"] = self.path_overlap
        if self.mean_square is not None:
            out[f"{MEAN_SQUARE}.norms"] = self.mean_square.records
        for name, quotient in self.quotients.items():
            out[f"final_{name}"] = quotient.final
            if quotient.norms is not None and quotient.path is not None:
                out |= {f"{name}.norms": quotient.norms.records, f"path_{name}": quotient.path}
        return out


def plain(record: Any) -> dict[str, Any]:
    """A typed record as the extension takes it."""
    return {f.name: getattr(record, f.name) for f in fields(record)}


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


# -- a GPU's kernels ------------------------------------------------------------------------------------------------

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
