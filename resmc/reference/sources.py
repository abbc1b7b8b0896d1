"""Sources of the weights of networks.

A `Source` has the entries (network, layer, i, j) of every matrix of some networks, all with mean 0 and variance 1; the
network itself scales them. Counters are one source; another would hand in arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..models.network import Network
from .normals import normals, signs
from .philox import words
from .vectors import Floats

Ids = NDArray[np.uint64]
Normals = Callable[[int, Ids, str, int, int], Floats]  # (seed, networks, stream, layer, count)
Signs = Callable[[int, Ids, str, int, int, bool], Floats]  # (seed, networks, stream, layer, count, half)
Model_co = TypeVar("Model_co", bound=Network, covariant=True)


class Source(Protocol):
    """Weights of N networks, the first axis of every array."""

    def matrix(self, place: str, layer: int) -> Floats:
        """Return a layer's "outer" or "inner" matrix (`resmc.models.blocks`), (N, n, n)."""

    def bias(self, layer: int) -> Floats:
        """Return a layer's bias, (N, n)."""

    def signs(self, layer: int) -> Floats:
        """Return the signs s of a layer's activation sigma(s x), (N, n), or ones (1, 1) where it has none."""

    def first_layer(self) -> Floats:
        """Return A, (N, n, entries of `resmc.models.inputs.Inputs.x`)."""

    def readout(self, rows: int) -> Floats:
        """Return the first rows of W_out, (N, rows, n)."""


class Streams(NamedTuple):
    """Streams of a map: for the draws of a forward and a backward pass (projected), and for its entries (dense)."""

    forward: str
    backward: str
    weights: str


STREAMS_OF = {
    "outer": Streams("residual", "backward", "dense_weights"),
    "inner": Streams("inner", "backward_inner", "dense_inner"),
}


def draw_of_layer(layer: int) -> tuple[str, int]:
    """Return (stream, layer) of the draw that makes z_layer, and with the same words the signs of phi_layer."""
    return ("first_layer", 0) if layer == 0 else ("residual", layer - 1)


@dataclass(frozen=True)
class Counters(Generic[Model_co]):
    """Random numbers of some networks of a seed, each a function of its counters alone; they serve as a `Source`.

    Attributes
    ----------
    model : Network
    seed : int
    networks : uint64 array (N,)
        The networks' numbers.
    normals_of, signs_of : callable
        Functions like `resmc.reference.normals` and `resmc.reference.signs`.
    """

    model: Model_co
    seed: int
    networks: Ids
    normals_of: Normals = normals
    signs_of: Signs = signs

    def normals(self, stream: str, layer: int, count: int) -> Floats:
        """Return standard normals, (N, count)."""
        return self.normals_of(self.seed, self.networks, stream, layer, count)

    def matrix(self, place: str, layer: int) -> Floats:
        """Return a layer's "outer" or "inner" matrix, (N, n, n)."""
        n = self.model.width
        return self.entries(STREAMS_OF[place].weights, layer, n, n)

    def bias(self, layer: int) -> Floats:
        """Return a layer's bias, (N, n)."""
        return self.normals("bias", layer, self.model.width)

    def signs(self, layer: int) -> Floats:
        """Return a layer's signs, from the words that drew its activation's argument: (N, n), or ones (1, 1)."""
        sigma, W = self.model.sigma, self.model.residual_block.W
        if not sigma.signed:
            return np.ones((1, 1))
        drawn = draw_of_layer(layer) if W is None else (STREAMS_OF[W].forward, layer)
        return self.signs_of(self.seed, self.networks, *drawn, self.model.width, sigma.half)

    def first_layer(self) -> Floats:
        """Return A, (N, n, 1), or (N, n, n_in) where it is drawn entry by entry."""
        n, inputs = self.model.width, self.model.inputs
        if inputs.explicit:
            return self.entries("dense_input", 0, n, len(inputs.x))
        return self.normals("first_layer", 0, n)[:, :, None]

    def readout(self, rows: int) -> Floats:
        """Return the first rows of W_out, (N, rows, n)."""
        return self.entries("dense_output", self.model.depth, rows, self.model.width)

    def entries(self, stream: str, layer: int, rows: int, columns: int) -> Floats:
        """Return matrices of the model's weight law, (N, rows, columns); entry (i, j) has flat index i columns + j.

        ::

            gaussian     normals
            uniform      sqrt(3) (2 w + 1) 2^-32       w the signed word (two's complement), output k of quad q
            rademacher   1 if w >= 0, else -1          for the flat index 4 q + k
        """
        count, of_word = rows * columns, self.model.weight_law.of_word
        if of_word is None:
            flat = self.normals(stream, layer, count)
        else:
            quads = words(self.seed, self.networks, stream, layer, np.arange(-(-count // 4)))
            flat = of_word(quads.astype(np.int32).reshape(len(self.networks), -1)[:, :count])
        return flat.reshape(-1, rows, columns)
