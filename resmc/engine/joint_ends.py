"""Final values of the first networks with several inputs or tangents, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .joint_states import States
from .joint_sums import Floats, kernel_of, log_norms_of, pairs_of
from .recording import JointRecording


@dataclass(frozen=True, eq=False)
class JointEnds:
    """Values of K networks at the last layer, and of the tangent kernel at layer 0, in the kernels' units.

    Attributes
    ----------
    log_norm : ndarray (K, m)
        L^a; -infinity where h^a is 0.
    cosine, log_sine : ndarray (K, P)
        Cosine, and ln sin^2, of the angle of a pair of inputs; NaN where one is 0, and the latter also where float32
        does not tell the angle from 0 and pi.
    kernel : ndarray (K, P), or (K, 0) where it is not summed
    log_stretch : ndarray (K, k)
        The logarithm of how much a tangent has grown across those before it; -infinity where it has collapsed.
    """

    log_norm: Floats
    cosine: Floats
    log_sine: Floats
    kernel: Floats
    log_stretch: Floats

    @staticmethod
    def empty(recording: JointRecording, count: int) -> JointEnds:
        """Return room for ``count`` networks."""
        m, p = recording.count, recording.pairs
        widths = (m, p, p, p if recording.kernel else 0, recording.tangents)
        return JointEnds(*(np.empty((count, width)) for width in widths))

    @staticmethod
    def bytes(recording: JointRecording) -> int:
        """Bytes of one network."""
        return sum(array.nbytes for array in vars(JointEnds.empty(recording, 1)).values())

    def put(
        self, at: int, found: dict[str, NDArray[Any]], start: Floats, width: int, recording: JointRecording, count: int
    ) -> None:
        """Put the first ``count`` networks of what the kernels have left, as `joint_sums.layer_arrays`, from ``at``."""
        here, some = slice(at, at + count), {name: array[..., :count] for name, array in found.items()}
        a, b = pairs_of(recording.count)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            last = States(some["gram"][-1], some["unit"][-1], some["log_scale"][-1])
            logs, norms = log_norms_of(last, width)
            self.log_norm[here] = np.where(last.dead, -np.inf, norms).T
            for p, (i, j) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
                dead = last.dead[i] | last.dead[j]
                cosine, sine, separated = np.ones(count), np.zeros(count), np.zeros(count, np.bool_)
                if i != j:
                    cosine = np.clip(last.product(i, j) / np.sqrt(last.norms[i] * last.norms[j]), -1.0, 1.0)
                    sine, separated = last.log_sine_squared(i, j, logs)
                self.cosine[here, p] = np.where(dead, np.nan, cosine)
                self.log_sine[here, p] = np.where(separated & ~dead, sine, np.nan)
            if recording.kernel:
                self.kernel[here] = sum(kernel_of(some, start, width, recording)).T  # type: ignore[union-attr]
        self.log_stretch[here] = some["log_stretch"][-1].T
