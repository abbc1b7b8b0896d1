"""Laws of a module's matrices and biases, read layer by layer and all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from ..models.weight_law import BIAS_LAWS
from .initial_laws import GAINS, Entries, Floats, InitialLaw, deviations_of, known_deviations, laws_of, misfit


class Recipe(NamedTuple):
    """An initialisation: a gain, and which of `deviations_of` it has."""

    gain: float
    mode: int


RECIPES = [Recipe(gain, mode) for gain in GAINS for mode in range(3)]


def _entries(linear: nn.Linear) -> Floats:
    return np.asarray(linear.weight.detach().double().cpu().numpy(), np.float64)


def _deviation(recipe: Recipe, linear: nn.Linear) -> float:
    return deviations_of(recipe.gain, linear.in_features, linear.out_features)[recipe.mode]


def recipes_of(laws: Sequence[InitialLaw], linears: Sequence[nn.Linear]) -> list[Recipe]:
    """Return the initialisations that give all these laws, with any gain that matrices of one shape may have."""
    drawn = [(law, one) for law, one in zip(laws, linears, strict=True) if law.deviation]
    if not drawn:
        return []
    law, first = drawn[0]
    units = deviations_of(1.0, first.in_features, first.out_features)
    found = [Recipe(size / unit, mode) for size in law.names for mode, unit in enumerate(units)]
    return [one for one in found if all(law.is_called([_deviation(one, linear)]) for law, linear in drawn)]


def _made(recipe: Recipe, linears: Sequence[nn.Linear], found: Sequence[list[InitialLaw]]) -> list[InitialLaw] | None:
    """Return the laws among those ``found`` that an initialisation gives, one for each matrix; None if it does not."""
    each = [
        next((law for law in laws if law.kind == "zeros" or law.is_called([_deviation(recipe, linear)])), None)
        for linear, laws in zip(linears, found, strict=True)
    ]
    return [law for law in each if law is not None] if None not in each else None


class Laws:
    """Laws of the matrices and biases of a module."""

    def __init__(self, more: Sequence[float]) -> None:
        self.more = more

    def of_matrices(
        self,
        where: str,
        linears: Sequence[nn.Linear],
        recipes: Sequence[Recipe] = (),
        beside: nn.Linear | None = None,
    ) -> list[InitialLaw]:
        """Return the law of each matrix: the same of all, or one for each, where one initialisation made all of them.

        Of several laws those with a standard deviation that was handed in go before others, then those of ``recipes``;
        of several initialisations those that may have made the matrix ``beside`` these.
        """
        found: list[list[InitialLaw]] = []
        for number, linear in enumerate(linears):
            entries = _entries(linear)
            laws = laws_of(entries, (*self.more, *known_deviations(linear.in_features, linear.out_features)))
            uniform = [law for law in laws if law.kind == "uniform"]
            alike = [_deviation(recipe, linear) for recipe in recipes]
            meant = [law for law in laws if law.is_called(self.more)] or [law for law in laws if law.is_called(alike)]
            laws = meant or uniform or laws  # a Gaussian matrix hardly keeps to the ends of a uniform law
            if not laws:
                raise ValueError(self._unknown(f"{where} of layer {number}", entries, linear))
            found.append(laws)
        shared = [law for law in found[0] if all(law in laws for laws in found)] if found else []
        if len(shared) > 1 or len({(one.in_features, one.out_features) for one in linears}) > 1:
            own = {id(one.weight): _entries(one).ravel() for one in linears}
            pooled = np.concatenate(list(own.values()))
            shared = [law for law in shared if misfit(pooled, law) is None]
        shared, found = _likely(shared), [_likely(laws) for laws in found]
        if len(shared) == 1:
            return shared * len(found)
        if any(len(laws) > 1 for laws in found):
            made = [(recipe, one) for recipe in RECIPES if (one := _made(recipe, linears, found))]
            if beside is not None and any(one != made[0][1] for _, one in made):
                first = laws_of(_entries(beside), known_deviations(beside.in_features, beside.out_features))
                made = [(recipe, one) for recipe, one in made if _made(recipe, [beside], [first])]
            if made and all(one == made[0][1] for _, one in made):
                return made[0][1]
            said = ", ".join(f"{law.kind} {law.deviation:.4g}" for law in (shared or max(found, key=len)))
            raise ValueError(
                f"{where} of so few entries may have been drawn from any of {said}: give deviations=, the standard "
                "deviation that is meant, with more or wider layers"
            )
        return [laws[0] for laws in found]

    def _unknown(self, what: str, entries: Any, linear: nn.Linear) -> str:
        if (gain := Entries(entries).gain) is not None:
            why = misfit(entries, InitialLaw("orthogonal", gain / math.sqrt(linear.in_features)))
            return f"{what} is orthogonal, and is not understood: {why}; resmc draws square ones, uniformly"
        measured = float(np.sqrt(np.mean(entries**2)))
        known = (*known_deviations(linear.in_features, linear.out_features), *self.more)
        nearest = min(known, key=lambda s: abs(math.log(s / measured)))
        why = "; ".join(f"{kind}: {misfit(entries, InitialLaw(kind, nearest))}" for kind in ("uniform", "gaussian"))
        return (
            f"{what} with the standard deviation {measured:.4g} is no draw of a known initialisation, or is trained "
            f"(the nearest has {nearest:.4g}; {why}): give fresh weights, or their standard deviation as deviations="
        )

    def of_bias(self, where: str, linear: nn.Linear) -> InitialLaw:
        """Return the law of a bias: 0 or torch's default, uniform on +-1/sqrt(fan_in), or one that is handed in."""
        if linear.bias is None:
            return InitialLaw("zeros", 0.0)
        entries = linear.bias.detach().double().cpu().numpy()
        default = 1.0 / math.sqrt(3.0 * linear.in_features)
        laws = [law for law in laws_of(entries, (default, *self.more)) if law.kind in ("zeros", *BIAS_LAWS)]
        if not laws:
            raise ValueError(
                f"{where} is no draw of a known initialisation, or is trained: it must be 0, or torch's default, "
                f"uniform with the standard deviation {default:.4g}"
            )
        return next((law for law in laws if law == InitialLaw("uniform", default)), laws[0])


def _likely(laws: list[InitialLaw]) -> list[InitialLaw]:
    """Return laws without the truncated ones where a Gaussian one is among them: too few entries tell them apart."""
    gaussian = any(law.kind == "gaussian" for law in laws)
    return [law for law in laws if not (gaussian and law.kind.startswith("truncated"))]
