"""The joint kernels as tests call them, with the twin beside them, and what is compared of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import joint_twin
import numpy as np
from numpy.typing import NDArray

from resmc._system.build import instruction_set
from resmc.engine import native
from resmc.engine.arrays import Arrays
from resmc.engine.lowering import KernelResidual, lower
from resmc.engine.native import JointJob
from resmc.engine.request import Job
from resmc.models.residual_network import Model
from resmc.reference import METHODS

Records = dict[str, NDArray[Any]]
START = np.array([[1.0, 0.0, 0.0], [-0.4, 0.9, 0.0], [0.2, -0.3, 0.01]])


@dataclass(frozen=True, eq=False)
class Case:
    """Networks with several inputs, and how they are followed."""

    model: Model
    start: NDArray[np.float64]
    networks: int = 20
    seed: int = 3
    first: int = 5
    tangents: int = 0
    reorthogonalise: int = 2
    backward: bool = False
    independent: bool = False
    segment: int = 0  # layers that are kept at a time; 0: as the engine chooses
    rows: NDArray[np.float32] | None = None  # directions of inputs' differences, where the first layer is drawn

    @property
    def layers(self) -> NDArray[np.int64]:
        """Every third layer, the last one but one, and the ends."""
        depth = self.model.depth
        return np.array(sorted({*range(0, depth, 3), max(depth - 1, 0), depth}))

    @property
    def kernel(self) -> KernelResidual:
        """The network as the kernels take it."""
        kernel = lower(self.model).kernel(self.backward, displacement=True)
        assert isinstance(kernel, KernelResidual)
        return replace(kernel, segment=self.segment or kernel.segment)

    @property
    def scaled_start(self) -> NDArray[np.float64]:
        """The start with the kernels' size of input 0."""
        return np.asarray(self.start) * (self.kernel.size / self.start[0][0])

    @property
    def read(self) -> Records:
        """Arrays that the kernels read."""
        return {"start": self.scaled_start} | ({} if self.rows is None else {"rows": self.rows})

    @property
    def job(self) -> JointJob:
        """What the kernels are told."""
        return JointJob(
            method=0, seed=self.seed, first=self.first, networks=self.networks, inputs=len(self.start),
            tangents=self.tangents, backward=self.backward, independent=self.independent,
            reorthogonalise=self.reorthogonalise, row=self.networks, row_first=0,
        )  # fmt: skip

    def empty(self) -> Records:
        """Records that nothing has filled."""
        n_layers, m, row = len(self.layers), len(self.start), self.networks
        pairs, units = (n_layers, m * (m + 1) // 2, row), (n_layers, m, row)
        records = native.empty_records(self.kernel, n_layers, row, outputs=False)
        records |= {"gram": np.empty(pairs), "unit": np.empty(units, np.int32)}
        records["log_scale"] = np.empty((n_layers, m - 1, row))
        records["log_stretch"] = np.empty((n_layers, self.tangents, row))
        if self.backward:
            names = ("gradient_gram",) if getattr(self.model, "norm", None) == "batch" else ("gradient_gram", "kernel")
            records |= {name: np.empty(pairs) for name in names}
            records["gradient_unit"] = np.empty(units, np.int32)
        return records

    def records(self, threads: int = 1, instructions: str | None = None, report: Any = None) -> Records:
        """Records of the kernels."""
        kernel, job = self.kernel, self.job
        records = self.empty()
        native.joint(
            kernel, job, self.layers, records | self.read, threads,
            instructions or instruction_set(), report,
        )  # fmt: skip
        return records

    def twins(self) -> Records:
        """Records of the twin."""
        kernel, job = self.kernel, self.job
        records = self.empty()
        joint_twin.joint(native.plain(kernel), native.plain(job), self.layers, records | self.read)
        return records

    def summed_job(self) -> Job:
        """How input 0's records are summed."""
        return Job(
            variant=0, method=0, seed=self.seed, first=self.first, count=self.networks, batch=4096, keep_samples=0,
            keep_trajectories=self.networks, deaths_possible=False, activity=self.model.has_asymmetry,
            correlations=False, mean_square=True, bin_low=-8.0, bin_width=2.0**-4, n_bins=256,
        )  # fmt: skip

    def empty_sums(self) -> tuple[Job, Arrays]:
        """Room for sums of one input."""
        job, kernel = self.summed_job(), self.kernel
        return job, Arrays.empty(kernel, job, len(self.layers)).part(0, job)

    def sums_of_input_0(self) -> Records:
        """Sums of input 0 of a joint run, by name."""
        job, arrays = self.empty_sums()
        names = native.empty_records(self.kernel, 1, 1, outputs=False)
        first = {name: a for name, a in self.records().items() if name in names}
        native.reduce(self.kernel, job, self.layers, first, arrays, 1, instruction_set(), None)
        return arrays.named()

    def sums_of_one_input(self) -> Records:
        """Sums of the same networks with one input, by name."""
        job, arrays = self.empty_sums()
        native.simulate(self.kernel, job, self.layers, arrays, 1, instruction_set(), None)
        return arrays.named()


@dataclass(frozen=True, eq=False)
class DenseCase(Case):
    """A case with explicit weights."""

    @property
    def job(self) -> JointJob:
        return replace(super().job, method=METHODS.index("dense"))

    def summed_job(self) -> Job:
        return replace(super().summed_job(), method=METHODS.index("dense"))


def products(gram: NDArray[np.float64], unit: NDArray[np.int32]) -> NDArray[np.float64]:
    """Products of all pairs of columns, (R, P, N)."""
    a, b = np.tril_indices(unit.shape[1])
    return np.ldexp(gram, unit[:, a] + unit[:, b])


def written_out(gram: NDArray[np.float64], log_scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products of h^0 and the differences h^a - h^0, (R, P, N), from those of columns that are kept without scales."""
    m = log_scale.shape[1] + 1
    a, b = np.tril_indices(m)
    full = np.empty((*gram.shape[::2], m, m))
    full[..., a, b] = full[..., b, a] = gram.transpose(0, 2, 1)
    turn = np.zeros_like(full) + np.eye(m)
    scale = np.exp(log_scale).transpose(0, 2, 1)
    turn[..., range(1, m), range(1, m)], turn[..., 1:, 0] = scale, scale - 1.0
    return np.asarray((turn @ full @ np.swapaxes(turn, -1, -2))[..., a, b].transpose(0, 2, 1))


def cosines(gram: NDArray[np.float64], unit: NDArray[np.int32]) -> NDArray[np.float64]:
    """Cosines of all pairs of columns, and on the diagonal logarithms of squares, (R, P, N); 0 and -1000 of 0."""
    m = unit.shape[1]
    a, b = np.tril_indices(m)
    diagonal = gram[:, np.arange(m) * (np.arange(m) + 3) // 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.nan_to_num(gram / np.sqrt(diagonal[:, a] * diagonal[:, b]))
        square = np.maximum(np.log(diagonal) + 2.0 * np.log(2.0) * unit, -1000.0)
    found[:, a == b] = square
    return found


def differences(ours: Records, twins: Records) -> dict[str, NDArray[np.float64]]:
    """Differences of what records say, by quantity: of logarithms, of cosines, of the kernel relative to its size."""
    found = {"h": np.abs(cosines(ours["gram"], ours["unit"]) - cosines(twins["gram"], twins["unit"]))}
    found["scale"] = np.abs(ours["log_scale"] - twins["log_scale"])
    with np.errstate(invalid="ignore"):
        stretch = ours["log_stretch"] - twins["log_stretch"]
    found["stretch"] = np.abs(np.where(ours["log_stretch"] == twins["log_stretch"], 0.0, stretch))
    if "gradient_gram" in ours:
        pairs = [cosines(one["gradient_gram"], one["gradient_unit"]) for one in (ours, twins)]
        found["gradient"] = np.abs(pairs[0] - pairs[1])
    if "kernel" in ours:
        size = np.abs(twins["kernel"]).max(axis=(0, 1))
        found["kernel"] = np.abs(ours["kernel"] - twins["kernel"]) / np.where(size > 0.0, size, 1.0)
    return found
