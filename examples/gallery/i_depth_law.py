r"""At the exponent 1/2 the layers and the gradients of deep networks tend to a log-Gaussian law.

For two matrices in each block with ReLU between them and branches of size $L^{-1/2}$, $\log |h_L|^2/|h_0|^2$ tends to
$N(1/2 - 1/n, 2/n)$ as $L$ grows at fixed width $n$ (`resmc.theory.depth_limit`), and so does
$\log |p_0|^2/|p_L|^2$; at every $L$, $E |h_L|^2/|h_0|^2 = E |p_0|^2/|p_L|^2 = (1 + 1/(2 L))^L$ exactly, for every law
of the weights (Marion, Fermanian, Biau, Vert, arXiv 2206.06929, figure 2: $n = 100$, $L = 1000$, $10^4$ networks with
uniform weights). Gaussian weights allow the projected method; uniform ones have to be drawn, all $2 n^2 L$ of them,
which takes minutes.

    python examples/gallery/i_depth_law.py [--networks 1.0] [--seed 0] [--output i_depth_law.png] [--weights uniform]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import common
from common import Finding
from g_depth_regimes import network

import resmc
from resmc.models.residual_network import ResidualNetwork
from resmc.models.weight_law import WEIGHTS
from resmc.theory.depth import depth_limit

CLAIM = "At β = 1/2 the laws of |h_L|/|h_0| and |p_0|/|p_L| are log-Gaussian (n = 100, L = 1000)"
NETWORKS = 10_000
RATIOS = {"growth": "|h_L|²/|h_0|²", "gradient": "|p_0|²/|p_L|²"}


def simulate(args: argparse.Namespace, model: ResidualNetwork | None = None) -> resmc.Simulation:
    """Forward and backward, only the ends recorded."""
    model = model or network(0.5, 100)
    method = "projected" if model.weight_law.gaussian else "dense"
    networks = max(round(NETWORKS * args.networks), 1)
    return resmc.simulate(
        model, networks=networks, seed=args.seed + (8 << 32), method=method, gradients=True, layers=[0]
    )


def findings(sim: resmc.Simulation) -> list[Finding]:
    """Mean and variance beside the limit, the second moment beside its exact value."""
    sde = depth_limit(network(0.5, sim.model.width))
    exact = sim.model.depth * math.log1p(0.5 * float(sim.model.scales[0]) ** 2)
    found = []
    for ratio, shown in RATIOS.items():
        law, limit = sim.log_ratio(ratio), {"growth": sde.growth, "gradient": sde.gradient}[ratio]
        found += [
            Finding.of(f"E log {shown}", law.final_mean, "limit", limit.mean),
            Finding.of(f"Var log {shown}", law.final_variance, "limit", limit.variance),
            Finding.of(f"log E {shown}", law.final_log_second_moment, "exact", exact),
        ]
    return found


def sentence(sim: resmc.Simulation, found: list[Finding]) -> str:
    """All of them."""
    m = sim.model
    return (
        f"{sim.networks:,} networks, n = {m.width}, L = {m.depth}, beta = {m.scaling.beta:g}, {m.weights} weights: "
        f"{'; '.join(f'{one.name} = {one}' for one in found)}."
    )


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    parser = common.arguments(__doc__, "i_depth_law.png")
    parser.add_argument("--weights", choices=WEIGHTS, default="gaussian", help="law of the matrices' entries")
    args = parser.parse_args(given)
    sim = simulate(args, network(0.5, 100, args.weights))
    found = findings(sim)
    print(sentence(sim, found))
    fig = common.figure(7.0, 3.2)
    for ratio, ax in zip(RATIOS, fig.subplots(1, 2), strict=True):
        resmc.plot.plot_ratio_law(sim, ratio, ax=ax)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
