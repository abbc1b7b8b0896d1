"""`frontier`: the exponent of the depth by which small branches with fractional noise add up, measured by slopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.progress import reporting
from .._system.stopping import stoppable
from .._system.words import brief, brief_repr, counted
from ..models import inner_width
from ..models.dropout import DEPTH, refuse_dropout
from ..models.processes import FractionalNoise, hurst_exponents
from ..models.residual_network import ResidualNetwork
from ..models.scaling import DepthScaling
from ..models.weights import Weights
from ..results.arithmetic import share_networks
from ..results.estimates import MIN_NETWORKS, Estimate, Floats
from ..results.groups import jackknifed
from ..results.propagation import Networks
from ..tables import Column, Shown, Table
from ..theory.depth_kinds import noise_exponent
from ..theory.noise_response import response_mean_square
from .convergence import checked_depths
from .networks import OneNetwork

SMALL = 2.0**-10  # size of a branch's sum, beside h_0: its square is what the response is not linear by
MAX_NETWORKS = 10**6


@dataclass(frozen=True, eq=False)
class FrontierSlopes(Shown):
    """Exponents e by which |h_L - h_0| grows like s L^e with small s, as `frontier` returns them.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its weights, depth and scaling have no meaning here, but for a scaling inside.
    hurst : ndarray, shape (K,)
    depths : ndarray of int, shape (D,)
    networks, seed : int
    response : Estimate, shape (K, D)
        Mean over networks of |h_L - h_0|^2/(|h_0|^2 s^2).
    exponent : Estimate, shape (K,)
        Half of the slope of ln(response) against ln L.
    exact : ndarray, shape (K,)
        What the slope is by theory at these depths, for small s; NaN where it is not known.
    limit : ndarray, shape (K,)
        The exponent as L grows: the frontier in beta between the identity and explosion.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    hurst: Floats
    depths: NDArray[np.int64]
    networks: int
    seed: int
    response: Estimate
    exponent: Estimate
    exact: Floats
    limit: Floats

    @property
    def z_score(self) -> Floats:
        """(exponent - exact)/error, (K,)."""
        return (self.exponent.value - self.exact) / self.exponent.stderr

    def _table(self) -> Table:
        m, z = self.model, self.z_score
        columns = [
            Column("H", "hurst", width=8),
            Column("exponent +- standard error", "exponent", width=28),
            Column("exact at these depths", "exact", width=23, digits=4),
            Column("z", "z_score", width=8, digits=3),
            Column("as L grows", "limit", digits=4),
        ]
        rows = [
            [float(h), self.exponent[i], float(self.exact[i]), float(z[i]), float(self.limit[i])]
            for i, h in enumerate(self.hurst)
        ]
        inside = ", scaling inside" * m.inside
        title = f"frontier of {m.block}, {m.activation}{inside}  width {m.width}, fractional noise of H"
        depths = ", ".join(map(str, self.depths.tolist()))
        lines = [f"|h_L - h_0| ~ s L^exponent, depths {depths}, {counted(self.networks, 'network')}, seed {self.seed}"]
        return Table("frontier", title, columns, rows, lines)

    def summary(self) -> Table:
        """Return a table of exponents by H, beside what theory has at these depths and as L grows."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def frontier(
    model: ResidualNetwork,
    hurst: Sequence[float] | NDArray[Any] = (0.1, 0.3, 0.5, 0.7, 0.9),
    depths: Sequence[int] = (256, 512, 1024, 2048, 4096),
    *,
    networks: float = 64,
    seed: int = 0,
    progress: bool | Callable[[int, int], object] | None = None,
) -> FrontierSlopes:
    """Measure by which power of the depth branches add up whose weights are fractional noise.

    A scaling L^-beta leads to the identity if beta is above that power, and the change of h grows if it is below. For
    v-phi-w the power is max(H, 1/2), or max(2H - 1, 1/2) with an odd activation: independent V and W destroy what keeps
    noise of H < 1/2 together. For phi-in, and phi-out with the scaling inside, it is H, to first order in s; the second
    order adds up to s^2 L.

    Branches are so small, s = 2^-10 L^-e, that the response is linear: the power is that of the first order, and no
    network explodes. The slope is taken over all depths, as mean squares over networks; each network is followed at
    every depth, so errors come from networks. Slopes approach their limit slowly near H = 1/2, like L^-|1 - 2H|: the
    exact slope at these depths is beside them where it is known.

    The time grows with networks x width^2 x depth: at a width of 16, 64 networks take about a minute by default.

    Parameters
    ----------
    model : ResidualNetwork
        A network with carry 1, and an activation without random signs. Its weights are replaced.
    hurst : sequence of float
        Values of H, above 0 and below 1, all different; the result has them in increasing order.
    depths : sequence of int
        At least two, increasing.
    networks : int
        At least 32.
    seed : int
        0 to 2^64 - 1; other H have other networks.
    progress
        As for `simulate`.

    Raises
    ------
    ValueError
        For a model that cannot have these weights, or an argument out of range.
    """
    chosen = checked_depths(depths)
    networks = checks.integer("networks", networks, MIN_NETWORKS, MAX_NETWORKS, "10^6")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    models = [_with_noise(model, h, chosen[-1]) for h in hurst_exponents(hurst)]
    squares = np.empty((len(models), len(chosen), networks))
    with reporting(progress, len(models) * networks, "frontier") as report:
        for k, one in enumerate(models):
            for i in range(networks):
                network = OneNetwork(one, seed, k * networks + i, chosen[-1])
                start = float(np.vdot(network.h0, network.h0))
                for j, depth in enumerate(chosen):
                    moved = network.followed(depth, gradients=False).moved
                    squares[k, j, i] = np.vdot(moved, moved) / start / _scale(one, depth) ** 2
                if report is not None:
                    report((k * networks + i + 1) / squares[:, 0].size)
    return _collect(model, models, chosen, seed, squares)


def _collect(
    model: ResidualNetwork, models: Sequence[ResidualNetwork], depths: list[int], seed: int, squares: Floats
) -> FrontierSlopes:
    """Estimate responses and their slopes from squares (K, D, networks)."""
    networks = squares.shape[2]
    hurst = np.array([one.weights.dependence.hurst for one in models])  # type: ignore[union-attr]
    exact = np.stack([response_mean_square(model, h, depths) for h in hurst])
    result = FrontierSlopes(
        model=model,
        hurst=hurst,
        depths=np.array(depths),
        networks=networks,
        seed=seed,
        response=jackknifed(squares, lambda part: part.mean(axis=2)),
        exponent=jackknifed(squares, lambda part: _half_slopes(part.mean(axis=2), depths)),
        exact=_half_slopes(exact, depths),
        limit=np.array([noise_exponent(model, h) for h in hurst]),
    )
    return share_networks(result, Networks.of(seed, [(0, len(models) * networks)]))


def _scale(model: ResidualNetwork, depth: int) -> float:
    assert isinstance(model.scaling, DepthScaling)
    return model.scaling.at(depth)


def _half_slopes(squares: Floats, depths: Sequence[int]) -> Floats:
    """Return half of the slope of ln(squares) (.., D) against ln L by least squares."""
    x = np.log(np.array(depths, np.float64))
    x -= x.mean()
    return np.asarray(0.5 * np.log(squares) @ x / (x @ x))


def _with_noise(model: Any, hurst: float, depth: int) -> ResidualNetwork:
    """Return the network with fractional noise and small branches."""
    if not isinstance(model, ResidualNetwork):
        raise ValueError(f"model={brief(model)} is not allowed: it must be a ResidualNetwork")
    if model.carry != 1.0:
        raise ValueError(f"carry={model.carry!r} is not allowed: it must be 1, or h_0 is not what all layers see")
    if model.sigma.signed:
        raise ValueError(f"activation={model.activation!r} is not allowed: its signs are drawn in every layer")
    refuse_dropout(model.keep, *DEPTH)
    inner_width.refuse_inner_width(model.inner_width, *inner_width.DEPENDENT)
    if model.inside and model.sigma.at_zero != 0.0:
        raise ValueError(
            f"activation={model.activation!r} is not allowed with the scaling inside: sigma(0) = "
            f"{model.sigma.at_zero:g} is added in every layer, however small the scaling; it must be 0"
        )
    scaling = DepthScaling(noise_exponent(model, hurst), SMALL, model.inside)
    return replace(model, depth=depth, scaling=scaling, weights=Weights(depth=FractionalNoise(hurst)))
