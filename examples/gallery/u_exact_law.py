r"""The law of a deep network's norm is known exactly at every width and depth, and so is how far its limit is.

For two matrices in each block with ReLU between them, layers multiply $|h|^2$ by independent factors, so that the law
of $\log |h_L|^2/|h_0|^2$ is the sum of $L$ known ones; the gradient's $\log |p_0|^2/|p_L|^2$ has the same
(`resmc.theory.exact_law`). Marion, Fermanian, Biau, Vert (arXiv 2206.06929, figure 2) set histograms of $10^4$ networks
at $n = 100$, $L = 1000$ beside the limit $N(1/2 - 1/n, 2/n)$. Here $10^5$ of them, with Gaussian weights, have the
exact law; to the right is the largest difference of the exact distribution function from the limit's, by depth, of
which nothing is simulated.

    python examples/gallery/u_exact_law.py [--networks 1.0] [--seed 0] [--output u_exact_law.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import common
import numpy as np
from common import Finding
from scipy.special import ndtr

import resmc
from resmc import plot, theory
from resmc.models.residual_network import ResidualNetwork

CLAIM = "|h_L|/|h_0| and |p_0|/|p_L| have their exact law at n = 100, L = 1000, which the limit is close to"
NETWORKS = 100_000
MODEL = ResidualNetwork(100, 1000, "v-phi-w")
WIDTHS, DEPTHS = (3, 10, 100), (1, 2, 4, 10, 20, 40, 100, 200, 400, 1000)
RATIOS = {"growth": "|h_L|²/|h_0|²", "gradient": "|p_0|²/|p_L|²"}


def simulate(args: argparse.Namespace, model: ResidualNetwork = MODEL) -> resmc.Simulation:
    """Forward and backward, only the ends recorded."""
    networks = max(round(NETWORKS * args.networks), 1)
    return resmc.simulate(model, networks=networks, seed=args.seed + (30 << 32), gradients=True, layers=[0])


def findings(sim: resmc.Simulation) -> list[Finding]:
    """Mean, variance and distance of both laws beside what is exact."""
    found = []
    for name, shown in RATIOS.items():
        exact, ratio, compared = theory.exact_law(sim.model, name), sim.log_ratio(name), sim.exact_comparison(name)
        found += [
            Finding.of(f"E log {shown}", ratio.final_mean, "exact", exact.mean),
            Finding.of(f"Var log {shown}", ratio.final_variance, "exact", exact.variance),
            Finding.of(f"distance of log {shown} from its exact law", compared.ks, "noise", compared.ks.noise_floor),
        ]
    return found


def distance(width: int, depth: int) -> float:
    """The largest difference of the exact distribution function from that of the limit in depth."""
    law = theory.exact_law(replace(MODEL, width=width, depth=depth))
    limit = theory.depth_limit(law.model).growth
    scores = np.linspace(-5.0, 5.0, 1001)
    return float(np.abs(law.cdf(limit.mean + np.sqrt(limit.variance) * scores) - ndtr(scores)).max())


def sentence(sim: resmc.Simulation, found: list[Finding]) -> str:
    """The findings, and the distances that need no simulation."""
    near, far = distance(MODEL.width, 1000), distance(MODEL.width, 10)
    return (
        f"{sim.networks:,} networks, n = {sim.model.width}, L = {sim.model.depth}: "
        f"{'; '.join(f'{one.name} = {one}' for one in found)}. Largest difference of the exact distribution function "
        f"from the limit's: {near:.1e} at L = 1000, {far:.1e} at L = 10."
    )


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "u_exact_law.png").parse_args(given)
    sim = simulate(args)
    found = findings(sim)
    print(sentence(sim, found))
    fig = common.figure(7.0, 3.2)
    left, right = fig.subplots(1, 2)
    plot.plot_ratio_law(sim, ax=left)
    for width in WIDTHS:
        right.loglog(DEPTHS, [distance(width, depth) for depth in DEPTHS], marker="o", ms=3, label=f"n = {width}")
    right.set(xlabel="depth L", ylabel="sup |F − F of the limit|")
    right.legend()
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
