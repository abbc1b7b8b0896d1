"""Dropout: which neurons of a branch's input are kept, by integers, so that all that draws masks draws the same ones.

A neuron is kept if its random word, 32 fair bits, is below keep 2^32 rounded to an integer. So the probability is keep
to within 2^-33, and keep itself wherever that is a multiple of 2^-32, such as 1/2.
"""

from __future__ import annotations

import math
from typing import Any

from .._system import checks
from .blocks import BLOCKS

WORDS = 1 << 32  # how many words there are


def kept_below(keep: float) -> int:
    """Return the number of words that keep a neuron, which are the first ones: keep 2^32, rounded."""
    return round(keep * WORDS)


def kept_factor(keep: float) -> float:
    """Return what a neuron that is kept is multiplied by, 1/sqrt(keep): the mean square stays what it is."""
    return 1.0 / math.sqrt(keep)


def checked_keep(given: Any, block: str) -> float:
    """Return the probability with which dropout keeps a neuron, as a float.

    Raises
    ------
    ValueError
        If it is none, or not 1 with a block whose matrix does not meet sigma(h).
    """
    keep = checks.real("keep", given)
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"keep={keep!r} is not allowed: it is the probability that a neuron stays, above 0, at most 1")
    if keep == 1.0:
        return keep
    if not 0 < kept_below(keep) < WORDS:
        raise ValueError(
            f"keep={keep!r} is too near to {round(keep)}: masks are drawn from 32 bits, so it must be 1, or from 2^-32 "
            "to 1 - 2^-32"
        )
    if not BLOCKS[block].acts_on_layers:
        allowed = ", ".join(repr(name) for name, one in BLOCKS.items() if one.acts_on_layers)
        raise ValueError(
            f"keep={keep!r} is not allowed with block={block!r}: masks multiply sigma(h), which is a branch's input "
            f"only with {allowed}"
        )
    return keep


# Where there is no network with dropout, and why, as `refuse_dropout` says them.
TRAINING = ("in training", "masks stay as they are drawn, and training needs others at every step")
DEPTH = ("where one network has every depth", "masks are drawn anew in every layer")
GRAM_CHAIN = ("in gram_chain", "states that meet a mask share more than their Gram matrix")
HEAT_MAP = ("in a heat map", "its exponents are those of weights alone")


def refuse_dropout(keep: float, where: str, why: str) -> None:
    """Refuse a network with dropout by a ValueError that says ``where`` it is not allowed, and ``why``."""
    if keep != 1.0:
        raise ValueError(f"keep={keep!r} is not allowed {where}: {why}; it must be 1")
