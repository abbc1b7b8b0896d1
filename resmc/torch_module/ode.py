"""Residual networks of any branches as steps of a scheme, with a gradient that needs no stored states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch

from .._system import checks
from .._system.words import brief
from .adjoint import Steps, adjoint
from .schemes import SCHEMES, Linearised

Tensor = torch.Tensor
Function = Callable[[Tensor], Tensor]


class ResidualODE(torch.nn.Module):
    """N steps of Euler's or Heun's method through branches of any kind, such as convolutions.

    .. code-block:: text

        euler      x_{k+1} = x_k + h f_k(x_k)                                          k = 0 .. N-1
        heun       x_{k+1} = x_k + h (f_k(x_k) + f_{k+1}(x_k + h f_k(x_k))) / 2

    With ``backward="adjoint"`` x_N alone is kept, and x_0: the gradient goes through the states x_k that the same steps
    with the opposite sign recover from x_{k+1}, whose errors are O(h^2) a step (Euler) and O(h^3) (Heun).

    .. code-block:: text

        euler      x_k ~ x_{k+1} - h f_k(x_{k+1})
        heun       x_k ~ x_{k+1} - h (f_{k+1}(x_{k+1}) + f_k(x_{k+1} - h f_{k+1}(x_{k+1}))) / 2

    Parameters
    ----------
    functions : sequence of callables
        f_0, f_1, .., of which each takes a tensor (batch, ..) and returns one of the same shape: N of them for Euler's
        method, N + 1 for Heun's. Modules are registered, so that their parameters train; the same one may stand in
        several places. A function of another kind may have no parameters with the adjoint, which could not know them.
    scheme : {"euler", "heun"}
    step : float, optional
        h, by default 1/N.
    backward : {"autograd", "adjoint"}
    checkpoint_every : int, optional
        Keep every so many-th state too, from which the recovery begins anew, for ``backward="adjoint"``.
    tolerance : float
        Relative miss of recovered states beyond which there is a `resmc.ode.AdjointWarning`.

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
        tolerance: float = 1e-2,
    ) -> None:
        super().__init__()
        functions = list(functions)
        for k, function in enumerate(functions):
            if not callable(function):
                raise ValueError(f"functions[{k}]={brief(function)} is not allowed: it must be a function of a tensor")
        checks.choice("scheme", scheme, tuple(SCHEMES))
        further = SCHEMES[scheme].further
        if len(functions) <= further:
            raise ValueError(
                f"{len(functions)} functions are too few: scheme={scheme!r} with N steps has N{further * ' + 1'}"
            )
        self.steps = Steps(scheme, len(functions) - further, backward, checkpoint_every, tolerance)
        self.step = 1.0 / self.steps.steps if step is None else checks.real("step", step, positive=True)
        self.functions = functions
        self.layers = torch.nn.ModuleList(one for one in functions if isinstance(one, torch.nn.Module))

    def forward(self, x: Tensor, return_layers: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Return x_N, or (x_N, [x_0, .., x_N]) with ``return_layers``; all have the shape (batch, ..) of x = x_0."""
        parameters = list(self.parameters())
        if self.steps.backward == "adjoint" and torch.is_grad_enabled():
            if return_layers:
                raise ValueError(
                    "return_layers=True is not allowed with backward='adjoint' where gradients are recorded: the "
                    "states are not kept; call it under torch.no_grad(), or use backward='autograd'"
                )
            return adjoint(self.steps, partial(CallableBranches, self.functions, self.step), x, parameters)
        f, xs = CallableBranches(self.functions, self.step, parameters), [x]
        for k in range(self.steps.steps):
            x = self.steps.method.step(f, k, x)
            if return_layers:
                xs.append(x)
        return (x, xs) if return_layers else x


class CallableBranches:
    """Branches h f_k of any functions; autograd transposes them, one at a time.

    Attributes
    ----------
    gradients : list
        The gradient of each parameter of the functions that are modules, None where it needs none.
    """

    def __init__(self, functions: Sequence[Function], step: float, parameters: Sequence[Tensor]) -> None:
        self.functions, self.step = functions, step
        self.places = {id(one): place for place, one in enumerate(parameters)}
        self.gradients: list[Tensor | None] = [None] * len(parameters)

    def __call__(self, k: int, x: Tensor) -> Tensor:
        return self.step * self.functions[k](x)

    def linearised(self, k: int, x: Tensor, value: bool) -> Linearised:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self(k, x)
        function = self.functions[k]
        inner = function.parameters() if isinstance(function, torch.nn.Module) else ()
        trained = [one for one in inner if one.requires_grad]

        def pulled(g: Tensor) -> Tensor:
            of_x, *found = torch.autograd.grad(y, [x, *trained], g, allow_unused=True)
            for one, gradient in zip(trained, found, strict=True):
                if gradient is not None:
                    place = self.places[id(one)]
                    before = self.gradients[place]
                    self.gradients[place] = gradient if before is None else before + gradient
            return torch.zeros_like(x) if of_x is None else of_x

        return Linearised(y.detach() if value else None, pulled)
