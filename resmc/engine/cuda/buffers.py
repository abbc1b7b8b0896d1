"""Device memory of a simulation: a chunk's records, the groups' sums, products of A, and what is kept raw.

The records of a ratio r besides those of h are r_square and r_exponent, and r_groups are its groups' sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..recording import GROUPS
from ..sums import LAYER_SUMS
from .device import Accelerator
from .plan import Plan, bytes_per_column, n_products, ratios
from .raw import Raw


class Buffers:
    """Allocates everything at once, so that a lack of memory shows before any work; raises the device's own error.

    The groups begin with what ``arrays`` hold (`Statistics`, and the sums of ratios), or with nothing.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        network: dict[str, Any],
        settings: dict[str, Any],
        shape: dict[str, Any],
        layers: NDArray[np.uint32],
        plan: Plan,
        arrays: dict[str, NDArray[Any]] | None = None,
    ) -> None:
        torch, device = accelerator.torch, accelerator.device
        self.torch, self.device, self.block = torch, device, settings["block"]
        self.n_layers = n = len(layers)
        columns, blocks = plan.columns, plan.columns // self.block

        def empty(*size: int, dtype: Any = torch.float64) -> Any:
            return torch.empty(size, dtype=dtype, device=device)

        def zeros(*size: int, dtype: Any = torch.float64) -> Any:
            return torch.zeros(size, dtype=dtype, device=device)

        def groups(prefix: str) -> Any:
            sums = np.zeros((GROUPS, n), LAYER_SUMS) if arrays is None else pack_groups(arrays, prefix, n)
            return torch.from_numpy(sums.view(np.float64).reshape(GROUPS, n, -1)).to(device)

        self.ratios = ratios(network)
        self.raw = Raw(
            accelerator, settings["keep_samples"], settings["keep_trajectories"], network["n_out"], n,
            self.ratios, settings["count"],
        )  # fmt: skip
        self.tensors = {
            "layers": torch.from_numpy(layers.astype(np.int32)).to(device),
            "square": empty(n, columns, dtype=torch.float32),
            "active_square": empty(n, columns, dtype=torch.float32),
            "exponent": empty(n, columns, dtype=torch.int32),
            "active": empty(n, columns, dtype=torch.int32),
            "blocks": empty(blocks, n, LAYER_SUMS.itemsize // 8),
            "groups": groups(""),
            "histogram": zeros(GROUPS, settings["n_bins"] + 2, dtype=torch.int64),
        }
        for name in self.ratios:
            self.tensors |= {
                f"{name}_square": empty(n, columns, dtype=torch.float32),
                f"{name}_exponent": empty(n, columns, dtype=torch.int32),
                f"{name}_groups": groups(f"{name}."),
            }
        if self.ratios:
            self.tensors |= {name: torch.from_numpy(network[name]).to(device) for name in ("steps", "input")}
        if "gradient" in self.ratios:
            self.tensors["overlap"] = empty(n, columns, dtype=torch.float32)
        if plan.workspace_blocks:
            self.tensors["workspace"] = empty(plan.workspace_blocks * shape["block_floats"], dtype=torch.float32)
        names = []
        if settings["correlations"]:
            self.tensors["asymmetry"] = empty(blocks, n, self.block)
            names += ["products"]
        if settings["correlations"] and settings["deaths_possible"]:
            self.tensors["alive"] = empty(blocks, n, self.block)
            self.squares = empty(blocks, n, self.block)
            names += ["partial_sums", "partial_squares"]
        self.of_blocks = {name: empty(blocks, n, n) for name in names}  # sums over a block's networks
        self.of_groups = {name: zeros(GROUPS, n, n) for name in names}
        if names:  # the first product makes the library's own workspace: here, where a smaller chunk can still be tried
            torch.bmm(zeros(1, 1, 1), zeros(1, 1, 1))

    @staticmethod
    def bytes(network: dict[str, Any], settings: dict[str, Any], shape: dict[str, Any], n: int, plan: Plan) -> int:
        """What the constructor allocates."""
        names = ratios(network)
        per_column = bytes_per_column(
            n, settings["block"], settings["deaths_possible"], settings["correlations"], len(names)
        )
        products = n_products(settings["deaths_possible"], settings["correlations"])
        kept = settings["keep_samples"], settings["keep_trajectories"]
        raw = Raw.bytes(*kept, network["n_out"], n, names, settings["count"])
        fixed = 8 * GROUPS * (n * n * products + 15 * n * (1 + len(names)) + settings["n_bins"] + 2)
        fixed += 4 * (len(network["steps"]) + len(network["input"])) if names else 0
        workspace = 4 * plan.workspace_blocks * shape["block_floats"]
        return int(raw + fixed + workspace + plan.columns * per_column)

    def pointers(self, offset: int) -> dict[str, int]:
        """Addresses for the kernels; raw values from the network that many after the first of the range."""
        return {name: tensor.data_ptr() for name, tensor in self.tensors.items()} | self.raw.pointers(offset)

    def ratio_pointers(self, name: str, offset: int) -> dict[str, int]:
        """For the kernels that take one ratio's records as if they were those of h, "growth" being h itself.

        Growth is measured from the first row of h, for the way back from the last row of the gradient.
        """
        tensors = self.tensors
        prefix = "" if name == "growth" else f"{name}_"
        start, row = ("gradient_", -1) if name.startswith("gradient") else ("", 0)
        out = {
            "square": tensors[f"{prefix}square"].data_ptr(),
            "exponent": tensors[f"{prefix}exponent"].data_ptr(),
            "groups": tensors[f"{prefix}groups"].data_ptr(),
            "start_square": tensors[f"{start}square"][row].data_ptr(),
            "start_exponent": tensors[f"{start}exponent"][row].data_ptr(),
        }
        out |= {key: tensors[key].data_ptr() for key in ("active_square", "active", "blocks")}
        if name == "gradient":
            out["overlap"] = tensors["overlap"].data_ptr()
        return out | self.raw.ratio_pointers(name, offset)

    def add_products(self, first: int, begin: int, end: int) -> None:
        """Sums over networks of A_l A_m, block by block, then into the groups in the order of the networks."""
        torch = self.torch
        low, high = begin // self.block, -(-end // self.block)
        a = self.tensors["asymmetry"][low:high]
        pairs = {"products": (a, a)}
        if "alive" in self.tensors:
            alive, squares = self.tensors["alive"][low:high], self.squares[low:high]
            torch.mul(a, a, out=squares)
            pairs |= {"partial_sums": (a, alive), "partial_squares": (squares, alive)}
        group = (first // self.block + low) % GROUPS
        for name, (left, right) in pairs.items():
            of_blocks, of_groups = self.of_blocks[name][: high - low], self.of_groups[name]
            torch.bmm(left, right.transpose(1, 2), out=of_blocks)
            at, to = 0, group
            while at < high - low:  # a run of neighbouring groups at a time; each group meets its blocks in order
                count = min(high - low - at, GROUPS - to)
                of_groups[to : to + count] += of_blocks[at : at + count]
                at, to = at + count, 0


def pack_groups(arrays: dict[str, NDArray[Any]], prefix: str, n_layers: int) -> NDArray[Any]:
    """The groups' sums as the kernels fold into them, (32, R), from arrays whose names begin with ``prefix``."""
    sums = np.empty((GROUPS, n_layers), LAYER_SUMS)
    for name in LAYER_SUMS.names or ():
        sums[name] = np.moveaxis(arrays[prefix + name], -1, 1)
    return sums
