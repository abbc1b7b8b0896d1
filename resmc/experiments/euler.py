"""Euler's scheme for the limiting equation of a deep network, forward and backward, on two grids with the same noise.

The time [0, 1] has M steps. The forward pass is H_{k+1} = H_k + drift + noise of step k. The backward pass is
P_k = P_{k+1} + G_k^T P_{k+1} with G_k drawn given the forward increment, as `resmc.theory.depth` says. The coarse grid
of M/2 steps takes the fine grid's normals, added in pairs, and a trend's values at every other time.
"""

from __future__ import annotations

import numpy as np

from .._system.stopping import look
from ..models.residual_network import ResidualNetwork
from ..results.estimates import Floats
from ..theory.depth import DepthSDE
from ..theory.processes import smooth_series
from ..theory.trend_noise import TrendNoiseSDE
from .paths import Layout, SmoothPath

CHUNK_BYTES = 1 << 26  # memory for the paths of the networks that are simulated together
MAX_BYTES = 1 << 28  # memory allowed for one network's path
MAX_CHUNK = 1024  # networks simulated together; more would not fit into the cache


def chunk(sde: DepthSDE, steps: int, gradients: bool) -> int:
    """Return how many networks to simulate together, so that both grids' paths (or, forward only, states) fit.

    A trend has all entries of its matrices at every step of the fine grid, and in every term of its series.

    Raises
    ------
    ValueError
        If one network takes more than there is for it.
    """
    width, cure = sde.model.width, "fewer steps" + " or gradients=False" * gradients
    one = 8 * width * (steps + steps // 2 + 2 if gradients else 16)
    if isinstance(sde, TrendNoiseSDE) and has_trend(sde):
        terms = 2 * len(smooth_series(sde.trend.length).variances)
        one += 8 * max(steps, terms) * Layout(sde.model).size
        cure = f"a trend longer than {sde.trend.length:g}" if terms > steps else cure
    if one > MAX_BYTES:
        raise ValueError(f"width={width} with steps={steps} would take {one / 2**30:.1f} GiB for one network: {cure}")
    return int(np.clip(CHUNK_BYTES // one, 1, MAX_CHUNK))


def has_trend(sde: DepthSDE) -> bool:
    """Return True if the equation has a trend besides its noise."""
    return isinstance(sde, TrendNoiseSDE) and sde.c_trend != 0.0


class Trend:
    """The trend of some networks at the steps of a fine grid: its part in the drift, and that in the gradient's."""

    def __init__(self, sde: TrendNoiseSDE, rng: np.random.Generator, count: int, steps: int) -> None:
        self.push_factor, self.layout, n = sde.push, Layout(sde.model), sde.model.width
        sigma, inside = sde.model.sigma, sde.model.inside
        self.value = (lambda h: h) if inside else sigma.value
        self.slope = np.ones_like if inside else sigma.slope
        path = SmoothPath.drawn(sde.trend, rng, np.tile(self.layout.scale, count))
        entries = path.times(np.arange(steps) / steps).reshape(steps, count, self.layout.size)
        self.matrix = entries[:, :, : n * n].reshape(steps, count, n, n)
        self.bias = entries[:, :, n * n :].swapaxes(1, 2) if self.layout.b else None

    def push(self, k: int, h: Floats) -> Floats:
        """Return what the trend adds per time to H (n, N) at step k of the fine grid."""
        moved = np.matmul(self.matrix[k], self.value(h).T[:, :, None])[:, :, 0].T
        return np.asarray(self.push_factor * (moved if self.bias is None else moved + self.bias[k]))

    def pull(self, k: int, h: Floats, p: Floats) -> Floats:
        """Return what the trend adds per time to P (n, N), backwards."""
        pulled = np.matmul(p.T[:, None, :], self.matrix[k])[:, 0, :].T
        return np.asarray(self.push_factor * self.slope(h) * pulled)


class Grid:
    """Euler's scheme for some networks on one grid; arrays are (width, networks), so that sums over neurons are fast.

    The scheme adds up H - H_0 and P - P_1 instead of H and P, whose differences would lose digits where c is small. A
    step of this grid is ``stride`` steps of that of the trend.
    """

    def __init__(
        self, sde: DepthSDE, h0: Floats, steps: int, keep: bool, trend: Trend | None = None, stride: int = 1
    ) -> None:
        self.sde, self.h0, self.c2_dt = sde, h0, sde.c**2 / steps
        self.trend, self.stride, self.dt = trend, stride, 1.0 / steps
        self.moved = np.zeros((steps + 1 if keep else 1, *h0.shape))  # H_k - H_0 for every k, or for the last alone

    def forward(self, k: int, normal: Floats) -> None:
        """Take the forward step from k to k + 1."""
        before, after = (k, k + 1) if len(self.moved) > 1 else (0, 0)
        h = self.h0 + self.moved[before]
        step = np.sqrt(self.c2_dt * self.sde.variance(h)) * normal
        step += self._drift(k, h)
        np.add(self.moved[before], step, out=self.moved[after])

    def start_backward(self, p1: Floats) -> None:
        """Begin the backward pass with P_1."""
        self.p1, self.pulled = p1, np.zeros(p1.shape)

    def backward(self, k: int, normal: Floats) -> None:
        """Take the backward step from k + 1 to k."""
        h, p = self.h0 + self.moved[k], self.p1 + self.pulled
        noise = self.moved[k + 1] - self.moved[k]
        noise -= self._drift(k, h)
        a, slope, pull, across, along = self.sde.response(h)
        size = np.sqrt(self.c2_dt / len(h) * _square(p))
        # The noise is across (I - u u^T) g + along u u^T g with u = a/|a|; a = 0 has no direction and needs none.
        norm = _square(a)
        with_a = pull * _dot(p, noise) + size * (along - across) * _dot(a, normal) / np.where(norm > 0.0, norm, 1.0)
        step = a * with_a
        step += size * across * normal
        if slope is not None:
            step *= slope
        if self.sde.curvature:
            step += self.c2_dt * self.sde.curvature * p.mean(axis=0) * h
        if self.trend is not None:
            step += self.dt * self.trend.pull(self.stride * k, h, p)
        self.pulled += step

    def _drift(self, k: int, h: Floats) -> Floats | float:
        """Return what step k adds to H but for the noise."""
        drift = self.c2_dt * self.sde.drift(h)
        return drift if self.trend is None else drift + self.dt * self.trend.push(self.stride * k, h)

    def quantities(self, gradients: bool) -> Floats:
        """Return growth, displacement, gradient, gradient displacement, and average of H_1, for each network.

        A network that explodes has +infinity in all of them (its gradient grows as it does), but for the average, which
        goes where the drift does, and is NaN where there is none.
        """
        moved = self.moved[-1]
        h1, before = self.h0 + moved, _square(self.h0)
        pairs = [(_square(h1), before), (_square(moved), before)]
        if gradients:
            first = _square(self.p1)
            pairs += [(_square(self.p1 + self.pulled), first), (_square(self.pulled), first)]
        out = np.full((5, h1.shape[1]), np.nan)
        with np.errstate(divide="ignore"):
            for row, (square, start) in zip(out, pairs, strict=False):
                row[:] = np.log(square / start)
        out[4] = h1.mean(axis=0)
        # Euler's scheme cannot follow a drift that more than doubles H in one step: such a network has exploded.
        exploded = ~(self.c2_dt * np.abs(self.sde.drift(h1)) * np.sqrt(len(h1)) <= np.sqrt(_square(h1)))
        exploded |= ~(out[: len(pairs)] < np.inf).all(axis=0)  # beyond float64, backwards perhaps
        out[: len(pairs), exploded] = np.inf
        out[4, exploded] = np.copysign(np.inf, self.sde.curvature) if self.sde.curvature else np.nan
        return out


def simulate(
    sde: DepthSDE, rng: np.random.Generator, count: int, steps: int, start: Floats | None, gradients: bool
) -> Floats:
    """Return `Grid.quantities` of ``count`` networks on both grids, (5, 2, count)."""
    shape = (sde.model.width, count)
    h0 = _first(sde.model, rng, shape) if start is None else np.repeat(start[:, None], count, axis=1)
    # A homogeneous network's quotients do not depend on the size of the start, whose square may be beyond float64.
    unit = 2.0 ** np.floor(np.log2(np.abs(h0).max(initial=0.0) or 1.0)) if sde.model.homogeneous else 1.0
    h0 = h0 / unit
    trend = Trend(sde, rng, count, steps) if isinstance(sde, TrendNoiseSDE) and has_trend(sde) else None
    fine, coarse = Grid(sde, h0, steps, gradients, trend), Grid(sde, h0, steps // 2, gradients, trend, 2)
    half = np.sqrt(0.5)
    for k in range(0, steps, 2):
        look()
        one, two = rng.standard_normal((2, *shape))
        fine.forward(k, one)
        fine.forward(k + 1, two)
        coarse.forward(k // 2, half * (one + two))
    if gradients:
        p1 = sde.model.weight_law.generated(rng, shape)
        fine.start_backward(p1)
        coarse.start_backward(p1)
        for k in range(steps - 2, -1, -2):
            look()
            one, two = rng.standard_normal((2, *shape))
            fine.backward(k + 1, two)
            fine.backward(k, one)
            coarse.backward(k // 2, half * (one + two))
    found = np.stack([fine.quantities(gradients), coarse.quantities(gradients)], axis=1)
    found[4] *= unit
    return found


def _first(model: ResidualNetwork, rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Return H_0 = A x: from entries of A if the inputs are explicit, else straight from its Gaussian law."""
    inputs = model.inputs
    if not inputs.explicit:
        return inputs.size * rng.standard_normal(shape)
    h0 = np.zeros(shape)
    for x in inputs.x:
        h0 += x / np.sqrt(len(inputs.x)) * model.weight_law.generated(rng, shape)
    return h0


def _dot(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->j", x, y))


def _square(x: Floats) -> Floats:
    return _dot(x, x)
