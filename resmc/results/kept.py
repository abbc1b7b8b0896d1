"""Samples and trajectories: what is kept raw of single networks, in the model's own units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from ..engine.cuda.device import to_host
from ..engine.lowering import BACKWARD, QUOTIENTS, Lowered, split_power
from ..engine.request import Request
from ..engine.run import Outcome

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples:
    """Raw final values of some networks: ``networks`` (k,), ``log_norm`` (k,), ``output`` (k, n_out).

    A dead network has log-norm -inf and output 0; outputs beyond the range of float64 are 0 or infinite. With
    ``simulate(.., keep_on_device=True)`` log_norm and output are tensors on the device; `to_numpy` brings them here.
    """

    __repr__ = brief_repr

    networks: NDArray[np.uint64]
    log_norm: Floats
    output: Floats
    # (k,) each: the final ln(|v|^2/|start|^2), -inf where v is 0, inf where the start is
    ratios: Mapping[str, Floats] = field(default_factory=dict)

    def to_numpy(self) -> Samples:
        """A copy with NumPy arrays."""
        return Samples(self.networks, host(self.log_norm), host(self.output), self.ratios)


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Raw paths of some networks: ``networks`` (k,), ``log_norm`` (k, R), ``asymmetry`` (k, R), R recorded layers.

    Where a network is dead: log-norm -inf, asymmetry NaN. With ``keep_on_device=True`` tensors, as in `Samples`.
    """

    __repr__ = brief_repr

    networks: NDArray[np.uint64]
    log_norm: Floats
    asymmetry: NDArray[np.float32]
    # (k, R) each: ln(|v_l|^2/|start|^2) by layer, -inf where v_l is 0, inf where the start is, NaN where both are;
    # and "overlap", p_l . h_l / (|p_l| |h_l|), with gradients, NaN where p_l or h_l is 0 and there is no angle
    ratios: Mapping[str, Floats] = field(default_factory=dict)

    def to_numpy(self) -> Trajectories:
        """A copy with NumPy arrays."""
        return Trajectories(self.networks, host(self.log_norm), host(self.asymmetry), self.ratios)


def host(array: Any) -> NDArray[Any]:
    """A tensor's values as an array; an array as it is."""
    return array if isinstance(array, np.ndarray) else to_host(array)


def final_offsets(lowered: Lowered, layers: Integers) -> dict[str, float]:
    """Differences of the model's final values of quotients from the kernels', by name."""
    offsets = lowered.quotient_offsets(layers)
    return {name: float(offsets[name][0 if name in BACKWARD else -1]) for name in QUOTIENTS}


def samples_of(request: Request, outcome: Outcome, offsets: Floats, ends: dict[str, float]) -> Samples:
    """Final values in the model's units; z_out = mantissa 2^exponent e^(offset/2)."""
    numbers = np.uint64(request.networks.start) + np.arange(request.recording.samples, dtype=np.uint64)
    if request.recording.on_device:
        return Samples(numbers, *outcome.raw.sample_tensors(offsets[-1]))
    if not request.recording.samples:
        return Samples(numbers, outcome.kept.sample_log_norm, outcome.kept.sample_output, outcome.final_samples)
    power, factor = split_power(float(request.lowered.output_offsets(request.recording.layers)[-1]))
    exponent = np.clip(outcome.kept.sample_exponent.astype(np.int64) + power, -5000, 5000).astype(np.int32)
    with np.errstate(over="ignore", under="ignore"):
        output = np.ldexp(outcome.kept.sample_output * factor, exponent[:, None])
    final = {name: values + ends[name] for name, values in outcome.final_samples.items()}
    return Samples(numbers, outcome.kept.sample_log_norm + offsets[-1], output, final)


def trajectories_of(request: Request, outcome: Outcome, offsets: Floats) -> Trajectories:
    """Paths in the model's units; those of quotients from their start."""
    numbers = np.uint64(request.networks.start) + np.arange(request.recording.trajectories, dtype=np.uint64)
    if request.recording.on_device:
        return Trajectories(numbers, *outcome.raw.path_tensors(offsets))
    kept = outcome.kept
    paths = {name: q.path for name, q in kept.quotients.items() if q.path is not None}
    shift = request.lowered.quotient_offsets(request.recording.layers) if paths else {}
    with np.errstate(invalid="ignore"):  # 0/0
        ratios = {
            name: path + (shift[name] - (paths["gradient"][:, -1:] if name in BACKWARD else kept.path_log_norm[:, :1]))
            for name, path in paths.items()
        }
    if "gradient" in paths:
        there = np.isfinite(kept.path_log_norm) & np.isfinite(paths["gradient"])
        ratios["overlap"] = np.where(there, kept.path_overlap.astype(np.float64), np.nan)
    return Trajectories(numbers, kept.path_log_norm + offsets, kept.path_asymmetry, ratios)
