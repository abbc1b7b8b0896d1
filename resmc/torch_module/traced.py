"""A module of torch as a list of steps: what torch's tracer sees of it, put in the order in which it acts on a state.

A step is a Linear, an activation, a norm, a factor, or a block that adds a branch to the state: carry h + branch(h).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from ..models.activation_families import spelled
from ..models.activations import ACTIVATIONS
from .functions import arguments, attribute, flattens, function_of, hard_tanh, no_dropout, size_of, softplus
from .norms import norm_read
from .steps import Activated, Block, Factor, Step

Path = tuple[
    tuple[str, Step], ...
]  # steps with the names of the nodes that made them: two ways to one state share these

MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Identity: "linear",
    nn.SELU: "selu",
    nn.Mish: "mish",
}
# Activations with parameters: what a module and its name in messages are.
PARAMETRIC: dict[type[nn.Module], Callable[[Any, str], Activated]] = {
    nn.GELU: lambda one, where: Activated("gelu" if one.approximate == "none" else "gelu_tanh"),
    nn.LeakyReLU: lambda one, where: Activated(spelled("leaky_relu", one.negative_slope)),
    nn.ELU: lambda one, where: Activated(spelled("elu", one.alpha)),
    nn.Hardtanh: lambda one, where: hard_tanh(where, one.min_val, one.max_val),
    nn.Softplus: lambda one, where: softplus(where, one.beta, one.threshold),
}
# Why a norm of torch has no like in resmc.
OTHER_NORMS: dict[type[nn.Module], str] = {
    nn.BatchNorm1d: "a batch norm has means over several inputs, which a ResidualNetwork with a norm does not follow",
    nn.GroupNorm: "a group norm has a mean for each part of a layer, and a ResidualNetwork one for the whole layer",
}
DROPOUT = (nn.Dropout, nn.AlphaDropout)
ADDITIONS = (operator.add, operator.iadd, torch.add)
PRODUCTS = (operator.mul, operator.imul, torch.mul, torch.multiply)
QUOTIENTS = (operator.truediv, operator.itruediv, torch.div, torch.divide, torch.true_divide)


def steps_of(module: nn.Module) -> tuple[Step, ...]:
    """Return the steps of a module, in order.

    Raises
    ------
    ValueError
        For a module that torch's tracer does not follow, and for steps that are not understood; the message names them.
    """
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # the module's own code runs here
        raise ValueError(f"module={type(module).__name__} cannot be traced by torch.fx: {error}") from error
    paths: dict[fx.Node, Path] = {}
    sizes: dict[fx.Node, Any] = {}
    modules = dict(module.named_modules())
    for node in graph.nodes:
        if node.op == "placeholder":
            if paths:
                raise ValueError(f"module={type(module).__name__} takes several arguments: it must take a state alone")
            paths[node] = ()
        elif node.op == "output":
            (result,) = node.args
            if not isinstance(result, fx.Node) or result not in paths:
                raise ValueError(f"module={type(module).__name__} returns no single state")
            return tuple(step for _, step in paths[result])
        elif (size := size_of(node, paths, sizes)) is not None:
            sizes[node] = size
        elif node.op == "call_module":
            paths[node] = _then(node, paths, _step_of(modules[str(node.target)], str(node.target)))
        elif node.op != "get_attr":
            paths[node] = _after(node, paths, sizes, module)
    raise ValueError(f"module={type(module).__name__} returns nothing")


def _after(node: fx.Node, paths: dict[fx.Node, Path], sizes: dict[fx.Node, Any], whole: nn.Module) -> Path:
    """Return the path to what a function or a method makes."""
    function = function_of(node)
    if function is not None:
        return _then(node, paths, function.made(node.name, arguments(node, function, whole, sizes)))
    kinds: dict[str, tuple[Any, ...]] = {"add": ADDITIONS, "mul": PRODUCTS, "div": QUOTIENTS}
    for method, functions in kinds.items():
        if node.target in functions or (node.op == "call_method" and node.target in (method, method + "_")):
            return _arithmetic(node, method, paths, whole)
    if flattens(node):
        if _then(node, paths, None):
            raise ValueError(
                f"{node.name} is not understood: a state is given another shape, which its input alone may"
            )
        return ()
    raise ValueError(f"{node.name} is not understood: resmc has no layer like {node.target}")


def _then(node: fx.Node, paths: dict[fx.Node, Path], step: Step | None) -> Path:
    """Return the path to a node that makes a step of a state, or changes nothing."""
    before = _state(node, node.args[0] if node.args else node.kwargs.get("input"), paths)
    return before if step is None else (*before, (node.name, step))


def _arithmetic(node: fx.Node, kind: str, paths: dict[fx.Node, Path], whole: nn.Module) -> Path:
    times = node.kwargs.get("alpha", 1.0) if kind == "add" else 1.0  # a + times b
    if len(node.args) != 2 or not set(node.kwargs) <= ({"alpha"} if kind == "add" else set()):
        raise ValueError(f"{node.name} is not understood: it must have two arguments")
    a, b = node.args
    states = [isinstance(one, fx.Node) and one in paths for one in (a, b)]
    if kind == "add":
        if not all(states):
            raise ValueError(f"{node.name} is not understood: it adds what is no state")
        other = _state(node, b, paths)
        if times != 1.0:
            other = (*other, (node.name, Factor(_number(node, times, whole))))
        return _sum(node.name, _state(node, a, paths), other)
    if all(states) or not (states[0] or (states[1] and kind == "mul")):
        raise ValueError(f"{node.name} is not understood: a state may be multiplied by numbers alone")
    state, number = (a, b) if states[0] else (b, a)
    value = _number(node, number, whole)
    return (*_state(node, state, paths), (node.name, Factor(1.0 / value if kind == "div" else value)))


def _number(node: fx.Node, given: Any, whole: nn.Module) -> float:
    """Return a number, or the one entry of a parameter, such as a gate that is 0 at first."""
    if isinstance(given, fx.Node) and given.op == "get_attr":
        found = attribute(whole, str(given.target))
        if isinstance(found, torch.Tensor) and found.numel() == 1:
            return float(found.detach())
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    raise ValueError(f"{node.name} is not understood: a state may be multiplied by numbers alone")


def _state(node: fx.Node, given: Any, paths: dict[fx.Node, Path]) -> Path:
    if not isinstance(given, fx.Node) or given not in paths:
        raise ValueError(f"{node.name} is not understood: it acts on what is no state")
    return paths[given]


def _sum(name: str, a: Path, b: Path) -> Path:
    """Return the path of carry h + branch(h): one of the two is the state itself, times a number."""
    shared = 0
    while shared < min(len(a), len(b)) and a[shared][0] == b[shared][0]:
        shared += 1
    for skip, branch in ((a, b), (b, a)):
        rest = [step for _, step in skip[shared:]]
        if all(isinstance(step, Factor) for step in rest) and len(branch) > shared:
            carry = 1.0
            for step in rest:
                assert isinstance(step, Factor)
                carry *= step.value
            return (*skip[:shared], (name, Block(carry, tuple(step for _, step in branch[shared:]))))
    raise ValueError(f"{name} is not understood: one of two states that are added must be the other's beginning")


def _step_of(module: nn.Module, name: str) -> Step | None:
    """Return the step that a module of torch is; None where it changes nothing.

    Raises
    ------
    ValueError
        For a module that resmc has nothing like; the message says what is there.
    """
    where = f"{name} ({type(module).__name__})"
    if isinstance(module, nn.Linear):
        return module
    if isinstance(module, DROPOUT):
        no_dropout(where, module.p, module.training)
        return None
    if isinstance(module, nn.Flatten):
        return None
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        name = "layer" if isinstance(module, nn.LayerNorm) else "rms"
        bias = getattr(module, "bias", None)
        return norm_read(name, where, module.normalized_shape, module.weight, bias, module.eps)
    if type(module) in OTHER_NORMS:
        raise ValueError(f"{where} is not understood: {OTHER_NORMS[type(module)]}; it has LayerNorm and RMSNorm")
    kind = type(module)
    if kind in PARAMETRIC:
        return PARAMETRIC[kind](module, where)
    if kind not in MODULES:
        raise ValueError(
            f"{where} is not understood: resmc has Linear, LayerNorm, RMSNorm, residual sums, and the activations "
            f"{', '.join(ACTIVATIONS)}"
        )
    return Activated(MODULES[kind])
