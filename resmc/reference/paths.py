"""Paths of entries over the layers, from the normals of their terms: `resmc.theory.processes` has the sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..models.processes import Covariance, FractionalNoise, Mixture, Process, SmoothProcess
from ..theory.processes import fractional_noise_embedding, smooth_basis, smooth_series
from .vectors import Floats

Pairs = Callable[[int], Floats]  # term -> (N, 2, entries): two independent standard normals for every entry


class Terms(NamedTuple):
    """Normals of a path's terms, by what they are of."""

    noise: Pairs  # terms are frequencies of fractional noise, or columns of a covariance matrix's root
    trend: Pairs  # terms are those of a smooth process


def path(process: Process, depth: int, terms: Terms, begin: int = 0, end: int | None = None) -> Floats:
    """Return N networks' entries in layers begin .. end - 1 of a network of ``depth``, (N, end - begin, entries).

    By default these are all of its layers. The path goes on to layer ``depth``, end = depth + 1: a smooth process has
    its series there, and the embedding of fractional noise has that layer too; a covariance matrix has none.
    Their variance is 1, but for a covariance matrix, which has its own, and a mixture, whose factors are in them.
    """
    end = depth if end is None else end
    if isinstance(process, FractionalNoise):
        amplitudes = fractional_noise_embedding(process.hurst, depth).amplitudes
        drawn = stacked(terms.noise, len(amplitudes)) * amplitudes[:, :, None]
        waves = drawn[:, :, 0] + 1j * drawn[:, :, 1]
        return np.asarray(np.fft.irfft(waves, 2 * len(amplitudes) - 2, axis=1, norm="forward")[:, begin:end])
    if isinstance(process, SmoothProcess):
        return along(smooth_basis(process, depth, begin, end), terms.trend)
    if isinstance(process, Covariance):
        if end > depth:
            raise ValueError(f"layer {end - 1} is not there: the covariance of the weights has {depth} layers")
        return np.asarray(process.root @ stacked(terms.noise, depth)[:, :, 0])[:, begin:end]
    trend, noise = process.factors(depth)
    return trend * path(process.trend, depth, terms, begin, end) + noise * path(process.noise, depth, terms, begin, end)


def smooth_path(process: SmoothProcess | Mixture, terms: Terms, t: Floats, derivative: bool = False) -> Floats:
    """Return the path X of a smooth process, or of a mixture's trend without its factor, at any t: (N, T, entries).

    ``derivative``: dX/dt instead.
    """
    series = smooth_series(process.trend.length if isinstance(process, Mixture) else process.length)
    return along(series.derivative(t) if derivative else series.basis(t), terms.trend)


def along(basis: Floats, pairs: Pairs) -> Floats:
    """Return the sums over terms k and p of basis (T, 2, K) times normals: (N, T, entries)."""
    drawn = stacked(pairs, basis.shape[2])
    return np.asarray(basis[:, 0] @ drawn[:, :, 0] + basis[:, 1] @ drawn[:, :, 1])


def stacked(pairs: Pairs, count: int) -> Floats:
    """Return the normals of terms 0 .. count - 1, (N, count, 2, entries)."""
    return np.stack([pairs(term) for term in range(count)], axis=1)
