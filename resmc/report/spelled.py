"""Networks as expressions in Python, and as options of the command line."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

from .._system.plain import Plain
from ..models.processes import Covariance
from ..models.residual_network import Model
from ..models.scaling import DepthScaling
from ..models.spelling import general
from ..models.user_activation import Activation
from ..models.user_law import QuantileLaw
from ..models.weights import Weights

SAID = ("width", "depth", "alpha", "lam", "variant", "block", "activation", "scaling")
_RECORD = re.compile(r"\b(?=[A-Z]\w*\()")


def model_arguments(model: Model) -> Plain:
    """Return a model's arguments in Python, without most of those that have their default."""
    out: Plain = {}
    for f in fields(model):
        if f.name == "widths":
            continue
        value = model.widths or model.width if f.name == "width" else getattr(model, f.name)
        if f.name != "n_in" and (f.name in SAID or value != f.default):  # the input's length says n_in
            out[f.name] = value
    return out


def model_call(model: Model) -> str:
    """Return a model as an expression in Python."""
    said = ", ".join(f"{name}={_in_python(value)}" for name, value in model_arguments(model).items())
    return f"resmc.{type(model).__name__}({said})"


def _in_python(value: Any) -> str:
    if isinstance(value, Weights):
        one = value.dependence
        depth = repr(one.matrix.tolist() if isinstance(one, Covariance) else one)
        return _RECORD.sub("resmc.", f"Weights(law={value.law!r}, depth={depth})")
    if isinstance(value, Activation | QuantileLaw):
        return f"resmc.{type(value).__name__}.from_dict({value.to_dict()!r})"
    return f"resmc.{value!r}" if isinstance(value, DepthScaling) else repr(value)


def model_options(model: Model) -> Plain:
    """Return a model as options of `resmc simulate`."""
    out: Plain = {}
    for name, value in model_arguments(model).items():
        if isinstance(value, DepthScaling):
            out |= {"beta": value.beta, "c": value.c} | ({"inside": True} if value.inside else {})
        elif isinstance(value, Weights | Activation | QuantileLaw):
            out[name] = json.dumps(value.to_dict())
        else:
            out[name] = list(value) if isinstance(value, tuple) else value
    return out


def numbers_of(model: Model) -> int:
    """Count the numbers in a model's lists, its covariance matrix, and the tables of its activation and weights."""
    matrix = model.dependence.matrix.size if isinstance(model.dependence, Covariance) else 0
    matrix += 0 if model.sigma.table is None else model.sigma.table.cells.size
    law = general(model).law
    matrix += law.table.cells.size if isinstance(law, QuantileLaw) else 0
    return matrix + sum(len(value) for value in model_arguments(model).values() if isinstance(value, tuple))
