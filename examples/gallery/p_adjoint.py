r"""Residual networks train without stored states where they are deep enough, and with Heun's steps in fewer layers.

The memory-free adjoint recovers each state $x_k$ from $x_{k+1}$ by the same step with the opposite sign, and takes the
gradient there. With weights that are smooth in depth that gradient is off by $O(1/N)$ for the residual network itself,
which makes Euler's steps, and by much less for Heun's. Classifiers of scikit-learn's digits, of which the residual
layers alone are trained, start from such weights: with autograd all of them learn, whatever the depth; with the adjoint
those that are deep enough do (Sander, Ablin, Peyré, arXiv 2205.14612, who train a small convolutional network on
CIFAR-10). A step of Heun's takes two branches, so that fewer layers are not less work. What is kept for the backward
pass grows with $N$ for autograd, and is $x_0$ and $x_N$ for the adjoint.

    python examples/gallery/p_adjoint.py [--networks 1.0] [--seed 0] [--output p_adjoint.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import common
import torch
from common import Finding

import resmc
from resmc import DepthScaling, ResidualNetwork, SmoothProcess, Weights
from resmc.ode import AdjointErrors, Success
from resmc.plot import style
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "With the adjoint Heun's steps train in fewer layers than Euler's (n = 16, digits)"
NETWORKS = 64
ERRORS_AT = (16, 64, 128, 256)
TRAINED_AT = (2, 3, 4, 6)
KEPT_AT = (16, 64, 256)
INPUTS = 64  # of a pass whose memory is counted
MODEL = ResidualNetwork(
    16, 1, "v-phi-w", "tanh", scaling=DepthScaling(1.0, 4.0), weights=Weights(depth=SmoothProcess(0.5))
)


def simulate(args: argparse.Namespace) -> tuple[AdjointErrors, Success]:
    """Errors of gradients, and what comes of training with them."""
    networks = max(round(NETWORKS * args.networks), MIN_NETWORKS)
    errors = resmc.ode.adjoint_errors(
        MODEL, ERRORS_AT, dtypes="float64", networks=networks, seed=args.seed + (51 << 32)
    )
    trained = resmc.ode.success(
        MODEL, TRAINED_AT, networks=networks, seed=args.seed + (52 << 32), steps=80, batch=32, learning_rate=0.3
    )
    return errors, trained


def kept(depth: int, backward: str) -> float:
    """Return what one network keeps for its backward pass besides its parameters, in KiB."""
    net = replace(MODEL, depth=depth).to_torch(scheme="heun", backward=backward)
    parameters = {one.untyped_storage().data_ptr() for one in net.parameters()}
    found: dict[int, torch.Tensor] = {}

    def pack(one: torch.Tensor) -> torch.Tensor:
        found[one.untyped_storage().data_ptr()] = one
        return one

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        out = net(torch.linspace(-1.0, 1.0, INPUTS, dtype=torch.float64)[:, None])
    assert out.requires_grad
    return sum(one.untyped_storage().nbytes() for place, one in found.items() if place not in parameters) / 2**10


def draw_memory(ax: Any) -> None:
    """Draw what is kept against N, and print it."""
    for backward, colour, look in (("autograd", style.SOFT, "s--"), ("adjoint", style.DATA, "o-")):
        sizes = [kept(depth, backward) for depth in KEPT_AT]
        ax.plot(KEPT_AT, sizes, look, color=colour, ms=3.5, lw=0.9, label=backward)
        print(f"kept by {backward} at N = {KEPT_AT[-1]}, {INPUTS} inputs: {sizes[-1]:.0f} KiB")
    ax.set(xscale="log", yscale="log", xlabel="depth $N$", ylabel="kept for the backward pass (KiB)")
    ax.set_xticks(KEPT_AT, list(map(str, KEPT_AT)), minor=False)
    ax.set_xticks([], minor=True)
    ax.legend(loc="center right", frameon=False, fontsize="small")


def findings(errors: AdjointErrors, trained: Success) -> list[Finding]:
    """Orders of the gradient's error in N, and how often a scheme needs fewer layers than the other."""
    orders = [
        Finding.of(f"{name}: order in N of the gradient's error", -errors.gradient_slope(scheme, "float64"), "limit", n)
        for scheme, name, n in (("euler", "Euler", 1.0), ("heun", "Heun", 3.0))
    ]
    return [
        *orders,
        Finding.of("networks where Heun needs fewer layers", trained.heun_needs_fewer),
        Finding.of("networks where Euler needs fewer layers", trained.euler_needs_fewer),
    ]


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Train, print, draw."""
    args = common.arguments(__doc__, "p_adjoint.png").parse_args(given)
    errors, trained = simulate(args)
    found = findings(errors, trained)
    print(f"{trained.summary()}\n")
    common.tell(found)
    fig = common.figure(12.0, 3.6)
    left, middle, right = fig.subplots(1, 3)
    resmc.plot.plot_adjoint_errors(errors, ax=left)
    resmc.plot.plot_success(trained, ax=middle)
    draw_memory(right)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
