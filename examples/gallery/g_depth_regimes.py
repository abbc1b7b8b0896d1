r"""A deep network explodes, becomes the identity, or does neither: 1/2 is the exponent between.

With branches of size $L^{-\beta}$ and independent weights, $|h_L - h_0|/|h_0|$ tends to 0 like $L^{1/2 - \beta}$ for
$\beta > 1/2$, to a law for $\beta = 1/2$, and grows faster than any power for $\beta < 1/2$ (Marion, Fermanian, Biau,
Vert, arXiv 2206.06929, figure 1: 50 networks for each $L$). `resmc.regime` fits the medians by a power of $L$ with a
correction in $1/L$, and decides by the interval of the exponent. The input is uniform on $[0, 1]^{64}$.

    python examples/gallery/g_depth_regimes.py [--networks 1.0] [--seed 0] [--output g_depth_regimes.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import common
import numpy as np
from common import Finding

import resmc
from resmc.analyses import Regime
from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.results.estimates import MIN_NETWORKS

CLAIM = (
    "|h_L - h_0|/|h_0| goes to 0, to a law, to infinity as β = 1, 1/2, 1/4 (n = 40): its exponent in L, L = 10 to 1000"
)
NETWORKS = 2000  # for each depth
BETAS = (1.0, 0.5, 0.25)
DEPTHS = tuple(range(10, 1001, 110))


def network(beta: float, width: int = 40, weights: str = "gaussian") -> ResidualNetwork:
    """The paper's: two matrices in each block, ReLU between them."""
    pixels = tuple(np.random.default_rng(0).uniform(size=64))
    return ResidualNetwork(width, 1000, "v-phi-w", scaling=DepthScaling(beta), weights=weights, input=pixels)


def simulate(args: argparse.Namespace, part: int = 6) -> dict[float, Regime]:
    """By exponent; each has random numbers of its own."""
    networks = max(round(NETWORKS * args.networks), MIN_NETWORKS)
    return {
        beta: resmc.regime(network(beta), DEPTHS, networks=networks, seed=args.seed + (len(BETAS) * part + i << 32))
        for i, beta in enumerate(BETAS)
    }


def findings(regimes: Mapping[float, Regime], way: str = "forward") -> list[Finding]:
    """The exponents, beside 1/2 - beta where the ratio goes like a power."""
    found = []
    for beta, one in regimes.items():
        verdict = getattr(one, way)
        beside = ("limit", 0.5 - beta) if beta >= 0.5 else ()
        found.append(Finding.of(f"β = {beta:g}, {verdict.name}", verdict.slope, *beside))
    return found


def sentence(regimes: Mapping[float, Regime], way: str = "forward") -> str:
    """The verdicts, with what they rest on."""
    return "\n".join(f"beta = {beta:g}: {getattr(one, way).sentence}" for beta, one in regimes.items())


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "g_depth_regimes.png").parse_args(given)
    regimes = simulate(args)
    found = findings(regimes)
    print(sentence(regimes))
    common.tell(found)
    fig = common.figure(5.2, 4.6)
    resmc.plot.plot_depth_ratio({f"β = {beta:g}": one for beta, one in regimes.items()}, ax=fig.subplots())
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
