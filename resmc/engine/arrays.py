"""Arrays on the host that the kernels of a CPU and of a GPU add to, or fill."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lowering import MEAN_SQUARE, KernelNetwork
from .request import Job
from .sums import NormSums, Sums

Array = NDArray[Any]


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
