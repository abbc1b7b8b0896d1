r"""A norm stops what residual networks do as they get deeper; where it stands decides what is left.

Branches $f(h) = V \mathrm{relu}(W h)$ with $s^2 = 2$ double $|h|^2$ in each layer. With layer norm ($\epsilon = 0$)

    pre        h + s f(N h)        E|h_L|^2/n = 1 + L exactly
    sandwich   h + s N(f(N h))     E|h_L|^2/n = 1 + 2 L but where a branch is 0, which has no chance
    post       N(h + s f(h))       |h_L|^2/n = 1

and $\mathrm{Var} \log |h_L|^2$ does not grow with $L/n$. Backwards a layer of pre multiplies $|p|^2$ by $1 + 1/(1 + k)$
to leading order in $1/n$, of sandwich by $1 + 2/(1 + 2 k)$ and of post by 1, so that $|p_0|^2/|p_L|^2$ is near $1 + L$,
$1 + 2 L$ and 1; of post what is left is of order $L/n$. Xiong et al. (arXiv 2002.04745, theorem 1) put one norm more
behind the last layer of pre, which divides all gradients by $|h_L|/\sqrt n$: in the last layers they then fall like
$1/\sqrt L$, and those of post do not. Here there is no such norm: divide by $\sqrt{1 + L}$.

    python examples/gallery/z_norms.py [--networks 1.0] [--seed 0] [--output z_norms.png]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import common
import numpy as np
from common import Finding

import resmc
from resmc.models.residual_network import ResidualNetwork
from resmc.theory.facts import facts

CLAIM = "With a layer norm |h_L|² and the gradient grow like L or not at all, Var log |h_L|² not even that (n = 64)"
WIDTH, DEPTHS, NETWORKS = 64, (8, 16, 32, 64, 128), 4000
PLACES = ("pre", "sandwich", "post")
GROWN = {"pre": lambda L: math.log1p(L), "sandwich": lambda L: math.log1p(2.0 * L)}  # of |h_L|^2/n, and of the gradient

Found = dict[str, list[resmc.Simulation]]


def network(place: str, depth: int) -> ResidualNetwork:
    """The network of one place and depth."""
    scaling = resmc.DepthScaling(0.0, math.sqrt(2.0))
    return ResidualNetwork(WIDTH, depth, "v-phi-w", scaling=scaling, norm="layer", norm_at=place, eps=0.0)


def simulate(args: argparse.Namespace) -> Found:
    """Forward and backward, the ends recorded alone."""
    networks = max(round(NETWORKS * args.networks), 1)
    return {
        place: [
            resmc.simulate(
                network(place, depth), networks=networks, seed=args.seed + (35 << 32), gradients=True, layers=[0, depth]
            )
            for depth in DEPTHS
        ]
        for place in PLACES
    }


def findings(sims: Found) -> list[Finding]:
    """Both ends of the deepest networks of each place, beside what is known."""
    found = []
    for place, several in sims.items():
        sim = several[-1]
        L = sim.model.depth
        if place != "post":  # whose |h_L|^2 is n in every network
            kind = "exact" if math.isfinite(facts(sim.model).mean_square([L])[0]) else "limit"
            size = sim.estimate("mean_square")[-1]
            found.append(Finding.of(f"{place}: log E|h_L|²/n, L = {L}", size, kind, GROWN[place](L)))
            for one in (several[0], sim):
                variance = sim_variance(one)
                found.append(Finding.of(f"{place}: n Var log |h_L|², L = {one.model.depth}", variance))
        limit = GROWN[place](L) if place in GROWN else None
        gradient = sim.log_ratio("gradient").final_mean
        found.append(Finding.of(f"{place}: E log |p_0|²/|p_L|², L = {L}", gradient, "limit" if limit else "", limit))
    return found


def sim_variance(sim: resmc.Simulation) -> resmc.Estimate:
    """The variance of the last log-norm, times the width."""
    return WIDTH * sim.estimate("log_norm.variance")[-1]


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "z_norms.png").parse_args(given)
    sims = simulate(args)
    found = findings(sims)
    common.tell(found)
    fig = common.figure(9.0, 3.0)
    size, variance, gradient = fig.subplots(1, 3)
    depths = np.array(DEPTHS)
    for color, (place, several) in zip(("C0", "C1", "C2"), sims.items(), strict=True):
        drawn = {"color": color, "marker": "o", "ms": 3, "ls": "", "label": place}
        for ax, estimates in (
            (size, [one.estimate("mean_square")[-1] for one in several]),
            (gradient, [one.log_ratio("gradient").final_mean for one in several]),
        ):
            values = np.array([float(one.value) for one in estimates])
            ax.errorbar(depths, np.exp(values), np.exp(values) * [float(one.stderr) for one in estimates], **drawn)
        if place in GROWN:
            for ax in (size, gradient):
                ax.plot(depths, [math.exp(GROWN[place](L)) for L in DEPTHS], color=color)
            found_variance = [sim_variance(one) for one in several]
            variance.errorbar(
                depths, [float(v.value) for v in found_variance], [float(v.stderr) for v in found_variance], **drawn
            )
    size.set(xscale="log", yscale="log", xlabel="depth L", ylabel="E |h_L|²/n")
    variance.set(xscale="log", xlabel="depth L", ylabel="n Var log |h_L|²", ylim=(0.0, None))
    gradient.set(xscale="log", yscale="log", xlabel="depth L", ylabel="exp E log |p_0|²/|p_L|²")
    size.legend()
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
