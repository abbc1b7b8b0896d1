"""Scalings of branches: alike in all layers, by a power of the depth, or layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief

SCALE_RANGE = 2.0**40  # a scale beyond it could take a layer out of the range of the kernels' arithmetic


def power_of_depth(c: float, beta: float, depth: int) -> float:
    """Return c depth^(-beta), which is infinite beyond the largest float."""
    try:
        return c if beta == 0.0 else c * float(depth) ** -beta
    except OverflowError:
        return math.copysign(math.inf, c) if c else 0.0


def power_in_words(c: float, beta: float) -> str:
    """Write c depth^(-beta) as tables have it."""
    return f"{c:.6g} depth^{0.0 - beta:.6g}"  # 0 - 0 has no sign, as -0 would


@dataclass(frozen=True)
class DepthScaling:
    """A scaling by a power of the depth L: branches have the factor s = c L^(-beta) in every layer.

    Parameters
    ----------
    beta : float
        Exponent. 1/2 is the only non-trivial one for independent weights (Marion et al., arXiv 2206.06929).
    c : float
        Factor, finite and not 0.
    inside : bool
        False if s multiplies the branch. True if s multiplies what enters the activation, as in Cont, Rossier, Xu
        (arXiv 2212.08199), which block="phi-out" alone allows.

    Raises
    ------
    ValueError
        For anything outside these ranges.
    """

    beta: float
    c: float = 1.0
    inside: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", checks.real("beta", self.beta))
        object.__setattr__(self, "c", checks.real("c", self.c))
        if self.c == 0.0:
            raise ValueError("c=0.0 is not allowed: no layer would do anything")
        checks.boolean("inside", self.inside)

    def at(self, depth: int) -> float:
        """Return c depth^(-beta), which is infinite beyond the largest float."""
        return power_of_depth(self.c, self.beta, depth)

    @property
    def words(self) -> str:
        """The scaling in a few words: the factor c, the power of the depth, and where it stands if not outside."""
        return (power_in_words(self.c, self.beta) if self.beta else f"{self.c:.6g}") + " inside" * self.inside

    def to_dict(self) -> Plain:
        """Return the fields, in order, as plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


Scaling = DepthScaling | tuple[float, ...]


def scaling_of(described: Mapping[str, Any]) -> DepthScaling:
    """Return the scaling that `DepthScaling.to_dict` described."""
    if "beta" not in described or set(described) - {f.name for f in fields(DepthScaling)}:
        raise ValueError(
            f"scaling={brief(dict(described))} is not allowed: it must have beta, and may have c and inside"
        )
    return DepthScaling(**described)


def checked_scaling(given: Any, depth: int) -> Scaling:
    """Return ``given`` as a DepthScaling, or as one number for each of ``depth`` layers."""
    if isinstance(given, DepthScaling):
        size = given.at(depth)
        if not math.isfinite(size) or size == 0.0:
            raise ValueError(f"scaling={brief(given)} is not allowed: c depth^(-beta) is {size} at depth={depth}")
        return given
    refusal = f"scaling={brief(given)} is not allowed: it must be a DepthScaling, or one number for each layer"
    if isinstance(given, str | bytes | Mapping | Set):
        raise ValueError(refusal)
    try:
        entries = np.asarray(given).tolist()
        values = tuple(checks.real("scaling", x) for x in entries)
    except (TypeError, ValueError) as error:
        if str(error).startswith("scaling="):
            raise
        raise ValueError(refusal) from None
    if len(values) != depth:
        raise ValueError(f"scaling has {len(values)} entries: it must have one for each of depth={depth} layers")
    return values


def by_layer(scaling: Scaling, depth: int) -> NDArray[np.float64]:
    """Return the scale factors s_k of all layers, (depth,), read-only."""
    if isinstance(scaling, DepthScaling):
        return np.broadcast_to(scaling.at(depth), depth)  # one number in memory
    values = np.array(scaling)
    values.setflags(write=False)
    return values
