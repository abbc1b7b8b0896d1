"""The random residual network, layer by layer (Li, Nica, Roy 2021, arXiv 2106.04013, section 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.stopping import look, stoppable
from .._system.words import brief
from ..models.network import METHODS
from ..models.resnet import MAX_WIDTH_DENSE, ResNet
from .normals import normals, signs
from .sources import Counters, Ids, Normals, Signs
from .vectors import Floats, Vectors, squares

HELD = 1 << 17  # normals held at a time: a bound on the memory, on which no number depends


@dataclass(frozen=True)
class ReferencePaths:
    """Raw paths, as `simulate` returns them: one row per network (N) and one column per recorded layer (R).

    A network that is dead at a layer (z_l = 0 exactly, possible only when alpha = 0) has log_norm -inf there, asymmetry
    and active_fraction nan, and output 0. These are paths, not means: statistics must count the dead, not average them.

    Attributes
    ----------
    model : ResNet
    networks : uint64 array (N,)
        The networks' numbers.
    layers : int64 array (R,)
        The recorded layers, from 0 to depth.
    log_norm : float64 array (N, R)
        L_l = log(|z_l|^2 / n), natural logarithm.
    asymmetry : float64 array (N, R)
        A_l = 2 |phi_l(z_l)|^2 / |z_l|^2 - 1, from -1 (inactive) to 1.
    active_fraction : float64 array (N, R)
        F_l, the fraction of neurons with phi_l(z_l)_i > 0.
    output : float64 array (N, n_out)
        z_out; 0 or infinite where its size is beyond float64 (log_norm stays finite).
    """

    model: ResNet
    networks: Ids
    layers: NDArray[np.int64]
    log_norm: Floats
    asymmetry: Floats
    active_fraction: Floats
    output: Floats


@stoppable()
def simulate(
    model: ResNet,
    networks: int,
    seed: int = 0,
    first_network: int = 0,
    method: str = "projected",
    layers: Sequence[int] | None = None,
    normals: Normals = normals,
    signs: Signs = signs,
) -> ReferencePaths:
    """Draw networks and follow one input through all their layers.

    ::

        z_0     = input_norm g                                    g   = normals("first_layer", 0)
        phi_l   = ReLU(s_l z_l)                                   s_l = signs(draw_of_layer(l)), or 1 if vanilla

        dense
        z_{l+1} = alpha z_l + lam sqrt(2/n) W_l phi_l             W_l[i, j]   = normal i n + j of ("dense_weights", l)
        z_out   = W_out z_d / sqrt(n)                             W_out[k, j] = normal k n + j of ("dense_output", d)

        projected
        z_{l+1} = alpha z_l + lam sqrt(2/n) |phi_l| g             g = normals("residual", l)
        z_out   = exp(L_d / 2) g                                  g = normals("output", d)

    ``projected`` is no approximation: given z_l, W_l phi_l has the law of |phi_l| g. The two methods have the same
    joint law over all layers, at every width; beyond z_0 and the signs, their networks have nothing in common.

    Arithmetic is float64, and z is rescaled at every layer, its scale carried as a logarithm: nothing overflows or
    underflows, whatever the depth, alpha and lam. Alpha and lam enter as given, not normalised.

    Parameters
    ----------
    model : ResNet
    networks : int
        Number of networks, N >= 1.
    seed : int
        0 to 2^64 - 1.
    first_network : int
        Number of the first of N networks with consecutive numbers, all below 2^48. Each network is the same whatever
        others are drawn.
    method : {"projected", "dense"}
        ``dense`` costs n^2 normals per layer; width at most 2^17.
    layers : sequence of int, optional
        The layers to record, increasing, from 0 to depth; by default all.
    normals, signs : callable
        Sources of the random numbers: functions like `resmc.reference.normals` and `resmc.reference.signs`, called
        by position with (seed, networks, stream, layer, count) and, for signs, half. Another generator may be plugged
        in here, or a fault that a test has to find. They are called with some of the networks and sometimes more
        than once, so that each row must depend on its network's number alone.

    Returns
    -------
    ReferencePaths

    Raises
    ------
    ValueError
        For an argument out of range; the message names it, its value and what is allowed.
    """
    ids, seed = checked_networks(networks, seed, first_network)
    method = checks.choice("method", method, METHODS)
    recorded = recorded_layers(model.depth, layers)
    if method == "dense":
        checks.integer("width", model.width, 1, MAX_WIDTH_DENSE, "2^17 with method='dense'")

    step = max(1, HELD // (model.width ** (2 if method == "dense" else 1)))
    parts = [
        _simulate_part(Counters(model, seed, ids[i : i + step], normals, signs), method, recorded)
        for i in range(0, len(ids), step)
    ]
    log_norm, asymmetry, active_fraction, output = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return ReferencePaths(model, ids, np.array(recorded, np.int64), log_norm, asymmetry, active_fraction, output)


def checked_networks(networks: int, seed: int, first_network: int) -> tuple[Ids, int]:
    """Return the numbers of the networks asked for, and the seed, checked."""
    count = checks.integer("networks", networks, 1, 2**48, "2^48")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    first = checks.integer("first_network", first_network, 0, 2**48 - count, "2^48 - networks")
    return np.arange(first, first + count, dtype=np.uint64), seed


def _simulate_part(
    networks: Counters[ResNet], method: str, recorded: list[int]
) -> tuple[Floats, Floats, Floats, Floats]:
    z, at = first_state(networks), 0
    records: list[tuple[Floats, Floats, Floats]] = []
    for layer in recorded:
        z, at = advance(z, at, layer, networks, method), layer
        records.append(_observables(z, _activated(z, layer, networks)))
    z = advance(z, at, networks.model.depth, networks, method)
    log_norm, asymmetry, active_fraction = (np.concatenate(columns, axis=1) for columns in zip(*records, strict=True))
    return log_norm, asymmetry, active_fraction, _output(z, networks, method)


def first_state(networks: Counters[ResNet]) -> Vectors:
    """Return z_0, rescaled."""
    direction = networks.first_layer()[:, :, 0]
    return Vectors(direction, np.full((len(direction), 1), math.log(networks.model.input_norm))).rescaled()


def advance(z: Vectors, from_layer: int, to_layer: int, networks: Counters[ResNet], method: str) -> Vectors:
    """Follow z_from_layer to z_to_layer, rescaled to max |z_i| = 1 at every layer."""
    model, n = networks.model, networks.model.width
    for layer in range(from_layer, to_layer):
        look()
        phi = _activated(z, layer, networks)
        if method == "dense":
            branch = (networks.matrix("outer", layer) @ phi[:, :, None])[:, :, 0]
        else:
            branch = np.sqrt(squares(phi)) * networks.normals("residual", layer, n)
        v, gain = _combined(model.alpha, z.v, model.lam, math.sqrt(2.0 / n) * branch)
        z = Vectors(v, z.log + gain).rescaled()
    return z


def _activated(z: Vectors, layer: int, networks: Counters[ResNet]) -> Floats:
    """Return phi_layer(z), in the units of z."""
    return networks.model.sigma.value(networks.signs(layer) * z.v)


def _output(z: Vectors, networks: Counters[ResNet], method: str) -> Floats:
    """Return z_out, (N, n_out)."""
    n, n_out, depth = networks.model.width, networks.model.n_out, networks.model.depth
    if method == "dense":
        direction = (networks.readout(n_out) @ z.v[:, :, None])[:, :, 0] / math.sqrt(n)
    else:
        direction = np.sqrt(squares(z.v) / n) * networks.normals("output", depth, n_out)
    with np.errstate(over="ignore", under="ignore"):
        return np.exp(z.log) * direction


def _combined(alpha: float, z: Floats, lam: float, branch: Floats) -> tuple[Floats, Floats | float]:
    """Return alpha z + lam branch as (z', gain), meaning exp(gain) z', with coefficients of size at most 1 in z'."""
    largest = max(abs(alpha), abs(lam))
    combined = (alpha / largest) * z + (lam / largest) * branch
    if alpha == 0.0:
        return combined, math.log(largest)
    # An inactive network is only carried on, with a gain of its own: alpha / largest may have underflowed to 0.
    inactive = ~np.any(branch, axis=1, keepdims=True)
    combined = np.where(inactive, math.copysign(1.0, alpha) * z, combined)
    return combined, np.where(inactive, math.log(abs(alpha)), math.log(largest))


def _observables(z: Vectors, phi: Floats) -> tuple[Floats, Floats, Floats]:
    """Return L, A and F of z, each of shape (N, 1); phi has the units of z."""
    square = squares(z.v)
    alive = square > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_norm = 2.0 * z.log + np.log(square / z.v.shape[1])
        asymmetry = 2.0 * squares(phi) / square - 1.0
    return log_norm, asymmetry, np.where(alive, np.mean(phi > 0.0, axis=1, keepdims=True), np.nan)


def recorded_layers(depth: int, layers: Sequence[int] | None) -> list[int]:
    """Return the layers asked for, checked; by default all."""
    if layers is None:
        return list(range(depth + 1))
    recorded = [checks.integer("layers", layer, 0, depth, "the depth") for layer in layers]
    if not recorded or any(a >= b for a, b in pairwise(recorded)):
        raise ValueError(f"layers={brief(list(layers))} is not allowed: it must be increasing and not empty")
    return recorded
