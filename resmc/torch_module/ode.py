"""Residual networks of any branches as steps of a scheme, with a gradient that needs no stored states."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch

from .._system import checks
from .._system.words import brief
from .adjoint import Steps, adjoint
from .schemes import SCHEMES, Jacobian, Linearised

Tensor = torch.Tensor
Function = Callable[[Tensor], Tensor]


class ResidualODE(torch.nn.Module):
    """N steps of Euler's or Heun's method through branches of any kind, such as convolutions.

    .. code-block:: text

        euler      x_{k+1} = x_k + h f_k(x_k)                                          k = 0 .. N-1
        heun       x_{k+1} = x_k + h (f_k(x_k) + f_{k+1}(x_k + h f_k(x_k))) / 2

    With ``backward="adjoint"`` x_N alone is kept, and x_0: the gradient goes through the states x_k that the same steps
    with the opposite sign recover from x_{k+1}, up to O(h^2) a step (Euler), or O(h^4) of smooth functions (Heun).

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
        Relative miss of recovered states beyond which there is a `resmc.ode.AdjointWarning`. Errors of gradients have
        been measured up to 1.4 times the miss with tanh, and 4.5 times with ReLU, whose states come back on another
        side of a kink now and then, which alone is worth up to 2e-3.

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
        self._examined: tuple[bool, ...] = ()
        self.layers = torch.nn.ModuleList(one for one in functions if isinstance(one, torch.nn.Module))

    def forward(self, x: Tensor, return_layers: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Return x_N, or (x_N, [x_0, .., x_N]) with ``return_layers``; all have the shape (batch, ..) of x = x_0.

        Raises
        ------
        ValueError
            For an x or a value of a function of another shape, and states that are not finite. With the adjoint, for
            functions that are not near-invertible with this step, have another value when called again, or depend on
            tensors that need a gradient and are no parameters of theirs.
        """
        if x.ndim < 2 or not x.is_floating_point():
            raise ValueError(
                f"x of shape {tuple(x.shape)} and {x.dtype} is not allowed: it must be of shape (batch, ..), and of "
                "floats"
            )
        parameters = list(self.parameters())
        if self.steps.backward == "adjoint" and torch.is_grad_enabled():
            if return_layers:
                raise ValueError(
                    "return_layers=True is not allowed with backward='adjoint' where gradients are recorded: the "
                    "states are not kept; call it under torch.no_grad(), or use backward='autograd'"
                )
            make = partial(CallableBranches, self.functions, self.step)
            modes = tuple(one.training for one in self.modules())  # dropout is another function in training
            last = adjoint(self.steps, make, x, parameters, modes != self._examined)
            self.steps.check_finite(make(parameters), x, last, several=False)
            self._examined = modes
            return last
        f, xs, start = CallableBranches(self.functions, self.step, parameters), [x], x
        for k in range(self.steps.steps):
            x = self.steps.method.step(f, k, x)
            if return_layers:
                xs.append(x)
        self.steps.check_finite(f, start, x, several=False)
        return (x, xs) if return_layers else x


class CallableBranches:
    """Branches h f_k of any functions; autograd transposes them, one at a time.

    Attributes
    ----------
    gradients : list
        The gradient of each parameter of the functions that are modules, None where it needs none.
    """

    axes = 1

    def __init__(self, functions: Sequence[Function], step: float, parameters: Sequence[Tensor]) -> None:
        self.functions, self.step = functions, step
        self.places = {id(one): place for place, one in enumerate(parameters)}
        self.gradients: list[Tensor | None] = [None] * len(parameters)

    def size(self, k: int) -> float:
        return self.step

    def examined(self, x: Tensor) -> Tensor:
        return x

    def value(self, k: int, x: Tensor) -> Tensor:
        """Return the function's value, without the step."""
        y: Tensor = self.functions[k](x)
        if y.shape != x.shape:
            raise ValueError(
                f"functions[{k}] made {tuple(y.shape)} of a tensor of shape {tuple(x.shape)}: it must keep the shape"
            )
        return y

    def added(self, k: int, x: Tensor, to: Tensor, factor: float = 1.0) -> Tensor:
        return torch.add(to, self.value(k, x), alpha=factor * self.step)

    def trained(self, k: int) -> list[Tensor]:
        """Return the function's own parameters, those that need a gradient."""
        function = self.functions[k]
        inner = function.parameters() if isinstance(function, torch.nn.Module) else ()
        return [one for one in inner if one.requires_grad]

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Put the buffers of modules back afterwards, such as means that follow each batch that is seen."""
        modules = [one for one in self.functions if isinstance(one, torch.nn.Module)]
        buffers = list(torch.nn.ModuleList(modules).buffers())
        before = [one.clone() for one in buffers]
        try:
            yield
        finally:
            with torch.no_grad():
                for one, old in zip(buffers, before, strict=True):
                    one.copy_(old)

    def jacobian(self, k: int, x: Tensor) -> Jacobian:
        """Return the Jacobian, forwards by a difference quotient; refuse what no adjoint can follow."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self.value(k, x)
        self._check_parameters(k, x, y)
        unit = torch.finfo(x.dtype).eps ** (1.0 / 3.0) * float(x.detach().flatten(1).norm(dim=1).mean() or 1.0)
        with torch.no_grad():
            again = self.value(k, x)
            if not torch.allclose(again, y, rtol=unit, atol=unit):
                raise ValueError(
                    f"functions[{k}] is not allowed with backward='adjoint': called again at the same place, it has "
                    "another value, as dropout makes it"
                )

        def forward(v: Tensor) -> Tensor:
            with torch.no_grad():
                change: Tensor = (self.value(k, x + unit * v) - again) * (self.step / unit)
                return change

        def transposed(g: Tensor) -> Tensor:
            if not y.requires_grad:
                return torch.zeros_like(x)
            (found,) = torch.autograd.grad(
                y, x, self.step * g, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            return found

        return Jacobian(forward, transposed)

    def _check_parameters(self, k: int, x: Tensor, y: Tensor) -> None:
        """Refuse a function whose value has a gradient with respect to something that is no parameter of its own."""
        known = {id(one) for one in (x, *self.trained(k))}
        nodes, seen = [y.grad_fn], set()
        while nodes:
            node = nodes.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            leaf = getattr(node, "variable", None)
            if leaf is not None and id(leaf) not in known:
                raise ValueError(
                    f"functions[{k}] is not allowed with backward='adjoint': a tensor of shape {tuple(leaf.shape)} "
                    "that needs a gradient is no parameter of it, and would get none; make the function a "
                    "torch.nn.Module that has the tensor as its parameter"
                )
            nodes.extend(inner for inner, _ in node.next_functions)

    def linearised(self, k: int, x: Tensor, to: Tensor | None = None) -> Linearised:
        trained = self.trained(k)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self.value(k, x)

        def pulled(g: Tensor, onto: Tensor) -> Tensor:
            if not y.requires_grad:
                return onto
            of_x, *found = torch.autograd.grad(y, [x, *trained], self.step * g, allow_unused=True)
            for one, gradient in zip(trained, found, strict=True):
                if gradient is not None:
                    place = self.places[id(one)]
                    before = self.gradients[place]
                    self.gradients[place] = gradient if before is None else before + gradient
            return onto if of_x is None else onto + of_x

        return Linearised(None if to is None else torch.add(to, y.detach(), alpha=self.step), pulled)
