"""One random map x -> G x + b of each network, of several columns x, and its transpose: written out, or exactly in law.

Words are those of `resmc.reference.maps`. The rows of Phi are the extended inputs x~ = (x/sqrt(n), t), with the bias t
in column 0 alone: the others are differences of inputs, or tangents, which no bias moves. With the Cholesky factor
Phi Phi^T = C C^T (below a pivot of 1e-12 a column of C is 0), Q = C^-1 Phi has orthonormal rows, and

::

    Y           has the law of   C G                                         G independent normals, a row for each x~
    V G~ | Y    has the law of   (V G^T) Q + D G' (I - Q^T Q)                D D^T = V V^T, G' fresh

jointly for all columns (rows v of V may be made of Phi, Y and anything independent of the map). It uses one Gaussian
matrix several times without drawing it: Y. M. Lu, *Householder Dice* (arXiv 2101.07464). Cutting the first term
and the factor I - Q^T Q leaves D G', a pass through matrices that are independent of the forward ones.
"""

from __future__ import annotations

import math

import numpy as np

from ..models.residual_network import ResidualNetwork
from .columns import Activated, Columns, factored, orthonormal, raw
from .joint_norms import normalised, pulled
from .sources import STREAMS_OF, Counters
from .vectors import Floats, without_dust

TANGENT = 256  # the input index of tangent 0


class JointDenseMap:
    """One layer's map with G and b written out; without dust where the weights' sums can cancel."""

    def __init__(
        self, source: Counters[ResidualNetwork], place: str, layer: int, bias: float, independent: bool
    ) -> None:
        entries = source.matrix(place, layer)
        root = math.sqrt(entries.shape[2])
        self.G, self.cancels = entries / root, source.model.weight_law.cancels
        self.back = source.other_matrix(place, layer) / root if independent else self.G
        self.b = bias * source.bias(layer) if bias else np.zeros((1, 1))

    def __call__(self, x: Columns, inputs: int) -> Columns:
        """Return G x + b of input 0, and G x of all other columns."""
        y = self._clean(x.v @ self.G.transpose(0, 2, 1), x.v)
        y[:, 0] += self.b
        return Columns(y, x.log)

    def transposed(self, x: Columns, inputs: int, v: Columns) -> Columns:
        """Return G^T v, which does not depend on x."""
        return Columns(self._clean(v.v @ self.back, v.v), v.log)

    def _clean(self, product: Floats, x: Floats) -> Floats:
        """Return sums of weights +-1 times the entries of x without dust."""
        if not self.cancels:
            return product
        size, _ = factored(x)
        return without_dust(product, size / math.sqrt(x.shape[2]))


class JointProjectedMap:
    """One layer's map of some columns, exactly in law, for Gaussian weights."""

    def __init__(
        self, source: Counters[ResidualNetwork], place: str, layer: int, bias: float, independent: bool
    ) -> None:
        self.source, self.layer, self.streams = source, layer, STREAMS_OF[place]
        self.bias, self.independent, self.root = bias, independent, math.sqrt(source.model.width)

    def _extended(self, x: Columns) -> Floats:
        """Return Phi, (N, c, n + 1)."""
        bias = np.zeros((*x.v.shape[:2], 1))
        bias[:, 0] = self.bias
        return np.concatenate([x.v / self.root, bias], axis=2)

    def _drawn(self, x: Columns, inputs: int) -> Floats:
        """Return G, (N, c, n)."""
        return drawn(self.source, self.streams.forward, self.layer, x.v.shape[2], inputs, x.count - inputs)

    def __call__(self, x: Columns, inputs: int) -> Columns:
        """Return G x + b of input 0, and G x of all other columns."""
        size, factor = factored(self._extended(x))
        return Columns(size * (factor @ self._drawn(x, inputs)), x.log)

    def transposed(self, x: Columns, inputs: int, v: Columns) -> Columns:
        """Return G^T v, given that the map has sent x to what ``__call__`` returns."""
        n = x.v.shape[2]
        size, factor = factored(v.v)
        back = factor @ drawn(self.source, self.streams.backward, self.layer, n + 1, v.count)
        if not self.independent:
            q, unit = orthonormal(self._extended(x)), v.v / np.where(size > 0.0, size, 1.0)
            back += (unit @ self._drawn(x, inputs).transpose(0, 2, 1) - back @ q.transpose(0, 2, 1)) @ q
        return Columns(size * back[:, :, :n] / self.root, v.log)


def drawn(
    source: Counters[ResidualNetwork], stream: str, layer: int, count: int, inputs: int, tangents: int = 0
) -> Floats:
    """Return normals of all columns, (N, m + k, count)."""
    indices = [*range(inputs), *range(TANGENT, TANGENT + tangents)]
    return np.stack([source.normals(stream, layer, count, index) for index in indices], axis=1)


JOINT_MAPS: dict[str, type[JointDenseMap] | type[JointProjectedMap]] = {
    "projected": JointProjectedMap,
    "dense": JointDenseMap,
}


class JointLayer:
    """F_l of all columns, and (dF_l/dh^a)^T p^a of all inputs with the tangent kernel of the layer's matrices."""

    def __init__(
        self, networks: Counters[ResidualNetwork], layer: int, method: str, inputs: int, independent: bool
    ) -> None:
        model, Map, block = networks.model, JOINT_MAPS[method], networks.model.residual_block
        self.m, self.n, self.inside, self.s = inputs, model.width, model.inside, float(model.scales[layer])
        self.norm, self.place, self.eps = model.normalisation, model.norm_place, model.eps
        self.sigma = Activated(model.sigma, networks.signs(layer), networks.kept(layer))
        self.V = self.W = None
        if block.W is not None:
            self.W = Map(networks, block.W, layer, model.bias, independent)
        if block.V is not None:
            bias = 0.0 if block.W is not None else model.bias
            self.V = Map(networks, block.V, layer, bias, independent)

    def _met(self, h: Columns) -> Columns:
        """Return the activation's arguments."""
        u = h if self.W is None else self.W(h, self.m)
        return u.times(self.s) if self.inside else u

    def _normed(self, h: Columns) -> Columns:
        """Return what the branch meets."""
        return normalised(h, self.m, self.norm, self.eps) if self.norm and self.place.before else h

    def _given(self, x: Columns) -> Columns:
        """Return what the branch gives, before a norm and the scaling outside."""
        y = self.sigma(self._met(x), self.m)
        return y if self.V is None else self.V(y, self.m)

    def branch(self, h: Columns) -> Columns:
        """Return F of input 0, its differences, and the derivative along tangents."""
        y = self._given(self._normed(h))
        if self.norm and self.place.branch:
            y = normalised(y, self.m, self.norm, self.eps)
        return y if self.inside else y.times(self.s)

    def branch_transposed(self, h: Columns, p: Columns) -> tuple[Columns, Floats]:
        """Return (dF/dh)^T p of every input, and the kernel's pairs, (N, P)."""
        x = self._normed(h)
        u, kernel = self._met(x), np.zeros(1)
        p = pulled(self._given(x), p, self.norm, self.eps) if self.norm and self.place.branch else p
        q = p
        if self.V is not None:
            f = self.sigma(u, self.m)
            kernel = kernel + self._kernel(p.times(self.s), f)
            q = self.V.transposed(f, self.m, p)
        q = q.times(self.s * self.sigma.slopes(u.part(0, self.m)))
        if self.W is not None:
            kernel = kernel + self._kernel(q, x)
            q = self.W.transposed(x, self.m, q)
        return pulled(h, q, self.norm, self.eps) if self.norm and self.place.before else q, kernel

    def _kernel(self, q: Columns, met: Columns) -> Floats:
        """Return (q^a.q^b)(x^a.x^b)/n for the vectors x that a matrix has met, (N, P)."""
        (e, product), (met_e, met_product) = q.products(), raw(met.part(0, self.m)).products()
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(e + met_e) * product * met_product / self.n
