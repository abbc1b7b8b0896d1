r"""Where a deep network explodes and where it is the identity depends on how rough its weights are over the layers.

The map of the mean of $\log_{10} |h_L - h_0|/|h_0|$ over the Hurst exponent $H$ of the weights and the exponent
$\beta$ of the scaling (Marion, Fermanian, Biau, Vert, arXiv 2206.06929, figure 7: width 40, $L = 1000$, 5 networks of
10 inputs, 70 exponents by 51). The frontier is $\max(H, 1/2)$ as the depth grows: independent $V$ and $W$ take from
rough weights what would make them cancel. At a finite depth it lies nearby. `--whole` draws the map of the paper, in
minutes.

    python examples/gallery/l_heat_map.py [--networks 1.0] [--seed 0] [--output l_heat_map.png] [--whole]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
import numpy as np
from common import Finding

import resmc
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "Between explosion and identity lies β = max(H, 1/2) (n = 40, L = 1000): where |h_L - h_0| is |h_0| on average"
NETWORKS, N_INPUTS = 64, 5
HURST, BETA = np.linspace(0.05, 0.95, 7), np.linspace(0.0, 1.3, 14)
SMALL = {"HURST": HURST[::2]}
WHOLE_HURST, WHOLE_BETA = np.linspace(0.05, 0.97, 51), np.linspace(0.0, 1.3, 70)


def simulate(args: argparse.Namespace, whole: bool = False) -> resmc.HeatMap:
    """Return the map, forward alone; the whole one as in the paper."""
    model = resmc.ResidualNetwork(40, 1000, "v-phi-w")
    hurst, beta = (WHOLE_HURST, WHOLE_BETA) if whole else (HURST, BETA)
    networks = max(round(NETWORKS * args.networks), MIN_NETWORKS)
    options = {"n_inputs": 10 if whole else N_INPUTS, "gradients": whole, "seed": args.seed + (40 << 32)}
    return resmc.heat_map(model, hurst=hurst, beta=beta, networks=networks, **options)


def findings(found: resmc.HeatMap) -> list[Finding]:
    """Return the frontier at some H."""
    frontier = found.frontier()
    places = range(0, len(found.hurst), len(found.hurst) // 3)
    return [
        Finding.of(f"β at H = {found.hurst[i]:.3g}", frontier.beta[i], "limit", float(frontier.limit[i]))
        for i in places
    ]


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    parser = common.arguments(__doc__, "l_heat_map.png")
    parser.add_argument("--whole", action="store_true", help="the paper's 70 x 51 points")
    args = parser.parse_args(given)
    heat_map = simulate(args, args.whole)
    found = findings(heat_map)
    common.tell(found)
    common.save(resmc.plot.plot_heat_map(heat_map).figure, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
