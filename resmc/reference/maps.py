"""Random maps x -> G x + b of many networks, and their transposes v -> G^T v: written out, or exactly in law.

G is n x n, its entries independent with mean 0 and variance 1/n; b has n independent normals of standard deviation t.
In the extended input x~ = (x/sqrt(n), t) the map is linear,

::

    y = G x + b = G~ x~            G~ = (sqrt(n) G, b/t),        |x~|^2 = |x|^2/n + t^2

and where G is Gaussian, all n (n + 1) entries of G~ are independent standard normals. Then, given x,

::

    y           has the law of   |x~| g                                       g  ~ N(0, I_n)
    G~^T v | y  has the law of   (g.v) e + |v| (I - e e^T) g'                 g' ~ N(0, I_{n+1}),      e = x~/|x~|

for every v that is made of x, y and what is independent of G: along x~ the transpose is known, since x~.(G~^T v) = y.v,
and across it everything is new. The first n entries, divided by sqrt(n), are G^T v. Where x~ = 0 nothing is known:
e = 0. So a map and its transpose cost about n numbers each instead of n^2, and no approximation is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..models.residual_network import ResidualNetwork
from .network import Ids, draw_of_layer
from .normals import normals, signs
from .philox import words
from .vectors import Floats, dot, norm, unit


class Streams(NamedTuple):
    """Where a map draws its g and its g' from (projected), or G (dense)."""

    forward: str
    backward: str
    weights: str


OUTER = Streams("residual", "backward", "dense_weights")  # V; of phi-out W
INNER = Streams("inner", "backward_inner", "dense_inner")  # W of v-phi-w


@dataclass(frozen=True)
class Draws:
    """All that is random in the networks number ``ids`` of a seed, each a function of its counters alone."""

    model: ResidualNetwork
    seed: int
    ids: Ids

    def normals(self, stream: str, layer: int, count: int) -> Floats:
        """Standard normals, shape (N, count)."""
        return normals(self.seed, self.ids, stream, layer, count)

    def signs(self, layer: int) -> Floats:
        """The signs s of layer's activation sigma(s x), (N, n), or ones (1, 1); from the words that drew its input."""
        if not self.model.sigma.signed:
            return np.ones((1, 1))
        drawn = {"phi-in": draw_of_layer(layer), "phi-out": ("residual", layer), "v-phi-w": ("inner", layer)}
        half = self.model.activation == "balanced-half"
        return signs(self.seed, self.ids, *drawn[self.model.block], self.model.width, half)

    def matrix(self, stream: str, layer: int, rows: int, columns: int) -> Floats:
        """Matrices (N, rows, columns) of the model's law, with mean 0 and variance 1/columns; flat index i columns + j.

        ::

            gaussian     normals
            uniform      sqrt(3) (2 w + 1) 2^-32       w the signed word (two's complement), output k of quad q
            rademacher   1 if w >= 0, else -1          for the flat index 4 q + k
        """
        return self._entries(stream, layer, rows * columns).reshape(-1, rows, columns) / math.sqrt(columns)

    def _entries(self, stream: str, layer: int, count: int) -> Floats:
        if self.model.weights == "gaussian":
            return self.normals(stream, layer, count)
        quads = words(self.seed, self.ids, stream, layer, np.arange(-(-count // 4)))
        w = quads.astype(np.int32).reshape(len(self.ids), -1)[:, :count]
        if self.model.weights == "uniform":
            return np.asarray(math.sqrt(3.0) * (2.0 * w + 1.0) * 2.0**-32)
        return np.where(w >= 0, 1.0, -1.0)


class DenseMap:
    """Layer's map with G and b written out."""

    def __init__(self, draws: Draws, layer: int, streams: Streams, bias: float) -> None:
        n = draws.model.width
        self.G = draws.matrix(streams.weights, layer, n, n)
        self.b = bias * draws.normals("bias", layer, n) if bias else np.zeros((1, n))

    def __call__(self, x: Floats) -> Floats:
        """G x + b, (N, n)."""
        return (self.G @ x[:, :, None])[:, :, 0] + self.b

    def transposed(self, x: Floats, v: Floats) -> Floats:
        """G^T v, (N, n); it is the same for every x."""
        product: Floats = (v[:, None, :] @ self.G)[:, 0, :]
        return product


class ProjectedMap:
    """Layer's map of one x, exactly in law, for Gaussian weights."""

    def __init__(self, draws: Draws, layer: int, streams: Streams, bias: float) -> None:
        n = draws.model.width
        self.draws, self.layer, self.streams, self.bias, self.root = draws, layer, streams, bias, math.sqrt(n)
        self.g = draws.normals(streams.forward, layer, n)

    def extended(self, x: Floats) -> Floats:
        """x~ = (x/sqrt(n), t), shape (N, n + 1)."""
        return np.column_stack([x / self.root, np.full(len(x), self.bias)])

    def __call__(self, x: Floats) -> Floats:
        """G x + b, (N, n)."""
        return norm(self.extended(x)) * self.g

    def transposed(self, x: Floats, v: Floats) -> Floats:
        """G^T v, (N, n), given that the map has sent x to what ``__call__`` returns."""
        e = unit(self.extended(x))
        fresh = norm(v) * self.draws.normals(self.streams.backward, self.layer, e.shape[1])
        return (dot(self.g, v) * e + fresh - dot(e, fresh) * e)[:, :-1] / self.root


MAPS: dict[str, type[DenseMap] | type[ProjectedMap]] = {"projected": ProjectedMap, "dense": DenseMap}
