"""`quadratic_variation`: how far a network goes, and by how much it moves on the way, as its depth grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.progress import reporting
from .._system.stopping import stoppable
from .._system.words import brief_repr, counted
from ..models.residual_network import ResidualNetwork
from ..results.arithmetic import share_networks
from ..results.estimates import MIN_NETWORKS, Estimate, Floats
from ..results.propagation import Networks
from ..tables import Column, Shown, Table
from ..theory.depth_kinds import response_slopes
from .convergence import checked_depths, left_out, mean_log, slope
from .networks import OneNetwork, check_model

MAX_NETWORKS = 10**6


@dataclass(frozen=True, eq=False)
class QuadraticVariation(Shown):
    """Change and quadratic variation of networks of several depths, as `quadratic_variation` returns them.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    depths : ndarray of int, shape (D,)
    seed : int
    change : ndarray, shape (D, networks)
        |h_L - h_0|/|h_0|.
    variation : ndarray, shape (D, networks)
        sum_k |h_{k+1} - h_k|^2/|h_0|^2.
    change_slope, variation_slope : Estimate
        Means over networks of the slopes of their logarithms against ln L; each network is followed at every depth.
    response : (float, float)
        The slopes of small branches as L grows: e - beta and 1 - 2 beta, e of `theory.depth_kinds.noise_exponent`.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    depths: NDArray[np.int64]
    seed: int
    change: Floats
    variation: Floats
    change_slope: Estimate
    variation_slope: Estimate
    response: tuple[float, float]

    def _table(self) -> Table:
        names = {"change": "ln |h_L - h_0|/|h_0|", "variation": "ln sum |h_{k+1} - h_k|^2/|h_0|^2"}
        logs = {name: mean_log(getattr(self, name)) for name in names}
        columns = [Column("depth", "depth", width=8)]
        columns += [Column(words, name, width=36) for name, words in names.items()]
        rows: list[list[Any]] = [
            [int(depth), *(log[i] for log in logs.values())] for i, depth in enumerate(self.depths)
        ]
        notes = [
            f"{words}: slope {found} in ln L; that of small branches tends to {small:.6g}"
            for words, found, small in zip(
                names.values(), (self.change_slope, self.variation_slope), self.response, strict=True
            )
        ]
        notes += left_out(self.change, self.variation)
        title = f"quadratic variation of {self.model.title_of_any_depth}"
        networks = counted(self.change.shape[1], "network")
        lines = [f"the same {networks} at every depth, seed {self.seed}; means of logarithms"]
        return Table("quadratic_variation", title, columns, rows, lines, notes)

    def summary(self) -> Table:
        """Return a table by depth, and both slopes below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def quadratic_variation(
    model: ResidualNetwork,
    depths: Sequence[int] = (64, 256, 1024, 4096),
    *,
    networks: float = 32,
    seed: int = 0,
    progress: bool | Callable[[int, int], object] | None = None,
) -> QuadraticVariation:
    """Measure the change |h_L - h_0|/|h_0| of networks, and their quadratic variation, at several depths.

    .. code-block:: text

                                       change                quadratic variation      limit
        smooth, beta = 1               bounded               falls like 1/L           an ordinary equation
        independent, beta = 1/2        bounded               bounded                  Ito's
        H < 1/2, beta = H              bounded               grows like L^(1 - 2H)    neither
        independent, beta < 1/2        grows                 grows like L^(1 - 2 beta)   none

    The third is the case that is neither, with fractional noise and phi-in, or phi-out with the scaling inside: a
    solution of an ordinary equation has no quadratic variation and one of Ito's has a finite one. A quadratic variation
    that diverges alone proves nothing, as the last row shows: it takes both slopes.

    This is the first order in c, which a small c shows alone. To second order, products of the noise of different
    layers, noise contracts h, by c^2 L^(1 - 2H)/(2n) in its logarithm in a linear network and half of that with ReLU:
    where that is not small the variation grows less, up to about n. For H < 1/4 these products also fluctuate, by about
    c^2 L^(1/2 - 2H), and the change grows so slowly too.

    Parameters
    ----------
    model : ResidualNetwork
        A network with a `DepthScaling`, carry 1, and an activation without random signs.
    depths : sequence of int
        At least two, increasing. Noise is one path, of which a network of depth L takes the first L layers; smooth
        weights are the same functions of k/L at every depth.
    networks : int
        At least 32.
    seed : int
        0 to 2^64 - 1.
    progress
        As for `simulate`.

    Raises
    ------
    ValueError
        For any other model, or an argument out of range.

    Source: Cont, Rossier, Xu (arXiv 2212.08199), section 3, estimate both in trained networks.
    """
    check_model(model)
    chosen = checked_depths(depths)
    networks = checks.integer("networks", networks, MIN_NETWORKS, MAX_NETWORKS, "10^6")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    one = replace(model, depth=chosen[-1])
    found = np.empty((2, len(chosen), networks))
    with reporting(progress, networks, "quadratic variation") as report, np.errstate(over="ignore", invalid="ignore"):
        for i in range(networks):
            network = OneNetwork(one, seed, i, chosen[-1])
            start = float(np.vdot(network.h0, network.h0))
            for j, depth in enumerate(chosen):
                ends = network.followed(depth, gradients=False)
                found[:, j, i] = np.sqrt(np.vdot(ends.moved, ends.moved) / start), ends.quadratic_variation / start
            if report is not None:
                report((i + 1) / networks)
    result = QuadraticVariation(
        model=model,
        depths=np.array(chosen),
        seed=seed,
        change=found[0],
        variation=found[1],
        change_slope=slope(chosen, found[0]),
        variation_slope=slope(chosen, found[1]),
        response=response_slopes(model),
    )
    return share_networks(result, Networks.of(seed, [(0, networks)]))
