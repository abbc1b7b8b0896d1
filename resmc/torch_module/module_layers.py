"""Layers of a module of torch: its steps (`traced`) as blocks of a residual network, with the norms in their places."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from .steps import Activated, Block, Factor, Normed, Step

FINAL = (
    "a norm behind the last layer (a final norm, such as GPT-2's ln_f) is not understood: a ResidualNetwork ends with "
    "h_depth, and its readout acts on that; leave this norm out, h_depth is then what it would have met"
)


@dataclass(frozen=True)
class Layer:
    """One layer, post(carry h + behind on(after V sigma(before W pre(h)))).

    V and W have their biases, or are not there; ``pre``, ``on`` and ``post`` are norms, or are not there. ``behind`` is
    1 where there is no ``on``.
    """

    carry: float
    before: float
    after: float
    sigma: str
    W: nn.Linear | None
    V: nn.Linear | None
    pre: Normed | None = None
    on: Normed | None = None
    post: Normed | None = None
    behind: float = 1.0

    @property
    def norms(self) -> list[Normed]:
        """The norms that there are."""
        return [norm for norm in (self.pre, self.on, self.post) if norm is not None]

    @property
    def places(self) -> tuple[bool, bool, bool]:
        """True for each of the places that has a norm: before the branch, on what it gives, on the sum."""
        return self.pre is not None, self.on is not None, self.post is not None

    def times(self, value: float) -> Layer:
        """Return the layer whose sum is multiplied by a number."""
        if self.post is not None:
            raise ValueError("a number behind the norm of a sum is not understood: resmc's norm is the last of a layer")
        if self.on is not None:
            return replace(self, carry=self.carry * value, behind=self.behind * value)
        return replace(self, carry=self.carry * value, after=self.after * value)


def layers_of(steps: tuple[Step, ...], has_input: bool, output: bool = False) -> tuple[nn.Linear | None, list[Layer]]:
    """Return the embedding, if there is one, and the layers; with ``output`` a last one that is not square, too.

    Raises
    ------
    ValueError
        For steps that are no such layers; the message says which.
    """
    if any(isinstance(step, Block) for step in steps):
        if output:
            raise ValueError(
                "output=True is not allowed for a module with sums: its layers have one width, and what stands behind "
                "them is a readout"
            )
        return _residual_layers(steps)
    if not any(isinstance(step, Activated) for step in steps):
        raise ValueError("the module has no activation and no sum: a network needs layers of either")
    linear = [step for step in steps if isinstance(step, nn.Linear)]
    core = [step for step in steps if not isinstance(step, Factor | Normed)]
    if isinstance(core[0], nn.Linear) and isinstance(core[-1], Activated) and not has_input:
        square = all(one.in_features == one.out_features for one in linear)
        if square and not _norm_behind(steps, nn.Linear):
            return None, _tower(steps)
    first = next(step for step in steps if not isinstance(step, Factor))
    embedding = first if isinstance(first, nn.Linear) else None
    width = linear[-1].in_features if linear else 0
    parts = _split(steps[1:] if embedding is not None and steps[0] is first else steps, nn.Linear)
    if parts and not output and (last := _linear(parts[-1])) is not None and last.out_features != width:
        parts = parts[:-1]
    if parts and _linear(parts[-1]) is None:
        if not any(isinstance(step, Activated) for step in parts[-1]):
            raise ValueError(FINAL)
        parts = parts[:-1]  # an activation behind the last hidden layer, with what normalises for it
    if not parts:
        raise ValueError(
            "the module has one hidden layer alone: a network needs a Linear between two hidden ones, or output=True, "
            "which reads a readout as its last layer"
        )
    return embedding, [_layer(0.0, part) for part in parts]


def _tower(steps: tuple[Step, ...]) -> list[Layer]:
    """Return layers of a Linear and an activation each, and a norm on one side of both."""
    found = [step for step in steps if not isinstance(step, Factor)]
    if isinstance(found[0], Normed) and isinstance(found[-1], Normed):
        raise ValueError(FINAL)
    kind = Normed if isinstance(found[-1], Normed) else Activated
    return [_layer(0.0, part) for part in _split(steps, kind)]


def _norm_behind(steps: Sequence[Step], kind: type[Step]) -> bool:
    """Return True if a norm follows a step of a kind, numbers aside."""
    found = [step for step in steps if not isinstance(step, Factor)]
    return any(isinstance(a, kind) and isinstance(b, Normed) for a, b in itertools.pairwise(found))


def _residual_layers(steps: tuple[Step, ...]) -> tuple[nn.Linear | None, list[Layer]]:
    places = [i for i, step in enumerate(steps) if isinstance(step, Block)]
    begin, end = places[0], places[-1] + 1
    while end < len(steps) and isinstance(steps[end], Factor | Normed):
        end += 1
    before, among, after = steps[:begin], steps[begin:end], steps[end:]
    if any(isinstance(step, Normed) for step in before):
        raise ValueError("a norm before the first sum is not understood: a ResidualNetwork normalises in its layers")
    if len(before) > 1 or not all(isinstance(step, nn.Linear) for step in before):
        raise ValueError("what stands before the first sum is not understood: it must be one Linear, or nothing")
    if len(after) > 1 or not all(isinstance(step, nn.Linear) for step in after):
        raise ValueError("what stands behind the last sum is not understood: it must be one Linear, or nothing")
    layers: list[Layer] = []
    for step in among:
        if isinstance(step, Factor):  # a sum as a whole is multiplied
            if not layers:
                raise ValueError("a number before the first sum is not understood: scale the input instead")
            layers[-1] = layers[-1].times(step.value)
        elif isinstance(step, Normed):
            if layers[-1].post is not None:
                raise ValueError("two norms behind one sum are not understood: resmc has one")
            layers[-1] = replace(layers[-1], post=step)
        elif isinstance(step, Block):
            layers.append(_layer(step.carry, step.branch))
        else:
            raise ValueError("a Linear or an activation between two sums is not understood: all layers must be sums")
    last = layers[-1]
    if last.post and (last.pre or last.on or not all(one.post for one in layers)):
        raise ValueError(FINAL)
    embedding = before[0] if before else None
    assert embedding is None or isinstance(embedding, nn.Linear)
    return embedding, layers


def _split(steps: Sequence[Step], kind: type[Step]) -> list[tuple[Step, ...]]:
    """Return pieces that each end with a step of a kind, and with the numbers behind it."""
    pieces: list[list[Step]] = [[]]
    for step in steps:
        if any(isinstance(one, kind) for one in pieces[-1]) and not isinstance(step, Factor):
            pieces.append([])
        pieces[-1].append(step)
    return [tuple(piece) for piece in pieces if piece]


def _linear(steps: Sequence[Step]) -> nn.Linear | None:
    return next((step for step in steps if isinstance(step, nn.Linear)), None)


def _layer(carry: float, steps: Sequence[Step]) -> Layer:
    """Return a branch as a layer of a block."""
    pre, on, inner, behind = _norms_apart(steps)
    found = [step for step in inner if not isinstance(step, Factor)]
    kinds = [
        "Linear" if isinstance(one, nn.Linear) else "sum" if isinstance(one, Block) else "activation" for one in found
    ]
    if kinds not in (["activation", "Linear"], ["Linear", "activation"], ["Linear", "activation", "Linear"]):
        raise ValueError(
            f"a layer of {', '.join(kinds) or 'numbers alone'} is not understood: it must be an activation and a "
            "Linear, a Linear and an activation, or an activation between two of them"
        )
    at = kinds.index("activation")
    factors, met = [1.0, 1.0], 0
    for step in inner:
        met = met or int(isinstance(step, Activated))
        if isinstance(step, Factor):
            factors[met] *= step.value
    sigma, W, V = found[at], found[0] if at else None, found[-1] if at + 1 < len(found) else None
    assert isinstance(sigma, Activated)
    assert W is None or isinstance(W, nn.Linear)
    assert V is None or isinstance(V, nn.Linear)
    return Layer(carry, factors[0], factors[1], sigma.name, W, V, pre, on, behind=behind)


def _norms_apart(steps: Sequence[Step]) -> tuple[Normed | None, Normed | None, Sequence[Step], float]:
    """Return the norms at the beginning and at the end of a branch, what is between, and the number behind them."""
    pre = steps[0] if steps and isinstance(steps[0], Normed) else None
    inner = list(steps[1:] if pre else steps)
    end = max((i + 1 for i, step in enumerate(inner) if not isinstance(step, Factor)), default=0)
    on, behind = inner[end - 1] if end > 1 else None, inner[end:]
    if not isinstance(on, Normed):
        on, behind = None, []
    else:
        inner = inner[: end - 1]
    if any(isinstance(step, Normed) for step in inner):
        raise ValueError(
            "a norm within a branch, or with a number before it, is not understood: resmc's norms act on what a branch "
            "meets, on what it gives, or on the sum"
        )
    return pre, on, inner, math.prod(step.value for step in behind if isinstance(step, Factor))
