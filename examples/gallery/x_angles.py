r"""Two inputs come closer at every layer, at a finite width faster than at infinite width.

In a fully connected ReLU network the angle of two inputs shrinks like $3\pi/l$ at infinite width, where it is a number.
At width $n$ it is random: the logarithm of $\sin^2$ of a small angle does a walk with the steps
$\log(\chi^2_{K-1}/\chi^2_K)$, $K$ binomial, whose mean of about $-2/n$ takes over once the angle is small. Angles of
$10^{-6}$ and less keep their digits, because the difference of the inputs is carried along by itself.

    python examples/gallery/x_angles.py [--networks 1.0] [--seed 0] [--output x_angles.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc

CLAIM = "Two inputs collapse onto each other, at finite width exponentially (fully connected ReLU, n = 50)"
WIDTH, DEPTH, NETWORKS = 50, 200, 20_000
ANGLES = (1.5, 1e-6)


def simulate(args: argparse.Namespace) -> list[resmc.Simulation]:
    """Two inputs at a wide and at a small angle."""
    model = {"width": WIDTH, "depth": DEPTH, "alpha": 0.0, "lam": 1.0}
    layers = range(0, DEPTH + 1, 5)
    return [
        common.simulate(args, NETWORKS, part=94 + part, angle=angle, layers=layers, **model)
        for part, angle in enumerate(ANGLES)
    ]


def findings(sims: Sequence[resmc.Simulation]) -> list[Finding]:
    """Means and variance of log sin^2 at the last layer."""
    wide, small = (sim.angles() for sim in sims)
    limit = float(wide.infinite_width.log_sine_squared[-1, 0, 1])
    law = resmc.theory.small_angle(sims[1].model, [DEPTH])
    return [
        Finding.of(f"E log sin², from {ANGLES[0]}", wide.log_sine_squared[-1, 0, 1], "limit", limit),
        Finding.of("E log sin², from 10⁻⁶", small.log_sine_squared[-1, 0, 1], "exact", small.small_angle[-1, 0, 1]),
        Finding.of("Var log sin², from 10⁻⁶", small.log_sine_squared_variance[-1, 0, 1], "exact", law.variance[0]),
    ]


def sentence(found: Sequence[Finding]) -> str:
    """What the angles have become."""
    shown = "; ".join(f"{one.name}: {one}" for one in found)
    return f"After {DEPTH} layers of width {WIDTH}: {shown}."


def draw(args: argparse.Namespace, sims: Sequence[resmc.Simulation]) -> None:
    """Draw log sin^2 by layer, from both angles."""
    fig = common.figure(8.5, 3.4)
    for ax, sim, angle in zip(fig.subplots(1, 2), sims, ANGLES, strict=True):
        resmc.plot.plot_angles(sim, quantity="log_sine_squared", ax=ax)
        ax.set_title(f"inputs at {angle:g} rad, width {WIDTH}")
    common.save(fig, args.output)


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "x_angles.png").parse_args(given)
    sims = simulate(args)
    found = findings(sims)
    print(sentence(found))
    draw(args, sims)
    return found


if __name__ == "__main__":
    common.run(main)
