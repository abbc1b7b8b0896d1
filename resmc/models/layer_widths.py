"""Widths by layer: how many neurons every layer of a fully connected network has, where these are not all alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._system import checks
from .._system.words import brief, shortened
from .activation_families import record_of

MAX_WIDTH = 1 << 24  # active counts and |z|^2 stay accurate in 32-bit arithmetic


def checked_widths(width: Any, widths: Any, depth: int) -> tuple[int, tuple[int, ...] | None]:
    """Return the largest width, and the widths of all layers, or None where these are alike.

    Parameters
    ----------
    width : int, or sequence of depth + 1 ints
    widths : sequence of depth + 1 ints, or None
        What a network itself keeps beside its largest width, or None.
    depth : int

    Raises
    ------
    ValueError
        If they are no integers from 1 to 2^24, not as many as there are layers, or say different things.
    """
    several = _listed(width)
    by_layer = None if several is None else _checked("width", several, depth)
    if by_layer is None:
        number = checks.integer("width", width, 1, MAX_WIDTH, "2^24")
    if widths is None:
        return (number, None) if by_layer is None else _reduced(by_layer)
    kept = _listed(widths)
    if kept is None:
        raise ValueError(f"widths={brief(widths)} is not allowed: it must be None, or a list of depth + 1 integers")
    found = _checked("widths", kept, depth)
    if by_layer is not None and by_layer != found:
        raise ValueError(
            f"width={brief(by_layer)} is not allowed beside widths={brief(found)}: they must be the same; give "
            "widths=None beside a new width"
        )
    if by_layer is None and number != max(found):
        raise ValueError(
            f"width={number} is not allowed beside widths={brief(found)}: it must be the largest, {max(found)}; "
            "give widths=None beside a new width"
        )
    return _reduced(found)


def _listed(given: Any) -> list[Any] | None:
    """Return a sequence or an array of one axis as a list, and None for what is neither."""
    if isinstance(given, str | bytes):
        return None
    if isinstance(given, np.ndarray):
        return list(given) if given.ndim == 1 else None
    return list(given) if isinstance(given, Sequence) else None


def _checked(name: str, given: list[Any], depth: int) -> tuple[int, ...]:
    if len(given) != depth + 1:
        raise ValueError(
            f"{name}={brief(tuple(given))} is not allowed with depth={depth}: it must have the widths of layers 0 to "
            f"depth, {depth + 1} in all, and has {len(given)}"
        )
    return tuple(checks.integer(f"{name} of layer {k}", n, 1, MAX_WIDTH, "2^24") for k, n in enumerate(given))


def _reduced(widths: tuple[int, ...]) -> tuple[int, tuple[int, ...] | None]:
    return max(widths), None if len(set(widths)) == 1 else widths


def check_widths(model: Any) -> None:
    """Refuse what a network whose layers have other widths cannot have."""
    if model.widths is None:
        return
    said = f"width={brief(model.widths)}, which differs from layer to layer, is not allowed"
    if model.block == "v-phi-w":
        raise ValueError(f"{said} with block='v-phi-w': it must be 'phi-in' or 'phi-out', a matrix to a layer")
    if model.carry != 0.0:
        raise ValueError(f"{said} with carry={model.carry!r}: a skip adds vectors of one length; carry must be 0")
    if model.norm is not None:
        raise ValueError(f"{said} with norm={model.norm!r}: it must be None")
    if model.weight_law.orthogonal:
        raise ValueError(f"{said} with weights='orthogonal': such matrices are square")
    if not model.independent:
        raise ValueError(f"{said} with weights that depend on each other in depth: their matrices have one shape")
    narrow, wide = (record_of(model.activation, n) for n in (model.width, 4 * model.width))
    if (narrow.above, narrow.below) != (wide.above, wide.below):
        raise ValueError(f"{said} with activation={model.activation!r}: its slopes depend on the width, which is one")
    odd = [n for n in model.widths if n % 2]
    if model.sigma.half and odd:
        raise ValueError(f"{said} with activation={model.activation!r}: every width must be even, and one is {odd[0]}")


def widths_in_words(widths: Sequence[int]) -> str:
    """Write widths by layer, many of them by their ends: "widths 784, 256, 10"."""
    return f"widths {', '.join(shortened([str(n) for n in widths]))}"


def shape_in_words(widths: Sequence[int]) -> str:
    """Write widths by layer in a few letters: "784-256-10", or of many layers "784..10 (21 layers)"."""
    few = len(widths) <= 5
    return "-".join(str(n) for n in widths) if few else f"{widths[0]}..{widths[-1]} ({len(widths)} layers)"


# Where there is no network with widths by layer, and why, as `refuse_widths` says them.
TRAINING = ("in training", "networks side by side have layers of one width")
DEPTH = ("where one network has every depth", "its layers have one width")
SEVERAL_INPUTS = ("with several inputs or tangents", "these are followed through layers of one width")
HEAT_MAP = ("in a heat map", "its weights depend on each other in depth, and their matrices are square")
POPULATIONS = ("in populations that are resampled", "these have layers of one width")
SCHEME = ("with a scheme", "a step adds to the state, which must keep its length")
PRODUCTS = ("with products of Jacobians", "these are made for square matrices")
GPU = ("on a GPU", "its kernels have layers of one width; use device='cpu'")
DISPLACEMENT = ("with displacement=True", "h_l - h_0 is a difference of vectors of one length")


def refuse_widths(model: Any, where: str, why: str) -> None:
    """Refuse a network with widths by layer by a ValueError that says ``where`` it is not allowed, and ``why``."""
    if model.widths is not None:
        said = f"width={brief(model.widths)}, which differs from layer to layer,"
        raise ValueError(f"{said} is not allowed {where}: {why}")


def no_widths(model: Any, what: str) -> str | None:
    """Return why theory has nothing of a network with widths by layer, in a sentence, or None where they are alike."""
    if model.widths is None:
        return None
    return f"width={brief(model.widths)} has no {what} here: all layers must have one width"
