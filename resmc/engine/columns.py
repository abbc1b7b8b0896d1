"""Networks whose weights are handed in, layer after layer: their columns go through the compiled kernels.

A column is an input with a factor of its own on every layer's scale; all columns of a network meet the same matrices.
Weights are drawn for some layers at a time, forward, and then once more in the reverse order for gradients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from .._system.build import instruction_set
from .._system.stopping import look, stoppable
from .._system.words import brief_repr
from ..models.blocks import BLOCKS
from ..models.residual_network import ResidualNetwork
from . import native
from .lowering import BACKWARD, KernelResidual, Lowered
from .native import Array, Arrays, Report
from .request import Job

if TYPE_CHECKING:
    from .weights import LayerWeights  # imports SciPy, which a simulation of independent layers does without

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

WEIGHTS_HELD = 1 << 29  # bytes of weights that are there at a time
STATES_HELD = 1 << 28  # bytes of what columns keep of their layers, where that is a choice
MOST_STATES = 1 << 33  # and where it is none
ALIGNMENT = 64
TOGETHER = 4096  # networks whose records are summed at a time: whole batches, whatever their size


class Source(Protocol):
    """Weights of networks by their numbers."""

    def draw(self, networks: range, begin: int, end: int) -> LayerWeights:
        """Return the weights of layers ``begin`` to ``end`` - 1; the same numbers whatever else is drawn."""


@dataclass(frozen=True)
class Plan:
    """How much is there at a time.

    Attributes
    ----------
    network : KernelResidual
        The network as its kernels take it, with as many layers kept for gradients as fit.
    columns : int
    networks, layers : int
        Networks, and layers of theirs, whose weights are held.
    tied : bool
        True if all layers have the weights of one.
    """

    network: KernelResidual
    columns: int
    networks: int
    layers: int
    tied: bool

    def state_bytes(self, networks: int) -> int:
        """Bytes that the columns of so many networks keep."""
        return native.column_state_bytes(self.network, networks, self.columns, instruction_set())

    @property
    def held_bytes(self) -> int:
        """Bytes of all that is there: of weights, and of what columns keep."""
        weights = layer_bytes(self.network) * (1 if self.tied else self.layers)
        return self.networks * weights + self.state_bytes(self.networks)

    def parts(self) -> Iterator[tuple[bool, int, int]]:
        """(backward, begin, end) of every way through some layers."""
        depth = self.network.depth
        parts = [(begin, min(begin + self.layers, depth)) for begin in range(0, depth, self.layers)]
        yield from ((False, *part) for part in parts)
        if self.network.gradients:
            yield from ((True, *part) for part in reversed(parts))


def layer_bytes(network: KernelResidual) -> int:
    """Bytes of one layer's weights."""
    n, matrices = network.width, 2 if _has_inner(network) else 1
    return 4 * (matrices * n * n + (n if network.bias > 0.0 else 0))


def _has_inner(network: KernelResidual) -> bool:
    return network.block == BLOCKS["v-phi-w"].number


def plan(network: KernelResidual, networks: int, columns: int, tied: bool) -> Plan:
    """Choose how many networks, and layers of theirs, are there at a time.

    Raises
    ------
    ValueError
        If one layer's weights, or what the columns of one network keep, are too large; the message names the sizes.
    """
    depth, layer, n = network.depth, layer_bytes(network), network.width
    if layer > WEIGHTS_HELD:
        raise ValueError(
            f"width={n} is too large for weights that depend on each other in depth: those of one layer take "
            f"{layer / 1e9:.3g} GB, and {WEIGHTS_HELD / 1e9:.3g} GB are held at most"
        )
    layers = depth if tied else min(depth, WEIGHTS_HELD // layer)
    chosen = Plan(replace(network, segment=depth), columns, 1, layers, tied)
    if network.gradients and chosen.state_bytes(1) > STATES_HELD:  # some layers are computed again on the way back
        segment = min(math.isqrt(depth) + 1, layers)
        whole = depth if layers == depth else layers // segment * segment
        chosen = Plan(replace(network, segment=segment), columns, 1, whole, tied)
    state = chosen.state_bytes(1)
    if state > MOST_STATES:
        raise ValueError(
            f"width={n}, depth={depth} and {columns} columns are too large together: what the columns of one network "
            f"keep takes {state / 1e9:.3g} GB, and {MOST_STATES / 1e9:.3g} GB are held at most"
        )
    weights = layer * (1 if tied else chosen.layers)
    fit = max(1, min(networks, WEIGHTS_HELD // weights, STATES_HELD // state))
    return replace(chosen, networks=fit)


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
    report : callable, optional
        Called with the finished fraction; what it raises stops the run and comes out.
    source : Source, optional
        Of the weights; by default those of the network's own counters.

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
    kernel = lowered.kernel(gradients, displacement=True)
    assert isinstance(kernel, KernelResidual)
    records = native.empty_records(kernel, len(layers), len(networks) * len(columns), outputs=False)
    chosen = plan(kernel, len(networks), len(columns), tied(model))
    way = _Way(chosen, source or source_of(lowered, seed, threads), seed, layers, threads)
    way.fill(networks, columns, h0, records, 0, _watched(report))
    shape = (len(layers), len(networks), len(columns))
    return ColumnValues(layers, {name: a.reshape(shape) for name, a in _values(kernel, records).items()})


def source_of(lowered: Lowered, seed: int, threads: int) -> Source:
    """Weights of a network's own counters, drawn by so many threads."""
    from .weights import WeightSource

    return WeightSource(lowered.general, seed, threads)


def tied(model: ResidualNetwork) -> bool:
    """True if all layers of a network have the same weights."""
    return model.dependence == "tied"


@dataclass(frozen=True, eq=False)
class _Way:
    """The way of columns through all layers, and back."""

    plan: Plan
    source: Source
    seed: int
    layers: NDArray[np.int64]
    threads: int

    def fill(
        self,
        networks: range,
        factors: Singles,
        h0: Array | None,
        records: dict[str, Array],
        row_first: int,
        report: Report,
    ) -> None:
        """Fill in the records of ``networks``, which begin at number ``row_first`` of each row."""
        step, columns = self.plan.networks, len(factors)
        state = aligned_bytes(self.plan.state_bytes(step))
        for at in range(0, len(networks), step):
            some = networks[at : at + step]
            arrays: dict[str, Array] = {"factors": factors, "state": state[: self.plan.state_bytes(len(some))]}
            if h0 is not None:
                arrays["start"] = np.ascontiguousarray(h0[at : at + step], np.float32)
            first = row_first + at * columns
            self._fill_some(some, arrays, records, first, share(report, at, len(some), len(networks)))

    def _fill_some(
        self, networks: range, arrays: dict[str, Array], records: dict[str, Array], row_first: int, report: Report
    ) -> None:
        kernel = self.plan.network
        if "start" in arrays and kernel.n_in:
            kernel = replace(kernel, n_in=0, input=np.zeros(0, np.float32))
        weights, held = None, range(0)
        parts = list(self.plan.parts())
        for i, (backward, begin, end) in enumerate(parts):
            if held != range(begin, end) or weights is None:
                weights = None  # before others are drawn
                look()
                weights, held = self.source.draw(networks, begin, end), range(begin, end)
            job = native.ColumnJob(
                seed=self.seed,
                first=networks.start,
                networks=len(networks),
                columns=self.plan.columns,
                backward=backward,
                from_layer=begin,
                to_layer=end,
                first_layer=begin,
                n_layers=1 if weights.tied else end - begin,
                tied=weights.tied,
                row=records["square"].shape[1],
                row_first=row_first,
            )
            given = {name: getattr(weights, name) for name in _arrays_of(kernel)}
            watch = share(report, i, 1, len(parts))
            native.columns(kernel, job, self.layers, given | arrays, records, self.threads, instruction_set(), watch)


def _arrays_of(network: KernelResidual) -> list[str]:
    return ["outer"] + ["inner"] * _has_inner(network) + ["bias"] * (network.bias > 0.0)


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
    threads: int,
    report: Report | None,
    source: Source | None = None,
) -> None:
    """Add networks of one column, h_0 and scale as the network has them, to ``arrays`` as `native.simulate` does."""
    factor, stop, watch = np.ones(1, np.float32), job.first + job.count, _watched(report)
    chosen = plan(network, min(job.count, TOGETHER), 1, tied(lowered.general))
    way = _Way(chosen, source or source_of(lowered, job.seed, threads), job.seed, layers, threads)
    ends = [*range(job.first // TOGETHER * TOGETHER + TOGETHER, stop, TOGETHER), stop]
    for first, end in itertools.pairwise([job.first, *ends]):
        at, part = first - job.first, job.part(first, end - first)
        records = native.empty_records(network, len(layers), part.count, outputs=part.keep_samples > 0)
        way.fill(range(first, end), factor, None, records, 0, share(watch, at, part.count, job.count))
        native.reduce(network, part, layers, records, arrays.view(at, part), threads, instruction_set(), None)


def needed_bytes(lowered: Lowered, network: KernelResidual, networks: int, n_layers: int) -> int:
    """Bytes that `add_networks` takes besides ``arrays`` and what its threads sum with."""
    some = min(networks, TOGETHER)
    chosen = plan(network, some, 1, tied(lowered.general))
    return chosen.held_bytes + some * n_layers * native.record_bytes(network)
