"""Branches that are functions of any kind, transposed by autograd, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from .._system.words import brief
from .autocast import autocast_enabled
from .recovery import alike
from .schemes import Jacobian, Linearised, version

Tensor = torch.Tensor
Function = Callable[[Tensor], Tensor]


def modules_of(functions: Sequence[Function]) -> list[torch.nn.Module]:
    """Return those of some functions that are modules."""
    return [one for one in functions if isinstance(one, torch.nn.Module)]


def parameters_of(functions: Sequence[Function]) -> list[Tensor]:
    """Return the parameters of functions that are modules, each once."""
    return list({id(one): one for module in modules_of(functions) for one in module.parameters()}.values())


def buffers_of(functions: Sequence[Function]) -> list[Tensor]:
    """Return the buffers of functions that are modules, each once."""
    return list({id(one): one for module in modules_of(functions) for one in module.buffers()}.values())


class CallableBranches:
    """Branches h f_k of any functions; autograd transposes them, one at a time.

    Parameters
    ----------
    functions : sequence of callables
    step : float
        h.
    parameters : sequence of tensors, optional
        What `parameters_of` the functions was in the forward pass, by default what it is now. Other tensors may stand
        in the modules by now, as after ``torch.func.functional_call``, or equal ones may have come back from
        ``save_on_cpu``: modules are then called with these.
    modes : sequence of (module, bool)
        Which modules were in training in the forward pass.
    buffers : sequence of tensors
        What `buffers_of` the functions was when the forward pass began; modules are called with these too.

    Attributes
    ----------
    gradients : list
        The gradient of each parameter of the functions that are modules, None where it needs none.

    Raises
    ------
    ValueError
        If the modules have more or fewer parameters or buffers than there are.
    """

    axes = 1

    def __init__(
        self,
        functions: Sequence[Function],
        step: float,
        modes: Sequence[tuple[torch.nn.Module, bool]] = (),
        buffers: Sequence[Tensor] | None = None,
        parameters: Sequence[Tensor] | None = None,
    ) -> None:
        present, now = parameters_of(functions), buffers_of(functions)
        parameters = present if parameters is None else parameters
        self.buffers = now if buffers is None else buffers
        if (len(present), len(now)) != (len(parameters), len(self.buffers)):
            raise ValueError(
                f"the functions have {len(present)} parameters and {len(now)} buffers, and had {len(parameters)} and "
                f"{len(self.buffers)} in the forward pass: they are not allowed to change before the backward pass "
                "with backward='adjoint'"
            )
        self.functions, self.step, self.modes = functions, step, modes
        self.places = {id(one): place for place, one in enumerate(present)}
        self.others: dict[int, Tensor] = {}  # by the identity of what stands in a module by now
        for one, own in zip(parameters, present, strict=True):
            if one is not own:
                self.others[id(own)] = one.detach().requires_grad_(one.requires_grad)
        self.others |= {id(own): one for one, own in zip(self.buffers, now, strict=True) if one is not own}
        self.gradients: list[Tensor | None] = [None] * len(parameters)

    def size(self, k: int) -> float:
        return self.step

    def examined(self, x: Tensor) -> Tensor:
        return x

    def value(self, k: int, x: Tensor) -> Tensor:
        """Return the function's value, without the step."""
        before = version(x)
        try:
            y = self._called(k, x)
        except RuntimeError as error:
            self._explain(k, x, error)
            raise
        if version(x) != before:
            raise ValueError(
                f"functions[{k}] changes its argument in place, which the sum needs: it is not allowed to; take "
                "inplace=False, or out-of-place operations"
            )
        if not isinstance(y, torch.Tensor):
            raise ValueError(f"functions[{k}] made {brief(y)}: it must return a tensor")
        if y.shape != x.shape:
            raise ValueError(
                f"functions[{k}] made {tuple(y.shape)} of a tensor of shape {tuple(x.shape)}: it must keep the shape"
            )
        return y

    def _called(self, k: int, x: Tensor) -> Tensor:
        function = self.functions[k]
        if not self.others or not isinstance(function, torch.nn.Module):
            return function(x)
        others = {}
        for path, module in function.named_modules():  # each once: torch forgets what stood in one that it meets twice
            for name, one in (*module._parameters.items(), *module._buffers.items()):
                if id(one) in self.others:
                    others[f"{path}.{name}" if path else name] = self.others[id(one)]
        y: Tensor = torch.func.functional_call(function, others, (x,), tie_weights=False)
        return y

    def _explain(self, k: int, x: Tensor, error: RuntimeError) -> None:
        """Refuse a state of another dtype than the parameters', where that was too much for a function."""
        function = self.functions[k]
        inner = function.parameters() if isinstance(function, torch.nn.Module) else ()
        kinds = sorted({str(one.dtype) for one in inner if one.is_floating_point()} - {str(x.dtype)})
        if kinds and not autocast_enabled(x.device.type):
            raise ValueError(
                f"x of {x.dtype} is not allowed: functions[{k}] has parameters of {', '.join(kinds)}; convert one of "
                "them by .to(dtype)"
            ) from error

    def added(self, k: int, x: Tensor, to: Tensor, factor: float = 1.0) -> Tensor:
        return torch.add(to, self.value(k, x), alpha=factor * self.step)

    def trained(self, k: int) -> list[tuple[int, Tensor]]:
        """Return the function's own parameters, those that need a gradient, with their places among all."""
        function = self.functions[k]
        inner = function.parameters() if isinstance(function, torch.nn.Module) else ()
        used = ((self.places[id(one)], self.others.get(id(one), one)) for one in inner)
        return [(place, one) for place, one in used if one.requires_grad]

    def versions(self) -> tuple[int, ...]:
        return tuple(map(version, self.buffers))

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Put the buffers of modules back afterwards, such as means that follow each batch that is seen.

        Meanwhile modules are in training as they were in the forward pass.
        """
        buffers = [*buffers_of(self.functions), *self.buffers]
        before = [one.clone() for one in buffers]
        now = [(one, one.training) for one, _ in self.modes]
        _set(self.modes)
        try:
            yield
        finally:
            _set(now)
            for one, old in zip(buffers, before, strict=True):
                one.data.copy_(old)  # unseen by autograd, as the buffer is what a graph of others may hold

    def check(self, k: int, x: Tensor) -> None:
        """Refuse a function that draws random numbers, changes when called again, or has tensors of others in it."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            drawn = _random_state(x.device)
            y = self.value(k, x)
            draws = any(not torch.equal(old, new) for old, new in zip(drawn, _random_state(x.device), strict=True))
        self._check_parameters(k, x, y)
        with torch.no_grad():
            again = self.value(k, x)
            if draws or not alike(again, y):
                raise ValueError(
                    f"functions[{k}] is not allowed with backward='adjoint': called again at the same place, it has "
                    f"another value, as dropout makes it{'; it draws random numbers' if draws else ''}"
                )

    def jacobian(self, k: int, x: Tensor) -> Jacobian:
        """Return the Jacobian, forwards by a difference quotient."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = self.value(k, x)
        unit = torch.finfo(y.dtype).eps ** (1.0 / 3.0) * float(x.detach().flatten(1).norm(dim=1).mean() or 1.0)

        def forward(v: Tensor) -> Tensor:
            with torch.no_grad():
                change: Tensor = (self.value(k, x + unit * v) - y.detach()) * (self.step / unit)
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
        own = [one for _, one in self.trained(k)]
        known = {id(one) for one in (x, *own)}
        nodes, seen = [y.grad_fn], {one.grad_fn for one in own if one.grad_fn is not None}
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
            of_x, *found = torch.autograd.grad(y, [x, *(one for _, one in trained)], self.step * g, allow_unused=True)
            for (place, _), gradient in zip(trained, found, strict=True):
                if gradient is not None:
                    before = self.gradients[place]
                    self.gradients[place] = gradient if before is None else before + gradient
            return onto if of_x is None else onto + of_x

        return Linearised(None if to is None else torch.add(to, y.detach(), alpha=self.step), pulled)


def _set(modes: Sequence[tuple[torch.nn.Module, bool]]) -> None:
    for module, training in modes:
        if module.training != training:  # setting an attribute of a module takes its time
            module.training = training


def _random_state(device: torch.device) -> list[Tensor]:
    """Return the states of torch's generators that functions on a device draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
