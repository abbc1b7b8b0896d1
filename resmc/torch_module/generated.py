"""Weights from a generator of torch's, as a source: the same laws, other numbers than the counters'."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..models.dropout import kept_factor
from ..models.network import Network
from ..models.processes import Process
from ..models.residual_network import ResidualNetwork
from ..models.weight_law import WEIGHTS
from ..reference.paths import Terms, path
from ..reference.vectors import Floats

FLOAT = torch.float64


class TorchNumbers:
    """Random numbers of a `torch.Generator` under the names that `resmc.models.weights` asks a generator for."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def standard_normal(self, shape: tuple[int, ...]) -> Floats:
        return self._array(torch.randn(shape, generator=self.generator, device=self.generator.device, dtype=FLOAT))

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> Floats:
        drawn = torch.rand(shape, generator=self.generator, device=self.generator.device, dtype=FLOAT)
        return low + (high - low) * self._array(drawn)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Floats:
        drawn = torch.randint(low, high, shape, generator=self.generator, device=self.generator.device)
        return self._array(drawn.to(FLOAT))

    def _array(self, drawn: torch.Tensor) -> Floats:
        return np.asarray(drawn.cpu().numpy(), np.float64)


class Generated:
    """A `resmc.reference.sources.Source` of N networks, drawn in the order in which it is asked.

    Parameters
    ----------
    model : Network
    networks : int
        N.
    sets : int
        Layers, ``model.depth`` or one more.
    generator : torch.Generator
    """

    def __init__(self, model: Network, networks: int, sets: int, generator: torch.Generator) -> None:
        self.model, self.networks, self.sets = model, networks, sets
        self.numbers = TorchNumbers(generator)
        self._tied: dict[str, Floats] = {}
        self._paths: dict[str, Floats] = {}

    def matrix(self, place: str, layer: int) -> Floats:
        rows, columns = self.model.matrix_shape(place, layer)
        found = self._entries(place, layer, rows * columns, self._of_law).reshape(self.networks, rows, columns)
        return found if self.model.weight_law.matrices is None else self.model.weight_law.matrices(found)

    def bias(self, layer: int) -> Floats:
        model = self.model
        law = WEIGHTS[model.bias_law if isinstance(model, ResidualNetwork) else "gaussian"]
        return self._entries("bias", layer, model.bias_length(layer), lambda shape: law.generated(self.numbers, shape))  # type: ignore[arg-type]

    def signs(self, layer: int) -> Floats:
        n, sigma = self.model.activated(layer), self.model.sigma
        if not sigma.signed:
            return np.ones((1, 1))
        fair = 2.0 * self.numbers.integers(0, 2, (self.networks, n // 2 if sigma.half else n)) - 1.0
        return np.asarray(np.stack([fair, -fair], axis=-1).reshape(self.networks, n) if sigma.half else fair)

    def kept(self, layer: int) -> Floats:
        model = self.model
        if not isinstance(model, ResidualNetwork) or model.keep == 1.0:
            return np.ones((1, 1))
        drawn = self.numbers.uniform(0.0, 1.0, (self.networks, model.activated(layer)))
        return np.where(drawn < model.keep, kept_factor(model.keep), 0.0)

    def first_layer(self) -> Floats:
        inputs = self.model.inputs
        draw = self._of_law if inputs.explicit else self.numbers.standard_normal
        return draw((self.networks, self.model.width_of(0), len(inputs.x)))

    def readout(self, rows: int) -> Floats:
        return self._of_law((self.networks, rows, self.model.width_of(self.model.depth)))

    def _of_law(self, shape: tuple[int, ...]) -> Floats:
        return self.model.weight_law.generated(self.numbers, shape)  # type: ignore[arg-type]

    def _entries(self, place: str, layer: int, count: int, draw: Callable[[tuple[int, ...]], Floats]) -> Floats:
        """Return the entries of a layer's matrix or bias, (N, count)."""
        dependence, shape = self.model.dependence, (self.networks, count)
        if dependence == "iid":
            return draw(shape)
        if isinstance(dependence, str):
            if place not in self._tied:
                self._tied[place] = draw(shape)
            return self._tied[place]
        if place not in self._paths:
            self._paths[place] = self._path(dependence, count)
        return self._paths[place][:, layer]

    def _path(self, process: Process, count: int) -> Floats:
        def pairs(term: int) -> Floats:
            return self.numbers.standard_normal((self.networks, 2, count))

        return path(process, self.model.depth, Terms(pairs, pairs), 0, self.sets)
