"""The Gram matrix of several inputs as a Markov chain: `gram_chain`, exact in law, with no n-vector kept.

In v-phi-w a Gaussian matrix stands on either side of the activation. So the next states depend on h^0, .., h^{m-1}
through their Gram matrix alone: with coordinates X of the states in an orthonormal basis of min(n, m) directions,

.. code-block:: text

    u = X G + bias            m x n, a column for each neuron; G of independent normals, over sqrt(n)
    F = sigma(u)              F F^T = C C^T
    X' = [carry X + s C Z/sqrt(n), s C B/sqrt(n)]

where Z are m x min(n, m) normals, what V has along the states, and B B^T is the Wishart matrix of what it has in the
n - min(n, m) other directions, drawn as Bartlett's triangle. Rotated into a triangle again, X' is as small as X. For
one input and ReLU, |F|^2 is |u|^2/n chi^2_K with K ~ Binomial(n, 1/2) (leaky: chi^2_K + leak^2 chi^2_{n-K}), and for
linear networks C is X times a triangle of Bartlett's: the cost of a layer does not depend on n. In homogeneous networks
inputs are brought to one norm at every layer, as norms that drift apart would leave a small angle no digits.

It does for two inputs and ReLU: F F^T is then a sum over the neurons in each quadrant, numbers that are multinomial,
and in a quadrant u is a normal vector in a wedge. Sums of squares and products of normals in a wedge of an angle other
than pi have no law that could be drawn at once: of angles psi uniform in the wedge and radii R it is a sum of R^2 e^{2i
psi}. So the n m entries of u are drawn, layer by layer, and none is kept. Other activations are alike.

Blocks with an activation next to the skip are no such chain: states then share signs that no Gram matrix has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._system import checks
from .._system.stopping import look, stoppable
from .._system.words import brief, brief_repr
from ..models import inner_width, layer_widths, normalisation
from ..models.dropout import GRAM_CHAIN, refuse_dropout
from ..models.joint_inputs import JointInputs, of_gram
from ..models.residual_network import Model, ResidualNetwork
from ..models.spelling import checked_network
from ..reference.columns import Activated, Columns, factored, levelled
from ..theory.kernels import Floats
from ..theory.limits import Integers, layer_indices

MAX_NETWORKS = 10**7
ENTRIES = 1 << 21  # normals that are there at once


@dataclass(frozen=True, eq=False)
class GramChain:
    """Norms and angles of m inputs, of networks one by one, as `gram_chain` returns them.

    Attributes
    ----------
    model : ResidualNetwork
    layers : ndarray of int, shape (R,)
    log_norm : ndarray, shape (R, m, networks)
        log(|h^a_l|^2/n); -infinity for a state that is 0.
    cosine, log_sine_squared : ndarray, shape (R, m (m - 1)/2, networks)
        Cosine, and log sin^2, of the angle of two inputs a > b, in the order (1, 0), (2, 0), (2, 1), ..; the sine has
        all its digits where inputs have come close to each other. NaN where a state is 0.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    layers: Integers
    log_norm: Floats
    cosine: Floats
    log_sine_squared: Floats


def gram_chain(
    model: Model,
    inputs: JointInputs | ArrayLike,
    networks: int,
    *,
    seed: int = 0,
    layers: ArrayLike | None = None,
) -> GramChain:
    """Draw norms and angles of several inputs by the chain of their Gram matrices, exact in law, with NumPy.

    Networks are not those that `resmc.simulate` has for the seed: the chain has normals of its own. It is there to
    check simulations, and for widths far beyond the number of inputs.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Block v-phi-w, or linear of any block but phi-out with scaling inside; independent Gaussian weights.
    inputs : array of float, (m, m)
        The inputs' Gram matrix x^a . x^b/n_in, m to 16; or `JointInputs`, which keep the digits of small angles.
    networks : int
        How many networks, 1 to 10^7.
    seed : int
        0 to 2^64 - 1.
    layers : array of int, optional
        Layers that are returned, in one dimension; the first and the last by default.

    Raises
    ------
    ValueError
        For other models, a matrix that no inputs have, or numbers out of range.
    """
    network, joint = _checked(model), inputs if isinstance(inputs, JointInputs) else of_gram(inputs)
    networks = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^7")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    index = layer_indices(network, [0, network.depth] if layers is None else layers).ravel()
    size = max(1, ENTRIES // (network.width * joint.count))
    parts = []
    with stoppable():
        for first in range(0, networks, size):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first,)))
            parts.append(_chunk(network, joint, min(size, networks - first), index, rng))
    found = [np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)]
    return GramChain(network, index, *found)


def _chunk(
    network: ResidualNetwork, inputs: JointInputs, count: int, index: Integers, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Return log-norms, cosines and log sin^2 of some networks at the layers ``index``."""
    n, m = network.width, inputs.count
    start, sizes = (inputs.unit_start, inputs.sizes) if network.homogeneous else (np.array(inputs.start), np.ones(m))
    x = _triangle(Columns(start @ _wishart(rng, count, n, m), np.zeros((count, m, 1))))
    log_scale = np.broadcast_to(np.log(sizes), (count, m))  # ln of the factors that states are kept without
    found = {}
    wanted = set(index.tolist())
    for layer in range(int(index.max(initial=0)) + 1):
        if layer in wanted:
            found[layer] = _seen(x, log_scale, n)
        if layer < network.depth:
            look()
            if network.homogeneous:
                x, lost = levelled(x, m, network.carry != 0.0)
                log_scale = log_scale + lost
            x = _stepped(network, x, float(network.scales[layer]), rng)
    rows = [found[layer] for layer in index.tolist()]
    return tuple(np.array(part) for part in zip(*rows, strict=True))  # type: ignore[return-value]


def _stepped(network: ResidualNetwork, x: Columns, s: float, rng: np.random.Generator) -> Columns:
    """Return the coordinates of the next layer."""
    count, m, rank = x.v.shape
    factor = _branch(network, x, rng)
    own = rng.standard_normal((count, m, rank))
    rest = _wishart(rng, count, network.width - rank, m)
    drawn = s / math.sqrt(network.width) * factor.v @ np.concatenate([own, rest], axis=2)
    before = np.concatenate([x.v, np.zeros(rest.shape)], axis=2)
    after = Columns(before, x.log).stepped(network.carry, Columns(drawn, factor.log), False)
    return _triangle(after)


def _branch(network: ResidualNetwork, x: Columns, rng: np.random.Generator) -> Columns:
    """Return C with C C^T = F F^T, a row for each column of the branch before its last matrix."""
    n, (count, m, rank) = network.width, x.v.shape
    if network.activation == "linear" and network.bias == 0.0:
        if network.block != "v-phi-w":
            return _square(x)
        return _square(Columns(x.v @ _wishart(rng, count, n, rank) / math.sqrt(n), x.log))
    if m == 1 and network.sigma.homogeneous:
        written = np.exp(x.log)
        entry = np.sqrt(np.sum((written * x.v) ** 2, axis=2, keepdims=True) / n + network.bias**2)
        return Columns(entry * np.sqrt(_squares(network, count, rng))[:, None, None], np.zeros_like(x.log))
    u = Columns(x.v @ (rng.standard_normal((count, rank, n)) / math.sqrt(n)), x.log)
    if not network.homogeneous:
        unit = np.exp(u.log[:, :1])
        u = Columns(np.concatenate([unit * u.v[:, :1], u.v[:, 1:]], axis=1), u.log.copy())
        u.log[:, :1] = 0.0
        if network.bias > 0.0:
            u.v[:, 0] += network.bias * rng.standard_normal((count, n))
    f = Activated(network.sigma, np.ones((1, 1)))(u, m)
    size, factor = factored(f.v)
    return Columns(size * factor, f.log)


def _squares(network: ResidualNetwork, count: int, rng: np.random.Generator) -> Floats:
    """Draw |sigma(g)|^2 of n standard normals, sigma being piecewise linear, for each network."""
    n = network.width
    if network.activation == "linear":
        return rng.chisquare(n, count)
    active = rng.binomial(n, 0.5, count)
    out = 2.0 * rng.standard_gamma(0.5 * active)
    if network.sigma.rectifier:
        return out
    up, down = network.sigma.value(np.array([1.0, -1.0])).tolist()
    return np.asarray(up**2 * out + down**2 * 2.0 * rng.standard_gamma(0.5 * (n - active)))


def _wishart(rng: np.random.Generator, count: int, degrees: int, m: int) -> Floats:
    """Draw lower triangles B, (count, m, min(m, degrees)), with B B^T the product of m x degrees normals."""
    columns = min(m, degrees)
    out = np.tril(rng.standard_normal((count, m, columns)), -1)
    for j in range(columns):
        out[:, j, j] = np.sqrt(rng.chisquare(degrees - j, count))
    return out


def _square(x: Columns) -> Columns:
    """Return the columns with zeros behind them, so that there are as many as rows."""
    count, m, rank = x.v.shape
    return Columns(np.concatenate([x.v, np.zeros((count, m, m - rank))], axis=2), x.log)


def _triangle(x: Columns) -> Columns:
    """Return coordinates in a basis that makes them a lower triangle, every row with digits relative to its size."""
    x = x.rescaled()
    upper = np.asarray(np.linalg.qr(x.v.transpose(0, 2, 1), mode="r"))
    return Columns(upper.transpose(0, 2, 1), x.log)


def _seen(x: Columns, log_scale: Floats, width: int) -> tuple[Floats, Floats, Floats]:
    """Return log(|h^a|^2/n), (m, N), and cosine and log sin^2 of the pairs a > b, (P, N)."""
    x = x.rescaled()
    m, own = x.count, np.where(np.isneginf(x.log[:, :1]), 0.0, x.log[:, :1])
    log = np.where(np.isneginf(x.log), own, x.log)
    states = [x.v[:, 0]]  # in the units of input 0, which no other input is far from in a network that is not 0
    states += [x.v[:, 0] + np.exp(log[:, a] - log[:, 0]) * x.v[:, a] for a in range(1, m)]
    squares = [np.sum(state**2, axis=1) for state in states]
    cosines, sines = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for a in range(1, m):
            for b in range(a):
                top = np.maximum(log[:, a], log[:, b] if b else log[:, a])
                apart = np.exp(log[:, a] - top) * x.v[:, a]
                if b:
                    apart = apart - np.exp(log[:, b] - top) * x.v[:, b]
                along = np.sum(apart * states[b], axis=1, keepdims=True) / squares[b][:, None]
                across = apart - along * states[b]
                sine = np.log(np.sum(across**2, axis=1) / squares[a]) + 2.0 * (top - log[:, 0])[:, 0]
                sines.append(np.where(squares[b] > 0.0, sine, np.nan))
                cosines.append(np.sum(states[a] * states[b], axis=1) / np.sqrt(squares[a] * squares[b]))
        norms = np.log(np.array(squares) / width) + 2.0 * (log[:, 0].T + log_scale.T)
    shape = (m * (m - 1) // 2, len(x.v))
    return norms, np.array(cosines).reshape(shape), np.array(sines).reshape(shape)


def _checked(model: Model) -> ResidualNetwork:
    """Return the network in the general spelling if its Gram matrices are a Markov chain."""
    network = checked_network(model)
    refuse_dropout(network.keep, *GRAM_CHAIN)
    layer_widths.refuse_widths(network, *layer_widths.SEVERAL_INPUTS)
    normalisation.refuse_norm(network, *normalisation.GRAM_CHAIN)
    inner_width.refuse_inner_width(network.inner_width, *inner_width.SEVERAL_INPUTS)
    if network.weight_law.gaussian and not network.gaussian:
        raise ValueError(f"bias_law={network.bias_law!r} is not allowed in gram_chain: it must be 'gaussian'")
    if not (network.independent and network.weight_law.gaussian):
        raise ValueError(
            f"weights={brief(network.weights)} are not allowed in gram_chain: they must be 'gaussian', and layers "
            "independent of each other"
        )
    if network.block != "v-phi-w" and not (network.activation == "linear" and network.bias == 0.0):
        raise ValueError(
            f"block={network.block!r} with activation={network.activation!r} is not allowed in gram_chain: states that "
            "meet an activation share signs which their Gram matrix does not have; it must be 'v-phi-w', or 'linear' "
            "without bias"
        )
    return network
