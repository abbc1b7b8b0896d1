r"""Training keeps the roughness of weights over the layers, and what it learns is as rough as the states are.

Networks of two activations learn the digits from weights that are independent, fractional with $H = 0.7$, or smooth
over the layers, each with the exponent $\beta$ that keeps $h_L$ of order 1 (Marion, Fermanian, Biau, Vert, arXiv
2206.06929, figure 8, look at one weight against $k/L$). Roughness is the exponent of mean square increments over 1, 2
and 4 layers, with the error of independent networks: 0 for noise and 1 for a smooth function of $k/L$. Smooth weights
stay smooth, and noise stays noise. What is learnt of $V_k$ is a sum of $p_{k+1} \sigma(h_k)^T$, and so it is as rough
as $h$ and $p$ are over the layers: a random walk from independent weights, of exponent $H$ from fractional ones, smooth
from smooth ones.

    python examples/gallery/s_smoothness.py [--networks 1.0] [--seed 0] [--output s_smoothness.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc
from resmc import FractionalNoise, ResidualNetwork, SmoothProcess
from resmc.results.estimates import MIN_NETWORKS
from resmc.train import Regularity

CLAIM = "Smooth weights stay smooth in training, and what is learnt is as rough as the states (n = 16, L = 64, digits)"
NETWORKS, EPOCHS = 64, 5
DEPTH = 64
HURST = 0.7
LAWS = {"iid": 0.5, FractionalNoise(HURST): HURST, SmoothProcess(): 1.0}  # and the exponents of states
NAMES = ("independent", f"H = {HURST:g}", "smooth")


def simulate(args: argparse.Namespace) -> Regularity:
    """Train networks of every activation and law."""
    return resmc.train.regularity(
        ResidualNetwork(16, DEPTH, "phi-in"),
        *resmc.train.digits(),
        laws=tuple(LAWS),
        networks=max(round(NETWORKS * args.networks), MIN_NETWORKS),
        seed=args.seed + (53 << 32),
        optimizer="adam",
        learning_rate=0.01,
        epochs=EPOCHS,
    )


def findings(found: Regularity) -> list[Finding]:
    """Return the exponent of smooth weights and its change, and exponents of what was learnt, as those of states."""
    out = []
    for activation in ("relu", "gelu"):
        smooth = found.row(activation, SmoothProcess())
        before, change = smooth.weights.before, smooth.weights.difference
        out.append(Finding.of(f"{activation}: smooth weights, before", before, "exact", smooth.expected_weights))
        out.append(Finding.of(f"{activation}: smooth weights, after - before", change))
        for name, (law, states) in zip(NAMES, LAWS.items(), strict=True):
            learnt = found.row(activation, law).weights.learnt
            out.append(Finding.of(f"{activation}: learnt from {name} weights", learnt, "limit", states))
    return out


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Train, print, draw."""
    args = common.arguments(__doc__, "s_smoothness.png").parse_args(given)
    regularity = simulate(args)
    found = findings(regularity)
    print(f"{regularity.summary()}\n")
    common.tell(found)
    fig = common.figure(12.0, 3.4)
    axes = fig.subplots(1, 4, width_ratios=(1.6, 1.0, 1.0, 1.0))
    resmc.plot.plot_regularity(regularity, ax=axes[0])
    for ax, law in zip(axes[1:], LAWS, strict=True):
        resmc.plot.plot_weight_path(regularity.row("relu", law), ax=ax)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
