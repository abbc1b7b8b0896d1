"""Laws of a module's matrices and biases, read layer by layer and all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from ..models.weight_law import BIAS_LAWS
from .initial_laws import Entries, InitialLaw, deviations_of, known_deviations, laws_of, misfit


class Laws:
    """Laws of the matrices and biases of a module."""

    def __init__(self, more: Sequence[float]) -> None:
        self.more = more

    def of_matrices(self, where: str, linears: Sequence[nn.Linear], gains: Sequence[float] = ()) -> list[InitialLaw]:
        """Return the law of each matrix: the same of all where there is one that fits all of one shape.

        Of several laws those with a standard deviation that was handed in go before others, then those of ``gains``.
        """
        found: list[list[InitialLaw]] = []
        for number, linear in enumerate(linears):
            entries = linear.weight.detach().double().cpu().numpy()
            laws = laws_of(entries, (*self.more, *known_deviations(linear.in_features, linear.out_features)))
            uniform = [law for law in laws if law.kind == "uniform"]
            alike = [s for g in gains for s in deviations_of(g, linear.in_features, linear.out_features)]
            meant = [law for law in laws if law.is_called(self.more)] or [law for law in laws if law.is_called(alike)]
            laws = meant or uniform or laws  # a Gaussian matrix hardly keeps to the ends of a uniform law
            if not laws:
                raise ValueError(self._unknown(f"{where} of layer {number}", entries, linear))
            found.append(laws)
        shared = [law for law in found[0] if all(law in laws for laws in found)] if found else []
        if len(shared) > 1 and len({(one.in_features, one.out_features) for one in linears}) == 1:
            own = {id(one.weight): one.weight.detach().double().cpu().numpy().ravel() for one in linears}
            pooled = np.concatenate(list(own.values()))
            shared = [law for law in shared if misfit(pooled, law) is None]
        shared, found = _likely(shared), [_likely(laws) for laws in found]
        if len(shared) == 1:
            return shared * len(found)
        if any(len(laws) > 1 for laws in found):
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
