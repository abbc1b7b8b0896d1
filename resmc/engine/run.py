"""Runs a request: the networks' sums, and what is kept of single networks, all in the kernels' own units."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.build import instruction_set
from .._system.progress import Report
from .._system.stopping import look, stoppable
from .._system.words import brief_repr
from . import columns, cuda, native
from .arrays import Arrays
from .finals import FinalCounts, Tally
from .joint import Joint
from .joint_ends import JointEnds
from .joint_sums import JointSums
from .lowering import CHANGES, MEAN_SQUARE, KernelNetwork, KernelResidual, Lowered
from .machines import machine_of
from .recording import GROUPS
from .request import Job, Request, group_sizes
from .sums import NormSums, Sums

PART = 1 << 18  # networks whose final values are held at a time
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The kernels' answer to a request.

    Attributes
    ----------
    sums : Sums
    quotients : dict of NormSums
        By name; "growth" is in ``sums``. "mean_square" is among them where the engine follows it.
    finals : dict of FinalCounts
        Final values of every quantity that is followed, by name, "growth" among them.
    kept : Arrays
        Paths and final values of the first networks.
    final_samples : dict of ndarray, shape (k,)
        Final values of the first networks' quotients.
    numerics : str
        The numerics class: what rounds alike.
    raw : cuda.Raw or None
        What was left on the GPU.
    joint : JointSums or None
        Sums over networks with several inputs, or tangents.
    joint_ends : JointEnds or None
        Final values of the first of these networks.
    """

    __repr__ = brief_repr

    sums: Sums
    quotients: dict[str, NormSums]
    finals: dict[str, FinalCounts]
    kept: Arrays
    final_samples: dict[str, Floats]
    numerics: str
    raw: Any = None
    joint: JointSums | None = None
    joint_ends: JointEnds | None = None

    @property
    def size(self) -> int:
        """Bytes of memory that it takes, or more, but for what was kept raw and what several inputs leave."""
        sums = self.sums
        norms = sums.norms.records.nbytes * (2 + len(self.quotients))
        counts = sum(2 * one.bins.nbytes for one in self.finals.values())
        return norms + counts + 3 * sums.products.nbytes + sums.histogram.nbytes

    def without_histogram(self) -> Outcome:
        """Return the same with a histogram without bins: its megabytes, most of them zeros, go with this one."""
        sums = replace(self.sums, histogram=np.zeros((GROUPS, 0), np.int64))
        return replace(self, sums=sums, kept=replace(self.kept, sums=sums))


@dataclass(eq=False)
class Cpu:
    """The CPU's threads."""

    threads: int
    instructions: str = field(default_factory=instruction_set)

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
        """Adds the networks of ``job`` to ``arrays``, and their final values to ``tallies``."""
        native.simulate(network, job, layers, arrays, self.threads, self.instructions, report)
        for name, tally in tallies.items():
            tally.add(arrays.quotients[name].final)

    def tally(self) -> Tally:
        """Begin a count of final values."""
        return Tally()


@dataclass(eq=False)
class Columns:
    """A CPU or a GPU with weights that are drawn as arrays, as those of layers that depend on each other are.

    The CPU sums whatever the records come from; those of a GPU with the instructions that every CPU has, so that its
    numerics class says all.
    """

    lowered: Lowered
    machine: columns.Machine
    numerics: str
    threads: int
    instructions: str

    @staticmethod
    def of(request: Request) -> Columns:
        """Where a request wants to be computed."""
        machine, here = machine_of(request.device, request.threads), request.device.kind == "cpu"
        instructions = instruction_set() if here else "baseline"
        return Columns(request.lowered, machine, machine.numerics, request.threads, instructions)

    def add(
        self,
        network: KernelNetwork,
        job: Job,
        layers: NDArray[np.int64],
        arrays: Arrays,
        report: Report | None,
        tallies: dict[str, Any],
    ) -> None:
        """Adds the networks of ``job`` to ``arrays``, and their final values to ``tallies``."""
        assert isinstance(network, KernelResidual)
        columns.add_networks(
            self.lowered, network, job, layers, arrays, self.machine, self.threads, self.instructions, report
        )
        for name, tally in tallies.items():
            tally.add(arrays.quotients[name].final)

    def tally(self) -> Tally:
        """Begin a count of final values."""
        return Tally()


@dataclass(eq=False)
class Gpu:
    """One GPU, on which what is kept raw stays with ``keep``."""

    accelerator: cuda.Accelerator
    keep: bool

    @property
    def numerics(self) -> str:
        """The numerics class."""
        return self.accelerator.numerics

    def add(
        self,
        network: KernelNetwork,
        job: Job,
        layers: NDArray[np.int64],
        arrays: Arrays,
        report: Report | None,
        tallies: dict[str, Any],
    ) -> Any:
        """Adds the networks of ``job`` to ``arrays``, and their final values to ``tallies``.

        Returns what stays on the GPU.
        """
        named = arrays.named()
        raw = cuda.run(self.accelerator, network, job, layers.astype(np.uint32), named, report)
        for name, tally in tallies.items():
            tally.add(raw.last[name])
        if self.keep:
            return raw
        for name, values in raw.to_numpy().items():
            named[name][: len(values)] = values
        return None

    def tally(self) -> cuda.DeviceTally:
        """Begin a count of final values."""
        return cuda.DeviceTally(self.accelerator)


@stoppable()
def run(request: Request, report: Report | None = None) -> Outcome:
    """Simulates the networks of ``request``.

    Any thread of Python may call this, several at a time. ``report`` is called from that thread with the finished
    fraction, about twenty times a second; what it raises stops the run and comes out here. Ctrl-C does the same in the
    main thread alone, `stop` in all.

    Raises
    ------
    Stopped, SystemExit
        As `look` does.
    DeviceError
        If there is no GPU to use that was asked for, its memory does not suffice, or it fails.
    """
    network, job, recording = request.network(), request.job(), request.recording
    where: Cpu | Gpu | Columns | Joint = Cpu(request.threads)
    if recording.joint is not None:
        where = Joint.of(request)
    elif request.hands_in_weights:
        where = Columns.of(request)
    elif request.device.kind == "cuda":
        where = Gpu(cuda.open_cuda(request.device.ordinal), recording.on_device)
    here = replace(job, keep_samples=0, keep_trajectories=0) if recording.on_device else job
    arrays = Arrays.empty(network, here, len(recording.layers))
    followed = [name for name in network.quotients if request.lowered.has_displacement or name not in CHANGES]
    tallies = {name: where.tally() for name in followed}
    final_samples = {name: np.empty(job.keep_samples) for name in followed}
    raw = None

    def watch(fraction: float) -> None:
        look()
        if report is not None:
            report(fraction)

    for at, part in _parts(job) if network.quotients else ((0, job),):
        views = arrays.part(at, part) if network.quotients else arrays
        raw = where.add(network, part, recording.layers, views, _share(watch, at, part, job), tallies)
        for name, values in final_samples.items():
            values[at : at + part.count] = views.quotients[name].final[: part.keep_samples]
    if len(followed) < len(arrays.quotients):
        arrays = replace(arrays, quotients={name: arrays.quotients[name] for name in followed})
    arrays.sums.networks[:] = group_sizes(request.networks)
    if not request.lowered.has_asymmetry:  # the kernels' numbers there have no meaning
        arrays.path_asymmetry[:] = np.nan
    norms = {name: q.norms for name, q in arrays.quotients.items()} | {MEAN_SQUARE: arrays.mean_square}
    quotients = {name: NormSums(arrays.sums.networks, q.records) for name, q in norms.items() if q is not None}
    finals = {name: tally.counts() for name, tally in tallies.items()}
    joint = where.sums if isinstance(where, Joint) else None
    if joint is not None:
        joint.networks[:] = arrays.sums.networks
    ends = where.ends if isinstance(where, Joint) else None
    return Outcome(arrays.sums, quotients, finals, arrays, final_samples, where.numerics, raw, joint, ends)


def _parts(job: Job) -> Iterator[tuple[int, Job]]:
    """The networks of ``job`` in parts, each with its place: so many that their final values can be held.

    Parts end at multiples of 2^18 networks, so that batches stay whole and the groups meet them in order.
    """
    stop = job.first + job.count
    ends = [*range(job.first // PART * PART + PART, stop, PART), stop]
    for first, end in itertools.pairwise([job.first, *ends]):
        yield first - job.first, job.part(first, end - first)


def _share(report: Report, at: int, part: Job, job: Job) -> Report:
    """A report of a part's finished fraction as one of the whole."""
    return lambda done: report((at + part.count * done) / job.count)
