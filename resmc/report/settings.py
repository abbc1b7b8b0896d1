"""The fields of a network as the settings of a page name them."""

from __future__ import annotations

from collections.abc import Collection

from ..models.fields import field_of, shown
from ..models.residual_network import Model, ResidualNetwork
from ..models.scaling import DepthScaling
from ..models.spelling import general
from ..models.user_activation import Activation
from ..models.user_law import QuantileLaw
from ..models.weights import Weights
from ..sweep.axes import LONG_NAMES
from .numbers import count, plain

DERIVED = ("n_in", "widths")  # the input says the one, the width the other


def of_model(model: Model, depth: bool = True, without: Collection[str] = ()) -> list[tuple[str, str]]:
    """Return names and values of a network's fields, as it was spelled; without ``depth`` those of any depth."""
    out = []
    for name in model.to_dict():
        if name in DERIVED or name in without or (name == "depth" and not depth):
            continue
        if name == "scaling":
            value = f"branches {scaling_of(general(model), 'd' if depth else 'L')}"
        else:
            value = _written(field_of(model, name))
        if name != "input" or model.inputs.explicit:
            out.append((f"{LONG_NAMES[name][0].upper()}{LONG_NAMES[name][1:]}", value))
        if name == "depth":
            out.append(("d/n", plain(model.ratio)))
    return out


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return f"{shown(value)}, {count(len(value))} numbers"
    return (
        count(value)
        if isinstance(value, int)
        else str(value)
        if isinstance(value, str | Weights | Activation | QuantileLaw)
        else repr(value)
    )


def scaling_of(model: ResidualNetwork, depth: str = "d") -> str:
    """Write a scaling in a few words, with a letter for the depth."""
    scaling = model.scaling
    if not isinstance(scaling, DepthScaling):
        different = {float(s) for s in model.scales}
        if len(different) == 1:
            return f"times {plain(different.pop(), 6)}"
        return f"scaled layer by layer, from {plain(min(different), 6)} to {plain(max(different), 6)}"
    inside = " inside the activation" * scaling.inside
    if scaling.beta == 0.0:
        return f"times {plain(scaling.c, 6)}{inside}"
    factor = "" if scaling.c == 1.0 else f"{plain(scaling.c, 6)} "
    return f"times {factor}{depth}^({plain(-scaling.beta, 6)}){inside}"


def whole(word: str) -> str:
    """Return a word with hyphens at which no line breaks, for a heading."""
    return word.replace("-", "\N{NON-BREAKING HYPHEN}")
