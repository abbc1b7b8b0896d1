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
from .recording import GROUPS, JointRecording

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DUST = 2.0**-40  # of squared norms: what float32 leaves of an input that is 0 while input 0 is not
ALIGNED = 1e-12  # squared sine between h^a and a difference below which rounding may have made all of the angle
LOWEST = -(1 << 30)  # exponent of a vector that is 0


@dataclass(frozen=True, eq=False)
class JointSums:
    """Sums over networks by group (first axis, 32), in the kernels' units.

    m inputs have P = m (m + 1)/2 pairs a >= b, pair (a, b) at a (a + 1)/2 + b; there are R recorded layers and k
    tangents. Arrays of the kernel are empty where it is not summed.

    Attributes
    ----------
    recording : JointRecording
    networks : ndarray of int, (32,)
    alive, separated : ndarray of int, (32, R, P)
        Networks where neither h^a nor h^b is 0; and of these those where they are not on one line, as far as float32
        tells.
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


COUNTS = ("networks", "alive", "separated", "stretched")


def shapes(recording: JointRecording, n_layers: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all arrays of `JointSums`, by name."""
    m, p, k = recording.count, recording.pairs, recording.tangents
    kernel = (GROUPS,) if recording.kernel else (0,)
    by_layer = (GROUPS, n_layers)
    return {
        "networks": (GROUPS,),
        "alive": (*by_layer, p),
        "separated": (*by_layer, p),
        "cosine": (*by_layer, p, 2),
        "log_sine": (*by_layer, p, 2),
        "log_norm": (*by_layer, p, 3),
        "covariance": (*by_layer, p),
        "square": (*by_layer, m),
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
        "log_stretch": np.empty((n_layers, recording.tangents, row)),
    }
    if recording.kernel:
        out["gradient_gram"] = np.empty((n_layers, p, row))
        out["gradient_unit"] = np.empty((n_layers, m, row), np.int32)
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
) -> None:
    """Add networks first, first + 1, .. in the order of their numbers, by pieces that end where batches do.

    ``start`` are the rows of the first layer, as `JointInputs.start` has them. No bit depends on the threads, which
    take a layer each.
    """
    count = arrays["gram"].shape[-1]
    cuts = np.arange(first // batch * batch, first + count, batch) - first
    fold = _Fold(np.maximum(cuts, 0), (first + np.maximum(cuts, 0)) // batch % GROUPS)
    layers = range(arrays["gram"].shape[0])

    def add(r: int) -> None:
        _add_layer(sums, arrays, r, width, fold)

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

    def into(self, out: NDArray[Any], values: NDArray[Any]) -> None:
        """Add values (.., N) of single networks to ``out`` (32, ..)."""
        np.add.at(out, self.groups, np.moveaxis(np.add.reduceat(values, self.starts, axis=-1), -1, 0))


@dataclass(frozen=True, eq=False)
class _States:
    """Inner products of the states of all inputs in some networks.

    ``products`` (P, N) are h^a . h^b in units of 4^exponent (N,), and 0 where one is dead; ``norms`` (m, N) those of an
    input with itself. ``own`` (m, N) are exponents of the columns h^0, h^1 - h^0, ..
    """

    products: Floats
    norms: Floats
    exponent: Integers
    own: Integers


def states(gram: Floats, unit: NDArray[np.int32]) -> _States:
    """Return the inner products of states from those of their columns h^0, h^1 - h^0, .. (P, N), and units (m, N)."""
    m = len(unit)
    a, b = pairs_of(m)
    diagonal = np.flatnonzero(a == b)
    own = np.where(gram[diagonal] > 0.0, unit, LOWEST).astype(np.int64)
    largest = own.max(axis=0)
    exponent = np.where(largest == LOWEST, 0, largest)
    factor = np.ldexp(1.0, np.maximum(own - exponent, -600).astype(np.int32))
    columns = gram * factor[a]
    columns *= factor[b]
    to_first = columns[a[diagonal] * (a[diagonal] + 1) // 2]
    products = np.where((b > 0)[:, None], columns, 0.0)
    products += to_first[0]
    products += np.where((a > 0)[:, None], to_first[a], 0.0)
    products += np.where((b > 0)[:, None], to_first[b], 0.0)
    norms = products[diagonal]
    dust = DUST * (to_first[0] + columns[diagonal])
    dust[0] = 0.0
    dead = norms <= dust
    if dead.any():
        products = np.where(dead[a] | dead[b], 0.0, products)
        norms = products[diagonal]
    return _States(products, norms, exponent, own)


def log_sine_squared(gram: Floats, found: _States) -> Floats:
    """Return ln sin^2 of the angle of every pair, (P, N); -infinity on one line, or where a state is 0.

    With delta = h^a - h^b, sin^2 = (|h^b|^2 |delta|^2 - (h^b . delta)^2)/(|h^a|^2 |h^b|^2): an angle keeps all
    digits of the difference, which is far smaller than both where inputs collapse onto each other.
    """
    a, b = pairs_of(len(found.norms))
    out = np.full(gram.shape, -np.inf)
    pairs = np.flatnonzero(a > b)
    if not len(pairs):
        return out
    differences = found.own.copy()
    differences[0] = LOWEST  # h^0 is no difference
    largest = differences.max(axis=0)
    unit = np.where(largest == LOWEST, 0, largest)
    # Factors of a column in the unit of the differences, and in that of the states; h^0 is there in the latter alone.
    small = np.ldexp(1.0, np.maximum(differences - unit, -600).astype(np.int32))
    small[0] = 0.0
    large = np.ldexp(1.0, np.maximum(found.own - found.exponent, -600).astype(np.int32))

    def product(i: Any, j: Any) -> Floats:
        high, low = np.maximum(i, j), np.minimum(i, j)
        return np.asarray(gram[high * (high + 1) // 2 + low])

    i, j, zero = a[pairs], b[pairs], np.zeros(len(pairs), np.int64)
    later = (j > 0)[:, None]
    square = product(i, i) * small[i] ** 2
    square += np.where(later, product(j, j) * small[j] ** 2 - 2.0 * product(i, j) * small[i] * small[j], 0.0)
    along = (product(i, zero) * small[i] - np.where(later, product(j, zero) * small[j], 0.0)) * large[0]
    along += np.where(later, large[j] * (product(i, j) * small[i] - product(j, j) * small[j]), 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        whole = found.norms[j] * square
        across = whole - along * along
        known = (found.norms[i] > 0.0) & (whole > 0.0) & (across > ALIGNED * whole)
        logs = np.log(across) - np.log(found.norms[i]) - np.log(found.norms[j])
        logs += 2.0 * math.log(2.0) * (unit - found.exponent)
    out[pairs] = np.where(known, np.minimum(logs, 0.0), -np.inf)
    return out


def _add_layer(sums: JointSums, arrays: dict[str, NDArray[Any]], r: int, width: int, fold: _Fold) -> None:
    a, b = sums.pairs
    gram = arrays["gram"][r]
    found = states(gram, arrays["unit"][r])
    alive = found.norms > 0.0
    both = alive[a] & alive[b]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logs = np.log(found.norms) + 2.0 * math.log(2.0) * found.exponent - math.log(width)
        logs = np.where(alive, logs, 0.0)
        size = np.sqrt(found.norms)
        cosine = np.where(both, np.clip(found.products / (size[a] * size[b]), -1.0, 1.0), 0.0)
        cosine[a == b] = both[a == b]
        sine = log_sine_squared(gram, found)
        separated = np.isfinite(sine)
        sine = np.where(separated, sine, 0.0)
        covariance = found.products * (np.ldexp(1.0, 2 * np.clip(found.exponent, -600, 600).astype(np.int32)) / width)
        square = covariance[a == b] ** 2
    first, second = np.where(both, logs[a], 0.0), np.where(both, logs[b], 0.0)
    fold.into(sums.alive[:, r], both.astype(np.int64))
    fold.into(sums.separated[:, r], separated.astype(np.int64))
    for out, parts in (
        (sums.cosine, (cosine, cosine**2)),
        (sums.log_sine, (sine, sine**2)),
        (sums.log_norm, (first, second, first * second)),
    ):
        for i, part in enumerate(parts):
            fold.into(out[:, r, :, i], part)
    fold.into(sums.covariance[:, r], covariance)
    fold.into(sums.square[:, r], square)
    if sums.recording.tangents:
        stretch = arrays["log_stretch"][r]
        there = np.isfinite(stretch)
        stretch = np.where(there, stretch, 0.0)
        fold.into(sums.stretched[:, r], there.astype(np.int64))
        fold.into(sums.stretch[:, r, :, 0], stretch)
        fold.into(sums.stretch[:, r, :, 1], stretch**2)
    if sums.recording.kernel:
        fold.into(sums.residual[:, r], arrays["kernel"][r])


def _add_kernel(sums: JointSums, arrays: dict[str, NDArray[Any]], start: Floats, width: int, fold: _Fold) -> None:
    a, b = sums.pairs
    last = states(arrays["gram"][-1], arrays["unit"][-1])
    rows = start.copy()
    rows[1:] += start[0]
    unit = arrays["gradient_unit"][0].astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        readout = np.ldexp(last.products, (2 * np.clip(last.exponent, -600, 600)).astype(np.int32)) / width
        exponent = np.clip(unit[a] + unit[b], -1200, 1200).astype(np.int32)
        first = np.ldexp(arrays["gradient_gram"][0], exponent) * (rows @ rows.T)[a, b][:, None]
        whole = arrays["kernel"][0] + readout + first
        own = whole[a == b]
        there = np.isfinite(own) & (own > 0.0)
        logs = np.where(there, np.log(own), 0.0)
    fold.into(sums.readout, readout)
    fold.into(sums.first_layer, first)
    fold.into(sums.log_kernel[:, :, 0], there.astype(np.float64))
    fold.into(sums.log_kernel[:, :, 1], logs)
    fold.into(sums.log_kernel[:, :, 2], logs**2)
    for i, entry in enumerate(whole):  # row by row: all products at once would take far more memory than the networks
        with np.errstate(over="ignore", invalid="ignore"):
            fold.into(sums.products[:, i * (i + 1) // 2 : (i + 1) * (i + 2) // 2], whole[: i + 1] * entry)
