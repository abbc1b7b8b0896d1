r"""Training fails where networks explode before it, and that depends on how rough the weights are over the layers.

The map of the test accuracy over the Hurst exponent $H$ of the weights at the start and the exponent $\beta$ of the
scaling, beside that of $\log_{10} |h_L|/|h_0|$ of the same networks before training (Marion, Fermanian, Biau, Vert,
arXiv 2206.06929, figure 9: MNIST, width 30, $L = 1000$, 10 x 10 points of one network at 5 learning rates, 10 epochs).
Here it is scikit-learn's digits, width 16, $L = 60$, by Adam for 4 epochs, and 32 networks at each point, for errors.
Where $|h_L|$ is many times $|h_0|$ no learning rate helps; where branches are small all of them learn. In between rough
weights, whose steps cancel each other, learn at exponents at which smooth ones do not.

    python examples/gallery/q_trained_map.py [--networks 1.0] [--seed 0] [--output q_trained_map.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc
from resmc.results.estimates import MIN_NETWORKS
from resmc.train import TrainedHeatMap

CLAIM = "Training fails where networks explode before it: at β = 0.2 smoother weights do, and fail (n = 16, L = 60)"
NETWORKS = 32
HURST, BETA, RATES = (0.1, 0.4, 0.7, 0.95), (0.0, 0.2, 0.4, 0.6, 0.9), (0.005, 0.03)
SAID = ((0.1, 0.2), (0.95, 0.2), (0.95, 0.9))  # points of H and beta whose numbers are told
SMALL = {"HURST": HURST[::3], "BETA": BETA[1::3]}


def simulate(args: argparse.Namespace) -> TrainedHeatMap:
    """Return the map, trained on digits."""
    x, y = resmc.train.digits()
    model = resmc.ResidualNetwork(16, 60, "v-phi-w")
    networks = max(round(NETWORKS * args.networks), MIN_NETWORKS)
    return resmc.train.heat_map(
        model, x, y, hurst=HURST, beta=BETA, learning_rate=RATES, networks=networks, seed=args.seed + (61 << 32),
        optimizer="adam", epochs=4, step_epochs=3,
    )  # fmt: skip


def findings(found: TrainedHeatMap) -> list[Finding]:
    """Return growth before and accuracy after training at some points."""
    out = []
    for hurst, beta in SAID:
        i, j, at = HURST.index(hurst), BETA.index(beta), f"H = {hurst:g}, β = {beta:g}"
        out.append(Finding.of(f"{at}: log10 |h_L|/|h_0| before", found.growth[i, j]))
        out.append(Finding.of(f"{at}: test accuracy", found.accuracy[i, j]))
    return out


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Train, print, draw."""
    args = common.arguments(__doc__, "q_trained_map.png").parse_args(given)
    trained = simulate(args)
    found = findings(trained)
    print(f"{trained.summary()}\n")
    common.tell(found)
    common.save(resmc.plot.plot_trained_map(trained).figure, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
