"""Raw values of some networks, in device memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .device import Accelerator, faults_in_words


class Raw:
    """Samples and trajectories of the first networks, as tensors on the device.

    ``sample_log_norm`` (k,), ``sample_output`` (k, n_out) in units of 2^exponent, ``sample_exponent`` (k,),
    ``path_log_norm`` and ``path_asymmetry`` (k, R); of the normalised network. With ``quotients``: by name, "growth"
    among them, ``last`` of all ``count`` networks, and ``path`` (k, R) of ln |v|^2/n; ``path_overlap`` (k, R) of
    gradients.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        samples: int,
        paths: int,
        n_out: int,
        n_layers: int,
        quotients: tuple[str, ...] = (),
        count: int = 0,
    ) -> None:
        self.accelerator = accelerator
        self.torch = torch = accelerator.torch

        def empty(*shape: int, dtype: Any) -> Any:
            return torch.empty(shape, dtype=dtype, device=accelerator.device)

        self.samples, self.paths = samples, paths
        self.sample_log_norm = empty(samples, dtype=torch.float64)
        self.sample_output = empty(samples, n_out, dtype=torch.float32)
        self.sample_exponent = empty(samples, dtype=torch.int32)
        self.path_log_norm = empty(paths, n_layers, dtype=torch.float64)
        self.path_asymmetry = empty(paths, n_layers, dtype=torch.float32)
        self.last = {name: empty(count, dtype=torch.float64) for name in (("growth", *quotients) if quotients else ())}
        self.path = {name: empty(paths, n_layers, dtype=torch.float64) for name in quotients}
        self.path_overlap = empty(paths if "gradient" in quotients else 0, n_layers, dtype=torch.float32)

    @staticmethod
    def bytes(
        samples: int, paths: int, n_out: int, n_layers: int, quotients: tuple[str, ...] = (), count: int = 0
    ) -> int:
        """Bytes of such tensors."""
        per_path = n_layers * (12 + 8 * len(quotients) + (4 if "gradient" in quotients else 0))
        last = 8 * count * (len(quotients) + 1) if quotients else 0
        return samples * (12 + 4 * n_out) + paths * per_path + last

    def wanted(self, offset: int, networks: int) -> tuple[int, int]:
        """How many of the networks offset .. offset + networks - 1 of the range are kept: samples, trajectories."""
        return max(0, min(self.samples - offset, networks)), max(0, min(self.paths - offset, networks))

    def pointers(self, offset: int) -> dict[str, int]:
        """Addresses of the entries of the network that many after the first."""
        out = {}
        for name, kept in (
            ("sample_log_norm", self.samples),
            ("sample_exponent", self.samples),
            ("path_log_norm", self.paths),
            ("path_asymmetry", self.paths),
        ):
            if offset < kept:
                tensor = getattr(self, name)
                out[name] = tensor.data_ptr() + offset * tensor.stride(0) * tensor.element_size()
        return out

    def output_pointer(self, offset: int) -> dict[str, int]:
        """Address of the output of the network that many after the first, if it is kept."""
        if offset >= self.samples:
            return {}
        return {"output": self.sample_output.data_ptr() + 4 * offset * self.sample_output.shape[1]}

    def quotient_pointers(self, name: str, offset: int) -> dict[str, int]:
        """Addresses of the entries of a quotient, from the network that many after the first."""
        out = {"last": self.last[name].data_ptr() + 8 * offset}
        if offset < self.paths:
            names = {"path": self.path.get(name), "path_overlap": self.path_overlap if name == "gradient" else None}
            for key, tensor in names.items():
                if tensor is not None:
                    out[key] = tensor.data_ptr() + offset * tensor.stride(0) * tensor.element_size()
        return out

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """On the host, named and typed as the CPU's kernels leave them; final values of quotients as far as samples go.

        Raises
        ------
        DeviceError
            If the device has failed meanwhile.
        """
        with faults_in_words(self.accelerator):
            return self._to_numpy()

    def _to_numpy(self) -> dict[str, NDArray[Any]]:
        out = {
            "sample_log_norm": self.sample_log_norm.cpu().numpy(),
            "sample_output": self.sample_output.cpu().numpy().astype(np.float64),
            "sample_exponent": self.sample_exponent.cpu().numpy(),
            "path_log_norm": self.path_log_norm.cpu().numpy(),
            "path_asymmetry": self.path_asymmetry.cpu().numpy(),
        }
        if self.last:
            out |= {f"final_{name}": tensor[: self.samples].cpu().numpy() for name, tensor in self.last.items()}
            out |= {f"path_{name}": tensor.cpu().numpy() for name, tensor in self.path.items()}
            out["path_overlap"] = self.path_overlap.cpu().numpy()
        return out

    def sample_tensors(self, offset: float) -> tuple[Any, Any]:
        """Final log-norms (k,) and outputs (k, n_out) of the model, in float64, where they are.

        z_out = mantissa 2^exponent e^(offset/2); the power is taken in three parts, so that nothing overflows early.
        """
        torch = self.torch
        powers, rest = divmod(0.5 * offset / math.log(2.0), 1.0)
        with faults_in_words(self.accelerator):
            exponent = (self.sample_exponent.to(torch.int64) + int(powers)).clamp(-2400, 2400).to(torch.float64)
            output = self.sample_output.to(torch.float64) * 2.0**rest
            third = torch.trunc(exponent / 3.0)
            for power in (third, third, exponent - 2.0 * third):
                output = output * torch.exp2(power)[:, None]
            return self.sample_log_norm + offset, output

    def path_tensors(self, offsets: NDArray[np.float64]) -> tuple[Any, Any]:
        """Paths of log-norm (k, R) in float64 and of A (k, R) in float32, where they are."""
        with faults_in_words(self.accelerator):
            there = self.torch.from_numpy(offsets).to(self.path_log_norm.device)
            return self.path_log_norm + there, self.path_asymmetry
