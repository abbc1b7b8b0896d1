"""Functions of a user's own that are made into tables: what activations and weight laws of that kind have in common."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from .activation_table import Floats


class UserFunction:
    """A function that is known by its name and by what it does: the same in a pickle, in a store and on paper."""

    name: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what kernels have of it."""
        return hashlib.sha256(self._held().tobytes()).hexdigest()

    def _held(self) -> NDArray[Any]:
        """Return the numbers that kernels have of it."""
        raise NotImplementedError

    def to_dict(self) -> Plain:
        """Return the function as plain values, from which `from_dict` makes it again."""
        raise NotImplementedError

    @staticmethod
    def from_dict(described: Mapping[str, Any]) -> Any:
        """Return the function that `to_dict` described."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash((self.name, self.digest))

    def __str__(self) -> str:
        return f"{self.name}:{self.digest[:8]}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def named(value: Any, given: Any) -> str:
    """Return the name of something of a user's own that is made of a function."""
    found = given
    if given is None:
        found = getattr(value, "__name__", type(value).__name__)
        found = found if found.isidentifier() else "custom"
    if not isinstance(found, str) or not found.isidentifier() or len(found) > 40:
        raise ValueError(f"name={brief(given)} is not allowed: it must be of letters, digits and _, at most 40")
    return found


def checked_function(
    name: str, function: Callable[[Any], ArrayLike], variable: str, where: str
) -> Callable[[Floats], Floats]:
    """Return a function of arrays that refuses what is no array of finite numbers of the same shape.

    A function of torch's is called with a tensor. ``variable`` and ``where`` say what it must be finite of.
    """

    def called(x: Floats) -> Floats:
        with np.errstate(all="ignore"):
            try:
                found = function(x)
            except TypeError:
                torch = sys.modules.get("torch")
                if torch is None:
                    raise
                found = function(torch.from_numpy(np.ascontiguousarray(x)))
        y = np.asarray(checks.detached(found), np.float64)
        if y.shape != x.shape:
            raise ValueError(
                f"{name} is not allowed: of an array of shape {x.shape} it makes one of shape {y.shape}; it must work "
                "entry by entry"
            )
        bad = np.flatnonzero(~np.isfinite(y))
        if len(bad):
            raise ValueError(f"{name} is not finite at {variable}={float(x.ravel()[bad[0]]):.6g}: it must be {where}")
        return y

    return called
