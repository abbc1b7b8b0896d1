"""Random maps x -> G x + b of many networks, and their transposes v -> G^T v: written out, or exactly in law.

G is m x n, its entries independent with mean 0 and variance 1/n; b has m independent normals of standard deviation t.
In the extended input x~ = (x/sqrt(n), t) the map is linear,

::

    y = G x + b = G~ x~            G~ = (sqrt(n) G, b/t),        |x~|^2 = |x|^2/n + t^2

and where G is Gaussian, all m (n + 1) entries of G~ are independent standard normals. Then, given x,

::

    y           has the law of   |x~| g                                       g  ~ N(0, I_m)
    G~^T v | y  has the law of   (g.v) e + |v| (I - e e^T) g'                 g' ~ N(0, I_{n+1}),      e = x~/|x~|

for every v made of x, y and anything independent of G: along x~ the transpose is known, since x~.(G~^T v) = y.v, and
across it everything is new. The first n entries, divided by sqrt(n), are G^T v. Where x~ = 0 nothing is known, and
e = 0. So a map and its transpose cost about n numbers each instead of n^2, and no approximation is made.

Let G be orthogonal instead, uniform among all such matrices, and b = 0. With unit vectors e = x/|x| and f = g/|g|,

::

    y           has the law of   |x| f
    G^T v | y   has the law of   (f.v) e + |v - (f.v) f| r/|r|                  r = (I - e e^T) g'

as G maps what is across e to what is across f by an orthogonal map that is uniform, too.
"""

from __future__ import annotations

import math

import numpy as np

from ..models.network import Network
from ..models.weight_law import WeightLaw
from .sources import STREAMS_OF, Counters, Source
from .vectors import Floats, dot, norm, unit, without_dust


class DenseMap:
    """One layer's map with G and b written out, from any source; without dust where the weights' sums can cancel."""

    def __init__(self, source: Source, place: str, layer: int, bias: float, cancels: bool = False) -> None:
        entries = source.matrix(place, layer)
        n = entries.shape[2]
        self.G, self.cancels = entries / math.sqrt(n), cancels
        self.b = bias * source.bias(layer) if bias else np.zeros((1, entries.shape[1]))

    def __call__(self, x: Floats) -> Floats:
        """Return G x + b, (N, m)."""
        return self._clean((self.G @ x[:, :, None])[:, :, 0], x) + self.b

    def transposed(self, x: Floats, v: Floats) -> Floats:
        """Return G^T v, (N, n), which does not depend on x."""
        product: Floats = (v[:, None, :] @ self.G)[:, 0, :]
        return self._clean(product, v)

    def _clean(self, product: Floats, x: Floats) -> Floats:
        """Return G x without dust; each of its terms is |x|/sqrt(n) in the mean square."""
        return without_dust(product, norm(x) / math.sqrt(x.shape[1])) if self.cancels else product


class ProjectedMap:
    """One layer's map of one x, exactly in law, for Gaussian weights: G is drawn only as far as it acts on x and v."""

    def __init__(self, source: Counters[Network], place: str, layer: int, bias: float, cancels: bool = False) -> None:
        rows, n = source.model.matrix_shape(place, layer)
        self.source, self.layer, self.streams = source, layer, STREAMS_OF[place]
        self.bias, self.root = bias, math.sqrt(n)
        self.g = source.normals(self.streams.forward, layer, rows)

    def extended(self, x: Floats) -> Floats:
        """Return x~ = (x/sqrt(n), t), (N, n + 1)."""
        return np.column_stack([x / self.root, np.full(len(x), self.bias)])

    def __call__(self, x: Floats) -> Floats:
        """Return G x + b, (N, m)."""
        return norm(self.extended(x)) * self.g

    def transposed(self, x: Floats, v: Floats) -> Floats:
        """Return G^T v, (N, n), given that the map has sent x to what ``__call__`` returns."""
        e = unit(self.extended(x))
        fresh = norm(v) * self.source.normals(self.streams.backward, self.layer, e.shape[1])
        return (dot(self.g, v) * e + fresh - dot(e, fresh) * e)[:, :-1] / self.root


class RotatedMap(ProjectedMap):
    """One layer's map of one x, exactly in law, for orthogonal weights: y = |x| g/|g|."""

    def __call__(self, x: Floats) -> Floats:
        """Return G x, (N, n)."""
        return norm(x) * unit(self.g)

    def transposed(self, x: Floats, v: Floats) -> Floats:
        """Return G^T v, (N, n), given that the map has sent x to what ``__call__`` returns."""
        e, f = unit(x), unit(self.g) * (norm(x) > 0.0)
        fresh = self.source.normals(self.streams.backward, self.layer, x.shape[1])
        across = v - dot(f, v) * f
        return dot(f, v) * e + norm(across) * unit(fresh - dot(e, fresh) * e)


def map_of(method: str, law: WeightLaw) -> type[DenseMap] | type[ProjectedMap]:
    """Return the maps of a method, for weights of a law that it has."""
    return RotatedMap if method == "projected" and law.orthogonal else MAPS[method]


MAPS: dict[str, type[DenseMap] | type[ProjectedMap]] = {"projected": ProjectedMap, "dense": DenseMap}
