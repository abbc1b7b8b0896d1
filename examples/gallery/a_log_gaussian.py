r"""Outputs of a ResNet are log-Gaussian, not Gaussian, already at n = 100 and d = 10.

Given the final log-norm $L_d = \log(|z_d|^2/n)$, the outputs have $\log|z_{out}|^2 = L_d + \log \chi^2_{n_{out}}$
exactly. At infinite width $L_d = 0$; as $d$ and $n$ grow together it is Gaussian, with mean and variance of order
$d/n$ (`resmc.theory.log_norm`; the law of $\log|z_{out}|^2$ is `resmc.theory.output_norm_cdf`). How far either law is
from the simulated one is a Kolmogorov-Smirnov distance.

    python examples/gallery/a_log_gaussian.py [--networks 1.0] [--seed 0] [--output a_log_gaussian.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc

CLAIM = "The outputs are log-Gaussian, not Gaussian (n = 100, d = 10, 10 outputs)"
NETWORKS = 2_000_000


def simulate(args: argparse.Namespace, variant: str = "vanilla") -> resmc.Simulation:
    """LNR's network with ten outputs."""
    return common.simulate(args, NETWORKS, width=100, depth=10, n_out=10, variant=variant)


def findings(sim: resmc.Simulation) -> list[Finding]:
    """The distances of log|z_out|^2 to infinite width and to the log-Gaussian law."""
    law = sim.log_gaussian_fit().output_norm
    return [
        Finding.of("KS to infinite width", law.ks_gaussian, "noise", law.ks_gaussian.noise_floor),
        Finding.of("KS to the log-Gaussian limit", law.ks_log_gaussian, "noise", law.ks_log_gaussian.noise_floor),
    ]


def sentence(sim: resmc.Simulation, found: list[Finding]) -> str:
    """Both distances, and which of them is smaller."""
    infinite, log_gaussian = found
    m = sim.model
    near, far = sorted(found, key=lambda one: one.value)
    name = "log-Gaussian" if near is log_gaussian else "infinite-width"
    return (
        f"At n = {m.width}, d = {m.depth} the infinite-width prediction for log|z_out|^2 of {m.n_out} outputs is off "
        f"by a Kolmogorov-Smirnov distance of {infinite}, the log-Gaussian one by {log_gaussian}: the {name} law is "
        f"{far.value / near.value:.3g} times nearer to {sim.networks:,} simulated {m.variant} networks."
    )


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "a_log_gaussian.png").parse_args(given)
    sim = simulate(args)
    found = findings(sim)
    print(sentence(sim, found))
    fig = common.figure(5.2, 4.0)
    resmc.plot.plot_output(sim, ax=fig.subplots())
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
