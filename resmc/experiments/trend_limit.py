"""Networks whose weights are a trend plus noise beside their equation with a drift, both driven by the same noise.

The noise of a network is a Brownian motion for each entry, in steps of a grid that is at least 32 times finer than the
deepest network: increments of a network of depth L are sums of fine ones, and Euler's scheme on the fine grid stands
for the equation. Its own error, of the same order, is less than a fifth of the deepest network's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from .._system.progress import Report
from .._system.stopping import look
from .._system.words import brief
from ..results.arithmetic import share_networks
from ..results.estimates import Floats
from ..results.propagation import Networks
from ..tables import Table
from ..theory.trend_noise import TrendNoiseSDE
from . import depth_limit as in_law
from .branches import Branch
from .convergence import Convergence, convergence, relative_distance
from .depth_limit import DepthLimit
from .networks import OneNetwork
from .paths import MAX_BYTES, check_memory

KEPT_BYTES = 1 << 28  # memory for a network's noise, which otherwise is drawn twice
FINER = 32  # steps of the fine grid for each layer of the deepest network, at least
COMPARED = 32  # networks that are compared with their own equations


@dataclass(frozen=True, eq=False, repr=False)
class TrendNoiseLimit(DepthLimit):
    """A simulated limit of weights that are a trend plus noise: a `DepthLimit`, and how networks tend to it.

    Attributes
    ----------
    convergence : Convergence
        Distances of networks of several depths from their own equations, which have the same trend and noise, and
        their slopes in depth.
    """

    convergence: Convergence

    def _table(self) -> Table:
        table, found, sde = super()._table(), self.convergence, self.sde
        assert isinstance(sde, TrendNoiseSDE)
        depths = ", ".join(map(str, found.depths.tolist()))
        slopes = [f"{name} {words}" for name, words in zip(("forward", "backward"), found.slopes, strict=False)]
        note = f"the first networks, of depths {depths}, tend to their own equations like L^s:"
        factors = f"c_1 = {sde.c_trend:.6g}, c_2 = {sde.c:.6g}, M the trend: {sde.trend.words}"
        lines = [*str(sde).splitlines(), factors, *table.lines[2:]]
        return replace(table, lines=lines, notes=[*table.notes, note, *slopes, *found.remarks])


def simulate(
    sde: TrendNoiseSDE,
    networks: int,
    seed: int,
    steps: int,
    depths: Sequence[int],
    start: Floats | None,
    gradients: bool,
    report: Report | None,
) -> TrendNoiseLimit:
    """Simulate the equation in law, and the first networks beside their own equations."""
    law = in_law.simulate(sde, networks, seed, steps, start, gradients, _part(report, 0.0))
    found = compared(sde, min(networks, COMPARED), seed, depths, start, gradients, _part(report, 0.5))
    return TrendNoiseLimit(**{f.name: getattr(law, f.name) for f in fields(law)}, convergence=found)


def compared(
    sde: TrendNoiseSDE,
    networks: int,
    seed: int,
    depths: Sequence[int],
    start: Floats | None,
    gradients: bool,
    report: Report | None,
) -> Convergence:
    """Return the distances of networks from their own equations, and their slopes."""
    distances = np.full((2, len(depths), networks), np.nan)
    for i in range(networks):
        distances[:, :, i] = Driven(sde, seed, i, depths, start, gradients).distances()
        if report is not None:
            report((i + 1) / networks)
    backward = distances[1] if gradients else None
    found = convergence(depths, distances[0], backward, (sde.order, sde.backward_order))
    return share_networks(found, Networks.of(seed, [(0, networks)]))


def _part(report: Report | None, first: float) -> Report | None:
    return None if report is None else lambda done: report(first + 0.5 * done)


class Driven:
    """One network at several depths and its equation, driven by the same trend and the same noise."""

    def __init__(
        self,
        sde: TrendNoiseSDE,
        seed: int,
        network: int,
        depths: Sequence[int],
        start: Floats | None,
        gradients: bool,
    ) -> None:
        self.sde, self.seed, self.depths, self.gradients = sde, seed, list(depths), gradients
        self.one = OneNetwork(sde.model, seed, network, 0, start)
        common = math.lcm(*depths)
        self.steps = common * -(-FINER * max(depths) // common)
        self.block = self.steps // math.gcd(*depths)  # fine steps that are whole layers at every depth
        if 8 * self.block * self.one.layout.size > MAX_BYTES:
            raise ValueError(
                f"depths={brief(tuple(depths))} are not allowed with width={sde.model.width}: {self.steps} fine steps, "
                f"whole layers at every depth, are too many to draw {self.block} at a time; depths that divide each "
                "other take fewer"
            )
        if gradients:
            check_memory("states", self.steps, sde.model.width)
        self.keeps = gradients and 8 * self.steps * self.one.layout.size <= KEPT_BYTES
        self.kept: dict[int, Floats] = {}
        linear = Branch(sde.model, linear=sde.model.inside)
        self.fine = Scheme(self.one, linear, self.steps, sde, gradients)
        self.networks = [Scheme(self.one, self.one.branch, depth, None, gradients) for depth in depths]

    def distances(self) -> Floats:
        """Return |h_L - H(1)|/|H(1)| and |p_0 - P(0)|/|P(0)|, the second NaN without gradients, (2, depths)."""
        blocks = range(self.steps // self.block)
        with np.errstate(over="ignore", invalid="ignore"):
            for block in blocks:
                for scheme, first, rows in self._rows(block):
                    scheme.forward(first, rows)
            for block in reversed(blocks) if self.gradients else ():
                for scheme, first, rows in self._rows(block):
                    scheme.backward(first, rows)
            found = np.full((2, len(self.depths)), np.nan)
            for j, scheme in enumerate(self.networks):
                found[0, j] = relative_distance(scheme.h - self.fine.h, self.fine.h)
                if self.gradients:
                    found[1, j] = relative_distance(scheme.p - self.fine.p, self.fine.p)
        return found

    def _rows(self, block: int) -> Iterator[tuple[Scheme, int, Floats]]:
        """Yield each scheme with its first step in a block of fine steps, and all entries of its steps there."""
        look()
        one, steps = self.one, self.steps
        noise = self._noise(block)
        first = block * self.block
        rows = noise.copy()
        if self.sde.c_trend:
            assert one.path is not None
            rows += self.sde.c_trend / steps * one.path.times(np.arange(first, first + self.block) / steps)
        yield self.fine, first, rows
        for scheme, depth in zip(self.networks, self.depths, strict=True):
            stride = steps // depth
            layers = range(first // stride, (first + self.block) // stride)
            yield scheme, layers.start, one.trend(depth, layers) + noise.reshape(len(layers), stride, -1).sum(axis=1)

    def _noise(self, block: int) -> Floats:
        """Return the fine increments of a block, (steps, entries), c_2 in them."""
        if block in self.kept:
            return self.kept.pop(block)
        bits = np.random.Philox(key=[self.seed, self.one.network], counter=[0, 0, block + 1, 0])
        noise = np.random.Generator(bits).standard_normal((self.block, self.one.layout.size))
        noise *= self.sde.c / math.sqrt(self.steps) * self.one.layout.scale
        if self.keeps:
            self.kept[block] = noise
        return noise


class Scheme:
    """A state and a gradient that take one step for each row of entries: a network, or Euler's scheme of its equation.

    ``sde`` is the equation whose drift besides the trend is added, None for a network.
    """

    def __init__(self, one: OneNetwork, branch: Branch, steps: int, sde: TrendNoiseSDE | None, gradients: bool) -> None:
        self.matrices, self.branch = one.layout.matrices, branch
        self.h, self.p = one.h0, one.p1
        self.states = np.empty((steps if gradients else 0, *self.h.shape))
        self.curvature = 0.0 if sde is None else sde.curvature * sde.c**2 / steps
        self.bias2 = one.model.bias**2

    def forward(self, first: int, rows: Floats) -> None:
        """Take the steps from number ``first`` on."""
        for k, row in enumerate(rows, first):
            h = self.h
            if len(self.states):
                self.states[k] = h
            self.h = h + self.branch(self.matrices(row), 1.0, h)
            if self.curvature:
                self.h += 0.5 * self.curvature * (np.vdot(h, h) / len(h) + self.bias2)

    def backward(self, first: int, rows: Floats) -> None:
        """Take the same steps back."""
        for k, row in zip(range(first + len(rows) - 1, first - 1, -1), rows[::-1], strict=True):
            h, p = self.states[k], self.p
            self.p = p + self.branch.pulled(self.matrices(row), 1.0, h, p)
            if self.curvature:
                self.p += self.curvature * p.mean() * h
