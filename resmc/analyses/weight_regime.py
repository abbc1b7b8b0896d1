"""The rule by which exponents of weights say what a deep network tends to: an ODE, an SDE or neither.

With steps L^(-beta) A_k, A_k a smooth trend of size L^t and noise of size L^s whose sums over m layers grow like m^h,
the trend adds up to L^(1 + t - beta) over the depth and the noise to L^(s + h - beta). What both add up to is measured
besides, which tells where no trend is seen. Exponents are compared by
intervals of 99%; one that lies within 0.15 of a value is *at* it, one beyond 0.15 above or below it.

.. code-block:: text

    ODE         no noise, or noise that adds up to nothing (below 0); the trend at 1 + t - beta = 0
    SDE         noise that adds up to something finite (at 0), independent from layer to layer (h at 1/2), and no
                trend above 0
    neither     noise or trend that adds up without bound (above 0); noise at 0 whose layers depend on each other, as
                fractional noise does; or all below 0, and the network tends to the identity
    undecided   otherwise; the sentence says what is not known well enough

There is no noise where h is above 1: weights are then a continuous function of k/L, smooth or rough.

This holds where a branch is linear in one matrix: phi-in, and phi-out with sigma(0) = 0 and either the scaling inside
or weights that vanish as L grows. It is blind to a noise smaller than the trend's third differences, takes fractional
noise of H within 0.15 of 1/2 for independent noise, and that of H near 1 for a trend; and it knows these depths only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..results.estimates import Estimate

LEVEL = 0.99
TOLERANCE = 0.15


class WeightRegime(NamedTuple):
    """The regime, one of "ODE", "SDE", "neither" and "undecided", and a sentence that says why."""

    name: str
    sentence: str


def decide(trend: Estimate, noise: Estimate, both: Estimate, hurst: Estimate, *, noiseless: bool) -> WeightRegime:
    """Apply the rule to the exponents of what trend and noise add up to, and to h.

    ``trend`` is 1 + t - beta and ``noise`` s + h - beta, NaN where there is none, and ``both`` that of sums of all.
    ``noiseless`` says that there is no noise at all.
    """
    if noiseless or _low(hurst) > 1.0:
        return _by_trend(
            trend, both, "there is no noise" if noiseless else f"weights are continuous in k/L (h = {hurst})"
        )
    total, memory, drift = place(noise, 0.0), place(hurst, 0.5), place(trend, 0.0)
    adds_up = f"noise adds up to L^({noise})"
    if total == "above":
        return WeightRegime("neither", f"{adds_up} over the depth, without bound")
    if total == "below":
        return _by_trend(trend, both, f"{adds_up} over the depth, to nothing")
    if drift == "above":
        return WeightRegime("neither", f"the trend adds up to L^({trend}) over the depth, without bound")
    if total == "at" and memory == "at":
        return WeightRegime(
            "SDE", f"{adds_up}, which stays finite, and is independent from layer to layer (h = {hurst})"
        )
    if total == "at" and memory:
        return WeightRegime(
            "neither", f"{adds_up}, which stays finite, but its layers depend on each other (h = {hurst})"
        )
    if total == "at":
        return WeightRegime("undecided", f"{adds_up}, which stays finite, but whether h = {hurst} is 1/2 is not known")
    return WeightRegime("undecided", f"{adds_up}: the exponent is not known well enough")


def _by_trend(trend: Estimate, both: Estimate, noise: str) -> WeightRegime:
    """Return the regime of weights whose noise does not count, as the words say."""
    if np.isnan(float(trend)):
        said = f"{noise}; a trend is not seen at every depth, and all adds up to L^({both})"
        if place(both, 0.0) == "below":
            return WeightRegime("neither", f"{said}, to nothing: the network tends to the identity")
        return WeightRegime("undecided", said)
    adds_up = f"{noise}, and the trend adds up to L^({trend})"
    return {
        "at": WeightRegime("ODE", f"{adds_up}, which stays finite"),
        "above": WeightRegime("neither", f"{adds_up}, without bound"),
        "below": WeightRegime("neither", f"{adds_up}, to nothing: the network tends to the identity"),
        "": WeightRegime("undecided", f"{adds_up}: the exponent is not known well enough"),
    }[place(trend, 0.0)]


def place(exponent: Estimate, value: float) -> str:
    """Return where an exponent lies: "below", "at" or "above" a value, or "" if its error leaves that open."""
    low, high = (float(end) for end in exponent.interval(LEVEL))
    if low > value + TOLERANCE:
        return "above"
    if high < value - TOLERANCE:
        return "below"
    return "at" if value - TOLERANCE <= low and high <= value + TOLERANCE else ""


def _low(exponent: Estimate) -> float:
    return float(exponent.interval(LEVEL)[0])
