"""How much rougher, or smoother, are weights over the layers after training?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from ..results.arithmetic import share_networks
from ..results.estimates import Estimate, Floats, mean_estimate
from ..results.groups import jackknifed
from ..results.propagation import Networks
from ..theory.roughness import PATHS
from ._result import Result
from .roughness import UNKNOWN, checked_weights, chosen_lags, mean_square_increments, pooled

TOLERANCE = 0.05  # a change of an exponent up to which roughness counts as kept


@dataclass(frozen=True, eq=False, repr=False)
class RoughnessChange(Result):
    """Exponents of the same networks' weights before and after training, as `roughness_change` returns them.

    Attributes
    ----------
    path : {"sums", "weights"}
    depth, paths : int
        Layers L, and entries of the weights of a network.
    before, after : Estimate
        Exponents, each as `resmc.roughness_exponent` has it.
    difference : Estimate
        after - before, of pairs: its error is that of networks that are compared with themselves.
    learnt : Estimate
        The exponent of after - before, the change itself as a path; NaN where weights have not moved.
    moved : Estimate
        Mean over networks of |after - before|/|before|, Frobenius norms over all layers and entries.
    lags : ndarray of int, shape (K,)
    mean_square_before, mean_square_after, mean_square_learnt : Estimate, shape (K,)
        q(m) of each.
    """

    _by_entry: ClassVar[tuple[str, ...]] = ("lags", "mean_square_before", "mean_square_after", "mean_square_learnt")

    path: str
    depth: int
    paths: int
    before: Estimate
    after: Estimate
    difference: Estimate
    learnt: Estimate
    moved: Estimate
    lags: NDArray[np.int64]
    mean_square_before: Estimate
    mean_square_after: Estimate
    mean_square_learnt: Estimate

    def verdict(self, tolerance: float = TOLERANCE, level: float = 0.95) -> str:
        """Return "kept", "rougher" or "smoother" where the interval of the difference says so, else "undecided".

        Kept is an exponent whose change lies within ``tolerance`` with its whole interval; rougher, or smoother, one
        whose whole interval is below -tolerance, or above it.

        Raises
        ------
        ValueError
            If ``tolerance`` is not above 0, or ``level`` not between 0 and 1.
        """
        tolerance = checks.real("tolerance", tolerance, positive=True)
        low, high = (float(end) for end in self.difference.interval(level))
        if -tolerance <= low and high <= tolerance:
            return "kept"
        if high < -tolerance:
            return "rougher"
        return "smoother" if low > tolerance else "undecided"


def roughness_change(
    before: ArrayLike,
    after: ArrayLike,
    *,
    path: str = "sums",
    axis: int = 0,
    members: int | None = None,
    lags: Sequence[int] | None = None,
) -> RoughnessChange:
    """Estimate how the roughness of weights over the layers has changed, network by network.

    Parameters
    ----------
    before, after : array of float, of one shape
        Weights of the same networks, as for `resmc.roughness_exponent`.
    path, axis, members, lags
        As for `resmc.roughness_exponent`.

    Raises
    ------
    ValueError
        As there, and for arrays of different shapes.
    """
    checks.choice("path", path, PATHS)
    both = [checked_weights(name, one, axis, members) for name, one in (("before", before), ("after", after))]
    if np.shape(checks.detached(before)) != np.shape(checks.detached(after)):
        raise ValueError(
            f"after of shape {np.shape(checks.detached(after))} is not allowed with before of shape "
            f"{np.shape(checks.detached(before))}: they are weights of the same networks"
        )
    networks, depth, entries = both[0].shape
    chosen = chosen_lags(lags, depth, path)
    count, change = len(chosen), both[1] - both[0]
    squares = np.stack([mean_square_increments(one, chosen, path) for one in (*both, change)], axis=1)

    def exponents(q: Floats) -> Floats:
        found = pooled(chosen, q)
        return np.concatenate([found, found[:, 1:2] - found[:, :1]], axis=1)

    found = jackknifed(squares, exponents)
    sizes = [np.sqrt(np.sum(one**2, axis=(1, 2))) for one in (both[0], change)]
    with np.errstate(divide="ignore", invalid="ignore"):  # Weights may have been 0.
        moved = sizes[1] / sizes[0]
        away = np.sum((moved - moved.mean()) ** 2)
    result = RoughnessChange(
        path=path,
        depth=depth,
        paths=entries,
        before=found[-1, 0],
        after=found[-1, 1],
        difference=found[-1, 3],
        learnt=found[-1, 2],
        moved=mean_estimate(moved.sum(), away, np.asarray(networks)),
        lags=np.array(chosen),
        mean_square_before=found[:count, 0],
        mean_square_after=found[:count, 1],
        mean_square_learnt=found[:count, 2],
    )
    return share_networks(result, Networks.of(UNKNOWN, [(0, networks)]))
