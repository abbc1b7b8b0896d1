"""Fields of models, and quantities, in a figure's words and symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._system.words import brief
from ..models.fields import DEPTH_SCALING, LOG_GAUSSIAN, told_apart
from ..models.scaling import DepthScaling
from ..models.spelling import general, listed
from ..models.user_activation import Activation
from ..models.user_law import QuantileLaw
from ..models.weights import Weights
from ..results.observable import Observable, letter
from ..results.record import Record

if TYPE_CHECKING:
    from ..models.residual_network import Model

# Words and symbol of every field; a field without a symbol is called by its words.
FIELDS: dict[str, tuple[str, str]] = {
    "width": ("width", "$n$"),
    "depth": ("depth", "$d$"),
    "ratio": ("ratio", "$d/n$"),
    "block": ("block", ""),
    "activation": ("activation", ""),
    "carry": ("carry", ""),
    "beta": ("exponent", r"$\beta$"),
    "c": ("", "$c$"),
    "inside": ("scaling inside", ""),
    "scaling": ("scaling", ""),
    "weights": ("weights", ""),
    "bias": ("bias", ""),
    "keep": ("keep", ""),
    "inner_width": ("inner width", ""),
    "bias_law": ("bias law", ""),
    "norm": ("norm", ""),
    "norm_at": ("norm at", ""),
    "eps": ("eps", ""),
    "alpha": ("", r"$\alpha$"),
    "lam": ("", r"$\lambda$"),
    "variant": ("variant", ""),
    "n_out": ("outputs", r"$n_{\mathrm{out}}$"),
    "input_norm": ("input norm", ""),
    "input": ("input", ""),
}
LONGEST = 3  # entries of an input that are written


def axis_label(name: str) -> str:
    """Return the label of an axis over a field."""
    words, symbol = FIELDS.get(name, (name, ""))
    return f"{words} {symbol}".strip()


def in_words(value: Any) -> str:
    """Return a field's value as ticks show it."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str | Weights | Activation | QuantileLaw):
        return str(value)
    if isinstance(value, DepthScaling):
        power = f" depth$^{{{-value.beta:.4g}}}$" if value.beta else ""
        return f"{value.c:.4g}{power}" + ", inside" * value.inside
    if isinstance(value, Sequence | np.ndarray):
        return f"({', '.join(f'{x:.4g}' for x in value[:LONGEST])}{', ..' if len(value) > LONGEST else ''})"
    return "none" if value is None else f"{value:.4g}".replace("-", "−")


def coordinates(name: str, values: Sequence[Any]) -> list[str]:
    """Return values of a field as labels of curves say them, no two alike."""
    return [_said(name, *each) for each in zip(values, told_apart(values, in_words), strict=True)]


def _said(name: str, value: Any, text: str) -> str:
    words, symbol = FIELDS.get(name, (name, ""))
    return text if isinstance(value, str | Weights | Activation | QuantileLaw) else f"{symbol or words} = {text}"


def field(model: Model, name: str) -> Any:
    """Return a field of a model in whichever spelling has it.

    Raises
    ------
    ValueError
        If the model has no such field.
    """
    if name in DEPTH_SCALING:
        scaling = general(model).scaling
        if not isinstance(scaling, DepthScaling):
            raise ValueError(f"{brief(model)} has a scaling layer by layer: it has no {name}")
        return getattr(scaling, name)
    if name in LOG_GAUSSIAN:
        resnet = listed(model)
        if resnet is None:
            raise ValueError(f"{brief(model)} has no {name}: no ResNet is this network")
        return getattr(resnet, name)
    return model.ratio if name == "ratio" else getattr(general(model), name)


def letter_of(sims: Record | Sequence[Record]) -> str:
    """Return the letter of the states: z if all networks are spelled as a `ResNet`, else h."""
    found = {letter(sim.lowered) for sim in ([sims] if isinstance(sims, Record) else sims)}
    return "z" if found == {"z"} else "h"


def label_of(observable: Observable, called: str) -> str:
    """Return the label of a quantity at its end, in networks whose state has the letter ``called``."""
    return observable.labelled(0 if observable.backward else "d", called)
