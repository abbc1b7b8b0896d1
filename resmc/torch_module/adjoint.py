"""The gradient of a residual network with few stored states: the others are recovered backwards, step by step.

Source: Sander, Ablin, Peyre, "Do residual neural networks discretize neural ordinary differential equations?"
(arXiv 2205.14612), section 4.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from .._system import checks
from .autocast import same_autocast
from .recovery import AdjointWarning, Sketch, alike, check_near_invertible, relative_miss
from .schemes import SCHEMES, Branches, PulledBranches, Scheme

Tensor = torch.Tensor
BACKWARD = ("autograd", "adjoint")
WITNESSES = 8  # states of which a few numbers are kept for comparison, beside x_0 and checkpoints
TOLERANCE = 1e-2


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
        Relative miss beyond which there is a warning, at x_0, checkpoints and `witnesses`.
    checked : bool
        False to neither warn nor refuse, for experiments that count what then goes wrong: states that are not recovered
        or not finite, and gradients from them, come out as they are.
    """

    scheme: str
    steps: int
    backward: str = "autograd"
    checkpoint_every: int | None = None
    tolerance: float = TOLERANCE
    checked: bool = True

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
        """Return True if x_k is a checkpoint, 0 < k < N, from which the recovery begins anew."""
        return self.checkpoint_every is not None and 0 < k < self.steps and k % self.checkpoint_every == 0

    def words(self) -> str:
        """Return the scheme, N, and how the gradient is found, for the ``repr`` of a module."""
        words = f"scheme={self.scheme!r}, N={self.steps}, backward={self.backward!r}"
        if self.backward == "adjoint":
            words += f", checkpoint_every={self.checkpoint_every}, tolerance={self.tolerance:g}"
        return words

    @property
    def recovers(self) -> bool:
        """True unless all states are kept."""
        return self.checkpoint_every != 1

    @cached_property
    def witnesses(self) -> frozenset[int]:
        """The k of states that recovered ones are compared with by a `Sketch`, beside x_0 and checkpoints.

        They are even over the depth. A miss at x_0 alone would say nothing of states in the middle: layers that expand
        contract errors backwards.
        """
        if not (self.checked and self.recovers):
            return frozenset()
        evenly = {round(i * self.steps / (WITNESSES + 1)) for i in range(1, WITNESSES + 1)}
        return frozenset(k for k in evenly if 0 < k < self.steps and not self.kept(k))

    def check_finite(self, f: Branches, start: Tensor, last: Tensor, several: bool) -> None:
        """Refuse states that are not finite.

        Parameters
        ----------
        f : Branches
        start, last : tensors
            x_0 and x_N.
        several : bool
            True if the first axis is that of networks; otherwise it is that of inputs.

        Raises
        ------
        ValueError
            With the first layer, and the first network or input, whose states are not finite.
        """
        if not self.checked or bool(torch.isfinite(last.detach()).all()):
            return
        with torch.no_grad():
            x, layer = start, 0
            while layer < self.steps and bool(torch.isfinite(x).all()):
                x, layer = self.method.step(f, layer, x), layer + 1
        (found,) = torch.nonzero(~torch.isfinite(x).flatten(1).all(dim=1))[:1, 0].tolist()
        raise ValueError(
            f"the states of {'network' if several else 'input'} {found} are not finite in layer {layer} of "
            f"{self.steps}: take smaller weights, inputs or steps"
        )


Transposed = Callable[[Sequence[Tensor]], PulledBranches]


def adjoint(steps: Steps, transposed: Transposed, x: Tensor, parameters: Sequence[Tensor], examine: bool) -> Tensor:
    """Return x_N, whose gradient is found without stored states.

    Parameters
    ----------
    steps : Steps
    transposed : callable
        Function of the parameters that returns the branches, with gradients of 0.
    x : tensor
        x_0.
    parameters : sequence of tensors
    examine : bool
        Refuse branches that no adjoint can follow, and those that are not near-invertible at the states met.

    Raises
    ------
    ValueError
        For branches that are not near-invertible: at once, if they are examined, and as soon as recovered states miss.
        Where all states are kept, nothing is recovered, and any branch will do that is the same when called again.
    """
    found: Tensor = _Adjoint.apply(steps, transposed, examine, x, *parameters)  # type: ignore[no-untyped-call]
    return found


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, steps: Steps, transposed: Transposed, examine: bool, x: Tensor, *parameters: Tensor
    ) -> Tensor:
        f, start, kept = transposed(parameters), x, []
        for k in range(steps.steps):
            x = steps.method.step(f, k, x)
            if steps.kept(k + 1):
                kept.append(x)
            elif k + 1 in steps.witnesses:
                kept.extend(Sketch.of(x, f.axes, k + 1))
        if examine and steps.checked and bool(torch.isfinite(x).all()):
            _examine(steps, f, start)
        ctx.steps, ctx.transposed, ctx.count, ctx.versions = steps, transposed, len(parameters), f.versions()
        ctx.autocast = same_autocast(x.device.type)
        ctx.save_for_backward(*parameters, start, *kept, x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        with ctx.autocast():  # branches are to be those of the forward pass
            return _Adjoint.pulled(ctx, g)

    @staticmethod
    def pulled(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        steps, saved = ctx.steps, ctx.saved_tensors
        parameters, (start, *kept, x) = saved[: ctx.count], saved[ctx.count :]
        f = ctx.transposed(parameters)
        with f.undisturbed():
            if steps.checked and x.numel() > 0 and f.versions() != ctx.versions:
                _check_unchanged(steps, f, start, x)
            misses, compared = [], steps.recovers and x.numel() > 0
            for k in reversed(range(steps.steps)):
                if steps.recovers:
                    x = steps.method.recovered(f, k, x)
                if k in steps.witnesses:
                    size, numbers = kept.pop(), kept.pop()
                    if compared:
                        misses.append(Sketch(numbers, size).relative_miss(x, f.axes, k))
                elif k == 0 or steps.kept(k):
                    true = kept.pop() if k > 0 else start
                    if compared:
                        misses.append(relative_miss(x, true, f.axes))
                    x = true
                g = steps.method.pulled(f, k, x, g)
            if misses:
                _check_misses(steps, f, start, float(torch.stack(misses).amax()))
        return None, None, None, g, *f.gradients


def _examine(steps: Steps, f: PulledBranches, x: Tensor) -> None:
    """Refuse branches that no adjoint can follow, or that are not near-invertible, at the states from x = x_0 on."""
    if x.numel() == 0:
        return
    with f.undisturbed():
        for k in range(steps.steps + steps.method.further):
            f.check(k, x)
            if steps.recovers:
                check_near_invertible(f, k, x)
            if k < steps.steps:
                x = steps.method.step(f, k, x)


def _check_unchanged(steps: Steps, f: PulledBranches, start: Tensor, last: Tensor) -> None:
    """Refuse branches that do not lead from x_0 to x_N any more, as something that is no parameter has changed."""
    x = start
    for k in range(steps.steps):
        x = steps.method.step(f, k, x)
    if not alike(x, last):
        raise ValueError(
            "buffers were changed in place after the forward pass, and the branches have other values with them: that "
            "is not allowed before the backward pass with backward='adjoint', which calls the branches again; change "
            "them afterwards, or put other tensors in their place"
        )


def _check_misses(steps: Steps, f: PulledBranches, start: Tensor, miss: float) -> None:
    """Warn of a miss beyond the tolerance, and refuse steps of which none can be expected to be recovered."""
    if not steps.checked or miss <= steps.tolerance:
        return
    _examine(steps, f, start)
    cure = "a smaller checkpoint_every" if steps.checkpoint_every else "checkpoint_every"
    other = ", scheme='heun'" if steps.scheme == "euler" else ""
    warnings.warn(
        f"states recovered backwards miss the true ones by {miss:.2g} of their size, and tolerance={steps.tolerance:g} "
        f"is allowed: the gradient through {steps.steps} steps of scheme={steps.scheme!r} may be wrong by as much, or "
        f"by several times as much with a kinked activation; "
        f"take {cure}{other}, more steps of weights that are smooth in depth, or backward='autograd'",
        AdjointWarning,
        stacklevel=2,
    )
