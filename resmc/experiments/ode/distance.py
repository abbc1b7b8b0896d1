"""`distance`: how far residual networks are from the ordinary equations of which they are Euler's or Heun's steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._system import checks
from ..._system.progress import reporting
from ..._system.stopping import stoppable
from ..._system.words import brief_repr, counted
from ...models.fields import shown
from ...models.residual_network import ResidualNetwork
from ...results.arithmetic import share_networks
from ...results.estimates import Estimate, Floats
from ...results.propagation import Networks
from ...tables import Column, Shown, Table
from ..convergence import checked_depths, left_out, mean_log, slope
from ..networks import check_model
from .groups import SCHEMES, Found, Setting, measure
from .weights import WeightFunction, checked_functions

INTERPOLATIONS = ("linear", "constant")
MAX_NETWORKS = 10**6
MAX_DEPTH = 1 << 16
RESOLVED = 10.0  # times the resolution: distances below it say little
DEEP = 64  # slopes are those of networks of at least so many layers


@dataclass(frozen=True, eq=False)
class Distance(Shown):
    """Distances of networks from their ordinary equations, as `distance` returns them.

    Attributes
    ----------
    model : ResidualNetwork
        The network; its depth has no meaning here.
    depths : ndarray of int, shape (D,)
        N, layers or steps.
    networks, seed : int
    tolerance : float
        To which the equations are solved, in units of the largest |x(t)|.
    smooth : bool
        True if weights are smooth on all of [0, 1]; False if they are interpolated between layers.
    interpolation : {"linear", "constant"} or None
        Between layers; None for smooth weights.
    euler, heun : ndarray, shape (D, networks), or None
        max_k |x_k - x(k/N)| of each scheme that was asked for.
    euler_slope, heun_slope : Estimate or None
        Means over networks of the slopes of ln(distance) against ln N, by least squares over depths of at least 64; NaN
        where fewer than two are.
    bound : ndarray, shape (D, networks)
        (e^L - 1)/(2 L N) M + resolution, which Euler's distance does not exceed; infinite beyond float64.
    step_bound : ndarray, shape (D, networks)
        The same with the constants of each step, sum_k M_k/(2 N^2) prod_{j > k} (1 + L_j/N) + resolution.
    lipschitz, second : ndarray, shape (D, networks)
        L and M: Lipschitz constants of the equation, and bounds on |x''| along its solution.
    resolution : ndarray, shape (D, networks)
        The tolerance times the largest |x(t)|: what the solution may be off.
    origin : str
        How weights' norms and derivatives in L and M were obtained.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), proposition 1, for the first bound.
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    depths: NDArray[np.int64]
    networks: int
    seed: int
    tolerance: float
    smooth: bool
    interpolation: str | None
    euler: Floats | None
    heun: Floats | None
    euler_slope: Estimate | None
    heun_slope: Estimate | None
    bound: Floats
    step_bound: Floats
    lipschitz: Floats
    second: Floats
    resolution: Floats
    origin: str

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that were asked for."""
        return tuple(name for name in SCHEMES if getattr(self, name) is not None)

    def log_distance(self, scheme: str) -> Estimate:
        """Return means over networks of ln(distance) at every depth, of "euler" or "heun".

        Raises
        ------
        ValueError
            If the scheme was not asked for.
        """
        return mean_log(getattr(self, checks.choice("scheme", scheme, self.schemes)))

    def _table(self) -> Table:
        m, names = self.model, self.schemes
        columns = [Column("depth", "depth", width=8)]
        columns += [Column(f"ln distance, {name}", name, width=24) for name in names]
        logs = [self.log_distance(name) for name in names]
        bounds = [_log_bound(one) for one in (self.bound, self.step_bound)]
        columns += [Column("ln bound", "bound", width=24), Column("by step", "step_bound", width=24)]
        rows: list[list[Any]] = [
            [int(depth), *(log[i] for log in logs), *(one[i] for one in bounds)] for i, depth in enumerate(self.depths)
        ]
        notes = [f"{name} {words}" for name, words in zip(names, self.slopes, strict=True)]
        distances = [getattr(self, name) for name in names]
        notes += left_out(*distances)
        notes += [words for words in (self._too_near(name) for name in names) if words]
        bounded = "bounds, of Euler's distance alone"
        if "euler" not in names:
            bounded += ", which was not asked for"
        notes.append(f"{bounded}: from {self.origin}")
        weights = "smooth in time" if self.smooth else f"{self.interpolation} between layers"
        scaling = f"scaling {shown(m.scaling)}  bias {m.bias:.6g}"
        title = f"distance from the ordinary equation: {m.block} {m.activation}  width {m.width}  {scaling}"
        lines = [
            f"max_k |x_k - x(k/N)| of the same {counted(self.networks, 'network')} at every depth, seed {self.seed}",
            f"weights {weights}; equations solved to {self.tolerance:g}",
        ]
        return Table("ode_distance", title, columns, rows, lines, notes)

    def _too_near(self, scheme: str) -> str:
        """Say at which depths the solution is not exact enough for this scheme's distances, if at any."""
        near = np.median(getattr(self, scheme), axis=1) < RESOLVED * np.median(self.resolution, axis=1)
        depths = ", ".join(map(str, self.depths[near].tolist()))
        return (
            f"{scheme} at {depths}: distances near what the solution is off; use a smaller tolerance" if depths else ""
        )

    @property
    def slopes(self) -> list[str]:
        """The slopes in words, by scheme."""
        found = []
        for name in self.schemes:
            one: Estimate = getattr(self, f"{name}_slope")
            few = f", as it takes two depths of at least {DEEP}" if np.sum(self.depths >= DEEP) < 2 else ""
            found.append(f"distance ~ N^s, s = {one}{few}")
        return found

    def summary(self) -> Table:
        """Return a table of mean logarithms of distances and bounds by depth, and the slopes below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())


@stoppable()
def distance(
    model: ResidualNetwork,
    depths: Sequence[int] = (64, 128, 256, 512, 1024),
    *,
    networks: float = 32,
    seed: int = 0,
    schemes: str | Sequence[str] = SCHEMES,
    weights: Mapping[str, WeightFunction | Callable[[float], ArrayLike]] | None = None,
    interpolation: str = "linear",
    tolerance: float = 1e-10,
    progress: bool | Callable[[int, int], object] | None = None,
) -> Distance:
    """Measure how far residual networks are from the ordinary equations of which they are discretisations.

    .. code-block:: text

        dx/dt  = F(t, x) = N branch(theta(t), x),      x(0) = h_0         theta(k/N) = the weights of layer k
        Euler    x_{k+1} = x_k + F(k/N, x_k)/N                            the network itself
        Heun     x_{k+1} = x_k + (F(k/N, x_k) + F((k + 1)/N, x_k + F(k/N, x_k)/N))/(2N)
        distance = max_k |x_k - x(k/N)|

    N steps have N + 1 sets of weights, the branch its scaling c N^-beta. Smooth and tied weights are functions of time
    by themselves (increments those over a step of 1/N); independent layers, fractional noise and mixtures are
    interpolated. Distances of smooth weights at beta = 1 fall like 1/N (Euler) and 1/N^2 (Heun, smooth activations);
    those of independent layers at beta = 1/2 do not fall.

    Beside Euler's distance stand two bounds, `Distance.bound` and `Distance.step_bound`; Heun's has none here. A width
    of 40 at the default depths takes about ten seconds with smooth weights and a minute with interpolated ones.

    Parameters
    ----------
    model : ResidualNetwork
        A network with a `DepthScaling`, carry 1, and an activation without random signs. Its depth has no meaning here.
    depths : sequence of int
        N: at least two, increasing, 2 to 65,536.
    networks : int
        1 to 10^6; errors take 32.
    seed : int
        0 to 2^64 - 1. Starts and smooth or tied weights are those of ``simulate(.., seed=seed)``, networks 0 and on;
        all else comes from ``numpy.random.Philox``.
    schemes : str or sequence of str
        "euler", "heun" or both.
    weights : mapping, optional
        Functions of time that all networks have instead of the model's weights: from "V" and "W", as the block has
        them, and "b", if there is a bias, to a function of t or a `WeightFunction`. Networks differ in h_0 alone.
        Times are looked at 1/1024 apart at least; what happens within less may be missed.
    interpolation : {"linear", "constant"}
        For weights that layers alone have: on the line between two layers, or those of the layer before.
    tolerance : float
        To which equations are solved, relative to the largest |x(t)|: 1e-12 to 1e-2. A kinked activation with
        interpolated weights takes very long at the default.
    progress : bool or callable, optional
        As for `simulate`.

    Returns
    -------
    Distance

    Raises
    ------
    ValueError
        For any other model, or an argument out of range; if a network or an equation leaves the range of numbers (the
        message names the network and the layer), or the solver does not come to its end.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), section 3.
    """
    check_model(model)
    chosen = checked_depths(depths, MAX_DEPTH, "2^16", smallest=2)
    count = checks.integer("networks", networks, 1, MAX_NETWORKS, "10^6")
    seed = checks.integer("seed", seed, 0, 2**64 - 1, "2^64 - 1")
    checks.choice("interpolation", interpolation, INTERPOLATIONS)
    tolerance = checks.real("tolerance", tolerance)
    if not 1e-12 <= tolerance <= 1e-2:
        raise ValueError(f"tolerance={tolerance!r} is out of range: it must be from 1e-12 to 0.01")
    asked = checks.choices("schemes", schemes, SCHEMES)
    functions = None if weights is None else checked_functions(weights, model)
    setting = Setting(model, chosen, seed, interpolation, functions)
    found = Found(len(chosen), count)
    with reporting(progress, count, "distance to the equation") as report:
        for group in setting.groups(count):
            measure(setting, group, asked, tolerance, found)
            if report is not None:
                report(group.stop / count)
    slopes = {name: _slope(chosen, found.distances[name]) for name in asked}
    result = Distance(
        model=model,
        depths=np.array(chosen),
        networks=count,
        seed=seed,
        tolerance=tolerance,
        smooth=setting.smooth,
        interpolation=None if setting.smooth else interpolation,
        euler=found.distances["euler"] if "euler" in asked else None,
        heun=found.distances["heun"] if "heun" in asked else None,
        euler_slope=slopes.get("euler"),
        heun_slope=slopes.get("heun"),
        bound=found.bound + found.resolution,
        step_bound=found.step_bound + found.resolution,
        lipschitz=found.lipschitz,
        second=found.second,
        resolution=found.resolution,
        origin=found.origin,
    )
    return share_networks(result, Networks.of(seed, [(0, count)]))


def _slope(depths: list[int], distances: Floats) -> Estimate:
    """Return the slope over networks that are deep enough, NaN where fewer than two depths are."""
    deep = [i for i, depth in enumerate(depths) if depth >= DEEP]
    if len(deep) < 2:
        return Estimate(np.asarray(np.nan), np.asarray(np.nan), np.asarray(0))
    return slope([depths[i] for i in deep], distances[deep])


def _log_bound(bounds: Floats) -> Estimate:
    """Return means over networks of ln(bound), (D, networks): infinite, and without an error, where one of them is.

    A mean without the infinite ones would be no bound's.
    """
    found, infinite = mean_log(bounds), np.isinf(bounds).any(axis=1)
    return Estimate(np.where(infinite, np.inf, found.value), np.where(infinite, np.nan, found.stderr), found.n)
