"""Weights of single networks in float64, as functions of time or layer by layer, for experiments that compare depths.

All entries of a network's matrices and its bias stand in one row: V, then W, then b, each with its own scale.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from ..models.processes import SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..results.estimates import Floats
from .branches import Matrices
from .standin import embedding_eigenvalues, smooth_series

MAX_BYTES = 1 << 29  # memory allowed for the noise of one network
CHUNK_BYTES = 1 << 24  # memory for the entries of layers that are made together


class Layout:
    """Places of a network's matrices and bias in a row of all of their entries, and their scales.

    Attributes
    ----------
    size : int
        Entries in a row.
    scale : ndarray, shape (size,)
        1/sqrt(n) for entries of a matrix, the standard deviation for those of a bias.
    """

    def __init__(self, model: ResidualNetwork) -> None:
        self.n = n = model.width
        self.V, self.W = model.residual_block.V is not None, model.residual_block.W is not None
        matrices = n * n * (self.V + self.W)
        self.b = model.bias > 0.0
        self.size = matrices + n * self.b
        self.scale = np.full(self.size, 1.0 / np.sqrt(n))
        self.scale[matrices:] = model.bias

    def matrices(self, row: Floats) -> Matrices:
        """Return what stands in a row, (size,)."""
        n, at = self.n, 0
        found: list[Floats | None] = []
        for there in (self.V, self.W):
            found.append(row[at : at + n * n].reshape(n, n) if there else None)
            at += n * n * there
        return Matrices(found[0], found[1], row[at:, None] if self.b else None)

    def chunks(self, depth: int) -> list[range]:
        """Return ranges of layers whose entries fit into a chunk of memory."""
        step = max(1, CHUNK_BYTES // (8 * self.size))
        return [range(first, min(first + step, depth)) for first in range(0, depth, step)]


class SmoothPath:
    """Entries that are smooth in time: ``coefficients`` (terms, size) of a process's series."""

    def __init__(self, process: SmoothProcess, coefficients: Floats) -> None:
        self.process, self.coefficients = process, coefficients
        self.series = smooth_series(process.length)

    @staticmethod
    def drawn(process: SmoothProcess, rng: np.random.Generator, scale: Floats) -> SmoothPath:
        """Draw a path whose entries have the standard deviations ``scale``, (size,)."""
        terms = smooth_series(process.length).terms
        return SmoothPath(process, rng.standard_normal((terms, scale.size)) * scale)

    def at(self, t: float) -> Floats:
        """Return the entries at time t: X(t), or length X'(t) for increments."""
        return self.times(np.array([t]))[0]

    def _functions(self, t: Floats) -> Floats:
        if self.process.version == "values":
            return self.series.values(t)
        return self.process.length * self.series.derivatives(t)

    def times(self, t: Floats) -> Floats:
        """Return the entries at times t (T,), (T, size)."""
        return np.asarray(self._functions(t) @ self.coefficients)

    def layers(self, depth: int, layers: range) -> Floats:
        """Return the entries of layers of a network of this depth, (len(layers), size)."""
        t = np.array(layers, np.float64) / depth
        functions = self.series.values(t)
        if self.process.version == "increments":
            after = (np.array(layers, np.float64) + 1.0) / depth
            sd = np.sqrt(-2.0 * np.expm1(-0.5 / (depth * self.process.length) ** 2))
            functions = (self.series.values(after) - functions) / sd
        return np.asarray(functions @ self.coefficients)


class ConstantPath:
    """Entries that are the same at all times and layers."""

    def __init__(self, entries: Floats) -> None:
        self.entries = entries

    def at(self, t: float) -> Floats:
        """Return the entries, (size,)."""
        return self.entries

    def layers(self, depth: int, layers: range) -> Floats:
        """Return the entries of some layers, (len(layers), size)."""
        return np.broadcast_to(self.entries, (len(layers), self.entries.size))


def check_memory(what: str, depth: int, count: int, most: int = MAX_BYTES) -> None:
    """Refuse arrays of one network that would not fit into the memory which is allowed."""
    if 8 * depth * count > most:
        raise ValueError(
            f"depth={depth} is out of range: the {what} of one network, {count} numbers for each layer, would take "
            f"{8 * depth * count / 2**30:.2g} GiB, and {most / 2**30:.2g} are allowed"
        )


def fractional_noise(rng: np.random.Generator, hurst: float, depth: int, count: int) -> Floats:
    """Return ``count`` paths of fractional Gaussian noise, (depth, count), by circulant embedding (Davies, Harte 1987).

    With the eigenvalues lambda_k of the embedding of size 2 L and complex Gaussian Z_k of E|Z_k|^2 = lambda_k, real at
    k = 0 and k = L, the path is the inverse Fourier transform of Z times sqrt(2 L).
    """
    check_memory("weights", depth, count)
    if hurst == 0.5:
        return rng.standard_normal((depth, count))
    sd = np.sqrt(embedding_eigenvalues(hurst, depth) * depth)
    sd[[0, -1]] *= np.sqrt(2.0)
    out = np.empty((depth, count))
    step = max(1, CHUNK_BYTES // (16 * (depth + 1)))
    for first in range(0, count, step):
        last = min(first + step, count)
        parts = rng.standard_normal((last - first, depth + 1, 2))
        parts[:, [0, -1], 1] = 0.0
        z = parts.view(np.complex128)[:, :, 0] * sd
        out[:, first:last] = fft.irfft(z, 2 * depth, axis=1, overwrite_x=True)[:, :depth].T
    return out
