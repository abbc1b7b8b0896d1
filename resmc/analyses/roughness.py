"""How rough are weights as functions of the layer?

One number to a layer is a path, and how fast its mean square increments grow with the lag says how rough it is: the
exponent is H for fractional noise, 1/2 for independent layers and 1 for smooth ones (`resmc.theory.roughness`). Marion,
Fermanian, Biau, Vert (arXiv 2206.06929, section 5) look at one weight against k/L before and after training; here it is
a number with an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.words import brief, counted
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats
from ..results.groups import jackknifed
from ..results.propagation import Networks
from ..tables import Table
from ..theory.roughness import PATHS, path_exponents
from ._result import Result

SHARE = 16  # the longest lag by default, as a part of the depth: a process of length 1/10 is smooth below it
UNKNOWN = "networks of an array"  # in place of a seed
LARGEST = 1e140  # weights whose squares, summed, stay in the range of numbers
ALLOWED = "it must be an array of real numbers, with an axis of layers"


@dataclass(frozen=True, eq=False, repr=False)
class RoughnessExponent(Result):
    """The exponent of paths over the layers, as `roughness_exponent` returns it.

    Attributes
    ----------
    path : {"sums", "weights"}
    depth : int
        Layers L.
    paths : int
        Entries of the weights of a network: each has a path.
    exponent : Estimate
        Slope of (1/2) ln q(m) against ln m over all lags; NaN where a q(m) is 0.
    lags : ndarray of int, shape (K,)
        The lags m.
    mean_square : Estimate, shape (K,)
        q(m): the mean of (X_{k+m} - X_k)^2 over places k, entries and networks.
    local_exponent : Estimate, shape (K,)
        (1/2) ln(q(m')/q(m))/ln(m'/m) from the lag before to each; NaN at the first. Noise that lies upon a smooth
        trend rules short lags, and the trend long ones: then it rises.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("lags", "mean_square", "local_exponent")

    path: str
    depth: int
    paths: int
    exponent: Estimate
    lags: NDArray[np.int64]
    mean_square: Estimate
    local_exponent: Estimate

    def summary(self) -> Table:
        """Return a table by lag, below the exponent."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def roughness_exponent(
    weights: ArrayLike,
    *,
    path: str = "sums",
    axis: int = 0,
    members: int | None = None,
    lags: Sequence[int] | None = None,
) -> RoughnessExponent:
    """Estimate the exponent of weights as paths over the layers, from mean square increments at several lags.

    .. code-block:: text

        X_k = theta_0 + .. + theta_{k-1}  (sums),  or  X_k = theta_k  (weights)
        q(m) = mean over places k, entries and networks of (X_{k+m} - X_k)^2,      q(m) ~ m^(2 exponent)

    With ``path="sums"`` the exponent is 1/2 for independent layers, H for fractional noise, and 1 for weights that are
    a continuous function of k/L; with ``path="weights"`` it is that function's own: 0 for noise, 1/2 for a random walk
    over the layers, 1 for a smooth function. Of the second a little noise takes much, as it rules short lags.

    q(m) has no bias, whatever the lag, and for sums of fractional noise it is m^(2H) at every lag; so there the
    exponent is off only by what the logarithm's bend makes of q's error, half of its relative variance. Smooth weights
    stay below 1 by what the longest lag is of their correlation length: at L = 100 and length 0.1 sums have 0.996 and
    weights 0.987 by default (`resmc.theory.roughness.increment_mean_squares` has q(m) exactly). Fractional noise
    itself, the path "weights", has no power law: q(m) = 2 - 2 r(m) tends to 2, and at L = 100 and H = 0.7 the exponent
    is 0.09.

    Nothing is subtracted: a mean over the layers that is not 0 is a smooth trend. Where networks differ in size, q(m)
    is that of the large ones. Arrays do not say whether they have networks in common, as weights before and after
    training have, so a difference of two such estimates has no error: `resmc.analyses.roughness_change` pairs networks.

    Parameters
    ----------
    weights : array of float
        One axis for the L layers, at least 2 (3 for ``path="weights"``); all others but ``members`` are entries, such
        as (L, n, n), or (networks, L, n, n) with ``axis=1, members=0``. Arrays, tensors and nested lists.
    path : {"sums", "weights"}
    axis : int
        The axis of the layers.
    members : int, optional
        The axis of independent networks. Errors are those that networks show, and take 32: entries of one network are
        not independent once it is trained. Without it there is one network, and no error.
    lags : sequence of int, optional
        At least two, increasing, to L for sums and L - 1 for weights; by default 1, 2, 4, .. up to L/16, and at least
        1 and 2.

    Raises
    ------
    ValueError
        For an argument out of range, or weights that are not all finite.

    Source: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 5, for one weight against the layer; the relation
    E (B_{t+m} - B_t)^2 = m^(2H) defines fractional Brownian motion (Mandelbrot and Van Ness 1968, SIAM Review 10).
    """
    checks.choice("path", path, PATHS)
    by_network = checked_weights("weights", weights, axis, members)
    networks, depth, entries = by_network.shape
    chosen = chosen_lags(lags, depth, path)
    found = jackknifed(mean_square_increments(by_network, chosen, path), lambda q: pooled(chosen, q))
    count = len(chosen)
    result = RoughnessExponent(
        path=path,
        depth=depth,
        paths=entries,
        exponent=found[-1],
        lags=np.array(chosen),
        mean_square=found[:count],
        local_exponent=found[count:-1],
    )
    return share_networks(result, Networks.of(UNKNOWN, [(0, networks)]))


def pooled(lags: Sequence[int], mean_squares: Floats) -> Floats:
    """Return q(m) over all networks, the exponents from lag to lag and the slope in one array, (2K + 1, ..).

    ``mean_squares`` is (K, .., networks).
    """
    with np.errstate(invalid="ignore"):  # A jackknife of one network leaves none.
        q = mean_squares.sum(axis=-1) / mean_squares.shape[-1]
    return np.concatenate([q, path_exponents(lags, q)])


def mean_square_increments(weights: Floats, lags: Sequence[int], path: str) -> Floats:
    """Return the mean over places and entries of squared increments, (K, networks), of weights (networks, L, ..)."""
    found = np.empty((len(lags), len(weights)))
    for i, x in enumerate(weights):  # Paths of one network stay in a cache.
        if path == "sums":
            x = np.concatenate([np.zeros_like(x[:1]), x.cumsum(axis=0)])
        with np.errstate(over="ignore"):
            found[:, i] = [np.mean((x[m:] - x[:-m]) ** 2) for m in lags]
    return found


def chosen_lags(given: Sequence[int] | None, depth: int, path: str) -> list[int]:
    """Return the lags that are asked for, or 1, 2, 4, .. up to depth/16, and at least 1 and 2."""
    longest = depth if path == "sums" else depth - 1
    if longest < 2:
        raise ValueError(
            f"weights of {counted(depth, 'layer')} are not allowed: path={path!r} takes {2 + (path != 'sums')} or more"
        )
    if given is None:
        return [1 << i for i in range(max(2, (depth // SHARE).bit_length()))]
    several = checks.increasing("lags", given, longest)
    if len(several) < 2 or list(several) != list(given):
        raise ValueError(f"lags={brief(given)} is not allowed: it must be at least two integers, increasing")
    return [checks.integer("lags", lag, 1, longest, f"of {depth} layers") for lag in several]


def checked_weights(name: str, weights: ArrayLike, axis: Any, members: Any) -> Floats:
    """Return finite weights as (networks, layers, entries)."""
    array = checks.numbers(name, weights, ALLOWED)
    if not array.ndim or not array.size:
        raise ValueError(f"{name} of shape {array.shape} are not allowed: {ALLOWED}")
    places = [checks.integer("axis", axis, -array.ndim, array.ndim - 1) % array.ndim]
    if members is None:
        array, places = array[None], [0, places[0] + 1]
    else:
        places = [checks.integer("members", members, -array.ndim, array.ndim - 1) % array.ndim, *places]
        if places[0] == places[1]:
            raise ValueError(f"members={members} is not allowed: axis={axis} is that of the layers")
    moved = np.moveaxis(array, places, (0, 1))
    found = moved.reshape(*moved.shape[:2], -1)
    bad = int((~np.isfinite(found).all(axis=(1, 2))).sum())
    if bad:
        which = f"{name} are" if members is None else f"{name} of {bad} of {counted(len(found), 'network')} are"
        raise ValueError(f"{which} not all finite: leave out what has exploded")
    largest = float(np.abs(found).max())
    if largest and not 1.0 / LARGEST < largest < LARGEST:
        raise ValueError(
            f"{name} of up to {largest:.3g} are out of range, as their squares are beyond the numbers of float64: "
            "multiply all of them by one number"
        )
    return found
