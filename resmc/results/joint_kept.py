"""Samples of single networks with several inputs or tangents, in the model's own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from ..engine.joint_ends import JointEnds
from ..engine.joint_sums import JointSums
from ..engine.lowering import Lowered
from .estimates import Floats
from .joint_estimates import JointEstimates


@dataclass(frozen=True, eq=False)
class JointSamples:
    """Final values of k networks, m inputs and t tangents, which ``simulate(.., keep_samples=k)`` keeps.

    Attributes
    ----------
    networks : uint64 array, shape (k,)
        The networks' numbers.
    log_norm : ndarray, shape (k, m)
        ln(|h^a_L|^2/n); -infinity where the state is 0.
    cosine, log_sine_squared : ndarray, shape (k, m, m)
        Cosine, and ln sin^2, of the angle of two states at the last layer; NaN where one is 0. The latter keeps the
        digits of small angles, and is NaN where float32 has none, as on the diagonal.
    tangent_kernel : ndarray, shape (k, m, m), or (k, 0, 0) without ``tangent_kernel=True``
        The whole kernel, of all layers, the readout and the first one.
    log_stretch : ndarray, shape (k, t)
        ln R_jj, the logarithm of how much tangent j has grown across those before it; -infinity where it has collapsed.
    """

    __repr__ = brief_repr

    networks: NDArray[np.uint64]
    log_norm: Floats
    cosine: Floats
    log_sine_squared: Floats
    tangent_kernel: Floats
    log_stretch: Floats

    @property
    def output_covariance(self) -> Floats:
        """h^a_L . h^b_L/n, (k, m, m): the covariance of the outputs of two inputs, given all layers of the network."""
        with np.errstate(over="ignore"):
            size = np.exp(0.5 * (self.log_norm[:, :, None] + self.log_norm[:, None]))
        return size * np.where(np.isnan(self.cosine), 0.0, self.cosine)

    @staticmethod
    def of(ends: JointEnds, sums: JointSums, lowered: Lowered, layers: NDArray[np.int64], first: int) -> JointSamples:
        """Return the values in the model's units, of networks from number ``first`` on."""
        found = JointEstimates(sums, lowered, layers)
        with np.errstate(over="ignore", invalid="ignore"):
            kernel = ends.kernel * found.kernel_scale if ends.kernel.size else np.empty((len(ends.kernel), 0, 0))
        growth = 0.5 * lowered.quotient_offsets(layers)["growth"][-1]
        return JointSamples(
            np.uint64(first) + np.arange(len(ends.log_norm), dtype=np.uint64),
            ends.log_norm + (found.offsets[-1] + 2.0 * np.log(found.sizes)),
            found.matrix(ends.cosine),
            found.matrix(ends.log_sine),
            found.matrix(kernel) if kernel.ndim == 2 else kernel,
            ends.log_stretch + growth,
        )

    @staticmethod
    def joined(parts: Sequence[JointSamples | None]) -> JointSamples | None:
        """Return the networks of several, in the order of their numbers; None where none has kept any."""
        there = [part for part in parts if part is not None]
        if not there:
            return None
        names = [f.name for f in fields(JointSamples)]
        whole = {name: np.concatenate([getattr(part, name) for part in there]) for name in names}
        order = np.argsort(whole["networks"], kind="stable")
        return JointSamples(**{name: array[order] for name, array in whole.items()})


def shapes(sums: JointSums, count: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all arrays of `JointSamples`, by name."""
    m = sums.recording.count
    kernel = m if sums.recording.kernel else 0
    return {
        "networks": (count,),
        "log_norm": (count, m),
        "cosine": (count, m, m),
        "log_sine_squared": (count, m, m),
        "tangent_kernel": (count, kernel, kernel),
        "log_stretch": (count, sums.recording.tangents),
    }
