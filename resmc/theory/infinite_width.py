"""Infinite width at a finite depth: covariances of inputs layer by layer, and the tangent kernel.

Coordinates of a layer are then independent, and h^0, .., h^{m-1}, one coordinate of m inputs, have the covariance
Sigma_l. With u the normals that meet the activation, f the branch's factor and R = E sigma(u^a) sigma(u^b), S =
E sigma'(u^a) sigma'(u^b),

.. code-block:: text

                                  u                                                  Sigma'
    phi-in                        N(0, Sigma)                      f = s             carry^2 Sigma + s^2 (R + bias^2)
    v-phi-w                       N(0, Sigma + bias^2)             f = s             carry^2 Sigma + s^2 R
    phi-out                       N(0, Sigma + bias^2)             f = s             carry^2 Sigma + f^2 R + drift
    phi-out, scaling inside       N(0, s^2 (Sigma + bias^2))       f = 1             carry^2 Sigma + f^2 R + drift

A norm acts by numbers here: with M the mean of a coordinate and v = Sigma^aa (layer norm: Sigma^aa - M^a M^a), N
divides by sqrt(v + eps) what stands for h in the branch, what the branch gives, or its sum with the skip, and layer
norm takes M away first. Gradients are multiplied by 1/sqrt(v + eps) too: what else its Jacobian does, along N h and the
mean, is of the order 1/n. Behind a batch norm coordinates are not Gaussian, and nothing is known.

Biases are shared by the inputs. In phi-out, h has a mean, M' = carry M + f E sigma(u), and drift = carry f (M^a E
sigma(u^b) + M^b E sigma(u^a)). Random signs, shared by the inputs too, change nothing, as u is symmetric.

The tangent kernel of y = r . h_L/sqrt(n) sums the products of gradients with respect to all matrices, whose entries
have variance 1 and are divided by the root of the number of columns. With Pi_L = 1 and Pi_l = (carry^2 + s^2 S_l)
Pi_{l+1}, the products of the gradients with respect to h_l, and s wherever it stands (and, with a norm, its factors),

.. code-block:: text

    residual, layer l    phi-in s^2 Pi_{l+1} R_l         phi-out s^2 S_l Pi_{l+1} Sigma_l         v-phi-w both
    readout              Sigma_L                         first layer    Pi_0 x^a . x^b/n_in

Here gradients do not depend on the forward pass: what ties them is of the order 1/n. Weights must be independent, of
any law: by the central limit theorem all give the same limit, where h_0 is Gaussian.

Sources: Poole et al. (2016, arXiv 1606.05340) and Lee et al. (2018, arXiv 1711.00165) for the covariances, Jacot,
Gabriel, Hongler (2018, arXiv 1806.07572) for the tangent kernel, Cho and Saul (2009) for kernels of rectifiers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system.words import brief
from ..models.joint_inputs import JointInputs, of_gram
from ..models.residual_network import Model, ResidualNetwork
from ..models.spelling import checked_network
from . import pair_averages
from .infinite_norm import factor, normalised
from .kernels import Floats
from .limits import Integers, layer_indices


@dataclass(frozen=True, eq=False)
class InfiniteWidth:
    """Covariances of m inputs at each of ``layers``, as the width grows; arrays of shape (layers, m, m).

    Attributes
    ----------
    layers : ndarray of int
    covariance : ndarray
        E h^a_l . h^b_l/n.
    distance : ndarray
        E|h^a_l - h^b_l|^2/n, with all its digits where the inputs have come close to each other.
    angle : ndarray
        The angle of h^a_l and h^b_l in radians, with the digits of ``distance``; NaN where one of them is 0.

    All are NaN behind layer 0 of a network with a batch norm.
    """

    layers: Integers
    covariance: Floats
    distance: Floats
    angle: Floats

    @property
    def cosine(self) -> Floats:
        """Cosine of the angle."""
        return np.asarray(np.cos(self.angle))

    @property
    def log_sine_squared(self) -> Floats:
        """log sin^2 of the angle, -infinity for an angle of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(2.0 * np.log(np.sin(self.angle)))


@dataclass(frozen=True, eq=False)
class InfiniteWidthKernel:
    """The tangent kernel of m inputs as the width grows, and its parts; arrays of shape (m, m).

    Attributes
    ----------
    by_layer : ndarray, (depth, m, m)
        Contributions of the residual layers 0 to depth - 1.
    readout, first_layer : ndarray
        Contributions of the readout and of the first layer.
    """

    by_layer: Floats
    readout: Floats
    first_layer: Floats

    @cached_property
    def residual(self) -> Floats:
        """Contribution of all residual layers."""
        return np.asarray(self.by_layer.sum(axis=0))

    @cached_property
    def total(self) -> Floats:
        """The kernel."""
        return self.residual + self.readout + self.first_layer


def infinite_width(model: Model, inputs: JointInputs | ArrayLike, layers: ArrayLike | None = None) -> InfiniteWidth:
    """Return covariances, distances and angles of inputs in the limit of infinite width.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Any network whose layers are independent. Its width, and its own input, have no meaning here.
    inputs : array of float, (m, m)
        The inputs' Gram matrix x^a . x^b/n_in; or `JointInputs`, which keep the digits of small differences.
    layers : array of int, optional
        Layers from 0 to depth; all of them by default.

    Raises
    ------
    ValueError
        For other models, a matrix that no inputs have, or other ``layers``.
    """
    network, joint = _checked(model), _joint(inputs)
    index = layer_indices(network, layers)
    wanted = set(index.ravel().tolist())
    found = {}
    m = joint.count
    nothing = (np.full((m, m), np.nan),) * 3
    for layer, state in enumerate(_states(network, joint)):
        if layer in wanted:
            found[layer] = (state.covariance(), state.distances(), state.angles())
        if network.norm == "batch":
            break
    rows = [np.array([found.get(layer, nothing)[i] for layer in index.ravel().tolist()]) for i in range(3)]
    return InfiniteWidth(index, *(row.reshape(*index.shape, m, m) for row in rows))


def covariance(model: Model, gram: JointInputs | ArrayLike) -> Floats:
    """Return E h^a_l . h^b_l/n at all layers in the limit of infinite width, (depth + 1, m, m): see `infinite_width`.

    Raises
    ------
    ValueError
        For models whose layers depend on each other, or a matrix that no inputs have.
    """
    return infinite_width(model, gram).covariance


def tangent_kernel(model: Model, gram: JointInputs | ArrayLike) -> InfiniteWidthKernel:
    """Return the tangent kernel in the limit of infinite width, and its parts.

    Parameters and errors are those of `infinite_width`; batch norm has none.
    """
    network, joint = _checked(model), _joint(gram)
    if network.norm == "batch":
        raise ValueError(
            "norm='batch' is not allowed in tangent_kernel: there every output depends on all inputs; use 'layer' or "
            "'rms'"
        )
    products = np.ones((joint.count, joint.count))
    by_layer = np.empty((network.depth, joint.count, joint.count))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        parts = [state.parts() for state in _states(network, joint)]
        for layer in range(network.depth - 1, -1, -1):
            s2, part = float(network.scales[layer]) ** 2, parts[layer]
            outer = part.activated if network.residual_block.V else 0.0
            inner = part.slopes * part.met if network.residual_block.W else 0.0
            products = part.after * products
            by_layer[layer] = s2 * part.branch * products * (outer + inner)
            products = (network.carry**2 + s2 * part.branch * part.slopes * part.before) * products
    return InfiniteWidthKernel(by_layer, parts[-1].covariance, products * np.array(joint.gram))


class _Parts(NamedTuple):
    """Sigma_l, R_l, S_l and what W meets, each (m, m); and products of two inputs' factors of norms, by place."""

    covariance: Floats
    activated: Floats
    slopes: Floats
    met: Floats
    before: Floats
    branch: Floats
    after: Floats


@dataclass(eq=False)
class _State:
    """One layer: variances and means of m inputs, (m,), and E(h^a - h^b)^2 of the pairs a > b, in units of their own.

    Inputs i have the sizes exp(log_size_i); homogeneous networks have unit variances here, and others sizes of 1.
    """

    network: ResidualNetwork
    layer: int
    log_size: Floats
    square: Floats
    mean: Floats
    distance: Floats

    def covariance(self) -> Floats:
        return self._sized(self._products(self.square, self.distance))

    def distances(self) -> Floats:
        sizes, (a, b) = np.exp(self.log_size), _pairs(len(self.square))
        with np.errstate(over="ignore", invalid="ignore"):
            apart = sizes[a] * sizes[b] * self.distance
            own = (sizes[a] - sizes[b]) * (self.square[a] * sizes[a] - self.square[b] * sizes[b])
        return _symmetric(np.zeros(len(self.square)), apart + own)

    def angles(self) -> Floats:
        alive = np.where(np.isneginf(self.log_size), np.nan, 0.0)
        a, b = _pairs(len(self.square))
        found = pair_averages.angle(self.square[a], self.square[b], self.distance)
        return _symmetric(alive, found + alive[a])

    def parts(self) -> _Parts:
        """Return what the tangent kernel needs of this layer; of the last layer the covariance alone."""
        own, place, none = self.covariance(), self.network.norm_place, np.ones(())
        if self.layer == self.network.depth:
            return _Parts(own, none, none, own, none, none, none)
        alone, pair = self._averages
        activated = self._sized(self._products(alone.square, pair.distance))
        met = self._sized(self._products(self._met[0], self._met[1])) if place.before else own
        before, branch, after = (
            np.multiply.outer(one, one) if acts else none
            for acts, one in (
                (place.before, factor(self.network, self.square, self.mean)),
                (place.branch, factor(self.network, *self._given[:2])),
                (place.after, factor(self.network, *self._sum[:2])),
            )
        )
        return _Parts(own, activated, _symmetric(alone.slopes, pair.slopes), met, before, branch, after)

    @cached_property
    def _met(self) -> tuple[Floats, Floats]:
        """Mean squares and distances of what a branch meets."""
        if not self.network.norm_place.before:
            return self.square, self.distance
        square, _, distance = normalised(self.network, self.square, self.mean, self.distance)
        return square, distance

    @cached_property
    def _averages(self) -> tuple[pair_averages.Alone, pair_averages.Pair]:
        """Averages of the activation of what enters it."""
        network, (a, b) = self.network, _pairs(len(self.square))
        before = 0.0 if network.residual_block.acts_on_layers else network.bias**2
        inside = float(network.scales[self.layer]) ** 2 if network.inside else 1.0
        square, distance = self._met
        q = inside * (square + before)
        alone = pair_averages.alone(network.sigma, q)
        return alone, pair_averages.pair(network.sigma, q[a], q[b], inside * distance)

    @cached_property
    def _given(self) -> tuple[Floats, Floats, Floats]:
        """Mean squares, means and distances of what a branch gives, without the scaling outside and a norm."""
        alone, pair = self._averages
        middle = alone.mean if self.network.residual_block.V is None else np.zeros_like(self.mean)
        own = self.network.bias**2 if self.network.residual_block.acts_on_layers else 0.0
        return alone.square + own, middle, pair.distance

    @cached_property
    def _sum(self) -> tuple[Floats, Floats, Floats]:
        """Mean squares, means and distances of the sum with the skip."""
        network, (a, b), carry = self.network, _pairs(len(self.square)), self.network.carry
        f = 1.0 if network.inside else float(network.scales[self.layer])
        given, middle, apart = self._given
        if network.norm_place.branch:
            given, middle, apart = normalised(network, given, middle, apart)
        square = carry**2 * self.square + f**2 * given
        distance = carry**2 * self.distance + f**2 * apart
        mean = self.mean
        if network.residual_block.V is None:
            mean, drift = carry * self.mean + f * middle, 2.0 * carry * f
            square = square + drift * self.mean * middle
            distance = distance + drift * (self.mean[a] - self.mean[b]) * (middle[a] - middle[b])
        return square, mean, distance

    def step(self) -> _State:
        """Return the next layer."""
        network, (square, mean, distance) = self.network, self._sum
        if network.norm_place.after:
            square, mean, distance = normalised(network, square, mean, distance)
        if not network.homogeneous:
            return _State(network, self.layer + 1, self.log_size, square, mean, distance)
        size = float(square[0])  # all inputs have the same
        if size == 0.0:
            return _State(network, self.layer + 1, np.full_like(self.log_size, -math.inf), self.square, mean, distance)
        log_size = self.log_size + 0.5 * math.log(size)
        return _State(network, self.layer + 1, log_size, np.ones_like(square), mean / math.sqrt(size), distance / size)

    def _products(self, square: Floats, distance: Floats) -> Floats:
        a, b = _pairs(len(square))
        with np.errstate(over="ignore", invalid="ignore"):
            return _symmetric(square, 0.5 * (square[a] + square[b] - distance))

    def _sized(self, products: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(np.exp(self.log_size[:, None] + self.log_size) * products)


def _states(network: ResidualNetwork, inputs: JointInputs) -> Iterator[_State]:
    """Yield layers 0 to depth."""
    own = network.homogeneous  # sizes are then a factor, and what is left are directions
    rows = inputs.unit_start if own else np.array(inputs.start)
    first = np.arange(inputs.count) > 0
    square = np.ones(inputs.count) if own else inputs.sizes**2
    away = np.where(first[:, None], rows, 0.0)  # x^a - x^0
    a, b = _pairs(inputs.count)
    distance = np.sum((away[a] - away[b]) ** 2, axis=1)
    log_size = np.log(inputs.sizes) if own else np.zeros(inputs.count)
    state = _State(network, 0, log_size, square, np.zeros(inputs.count), distance)
    yield state
    for _ in range(network.depth):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            state = state.step()
        yield state


def _pairs(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a and b of the pairs a > b."""
    return np.tril_indices(count, -1)


def _symmetric(diagonal: Floats, below: Floats) -> Floats:
    """Return the symmetric matrix of these entries."""
    out = np.diag(diagonal)
    a, b = _pairs(len(diagonal))
    out[a, b] = out[b, a] = below
    return out


def _joint(inputs: JointInputs | ArrayLike) -> JointInputs:
    return inputs if isinstance(inputs, JointInputs) else of_gram(inputs)


def _checked(model: Model) -> ResidualNetwork:
    """Return the network in the general spelling if its layers are independent of each other."""
    network = checked_network(model)
    if not network.independent:
        raise ValueError(
            f"weights={brief(network.weights)} are not allowed at infinite width: layers must be independent of each "
            "other"
        )
    if network.bias > 0.0 and network.bias_law != "gaussian":
        raise ValueError(
            f"bias_law={network.bias_law!r} is not allowed at infinite width: what activations meet is Gaussian only "
            "with Gaussian biases; it must be 'gaussian'"
        )
    return network
