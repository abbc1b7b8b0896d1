"""Checks of a file's arrays against its manifest and each other: no simulation could have made what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.sums import ACTIVITY_SUMS, NORM_SUMS
from .kept import Samples, Trajectories
from .manifest import Manifest, networks_within

LARGEST = 1e200  # no sum of logarithms, of A, or of W in its own unit comes near it
LARGEST_EXPONENT = 1 << 40  # a layer changes the exponent by some hundreds at most
LARGEST_BIN = 1 << 56  # a law with values beyond 2^40 is none


def check_layers(layers: NDArray[np.int64], depth: int) -> None:
    """Refuse layers that are not increasing from 0 to ``depth``."""
    if layers[0] != 0 or layers[-1] != depth or not (layers[1:] > layers[:-1]).all():
        raise ValueError(f"its layers are not increasing from 0 to the depth, {depth}")


def check_networks(networks: NDArray[np.int64], manifest: Manifest) -> None:
    """Refuse numbers of networks by group that are not those of the ranges."""
    if not np.array_equal(networks, manifest.networks):
        raise ValueError("its ranges of networks do not have as many networks in each group as its sums")


def check_norms(name: str, records: NDArray[Any], networks: NDArray[np.int64], quotient: bool = False) -> None:
    """Refuse sums of norms, records of the groups that hold ``networks``, that contradict each other.

    Sums of a ``quotient`` may have overflowed: its start may be far smaller than what it is compared with.
    """
    alive, exponents = records["alive"], records["growth_exponent"]
    floats = _floats(records, NORM_SUMS, 4)
    _check_counts(f"{name}.alive", alive, networks[:, None])
    _check_counts(f"{name}.startless", records["startless"], networks[:, None])
    _check_counts(f"{name}.startless_alive", records["startless_alive"], np.minimum(records["startless"], alive))
    _check_finite(name, floats[..., :6] if quotient else floats)
    growth = floats[..., 6:]
    if not (growth >= 0.0).all() or (floats[..., 1::4] < 0.0).any():  # NaN is not
        raise ValueError(f"{name} has a sum of squares below 0")
    # A fourth moment is merged with terms of either sign, so that rounding may take one that is 0 below it.
    if (floats[..., 3] < -1e-6 * floats[..., 1] ** 2 - 1e-100).any():
        raise ValueError(f"{name} has a sum of squares below 0")
    if (exponents > LARGEST_EXPONENT).any() or (exponents < -LARGEST_EXPONENT).any():
        raise ValueError(f"{name} has an exponent out of range")
    if not alive.all() and floats[alive == 0].any():
        raise ValueError(f"{name} has sums over no networks that are not 0")


def check_activity(name: str, records: NDArray[Any], alive: NDArray[np.int64], width: int | NDArray[np.int64]) -> None:
    """Refuse sums of activity over the networks ``alive`` that contradict each other; ``width`` may be by layer."""
    inactive, active = records["inactive"], records["active"]
    floats = _floats(records, ACTIVITY_SUMS, 2)
    _check_counts(f"{name}.inactive", inactive, alive)
    _check_finite(name, floats)
    if (active < 0).any() or (active > (alive - inactive) * np.asarray(width, np.float64)).any():
        raise ValueError(f"{name} has more active neurons than there are")
    if (floats[..., 1:] < 0.0).any():
        raise ValueError(f"{name} has a sum of squares below 0")


def check_products(name: str, sums: NDArray[np.float64], squares: bool) -> None:
    """Refuse sums over pairs of layers that are infinite, or sums of ``squares`` below 0."""
    _check_finite(name, sums)
    if squares and (sums < 0.0).any():
        raise ValueError(f"{name} has a sum of squares below 0")


def check_histogram(counts: NDArray[Any], alive: NDArray[np.int64]) -> None:
    """Refuse counts (G, bins) that do not add up to the networks ``alive`` (G,) at the last layer."""
    # In float64 no sum wraps around; equal ones are then equal as integers, too.
    if (counts.sum(axis=1, dtype=np.float64) > 2.0**52).any() or (counts.sum(axis=1, dtype=np.int64) != alive).any():
        raise ValueError("its histogram does not hold as many networks as are alive at the last layer")


def check_law(name: str, bins: NDArray[np.int64], counts: NDArray[np.int64], zeros: int, networks: int) -> None:
    """Refuse a law whose bins are not increasing, or whose counts are not those of ``networks``."""
    if not (bins[1:] > bins[:-1]).all() or (len(bins) and not -LARGEST_BIN <= bins[0] <= bins[-1] <= LARGEST_BIN):
        raise ValueError(f"laws.{name} has bins that are not increasing, or out of range")
    _check_counts(f"laws.{name}", counts - 1, np.int64(networks))
    if counts.sum(dtype=np.float64) > networks or int(counts.sum()) + zeros != networks:
        raise ValueError(f"laws.{name} does not hold as many networks as there are")


def check_kept(name: str, kept: Samples | Trajectories, manifest: Manifest) -> None:
    """Refuse values of single networks that are not in the ranges, or no logarithm of a norm."""
    if not networks_within(kept.networks, manifest.ranges):
        raise ValueError(f"{name}.networks are not increasing, or not in the ranges")
    if not (kept.log_norm <= LARGEST).all():  # NaN is not, -infinity is
        raise ValueError(f"{name}.log_norm is no logarithm of a norm")
    if isinstance(kept, Samples) and np.isnan(kept.output).any():
        raise ValueError(f"{name}.output is no number")


def _floats(records: NDArray[Any], dtype: np.dtype[Any], integers: int) -> NDArray[np.float64]:
    """The floats of records, which stand behind so many integers: (G, R, k), a view."""
    words = dtype.itemsize // 8
    return records.view(np.float64).reshape(*records.shape, words)[..., integers:]


def _check_counts(name: str, counts: NDArray[np.int64], most: NDArray[np.int64] | np.int64) -> None:
    if (counts < 0).any() or (counts > most).any():
        raise ValueError(f"{name} counts fewer networks than none, or more than there are")


def _check_finite(name: str, floats: NDArray[np.float64]) -> None:
    if not (np.abs(floats) <= LARGEST).all():
        raise ValueError(f"{name} has a sum that is infinite, or no number")
