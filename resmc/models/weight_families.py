"""How weight laws are spelled: a name of `WEIGHTS`, a family with parameters, as "student_t(5)", or a law of one's own.

A spelling is a string, which prints, pickles and hashes as it is and goes through command lines, files and sweeps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .._system.words import brief
from .activation_table import Floats
from .user_law import QuantileLaw, law_of_table
from .weight_law import ORTHOGONAL, WEIGHTS, WeightLaw
from .weight_table import table_of

MOST_FREEDOM = 2.0**20  # degrees of freedom beyond which a t law is Gaussian in float32
FARTHEST_BOUND, NARROWEST = 2.0**10, 2.0**-6
SPELLED = re.compile(r"([a-z_]+)(?:\((.*)\))?")


@dataclass(frozen=True)
class LawFamily:
    """Weight laws with parameters, spelled name(a, b).

    Attributes
    ----------
    parameters : tuple of str
        Their names.
    of_normal : callable
        Of (*parameters) the function F^-1(Phi(g)) of an array of normals.
    refused : callable
        Of (*parameters) the sentence that says why there is no such law, empty where there is one.
    default : tuple of float or None
        Parameters of the name alone; None where there is none.
    """

    parameters: tuple[str, ...]
    of_normal: Callable[..., Callable[[Floats], Floats]]
    refused: Callable[..., str]
    default: tuple[float, ...] | None = None


def _truncated(low: float, high: float) -> Callable[[Floats], Floats]:
    """Return the normal law between two bounds, in its own standard deviations, from the nearer tail's probability."""
    from scipy.special import ndtr, ndtri

    below, above = float(ndtr(low)), float(ndtr(-high))  # probabilities
    within = float(ndtr(high) - ndtr(low))

    def of_normal(g: Floats) -> Floats:
        lower = ndtri(below + within * ndtr(-np.abs(g)))
        if low == -high:
            return np.asarray(np.copysign(np.abs(lower), g))
        upper = -ndtri(above + within * ndtr(-np.abs(g)))
        return np.asarray(np.where(g < 0.0, lower, upper))

    return of_normal


def _no_truncated(low: float, high: float) -> str:
    if not low + NARROWEST <= high or not (low <= 2.0 and high >= -2.0) or max(-low, high) > FARTHEST_BOUND:
        return (
            "its bounds must be low < high in standard deviations of the normal that is cut, at least 2^-6 apart and "
            "at most 2^10 from 0, with low at most 2 and high at least -2"
        )
    return ""


def _student(df: float) -> Callable[[Floats], Floats]:
    """Return Student's t law of df degrees of freedom: t^2/(df + t^2) has the beta law of 1/2 and df/2."""
    from scipy.special import betaincinv, erf, ndtr

    def of_normal(g: Floats) -> Floats:
        size = np.abs(g)
        share = betaincinv(0.5, 0.5 * df, erf(np.minimum(size, 1.0) / math.sqrt(2.0)))
        rest = betaincinv(0.5 * df, 0.5, 2.0 * ndtr(-np.maximum(size, 1.0)))
        near, far = share / (1.0 - share), (1.0 - rest) / rest
        return np.asarray(np.copysign(np.sqrt(df * np.where(size < 1.0, near, far)), g))

    return of_normal


def _no_student(df: float) -> str:
    if df <= 2.0:
        return "df must be above 2, as the variance of such entries is infinite"
    return "df must be at most 2^20; beyond, it is 'gaussian' to all digits of float32" if df > MOST_FREEDOM else ""


LAW_FAMILIES: dict[str, LawFamily] = {
    # a normal between low and high, in its own standard deviations
    "truncated_normal": LawFamily(("low", "high"), _truncated, _no_truncated, (-2.0, 2.0)),
    # density proportional to (1 + t^2/df)^(-(df + 1)/2)
    "student_t": LawFamily(("df",), _student, _no_student),
}
NAMED = WEIGHTS | {"orthogonal": ORTHOGONAL}
SPELLINGS = (*NAMED, *(f"{name}({', '.join(one.parameters)})" for name, one in LAW_FAMILIES.items()))


def checked_law(name: str, given: Any) -> str | QuantileLaw:
    """Return the law of an argument's entries as networks keep it.

    Raises
    ------
    ValueError
        For anything that is no law.
    """
    if isinstance(given, QuantileLaw):
        return given
    if isinstance(given, Mapping):
        return QuantileLaw.from_dict(given)
    if isinstance(given, str) and given in NAMED:
        return given
    match = SPELLED.fullmatch(given.strip()) if isinstance(given, str) else None
    family = LAW_FAMILIES.get(match.group(1)) if match else None
    if match is None or family is None:
        raise ValueError(
            f"{name}={brief(given)} is not allowed: it must be one of {', '.join(map(repr, SPELLINGS))}, or a "
            "resmc.QuantileLaw"
        )
    if match.group(2) is None:
        values = family.default
    else:
        try:
            values = tuple(float(x) for x in match.group(2).split(","))
        except ValueError:
            raise ValueError(f"{name}={brief(given)} is not allowed: parameters must be numbers") from None
    taken = " and ".join(family.parameters)
    if values is None or len(values) != len(family.parameters):
        raise ValueError(f"{name}={brief(given)} is not allowed: {match.group(1)} takes {taken}")
    if not all(math.isfinite(x) for x in values):
        raise ValueError(f"{name}={brief(given)} is not allowed: {taken} must be finite")
    why = family.refused(*values)
    if why:
        raise ValueError(f"{name}={brief(given)} is not allowed: {why}")
    if values == family.default:
        return match.group(1)
    return f"{match.group(1)}({', '.join(repr(int(x)) if x == int(x) else repr(x) for x in values)})"


def law_of(law: str | QuantileLaw) -> WeightLaw:
    """Return the record of a law that has been checked."""
    if isinstance(law, QuantileLaw):
        return law.record
    return NAMED.get(law) or _member(law)


@lru_cache(maxsize=256)
def _member(law: str) -> WeightLaw:
    match = SPELLED.fullmatch(law)
    assert match is not None
    family = LAW_FAMILIES[match.group(1)]
    values = family.default if match.group(2) is None else tuple(float(x) for x in match.group(2).split(","))
    assert values is not None
    table = table_of(family.of_normal(*values))
    assert not isinstance(table, float)
    return law_of_table(table)
