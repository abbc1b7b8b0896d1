"""Fields of networks by name, as keywords, options of a command and dimensions of a sweep give them.

A `ResNet` has its fields. A `ResidualNetwork` has its own too, and beta, c and inside of its `DepthScaling` besides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._system.words import brief
from .residual_network import CRITICAL, Model, ResidualNetwork
from .resnet import ResNet
from .scaling import DepthScaling

SHARED = ("width", "depth", "n_out", "input_norm")
LOG_GAUSSIAN = ("alpha", "lam", "variant")  # fields of a `ResNet` alone
DEPTH_SCALING = ("beta", "c", "inside")
NORMALISATION = ("norm", "norm_at", "eps")
_OF_LAYERS = ("scaling", "carry", "bias", "keep", "inner_width", "bias_law", *NORMALISATION)
GENERAL = ("block", "activation", "weights", *DEPTH_SCALING, *_OF_LAYERS, "input")


def check_together(given: Iterable[str], written: Callable[[str], str] = str) -> bool:
    """Refuse names of fields that do not make one network; return True if they are a `ResidualNetwork`'s.

    Messages have the names as ``written`` returns them.

    Raises
    ------
    ValueError
        For fields of two kinds of network, or two fields that say the same.
    """
    there = list(given)
    general = [name for name in there if name in GENERAL]
    of_resnet = [name for name in there if name in LOG_GAUSSIAN]
    if general and of_resnet:
        a, b = written(general[0]), written(of_resnet[0])
        raise ValueError(
            f"{a} is not allowed beside {b}: {a} is a field of a ResidualNetwork and {b} of a ResNet; give those of "
            "one kind"
        )
    for name, whole in (*((name, "scaling") for name in DEPTH_SCALING), ("input_norm", "input")):
        if name in there and whole in there:
            a, b = written(name), written(whole)
            raise ValueError(f"{a} is not allowed beside {b}: {b} says it already")
    return bool(general)


def network_of(given: Mapping[str, Any]) -> Model:
    """Return the network with these fields: a `ResidualNetwork` if a field of it alone is given, else a `ResNet`.

    Raises
    ------
    ValueError
        As for `check_together`, and for values that the network does not allow.
    """
    if not check_together(given):
        if isinstance(given.get("width"), list | tuple):
            raise ValueError(
                f"width={brief(given['width'])} is not allowed in a ResNet: it must be one integer; layers of other "
                "widths have no skip, which is carry=0 in a ResidualNetwork"
            )
        return ResNet(**given)
    fields = dict(given)
    parts = {name: fields.pop(name) for name in DEPTH_SCALING if name in fields}
    if parts:
        fields["scaling"] = DepthScaling(**{**CRITICAL.to_dict(), **parts})
    return ResidualNetwork(**fields)


def field_of(model: Model, name: str) -> Any:
    """Return the value of a field of a network; None where the network has no such field.

    A `DepthScaling` has the fields beta, c and inside, and is no value of ``scaling``. The width of a network whose
    layers have widths of their own is all of them.
    """
    scaling = getattr(model, "scaling", None)
    if name in DEPTH_SCALING:
        return getattr(scaling, name) if isinstance(scaling, DepthScaling) else None
    if name == "scaling" and isinstance(scaling, DepthScaling):
        return None
    if name == "width" and model.widths is not None:
        return model.widths
    return getattr(model, name, None)


def shown(value: Any) -> str:
    """Write a value of a field in a few letters."""
    if isinstance(value, DepthScaling):
        return value.words
    if isinstance(value, tuple):
        few = ", ".join(f"{x:.4g}" for x in value[:3])
        return f"({few}{', ..' * (len(value) > 3)})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def told_apart(values: Sequence[Any], written: Callable[[Any], str] = shown) -> list[str]:
    """Write values of a field so that no two that differ read alike: numbers with more digits, others numbered."""
    words = {value: written(value) for value in values}
    alike, seen = Counter(words.values()), Counter[str]()
    for value, word in words.items():
        if alike[word] > 1:
            seen[word] += 1
            words[value] = repr(value) if isinstance(value, int | float) else f"{word} no. {seen[word]}"
    return [words[value] for value in values]
