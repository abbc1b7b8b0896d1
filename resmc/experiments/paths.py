"""Weights of single networks in float64, as functions of time or layer by layer, for experiments that compare depths.

All entries of a network's matrices and its bias stand in one row: V, then W, then b, each with its own scale.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from .._system.stopping import look
from ..models.processes import SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..results.estimates import Floats
from ..theory.processes import fractional_noise_embedding, smooth_basis, smooth_series
from .branches import Matrices

MAX_BYTES = 1 << 29  # memory allowed for an array of one network
CHUNK_BYTES = 1 << 24  # memory for the entries of layers that are made together


class Layout:
    """Places of a network's matrices and bias in a row of all of their entries, and their scales.

    Attributes
    ----------
    size : int
        Entries in a row.
    scale : ndarray, shape (size,)
        1/sqrt(n) for entries of a matrix, the standard deviation for those of a bias.
    parts : list of (str, slice)
        The places, "outer", "inner" and "bias", that are there, and where they stand.
    """

    def __init__(self, model: ResidualNetwork) -> None:
        self.n = n = model.width
        block = model.residual_block
        self.V, self.W, self.b = block.V is not None, block.W is not None, model.bias > 0.0
        places = [*(place for place in (block.V, block.W) if place), *(["bias"] if self.b else [])]
        self.parts, self.size = [], 0
        for place in places:
            entries = n if place == "bias" else n * n
            self.parts.append((place, slice(self.size, self.size + entries)))
            self.size += entries
        self.scale = np.full(self.size, 1.0 / np.sqrt(n))
        if self.b:
            self.scale[-n:] = model.bias

    def matrices(self, row: Floats) -> Matrices:
        """Return what stands in a row, (size,), or in an array of rows, (.., size)."""
        n, at = self.n, 0
        found: list[Floats | None] = []
        for there in (self.V, self.W):
            found.append(row[..., at : at + n * n].reshape(*row.shape[:-1], n, n) if there else None)
            at += n * n * there
        return Matrices(found[0], found[1], row[..., at:, None] if self.b else None)

    def chunks(self, depth: int) -> list[range]:
        """Return ranges of layers whose entries fit into a chunk of memory."""
        step = max(1, CHUNK_BYTES // (8 * self.size))
        return [range(first, min(first + step, depth)) for first in range(0, depth, step)]


class SmoothPath:
    """Entries that are smooth in time: sums of a process's series with ``coefficients`` (2 terms, size)."""

    def __init__(self, process: SmoothProcess, coefficients: Floats) -> None:
        self.process, self.coefficients = process, coefficients
        self.series = smooth_series(process.length)

    @staticmethod
    def drawn(process: SmoothProcess, rng: np.random.Generator, scale: Floats) -> SmoothPath:
        """Draw a path whose entries have the standard deviations ``scale``, (size,)."""
        terms = 2 * len(smooth_series(process.length).variances)
        return SmoothPath(process, rng.standard_normal((terms, scale.size)) * scale)

    def times(self, t: Floats) -> Floats:
        """Return the entries at times t (T,), (T, size): X(t), or length X'(t) for increments."""
        if self.process.version == "values":
            return self.sums(self.series.basis(t))
        return self.sums(self.process.length * self.series.derivative(t))

    def at(self, t: float) -> Floats:
        """Return the entries at time t, (size,)."""
        return np.asarray(self.times(np.array([t]))[0])

    def layers(self, depth: int, layers: range) -> Floats:
        """Return the entries of layers of a network of this depth, (len(layers), size)."""
        return self.sums(smooth_basis(self.process, depth, layers.start, layers.stop))

    def sums(self, basis: Floats) -> Floats:
        """Return the entries of which ``basis``, (T, 2, K + 1), has the factors of the series's normals, (T, size)."""
        return np.asarray(basis.reshape(len(basis), -1) @ self.coefficients)


class ConstantPath:
    """Entries that are the same at all times and layers."""

    def __init__(self, entries: Floats) -> None:
        self.entries = entries

    def times(self, t: Floats) -> Floats:
        """Return the entries at times t (T,), (T, size)."""
        return np.broadcast_to(self.entries, (len(t), self.entries.size))

    def at(self, t: float) -> Floats:
        """Return the entries, (size,)."""
        return self.entries

    def layers(self, depth: int, layers: range) -> Floats:
        """Return the entries of some layers, (len(layers), size)."""
        return np.broadcast_to(self.entries, (len(layers), self.entries.size))


def check_memory(what: str, depth: int, count: int) -> None:
    """Refuse arrays of one network that would not fit into the memory which is allowed."""
    if 8 * depth * count > MAX_BYTES:
        raise ValueError(
            f"depth={depth} is out of range: the {what} of one network, {count} numbers for each layer, would take "
            f"{8 * depth * count / 2**30:.2g} GiB, and {MAX_BYTES / 2**30:g} are allowed"
        )


def fractional_noise(rng: np.random.Generator, hurst: float, depth: int, count: int) -> Floats:
    """Return ``count`` paths of fractional Gaussian noise, (depth, count), by circulant embedding."""
    check_memory("weights", depth, count)
    if hurst == 0.5:
        return rng.standard_normal((depth, count))
    amplitudes = fractional_noise_embedding(hurst, depth).amplitudes
    out = np.empty((depth, count))
    terms = len(amplitudes)
    step = max(1, CHUNK_BYTES // (16 * terms))
    for first in range(0, count, step):
        look()
        last = min(first + step, count)
        normals = rng.standard_normal((last - first, terms, 2)) * amplitudes
        waves = normals.view(np.complex128)[:, :, 0]
        out[:, first:last] = fft.irfft(waves, 2 * terms - 2, axis=1, norm="forward")[:, :depth].T
    return out
