"""Distances of networks from their own equations at several depths, and the exponents by which these fall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.words import brief, brief_repr, counted
from ..models.resnet import MAX_DEPTH
from ..results.estimates import MIN_NETWORKS, Estimate, Floats, mean_estimate
from ..tables import Column, Shown, Table


@dataclass(frozen=True, eq=False)
class Convergence(Shown):
    """Distances of single networks from their own equations, for the same networks at every depth.

    .. code-block:: text

        forward     |h_L - H(1)|/|H(1)|          backward    |p_0 - P(0)|/|P(0)|

    Attributes
    ----------
    depths : ndarray of int, shape (D,)
    forward, backward : ndarray, shape (D, networks)
        The distances; ``backward`` is None without gradients. Infinite or NaN where a network or its equation left the
        range of numbers.
    forward_slope, backward_slope : Estimate
        The mean over networks of the slope of ln(distance) against ln L, with the error that networks show: each one's
        distances at different depths belong together.
    order, backward_order : float
        The exponents of theory: the slopes tend to -order and -backward_order.
    """

    __repr__ = brief_repr

    depths: NDArray[np.int64]
    forward: Floats
    backward: Floats | None
    forward_slope: Estimate
    backward_slope: Estimate | None
    order: float
    backward_order: float

    def _table(self) -> Table:
        networks = self.forward.shape[1]
        there = [("forward", self.forward)]
        if self.backward is not None:
            there.append(("backward", self.backward))
        columns = [Column("depth", "depth", width=8)]
        columns += [Column(f"ln distance, {name}", name, width=24) for name, _ in there]
        logs = [mean_log(distances) for _, distances in there]
        rows: list[list[Any]] = [[int(depth), *(log[i] for log in logs)] for i, depth in enumerate(self.depths)]
        notes = [f"{name} {words}" for (name, _), words in zip(there, self.slopes, strict=True)]
        notes += self.remarks
        title = "distance of networks from their own equation"
        return Table(
            "convergence", title, columns, rows, [f"the same {counted(networks, 'network')} at every depth"], notes
        )

    @property
    def slopes(self) -> list[str]:
        """The slopes beside those of theory, in words."""
        found = [f"s = {self.forward_slope}, which tends to {-self.order:g} as L grows"]
        if self.backward_slope is not None:
            found.append(f"s = {self.backward_slope}, which tends to {-self.backward_order:g} as L grows")
        return found

    @property
    def remarks(self) -> list[str]:
        """How many networks have no logarithm, if any."""
        return left_out(self.forward, self.backward)

    def summary(self) -> Table:
        """Return a table of mean logarithms of distances by depth, and the slopes below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


def convergence(
    depths: Sequence[int], forward: Floats, backward: Floats | None, orders: tuple[float, float]
) -> Convergence:
    """Return the slopes of distances, (depths, networks)."""
    return Convergence(
        depths=np.array(depths),
        forward=forward,
        backward=backward,
        forward_slope=slope(depths, forward),
        backward_slope=None if backward is None else slope(depths, backward),
        order=orders[0],
        backward_order=orders[1],
    )


def relative_distance(difference: Floats, limit: Floats) -> float:
    """Return |difference|/|limit|; infinite or NaN where they left the range of numbers."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return float(np.linalg.norm(difference) / np.linalg.norm(limit))


def slope(depths: Sequence[int], values: Floats) -> Estimate:
    """Return the mean over networks of the slope of ln(values), (depths, networks), against ln L by least squares.

    Networks whose logarithms are not all finite are left out, and not counted.
    """
    x = np.log(np.array(depths, np.float64))
    x -= x.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        return _mean(x @ np.log(values) / (x @ x))


def mean_log(values: Floats) -> Estimate:
    """Return the mean logarithm of values (depths, networks) at every depth, over networks where it is finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [_mean(row) for row in np.log(values)]
    value, stderr = (np.array([float(getattr(one, part)) for one in each]) for part in ("value", "stderr"))
    return Estimate(value, stderr, np.array([int(one.n) for one in each]))


def left_out(*values: Floats | None, why: str = "0, or exploded") -> list[str]:
    """Say how many networks, the last axis, have values without a finite logarithm, why, and what comes of it."""
    finite = [np.isfinite(x) & (x > 0.0) for x in values if x is not None]
    there = np.all([x.reshape(-1, x.shape[-1]).all(axis=0) for x in finite], axis=0)
    missing = int((~there).sum())
    if not missing:
        return []
    said = f"{missing} of {counted(len(there), 'network')}, without a logarithm at some depth: {why}"
    few = f"; errors take {MIN_NETWORKS} others" if len(there) - missing < MIN_NETWORKS else ""
    return [f"left out: {said}{few}"]


def _mean(x: Floats) -> Estimate:
    x = x[np.isfinite(x)]
    centre = x.mean() if x.size else np.nan
    return mean_estimate(np.asarray(x.sum()), np.asarray(((x - centre) ** 2).sum()), np.asarray(x.size))


def checked_depths(given: Any, largest: int = MAX_DEPTH, why: str = "2^20 - 1", smallest: int = 1) -> list[int]:
    """Return the depths if they are at least two integers in a range, increasing; else raise ValueError."""
    if isinstance(given, str | bytes):
        raise ValueError(f"depths={brief(given)} is not allowed: it must be at least two integers, increasing")
    try:
        each = list(given.tolist() if hasattr(given, "tolist") else given)
    except TypeError:
        each = []
    depths = [checks.integer("depths", depth, smallest, largest, why) for depth in each]
    if len(depths) < 2 or any(a >= b for a, b in pairwise(depths)):
        raise ValueError(f"depths={brief(given)} is not allowed: it must be at least two integers, increasing")
    return depths
