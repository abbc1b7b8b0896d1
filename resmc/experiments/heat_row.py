"""A row of a heat map: networks of one Hurst exponent, each with all of its inputs at all exponents of the scaling.

A row is cut into ranges of networks. What is stored of a range is a number for each network, exponent, input and
quotient: a file of `resmc.results.archive` with these arrays and members.

manifest.json    the row, the range and who has computed it
values           (networks, exponents, inputs, quotients) float64: ln |v|^2/|start|^2, -infinity where v is 0, +infinity
                 where a network has left the range of numbers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain, key_of
from .._system.words import counted
from ..engine.columns import Machine, needed_bytes, run_columns
from ..engine.devices import Device
from ..engine.lowering import QUOTIENTS, lower
from ..engine.memory import check_columns
from ..engine.native import NUMERICS_VERSION
from ..models.processes import FractionalNoise
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling, power_of_depth
from ..models.weights import Weights
from ..reference import normals, words
from ..results.archive import Archive
from ..results.estimates import Floats
from .row_files import RowFiles, read_model

KEY_VERSION = 1  # raised when keys are made of other things
N_IN = 64  # entries of an input
MOST_INPUTS = 1 << 16  # the counters of random numbers have so many inputs
MOST_COLUMNS = 1 << 24  # and the kernels take so many pairs of an exponent and an input of a network
BACKWARD_WORK = 3  # a backward pass takes as long as so many forward passes, roughly
PRODUCTS = 8  # products of a weight and a neuron that take as long as one neuron update of a projected network
FORWARD = ("growth", "displacement")
RECORDED = 2  # layers: the first and the last
COPIES = 6  # floats of a quotient while its logarithm is taken: squares and logarithms of both layers, and the value


@dataclass(frozen=True)
class HeatRow:
    """Networks of fractional noise of one H, and the columns that share the weights of each.

    Attributes
    ----------
    model : ResidualNetwork
        The network of the row, scaled by ``DepthScaling(0, 1)``: columns have factors of their own.
    seed : int
    c : float
    betas : tuple of float
    n_inputs : int
    gradients : bool
    """

    model: ResidualNetwork
    seed: int
    c: float
    betas: tuple[float, ...]
    n_inputs: int
    gradients: bool
    batch = 1  # any network may begin a range

    @property
    def quotients(self) -> tuple[str, ...]:
        """Names of the quotients, in the order of the values."""
        return tuple(QUOTIENTS) if self.gradients else FORWARD

    @cached_property
    def key(self) -> str:
        """Hash of all that, beside the range and the numerics class, decides what a file holds."""
        return key_of(KEY_VERSION, self.to_dict(), NUMERICS_VERSION)

    @property
    def updates(self) -> int:
        """Work for one network, in neuron updates as the points of a sweep count theirs."""
        matrices, passes = self.model.residual_block.matrices, 1 + BACKWARD_WORK * self.gradients
        return -(-self.model.depth * self.model.width**2 * matrices * self.columns * passes // PRODUCTS)

    @property
    def columns(self) -> int:
        """Pairs of an exponent and an input."""
        return len(self.betas) * self.n_inputs

    def needed_bytes(self, networks: int, device: Device, threads: int) -> int:
        """Bytes of this machine's memory that `values` of so many networks takes on a device."""
        n, lowered = self.model.width, lower(self.model)
        kernel = lowered.in_own_units(self.gradients)
        inputs = 8 * (2 * n * N_IN + (n + 2 * N_IN) * self.n_inputs)  # A and its normals, states, inputs
        starts = (8 + 4) * n * self.columns  # h_0 in float64, and in float32
        logs = 8 * COPIES * len(QUOTIENTS) * self.columns
        kept = needed_bytes(lowered, kernel, networks, self.columns, RECORDED, device, threads)
        return kept + networks * (inputs + starts + logs)

    def check_memory(self, networks: int, device: Device, threads: int) -> None:
        """Refuse networks that memory does not hold, with their size."""
        what = f"width={self.model.width}, {len(self.betas)} values of beta and n_inputs={self.n_inputs}"
        check_columns(
            f"{counted(networks, 'network')} of {what}",
            self.needed_bytes(networks, device, threads),
            "use fewer workers, fewer values of beta, fewer inputs, or a smaller width",
        )

    def to_dict(self) -> Plain:
        """Return the row as plain values."""
        return {
            "model": self.model.to_dict(),
            "seed": self.seed,
            "c": self.c,
            "beta": list(self.betas),
            "n_inputs": self.n_inputs,
            "gradients": self.gradients,
        }

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Self:
        """Read the row that `to_dict` has written; raises KeyError, TypeError or ValueError for what is none."""
        model, betas = read_model(described)
        return cls(
            model,
            checks.integer("seed", described["seed"], 0, 2**64 - 1, "2^64 - 1"),
            checks.real("c", described["c"]),
            tuple(checks.real("beta", beta) for beta in betas),
            checks.integer("n_inputs", described["n_inputs"], 1, MOST_INPUTS, "2^16"),
            checks.boolean("gradients", described["gradients"]),
        )

    def values(
        self, start: int, stop: int, machine: Machine, report: Callable[[float], None] | None = None
    ) -> NDArray[np.float64]:
        """Simulate the networks start .. stop - 1: ln |v|^2/|start|^2, (networks, exponents, inputs, quotients)."""
        networks = range(start, stop)
        factors = [power_of_depth(self.c, beta, self.model.depth) for beta in self.betas]
        h0 = np.tile(first_states(self.model.width, self.seed, networks, self.n_inputs), (1, 1, len(factors)))
        found = run_columns(
            lower(self.model),
            self.seed,
            networks,
            np.repeat(factors, self.n_inputs),
            h0,
            gradients=self.gradients,
            machine=machine,
            report=report,
        )
        columns = np.stack([found.final(name) for name in self.quotients], axis=-1)
        return _finite_or_infinite(columns.reshape(len(networks), len(factors), self.n_inputs, -1))


def row_of(model: ResidualNetwork, hurst: float) -> ResidualNetwork:
    """Return the network of a row: ``model`` with weights of fractional noise, and without a scaling."""
    assert isinstance(model.scaling, DepthScaling)
    scaling = DepthScaling(0.0, 1.0, model.scaling.inside)
    return replace(model, scaling=scaling, weights=Weights(depth=FractionalNoise(hurst)))


def first_states(width: int, seed: int, networks: range, n_inputs: int) -> Floats:
    """Return h_0 = A x for inputs x uniform on [0, 1]^64 of each network, (networks, width, inputs).

    The entries of A have variance 1/64; A belongs to the network, and all of its inputs meet the same.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 5.
    """
    ids = np.arange(networks.start, networks.stop, dtype=np.uint64)
    A = normals(seed, ids, "dense_input", 0, width * N_IN).reshape(-1, width, N_IN) / np.sqrt(N_IN)
    quads = np.arange(N_IN // 4)
    x = np.stack([words(seed, ids, "inputs", 0, quads, m).reshape(-1, N_IN) for m in range(n_inputs)], axis=-1)
    return np.asarray(A @ ((x + 0.5) * 2.0**-32))


def _finite_or_infinite(values: Floats) -> Floats:
    """Return the values with infinity in place of what is no number: the difference of two infinite ones."""
    return np.where(np.isnan(values), np.inf, values)


def _values(found: Archive, row: HeatRow, networks: int) -> Floats:
    values = found.array("values", np.dtype(np.float64))
    expected = (networks, len(row.betas), row.n_inputs, len(row.quotients))
    if values.shape != expected:
        raise ValueError(f"values have the shape {values.shape}, not {expected}")
    if np.isnan(values).any():
        raise ValueError("its values hold what is no number")
    return values.copy()


FILES = RowFiles("resmc-heat-map-row", "a heat map", HeatRow.from_dict, _values, NUMERICS_VERSION)
