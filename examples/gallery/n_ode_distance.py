r"""A deep network with smooth weights is a discretised equation, one with independent weights is not, at any depth.

Each network is compared with an ordinary equation of its own, $dx/dt = N s\, f(x, \theta(t))$, of which its $N$ layers
are Euler's steps, and of which Heun's steps with the same weights are better ones. Where the weights $\theta$ are
smooth functions of $t = k/N$ and $\beta = 1$, the largest $|x_k - x(k/N)|$ falls like $N^{-1}$ (Euler) and $N^{-2}$
(Heun), and Euler's stays below the bound of Sander, Ablin, Peyré (arXiv 2205.14612), network by network. With
independent weights, $\beta = 1/2$ and $\theta$ on straight lines between the layers' weights, it does not fall, and the
bound says nothing.

    python examples/gallery/n_ode_distance.py [--networks 1.0] [--seed 0] [--output n_ode_distance.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc
from resmc import DepthScaling, ResidualNetwork, SmoothProcess, Weights
from resmc.ode import Distance
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "Smooth weights make a network a discretised ODE, independent ones do not (n = 16): distance ~ N^s"
NETWORKS = {"smooth": 64, "independent": 192}
DEPTHS = (64, 128, 256)


def simulate(args: argparse.Namespace) -> dict[str, Distance]:
    """Each has random numbers of its own."""
    smooth = Weights(depth=SmoothProcess(0.1))
    fields = {"block": "v-phi-w", "activation": "tanh"}
    models = {
        "smooth": ResidualNetwork(16, 1, scaling=DepthScaling(1.0), weights=smooth, **fields),
        "independent": ResidualNetwork(16, 1, scaling=DepthScaling(0.5), **fields),
    }
    return {
        name: resmc.ode.distance(
            model,
            DEPTHS,
            networks=max(round(NETWORKS[name] * args.networks), MIN_NETWORKS),
            seed=args.seed + (60 + i << 32),
            tolerance=1e-9 if name == "smooth" else 1e-4,
        )
        for i, (name, model) in enumerate(models.items())
    }


def findings(found: dict[str, Distance]) -> list[Finding]:
    """The exponents beside their limits."""
    out = []
    for (name, one), limits in zip(found.items(), ((-1.0, -2.0), (0.0, 0.0)), strict=True):
        for scheme, limit in zip(one.schemes, limits, strict=True):
            out.append(Finding.of(f"{name}, {scheme}: exponent", getattr(one, f"{scheme}_slope"), "limit", limit))
    return out


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Measure, print, draw."""
    args = common.arguments(__doc__, "n_ode_distance.png").parse_args(given)
    distances = simulate(args)
    found = findings(distances)
    for name, one in distances.items():
        print(f"{name} weights\n{one.summary()}\n")
    common.tell(found)
    fig = common.figure(9.0, 3.8)
    for ax, (name, one) in zip(fig.subplots(1, 2), distances.items(), strict=True):
        resmc.plot.plot_ode_distance(one, ax=ax)
        ax.set_title(f"{name} weights")
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
