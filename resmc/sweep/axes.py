"""Fields of networks in a plan, dimensions of a grid and tables of a list: their checks, and the networks they make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields
from typing import Any

import numpy as np

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from ..models.fields import DEPTH_SCALING, GENERAL, LOG_GAUSSIAN, NORMALISATION, check_together, network_of
from ..models.layer_widths import MAX_WIDTH
from ..models.residual_network import Model, ResidualNetwork
from ..models.resnet import MAX_DEPTH, ResNet
from ..models.scaling import DepthScaling, scaling_of
from ..models.spelling import of_dict
from ..models.user_activation import Activation
from ..models.user_law import QuantileLaw
from ..models.weights import Weights, checked_weights

# Dimensions have this order, the last running fastest. Those of a `ResNet` have kept the order of version 0.1.
AXES = (
    "block",
    "activation",
    "weights",
    "width",
    "depth",
    "ratio",
    "beta",
    "c",
    "inside",
    "scaling",
    "carry",
    "bias",
    "keep",
    "inner_width",
    "bias_law",
    *NORMALISATION,
    *LOG_GAUSSIAN,
    "n_out",
    "input_norm",
    "input",
)
MAX_POINTS = 10**5
INTEGERS = {
    "width": (MAX_WIDTH, "2^24"),
    "depth": (MAX_DEPTH, "2^20 - 1"),
    "n_out": (1 << 17, "2^17"),
    "inner_width": (MAX_WIDTH, "2^24"),
}
WORDS = ("block", "activation", "norm", "norm_at", "variant", "bias_law")
POSITIVE = ("ratio", "input_norm")
VECTORS = ("scaling", "input")  # fields whose one value is a sequence of numbers
LONG_NAMES = {
    "block": "residual block",
    "activation": "activation",
    "weights": "weights: their law, and their dependence in depth",
    "width": "width n",
    "depth": "depth d",
    "ratio": "ratio d/n",
    "beta": "exponent of the scaling c L^-beta",
    "c": "factor of the scaling c L^-beta",
    "inside": "true if the scaling stands inside the activation",
    "scaling": "factors of the branches",
    "carry": "weight of the skip",
    "bias": "standard deviation of the bias",
    "keep": "probability with which dropout keeps a neuron",
    "inner_width": "neurons within a branch",
    "bias_law": "law of the bias",
    "norm": "norm N of a layer",
    "norm_at": "where the norm acts",
    "eps": "eps of the norm",
    "alpha": "skip coefficient",
    "lam": "residual coefficient",
    "variant": "variant of the network",
    "n_out": "output neurons",
    "input_norm": "norm of the input, |x|/sqrt(n_in)",
    "input": "input of the network",
}


def check_grid(given: Mapping[str, Any]) -> None:
    """Refuse fields that do not make one network: ``given`` has the values of all axes, None where there is none.

    Raises
    ------
    ValueError
        If a field is missing, or excludes another one.
    """
    if given["depth"] is not None and given["ratio"] is not None:
        raise ValueError("ratio is not allowed beside depth: give one or the other")
    there = [name for name in AXES if given[name] is not None]
    general, of_resnet = check_together(there), any(name in LOG_GAUSSIAN for name in there)
    needed = {"width": given["width"], "depth or ratio": given["depth"] if given["ratio"] is None else given["ratio"]}
    needed |= {} if general else {name: given[name] for name in ("alpha", "lam")}
    for name, value in needed.items():
        if value is None:
            more = "" if general else ", alpha and lam" if of_resnet else ", alpha and lam (or block, beta ..)"
            raise ValueError(f"{name} is missing: give width, depth or ratio{more}, or a list of models")


def axis(name: str, given: Any) -> Any:
    """Check a field of the grid, and return it as a value or a tuple of distinct values.

    Raises
    ------
    ValueError
        For a value that is not allowed, a value given twice, or a sequence without values.
    """
    if isinstance(given, Iterator | Set):
        raise ValueError(
            f"{name}={brief(given)} is not allowed: make it a list, which has an order and can be read twice"
        )
    if is_value(name, given):
        return _one(name, given)
    if isinstance(given, Mapping) or (name not in VECTORS and _dimensions(given) != 1):
        raise ValueError(f"{name}={brief(given)} is not allowed: it must be a value or a sequence of values")
    if len(given) > MAX_POINTS:  # said before so many values are made
        raise ValueError(f"{name} holds {len(given)} values: a grid has at most {MAX_POINTS} points")
    values = tuple(_one(name, value) for value in given)
    if not values:
        raise ValueError(f"{name}=[] is not allowed: a dimension needs at least one value")
    if len(set(values)) < len(values):
        twice = next(v for i, v in enumerate(values) if v in values[:i])
        raise ValueError(f"{name} holds {brief(twice)} twice: the values of a dimension must differ")
    return values


def is_value(name: str, given: Any) -> bool:
    """Say whether a field has one value, and so is no dimension; a vector of numbers is one value."""
    if given is None or isinstance(given, str | bytes):
        return True
    if name in VECTORS:
        if isinstance(given, DepthScaling | Mapping):
            return True
        if not isinstance(given, Sequence | np.ndarray):
            return True
        return len(given) > 0 and all(_dimensions(x) == 0 and not isinstance(x, DepthScaling | Mapping) for x in given)
    return _dimensions(given) == 0


def _dimensions(value: Any) -> int:
    """Count the dimensions of an array or nested sequence; 2 for rows of different lengths, which NumPy refuses."""
    if isinstance(value, range):  # however long, without making its numbers
        return 1
    try:
        return np.ndim(value)
    except ValueError:
        return 2


def _one(name: str, value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if name == "activation" and isinstance(plain, Activation | Mapping):
        return plain if isinstance(plain, Activation) else Activation.from_dict(plain)
    if name in WORDS:
        if not isinstance(plain, str):
            raise ValueError(f"{name}={brief(value)} is not allowed: it must be a word")
        return plain
    if name == "weights":
        return checked_weights(plain)
    if name == "inside":
        return checks.boolean(name, plain)
    if name == "scaling" and isinstance(value, DepthScaling | Mapping):
        return scaling_of(value) if isinstance(value, Mapping) else value
    if name in VECTORS:
        if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
            kind = "a DepthScaling or one number for each layer" if name == "scaling" else "a sequence of numbers"
            raise ValueError(f"{name}={brief(value)} is not allowed: it must be {kind}")
        return tuple(checks.real(name, x) for x in np.asarray(value).tolist())
    if name in INTEGERS:
        return checks.integer(name, plain, 1, *INTEGERS[name])
    return checks.real(name, value, positive=name in POSITIVE)


def value_of(name: str, value: Any) -> Any:
    """Return a value of an axis in the form in which a plan holds it, unchecked: vectors and scalings may be lists."""
    if name == "weights" and isinstance(value, Mapping):
        return checked_weights(value)
    if name == "activation" and isinstance(value, Mapping):
        return Activation.from_dict(value)
    if name in VECTORS and isinstance(value, Mapping):
        return scaling_of(value)
    if name in VECTORS and isinstance(value, list | np.ndarray):
        return tuple(np.asarray(value, np.float64).tolist())
    return value


def network(chosen: Mapping[str, Any]) -> Model:
    """Make the network of a point from the values of its axes.

    Raises
    ------
    ValueError
        If no such network is allowed.
    """
    given = dict(chosen)
    if "ratio" in given:
        ratio = given.pop("ratio")
        depth = ratio * given["width"] + 0.5
        if not depth < MAX_DEPTH + 1:
            raise ValueError(
                f"ratio={ratio!r} is out of range with width={given['width']}: depth = ratio width must be at most "
                f"{MAX_DEPTH}"
            )
        given["depth"] = max(1, math.floor(depth))
    return network_of(given)


def plain(value: Any) -> Any:
    """Return a value of an axis, or its values, as JSON and TOML can hold them."""
    if isinstance(value, DepthScaling | Weights | Activation | QuantileLaw):
        return value.to_dict()
    if isinstance(value, tuple):
        return [plain(x) for x in value]
    return value


def plain_fields(given: Mapping[str, Any]) -> Plain:
    """Return all axes that were given, as plain values."""
    return {name: plain(given[name]) for name in AXES if given[name] is not None}


def listed_model(model: Any) -> Model:
    """Return a model of a list."""
    if not isinstance(model, Model):
        raise ValueError(f"models holds {brief(model)}: it must be a sequence of ResNet and ResidualNetwork")
    return model


def model_of_table(number: int, model: Any) -> Model:
    """Read a model from a table of its fields; messages begin with the model's place in the list."""
    if isinstance(model, Model):
        return model
    general = isinstance(model, Mapping) and any(name in GENERAL for name in model)
    own = [f.name for f in fields(ResidualNetwork if general else ResNet)]
    names = [*own, *DEPTH_SCALING] if general else own
    try:
        if not isinstance(model, Mapping):
            raise ValueError(f"{brief(model)} is not a table of a model's fields: {', '.join(names)}")
        for name in model:
            if name not in names:
                raise ValueError(f"{name!r} is not a field of a model: they are {', '.join(names)}")
        needed = ("width", "depth") if general else ("width", "depth", "alpha", "lam")
        missing = [name for name in needed if name not in model]
        if missing:
            raise ValueError(f"{missing[0]} is missing")
        if any(name in model for name in DEPTH_SCALING):
            return network_of(model)
        return of_dict({"block": "phi-in", **model} if general else model)
    except ValueError as error:
        raise ValueError(f"models[{number}]: {error}") from None
