"""Single networks in float64 with weights of any dependence in depth, followed at any depth, forward and backward.

Start, readout, and weights that are smooth or constant are those of the network of the same seed and number in a
simulation; the readout is that of the model's own depth. Noise comes from a generator of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._system.stopping import look
from .._system.words import brief
from ..models import inner_width, normalisation
from ..models.dropout import DEPTH, refuse_dropout
from ..models.processes import Covariance, FractionalNoise, Mixture, SmoothProcess
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..models.weight_law import refuse_orthogonal
from ..reference.sources import ENTRIES_OF, Counters
from ..results.estimates import Floats
from ..theory.processes import smooth_series
from .branches import Branch, Matrices
from .paths import MAX_BYTES, ConstantPath, Layout, SmoothPath, check_memory, fractional_noise


def check_model(model: Any) -> None:
    """Refuse models that are no one network at every depth, or that grow or die of their own."""
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    if not isinstance(model.scaling, DepthScaling):
        raise ValueError("scaling layer by layer is not allowed: it has one depth; it must be a DepthScaling")
    if isinstance(model.dependence, Covariance):
        raise ValueError("weights with a covariance matrix are not allowed: it has one depth")
    if model.carry != 1.0:
        raise ValueError(f"carry={model.carry!r} is not allowed: it must be 1, or all grows or falls like carry^L")
    if model.sigma.signed:
        raise ValueError(f"activation={model.activation!r} is not allowed: its signs are drawn in every layer")
    refuse_orthogonal(model.weight_law, "where one network has every depth")
    refuse_dropout(model.keep, *DEPTH)
    normalisation.refuse_norm(model, *normalisation.DEPTH)
    inner_width.refuse_inner_width(model.inner_width, *inner_width.DEPENDENT)
    if model.bias > 0.0 and model.bias_law != "gaussian":
        raise ValueError(
            f"bias_law={model.bias_law!r} is not allowed: biases are Gaussian in depth; it must be 'gaussian'"
        )


class Ends(NamedTuple):
    """Ends of a network: h_L - h_0 and p_0 - p_L, (n, 1), and sum_k |h_{k+1} - h_k|^2."""

    moved: Floats
    pulled: Floats | None
    quadratic_variation: float


class OneNetwork:
    """One network of a seed: its start, readout and weights, whatever its depth, up to ``deepest``.

    Smooth and constant weights are the same functions of k/L at every depth. Noise is one path X_0, X_1, .., of which a
    network of depth L takes the first L layers: it is stationary.

    Attributes
    ----------
    network : int
    h0, p1 : ndarray, shape (n, 1)
        The start h_0, or that which is given, in units of its own in a homogeneous network; and a row of the readout.
    unit : float
        The unit of h_0.
    path : SmoothPath, ConstantPath or None
        The part that depends on k/L alone, in units of the entries' own scales.
    noise : ndarray, shape (deepest, entries), or None
        None too with ``deepest`` 0.
    """

    def __init__(
        self, model: ResidualNetwork, seed: int, network: int, deepest: int, start: Floats | None = None
    ) -> None:
        self.model, self.network, self.layout = model, network, Layout(model)
        self.branch = Branch(model)
        n = model.width
        source = Counters(model, seed, np.array([network], np.uint64))
        if start is None:
            x = np.array(model.inputs.x) / np.sqrt(len(model.inputs.x))
            start = source.first_layer()[0] @ x
        largest, self.unit = float(np.abs(start).max()), 1.0
        if model.homogeneous and largest > 0.0:  # quotients do not depend on the unit, and squares may overflow
            self.unit = float(2.0 ** np.floor(np.log2(largest)))
            start = start / self.unit
        self.h0 = start.reshape(n, 1)
        self.p1 = source.readout(1)[0].reshape(n, 1) / np.sqrt(n)
        self.path = self._path(source)
        self.noise = self._noise(np.random.Generator(np.random.Philox(key=[seed, network])), deepest)

    def at(self, t: float) -> Matrices:
        """Return the matrices at time t, without a scaling."""
        assert self.path is not None
        return self.layout.matrices(self.path.at(t))

    def layers(self, depth: int, layers: range) -> Floats:
        """Return all entries of some layers at this depth, (len(layers), size), a mixture's with its factors."""
        mixture = self.model.dependence
        if isinstance(mixture, Mixture):
            assert self.noise is not None
            return self.trend(depth, layers) + mixture.factors(depth)[1] * self.noise[layers.start : layers.stop]
        if self.path is not None:
            return self.path.layers(depth, layers)
        assert self.noise is not None
        return self.noise[layers.start : layers.stop]

    def trend(self, depth: int, layers: range) -> Floats:
        """Return a mixture's trend in some layers at this depth, (len(layers), size), with its factor."""
        mixture = self.model.dependence
        assert isinstance(mixture, Mixture)
        assert self.path is not None
        return mixture.factors(depth)[0] * self.path.layers(depth, layers)

    def followed(self, depth: int, gradients: bool) -> Ends:
        """Return where the network of depth L ends; differences are added up, not subtracted at the end."""
        matrices, scaling = self.layout.matrices, self.model.scaling
        assert isinstance(scaling, DepthScaling)
        s, moved, variation = scaling.at(depth), np.zeros_like(self.h0), 0.0
        if gradients:
            check_memory("states", depth, self.model.width)
        states = np.empty((depth if gradients else 0, *self.h0.shape))
        chunks = self.layout.chunks(depth)
        for layers in chunks:
            look()
            for k, row in zip(layers, self.layers(depth, layers), strict=True):
                h = self.h0 + moved
                if gradients:
                    states[k] = h
                step = self.branch(matrices(row), s, h)
                variation += float(np.vdot(step, step))
                moved = moved + step
        if not gradients:
            return Ends(moved, None, variation)
        pulled = np.zeros_like(self.p1)
        for layers in reversed(chunks):
            look()
            for k, row in zip(reversed(layers), self.layers(depth, layers)[::-1], strict=True):
                pulled = pulled + self.branch.pulled(matrices(row), s, states[k], self.p1 + pulled)
        return Ends(moved, pulled, variation)

    def _path(self, source: Counters[ResidualNetwork]) -> SmoothPath | ConstantPath | None:
        process = self.model.dependence
        if isinstance(process, Mixture):
            process = process.trend
        if not isinstance(process, SmoothProcess) and process != "tied":
            return None
        terms = 2 * len(smooth_series(process.length).variances) if isinstance(process, SmoothProcess) else 1
        if 8 * terms * self.layout.size > MAX_BYTES:
            raise ValueError(
                f"width={self.model.width} is out of range: the {terms} terms of {self.layout.size} entries would take "
                f"{8 * terms * self.layout.size / 2**30:.2g} GiB, and {MAX_BYTES / 2**30:g} are allowed"
            )
        found = np.empty((terms, self.layout.size))
        for place, at in self.layout.parts:
            if process == "tied":
                found[0, at] = source.bias(0) if place == "bias" else source.matrix(place, 0).reshape(1, -1)
                continue
            entries, stream = at.stop - at.start, ENTRIES_OF[place].trend
            pairs = np.stack([source.pairs(stream, term, entries)[0] for term in range(terms // 2)], axis=1)
            found[:, at] = pairs.reshape(terms, entries)
        found *= self.layout.scale
        return SmoothPath(process, found) if isinstance(process, SmoothProcess) else ConstantPath(found[0])

    def _noise(self, rng: np.random.Generator, deepest: int) -> Floats | None:
        process = self.model.dependence
        if isinstance(process, Mixture):
            process = process.noise
        if deepest == 0:
            return None
        if isinstance(process, FractionalNoise):
            found = fractional_noise(rng, process.hurst, deepest, self.layout.size)
            found *= self.layout.scale
            return found
        return self._independent(rng, deepest) if process == "iid" else None

    def _independent(self, rng: np.random.Generator, layers: int) -> Floats:
        """Return entries of independent layers: matrices of the weight law, Gaussian biases."""
        check_memory("weights", layers, self.layout.size)
        entries = self.model.weight_law.generated(rng, (layers, self.layout.size))
        if self.layout.b:
            entries[:, -self.model.width :] = rng.standard_normal((layers, self.model.width))
        entries *= self.layout.scale
        return entries
