"""Networks whose weights are handed in, layer after layer: their columns go through the compiled kernels.

A column is an input with a factor of its own on every layer's scale; all columns of a network meet the same matrices.
Weights are drawn for some layers at a time, forward, and then once more in the reverse order for gradients.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .._system.build import instruction_set
from .._system.progress import Report
from .._system.stopping import look, stoppable
from .._system.words import brief_repr
from ..models.residual_network import ResidualNetwork
from . import column_plan, native
from .arrays import Array, Arrays
from .column_plan import Plan, has_inner
from .devices import Device
from .lowering import BACKWARD, KernelResidual, Lowered
from .request import Job

if TYPE_CHECKING:
    from .weights import LayerWeights  # imports SciPy, which a simulation of independent layers does without

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

ALIGNMENT = 64
HIGH_WORD = 1 << 32  # networks that differ in their low word alone
TOGETHER = 4096  # networks whose records are summed at a time: whole batches, whatever their size


class Source(Protocol):
    """Weights of networks by their numbers."""

    def draw(self, networks: range, begin: int, end: int) -> LayerWeights:
        """Return the weights of layers ``begin`` to ``end`` - 1; the same numbers whatever else is drawn."""


@dataclass(frozen=True, eq=False)
class ColumnValues:
    """Records of columns, by recorded layer (R), network (N) and column.

    Attributes
    ----------
    layers : ndarray of int, shape (R,)
    values : dict of float64 arrays, shape (R, N, columns)
        By name, "growth" and "displacement", and with gradients "gradient" and "gradient_displacement": ln |v|^2 less
        that of the start, h_0 or p_L; -infinity where v = 0, +infinity where the start is 0. "log_norm" is ln |h|^2/n,
        "overlap" p.h/(|p| |h|).
    """

    __repr__ = brief_repr

    layers: NDArray[np.int64]
    values: dict[str, Floats]

    def final(self, name: str) -> Floats:
        """Final values, (N, columns): those of the last layer, of a gradient those of the first."""
        values: Floats = self.values[name][0 if name in BACKWARD else -1]
        return values


@stoppable()
def run_columns(
    lowered: Lowered,
    seed: int,
    networks: range,
    factors: Array,
    h0: Array | None = None,
    gradients: bool = False,
    layers: NDArray[np.int64] | None = None,
    threads: int = 1,
    report: Report | None = None,
    source: Source | None = None,
    machine: Machine | None = None,
) -> ColumnValues:
    """Follow columns of some networks through their layers, and with ``gradients`` back.

    Column c of a network has the steps s_l factors[c], inside the activation or outside as the network has them, and
    the input h0[.., c], or h_0 as the network's counters draw it.

    Parameters
    ----------
    lowered : Lowered
        Of a `ResidualNetwork`.
    seed : int
        Of first layers, signs and readouts.
    networks : range
        Numbers of the networks, N of them.
    factors : array of float, shape (columns,)
    h0 : array of float, shape (N, n, columns), optional
        In the model's own units; sizes from 2^-50 to 2^50.
    gradients : bool
    layers : array of int, optional
        The layers to record, from 0 to depth; by default these two.
    threads : int
        Of the CPU.
    report : callable, optional
        Called with the finished fraction; what it raises stops the run and comes out.
    source : Source, optional
        Of the weights; by default those of the network's own counters.
    machine : Machine, optional
        Where the columns go through the layers, instead of the CPU's threads.

    Raises
    ------
    ValueError
        For shapes that do not fit, and sizes that memory does not hold.
    Stopped, SystemExit
        As `look` does.
    """
    model, columns = lowered.general, np.ascontiguousarray(factors, np.float32)
    if columns.ndim != 1 or not len(columns):
        raise ValueError(f"factors have shape {columns.shape}: it must be (columns,), at least one")
    expected = (len(networks), model.width, len(columns))
    if h0 is not None and h0.shape != expected:
        raise ValueError(f"h0 has shape {h0.shape}: it must be {expected}, (networks, width, columns)")
    if layers is None:
        layers = np.array([0, model.depth], np.int64)
    kernel = lowered.in_own_units(gradients)
    records = native.empty_records(kernel, len(layers), len(networks) * len(columns), outputs=False)
    where = machine or Threads(threads)
    chosen = column_plan.plan(kernel, len(networks), len(columns), tied(model), where.state_bytes)
    way = Way(chosen, where, source or where.source(lowered, seed), seed, layers)
    way.fill(networks, columns, h0, records, _watched(report))
    shape = (len(layers), len(networks), len(columns))
    return ColumnValues(layers, {name: a.reshape(shape) for name, a in _values(kernel, records).items()})


def tied(model: ResidualNetwork) -> bool:
    """True if all layers of a network have the same weights."""
    return model.dependence == "tied"


class Passage(Protocol):
    """Columns of some networks on their way through the layers."""

    def go(self, job: native.ColumnJob, weights: LayerWeights, report: Report) -> None:
        """Take them through some layers, or back."""

    def end(self) -> None:
        """Leave the records where they are wanted."""


@dataclass(frozen=True)
class Places:
    """Arrays of some columns: all that is read and written besides weights.

    ``records`` have rows of all columns, of which these begin at number ``first``; ``layers`` are those to record.
    """

    factors: Singles
    h0: Singles | None
    layers: NDArray[np.int64]
    records: dict[str, Array]
    first: int


class Machine(Protocol):
    """All that columns go through layers on: threads of the CPU here, a GPU in `resmc.engine.cuda.columns`."""

    @property
    def numerics(self) -> str:
        """The numerics class of the records."""

    def state_bytes(self, network: KernelResidual, columns: int) -> int:
        """Bytes that so many columns of one network keep from one way through layers to the next."""

    def source(self, lowered: Lowered, seed: int) -> Source:
        """Weights of a network's own counters."""

    def begin(self, plan: Plan, networks: int, places: Places) -> Passage:
        """Begin with the columns of so many networks."""


@dataclass(frozen=True)
class Threads:
    """The CPU's threads."""

    count: int

    @property
    def numerics(self) -> str:
        """The numerics class of the records."""
        return f"cpu/{instruction_set()}"

    def state_bytes(self, network: KernelResidual, columns: int) -> int:
        """Bytes that so many columns of one network keep from one way through layers to the next."""
        return native.column_state_bytes(network, 1, columns, instruction_set())

    def source(self, lowered: Lowered, seed: int) -> Source:
        """Weights of a network's own counters."""
        from .weights import WeightSource

        return WeightSource(lowered.general, seed, self.count)

    def begin(self, plan: Plan, networks: int, places: Places) -> Passage:
        """Begin with the columns of so many networks."""
        arrays: dict[str, Array] = {"factors": places.factors, "state": aligned_bytes(networks * plan.state_bytes)}
        if places.h0 is not None:
            arrays["start"] = places.h0
        return OnThreads(self.count, plan.network, places, arrays)


@dataclass(frozen=True)
class OnThreads:
    """Columns on their way through the layers, on the CPU's threads."""

    threads: int
    network: KernelResidual
    places: Places
    arrays: dict[str, Array]

    def go(self, job: native.ColumnJob, weights: LayerWeights, report: Report) -> None:
        """Take them through some layers, or back."""
        given = {name: getattr(weights, name) for name in arrays_of(self.network)}
        native.columns(
            self.network, job, self.places.layers, given | self.arrays, self.places.records, self.threads,
            instruction_set(), report,
        )  # fmt: skip

    def end(self) -> None:
        """Leave the records where they are: they are written in their place."""


@dataclass(frozen=True, eq=False)
class Way:
    """The way of columns through all layers, and back."""

    plan: Plan
    machine: Machine
    source: Source
    seed: int
    layers: NDArray[np.int64]

    def fill(
        self, networks: range, factors: Singles, h0: Array | None, records: dict[str, Array], report: Report
    ) -> None:
        """Fill in the records of all columns of ``networks``."""
        for at, end in itertools.pairwise(self._cuts(networks)):
            start = None if h0 is None else np.ascontiguousarray(h0[at:end], np.float32)
            places = Places(factors, start, self.layers, records, at * len(factors))
            self._fill_some(networks[at:end], places, share(report, at, end - at, len(networks)))

    def _cuts(self, networks: range) -> list[int]:
        """Places among networks between which they go together: as many as the plan says, of one high word."""
        high = {-networks.start % HIGH_WORD} & set(range(1, len(networks)))
        return sorted({*range(0, len(networks), self.plan.networks), *high, len(networks)})

    def _fill_some(self, networks: range, places: Places, report: Report) -> None:
        plan = self.plan
        if places.h0 is not None:
            plan = replace(plan, network=replace(plan.network, n_in=0, input=np.zeros(0, np.float32)))
        passage = self.machine.begin(plan, len(networks), places)
        weights, held = None, range(0)
        parts = list(plan.parts())
        for i, (backward, begin, end) in enumerate(parts):
            if held != range(begin, end) or weights is None:
                weights = None  # before others are drawn
                look()
                weights, held = self.source.draw(networks, begin, end), range(begin, end)
            job = native.ColumnJob(
                seed=self.seed,
                first=networks.start,
                networks=len(networks),
                columns=plan.columns,
                backward=backward,
                from_layer=begin,
                to_layer=end,
                first_layer=begin,
                n_layers=1 if weights.tied else end - begin,
                tied=weights.tied,
                row=places.records["square"].shape[1],
                row_first=places.first,
            )
            passage.go(job, weights, share(report, i, 1, len(parts)))
        passage.end()


def arrays_of(network: KernelResidual) -> list[str]:
    """Names of the arrays of weights that a network has."""
    return ["outer"] + ["inner"] * has_inner(network) + ["bias"] * (network.bias > 0.0)


def aligned_bytes(count: int) -> NDArray[np.uint8]:
    """Memory at a multiple of 64 bytes, as any register needs it."""
    memory = np.empty(count + ALIGNMENT, np.uint8)
    skip = -memory.ctypes.data % ALIGNMENT
    return memory[skip : skip + count]


def share(report: Report, at: int, part: int, whole: int) -> Report:
    """A report of a part's finished fraction as one of the whole."""
    return lambda done: report((at + part * done) / whole)


def _watched(report: Report | None) -> Report:
    def watch(fraction: float) -> None:
        look()
        if report is not None:
            report(fraction)

    return watch


def _values(network: KernelResidual, records: dict[str, Array]) -> dict[str, Floats]:
    """Logarithms of quotients by name, and what else is recorded, (R, row)."""

    def log_square(prefix: str) -> Floats:
        square = records[f"{prefix}square"].astype(np.float64)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(square) + 2.0 * math.log(2.0) * records[f"{prefix}exponent"])

    def quotient(log: Floats, start: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(start), np.inf, log - start)

    h = log_square("")
    values = {"log_norm": h - math.log(network.width), "growth": quotient(h, h[0])}
    values["displacement"] = quotient(log_square("displacement_"), h[0])
    if network.gradients:
        p = log_square("gradient_")
        values["gradient"] = quotient(p, p[-1])
        values["gradient_displacement"] = quotient(log_square("gradient_displacement_"), p[-1])
        values["overlap"] = records["overlap"].astype(np.float64)
    return values


# -- one column a network, for the reducers -------------------------------------------------------------------------


def add_networks(
    lowered: Lowered,
    network: KernelResidual,
    job: Job,
    layers: NDArray[np.int64],
    arrays: Arrays,
    machine: Machine,
    threads: int,
    instructions: str,
    report: Report | None,
) -> None:
    """Add networks of one column, h_0 and scale as the network has them, to ``arrays`` as `native.simulate` does.

    ``threads`` and ``instructions`` are those that sum.
    """
    factor, stop, watch = np.ones(1, np.float32), job.first + job.count, _watched(report)
    chosen = column_plan.plan(network, min(job.count, TOGETHER), 1, tied(lowered.general), machine.state_bytes)
    way = Way(chosen, machine, machine.source(lowered, job.seed), job.seed, layers)
    ends = [*range(job.first // TOGETHER * TOGETHER + TOGETHER, stop, TOGETHER), stop]
    for first, end in itertools.pairwise([job.first, *ends]):
        at, part = first - job.first, job.part(first, end - first)
        records = native.empty_records(network, len(layers), part.count, outputs=part.keep_samples > 0)
        way.fill(range(first, end), factor, None, records, share(watch, at, part.count, job.count))
        native.reduce(network, part, layers, records, arrays.view(at, part), threads, instructions, None)


def needed_bytes(
    lowered: Lowered, network: KernelResidual, networks: int, columns: int, n_layers: int, device: Device, threads: int
) -> int:
    """Bytes of this machine's memory that so many columns of each of ``networks`` take on a device, by the plan.

    On a GPU these are the records alone, once more as they come back: weights, and what columns keep, are there.
    """
    records = networks * columns * n_layers * native.record_bytes(network)
    if device.kind != "cpu":
        return 2 * records
    from .weights import WeightSource

    chosen = column_plan.plan(network, networks, columns, tied(lowered.general), Threads(threads).state_bytes)
    return chosen.held_bytes + WeightSource(lowered.general, 0, threads).scratch_bytes + records
