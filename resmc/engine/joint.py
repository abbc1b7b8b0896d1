"""Networks with several inputs, or tangents: simulated some at a time, and summed, input 0 as in any simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.build import instruction_set
from .._system.progress import Report
from . import joint_sums, native
from .arrays import Array, Arrays
from .columns import TOGETHER, share
from .finals import Tally
from .joint_ends import JointEnds
from .joint_sums import Floats, JointSums
from .lowering import KernelNetwork, KernelResidual, Lowered
from .recording import JointRecording
from .request import Job, Request

MOST_BYTES = 1 << 28  # bytes of inner products that are held at a time
FEWEST = 64  # networks that are simulated at a time in any case
NARROW = 64  # width below which tangents may come to lie along one line within few layers
REORTHOGONALISE = 4  # layers after which the tangents of wider networks are made orthonormal again


@dataclass(eq=False)
class Joint:
    """The CPU's threads, with several inputs or tangents in each network.

    How many networks are simulated at a time follows from what is recorded alone, so that threads change no bit.
    """

    recording: JointRecording
    start: Floats
    rows: dict[str, NDArray[np.float32]]
    sums: JointSums
    ends: JointEnds
    first: int
    kept: int
    threads: int
    instructions: str
    lined: bool

    @staticmethod
    def of(request: Request) -> Joint:
        """Where a request with several inputs or tangents is computed."""
        recording = request.recording.joint
        assert recording is not None
        network = request.network()
        assert isinstance(network, KernelResidual)
        sums = JointSums.zeros(recording, len(request.recording.layers))
        start = start_of(request.lowered, network, recording)
        kept = request.recording.joint_samples
        ends = JointEnds.empty(recording, kept)
        return Joint(
            recording, start, rows_of(request.lowered, recording), sums, ends, request.networks.start, kept,
            request.threads, instruction_set(), lined(request.lowered),
        )  # fmt: skip

    @property
    def numerics(self) -> str:
        """The numerics class."""
        return f"cpu/{self.instructions}"

    def add(
        self,
        network: KernelNetwork,
        job: Job,
        layers: NDArray[np.int64],
        arrays: Arrays,
        report: Report | None,
        tallies: dict[str, Any],
    ) -> None:
        """Adds the networks of ``job`` to ``arrays`` and to ``sums``, and final values of input 0 to ``tallies``."""
        assert isinstance(network, KernelResidual)
        assert report is not None
        size = together(self.recording, len(layers))
        for first, end in _cuts(job.first, job.first + job.count, TOGETHER):
            part = job.part(first, end - first)
            records = native.empty_records(network, len(layers), part.count, outputs=False)
            for begin, until in _cuts(first, end, size):
                some = job.part(begin, until - begin)
                watch = share(report, begin - job.first, some.count, job.count)
                self._add_some(network, some, layers, records, begin - first, watch)
            native.reduce(
                network, part, layers, records, arrays.view(first - job.first, part), self.threads, self.instructions,
                None,
            )  # fmt: skip
        for name, tally in tallies.items():
            tally.add(arrays.quotients[name].final)

    def tally(self) -> Tally:
        """Begin a count of final values."""
        return Tally()

    def _add_some(
        self,
        network: KernelResidual,
        job: Job,
        layers: NDArray[np.int64],
        records: dict[str, Array],
        at: int,
        report: Report,
    ) -> None:
        """Simulate some networks, leave the records of their input 0 from place ``at`` on, and add the rest up."""
        own = native.empty_records(network, len(layers), job.count, outputs=False)
        found = joint_sums.layer_arrays(self.recording, len(layers), job.count)
        native.joint(
            network, job_of(self.recording, network, job), layers, {"start": self.start} | self.rows | own | found,
            self.threads, self.instructions, report,
        )  # fmt: skip
        for name, array in own.items():
            records[name][:, at : at + job.count] = array
        kept = min(self.kept - (job.first - self.first), job.count)
        if kept > 0:
            self.ends.put(job.first - self.first, found, self.start, network.width, self.recording, kept)
        joint_sums.add_networks(
            self.sums, found, self.start, network.width, job.first, job.batch, self.threads, self.lined
        )


def job_of(recording: JointRecording, network: KernelResidual, job: Job) -> native.JointJob:
    """Return what the kernels are told of the networks of ``job``."""
    return native.JointJob(
        method=job.method,
        seed=job.seed,
        first=job.first,
        networks=job.count,
        inputs=recording.count,
        tangents=recording.tangents,
        backward=recording.backward,
        independent=recording.independent,
        reorthogonalise=1 if network.width < NARROW else min(REORTHOGONALISE, network.depth),
        row=job.count,
        row_first=0,
    )


def lined(lowered: Lowered) -> bool:
    """Say whether two states that have come to lie along one line to within rounding have done so exactly.

    They have in a network without a skip whose inputs are brought to one norm, which homogeneous ones are but for
    weights whose sums cancel: there, a matrix has met multiples of one vector, where one neuron was active.
    """
    network = lowered.general
    return lowered.homogeneous and network.carry == 0.0 and not network.weight_law.cancels


def start_of(lowered: Lowered, network: KernelResidual, recording: JointRecording) -> Floats:
    """Return the rows of the first layer in the kernels' units.

    Where a network is homogeneous, all inputs have size 1, and their own sizes are multiplied to what comes out.
    """
    if lowered.homogeneous:
        return recording.inputs.unit_start
    start = np.array(recording.inputs.start)
    start[0, 0] = network.size
    return start


def rows_of(lowered: Lowered, recording: JointRecording) -> dict[str, NDArray[np.float32]]:
    """Return the ``rows`` that a first layer meets which is drawn entry by entry; nothing where it is not."""
    if not recording.inputs.x:
        return {}
    rows = recording.inputs.directions_of_differences(lowered.homogeneous)
    return {"rows": np.pad(rows, ((0, 0), (4, 8))).astype(np.float32)}


def together(recording: JointRecording, n_layers: int) -> int:
    """Return how many networks are simulated at a time: a power of two."""
    most = MOST_BYTES // joint_sums.layer_bytes(recording, n_layers)
    return min(TOGETHER, max(FEWEST, 1 << max(most.bit_length() - 1, 0)))


def needed_bytes(request: Request, recording: JointRecording, n_layers: int) -> int:
    """Bytes of memory that a request takes besides what any simulation does: records, inner products and sums."""
    network = request.network()
    assert isinstance(network, KernelResidual)
    count = min(together(recording, n_layers), request.count)
    each = native.joint_thread_bytes(network, job_of(recording, network, request.job()), instruction_set())
    records = (min(TOGETHER, request.count) + count) * n_layers * native.record_bytes(network)
    found = count * joint_sums.layer_bytes(recording, n_layers)
    by_layer = 16 * count * recording.pairs * 8  # arrays of one layer that a thread works with
    sums = sum(8 * int(np.prod(shape)) for shape in joint_sums.shapes(recording, n_layers).values())
    kept = request.recording.joint_samples * JointEnds.bytes(recording)
    return records + found + sums + kept + request.threads * (each + by_layer)


def _cuts(first: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of networks that end at multiples of ``size``."""
    return pairwise([first, *range(first // size * size + size, stop, size), stop])
