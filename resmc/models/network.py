"""The interface of all networks, however they are spelled: activation, block, weight law and inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from .activation_record import ActivationRecord
from .blocks import Block
from .inputs import Inputs
from .processes import Process
from .weight_law import WeightLaw

if TYPE_CHECKING:
    import torch

    from ..reference.drawn import DrawnWeights

# "dense" draws every weight; "projected" draws what the layers see of them, which has the same law: |phi(z)| g.
METHODS = ("projected", "dense")
CHOICES = (
    "auto",
    *METHODS,
)  # "auto" stands for the projected method where that is exact, and for the dense one elsewhere


class Network(ABC):
    """A description of random networks: `resmc.ResNet` or `resmc.ResidualNetwork`."""

    width: int
    depth: int
    n_out: int
    widths: tuple[int, ...] | None = None  # neurons of every layer, where these are not all ``width``

    __repr__ = brief_repr

    @property
    def inner(self) -> int:
        """Neurons that the activation acts on."""
        return self.width

    @property
    def width_in_words(self) -> str:
        """The width in words."""
        return f"width {self.width}"

    def width_of(self, layer: int) -> int:
        """Return the neurons of h_layer, layer = 0 .. depth."""
        return self.width if self.widths is None else self.widths[layer]

    @property
    def layer_widths(self) -> NDArray[np.int64]:
        """Neurons of h_0 .. h_depth, (depth + 1,)."""
        return np.full(self.depth + 1, self.width) if self.widths is None else np.array(self.widths)

    def activated(self, layer: int) -> int:
        """Return how many neurons a layer's activation acts on: as many as h_l has, or W_l h_l."""
        if self.widths is None:
            return self.inner
        return self.widths[layer if self.residual_block.acts_on_layers else layer + 1]

    def bias_length(self, layer: int) -> int:
        """Return the entries of b_layer: as many as W_l h_l has, or V_l sigma(h_l) without a W_l."""
        return self.inner if self.widths is None else self.widths[layer + 1]

    def matrix_shape(self, place: str, layer: int) -> tuple[int, int]:
        """Return rows and columns of a layer's "outer" or "inner" matrix: the inner leads to the activation."""
        if self.widths is not None:
            return self.widths[layer + 1], self.widths[layer]
        return (self.inner, self.width) if place == "inner" else (self.width, self.inner)

    @property
    @abstractmethod
    def sigma(self) -> ActivationRecord:
        """The activation, its slope and what is known of it."""

    @property
    @abstractmethod
    def residual_block(self) -> Block:
        """The block: its matrices, and where the activation acts."""

    @property
    @abstractmethod
    def weight_law(self) -> WeightLaw:
        """The weight law: the law of the matrices' entries."""

    @property
    @abstractmethod
    def inputs(self) -> Inputs:
        """The input, as the first layer needs it."""

    @property
    def dependence(self) -> str | Process:
        """How layers depend on each other: "iid", "tied", or the process that an entry is over the layers."""
        return "iid"

    @property
    def has_asymmetry(self) -> bool:
        """True if A and the active fraction are defined: rectifiers that act on the layers themselves."""
        return self.residual_block.acts_on_layers and self.sigma.rectifier

    @property
    def ratio(self) -> float:
        """d/n = depth / width, the parameter of the infinite-depth-and-width limit; with widths by layer `aspects`."""
        return self.depth / self.width if self.widths is None else float(self.aspects[-1])

    @property
    def aspects(self) -> NDArray[np.float64]:
        """l/n for l = 0 .. depth, (depth + 1,): with widths by layer 1/n_1 + .. + 1/n_l.

        The variance of ln |h_l|^2 given h_0 grows by a multiple of 1/n_l at layer l, whose n_l entries are drawn anew.
        """
        if self.widths is None:
            return np.arange(self.depth + 1) / self.width
        return np.concatenate([[0.0], np.cumsum(1.0 / self.layer_widths[1:])])

    def to_torch(
        self,
        seed: int = 0,
        network: int | range = 0,
        *,
        scheme: str | None = None,
        backward: str = "autograd",
        checkpoint_every: int | None = None,
        tolerance: float = 1e-2,
    ) -> torch.nn.Module:
        """Return network number ``network`` of ``seed``, or a range of them in one module, with explicit weights.

        With a ``scheme``, "euler" or "heun", the module has depth steps of that method and depth + 1 sets of weights,
        and can go backwards without stored states (``backward="adjoint"``); see `resmc.torch_module.explicit`.
        """
        from ..torch_module import explicit

        return explicit(
            self,
            seed=seed,
            network=network,
            scheme=scheme,
            backward=backward,
            checkpoint_every=checkpoint_every,
            tolerance=tolerance,
        )

    def draw_weights(self, seed: int = 0, network: int = 0) -> DrawnWeights:
        """Return the weights of network number ``network`` of ``seed``; see `resmc.reference.DrawnWeights`."""
        from ..reference.drawn import draw_weights

        return draw_weights(self, seed=seed, network=network)
