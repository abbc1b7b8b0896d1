"""How many networks an error bar takes: decided by the network alone, never by what a run happened to find.

The error of a moment is estimated from a moment of twice its order. Where few networks carry that one, most runs lack
them, and then the estimate is off and its error too small at once: the luckless runs look best. No rule that asks the
run can tell. The tails of a narrow network's log-norm are heavy (one neuron's log-norm falls like exp(-x/2), n of them
like exp(-n x/2)), and those of a wide one are nearly a Gaussian's, so the rule asks for networks, and for networks
times width. `python -m bench.coverage` measures what the intervals then cover: docs/concepts/coverage.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..engine.lowering import Lowered

FEWEST_ACTIVE = 32  # from this width on it never happens that one or two neurons alone are active: n^2 2^-n < 1e-6
CHANGES = 60.0  # N n (1 - Corr) from which on enough networks change their asymmetry from one layer to the next
STRONG_SKIP = 0.1  # share of the skip in a layer's mean square from which on it hides how few neurons are active


@dataclass(frozen=True)
class Least:
    """Numbers of networks, and of networks times width, from which on an error is given."""

    networks: int
    neurons: int

    def at(self, width: int) -> int:
        """Return how many networks it takes at a width."""
        return max(self.networks, -(-self.neurons // width))


CORRELATION = "correlation"
VARIANCE = "variance"
DISPLACEMENT_VARIANCE = "displacement variance"
DISPLACEMENT_SQUARE = "displacement square"
SKEWNESS = "skewness"
KURTOSIS = "kurtosis"
KURTOSIS_OF_FEW_ACTIVE = "kurtosis of few active"

LEAST = {
    CORRELATION: Least(32, 1_600),
    VARIANCE: Least(32, 400),
    DISPLACEMENT_VARIANCE: Least(32, 5_000),
    DISPLACEMENT_SQUARE: Least(32, 10_000),
    SKEWNESS: Least(100, 1_000),
    KURTOSIS: Least(2_000, 8_000),
    KURTOSIS_OF_FEW_ACTIVE: Least(2_000, 5_000_000),
}


def least_networks(moment: str, lowered: Lowered) -> int:
    """Return how many networks with a logarithm an error bar of a moment takes, one of `LEAST`.

    A kurtosis takes more where a narrow network's norm is at times that of one or two active neurons: without a skip
    that is not weak, in any network but a `ResNet`. A correlation takes more where layers hardly differ: few networks
    then say by how much, and its limit from one layer to the next tells.
    """
    width = min(lowered.model.inner, *(lowered.model.widths or (lowered.model.width,)))
    if moment == KURTOSIS and width < FEWEST_ACTIVE and not _skips(lowered):
        moment = KURTOSIS_OF_FEW_ACTIVE
    least = LEAST[moment]
    if moment == CORRELATION:
        differs = 1.0 - float(lowered.facts.correlation_limit(np.array([1]))[0])
        if 0.0 < differs < CHANGES / least.neurons:
            least = Least(least.networks, math.ceil(CHANGES / differs))
    return least.at(width)


def _skips(lowered: Lowered) -> bool:
    resnet = lowered.log_gaussian
    return resnet is not None and resnet.normalised[0] ** 2 >= STRONG_SKIP
