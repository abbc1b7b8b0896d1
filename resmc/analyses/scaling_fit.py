"""Slopes against ln L of what `resmc.analyses.scaling_statistics` has measured at several depths, and their errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Estimate, Floats
from ..results.groups import jackknifed
from .scaling_statistics import KINDS, DepthStatistics, steps

HURST, NOISE_SUM = len(KINDS), len(KINDS) + 1  # entries after the slopes of `KINDS`: h, and noise_exponent + h


def fit(depths: Sequence[int], found: Sequence[DepthStatistics]) -> tuple[Estimate, Estimate]:
    """Return the logarithms of the sizes by depth, (7, D), and the exponents (9,): seven slopes, h, and noise and h."""
    sizes = np.concatenate([one.mean_squares for one in found])  # by depth, and then by kind
    samples = np.concatenate([sizes, *(one.of_sums for one in found)])
    every = np.ones(len(depths), bool)
    by_networks = jackknifed(samples, lambda part: _with_exponents(depths, _logs(part), every))
    logs = by_networks[: len(sizes)].reshape((len(depths), len(KINDS)))
    log_sizes = Estimate(logs.value.T, logs.stderr.T, logs.n.T, np.broadcast_to(logs.df, logs.shape).T)
    return log_sizes, _larger_errors(by_networks[len(samples) :], depths, _logs(samples))


def _logs(samples: Floats) -> Floats:
    """Return half the logarithms of means over networks, the last axis: -inf where they are 0, NaN where below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(0.5 * np.log(samples.sum(axis=-1) / samples.shape[-1]))


def _with_exponents(depths: Sequence[int], logs: Floats, kept: NDArray[np.bool_]) -> Floats:
    return np.concatenate([logs, exponents(depths, logs, kept)])


def exponents(depths: Sequence[int], logs: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Return the exponents (9,) of the depths that are kept; ``logs`` are the sizes' by depth, then the sums'.

    h is one slope for all but the shallowest third of the depths, each with a level of its own.
    """
    sizes = logs[: len(depths) * len(KINDS)].reshape(len(depths), len(KINDS))
    x = np.log(np.array(depths, np.float64))[kept]
    x -= x.mean()
    with np.errstate(invalid="ignore"):
        slopes = x @ sizes[kept] / (x @ x)
        over, under, start = 0.0, 0.0, len(depths) * len(KINDS)
        for i, depth in enumerate(depths):
            count = len(steps(depth))
            if kept[i] and i >= len(depths) // 3:
                lag = np.log(2.0) * (np.arange(count) - 0.5 * (count - 1))
                over, under = over + float(lag @ logs[start : start + count]), under + float(lag @ lag)
            start += count
        hurst = over / under
    found = np.array([*slopes, hurst, slopes[KINDS.index("noise")] + hurst])
    return np.where(np.isfinite(found), found, np.nan)


def _larger_errors(by_networks: Estimate, depths: Sequence[int], logs: Floats) -> Estimate:
    """Return exponents with the larger of two errors: that of networks, and that of deleting one depth at a time."""
    count, deeper = len(depths), len(depths) - len(depths) // 3
    each = np.array([exponents(depths, logs, np.arange(count) != i) for i in range(count)])
    by_depths = np.sqrt((count - 1) / count * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    freedom = np.full(each.shape[1], count - 2.0)
    freedom[[HURST, NOISE_SUM]] = deeper - 1.0
    larger = ~(by_networks.stderr > by_depths)
    return Estimate(
        by_networks.value,
        np.where(larger, by_depths, by_networks.stderr),
        by_networks.n,
        np.where(larger, np.maximum(freedom, 1.0), by_networks.df),
    )
