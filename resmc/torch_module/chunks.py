"""A chunk of an ensemble: neighbouring members that one thread takes together, with weights of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch.nn import Parameter

from ..models.residual_network import ResidualNetwork
from .losses import LOSSES
from .passes import Passes, Workspace

Tensor = torch.Tensor
BY_LAYER = ("V", "W", "b", "s")


@dataclass(frozen=True)
class Shape:
    """Shape of an ensemble's networks: all that they have in common.

    Attributes
    ----------
    model : ResidualNetwork
        Any of the members'.
    features, outputs : int
        F and the length of an output.
    padded : int
        m, the width with its padding.
    ends : {"trained", "fixed", "identity"}
        What becomes of A and W_out.
    scales : {"fixed", "shared", "layers"}
        What becomes of s_k.
    """

    model: ResidualNetwork
    features: int
    outputs: int
    padded: int
    ends: str
    scales: str

    def sizes(self, members: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights of so many members, by name."""
        m, depth, block = self.padded, self.model.depth, self.model.residual_block
        there = {"V": block.V is not None, "W": block.W is not None, "b": self.model.bias > 0.0}
        there["s"] = self.scales != "fixed"
        sizes: dict[str, tuple[int, ...]] = dict.fromkeys(("V", "W"), (depth, members, m, m))
        sizes |= {"b": (depth, members, m), "s": (depth if self.scales == "layers" else 1, members)}
        found = {name: size for name, size in sizes.items() if there[name]}
        return found | {"A": (members, m, self.features), "W_out": (members, self.outputs, m)}

    def trained(self, name: str) -> bool:
        """True if the weights of this name are trained."""
        return name in BY_LAYER or self.ends == "trained"

    def unpadded(self, name: str, weights: Tensor) -> Tensor:
        """Return the weights of this name without their padding."""
        n = self.model.width
        if name in ("V", "W"):
            return weights[..., :n, :n]
        if name == "s":
            return weights
        return weights[..., :n, :] if name == "A" else weights[..., :n]


@dataclass(eq=False)
class Chunk:
    """A chunk of an ensemble: members that are neighbours.

    Attributes
    ----------
    members : range
        Their places among all.
    passes : Passes
        With their weights.
    alive : bool tensor (c,)
        False for the members that are frozen.
    """

    members: range
    passes: Passes
    alive: Tensor
    _kept: dict[str, Tensor] = field(default_factory=dict)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """All weights, trained or not: "V", "W", "b" and "s" as they are there, "A" and "W_out"."""
        return self.passes.weights

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The weights that are trained."""
        return {name: one for name, one in self.weights.items() if isinstance(one, Parameter)}

    def part(self, of_all: Tensor) -> Tensor:
        """Return what belongs to these members of a tensor whose first axis is that of all members."""
        return of_all[self.members.start : self.members.stop]

    def step(
        self, x: Tensor, y: Tensor, loss: str, work: Workspace, update: Callable[[Chunk], object] | None
    ) -> Tensor:
        """Leave gradients, freeze the members that are not finite, update the others; return their losses, (c,)."""
        if not bool(self.alive.any()):
            return torch.full((len(self.members),), torch.inf, dtype=torch.float64)
        passed = self.passes.forward(x, work)
        losses, pulled = LOSSES[loss](self.passes.outputs(passed), y)
        p = self.passes.gradients_of(x, passed, pulled, work)
        for name, one in self.parameters.items():
            one.grad = self.passes.gradients[name]
        self.freeze(~(torch.isfinite(losses) & torch.isfinite(p).all(-1).all(-1)))
        if update is not None:
            update(self)
            for name, kept in self._kept.items():
                self.weights[name][self._frozen(name)] = kept
        return torch.where(self.alive, losses.double(), torch.inf).cpu()

    def freeze(self, members: Tensor) -> None:
        """Freeze members of a mask (c,): their gradients are 0, and updates leave their weights alone."""
        if bool((members & self.alive).any()):
            self.alive &= ~members
            self._kept = {name: one.detach()[self._frozen(name)] for name, one in self.parameters.items()}
        for name in self._kept:
            self.passes.gradients[name][self._frozen(name)] = 0.0

    def _frozen(self, name: str) -> tuple[slice | Tensor, ...]:
        """Return the frozen members' places in a weight of this name."""
        frozen = torch.nonzero(~self.alive)[:, 0]
        return (slice(None), frozen) if name in BY_LAYER else (frozen,)
