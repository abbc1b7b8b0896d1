"""Layers to record, batches of networks, histogram bins: fixed by the model and the number of networks alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from ..models.joint_inputs import JointInputs
from ..models.residual_network import Model
from ..models.resnet import ResNet
from ..models.spelling import log_gaussian

GROUPS = 32
LARGEST_BATCH = 4096
FINEST_SPACING = 512  # by default at most this many layers after the first are recorded

JOINT_VERSION = 2  # raised when sums over several inputs change; 1 did not bring inputs to one norm
HISTOGRAM_VERSION = 1  # raised when `histogram_bins` changes: histograms of different versions do not merge
BINS = 8192


@dataclass(frozen=True)
class JointRecording:
    """Several inputs of every network, and vectors besides that go through its layers with them.

    Attributes
    ----------
    inputs : JointInputs
        The inputs, m of them.
    tangents : int
        How many tangent vectors, k, are carried along by input 0's derivative.
    kernel : bool
        True to go backward too, and to sum the tangent kernel.
    gradients : bool
        True to go backward without a kernel, as through a batch norm: gradients of the output of input 0 with respect
        to the states of all inputs.
    independent : bool
        True if the backward pass has matrices of its own, independent of the forward pass's.
    version : int
        The version of what several inputs leave, of which other ones do not merge.
    """

    inputs: JointInputs
    tangents: int = 0
    kernel: bool = False
    independent: bool = False
    version: int = JOINT_VERSION
    gradients: bool = False

    @property
    def backward(self) -> bool:
        """True if gradients are followed."""
        return self.kernel or self.gradients

    @property
    def count(self) -> int:
        """Number of inputs, m."""
        return self.inputs.count

    @property
    def pairs(self) -> int:
        """Number of pairs of inputs a >= b, each with itself among them."""
        return self.count * (self.count + 1) // 2

    def to_dict(self) -> Plain:
        """Return it as plain values, as a file's manifest has it: with a version where there are several inputs.

        A manifest says gradients beside it, as it does of any network.
        """
        return {
            "inputs": self.inputs.to_dict(),
            "tangents": self.tangents,
            "tangent_kernel": self.kernel,
            "independent_backward": self.independent,
            **({"version": self.version} if self.count > 1 and self.version > 1 else {}),
        }

    @property
    def words(self) -> str:
        """Arguments of `resmc.simulate` that ask for it, but for the inputs themselves, of which their number."""
        said = {"inputs": self.count, "tangent_kernel": self.kernel, "independent_backward": self.independent}
        said |= {"tangents": self.tangents, "gradients": self.gradients}
        return ", ".join(f"{name}={value}" for name, value in said.items() if value)


def recorded_layers(depth: int, layers: Sequence[int] | NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The layers to record, sorted: 0, s, 2s, .., depth with s = ceil(depth/512), or those asked for with 0 and depth.

    Raises
    ------
    ValueError
        If a layer is not an integer in 0..depth, or none is given.
    """
    if layers is None:
        spacing = -(-depth // FINEST_SPACING)
        chosen = list(range(0, depth + 1, spacing))
    else:
        try:
            given = np.asarray(layers if isinstance(layers, np.ndarray) else list(layers))
        except (TypeError, ValueError):  # not iterable, or nested and ragged
            given = np.empty((0, 0))
        if isinstance(layers, str) or given.ndim != 1:
            raise ValueError(
                f"layers={brief(layers)} is not allowed: it must be a sequence of integers from 0 to {depth}"
            )
        if given.size == 0:
            raise ValueError(f"layers=[] is not allowed: give at least one layer from 0 to {depth}, or None")
        if given.dtype.kind in "iu" and given.min() >= 0 and given.max() <= depth:
            chosen = given.tolist()
        else:  # one by one, to name the first that is wrong
            chosen = [checks.integer("layers", layer, 0, depth, "depth") for layer in given.tolist()]
    return np.unique(np.array([0, *chosen, depth], np.int64))


def batch_size(networks: int) -> int:
    """Networks of a batch: 4096, or for short runs the largest power of two that leaves at least 32 batches."""
    if networks >= GROUPS * LARGEST_BATCH:
        return LARGEST_BATCH
    return 1 << max(networks // GROUPS, 1).bit_length() - 1


@dataclass(frozen=True)
class Bins:
    """Equal bins of the normalised final log-norm: bin b covers [low + b width, low + (b + 1) width)."""

    low: float
    width: float
    count: int

    def edges(self) -> NDArray[np.float64]:
        """The count + 1 edges."""
        return np.asarray(self.low + self.width * np.arange(self.count + 1), np.float64)


WIDE_BINS = 2.0**-5  # width of a bin where no rule foresees the law; counts of final values (`engine.finals`) say more


def histogram_bins(model: Model) -> Bins:
    """8192 bins of width 2^-k, aligned to their width, wide enough for the model's final log-norm.

    Centre and scale come from a rough form of the limit law that uses only + - * / and square roots, and the width
    is rounded up to a power of two, so that every machine finds the same edges:

        scale^2 = 2/n + (5 lam^4 + 4 alpha^2 lam^2 + [vanilla] 6 lam^4 min(d, |alpha|/(1 - |alpha|))) d/n
        centre  = -scale^2 / 2,     range = centre -+ max(24 scale, |centre|)
    Where the model is no `ResNet`: from -128 to 128.
    """
    resnet = log_gaussian(model)
    return Bins(-0.5 * BINS * WIDE_BINS, WIDE_BINS, BINS) if resnet is None else _bins_of(resnet)


@lru_cache(maxsize=64)  # a shard of a sweep asks for them several times
def _bins_of(resnet: ResNet) -> Bins:
    alpha, lam = resnet.normalised
    n, d = resnet.width, resnet.depth
    rate = 5.0 * lam**2 * lam**2 + 4.0 * alpha**2 * lam**2
    if not resnet.signed:
        rest = 1.0 - abs(alpha)
        rate += 6.0 * lam**2 * lam**2 * (d if rest * d < abs(alpha) else abs(alpha) / rest)
    variance = 2.0 / n + rate * d / n
    centre = -variance / 2.0
    reach = max(24.0 * math.sqrt(variance), -centre)
    mantissa, exponent = math.frexp(2.0 * reach / BINS)
    width = math.ldexp(1.0, exponent if mantissa > 0.5 else exponent - 1)
    return Bins((round(centre / width) - BINS // 2) * width, width, BINS)
