r"""Balanced ResNets have neither hypoactivation, nor correlated layers, nor a growing output variance.

Signs $s_i$ drawn once for every neuron, $\phi_l(z)_i = ReLU(s_i z_i)$, make the asymmetry $A_l$ symmetric about 0 given
all that came before. So $E F_l = 1/2$, $Corr(A_l, A_m) = 0$ and $\log E|z_l|^2/|z_0|^2 = 0$ exactly, at every width
and depth ($\alpha^2 + \lambda^2 = 1$; `resmc.theory.exact`), and there are z-scores; to vanilla networks none of this
applies.

    python examples/gallery/e_balanced.py [--networks 1.0] [--seed 0] [--output e_balanced.png]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

import common
from common import Finding

import resmc

CLAIM = "Balancing removes all three (n = 100, d = 30)"
NETWORKS = 1_000_000
VARIANTS = ("vanilla", "balanced")


def simulate(args: argparse.Namespace) -> dict[str, resmc.Simulation]:
    """The same network with and without signs."""
    return {v: common.simulate(args, NETWORKS, width=100, depth=30, variant=v) for v in VARIANTS}


def findings(sims: Mapping[str, resmc.Simulation]) -> list[Finding]:
    """For each variant, what is exactly 1/2, 0 and 0 in balanced networks."""
    found = []
    for variant, sim in sims.items():
        kind = "exact" if variant == "balanced" else "exact if balanced"
        fraction, growth = sim.active_fraction[-1], sim.variance_growth().log_second_moment[-1]
        for name, estimate, exact in (
            ("E F_d", fraction, 0.5),
            ("Corr(A_l, A_(l+1))", sim.interlayer_correlations().by_lag[1], 0.0),
            ("log E|z_d|²/|z_0|²", growth, 0.0),
        ):
            found.append(Finding.of(f"{variant}: {name}", estimate, kind, exact))
    return found


def sentence(sims: Mapping[str, resmc.Simulation], found: list[Finding]) -> str:
    """z-scores of each variant against the exact values of balanced networks, the largest with its probability."""
    said = []
    for variant, sim in sims.items():
        mine = [one for one in found if one.name.startswith(variant)]
        largest = max((abs(one.z) for one in mine if math.isfinite(one.z)), default=0.0)
        chance = -math.expm1(len(mine) * math.log1p(-math.erfc(largest / math.sqrt(2.0)))) if largest else 1.0
        shown = ", ".join(f"{one.name.partition(': ')[2]} = {one}" for one in mine)
        said.append(
            f"{sim.networks:,} {variant} networks, n = {sim.model.width}, d = {sim.model.depth}: {shown}; were "
            f"these the true values, a |z| of {largest:.1f} or more among {len(mine)} would have a probability of "
            f"{f'about {chance:.1g}' if chance > 1e-9 else 'less than 1e-9'}."
        )
    return "\n".join(said)


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "e_balanced.png").parse_args(given)
    sims = simulate(args)
    found = findings(sims)
    print(sentence(sims, found))
    fig = common.figure(11.0, 7.0)
    axes = fig.subplots(len(sims), 3, sharey="col")
    for (fractions, correlations, growth), (variant, sim) in zip(axes, sims.items(), strict=True):
        resmc.plot.plot_hypoactivation(sim, ax=fractions)
        resmc.plot.plot_interlayer(sim, ax=correlations)
        resmc.plot.plot_growth(sim, most=16, ax=growth)
        for ax in (fractions, correlations, growth):
            ax.set_title(variant)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
