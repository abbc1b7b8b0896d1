r"""With weights that are smooth in depth, 1 is the exponent between explosion and the identity.

Entries of the matrices are smooth Gaussian processes over the layers, of correlation length 1/10 of the depth. With
branches of size $L^{-\beta}$ the layers then add up instead of averaging out: $|h_L - h_0|/|h_0|$ goes to 0 like
$L^{1 - \beta}$ for $\beta > 1$, to a law for $\beta = 1$, where the network is a discretised differential equation, and
explodes for $\beta < 1$; and so does the gradient's $|p_0 - p_L|/|p_L|$ (Marion, Fermanian, Biau, Vert, arXiv
2206.06929, figures 4 and 5: 50 networks for each $L$). For independent weights the exponent is 1/2.

    python examples/gallery/j_smooth_depth.py [--networks 1.0] [--seed 0] [--output j_smooth_depth.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace

import common
import g_depth_regimes
from common import Finding

import resmc
from resmc.analyses import Regime
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "With smooth weights β = 1 is critical, layers and gradient alike (n = 40): exponents in L, L = 10 to 300"
NETWORKS = 1000  # for each depth
DEPTHS = (10, 30, 100, 300)
BETAS = (2.0, 1.0, 0.5)
SMOOTH = resmc.Weights(depth=resmc.SmoothProcess(length=0.1))
WAYS = {"forward": "displacement", "backward": "gradient_displacement"}


def simulate(args: argparse.Namespace) -> dict[float, Regime]:
    """By exponent; each has random numbers of its own."""
    networks = max(round(NETWORKS * args.networks), MIN_NETWORKS)
    return {
        beta: resmc.regime(
            replace(g_depth_regimes.network(beta), weights=SMOOTH),
            DEPTHS,
            networks=networks,
            seed=args.seed + (27 + i << 32),
        )
        for i, beta in enumerate(BETAS)
    }


def findings(regimes: Mapping[float, Regime]) -> list[Finding]:
    """The exponents, beside 1 - beta where the ratio goes like a power."""
    found = []
    for beta, one in regimes.items():
        for way in WAYS:
            verdict = getattr(one, way)
            beside = ("limit", 1.0 - beta) if beta >= 1.0 else ()
            found.append(Finding.of(f"β = {beta:g}, {way}", verdict.slope, *beside))
    return found


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "j_smooth_depth.png").parse_args(given)
    regimes = simulate(args)
    found = findings(regimes)
    for beta, one in regimes.items():
        print("\n".join(f"beta = {beta:g}, {way}: {getattr(one, way).sentence}" for way in WAYS))
    common.tell(found)
    fig = common.figure(9.0, 4.2)
    labelled = {f"β = {beta:g}": one for beta, one in regimes.items()}
    for ax, ratio in zip(fig.subplots(1, 2), WAYS.values(), strict=True):
        resmc.plot.plot_depth_ratio(labelled, ratio, ax=ax)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
