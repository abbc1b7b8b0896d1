"""Inner width: how many neurons a branch of two matrices has between them, where these are not as many as a layer's."""

from __future__ import annotations

from typing import Any

from .._system import checks
from .blocks import BLOCKS

MAX_INNER_WIDTH = 1 << 24


def checked_inner_width(given: Any, width: int, block: str) -> int | None:
    """Return the inner width of a branch as an int, or None where it is the width or is not given.

    Raises
    ------
    ValueError
        If it is no integer from 1 to 2^24, or with a block that has not two matrices.
    """
    if given is None:
        return None
    inner_width = checks.integer("inner_width", given, 1, MAX_INNER_WIDTH, "2^24")
    if BLOCKS[block].matrices < 2:
        allowed = ", ".join(repr(name) for name, one in BLOCKS.items() if one.matrices == 2)
        raise ValueError(
            f"inner_width={inner_width} is not allowed with block={block!r}: it counts the neurons between two "
            f"matrices, which only {allowed} has"
        )
    return None if inner_width == width else inner_width


# Where there is no network with an inner width, and why, as `refuse_inner_width` says them.
TRAINING = ("in training", "networks side by side have square matrices")
DEPENDENT = ("with weights that depend on each other in depth", "their matrices are square")
SEVERAL_INPUTS = ("with several inputs", "branches of several inputs are as wide as layers")
HEAT_MAP = ("in a heat map", "its weights depend on each other in depth, and their matrices are square")


def refuse_inner_width(inner_width: int | None, where: str, why: str) -> None:
    """Refuse a network with an inner width by a ValueError that says ``where`` it is not allowed, and ``why``."""
    if inner_width is not None:
        raise ValueError(f"inner_width={inner_width} is not allowed {where}: {why}; leave it out")
