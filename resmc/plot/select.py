"""Fields of models in a figure's words, and points of a sweep by the dimensions they are drawn over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..engine.lowering import lower
from ..models.scaling import DepthScaling
from ..models.spelling import general, listed
from ..results.observable import Observable, letter
from ..results.record import Record
from ..sweep.result import SweepResult, points_at

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
    "alpha": ("", r"$\alpha$"),
    "lam": ("", r"$\lambda$"),
    "variant": ("variant", ""),
    "n_out": ("outputs", r"$n_{\mathrm{out}}$"),
    "input_norm": ("input norm", ""),
    "input": ("input", ""),
}
OF_SCALING = ("beta", "c", "inside")
OF_RESNETS = ("alpha", "lam", "variant")
LONGEST = 3  # entries of an input that are written


def axis_label(name: str) -> str:
    """Return the label of an axis over a field."""
    words, symbol = FIELDS.get(name, (name, ""))
    return f"{words} {symbol}".strip()


def in_words(value: Any) -> str:
    """Return a field's value as ticks show it."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, DepthScaling):
        return f"{value.c:.4g} $L^{{{-value.beta:.4g}}}$" + ", inside" * value.inside
    if isinstance(value, Sequence | np.ndarray):
        return f"({', '.join(f'{x:.4g}' for x in value[:LONGEST])}{', ..' if len(value) > LONGEST else ''})"
    return "none" if value is None else f"{value:.4g}"


def coordinate(name: str, value: Any) -> str:
    """Return a value of a field as titles and labels of curves say it."""
    if isinstance(value, str):
        return value
    words, symbol = FIELDS.get(name, (name, ""))
    return f"{symbol or words} = {in_words(value)}"


def field(model: Model, name: str) -> Any:
    """Return a field of a model in whichever spelling has it.

    Raises
    ------
    ValueError
        If the model has no such field.
    """
    if name in OF_SCALING:
        scaling = general(model).scaling
        if not isinstance(scaling, DepthScaling):
            raise ValueError(f"{model!r} has a scaling layer by layer: it has no {name}")
        return getattr(scaling, name)
    if name in OF_RESNETS:
        resnet = listed(model)
        if resnet is None:
            raise ValueError(f"{model!r} has no {name}: no ResNet is this network")
        return getattr(resnet, name)
    return model.ratio if name == "ratio" else getattr(general(model), name)


def letter_of(result: Record | SweepResult | Sequence[Record]) -> str:
    """Return the letter of the states: z if all networks are spelled as a `ResNet`, else h."""
    if isinstance(result, SweepResult):
        found = {letter(lower(model)) for model in dict.fromkeys(result.plan.models)}
    else:
        found = {letter(sim.lowered) for sim in ([result] if isinstance(result, Record) else result)}
    return "z" if found == {"z"} else "h"


def label_of(observable: Observable, called: str) -> str:
    """Return the label of a quantity at its end, in networks whose state has the letter ``called``."""
    return observable.labelled(0 if observable.backward else "d", called)


def chosen(result: SweepResult, sel: Mapping[str, Any] | None) -> tuple[NDArray[np.int64], list[str]]:
    """Return the numbers of the points that have the coordinates ``sel``, over the dimensions left, and their names.

    Raises
    ------
    ValueError
        If the sweep is a list of models, or ``sel`` is no mapping from its dimensions to their values.
    """
    if result.plan.listed:
        raise ValueError("result is a sweep over a list of models, which has no dimensions to draw over: give a grid")
    if sel is not None and not isinstance(sel, Mapping):
        raise ValueError(f"sel={sel!r} is not allowed: it must be a mapping like {{'variant': 'vanilla'}}")
    fixed = dict(sel or {})
    index = points_at(result.plan, fixed, "sel[{name!r}]={value!r}")
    return index, [name for name in result.plan.dims if name not in fixed]


def curves(
    result: SweepResult, sel: Mapping[str, Any] | None, along: str | None, preferred: Sequence[str] = ()
) -> tuple[str, dict[str, NDArray[np.int64]]]:
    """Return the dimension to draw over and, for each value of all others, a label and the numbers of its points.

    ``along`` names the dimension; by default it is the first of ``preferred`` that ``sel`` leaves, else the last that
    has several values.

    Raises
    ------
    ValueError
        As `chosen`; or if there is no dimension left, or not the one asked for.
    """
    index, left = chosen(result, sel)
    free = ", ".join(left) or "none"
    if along is not None and along not in left:
        raise ValueError(f"along={along!r} is not allowed: the dimensions left are {free}")
    if along is None:
        long = [name for name in left if len(getattr(result.plan, name)) > 1] or left
        if not left:
            raise ValueError(f"result has no dimension left to draw over: sel={dict(sel or {})!r} fixes all")
        along = next((name for name in preferred if name in left), long[-1])
    others = [name for name in left if name != along]
    index = np.moveaxis(index, left.index(along), -1)
    names = [[coordinate(name, value) for value in getattr(result.plan, name)] for name in others]
    return along, {
        ", ".join(names[axis][i] for axis, i in enumerate(place)): index[place]
        for place in np.ndindex(index.shape[:-1])
    }


def say_fixed(ax: Any, sel: Mapping[str, Any] | None) -> None:
    """Say above the axes which points are drawn."""
    if sel:
        words = ", ".join(coordinate(name, value) for name, value in sel.items())
        ax.set_title(words, fontsize=ax.xaxis.label.get_fontsize())
