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

    @cached_property
    def own(self) -> Integers:
        """Places of the pairs of an input with itself."""
        a, b = self.pairs
        return np.flatnonzero(a == b)


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

    def summed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return sums of values (.., N) of single networks by piece, (pieces, ..)."""
        return np.moveaxis(np.add.reduceat(values, self.starts, axis=-1), -1, 0)

    def into(self, out: NDArray[Any], values: NDArray[Any]) -> None:
        """Add values (.., N) of single networks to ``out`` (32, ..)."""
        np.add.at(out, self.groups, self.summed(values))


def power(exponent: Integers) -> Floats:
    """Return 2^exponent, 0 below the range of floats and infinity above it, faster than `numpy.ldexp` does."""
    biased = np.clip(exponent, -1023, 1024)
    biased += 1023
    biased <<= 52
    return biased.view(np.float64)


class States:
    """Inner products of the states of all inputs in N networks, in units of 4^exponent (N,), from those of columns.

    Columns are h^0 and the differences d_a = h^a - h^0, in units of their own; ``norms`` has |h^a|^2 of every input, 0
    where it is dead.
    """

    def __init__(self, gram: Floats, unit: NDArray[np.int32]) -> None:
        count = len(unit)
        self.gram, self.count = gram, count
        self.exponent = _largest([(gram[a * (a + 3) // 2], unit[a]) for a in range(count)])
        self.apart = _largest([(gram[a * (a + 3) // 2], unit[a]) for a in range(1, count)] or [(gram[0], unit[0])])
        self.large = [power(unit[a] - self.exponent) for a in range(count)]  # of a column in the states' unit
        self.small = [power(unit[a] - self.apart) for a in range(count)]  # and in that of the differences
        self.first = gram[0] * self.large[0] ** 2
        self.along = [self.first] + [self._column(a, 0) for a in range(1, count)]  # h^0 . d_a
        self.norms, self.dead = [self.first], [self.first <= 0.0]
        for a in range(1, count):
            own = self._column(a, a)
            norm = self.first + 2.0 * self.along[a] + own
            dead = norm <= DUST * (self.first + own)
            if dead.any():
                norm = np.where(dead, 0.0, norm)
            self.norms.append(norm)
            self.dead.append(dead)

    def _column(self, a: int, b: int) -> Floats:
        """Inner product of two columns, a >= b, in the states' unit."""
        found: Floats = self.gram[a * (a + 1) // 2 + b] * self.large[a] * self.large[b]
        return found

    def product(self, a: int, b: int) -> Floats:
        """Return h^a . h^b, a >= b."""
        if a == b:
            return self.norms[a]
        found = self.first + self.along[a]
        if b > 0:
            found += self.along[b]
            found += self._column(a, b)
        if self.dead[a].any() or self.dead[b].any():
            found[self.dead[a] | self.dead[b]] = 0.0
        return found

    def across(self, a: int, b: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return |h^a - h^b|^2 |h^b|^2 sin^2 of the angle between these two vectors, and where float32 tells it from 0.

        It is in the units of a difference times that of a state, squared: all digits of the difference count, which is
        far smaller than both states where inputs collapse onto each other.
        """
        gram, small, place = self.gram, self.small, a * (a + 1) // 2
        square = gram[place + a] * small[a] ** 2
        along = gram[place] * small[a] * self.large[0]
        if b > 0:
            other = b * (b + 1) // 2
            square += gram[other + b] * small[b] ** 2 - 2.0 * gram[place + b] * small[a] * small[b]
            along -= gram[other] * small[b] * self.large[0]
            along += self.large[b] * (gram[place + b] * small[a] - gram[other + b] * small[b])
        whole = self.norms[b] * square
        along *= along
        found = whole - along
        return found, (found > ALIGNED * whole) & (self.norms[a] > 0.0)

    def log_sine_squared(self, a: int, b: int, logs: list[Floats]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return ln sin^2 of the angle of inputs a > b, 0 where they are on one line, and where they are not.

        ``logs`` are those of the norms. With delta = h^a - h^b, sin^2 = |delta|^2 |h^b|^2 sin^2(delta, h^b)/(|h^a|^2
        |h^b|^2).
        """
        found, known = self.across(a, b)
        if not known.all():
            found = np.where(known, found, 1.0)
        found = np.log(found)
        found -= logs[a]
        found -= logs[b]
        found += (2.0 * math.log(2.0)) * (self.apart - self.exponent)
        np.minimum(found, 0.0, out=found)
        return (found if known.all() else np.where(known, found, 0.0)), known


def _largest(columns: list[tuple[Floats, NDArray[np.int32]]]) -> Integers:
    """Return the largest unit of columns that are not 0, of squared norms and units (N,); 0 where all are."""
    units = [np.where(square > 0.0, unit, LOWEST) for square, unit in columns]
    largest = units[0].astype(np.int64)
    for unit in units[1:]:
        np.maximum(largest, unit, out=largest)
    return np.where(largest == LOWEST, 0, largest)


# Numbers of a pair in one network, as they are summed.
ALIVE, SEPARATED, COSINE, SINE, NORM, COVARIANCE, SQUARE, NUMBERS = 0, 1, 2, 4, 6, 9, 10, 11


def _add_layer(sums: JointSums, arrays: dict[str, NDArray[Any]], r: int, width: int, fold: _Fold) -> None:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = States(arrays["gram"][r], arrays["unit"][r])
        shift = (2.0 * math.log(2.0)) * found.exponent - math.log(width)
        scale = power(2 * found.exponent) / width
        safe = [np.where(dead, 1.0, n) if dead.any() else n for n, dead in zip(found.norms, found.dead, strict=True)]
        logs = [np.log(n) for n in safe]
        roots = [1.0 / np.sqrt(n) for n in safe]
        norms = [x + shift for x in logs]  # L^a
        values = np.empty((NUMBERS, found.exponent.size))
        pieces = np.empty((len(fold.starts), sums.recording.pairs, NUMBERS))
        for p, (a, b) in enumerate(zip(*(x.tolist() for x in sums.pairs), strict=True)):
            _fill(values, found, a, b, logs, roots, norms, scale)
            pieces[:, p] = fold.summed(values)
    own = sums.own
    for out, part in (
        (sums.alive[:, r], pieces[..., ALIVE].astype(np.int64)),
        (sums.separated[:, r], pieces[..., SEPARATED].astype(np.int64)),
        (sums.cosine[:, r], pieces[..., COSINE:SINE]),
        (sums.log_sine[:, r], pieces[..., SINE:NORM]),
        (sums.log_norm[:, r], pieces[..., NORM:COVARIANCE]),
        (sums.covariance[:, r], pieces[..., COVARIANCE]),
        (sums.square[:, r], pieces[:, own, SQUARE]),
    ):
        np.add.at(out, fold.groups, part)
    if sums.recording.tangents:
        stretch = arrays["log_stretch"][r]
        there = np.isfinite(stretch)
        stretch = np.where(there, stretch, 0.0)
        fold.into(sums.stretched[:, r], there.astype(np.int64))
        fold.into(sums.stretch[:, r, :, 0], stretch)
        fold.into(sums.stretch[:, r, :, 1], stretch**2)
    if sums.recording.kernel:
        fold.into(sums.residual[:, r], arrays["kernel"][r])


def _fill(
    values: Floats, found: States, a: int, b: int, logs: list[Floats], roots: list[Floats], norms: list[Floats],
    scale: Floats,
) -> None:  # fmt: skip
    """Put the numbers of a pair of inputs into ``values`` (NUMBERS, N)."""
    dead = found.dead[a] | found.dead[b]
    np.subtract(1.0, dead, out=values[ALIVE])
    values[NORM], values[NORM + 1] = norms[a], norms[b]
    product = found.product(a, b)
    np.multiply(product, scale, out=values[COVARIANCE])
    np.multiply(values[COVARIANCE], values[COVARIANCE], out=values[SQUARE])
    if a == b:
        values[SEPARATED], values[SINE : SINE + 2], values[COSINE] = 0.0, 0.0, 1.0
    else:
        np.multiply(product, roots[a], out=values[COSINE])
        values[COSINE] *= roots[b]
        np.clip(values[COSINE], -1.0, 1.0, out=values[COSINE])
        values[SINE], values[SEPARATED] = found.log_sine_squared(a, b, logs)
        np.multiply(values[SINE], values[SINE], out=values[SINE + 1])
    if dead.any():
        values[NORM : NORM + 2, dead] = 0.0
        values[COSINE, dead] = 0.0
    np.multiply(values[COSINE], values[COSINE], out=values[COSINE + 1])
    np.multiply(values[NORM], values[NORM + 1], out=values[NORM + 2])


def _add_kernel(sums: JointSums, arrays: dict[str, NDArray[Any]], start: Floats, width: int, fold: _Fold) -> None:
    a, b = sums.pairs
    rows = start.copy()
    rows[1:] += start[0]
    unit = arrays["gradient_unit"][0].astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        last = States(arrays["gram"][-1], arrays["unit"][-1])
        scale = power(2 * last.exponent) / width
        readout = np.stack([last.product(i, j) * scale for i, j in zip(a.tolist(), b.tolist(), strict=True)])
        first = arrays["gradient_gram"][0] * power(unit[a] + unit[b]) * (rows @ rows.T)[a, b][:, None]
        whole = arrays["kernel"][0] + readout + first
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
