"""Residual networks of any branches as steps of a scheme, with a gradient that needs no stored states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import torch

from .._system import checks
from .._system.words import brief
from .adjoint import TOLERANCE, Steps, adjoint
from .callables import CallableBranches, Function, buffers_of, parameters_of
from .schemes import SCHEMES

Tensor = torch.Tensor


class ResidualODE(torch.nn.Module):
    """N steps of Euler's or Heun's method through branches of any kind, such as convolutions.

    .. code-block:: text

        euler      x_{k+1} = x_k + h f_k(x_k)                                          k = 0 .. N-1
        heun       x_{k+1} = x_k + h (f_k(x_k) + f_{k+1}(x_k + h f_k(x_k))) / 2

    With ``backward="adjoint"`` the gradient goes through the states x_k that the same steps with the opposite sign
    recover from x_{k+1}, up to O(h^2) a step (Euler), or O(h^4) of smooth functions (Heun):

    .. code-block:: text

        euler      x_k ~ x_{k+1} - h f_k(x_{k+1})
        heun       x_k ~ x_{k+1} - h (f_{k+1}(x_{k+1}) + f_k(x_{k+1} - h f_{k+1}(x_{k+1}))) / 2

    Only x_0, x_N and checkpoints are kept, whatever N is, and of eight states evenly over the depth four numbers an
    input. Recovered states are compared with all of these; the numbers give a miss to within a factor of two in most
    cases. That no miss is found is no proof: errors shrink backwards through layers that expand, so that states between
    these may miss by more.

    Functions are called again backwards, in training as they were in the forward pass, with autocast as it was, and
    with its parameters and buffers, those of ``torch.func.functional_call`` too. Buffers that were changed in place
    meanwhile, so that states are others, are refused by a `ValueError`. The gradient has no derivatives of its own.

    Parameters
    ----------
    functions : sequence of callables
        f_0, f_1, .., of which each takes a tensor (batch, ..) and returns one of the same shape: N of them for Euler's
        method, N + 1 for Heun's. Modules are registered as ``layers``, so that their parameters train, and may be
        replaced there; the same one may stand in several places. None may change its argument in place. A function of
        another kind may have no parameters with the adjoint, which could not know them.
    scheme : {"euler", "heun"}
    step : float, optional
        h, by default 1/N.
    backward : {"autograd", "adjoint"}
    checkpoint_every : int, optional
        Keep every so many-th state too, from which the recovery begins anew, for ``backward="adjoint"``. With 1 nothing
        is recovered, steps of any size are allowed, and the gradient is autograd's.
    tolerance : float
        Largest relative miss of the recovered states that are compared, beyond which there is a
        `resmc.ode.AdjointWarning`. Errors of gradients have been measured up to 1.4 times the input's miss with tanh,
        and 4.5 times with ReLU, whose states come back on another side of a kink now and then, which alone is worth up
        to 2e-3.

    Raises
    ------
    ValueError
        For an argument that is not allowed.

    Source: Sander, Ablin, Peyre (arXiv 2205.14612), sections 2 and 4.
    """

    def __init__(
        self,
        functions: Iterable[Function],
        scheme: str = "euler",
        step: float | None = None,
        backward: str = "autograd",
        checkpoint_every: int | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        super().__init__()
        if not isinstance(functions, Iterable):
            raise ValueError(
                f"functions={brief(functions)} is not allowed: it must be a sequence of functions of a tensor"
            )
        functions = list(functions)
        for k, function in enumerate(functions):
            if not callable(function):
                raise ValueError(f"functions[{k}]={brief(function)} is not allowed: it must be a function of a tensor")
        checks.choice("scheme", scheme, tuple(SCHEMES))
        further = SCHEMES[scheme].further
        if len(functions) <= further:
            raise ValueError(
                f"{len(functions)} functions are too few: scheme={scheme!r} with N steps, of which there is at least "
                f"1, has N{further * ' + 1'}"
            )
        self.steps = Steps(scheme, len(functions) - further, backward, checkpoint_every, tolerance)
        self.step = 1.0 / self.steps.steps if step is None else checks.real("step", step, positive=True)
        self._others = {k: one for k, one in enumerate(functions) if not isinstance(one, torch.nn.Module)}
        self._examined: list[tuple[torch.nn.Module, bool]] = []
        self.layers = torch.nn.ModuleList(one for one in functions if isinstance(one, torch.nn.Module))

    @property
    def functions(self) -> list[Function]:
        """f_0, f_1, .., those of them that are modules from ``layers``, where they may be replaced."""
        modules, count = iter(self.layers), self.steps.steps + self.steps.method.further
        if len(self.layers) + len(self._others) != count:
            raise ValueError(
                f"layers of {len(self.layers)} modules are not allowed: {count - len(self._others)} of the {count} "
                "functions are modules; one may be replaced, and for more or fewer make another ResidualODE"
            )
        return [self._others[k] if k in self._others else next(modules) for k in range(count)]

    def named_modules(
        self, memo: set[torch.nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, torch.nn.Module]]:
        """Yield each module once, even where all its places are asked for.

        ``torch.func.functional_call`` asks for them, and leaves its own parameters in modules that it meets twice.
        """
        yield from super().named_modules(memo if remove_duplicate else set(), prefix, True)

    def extra_repr(self) -> str:
        """Return the scheme and the functions that are no modules, for ``repr``."""
        others = "".join(f", functions[{k}]={brief(one)}" for k, one in self._others.items())
        return f"{self.steps.words()}, step={self.step:.6g}{others}"

    def forward(self, x: Tensor, return_layers: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Return x_N, or (x_N, [x_0, .., x_N]) with ``return_layers``; all have the shape (batch, ..) of x = x_0.

        Raises
        ------
        ValueError
            For an x or a value of a function of another shape or kind, functions that change their argument in place,
            and states that are not finite. With the adjoint, at the first pass, for functions that are not
            near-invertible with this step, draw random numbers, have another value when called again, or depend on
            tensors that need a gradient and are no parameters of theirs.
        """
        if not isinstance(x, torch.Tensor):
            raise ValueError(f"x={brief(x)} is not allowed: it must be a tensor of shape (batch, ..), and of floats")
        if x.ndim < 2 or not x.is_floating_point():
            raise ValueError(
                f"x of shape {tuple(x.shape)} and {x.dtype} is not allowed: it must be of shape (batch, ..), and of "
                "floats"
            )
        functions = self.functions
        if self.steps.backward == "adjoint" and torch.is_grad_enabled():
            if return_layers:
                raise ValueError(
                    "return_layers=True is not allowed with backward='adjoint' where gradients are recorded: the "
                    "states are not kept; call it under torch.no_grad(), or use backward='autograd'"
                )
            modes = [(one, one.training) for one in self.modules()]  # dropout is another function in training
            make = partial(CallableBranches, functions, self.step, modes, buffers_of(functions))
            parameters = parameters_of(functions)
            last = adjoint(self.steps, make, x, parameters, modes != self._examined)
            self.steps.check_finite(make(parameters), x, last, several=False)
            if x.numel() > 0:
                self._examined = modes
            return last
        f, xs, start = CallableBranches(functions, self.step), [x], x
        for k in range(self.steps.steps):
            x = self.steps.method.step(f, k, x)
            if return_layers:
                xs.append(x)
        self.steps.check_finite(f, start, x, several=False)
        return (x, xs) if return_layers else x
