"""A module of torch as a list of steps: what torch's tracer sees of it, put in the order in which it acts on a state.

A step is a Linear, an activation, a norm, a factor, or a block that adds a branch to the state: carry h + branch(h).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ..models.activation_families import spelled
from ..models.activations import ACTIVATIONS


@dataclass(frozen=True)
class Activated:
    """An activation, by its name in resmc."""

    name: str


@dataclass(frozen=True)
class Normed:
    """A norm with gain 1 and bias 0, by its name in resmc, of a state of ``width`` entries."""

    name: str
    eps: float
    width: int


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
Path = tuple[
    tuple[str, Step], ...
]  # steps with the names of the nodes that made them: two ways to one state share these

FUNCTIONS: dict[Any, str] = {
    torch.relu: "relu",
    nn.functional.relu: "relu",
    torch.tanh: "tanh",
    nn.functional.tanh: "tanh",
    torch.sigmoid: "sigmoid",
    nn.functional.sigmoid: "sigmoid",
    nn.functional.silu: "silu",
}
METHODS = {"relu": "relu", "tanh": "tanh", "sigmoid": "sigmoid"}
MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.Identity: "linear",
    nn.SELU: "selu",
    nn.Mish: "mish",
}
# Activations with parameters, by what these make of them; None where resmc has none like it.
PARAMETRIC: dict[type[nn.Module], Callable[[Any], str | None]] = {
    nn.GELU: lambda one: "gelu" if one.approximate == "none" else "gelu_tanh",
    nn.LeakyReLU: lambda one: spelled("leaky_relu", one.negative_slope),
    nn.ELU: lambda one: spelled("elu", one.alpha),
    nn.Hardtanh: lambda one: "hard_tanh" if (one.min_val, one.max_val) == (-1.0, 1.0) else None,
}
# Why a norm of torch has no like in resmc.
OTHER_NORMS: dict[type[nn.Module], str] = {
    nn.BatchNorm1d: "a batch norm has means over several inputs, which a ResidualNetwork with a norm does not follow",
    nn.GroupNorm: "a group norm has a mean for each part of a layer, and a ResidualNetwork one for the whole layer",
}
ADDITIONS = (operator.add, operator.iadd, torch.add)
PRODUCTS = (operator.mul, operator.imul, torch.mul)
QUOTIENTS = (operator.truediv, torch.div)


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
        elif node.op != "get_attr":
            paths[node] = _after(node, paths, modules, module)
    raise ValueError(f"module={type(module).__name__} returns nothing")


def _after(node: fx.Node, paths: dict[fx.Node, Path], modules: dict[str, nn.Module], whole: nn.Module) -> Path:
    """Return the path to what a node makes."""
    if node.op == "call_module":
        step = _step_of(modules[str(node.target)], str(node.target))
        before = _state(node, node.args[0], paths)
        return before if step is None else (*before, (node.name, step))
    if node.op == "call_method" and node.target in METHODS:
        return (*_state(node, node.args[0], paths), (node.name, Activated(METHODS[str(node.target)])))
    if node.op == "call_function" and node.target in FUNCTIONS:
        return (*_state(node, node.args[0], paths), (node.name, Activated(FUNCTIONS[node.target])))
    kinds: dict[str, tuple[Any, ...]] = {"add": ADDITIONS, "mul": PRODUCTS, "div": QUOTIENTS}
    for method, functions in kinds.items():
        if node.target in functions or (node.op == "call_method" and node.target in (method, method + "_")):
            return _arithmetic(node, method, paths, whole)
    raise ValueError(f"{node.name} is not understood: resmc has no layer like {node.target}")


def _arithmetic(node: fx.Node, kind: str, paths: dict[fx.Node, Path], whole: nn.Module) -> Path:
    if len(node.args) != 2 or node.kwargs:
        raise ValueError(f"{node.name} is not understood: it must have two arguments")
    a, b = node.args
    states = [isinstance(one, fx.Node) and one in paths for one in (a, b)]
    if kind == "add":
        if not all(states):
            raise ValueError(f"{node.name} is not understood: it adds what is no state")
        return _sum(node.name, _state(node, a, paths), _state(node, b, paths))
    if all(states) or not (states[0] or (states[1] and kind == "mul")):
        raise ValueError(f"{node.name} is not understood: a state may be multiplied by numbers alone")
    state, number = (a, b) if states[0] else (b, a)
    value = _number(node, number, whole)
    return (*_state(node, state, paths), (node.name, Factor(1.0 / value if kind == "div" else value)))


def _number(node: fx.Node, given: Any, whole: nn.Module) -> float:
    """Return a number, or the one entry of a parameter, such as a gate that is 0 at first."""
    if isinstance(given, fx.Node) and given.op == "get_attr":
        found: Any = whole
        for name in str(given.target).split("."):
            found = getattr(found, name)
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
    if isinstance(module, nn.Dropout) and (module.p == 0.0 or not module.training):
        return None
    if isinstance(module, nn.Dropout):
        raise ValueError(f"{where} draws masks in training: call eval(), or give the network keep= yourself")
    if isinstance(module, nn.Flatten):
        return None
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return _norm_of(module, where)
    if type(module) in OTHER_NORMS:
        raise ValueError(f"{where} is not understood: {OTHER_NORMS[type(module)]}; it has LayerNorm and RMSNorm")
    kind = type(module)
    activation = PARAMETRIC[kind](module) if kind in PARAMETRIC else MODULES.get(kind)
    if activation is None:
        raise ValueError(
            f"{where} is not understood: resmc has Linear, LayerNorm, RMSNorm, residual sums, and the activations "
            f"{', '.join(ACTIVATIONS)}"
        )
    return Activated(activation)


def _norm_of(module: nn.LayerNorm | nn.RMSNorm, where: str) -> Normed:
    """Return a norm at gain 1 and bias 0, as it is at first; refuse others."""
    weight, bias = module.weight, getattr(module, "bias", None)
    if len(module.normalized_shape) != 1:
        raise ValueError(
            f"{where} is not understood: it normalises over {len(module.normalized_shape)} axes, and a ResidualNetwork "
            "over the entries of a layer, which must be the last axis alone"
        )
    for name, given, fresh in (("weight", weight, 1.0), ("bias", bias, 0.0)):
        if given is not None and not bool((given.detach() == fresh).all()):
            raise ValueError(
                f"{where} has a {name} that is not {fresh:g} in all entries, so it was trained or changed: norms must "
                "have the weight 1 and the bias 0 that they have at first"
            )
    eps = module.eps
    if eps is None:  # torch takes the dtype's resolution
        eps = torch.finfo(torch.get_default_dtype() if weight is None else weight.dtype).eps
    name = "layer" if isinstance(module, nn.LayerNorm) else "rms"
    return Normed(name, float(eps), int(module.normalized_shape[0]))
