"""Sources of the weights of networks.

A `Source` has the entries (network, layer, i, j) of every matrix of some networks, with mean 0 and as a rule variance 1
(`resmc.reference.paths.path`); the network itself scales them. Counters are one source; another would hand in arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief
from ..models.dropout import kept_below, kept_factor
from ..models.network import Network
from ..models.processes import Mixture, SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..models.resnet import MAX_WIDTH_DENSE
from ..models.weight_law import WEIGHTS, WeightLaw
from .normals import normals, signs
from .paths import Terms, path, smooth_path
from .philox import words
from .vectors import Floats

Ids = NDArray[np.uint64]
Normals = Callable[..., Floats]  # (seed, networks, stream, layer, count), and input_index where it is not 0
Signs = Callable[[int, Ids, str, int, int, bool], Floats]  # (seed, networks, stream, layer, count, half)
Model_co = TypeVar("Model_co", bound=Network, covariant=True)


class Source(Protocol):
    """Weights of N networks, the first axis of every array.

    Layers are 0 .. depth - 1; Heun's method asks for layer ``depth`` too.
    """

    def matrix(self, place: str, layer: int) -> Floats:
        """Return a layer's "outer" or "inner" matrix (`resmc.models.blocks`), (N, n, n) where all widths are alike."""

    def bias(self, layer: int) -> Floats:
        """Return a layer's bias, (N, n), n the neurons that it is added to."""

    def signs(self, layer: int) -> Floats:
        """Return the signs s of a layer's activation sigma(s x), (N, n), or ones (1, 1) where it has none."""

    def kept(self, layer: int) -> Floats:
        """Return what multiplies a layer's sigma(h): 0 or 1/sqrt(keep), (N, n), or ones (1, 1) without dropout."""

    def first_layer(self) -> Floats:
        """Return A, (N, n, entries of `resmc.models.inputs.Inputs.x`)."""

    def readout(self, rows: int) -> Floats:
        """Return the first rows of W_out, (N, rows, n)."""


class Streams(NamedTuple):
    """Streams of a map: for the draws of a forward and a backward pass (projected), and for its entries (dense)."""

    forward: str
    backward: str
    weights: str


class Entries(NamedTuple):
    """Streams of a matrix's or a bias's entries: of each layer's, and of the terms of a path over the layers."""

    layers: str
    noise: str
    trend: str


OTHER_COPY = 1  # the input index of explicit weights that stand for the network's own in an independent backward pass
STREAMS_OF = {
    "outer": Streams("residual", "backward", "dense_weights"),
    "inner": Streams("inner", "backward_inner", "dense_inner"),
}
ENTRIES_OF = {
    "outer": Entries("dense_weights", "noise_outer", "trend_outer"),
    "inner": Entries("dense_inner", "noise_inner", "trend_inner"),
    "bias": Entries("bias", "noise_bias", "trend_bias"),
}


def draw_of_layer(layer: int) -> tuple[str, int]:
    """Return (stream, layer) of the draw that makes z_layer, and with the same words the signs of phi_layer."""
    return ("first_layer", 0) if layer == 0 else ("residual", layer - 1)


@dataclass(frozen=True)
class Counters(Generic[Model_co]):
    """Random numbers of some networks of a seed, each a function of its counters alone; they serve as a `Source`.

    Weights that are a process over the layers are kept once they are drawn, in all layers at once.

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
    _paths: dict[str, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def normals(self, stream: str, layer: int, count: int, input_index: int = 0) -> Floats:
        """Return standard normals, (N, count)."""
        which = (self.seed, self.networks, stream, layer, count)
        return self.normals_of(*which, input_index) if input_index else self.normals_of(*which)

    def matrix(self, place: str, layer: int) -> Floats:
        """Return a layer's "outer" or "inner" matrix, (N, rows, columns): (N, n, n) where all widths are alike."""
        dependence, shape = self.model.dependence, self.model.matrix_shape(place, layer)
        if isinstance(dependence, str):
            found = self.entries(ENTRIES_OF[place].layers, 0 if dependence == "tied" else layer, *shape)
            return found if self.model.weight_law.matrices is None else self.model.weight_law.matrices(found)
        return self._path(place, layer).reshape(-1, *shape)

    def other_matrix(self, place: str, layer: int) -> Floats:
        """Return an independent copy of a matrix of a network whose layers are independent, (N, n, n)."""
        n = self.model.width
        return self.entries(ENTRIES_OF[place].layers, layer, n, n, input_index=OTHER_COPY)

    def bias(self, layer: int) -> Floats:
        """Return a layer's bias, (N, n)."""
        model, dependence = self.model, self.model.dependence
        if isinstance(dependence, str):
            law = WEIGHTS[model.bias_law if isinstance(model, ResidualNetwork) else "gaussian"]
            return self._of_law(
                law, ENTRIES_OF["bias"].layers, 0 if dependence == "tied" else layer, model.bias_length(layer)
            )
        return self._path("bias", layer)

    def smooth(self, place: str, t: Floats, derivative: bool = False) -> Floats:
        """Return a smooth process's entries at t, (T,), or their derivatives: (N, T, n, n), of the "bias" (N, T, n).

        Of a `Mixture` it is the trend, without its factor. At t = k/depth these are the entries of layer k where the
        process has the version "values".
        """
        process, n = self.model.dependence, self.model.width
        if not isinstance(process, SmoothProcess | Mixture):
            raise ValueError(f"weights with dependence {process} have no smooth path")
        found = smooth_path(process, self._terms(place), np.asarray(t, np.float64), derivative)
        return found if place == "bias" else found.reshape(len(found), -1, n, n)

    def _path(self, place: str, layer: int) -> Floats:
        """Return the entries of a matrix or bias in a layer, (N, entries), from the path over all layers."""
        process, depth = self.model.dependence, self.model.depth
        assert not isinstance(process, str)
        if layer == depth:
            return path(process, depth, self._terms(place), depth, depth + 1)[:, 0]
        if place not in self._paths:
            self._paths[place] = path(process, depth, self._terms(place))
        return self._paths[place][:, layer]

    def _terms(self, place: str) -> Terms:
        streams, n = ENTRIES_OF[place], self.model.width
        pairs = partial(self.pairs, entries=n if place == "bias" else n * n)
        return Terms(partial(pairs, streams.noise), partial(pairs, streams.trend))

    def pairs(self, stream: str, term: int, entries: int) -> Floats:
        """Return two standard normals p = 0, 1 for every entry e, (N, 2, entries): of quad p Q + e div 4.

        Q = ceil(entries/4) quads are what one normal for every entry takes.
        """
        padded = 4 * -(-entries // 4)
        return self.normals(stream, term, 2 * padded).reshape(-1, 2, padded)[:, :, :entries]

    def signs(self, layer: int) -> Floats:
        """Return a layer's signs, from the words that drew its activation's argument: (N, n), or ones (1, 1)."""
        sigma, W = self.model.sigma, self.model.residual_block.W
        if not sigma.signed:
            return np.ones((1, 1))
        drawn = draw_of_layer(layer) if W is None else (STREAMS_OF[W].forward, layer)
        return self.signs_of(self.seed, self.networks, *drawn, self.model.activated(layer), sigma.half)

    def kept(self, layer: int) -> Floats:
        """Return what multiplies a layer's sigma(h), (N, n), or ones (1, 1) without dropout.

        Neuron i has output i mod 4 of quad i div 4, and is kept if that word is below keep 2^32.
        """
        model = self.model
        if not isinstance(model, ResidualNetwork) or model.keep == 1.0:
            return np.ones((1, 1))
        n = model.activated(layer)
        quads = words(self.seed, self.networks, "dropout", layer, np.arange(-(-n // 4)))
        drawn = quads.reshape(len(self.networks), -1)[:, :n]
        return np.where(drawn < kept_below(model.keep), kept_factor(model.keep), 0.0)

    def first_layer(self) -> Floats:
        """Return A, (N, n, 1), or (N, n, n_in) where it is drawn entry by entry."""
        n, inputs = self.model.width_of(0), self.model.inputs
        if inputs.explicit:
            return self.entries("dense_input", 0, n, len(inputs.x))
        return self.normals("first_layer", 0, n)[:, :, None]

    def readout(self, rows: int) -> Floats:
        """Return the first rows of W_out, (N, rows, n)."""
        return self.entries("dense_output", self.model.depth, rows, self.model.width_of(self.model.depth))

    def entries(self, stream: str, layer: int, rows: int, columns: int, input_index: int = 0) -> Floats:
        """Return matrices of the model's weight law, (N, rows, columns); entry (i, j) has flat index i columns + j.

        ::

            gaussian     normals
            uniform      sqrt(3) (2 w + 1) 2^-32       w the signed word (two's complement), output k of quad q
            rademacher   1 if w >= 0, else -1          for the flat index 4 q + k
            others       T(g), g the normals           T the law's table
        """
        flat = self._of_law(self.model.weight_law, stream, layer, rows * columns, input_index)
        return flat.reshape(-1, rows, columns)

    def _of_law(self, law: WeightLaw, stream: str, layer: int, count: int, input_index: int = 0) -> Floats:
        """Return entries of a law, (N, count)."""
        if law.of_word is None:
            return law.of_normals(self.normals(stream, layer, count, input_index))
        quads = words(self.seed, self.networks, stream, layer, np.arange(-(-count // 4)), input_index)
        return law.of_word(quads.astype(np.int32).reshape(len(self.networks), -1)[:, :count])


def counters_of(model: Network, seed: int, networks: Sequence[int]) -> Counters[Network]:
    """Return the weights of networks of ``seed``, given by their numbers, for all to be written out.

    Raises
    ------
    ValueError
        For a model that is none, or too wide for explicit weights, or a number out of range.
    """
    if not isinstance(model, Network):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a resmc.ResNet or a resmc.ResidualNetwork")
    for name, width in (("width", model.width), ("inner_width", model.inner)):
        checks.integer(name, width, 1, MAX_WIDTH_DENSE, "2^17 with explicit weights")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    if not len(networks):
        raise ValueError(f"network={brief(networks)} is not allowed: it has no numbers")
    for end in (networks[0], networks[-1]):
        checks.integer("network", end, 0, 2**48 - 1, "2^48 - 1")
    return Counters(model, seed, np.array(networks, np.uint64))
