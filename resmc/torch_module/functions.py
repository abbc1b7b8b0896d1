"""Functions and methods of torch as the steps of a module, `traced`: activations, norms, dropout, and shapes.

A row of `FUNCTIONS` names what a function takes besides the state, with torch's defaults, and what it makes of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional

from ..models.activation_families import spelled
from .norms import LAST, norm_read
from .steps import Activated, Step

REQUIRED = object()  # the default of an argument that must be given


class Function(NamedTuple):
    """Arguments of a function besides the state, with defaults, and the step that it is then; None for no step."""

    takes: Mapping[str, Any]
    made: Callable[[str, dict[str, Any]], Step | None]


def _plain(name: str, *ignored: str) -> Function:
    return Function(dict.fromkeys(ignored), lambda where, given: Activated(name))


def _member(where: str, family: str, value: Any) -> Activated:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where} is not understood: its parameter must be a number, as resmc's are at initialisation")
    return Activated(spelled(family, value))


def _gelu(where: str, given: dict[str, Any]) -> Activated:
    names = {"none": "gelu", "tanh": "gelu_tanh"}
    if given["approximate"] not in names:
        raise ValueError(f"{where} is not understood: approximate must be 'none' or 'tanh'")
    return Activated(names[given["approximate"]])


def hard_tanh(where: str, low: Any, high: Any) -> Activated:
    """Return hard tanh, which resmc has between -1 and 1."""
    if (low, high) != (-1.0, 1.0):
        raise ValueError(f"{where} is not understood: resmc's hard_tanh has the bounds -1 and 1")
    return Activated("hard_tanh")


def softplus(where: str, beta: Any, threshold: Any) -> Activated:
    """Return softplus, log(1 + e^x): beyond torch's threshold of 20 the line is within 3e-9 of it."""
    if beta != 1.0 or threshold < 20.0:
        raise ValueError(f"{where} is not understood: resmc's softplus has beta=1, and no threshold below 20")
    return Activated("softplus")


def no_dropout(where: str, p: Any, training: Any) -> None:
    """Refuse dropout that draws masks."""
    if p != 0.0 and training:
        raise ValueError(
            f"{where} draws masks in training: call eval(), with training=self.training where it is a function, or "
            "give the network keep= yourself"
        )


def _dropout(p: float) -> Function:
    return Function(
        {"p": p, "training": True, "inplace": False},
        lambda where, given: no_dropout(where, given["p"], given["training"]),
    )


def _norm(name: str, **more: Any) -> Function:
    bias = {"bias": None} if name == "layer" else {}
    return Function(
        {"normalized_shape": REQUIRED, "weight": None, **bias, **more},
        lambda where, given: norm_read(
            name, where, given["normalized_shape"], given["weight"], given.get("bias"), given["eps"]
        ),
    )


def _linear(where: str, given: dict[str, Any]) -> nn.Linear:
    weight, bias = given["weight"], given["bias"]
    if not isinstance(weight, nn.Parameter) or not (bias is None or isinstance(bias, nn.Parameter)):
        raise ValueError(f"{where} is not understood: its weight and bias must be parameters of the module")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = weight
    if bias is not None:
        made.bias = bias
    return made


RELU, TANH, SIGMOID, ERF = (_plain(name, "inplace") for name in ("relu", "tanh", "sigmoid", "erf"))
FUNCTIONS: dict[Any, Function] = {
    **dict.fromkeys((torch.relu, torch.relu_, functional.relu, functional.relu_), RELU),
    **dict.fromkeys((torch.tanh, torch.tanh_, functional.tanh), TANH),
    **dict.fromkeys((torch.sigmoid, torch.sigmoid_, functional.sigmoid, torch.special.expit), SIGMOID),
    **dict.fromkeys((torch.erf, torch.special.erf), ERF),
    **dict.fromkeys((torch.selu, torch.selu_, functional.selu, functional.selu_), _plain("selu", "inplace")),
    functional.silu: _plain("silu", "inplace"),
    functional.mish: _plain("mish", "inplace"),
    functional.gelu: Function({"approximate": "none"}, _gelu),
    **dict.fromkeys(
        (functional.leaky_relu, functional.leaky_relu_),
        Function(
            {"negative_slope": 0.01, "inplace": False},
            lambda where, given: _member(where, "leaky_relu", given["negative_slope"]),
        ),
    ),
    **dict.fromkeys(
        (functional.elu, functional.elu_),
        Function({"alpha": 1.0, "inplace": False}, lambda where, given: _member(where, "elu", given["alpha"])),
    ),
    **dict.fromkeys(
        (functional.hardtanh, functional.hardtanh_),
        Function(
            {"min_val": -1.0, "max_val": 1.0, "inplace": False},
            lambda where, given: hard_tanh(where, given["min_val"], given["max_val"]),
        ),
    ),
    functional.softplus: Function(
        {"beta": 1.0, "threshold": 20.0}, lambda where, given: softplus(where, given["beta"], given["threshold"])
    ),
    functional.dropout: _dropout(0.5),
    functional.alpha_dropout: _dropout(0.5),
    torch.dropout: Function(
        {"p": REQUIRED, "train": REQUIRED}, lambda where, given: no_dropout(where, given["p"], given["train"])
    ),
    functional.layer_norm: _norm("layer", eps=1e-5),
    torch.layer_norm: _norm("layer", eps=1e-5, cudnn_enable=True),
    functional.rms_norm: _norm("rms", eps=None),
    torch.rms_norm: _norm("rms", eps=None),
    functional.linear: Function({"weight": REQUIRED, "bias": None}, _linear),
}
METHODS: dict[str, Function] = {
    name + ending: one
    for name, one in {"relu": RELU, "tanh": TANH, "sigmoid": SIGMOID, "erf": ERF}.items()
    for ending in ("", "_")
}


def function_of(node: fx.Node) -> Function | None:
    """Return what is known of a node's function or method, or None."""
    return METHODS.get(str(node.target)) if node.op == "call_method" else FUNCTIONS.get(node.target)


def arguments(node: fx.Node, function: Function, whole: nn.Module, sizes: Mapping[fx.Node, Any]) -> dict[str, Any]:
    """Return what a function takes besides the state; tensors of the module ``whole`` as such.

    Raises
    ------
    ValueError
        For an argument that the function has not here, or that is computed.
    """
    given = dict(zip(function.takes, node.args[1:], strict=False))
    given |= {name: one for name, one in node.kwargs.items() if name != "input"}
    if len(node.args) - 1 > len(function.takes) or not set(given) <= set(function.takes):
        raise ValueError(f"{node.name} is not understood: it takes {', '.join(function.takes) or 'a state'} alone")
    found = {**function.takes, **{name: _value(node, one, whole, sizes) for name, one in given.items()}}
    for name, one in found.items():
        if one is REQUIRED:
            raise ValueError(f"{node.name} is not understood: its {name} is missing")
    return found


def _value(node: fx.Node, given: Any, whole: nn.Module, sizes: Mapping[fx.Node, Any]) -> Any:
    if isinstance(given, list | tuple):
        return tuple(_value(node, one, whole, sizes) for one in given)
    if not isinstance(given, fx.Node):
        return given
    if given in sizes:
        return sizes[given]
    if given.op == "get_attr":
        return attribute(whole, str(given.target))
    raise ValueError(f"{node.name} is not understood: its argument {given.name} is computed")


def attribute(whole: nn.Module, path: str) -> Any:
    """Return what a module has under a path with dots."""
    return operator.attrgetter(path)(whole)


# -- shapes of states --------------------------------------------------------------------------------------------------

SHAPE, OTHER = "the shape", "another size"
FLATTENED = ("flatten", "view", "reshape")


def size_of(node: fx.Node, states: Mapping[fx.Node, Any], sizes: Mapping[fx.Node, Any]) -> Any:
    """Return which size of a state a node is: its shape, its last size, that alone as a shape, or another; or None."""
    of = node.args[0] if node.args else None
    if not isinstance(of, fx.Node):
        return None
    if of in states and (
        (node.op == "call_method" and node.target == "size") or (node.target is getattr and node.args[1] == "shape")
    ):
        axis = node.args[1] if node.op == "call_method" and len(node.args) > 1 else node.kwargs.get("dim")
        return SHAPE if axis is None else LAST if axis == -1 else OTHER
    if of in sizes and node.target is operator.getitem:
        index = node.args[1]
        if sizes[of] == SHAPE and index == -1:
            return LAST
        return (LAST,) if sizes[of] == SHAPE and index == slice(-1, None, None) else OTHER
    return None


def flattens(node: fx.Node) -> bool:
    """Return True for a node that gives its input another shape, as flatten does before the first layer."""
    return node.target in (torch.flatten, torch.reshape) or (node.op == "call_method" and node.target in FLATTENED)
