"""The random residual network, layer by layer (Li, Nica, Roy 2021, arXiv 2106.04013, section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from ..models.resnet import MAX_WIDTH_DENSE, ResNet
from .normals import normals, signs
from .vectors import Floats, rescaled, squares

METHODS = ("projected", "dense")

Ids = NDArray[np.uint64]
Normals = Callable[[int, Ids, str, int, int], Floats]  # (seed, networks, stream, layer, count)
Signs = Callable[[int, Ids, str, int, int, bool], Floats]  # (seed, networks, stream, layer, count, half)

BLOCK = 1 << 17  # normals held at a time: bounds the memory, changes no number


@dataclass(frozen=True)
class ReferencePaths:
    """What `simulate` saw: raw paths, one row per network (N) and one column per recorded layer (R).

    A network that is dead at a layer (z_l = 0 exactly, possible only when alpha = 0) has log_norm -inf there, asymmetry
    and active_fraction nan, and output 0. These are paths, not means: statistics must count the dead, not average them.

    Attributes
    ----------
    model : ResNet
    networks : uint64 array (N,)
        The networks' numbers.
    layers : int64 array (R,)
        The recorded layers, of 0 .. depth.
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


def draw_of_layer(layer: int) -> tuple[str, int]:
    """(stream, layer) of the draw that makes z_layer; its words also hold the signs of phi_layer, in both methods."""
    return ("first_layer", 0) if layer == 0 else ("residual", layer - 1)


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
        How many, N >= 1.
    seed : int
        0 to 2^64 - 1.
    first_network : int
        The networks are first_network .. first_network + N - 1, below 2^48. A network does not depend on the others.
    method : {"projected", "dense"}
        ``dense`` costs n^2 normals per layer; width at most 2^17.
    layers : sequence of int, optional
        The layers to record, increasing, of 0 .. depth; by default all.
    normals, signs : callable
        Where the random numbers come from: functions like `resmc.reference.normals` and `resmc.reference.signs`, called
        by position with (seed, networks, stream, layer, count) and, for signs, half. Another generator may be plugged
        in here, or a fault that a test has to find. They are called with blocks of the networks and sometimes more
        than once: each row must depend on its network's number alone.

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

    step = max(1, BLOCK // (model.width ** (2 if method == "dense" else 1)))
    blocks = [
        _simulate_block(model, ids[i : i + step], seed, method, set(recorded), normals, signs)
        for i in range(0, len(ids), step)
    ]
    log_norm, asymmetry, active_fraction, output = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return ReferencePaths(model, ids, np.array(recorded, np.int64), log_norm, asymmetry, active_fraction, output)


def checked_networks(networks: int, seed: int, first_network: int) -> tuple[Ids, int]:
    """The numbers of the networks asked for, and the seed, checked."""
    count = checks.integer("networks", networks, 1, 2**48, "2^48")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    first = checks.integer("first_network", first_network, 0, 2**48 - count, "2^48 - networks")
    return np.arange(first, first + count, dtype=np.uint64), seed


def _simulate_block(
    model: ResNet, networks: Ids, seed: int, method: str, recorded: set[int], normals: Normals, signs: Signs
) -> tuple[Floats, Floats, Floats, Floats]:
    n, depth, alpha, lam = model.width, model.depth, model.alpha, model.lam
    records: list[tuple[Floats, Floats, Floats]] = []

    # The network's z_l is exp(scale) z, with scale of shape (N, 1) and z rescaled to max |z_i| = 1.
    z, scale = normals(seed, networks, *draw_of_layer(0), n), np.full((len(networks), 1), math.log(model.input_norm))
    z, scale = rescaled(z, scale)
    for layer in range(depth + 1):
        if model.variant == "vanilla":
            phi = np.maximum(z, 0.0)
        else:
            half = model.variant == "balanced-half"
            phi = np.maximum(signs(seed, networks, *draw_of_layer(layer), n, half) * z, 0.0)
        if layer in recorded:
            records.append(_observables(z, scale, phi))
        if layer == depth:
            break

        if method == "dense":
            weights = normals(seed, networks, "dense_weights", layer, n * n).reshape(-1, n, n)
            branch = (weights @ phi[:, :, None])[:, :, 0]
        else:
            branch = np.sqrt(squares(phi)) * normals(seed, networks, "residual", layer, n)

        z, gain = _combined(alpha, z, lam, math.sqrt(2.0 / n) * branch)
        z, scale = rescaled(z, scale + gain)

    if method == "dense":
        w_out = normals(seed, networks, "dense_output", depth, model.n_out * n).reshape(-1, model.n_out, n)
        direction = (w_out @ z[:, :, None])[:, :, 0] / math.sqrt(n)
    else:
        direction = np.sqrt(squares(z) / n) * normals(seed, networks, "output", depth, model.n_out)
    with np.errstate(over="ignore", under="ignore"):
        output = np.exp(scale) * direction

    log_norm, asymmetry, active_fraction = (np.concatenate(parts, axis=1) for parts in zip(*records, strict=True))
    return log_norm, asymmetry, active_fraction, output


def _combined(alpha: float, z: Floats, lam: float, branch: Floats) -> tuple[Floats, Floats | float]:
    """alpha z + lam branch as (z', gain), meaning exp(gain) z', with coefficients of size at most 1 in z'."""
    largest = max(abs(alpha), abs(lam))
    combined = (alpha / largest) * z + (lam / largest) * branch
    if alpha == 0.0:
        return combined, math.log(largest)
    # An inactive network is only carried on, with a gain of its own: alpha / largest may have underflowed to 0.
    inactive = ~np.any(branch, axis=1, keepdims=True)
    combined = np.where(inactive, math.copysign(1.0, alpha) * z, combined)
    return combined, np.where(inactive, math.log(abs(alpha)), math.log(largest))


def _observables(z: Floats, scale: Floats, phi: Floats) -> tuple[Floats, Floats, Floats]:
    """L, A and F of exp(scale) z, each of shape (N, 1)."""
    square = squares(z)
    alive = square > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        log_norm = 2.0 * scale + np.log(square / z.shape[1])
        asymmetry = 2.0 * squares(phi) / square - 1.0
    return log_norm, asymmetry, np.where(alive, np.mean(phi > 0.0, axis=1, keepdims=True), np.nan)


def recorded_layers(depth: int, layers: Sequence[int] | None) -> list[int]:
    """The layers asked for, checked; by default all."""
    if layers is None:
        return list(range(depth + 1))
    recorded = [checks.integer("layers", layer, 0, depth, "the depth") for layer in layers]
    if not recorded or any(a >= b for a, b in pairwise(recorded)):
        raise ValueError(f"layers={list(layers)!r} is not allowed: it must be increasing and not empty")
    return recorded
