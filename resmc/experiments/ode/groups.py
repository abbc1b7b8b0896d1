"""Groups of networks at several depths, their equations, and the distances and bounds of each group.

Networks of a group stand side by side, as their weights fit into memory. Those with smooth weights are solved alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...models.processes import SmoothProcess
from ...models.residual_network import ResidualNetwork
from ...models.scaling import DepthScaling
from ...results.estimates import Floats
from ..networks import OneNetwork
from ..paths import ConstantPath, Layout, SmoothPath, check_memory
from .bound import Constants, constants, stepwise, uniform
from .trajectories import Equation
from .weights import ConstantWeights, GivenWeights, LayerWeights, OverTime, SeriesWeights, WeightFunction, lengths

SCHEMES = ("euler", "heun")
GROUP_BYTES = 1 << 28  # weights of all layers of the networks that are followed side by side


class Found:
    """Distances, bounds and constants as they are measured, (D, networks) each."""

    def __init__(self, depths: int, networks: int) -> None:
        self.distances = {name: np.full((depths, networks), np.nan) for name in SCHEMES}
        self.bound, self.step_bound, self.lipschitz, self.second, self.resolution = np.full(
            (5, depths, networks), np.nan
        )
        self.origin = ""


class Setting:
    """One experiment: which networks are followed side by side, and with which equations at a depth."""

    def __init__(
        self,
        model: ResidualNetwork,
        depths: list[int],
        seed: int,
        interpolation: str,
        functions: dict[str, WeightFunction] | None,
    ) -> None:
        if functions is not None:
            model = replace(model, weights=model.law, bias=1.0 if "b" in functions else 0.0)
        self.model, self.depths, self.seed = model, depths, seed
        self.interpolation, self.functions = interpolation, functions
        self.smooth = functions is not None or model.dependence == "tied" or isinstance(model.dependence, SmoothProcess)
        self.layout = Layout(model)

    @property
    def one_equation(self) -> bool:
        """True if the equation is the same at all depths."""
        process, scaling = self.model.dependence, self.model.scaling
        assert isinstance(scaling, DepthScaling)
        increments = isinstance(process, SmoothProcess) and process.version == "increments"
        by_depth = scaling.inside and not self.model.sigma.homogeneous
        return self.smooth and scaling.beta == 1.0 and not by_depth and not (increments and self.functions is None)

    def groups(self, networks: int) -> Iterator[range]:
        """Yield ranges of networks that are followed side by side: smooth ones alone, each with steps of its own."""
        each = 8 * (self.depths[-1] + 1) * self.layout.size
        step = 1 if self.smooth else max(1, GROUP_BYTES // each)
        for first in range(0, networks, step):
            yield range(first, min(first + step, networks))

    def members(self, group: range) -> list[OneNetwork]:
        """Return a group's networks."""
        deepest = 0 if self.smooth else self.depths[-1] + 1
        model = self.model if self.functions is None else replace(self.model, weights=self.model.law)
        return [OneNetwork(replace(model, depth=self.depths[-1]), self.seed, i, deepest) for i in group]

    def over_time(self, members: list[OneNetwork], depth: int) -> OverTime:
        """Return the weights of some networks as functions of time, at a depth."""
        if self.functions is not None:
            return GivenWeights(self.layout, self.functions)
        path = members[0].path
        if self.smooth:
            if isinstance(path, ConstantPath):
                return ConstantWeights(self.layout, path)
            assert isinstance(path, SmoothPath)
            return SeriesWeights(self.layout, path, depth)
        layers = np.stack([one.layers(depth, range(depth + 1)) for one in members], axis=1)
        return LayerWeights(self.layout, layers, self.interpolation)


def measure(setting: Setting, group: range, schemes: Sequence[str], tolerance: float, found: Found) -> None:
    """Put the distances and bounds of a group of networks into their places."""
    members, at = setting.members(group), slice(group.start, group.stop)
    starts, unit = np.stack([one.h0 for one in members]), np.array([one.unit for one in members])
    known: tuple[Floats, Floats, Constants] | None = None
    for i, depth in enumerate(setting.depths):
        weights = setting.over_time(members, depth)
        equation = Equation(replace(setting.model, depth=depth), depth, weights, starts, list(group))
        if known is None or not setting.one_equation:
            steps = setting.depths if setting.one_equation else [depth]
            times = np.unique(np.concatenate([weights.edges, *(np.arange(N + 1) / N for N in steps)]))
            check_memory("states", len(times), starts.size)
            solution = equation.solved(times, tolerance)
            known = times, solution, constants(equation, solution[np.searchsorted(times, weights.edges)])
        times, solution, bounded = known
        there = solution[np.searchsorted(times, np.arange(depth + 1) / depth)]
        for scheme in schemes:
            found.distances[scheme][i, at] = unit * equation.distances(scheme, there)
        bound, found.lipschitz[i, at], second = uniform(bounded, depth)
        found.bound[i, at], found.second[i, at] = unit * bound, unit * second
        found.step_bound[i, at] = unit * stepwise(bounded, depth)
        found.resolution[i, at] = unit * tolerance * lengths(solution).max(axis=0)
        found.origin = weights.origin
