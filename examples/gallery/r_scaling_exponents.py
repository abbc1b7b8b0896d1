r"""What is learnt is smooth in depth, and the noise of the start stays: the two exponents decide the limit.

Networks $h_{k+1} = h_k + L^{-\beta} \tanh(A_k h_k + b_k)$ of several depths learn where an equation takes a point
(Cohen, Cont, Rossier, Xu, arXiv 2105.12245, who train the factor too, as ``scales="shared"`` does; their programs take
$A_k$ to be of size $L^{-0.2}$). All depths learn the same, so what is learnt adds up to the same: it has a trend of
size $L^{\beta - 1}$, for either $\beta$ here. Weights start as independent noise of one size, and training leaves that
where it was. Its sum over the layers falls like $L^{1/2 - \beta}$: with $\beta = 0.8$ to nothing, and the limit is an
ordinary equation, with $\beta = 1/2$ it stays, and the limit is a stochastic one.

    python examples/gallery/r_scaling_exponents.py [--networks 1.0] [--seed 0] [--output r_scaling_exponents.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc.results.estimates import MIN_NETWORKS
from resmc.train import TrainedScaling

CLAIM = "Trained tanh networks: a trend of size L^(β - 1) is learnt, and the noise of the start stays: exponents in L"
NETWORKS, EPOCHS, WIDTH = 48, 12, 10
DEPTHS = (16, 32, 64, 128, 256)
BETAS = (0.8, 0.5)
SMALL = {"DEPTHS": (8, 16, 32, 64, 128)}


def simulate(args: argparse.Namespace) -> dict[float, TrainedScaling]:
    """Train networks of all depths, which learn alike, with each exponent of the scaling."""
    x, y = resmc.train.ode_task(1280, seed=args.seed, dimension=WIDTH)
    found = {}
    for beta in BETAS:
        model = ResidualNetwork(WIDTH, 1, "phi-out", "tanh", scaling=DepthScaling(beta), bias=0.1)
        found[beta] = resmc.train.scaling(
            model,
            x,
            y,
            DEPTHS,
            networks=max(round(NETWORKS * args.networks), MIN_NETWORKS),
            seed=args.seed + (53 << 32),
            ends="identity",
            optimizer="adam",
            learning_rate=0.03,
            rate_exponent=beta - 1.0,
            epochs=EPOCHS,
        )
    return found


def findings(runs: dict[float, TrainedScaling]) -> list[Finding]:
    """Return exponents: of the trend that is learnt, and of what the noise adds up to before and after."""
    found = []
    for beta, run in runs.items():
        found.append(Finding.of(f"β = {beta:g}: trend learnt", run.learnt.trend_exponent, "limit", beta - 1.0))
        for moment, of in (("before", run.before), ("after", run.after)):
            found.append(Finding.of(f"β = {beta:g}, {moment}: sum of the noise", of.noise_sum, "limit", 0.5 - beta))
    return found


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Train, print, draw."""
    args = common.arguments(__doc__, "r_scaling_exponents.png").parse_args(given)
    runs = simulate(args)
    found = findings(runs)
    fig = common.figure(9.0, 3.8)
    for ax, (beta, run) in zip(fig.subplots(1, 2), runs.items(), strict=True):
        print(f"{run.summary()}\n")
        resmc.plot.plot_scaling_exponents(run, ax=ax)
        ax.set_title(rf"$\beta$ = {beta:g}, after: {run.after.regime}")
    for one in found:
        print(f"{one.name}: {one}")
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
