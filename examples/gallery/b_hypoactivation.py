r"""Hypoactivation: in a deep vanilla ResNet fewer than half of the ReLUs fire.

With $\rho_k = \alpha^k$ and $\alpha^2 + \lambda^2 = 1$, the active fraction $F_l$ and the asymmetry
$A_l = 2 |\phi(z_l)|^2/|z_l|^2 - 1$ have at leading order in $1/n$ the means
$1/2 - (\lambda^2/4n) \sum_{k \le l} \rho_k K'(\rho_k)$ and $-(\lambda^2/2n) \sum_{k \le l} \rho_k J'(\rho_k)$
(`resmc.theory.hypoactivation`). Infinite width says $1/2$ and $0$.

    python examples/gallery/b_hypoactivation.py [--networks 1.0] [--seed 0] [--output b_hypoactivation.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc

CLAIM = "Fewer than half of the ReLUs fire (n = 100, d = 30, last layer)"
NETWORKS = 2_000_000


def simulate(args: argparse.Namespace, variant: str = "vanilla") -> resmc.Simulation:
    """Deep enough for the last layers to be alike."""
    return common.simulate(args, NETWORKS, width=100, depth=30, variant=variant)


def findings(sim: resmc.Simulation) -> list[Finding]:
    """What the active fraction lacks to 1/2, and the asymmetry, of the last layer."""
    hypo = sim.hypoactivation()
    fraction, limit = hypo.active_fraction[-1], hypo.theory.active_fraction[-1]
    return [
        Finding("E F_d - 1/2", float(fraction.value) - 0.5, float(fraction.stderr), "limit", float(limit) - 0.5),
        Finding.of("E A_d", hypo.asymmetry[-1], "limit", hypo.theory.asymmetry[-1]),
    ]


def sentence(sim: resmc.Simulation, found: list[Finding]) -> str:
    """How many fire, and on which side of one half that is."""
    missing, asymmetry = found
    errors = missing.value / missing.stderr
    side = common.word(errors, "fewer than half", "more than half", "not clearly different from half")
    return (
        f"At layer {sim.model.depth} of {sim.networks:,} {sim.model.variant} networks of width {sim.model.width} the "
        f"fraction of ReLUs that fire, less 1/2, is {missing}: {side} ({errors:+.1f} standard errors). The "
        f"asymmetry E A_d is {asymmetry}."
    )


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "b_hypoactivation.png").parse_args(given)
    sim = simulate(args)
    found = findings(sim)
    print(sentence(sim, found))
    fig = common.figure(8.0, 3.8)
    for ax, quantity in zip(fig.subplots(1, 2), ("active_fraction", "asymmetry"), strict=True):
        resmc.plot.plot_hypoactivation(sim, quantity=quantity, ax=ax)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
