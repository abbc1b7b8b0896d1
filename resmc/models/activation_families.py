"""How activations are spelled: a name of `ACTIVATIONS`, a family with parameters, as "leaky_relu(0.2)", or one's own.

A spelling is a string, which prints, pickles and hashes as it is and goes through command lines, files and sweeps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .._system import checks
from .._system.words import brief
from .activation_record import ActivationRecord
from .activations import ACTIVATIONS, LEAK, elu_of_slopes, kinked
from .user_activation import Activation

MOST_SLOPE = 2.0**10  # largest size of a parameter


@dataclass(frozen=True)
class Family:
    """Activations with parameters, spelled name(a, b).

    Attributes
    ----------
    parameters : tuple of str
        Their names.
    made : callable
        Record of (width, *parameters): slopes may depend on the width.
    default : tuple of float or None
        Parameters of the row of `ACTIVATIONS` that has the family's name alone; None where there is none.
    """

    parameters: tuple[str, ...]
    made: Callable[..., ActivationRecord]
    default: tuple[float, ...] | None = None


def _leaky(width: int, slope: float) -> ActivationRecord:
    return kinked(3, 1.0, slope)


def _elu_of(width: int, alpha: float) -> ActivationRecord:
    return elu_of_slopes(10, 1.0, alpha)


def _shaped(width: int, c_plus: float, c_minus: float) -> ActivationRecord:
    root = math.sqrt(width)
    return kinked(17, 1.0 + c_plus / root, 1.0 + c_minus / root)


FAMILIES: dict[str, Family] = {
    "leaky_relu": Family(("slope",), _leaky, (LEAK,)),  # x above 0, slope x below
    "elu": Family(("alpha",), _elu_of, (1.0,)),  # x above 0, alpha (e^x - 1) below
    "shaped_relu": Family(("c_plus", "c_minus"), _shaped),  # slopes 1 + c/sqrt(width) above 0 and below
}
SPELLED = re.compile(r"([a-z_]+)\((.*)\)")


def spelled(name: str, *values: float) -> str:
    """Return a family's member as the field ``activation`` has it: the name alone where parameters are the defaults.

    Raises
    ------
    ValueError
        For a parameter that is not finite, too large, or stands for another activation.
    """
    family = FAMILIES[name]
    if len(values) != len(family.parameters):
        raise ValueError(
            f"{name} with {len(values)} parameters is not allowed: it takes {' and '.join(family.parameters)}, as in "
            f"'{name}({', '.join('0.5' for _ in family.parameters)})'"
        )
    found = tuple(checks.real(parameter, x) for parameter, x in zip(family.parameters, values, strict=True))
    for parameter, x in zip(family.parameters, found, strict=True):
        if abs(x) > MOST_SLOPE:
            raise ValueError(f"{parameter}={x!r} is out of range for {name}: its size must be at most 2^10")
    if found == family.default:
        return name
    return f"{name}({', '.join(repr(int(x)) if x == int(x) else repr(x) for x in found)})"


def shaped_relu(c_plus: float, c_minus: float) -> str:
    """Return the activation with slopes 1 + c_plus/sqrt(width) above 0 and 1 + c_minus/sqrt(width) below.

    It is the string ``"shaped_relu(c_plus, c_minus)"``, which can be written instead. Source: Li, Nica, Roy (2022,
    arXiv 2206.02768), definition 3.1.

    Raises
    ------
    ValueError
        For a parameter that is not finite, or whose size is above 2^10.
    """
    return spelled("shaped_relu", c_plus, c_minus)


def leaky_relu(slope: float) -> str:
    """Return the activation x for x > 0 and slope x for x < 0: the string ``"leaky_relu(slope)"``.

    Raises
    ------
    ValueError
        For a slope that is not finite, or whose size is above 2^10.
    """
    return spelled("leaky_relu", slope)


def elu(alpha: float = 1.0) -> str:
    """Return the activation x for x > 0 and alpha (e^x - 1) for x < 0: the string ``"elu(alpha)"``.

    Raises
    ------
    ValueError
        For an alpha that is not finite, or whose size is above 2^10.
    """
    return spelled("elu", alpha)


def checked_activation(given: Any, width: int) -> str | Activation:
    """Return an activation as networks keep it: a name, with parameters if need be, or one of a user's own.

    Raises
    ------
    ValueError
        For anything else, and for slopes that are those of another activation.
    """
    if isinstance(given, Activation):
        return given
    if isinstance(given, Mapping):
        return Activation.from_dict(given)
    if isinstance(given, str) and given in ACTIVATIONS:
        return given
    match = SPELLED.fullmatch(given.strip()) if isinstance(given, str) else None
    name = match.group(1) if match else given
    if not isinstance(name, str) or name not in FAMILIES:
        families = ", ".join(f"'{n}({', '.join(f.parameters)})'" for n, f in FAMILIES.items())
        raise ValueError(
            f"activation={brief(given)} is not allowed: it must be one of {', '.join(map(repr, ACTIVATIONS))}, with "
            f"parameters {families}, or a resmc.Activation"
        )
    try:
        values = [float(x) for x in match.group(2).split(",")] if match else []
    except ValueError:
        raise ValueError(f"activation={brief(given)} is not allowed: parameters must be numbers") from None
    found = spelled(name, *values)
    record = record_of(found, width)
    if 0.0 in (record.above, record.below):
        raise ValueError(
            f"activation={found!r} with width={width} is not allowed: it has slope 0 on a side of 0, where neurons die "
            "as those of 'relu' do; use that"
        )
    return found


def record_of(activation: str | Activation | ActivationRecord, width: int = 1) -> ActivationRecord:
    """Return the record of an activation that has been checked; ``width`` is that of the network."""
    if isinstance(activation, ActivationRecord):
        return activation
    if isinstance(activation, Activation):
        return activation.record
    return ACTIVATIONS.get(activation) or _member(activation, width)


@lru_cache(maxsize=256)
def _member(activation: str, width: int) -> ActivationRecord:
    match = SPELLED.fullmatch(activation)
    assert match is not None
    family = FAMILIES[match.group(1)]
    return family.made(width, *(float(x) for x in match.group(2).split(",")))
