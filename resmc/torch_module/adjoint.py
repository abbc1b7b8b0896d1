"""The gradient of a residual network without stored states: they are recovered backwards, step by step.

Source: Sander, Ablin, Peyre, "Do residual neural networks discretize neural ordinary differential equations?"
(arXiv 2205.14612), section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from .._system import checks
from .schemes import SCHEMES, PulledBranches, Scheme

Tensor = torch.Tensor
BACKWARD = ("autograd", "adjoint")


@dataclass(frozen=True)
class Steps:
    """Steps of a scheme through branches with parameters, and how their gradient is found.

    Parameters
    ----------
    scheme : {"euler", "heun"}
    steps : int
        N.
    backward : {"autograd", "adjoint"}
    checkpoint_every : int, optional
        Steps from one stored state to the next, for the adjoint alone.
    tolerance : float
        Relative miss of recovered states beyond which there is a warning.
    """

    scheme: str
    steps: int
    backward: str = "autograd"
    checkpoint_every: int | None = None
    tolerance: float = 1e-2

    def __post_init__(self) -> None:
        checks.choice("scheme", self.scheme, tuple(SCHEMES))
        checks.choice("backward", self.backward, BACKWARD)
        checks.real("tolerance", self.tolerance, positive=True)
        if self.checkpoint_every is not None:
            checks.integer("checkpoint_every", self.checkpoint_every, 1, 2**31, "2^31")
            if self.backward != "adjoint":
                raise ValueError(
                    f"checkpoint_every={self.checkpoint_every} is not allowed with backward={self.backward!r}, which "
                    "stores all states: it is for backward='adjoint'"
                )
        if self.backward == "adjoint" and self.steps < 2:
            raise ValueError(
                f"backward='adjoint' is not allowed with {self.steps} step: from 2 on there are states to recover"
            )

    @property
    def method(self) -> Scheme:
        """The scheme's steps."""
        return SCHEMES[self.scheme]

    def kept(self, k: int) -> bool:
        """Return True if x_k is a checkpoint, 0 < k < N."""
        return self.checkpoint_every is not None and 0 < k < self.steps and k % self.checkpoint_every == 0


def adjoint(
    steps: Steps, transposed: Callable[[Sequence[Tensor]], PulledBranches], x: Tensor, parameters: Sequence[Tensor]
) -> Tensor:
    """Return x_N, whose gradient is found without stored states.

    Parameters
    ----------
    steps : Steps
    transposed : callable
        Function of the parameters that returns the branches, with gradients of 0.
    x : tensor
        x_0.
    parameters : sequence of tensors
    """
    found: Tensor = _Adjoint.apply(steps, transposed, x, *parameters)  # type: ignore[no-untyped-call]
    return found


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, steps: Steps, transposed: Callable[[Sequence[Tensor]], PulledBranches], x: Tensor, *parameters: Tensor
    ) -> Tensor:
        f, start, kept = transposed(parameters), x, []
        for k in range(steps.steps):
            x = steps.method.step(f, k, x)
            if steps.kept(k + 1):
                kept.append(x)
        ctx.steps, ctx.transposed, ctx.count = steps, transposed, len(parameters)
        ctx.save_for_backward(*parameters, start, *kept, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        steps, saved = ctx.steps, ctx.saved_tensors
        parameters, (start, *kept, x) = saved[: ctx.count], saved[ctx.count :]
        f = ctx.transposed(parameters)
        for k in reversed(range(steps.steps)):
            if k == 0:
                x = start
            elif steps.kept(k):
                x = kept.pop()
            else:
                x = steps.method.recovered(f, k, x)
            g = steps.method.pulled(f, k, x, g)
        return None, None, g, *f.gradients
