"""Device memory of a simulation: a chunk's records, the groups' sums, products of A, and what is kept raw.

The records of a quotient q besides those of h are q_square and q_exponent, and q_groups are its groups' sums. For the
mean square, mean_square_groups, h has another row to grow from: one_square and one_exponent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lowering import BACKWARD, MEAN_SQUARE, KernelNetwork, KernelResidual
from ..recording import GROUPS
from ..request import Job
from ..sums import ACTIVITY_SUMS, NORM_SUMS
from .device import Accelerator
from .kernels import Pointers, Shape
from .plan import Plan, bytes_per_column, n_products
from .raw import Raw

RECORDS = ("square", "active_square", "exponent", "active")  # tensors of h's own records


class Buffers:
    """Allocates everything at once, so that a lack of memory shows before any work; raises the device's own error.

    The groups begin with what ``arrays`` hold (`Sums.arrays`, and the sums of quotients), or with nothing.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        network: KernelNetwork,
        job: Job,
        shape: Shape,
        layers: NDArray[np.uint32],
        plan: Plan,
        arrays: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        torch, device = accelerator.torch, accelerator.device
        self.torch, self.device, self.batch = torch, device, job.batch
        self.n_layers = n = len(layers)
        columns, batches = plan.columns, plan.columns // self.batch

        def empty(*size: int, dtype: Any = torch.float64) -> Any:
            return torch.empty(size, dtype=dtype, device=device)

        def zeros(*size: int, dtype: Any = torch.float64) -> Any:
            return torch.zeros(size, dtype=dtype, device=device)

        def groups(name: str, dtype: Any) -> Any:
            sums = np.zeros((GROUPS, n), dtype) if arrays is None else arrays[name].copy()
            return torch.from_numpy(sums.view(np.float64).reshape(GROUPS, n, -1)).to(device)

        self.quotients = network.quotients[1:]
        self.raw = Raw(
            accelerator, job.keep_samples, job.keep_trajectories, network.n_out, n,
            self.quotients, job.count,
        )  # fmt: skip
        self.tensors = {
            "layers": torch.from_numpy(layers.astype(np.int32)).to(device),
            "square": empty(n, columns, dtype=torch.float32),
            "active_square": empty(n, columns, dtype=torch.float32),
            "exponent": empty(n, columns, dtype=torch.int32),
            "active": empty(n, columns, dtype=torch.int32),
            "batches": empty(batches, n, NORM_SUMS.itemsize // 8),
            "groups": groups("norms", NORM_SUMS),
            "histogram": zeros(GROUPS, job.n_bins + 2, dtype=torch.int64),
        }
        if job.activity:
            self.tensors |= {
                "activity_batches": empty(batches, n, ACTIVITY_SUMS.itemsize // 8),
                "activity_groups": groups("activity", ACTIVITY_SUMS),
            }
        for name in self.quotients:
            self.tensors |= {
                f"{name}_square": empty(n, columns, dtype=torch.float32),
                f"{name}_exponent": empty(n, columns, dtype=torch.int32),
                f"{name}_groups": groups(f"{name}.norms", NORM_SUMS),
            }
        if job.mean_square:
            self.tensors |= {
                "one_square": torch.full((columns,), network.width, dtype=torch.float32, device=device),
                "one_exponent": zeros(columns, dtype=torch.int32),
                f"{MEAN_SQUARE}_groups": groups(f"{MEAN_SQUARE}.norms", NORM_SUMS),
            }
        if isinstance(network, KernelResidual):
            self.tensors |= {name: torch.from_numpy(array).to(device) for name, array in network.arrays.items()}
        if "gradient" in self.quotients:
            self.tensors["overlap"] = empty(n, columns, dtype=torch.float32)
        if plan.workspace_blocks:
            self.tensors["workspace"] = empty(plan.workspace_blocks * shape.block_floats, dtype=torch.float32)
        products = []
        if job.correlations:
            self.tensors["asymmetry"] = empty(batches, n, self.batch)
            products += ["products"]
        if job.correlations and job.deaths_possible:
            self.tensors["alive"] = empty(batches, n, self.batch)
            self.squares = empty(batches, n, self.batch)
            products += ["partial_sums", "partial_squares"]
        self.of_batches = {name: empty(batches, n, n) for name in products}  # sums over a batch's networks
        self.of_groups = {name: zeros(GROUPS, n, n) for name in products}
        if products:  # the first one makes the library's own workspace: here, where a smaller chunk can still be tried
            torch.bmm(zeros(1, 1, 1), zeros(1, 1, 1))

    @staticmethod
    def bytes(network: KernelNetwork, job: Job, shape: Shape, n: int, plan: Plan) -> int:
        """Bytes that the constructor allocates."""
        names = network.quotients[1:]
        products = n_products(job.deaths_possible, job.correlations)
        kept = job.keep_samples, job.keep_trajectories
        raw = Raw.bytes(*kept, network.n_out, n, names, job.count)
        by_layer = ACTIVITY_SUMS.itemsize + NORM_SUMS.itemsize * (1 + len(names) + job.mean_square)
        fixed = GROUPS * (8 * n * n * products + n * by_layer + 8 * (job.n_bins + 2))
        fixed += sum(a.nbytes for a in network.arrays.values()) if isinstance(network, KernelResidual) else 0
        workspace = 4 * plan.workspace_blocks * shape.block_floats
        return int(raw + fixed + workspace + plan.columns * bytes_per_column(network, job, n))

    def simulate_pointers(self, offset: int) -> Pointers:
        """Addresses for the kernels that simulate; outputs from the network that many after the first of the range."""
        names = ["layers", *RECORDS]
        names += [f"{name}_{part}" for name in self.quotients for part in ("square", "exponent")]
        names += [name for name in ("steps", "input", "table", "overlap", "workspace") if name in self.tensors]
        return self._addresses(*names) | self.raw.output_pointer(offset)

    def reduce_pointers(self) -> Pointers:
        """For the sums of h."""
        optional = ("activity_batches", "activity_groups", "asymmetry", "alive")
        records = RECORDS if "activity_batches" in self.tensors else ("square", "exponent")
        out = self._addresses(*records, "batches", "groups", "histogram")
        return out | self._addresses(*(name for name in optional if name in self.tensors)) | self._start("growth")

    def raw_pointers(self, offset: int) -> Pointers:
        """For samples and paths, from the network that many after the first of the range."""
        return self._addresses("square", "exponent", "active_square") | self.raw.pointers(offset)

    def reduce_quotient_pointers(self, name: str) -> Pointers:
        """For the sums of a quotient, whose records are taken as if they were those of h."""
        groups = {"groups": self.tensors[f"{name}_groups"].data_ptr()}
        return self._quotient(name) | groups | self._addresses("batches")

    def reduce_mean_square_pointers(self) -> Pointers:
        """For the sums of |h|^2/n: those of h, measured from a vector whose square is n."""
        records = self._addresses("square", "exponent", "batches")
        start = {f"start_{part}": self.tensors[f"one_{part}"].data_ptr() for part in ("square", "exponent")}
        return records | start | {"groups": self.tensors[f"{MEAN_SQUARE}_groups"].data_ptr()}

    def quotient_pointers(self, name: str, offset: int) -> Pointers:
        """For a quotient's final values and paths, "growth" being that of h itself."""
        raw = self.raw.quotient_pointers(name, offset)
        return self._quotient(name) | raw | self._addresses(*(["overlap"] if "path_overlap" in raw else []))

    def _addresses(self, *names: str) -> Pointers:
        return {name: self.tensors[name].data_ptr() for name in names}

    def _quotient(self, name: str) -> Pointers:
        prefix = "" if name == "growth" else f"{name}_"
        records = {part: self.tensors[f"{prefix}{part}"].data_ptr() for part in ("square", "exponent")}
        return records | self._start(name)

    def _start(self, name: str) -> Pointers:
        """Where growth is measured from: the first row of h, for gradients their last row."""
        prefix, row = ("gradient_", -1) if name in BACKWARD else ("", 0)
        return {f"start_{part}": self.tensors[f"{prefix}{part}"][row].data_ptr() for part in ("square", "exponent")}

    def add_products(self, first: int, begin: int, end: int) -> None:
        """Sums over networks of A_l A_m, batch by batch, then into the groups in the order of the networks."""
        torch = self.torch
        low, high = begin // self.batch, -(-end // self.batch)
        a = self.tensors["asymmetry"][low:high]
        pairs = {"products": (a, a)}
        if "alive" in self.tensors:
            alive, squares = self.tensors["alive"][low:high], self.squares[low:high]
            torch.mul(a, a, out=squares)
            pairs |= {"partial_sums": (a, alive), "partial_squares": (squares, alive)}
        group = (first // self.batch + low) % GROUPS
        for name, (left, right) in pairs.items():
            of_batches, of_groups = self.of_batches[name][: high - low], self.of_groups[name]
            torch.bmm(left, right.transpose(1, 2), out=of_batches)
            at, to = 0, group
            while at < high - low:  # a run of neighbouring groups at a time; each group meets its batches in order
                count = min(high - low - at, GROUPS - to)
                of_groups[to : to + count] += of_batches[at : at + count]
                at, to = at + count, 0
