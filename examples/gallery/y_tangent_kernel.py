r"""The tangent kernel of deep networks is random: its second moment grows like $e^{5 d/n}$, times a constant.

For one input of a fully connected ReLU network $\mathbb{E} K$ is the infinite-width kernel at every width, and
$\mathbb{E} K^2/(\mathbb{E} K)^2$ is known exactly. As $d$ and $n$ grow with $t = d/n$ it tends to
$e^{5t} (1/3 + 2/(9t) - 1/(27 t^2)) + e^{-t}/(27 t^2)$; Hanin and Nica (arXiv 1909.05989) have $e^{5t}$ up to a
constant.

    python examples/gallery/y_tangent_kernel.py [--networks 1.0] [--seed 0] [--output y_tangent_kernel.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc

CLAIM = "E K²/(E K)² of the tangent kernel is the exact value, near e^(5d/n) (1/3 + ..) (fully connected ReLU, n = 64)"
WIDTH, NETWORKS = 64, 60_000
DEPTHS = (4, 8, 16, 32)
DEEPEST = 8  # beyond, networks that are too rare to be met rule the mean of K^2


def simulate(args: argparse.Namespace) -> list[resmc.Simulation]:
    """Networks of several depths."""
    return [
        common.simulate(
            args, NETWORKS, part=96 + part, width=WIDTH, depth=depth, alpha=0.0, lam=1.0, tangent_kernel=True
        )
        for part, depth in enumerate(DEPTHS)
    ]


def findings(sims: Sequence[resmc.Simulation]) -> list[Finding]:
    """Means, and second moments of networks that are not too deep for that, beside what is exact."""
    found = []
    for sim in sims:
        kernel, exact = sim.tangent_kernel(), resmc.theory.kernel_moments(sim.model)
        name = f"d/n = {sim.model.ratio:g}"
        found.append(Finding.of(f"{name}: E K", kernel.total[0, 0], "exact", exact.mean))
        if sim.model.depth <= DEEPEST:
            ratio = kernel.second_moment_ratio[0, 0]
            found.append(Finding.of(f"{name}: E K²/(E K)²", ratio, "exact", exact.second_moment_ratio))
    return found


def sentence(found: Sequence[Finding]) -> str:
    """What the moments are."""
    shown = "; ".join(f"{one.name}: {one}" for one in found)
    return f"The tangent kernel of fully connected ReLU networks of width {WIDTH}: {shown}."


def draw(args: argparse.Namespace, sims: Sequence[resmc.Simulation]) -> None:
    """Draw mean and second moment against d/n."""
    fig = common.figure(8.5, 3.4)
    for ax, quantity in zip(fig.subplots(1, 2), ("mean", "second_moment_ratio"), strict=True):
        resmc.plot.plot_tangent_kernel(sims, quantity=quantity, ax=ax)
    common.save(fig, args.output)


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "y_tangent_kernel.png").parse_args(given)
    sims = simulate(args)
    found = findings(sims)
    print(sentence(found))
    draw(args, sims)
    return found


if __name__ == "__main__":
    common.run(main)
