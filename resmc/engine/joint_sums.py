"""Sums over networks with several inputs or tangents: what follows from each network's Gram matrices, by group."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from .joint_states import States, power
from .recording import GROUPS, JointRecording

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class JointSums:
    """Sums over networks by group (first axis, 32), in the kernels' units.

    m inputs have P = m (m + 1)/2 pairs a >= b, pair (a, b) at a (a + 1)/2 + b; there are R recorded layers and k
    tangents. Arrays of the kernel are empty where it is not summed, and those by layer and pair where there is one
    input, whose sums any simulation has.

    Attributes
    ----------
    recording : JointRecording
    networks : ndarray of int, (32,)
    alive, separated, together : ndarray of int, (32, R, P)
        Networks where neither h^a nor h^b is 0; of these those where float32 tells their angle from 0 and pi; and those
        where the network has made the angle 0, which files of version 1 have not counted.
    cosine, log_sine : ndarray, (32, R, P, 2)
        Sums of cos(angle) and of ln sin^2(angle), over the living and the separated ones, and of their squares.
    log_norm : ndarray, (32, R, P, 3)
        Sums of L^a, L^b and L^a L^b over the living ones, L = ln |h|^2/n.
    covariance : ndarray, (32, R, P)
        Sums of h^a . h^b/n over all networks.
    square : ndarray, (32, R, m)
        Sums of (|h^a|^2/n)^2.
    stretched : ndarray of int, (32, R, k)
        Networks whose tangents so far have not collapsed.
    stretch : ndarray, (32, R, k, 2)
        Sums of the logarithm of how much tangent j has grown across those before it, and of its square.
    residual : ndarray, (32, R, P)
        Sums of the tangent kernel's part of the layers from a recorded one on.
    readout, first_layer : ndarray, (32, P)
        Sums of its other two parts.
    products : ndarray, (32, P (P + 1)/2)
        Sums of products of two entries p >= q of the whole kernel.
    log_kernel : ndarray, (32, m, 3)
        Networks whose K^aa is above 0, and of these the sums of ln K^aa and of its square.
    """

    __repr__ = brief_repr

    recording: JointRecording
    networks: Integers
    alive: Integers
    separated: Integers
    together: Integers
    cosine: Floats
    log_sine: Floats
    log_norm: Floats
    covariance: Floats
    square: Floats
    stretched: Integers
    stretch: Floats
    residual: Floats
    readout: Floats
    first_layer: Floats
    products: Floats
    log_kernel: Floats

    @staticmethod
    def zeros(recording: JointRecording, n_layers: int) -> JointSums:
        """Return the sums of no network."""
        found = shapes(recording, n_layers)
        return JointSums(
            recording, **{name: np.zeros(shape, np.int64 if name in COUNTS else float) for name, shape in found.items()}
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by its name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "recording"}

    def merged(self, other: JointSums) -> JointSums:
        """Return the sums over both sets of networks."""
        theirs = other.arrays()
        return JointSums(self.recording, **{name: mine + theirs[name] for name, mine in self.arrays().items()})

    @cached_property
    def pairs(self) -> tuple[Integers, Integers]:
        """Inputs a and b of every pair."""
        return pairs_of(self.recording.count)

    @cached_property
    def own(self) -> Integers:
        """Places of the pairs of an input with itself."""
        a, b = self.pairs
        return np.flatnonzero(a == b)


COUNTS = ("networks", "alive", "separated", "together", "stretched")


def shapes(recording: JointRecording, n_layers: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all arrays of `JointSums`, by name."""
    m, p, k = recording.count, recording.pairs, recording.tangents
    kernel = (GROUPS,) if recording.kernel else (0,)
    by_layer = (GROUPS, n_layers)
    pairs, inputs = (p, m) if m > 1 else (0, 0)
    return {
        "networks": (GROUPS,),
        "alive": (*by_layer, pairs),
        "separated": (*by_layer, pairs),
        "together": (*by_layer, pairs),
        "cosine": (*by_layer, pairs, 2),
        "log_sine": (*by_layer, pairs, 2),
        "log_norm": (*by_layer, pairs, 3),
        "covariance": (*by_layer, pairs),
        "square": (*by_layer, inputs),
        "stretched": (*by_layer, k),
        "stretch": (*by_layer, k, 2),
        "residual": (*kernel, n_layers, p),
        "readout": (*kernel, p),
        "first_layer": (*kernel, p),
        "products": (*kernel, p * (p + 1) // 2),
        "log_kernel": (*kernel, m, 3),
    }


def pairs_of(count: int) -> tuple[Integers, Integers]:
    """Return a and b of all pairs a >= b in their order."""
    a, b = np.tril_indices(count)
    return a.astype(np.int64), b.astype(np.int64)


def layer_arrays(recording: JointRecording, n_layers: int, row: int) -> dict[str, NDArray[Any]]:
    """Return empty arrays of ``row`` networks as the kernels fill them: see `resmc.engine.native.joint`."""
    m, p = recording.count, recording.pairs
    out: dict[str, NDArray[Any]] = {
        "gram": np.empty((n_layers, p, row)),
        "unit": np.empty((n_layers, m, row), np.int32),
        "log_scale": np.empty((n_layers, m - 1, row)),
        "log_stretch": np.empty((n_layers, recording.tangents, row)),
    }
    if recording.backward:
        out["gradient_gram"] = np.empty((n_layers, p, row))
        out["gradient_unit"] = np.empty((n_layers, m, row), np.int32)
    if recording.kernel:
        out["kernel"] = np.empty((n_layers, p, row))
    return out


def layer_bytes(recording: JointRecording, n_layers: int) -> int:
    """Bytes of `layer_arrays` of one network."""
    return sum(a.nbytes for a in layer_arrays(recording, n_layers, 1).values())


def add_networks(
    sums: JointSums,
    arrays: dict[str, NDArray[Any]],
    start: Floats,
    width: int,
    first: int,
    batch: int,
    threads: int,
    lined: bool,
) -> None:
    """Add networks first, first + 1, .. in the order of their numbers, by pieces that end where batches do.

    ``start`` are the rows of the first layer, as in `resmc.models.joint_inputs.JointInputs`; ``lined`` is that of
    `resmc.engine.joint_states.States`. No bit depends on the
    threads, which take a layer each.
    """
    count = arrays["gram"].shape[-1]
    cuts = np.arange(first // batch * batch, first + count, batch) - first
    fold = _Fold(np.maximum(cuts, 0), (first + np.maximum(cuts, 0)) // batch % GROUPS)
    layers = range(arrays["gram"].shape[0])

    def add(r: int) -> None:
        _add_layer(sums, arrays, r, width, fold, lined)

    if threads > 1 and len(layers) > 1:
        with ThreadPoolExecutor(min(threads, len(layers))) as pool:
            for _ in pool.map(add, layers):  # to raise what a thread has raised
                pass
    else:
        for r in layers:
            add(r)
    if sums.recording.kernel:
        _add_kernel(sums, arrays, start, width, fold)


@dataclass(frozen=True, eq=False)
class _Fold:
    """The pieces of consecutive networks that are summed together: where each begins, and its group."""

    starts: Integers
    groups: Integers

    def summed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return sums of values (.., N) of single networks by piece, (pieces, ..)."""
        return np.moveaxis(np.add.reduceat(values, self.starts, axis=-1), -1, 0)

    def into(self, out: NDArray[Any], values: NDArray[Any]) -> None:
        """Add values (.., N) of single networks to ``out`` (32, ..)."""
        np.add.at(out, self.groups, self.summed(values))


# Numbers of a pair in one network, as they are summed: where all are alive, some of them follow from others.
SEPARATED, TOGETHER, COSINE, SINE, PRODUCT, COVARIANCE, SQUARE, NORM, ALIVE, NUMBERS = 0, 1, 2, 4, 6, 7, 8, 9, 11, 12
OF_TWO, OF_ONE, OF_ALL = slice(0, SQUARE), slice(PRODUCT, NORM + 1), slice(0, NUMBERS)


def _add_layer(sums: JointSums, arrays: dict[str, NDArray[Any]], r: int, width: int, fold: _Fold, lined: bool) -> None:
    if sums.recording.count > 1:
        states = States(arrays["gram"][r], arrays["unit"][r], arrays["log_scale"][r], lined)
        pieces = _pieces(sums, states, width, fold)
        for out, part in (
            (sums.alive, pieces[..., ALIVE].astype(np.int64)),
            (sums.separated, pieces[..., SEPARATED].astype(np.int64)),
            (sums.together, pieces[..., TOGETHER].astype(np.int64)),
            (sums.cosine, pieces[..., COSINE:SINE]),
            (sums.log_sine, pieces[..., SINE:PRODUCT]),
            (sums.log_norm, pieces[..., [NORM, NORM + 1, PRODUCT]]),
            (sums.covariance, pieces[..., COVARIANCE]),
            (sums.square, pieces[:, sums.own, SQUARE]),
        ):
            np.add.at(out[:, r], fold.groups, part)
    if sums.recording.tangents:
        stretch = arrays["log_stretch"][r]
        there = np.isfinite(stretch)
        stretch = np.where(there, stretch, 0.0)
        fold.into(sums.stretched[:, r], there.astype(np.int64))
        fold.into(sums.stretch[:, r, :, 0], stretch)
        fold.into(sums.stretch[:, r, :, 1], stretch**2)
    if sums.recording.kernel:
        fold.into(sums.residual[:, r], arrays["kernel"][r])


def _pieces(sums: JointSums, found: States, width: int, fold: _Fold) -> Floats:
    """Return the numbers of all pairs, summed by piece, (pieces, P, NUMBERS)."""
    count = found.gram.shape[-1]
    pieces = np.zeros((len(fold.starts), sums.recording.pairs, NUMBERS))
    sizes = np.diff(np.append(fold.starts, count)).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = power(2 * found.exponent) / width
        logs, norms = log_norms_of(found, width)
        values = np.empty((NUMBERS, count))
        pairs = [(a, b) for a in range(found.count) for b in range(a)]
        for a, b in [(a, a) for a in range(found.count)] + pairs:
            p = a * (a + 1) // 2 + b
            rows = _fill(values, found, a, b, logs, norms, scale)
            pieces[:, p, rows] = fold.summed(values[rows])
            if found.living:  # the rest is known
                pieces[:, p, ALIVE] = sizes
                own = [a * (a + 3) // 2, b * (b + 3) // 2]
                if a == b:
                    pieces[:, p, COSINE : COSINE + 2] = sizes[:, None]
                    pieces[:, p, NORM + 1] = pieces[:, p, NORM]
                else:
                    pieces[:, p, NORM : NORM + 2] = pieces[:, own, NORM]
    return pieces


def log_norms_of(found: States, width: int) -> tuple[list[Floats], list[Floats]]:
    """Return ln |h^a|^2 of every input in the units of states, and L^a; those of a state 0 are others'."""
    shift = (2.0 * math.log(2.0)) * found.exponent - math.log(width)
    safe = found.norms
    if not found.living:
        safe = [np.where(dead, 1.0, norm) for norm, dead in zip(found.norms, found.dead, strict=True)]
    logs = [np.log(norm) for norm in safe]
    return logs, [x + (shift + 2.0 * scale) for x, scale in zip(logs, found.log_scale, strict=True)]


def kernel_of(
    arrays: dict[str, NDArray[Any]], start: Floats, width: int, recording: JointRecording
) -> tuple[Floats, Floats, Floats]:
    """Return the tangent kernel of every network, (P, N) each: of residual layers, of the readout, of the first one."""
    a, b = pairs_of(recording.count)
    rows = start.copy()
    rows[1:] += start[0]
    unit = arrays["gradient_unit"][0].astype(np.int64)
    last = States(arrays["gram"][-1], arrays["unit"][-1], arrays["log_scale"][-1])
    scale = power(2 * last.exponent) / width
    places = zip(a.tolist(), b.tolist(), strict=True)
    readout = np.stack([last.product(i, j) * scale * last.scale(i, j) for i, j in places])
    first = arrays["gradient_gram"][0] * power(unit[a] + unit[b]) * (rows @ rows.T)[a, b][:, None]
    return arrays["kernel"][0], readout, first


def _fill(
    values: Floats, found: States, a: int, b: int, logs: list[Floats], norms: list[Floats], scale: Floats
) -> slice:
    """Put the numbers of a pair of inputs into ``values`` (NUMBERS, N), and return which do not follow from others."""
    product = found.product(a, b)
    np.multiply(product, scale, out=values[COVARIANCE])
    if found.scaled:
        values[COVARIANCE] *= found.scale(a, b)
    np.multiply(norms[a], norms[b], out=values[PRODUCT])
    if a == b:
        np.multiply(values[COVARIANCE], values[COVARIANCE], out=values[SQUARE])
        values[NORM] = norms[a]
        if found.living:
            return OF_ONE
        values[: TOGETHER + 1], values[SINE : SINE + 2], values[COSINE] = 0.0, 0.0, 1.0
    else:
        size = found.norms[a] * found.norms[b]
        np.sqrt(size, out=size)
        np.divide(product, size, out=values[COSINE])
        np.clip(values[COSINE], -1.0, 1.0, out=values[COSINE])
        values[SINE], known = found.log_sine_squared(a, b, logs)
        values[SEPARATED], values[TOGETHER] = known, 0.0 if known.all() else found.together(a, b)
        np.multiply(values[SINE], values[SINE], out=values[SINE + 1])
        if found.living:
            np.multiply(values[COSINE], values[COSINE], out=values[COSINE + 1])
            return OF_TWO
    dead = found.dead[a] | found.dead[b]
    np.subtract(1.0, dead, out=values[ALIVE])
    values[NORM], values[NORM + 1], values[SQUARE] = norms[a], norms[b], values[COVARIANCE] ** 2
    values[NORM : NORM + 2, dead] = 0.0
    values[PRODUCT, dead] = 0.0
    values[COSINE, dead] = 0.0
    np.multiply(values[COSINE], values[COSINE], out=values[COSINE + 1])
    return OF_ALL


def _add_kernel(sums: JointSums, arrays: dict[str, NDArray[Any]], start: Floats, width: int, fold: _Fold) -> None:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        residual, readout, first = kernel_of(arrays, start, width, sums.recording)
        whole = residual + readout + first
        own = whole[sums.own]
        there = np.isfinite(own) & (own > 0.0)
        logs = np.log(np.where(there, own, 1.0))
    fold.into(sums.readout, readout)
    fold.into(sums.first_layer, first)
    fold.into(sums.log_kernel[:, :, 0], there.astype(np.float64))
    fold.into(sums.log_kernel[:, :, 1], logs)
    fold.into(sums.log_kernel[:, :, 2], logs**2)
    for i, entry in enumerate(whole):  # row by row: all products at once would take far more memory than the networks
        with np.errstate(over="ignore", invalid="ignore"):
            fold.into(sums.products[:, i * (i + 1) // 2 : (i + 1) * (i + 2) // 2], whole[: i + 1] * entry)
