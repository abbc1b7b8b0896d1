"""The general residual network, forward and backward, layer by layer.

Sources: the blocks are those of Marion, Fermanian, Biau, Vert (arXiv 2206.06929) and Cont, Rossier, Xu (arXiv
2212.08199); the maps' law, given what is known of them, is derived in `resmc.reference.maps`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.stopping import look, stoppable
from .._system.words import brief
from ..models.network import METHODS
from ..models.normalisation import refuse_batch
from ..models.residual_network import ResidualNetwork
from ..models.resnet import MAX_WIDTH_DENSE
from .maps import ProjectedMap, map_of
from .network import HELD, checked_networks, recorded_layers
from .sources import Counters, Ids
from .vectors import Floats, Vectors, cosine, log_quotient, norm, squares, without_dust


@dataclass(frozen=True)
class ResidualPaths:
    """Raw paths, as `simulate_residual` returns them: one row per network (N) and one column per recorded layer (R).

    h_l is a network's state, p_l the gradient of its output number 0 with respect to h_l. All logarithms are natural;
    that of 0 is -inf, and 0/0 is nan.

    Attributes
    ----------
    model : ResidualNetwork
    networks : uint64 array (N,)
        The networks' numbers.
    layers : int64 array (R,)
        The recorded layers, from 0 to depth.
    log_norm : float64 array (N, R)
        ln(|h_l|^2/n).
    log_displacement : float64 array (N, R)
        ln(|h_l - h_0|^2/|h_0|^2), -inf at layer 0; nan where layers have widths of their own.
    log_gradient : float64 array (N, R), or None
        ln(|p_l|^2/|p_L|^2), L = depth.
    log_gradient_displacement : float64 array (N, R), or None
        ln(|p_l - p_L|^2/|p_L|^2), -inf at layer L; nan where layers have widths of their own.
    overlap : float64 array (N, R), or None
        p_l.h_l/(|p_l| |h_l|). Homogeneous networks without bias have the same p_l.h_l at every layer.
    asymmetry, active_fraction : float64 array (N, R), or None
        2 |sigma(h_l)|^2/|h_l|^2 - 1, and the fraction of neurons with sigma(h_l)_i > 0; of block phi-in with relu,
        balanced or balanced-half alone.
    output : float64 array (N, n_out)
        h_out; 0 or infinite where its size is beyond float64.
    """

    model: ResidualNetwork
    networks: Ids
    layers: NDArray[np.int64]
    log_norm: Floats
    log_displacement: Floats
    log_gradient: Floats | None
    log_gradient_displacement: Floats | None
    overlap: Floats | None
    asymmetry: Floats | None
    active_fraction: Floats | None
    output: Floats


@stoppable()
def simulate_residual(
    model: ResidualNetwork,
    networks: int,
    seed: int = 0,
    first_network: int = 0,
    method: str = "projected",
    layers: Sequence[int] | None = None,
    gradients: bool = True,
) -> ResidualPaths:
    """Draw networks; follow one input forward through their layers, and the gradient of one output backward.

    ::

        forward     h_0 = input_norm g,      h_{l+1} = carry h_l + F_l(h_l)
        backward    p_L = row 0 of W_out,    p_l     = carry p_{l+1} + (dF_l/dh)^T p_{l+1}

                    F(h)                      (dF/dh)^T p
        phi-in      s (V sigma(h) + b)        s D V^T p,                D = diag sigma'(h)
        phi-out     s sigma(u)                W^T (s D p),              D = diag sigma'(u),     u = W h + b
         (inside)   sigma(s u)                W^T (s D p),              D = diag sigma'(s u)
        v-phi-w     s V sigma(u)              W^T (s D V^T p),          D = diag sigma'(u)
        dropout     phi-in with m sigma(h)/sqrt(keep), D = diag m sigma'(h)/sqrt(keep), m the same mask of 0 and 1
        norm        F(N h), s N(F/s), or h_{l+1} = N(carry h_l + F_l(h_l)), with the Jacobian of N in their place

    ``dense`` writes V, W, b and W_out out. ``projected`` draws only their products with h and p, given the products
    already known: the joint law of all h_l and p_l is the same, at every width (`resmc.reference.maps`). Two things
    differ. The projected output is not the one whose gradient is p: it is drawn given |h_L|, independently of p_L. And
    beyond h_0 and the signs the two methods' networks have nothing in common. Networks whose layers depend on each
    other have the dense method alone; where an entry is a process over the layers, the weights of all layers are drawn
    before the first one is used.

    Arithmetic is float64. With weights +-1 sums may be exactly 0; one that is within rounding of it is
    (`resmc.reference.vectors.without_dust`). Homogeneous networks (`ResidualNetwork.homogeneous`) are rescaled at every
    layer, and so are all gradients, their scales carried as logarithms: no depth over- or underflows. Other networks
    are computed as they are, and overflow where carry and scaling make them.

    Parameters
    ----------
    model : ResidualNetwork
    networks : int
        Number of networks, N >= 1.
    seed : int
        0 to 2^64 - 1.
    first_network : int
        Number of the first of N networks with consecutive numbers, all below 2^48. Each network is the same whatever
        others are drawn.
    method : {"projected", "dense"}
        ``projected`` is for independent Gaussian weights. ``dense`` costs n^2 numbers per matrix; width at most 2^17.
    layers : sequence of int, optional
        The layers to record, increasing, from 0 to depth; by default all.
    gradients : bool
        False to leave out the backward pass, which changes nothing in the forward one.

    Returns
    -------
    ResidualPaths

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    refuse_batch(model)
    ids, seed = checked_networks(networks, seed, first_network)
    method = checked_method(model, method)
    recorded = recorded_layers(model.depth, layers)
    gradients = checks.boolean("gradients", gradients)

    states = model.depth + 1 if gradients else 1  # the backward pass needs the h_l of all layers
    n, inner = max(model.width, model.inner), model.inner
    matrices = (
        0
        if method == "projected"
        else model.width * inner
        if isinstance(model.dependence, str)
        else model.width * inner * model.depth
    )
    step = max(1, HELD // max(n * states, matrices))
    parts = [
        _simulate_part(Counters(model, seed, ids[i : i + step]), method, recorded, gradients)
        for i in range(0, len(ids), step)
    ]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return ResidualPaths(
        model=model,
        networks=ids,
        layers=np.array(recorded, np.int64),
        log_norm=found["log_norm"],
        log_displacement=found["log_displacement"],
        log_gradient=found.get("log_gradient"),
        log_gradient_displacement=found.get("log_gradient_displacement"),
        overlap=found.get("overlap"),
        asymmetry=found.get("asymmetry"),
        active_fraction=found.get("active_fraction"),
        output=found["output"],
    )


def checked_method(model: ResidualNetwork, method: str) -> str:
    """Return the name of a method that ``model`` has."""
    method = checks.choice("method", method, METHODS)
    if method == "dense":
        for name, width in (("width", model.width), ("inner_width", model.inner)):
            checks.integer(name, width, 1, MAX_WIDTH_DENSE, "2^17 with method='dense'")
    elif not model.independent:
        raise ValueError(
            f"method='projected' is not allowed with weights={brief(model.weights)}: it must be 'dense', since what a "
            "layer sees of its matrices would be drawn anew, as if layers were independent"
        )
    elif model.weight_law.gaussian and not model.gaussian:
        raise ValueError(
            f"method='projected' is not allowed with bias_law={model.bias_law!r}: it must be 'dense', since W h + b is "
            "drawn as one Gaussian vector"
        )
    elif model.weight_law.orthogonal and model.bias:
        raise ValueError(
            f"method='projected' is not allowed with weights='orthogonal' and bias={model.bias!r}: it must be 'dense', "
            "since how W^T goes on from W x + b is not derived"
        )
    elif not model.weight_law.projected:
        raise ValueError(
            f"method='projected' is not allowed with weights={model.weights!r}: it must be 'dense', since only with "
            "Gaussian or orthogonal weights does the law of W h depend on |h| alone"
        )
    return method


@dataclass(frozen=True)
class State:
    """Some networks at one layer."""

    h: Vectors
    moved: Vectors  # h - h_0, summed up layer by layer: a difference would lose digits


def first_state(networks: Counters[ResidualNetwork]) -> State:
    """Return the state at layer 0, h_0 = A x."""
    x, size = networks.model.inputs.x, networks.model.size
    direction = networks.first_layer() / math.sqrt(len(x)) @ (np.array(x) / size)
    if networks.model.inputs.explicit and networks.model.weight_law.cancels:
        direction = without_dust(direction, np.ones((1, 1)))  # |x|/(sqrt(n_in) size) is 1
    h = settled(Vectors(direction, np.full((len(direction), 1), math.log(size))), networks.model)
    return State(h, h.zero())


def advance(state: State, from_layer: int, to_layer: int, networks: Counters[ResidualNetwork], method: str) -> State:
    """Follow networks from ``from_layer`` to ``to_layer``, which is not below it."""
    model, h, moved = networks.model, state.h, state.moved
    for layer in range(from_layer, to_layer):
        look()
        branch = Layer(networks, method, layer).branch(h.v)
        moved, h = stepped(moved, h, branch, model)
        h = settled(h, model)
        if model.norm_place.after and model.normalisation:
            normed = model.normalisation.value(h.v, model.eps)
            moved, h = moved.plus(Vectors(normed - h.v, h.log)), Vectors(normed, h.log)
    return State(h, moved)


def stepped(moved: Vectors, x: Vectors, branch: Floats, model: ResidualNetwork) -> tuple[Vectors, Vectors]:
    """Return moved + (carry - 1) x + branch, and carry x + branch, branch in the units of x; without dust.

    Where layers have widths of their own, x and the branch may differ in length: there is no skip, and no change.
    """
    if model.widths is not None:
        after = Vectors(branch, x.log)
        return after.zero(), after
    change, carried = (model.carry - 1.0) * x.v, model.carry * x.v
    if not model.weight_law.cancels:
        return moved.plus(Vectors(change + branch, x.log)), Vectors(carried + branch, x.log)
    moved = moved.plus(Vectors(change + branch, x.log), np.abs(change) + np.abs(branch))
    return moved, Vectors(without_dust(carried + branch, np.abs(carried) + np.abs(branch)), x.log)


def _change(model: ResidualNetwork, moved: Vectors, start: Vectors) -> Floats:
    """Return ln(|moved|^2/|start|^2), nan where layers have widths of their own."""
    return log_quotient(moved, start) if model.widths is None else np.full((len(start.v), 1), np.nan)


def settled(h: Vectors, model: ResidualNetwork) -> Vectors:
    """Return h rescaled in a homogeneous network, and with log = 0 in any other."""
    return h.rescaled() if model.homogeneous else h.written_out()


def _simulate_part(
    networks: Counters[ResidualNetwork], method: str, recorded: list[int], gradients: bool
) -> dict[str, Floats]:
    model, depth = networks.model, networks.model.depth
    state, at = first_state(networks), 0
    first, hs, records = state.h, [], _Records(recorded)
    for layer in range(depth + 1) if gradients else recorded:
        state, at = advance(state, at, layer, networks, method), layer
        h = state.h
        if gradients:
            hs.append(h)
        records.add(layer, log_norm=h.log_square() - math.log(model.width_of(layer)))
        records.add(layer, log_displacement=_change(model, state.moved, first))
        if model.has_asymmetry:
            records.add(layer, **activity(h.v, model.sigma.value(networks.signs(layer) * h.v)))
    h = advance(state, at, depth, networks, method).h
    found = {**records.joined(), "output": _output(networks, method, h)}
    return {**found, **_backward(networks, method, hs, recorded)} if gradients else found


def _backward(
    networks: Counters[ResidualNetwork], method: str, hs: list[Vectors], recorded: list[int]
) -> dict[str, Floats]:
    """Follow the gradient of output 0 from the last layer to the first, given the h_l of all layers."""
    depth = networks.model.depth
    records = _Records(recorded)
    p = p_last = _last_gradient(networks, method).rescaled()
    moved = p.zero()  # p_l - p_L
    for layer in range(depth, -1, -1):
        look()
        if layer < depth:
            made, model = Layer(networks, method, layer), networks.model
            if model.norm_place.after and model.normalisation:
                total = model.carry * hs[layer].v + made.branch(hs[layer].v)
                pulled = model.normalisation.pulled(total, p.v, model.eps)
                moved, p = moved.plus(Vectors(pulled - p.v, p.log)), Vectors(pulled, p.log)
            back = made.branch_transposed(hs[layer].v, p.v)
            moved, p = stepped(moved, p, back, model)
            p = p.rescaled()
        records.add(
            layer,
            log_gradient=log_quotient(p, p_last),
            log_gradient_displacement=_change(networks.model, moved, p_last),
            overlap=cosine(p, hs[layer]),
        )
    return records.joined()


class Layer:
    """F_l(h) = h_{l+1} - carry h_l = s V sigma(W h + b), (dF_l/dh)^T p, and with weights written out (dF_l/dh) t.

    A balanced activation is sigma(signs x), one with dropout kept sigma(x). With a norm the branch meets N h, or N acts
    on what it gives; the norm of a sum is no part of it.
    """

    def __init__(self, networks: Counters[ResidualNetwork], method: str, layer: int) -> None:
        model, block = networks.model, networks.model.residual_block
        Map = map_of(method, model.weight_law)
        self.inside, self.s = model.inside, float(model.scales[layer])
        self.signs, self.activation, self.kept = networks.signs(layer), model.sigma, networks.kept(layer)
        self.norm, self.place, self.eps = model.normalisation, model.norm_place, model.eps
        self.V = self.W = None
        cancels = model.weight_law.cancels
        if block.W is not None:
            self.W = Map(networks, block.W, layer, model.bias, cancels)
        if block.V is not None:
            self.V = Map(networks, block.V, layer, 0.0 if block.W is not None else model.bias, cancels)

    def _met(self, h: Floats) -> Floats:
        """Return the activation's argument."""
        u = h if self.W is None else self.W(h)
        return self.s * u if self.inside else u

    def _sigma(self, x: Floats) -> Floats:
        return self.kept * self.activation.value(self.signs * x)

    def _slope(self, x: Floats) -> Floats:
        return self.kept * self.signs * self.activation.slope(self.signs * x)

    def _normed(self, h: Floats) -> Floats:
        """Return what the branch meets."""
        return self.norm.value(h, self.eps) if self.norm and self.place.before else h

    def _given(self, x: Floats) -> Floats:
        """Return what it gives, before a norm and the scaling outside."""
        y = self._sigma(self._met(x))
        return y if self.V is None else self.V(y)

    def branch(self, h: Floats) -> Floats:
        y = self._given(self._normed(h))
        if self.norm and self.place.branch:
            y = self.norm.value(y, self.eps)
        return y if self.inside else self.s * y

    def branch_transposed(self, h: Floats, p: Floats) -> Floats:
        x = self._normed(h)
        u = self._met(x)
        if self.norm and self.place.branch:
            p = self.norm.pulled(self._given(x), p, self.eps)
        q = p if self.V is None else self.V.transposed(self._sigma(u), p)
        q = self.s * self._slope(u) * q
        q = q if self.W is None else self.W.transposed(x, q)
        return self.norm.pulled(h, q, self.eps) if self.norm and self.place.before else q

    def branch_derivative(self, h: Floats, t: Floats) -> Floats:
        """Return (dF_l/dh) t of vectors side by side, (N, n, k), of the dense method."""
        assert not isinstance(self.W, ProjectedMap)
        assert not isinstance(self.V, ProjectedMap)
        x = self._normed(h)
        t = self.normed_derivative(h, t) if self.place.before else t
        slope = self.s * self._slope(self._met(x))
        t = slope[:, :, None] * (t if self.W is None else self.W.G @ t)
        t = t if self.V is None else self.V.G @ t
        return self.normed_derivative(self._given(x), t) if self.place.branch else t

    def normed_derivative(self, x: Floats, t: Floats) -> Floats:
        """Return J t with the Jacobian J of the norm at x, which is symmetric, of vectors side by side, (N, n, k)."""
        assert self.norm is not None
        return self.norm.pulled(x[:, None], t.transpose(0, 2, 1), self.eps).transpose(0, 2, 1)


def _output(networks: Counters[ResidualNetwork], method: str, h: Vectors) -> Floats:
    """Return W_out h_L, (N, n_out)."""
    n_out, depth = networks.model.n_out, networks.model.depth
    n = networks.model.width_of(depth)
    if method == "dense":
        direction = (networks.readout(n_out) / math.sqrt(n) @ h.v[:, :, None])[:, :, 0]
        if networks.model.weight_law.cancels:
            direction = without_dust(direction, norm(h.v) / math.sqrt(n))
    else:
        direction = norm(h.v) / math.sqrt(n) * networks.normals("output", depth, n_out)
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(h.log) * direction


def _last_gradient(networks: Counters[ResidualNetwork], method: str) -> Vectors:
    """Return p_L, row 0 of W_out."""
    depth = networks.model.depth
    n = networks.model.width_of(depth)
    row = networks.readout(1)[:, 0, :] if method == "dense" else networks.normals("gradient", depth, n)
    return Vectors(row / math.sqrt(n), np.zeros((len(row), 1)))


def activity(h: Floats, phi: Floats) -> dict[str, Floats]:
    """Return asymmetry and active fraction, (N, 1), as in `resmc.reference.ReferencePaths`."""
    with np.errstate(invalid="ignore"):
        asymmetry = 2.0 * squares(phi) / squares(h) - 1.0
    active = np.where(np.isnan(asymmetry), np.nan, np.mean(phi > 0.0, axis=1, keepdims=True))
    return {"asymmetry": asymmetry, "active_fraction": active}


class _Records:
    """Columns (N, 1) by name and layer."""

    def __init__(self, layers: list[int]) -> None:
        self.layers = layers
        self.columns: dict[str, dict[int, Floats]] = {}

    def add(self, layer: int, **columns: Floats) -> None:
        if layer in self.layers:
            for name, column in columns.items():
                self.columns.setdefault(name, {})[layer] = column

    def joined(self) -> dict[str, Floats]:
        return {name: np.concatenate([at[layer] for layer in self.layers], axis=1) for name, at in self.columns.items()}
