"""Steps of a module of torch, which `traced` finds in the order in which they act on a state."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Activated:
    """An activation, by its name in resmc."""

    name: str


@dataclass(frozen=True)
class Normed:
    """A norm with gain 1 and bias 0, by its name in resmc, of a state of ``width`` entries; None for any number."""

    name: str
    eps: float
    width: int | None


@dataclass(frozen=True)
class Factor:
    """A number that the state is multiplied by."""

    value: float


@dataclass(frozen=True)
class Block:
    """A state to which a branch is added: carry h + branch(h)."""

    carry: float
    branch: tuple[Step, ...]


Step = nn.Linear | Activated | Normed | Factor | Block
