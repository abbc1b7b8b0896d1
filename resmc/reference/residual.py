"""Any `ResidualNetwork`, forward and backward, layer by layer.

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
from ..models.residual_network import RESNET_ACTIVATIONS, ResidualNetwork
from ..models.resnet import MAX_WIDTH_DENSE
from .maps import INNER, MAPS, OUTER, Draws
from .network import BLOCK, METHODS, Ids, checked_networks, recorded_layers
from .vectors import Floats, Vectors, cosine, log_ratio, norm, squares


@dataclass(frozen=True)
class ResidualPaths:
    """What `simulate_residual` saw: raw paths, one row per network (N) and one column per recorded layer (R).

    h_l is a network's state, p_l the gradient of its output number 0 with respect to h_l. All logarithms are natural;
    that of 0 is -inf, and 0/0 is nan.

    Attributes
    ----------
    model : ResidualNetwork
    networks : uint64 array (N,)
        The networks' numbers.
    layers : int64 array (R,)
        The recorded layers, of 0 .. depth.
    log_norm : float64 array (N, R)
        ln(|h_l|^2/n).
    log_displacement : float64 array (N, R)
        ln(|h_l - h_0|^2/|h_0|^2), -inf at layer 0.
    log_gradient : float64 array (N, R), or None
        ln(|p_l|^2/|p_L|^2), L = depth.
    log_gradient_displacement : float64 array (N, R), or None
        ln(|p_l - p_L|^2/|p_L|^2), -inf at layer L.
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


def simulate_residual(
    model: ResidualNetwork,
    networks: int,
    seed: int = 0,
    first_network: int = 0,
    method: str = "projected",
    layers: Sequence[int] | None = None,
    gradients: bool = True,
) -> ResidualPaths:
    """Draw networks, follow one input through their layers, and the gradient of one output back.

    ::

        forward     h_0 = input_norm g,      h_{l+1} = carry h_l + F_l(h_l)
        backward    p_L = row 0 of W_out,    p_l     = carry p_{l+1} + (dF_l/dh)^T p_{l+1}

                    F(h)                      (dF/dh)^T p
        phi-in      s (V sigma(h) + b)        s D V^T p,                D = diag sigma'(h)
        phi-out     s sigma(u)                W^T (s D p),              D = diag sigma'(u),     u = W h + b
         (inside)   sigma(s u)                W^T (s D p),              D = diag sigma'(s u)
        v-phi-w     s V sigma(u)              W^T (s D V^T p),          D = diag sigma'(u)

    ``dense`` writes V, W, b and W_out out. ``projected`` draws only what is asked of them, given what is known of
    them: the joint law of all h_l and p_l is the same, at every width (`resmc.reference.maps`). Two things differ. In
    law, the projected output is not that whose gradient is p: it is drawn given |h_L|, independently of p_L. And beyond
    h_0 and the signs the two methods' networks have nothing in common.

    Arithmetic is float64. Homogeneous networks (`ResidualNetwork.homogeneous`) are rescaled at every layer, and so are
    all gradients, their scales carried as logarithms: no depth over- or underflows. Other networks are computed as they
    are, and overflow where carry and scaling make them.

    Parameters
    ----------
    model : ResidualNetwork
    networks : int
        How many, N >= 1.
    seed : int
        0 to 2^64 - 1.
    first_network : int
        The networks are first_network .. first_network + N - 1, below 2^48. A network does not depend on the others.
    method : {"projected", "dense"}
        ``projected`` is for Gaussian weights. ``dense`` costs n^2 numbers per matrix; width at most 2^17.
    layers : sequence of int, optional
        The layers to record, increasing, of 0 .. depth; by default all.
    gradients : bool
        Whether to go back at all; it changes nothing on the way forward.

    Returns
    -------
    ResidualPaths

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    ids, seed = checked_networks(networks, seed, first_network)
    method = checks.choice("method", method, METHODS)
    recorded = recorded_layers(model.depth, layers)
    gradients = checks.boolean("gradients", gradients)
    if method == "dense":
        checks.integer("width", model.width, 1, MAX_WIDTH_DENSE, "2^17 with method='dense'")
    elif model.weights != "gaussian":
        raise ValueError(
            f"method='projected' is not allowed with weights={model.weights!r}: it must be 'dense', since only with "
            "Gaussian weights does the law of W h depend on |h| alone"
        )

    n, states = model.width, model.depth + 1 if gradients else 1  # the way back needs all h_l again
    step = max(1, BLOCK // max(n * states, n * n if method == "dense" else 0))
    blocks = [
        _simulate_block(Draws(model, seed, ids[i : i + step]), method, recorded, gradients)
        for i in range(0, len(ids), step)
    ]
    found = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
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


def _simulate_block(draws: Draws, method: str, recorded: list[int], gradients: bool) -> dict[str, Floats]:
    model, depth = draws.model, draws.model.depth
    settled = Vectors.rescaled if model.homogeneous else Vectors.written_out

    hs = [settled(_first_state(draws))]
    records = _Records(recorded)
    h, moved = hs[0], hs[0].zero()  # moved = h_l - h_0
    for layer in range(depth + 1):
        records.add(layer, log_norm=h.log_square() - math.log(model.width), log_displacement=log_ratio(moved, hs[0]))
        if model.block == "phi-in" and model.activation in RESNET_ACTIVATIONS:
            records.add(layer, **_activity(h.v, model.sigma.value(draws.signs(layer) * h.v)))
        if layer == depth:
            break
        branch = _Layer(draws, method, layer).branch(h.v)
        moved = moved.plus(Vectors((model.carry - 1.0) * h.v + branch, h.log))
        h = settled(Vectors(model.carry * h.v + branch, h.log))
        if gradients:
            hs.append(h)
    found = {**records.joined(), "output": _output(draws, method, h)}
    if not gradients:
        return found

    records = _Records(recorded)
    p = p_last = _last_gradient(draws, method).rescaled()
    moved = p.zero()  # p_l - p_L
    for layer in range(depth, -1, -1):
        if layer < depth:
            back = _Layer(draws, method, layer).branch_transposed(hs[layer].v, p.v)
            moved = moved.plus(Vectors((model.carry - 1.0) * p.v + back, p.log))
            p = Vectors(model.carry * p.v + back, p.log).rescaled()
        records.add(
            layer,
            log_gradient=log_ratio(p, p_last),
            log_gradient_displacement=log_ratio(moved, p_last),
            overlap=cosine(p, hs[layer]),
        )
    return {**found, **records.joined()}


class _Layer:
    """F_l(h) = h_{l+1} - carry h_l, and (dF_l/dh)^T p. A balanced activation is sigma(signs x)."""

    def __init__(self, draws: Draws, method: str, layer: int) -> None:
        model, Map = draws.model, MAPS[method]
        self.block, self.inside, self.s = model.block, model.inside, float(model.scales[layer])
        self.signs, self.activation = draws.signs(layer), model.sigma
        if model.block == "v-phi-w":
            self.V, self.W = Map(draws, layer, OUTER, 0.0), Map(draws, layer, INNER, model.bias)
        else:
            self.V = self.W = Map(draws, layer, OUTER, model.bias)  # the one that the block has

    def sigma(self, x: Floats) -> Floats:
        return self.activation.value(self.signs * x)

    def slope(self, x: Floats) -> Floats:
        return self.signs * self.activation.slope(self.signs * x)

    def branch(self, h: Floats) -> Floats:
        s, V, W, sigma = self.s, self.V, self.W, self.sigma
        if self.block == "phi-in":
            return s * V(sigma(h))
        if self.block == "phi-out":
            return sigma(s * W(h)) if self.inside else s * sigma(W(h))
        return s * V(sigma(W(h)))

    def branch_transposed(self, h: Floats, p: Floats) -> Floats:
        s, V, W, sigma, slope = self.s, self.V, self.W, self.sigma, self.slope
        if self.block == "phi-in":
            return s * slope(h) * V.transposed(sigma(h), p)
        u = W(h)
        if self.block == "phi-out":
            return W.transposed(h, s * slope(s * u if self.inside else u) * p)
        return W.transposed(h, s * slope(u) * V.transposed(sigma(u), p))


def _first_state(draws: Draws) -> Vectors:
    """h_0 = size g; or A x, where the law of A matters."""
    model, n = draws.model, draws.model.width
    if model.input is None or model.weights == "gaussian":
        direction = draws.normals("first_layer", 0, n)
    else:
        direction = draws.matrix("dense_input", 0, n, len(model.input)) @ (np.array(model.input) / model.size)
    return Vectors(direction, np.full((len(direction), 1), math.log(model.size)))


def _output(draws: Draws, method: str, h: Vectors) -> Floats:
    """W_out h_L, (N, n_out)."""
    n, n_out, depth = draws.model.width, draws.model.n_out, draws.model.depth
    if method == "dense":
        direction = (draws.matrix("dense_output", depth, n_out, n) @ h.v[:, :, None])[:, :, 0]
    else:
        direction = norm(h.v) / math.sqrt(n) * draws.normals("output", depth, n_out)
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(h.log) * direction


def _last_gradient(draws: Draws, method: str) -> Vectors:
    """p_L, row 0 of W_out."""
    n, depth = draws.model.width, draws.model.depth
    if method == "dense":
        row = draws.matrix("dense_output", depth, 1, n)[:, 0, :]
    else:
        row = draws.normals("gradient", depth, n) / math.sqrt(n)
    return Vectors(row, np.zeros((len(row), 1)))


def _activity(h: Floats, phi: Floats) -> dict[str, Floats]:
    """Asymmetry and active fraction, as in `resmc.reference.ReferencePaths`."""
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
