r"""Gradient descent keeps the weights of a linear residual network smooth in depth, and they tend to an equation's.

Networks $x_{k+1} = x_k + A_k x_k/N$ are trained from $A_k = 0$ towards $\prod_k (I + A_k/N) = B$, with a step size
proportional to $N$. The largest $|A^{2N}_{2k} - A^N_k|$ over all layers and all times falls like $1/N$: weights tend to
functions of $k/N$, uniformly in time, and the network to $dx/dt = A(t)\, x$, although nothing in the loss asks for it
(Sander, Ablin, Peyré, arXiv 2205.14612). It is the start that does: from independent weights in every layer the same
targets are reached, and the distance does not fall.

    python examples/gallery/o_linear_descent.py [--networks 1.0] [--seed 0] [--output o_linear_descent.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
import numpy as np
from common import Finding
from scipy.linalg import expm

import resmc
from resmc.ode import LinearDescent
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "Trained linear networks tend to an equation like 1/N from zeros, and not from independent weights: orders in N"
TARGETS = 64
WIDTH = 4
DEPTHS = (32, 64, 128, 256)
TIME = 25.0
STARTS = {"zeros": 0.0, "independent weights": 0.5}  # standard deviations of all entries


def simulate(args: argparse.Namespace) -> dict[str, LinearDescent]:
    """Train towards the same targets, exponentials of random matrices, from each start."""
    count = max(round(TARGETS * args.networks), MIN_NETWORKS)
    rng = np.random.default_rng((args.seed, 31))
    targets = np.stack([expm(0.6 * one / WIDTH**0.5) for one in rng.standard_normal((count, WIDTH, WIDTH))])
    out = {}
    for name, size in STARTS.items():
        start = (lambda t, s=size: s * rng.standard_normal(targets.shape)) if size else None
        out[name] = resmc.ode.linear_descent(targets, DEPTHS, time=TIME, start=start)
    return out


def findings(runs: dict[str, LinearDescent]) -> list[Finding]:
    """The orders in N of the distance, beside 1 from zeros."""
    found = []
    for name, run in runs.items():
        beside = ("limit", 1.0) if run.zero_start else ()
        found.append(Finding.of(f"{name}: distance of N and 2N", -run.distance_slope, *beside))
    return found


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Train, print, draw."""
    args = common.arguments(__doc__, "o_linear_descent.png").parse_args(given)
    runs = simulate(args)
    found = findings(runs)
    for name, run in runs.items():
        print(f"from {name}\n{run.summary()}\n")
    common.tell(found)
    fig = common.figure(9.0, 6.6)
    for row, run in zip(fig.subplots(2, 2), runs.values(), strict=True):
        for ax, quantity in zip(row, ("distance", "weights"), strict=True):
            resmc.plot.plot_linear_descent(run, quantity, ax=ax)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
