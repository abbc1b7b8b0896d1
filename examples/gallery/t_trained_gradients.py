r"""Gradients of trained networks grow with the depth where Adam has trained them, and not where descent has.

At $\beta = 1/2$ the logarithm of $|p_0|^2/|p_L|^2$ is of one law at all depths before training, that of the limit
(Marion, Fermanian, Biau, Vert, arXiv 2206.06929, section 3). Networks of several depths learn the digits. Stochastic
gradient descent moves the weights of each of $L$ branches by an amount of order $L^{-1/2}$, and so $h_L$ by one of
order 1; with Adam, whose steps are of one size in every weight, $h_L$ moves by $L^{1/2}$ as much. Gradients are those
of the loss, which training follows, and those of a fresh readout, of which theory speaks; a network is compared with
itself.

    python examples/gallery/t_trained_gradients.py [--networks 1.0] [--seed 0] [--output t_trained_gradients.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import common
from common import Finding

import resmc
from resmc import ResidualNetwork
from resmc.results.estimates import MIN_NETWORKS
from resmc.train import Fit, TrainedLogRatios

CLAIM = "Adam lets gradients of the loss grow with the depth, descent does not: ln |p_0|²/|p_L|² (n = 16, digits)"
NETWORKS, EPOCHS = 64, 3
DEPTHS = (8, 32, 128)
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "Adam": {"optimizer": "adam", "learning_rate": 0.003},
}


def simulate(args: argparse.Namespace) -> dict[str, Fit]:
    """Train the same networks with both optimizers."""
    models = [ResidualNetwork(16, depth, "v-phi-w") for depth in DEPTHS]
    networks, seed = max(round(NETWORKS * args.networks), MIN_NETWORKS), args.seed + (54 << 32)
    return {
        name: resmc.train.fit(models, *resmc.train.digits(), networks=networks, seed=seed, epochs=EPOCHS, **options)
        for name, options in OPTIMIZERS.items()
    }


def findings(fresh: TrainedLogRatios, of_loss: Mapping[str, TrainedLogRatios]) -> list[Finding]:
    """Return what is known of the start, and slopes in ln L of final values after training."""
    deepest = fresh.rows[-1]
    assert deepest.limit is not None
    first = of_loss["SGD"]
    out = [
        Finding.of(
            f"L = {DEPTHS[-1]}, before: mean from a fresh readout", deepest.mean_before[0], "limit", deepest.limit.mean
        ),
        Finding.of("before: slope in ln L", first.slope_before, "limit", 0.0),
    ]
    return out + [Finding.of(f"{name}, after: slope in ln L", one.slope_after) for name, one in of_loss.items()]


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Train, print, draw."""
    args = common.arguments(__doc__, "t_trained_gradients.png").parse_args(given)
    fits = simulate(args)
    fresh = resmc.train.log_ratio(fits["SGD"])
    of_loss = {name: resmc.train.log_ratio(one, start="loss") for name, one in fits.items()}
    found = findings(fresh, of_loss)
    fig = common.figure(11.0, 3.4)
    axes = fig.subplots(1, 3)
    drawn = {"SGD, a fresh readout": fresh, **{f"{name}, the loss": one for name, one in of_loss.items()}}
    for ax, (title, one) in zip(axes, drawn.items(), strict=True):
        print(f"{title}\n{one.summary()}\n")
        resmc.plot.plot_trained_log_ratio(one, ax=ax)
        ax.set_title(title)
    common.tell(found)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
