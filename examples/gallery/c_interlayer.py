r"""Layers of a vanilla ResNet correlate, and the further apart they are, the less.

The asymmetries $A_l = 2 |\phi(z_l)|^2/|z_l|^2 - 1$ of two layers $k$ apart have the correlation $J(\alpha^k)/3$ at
leading order in $1/n$ (`resmc.theory.interlayer_correlation`, with `resmc.theory.J`), for $\alpha^2 + \lambda^2 = 1$:
the larger $\alpha$, the longer a layer is remembered. At infinite width the network's own layers play no role at all.

    python examples/gallery/c_interlayer.py [--networks 1.0] [--seed 0] [--output c_interlayer.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
import numpy as np
from common import Finding

import resmc

CLAIM = "Layers k apart correlate like J(α^k)/3 (n = 100, d = 30, α² = 1/2)"
NETWORKS = 400_000
SQUARES = (0.25, 0.5, 0.8)  # alpha^2
SHOWN = 1  # which of them the heat map and the numbers are of
LAGS = (1, 2, 5, 10)


def simulate(args: argparse.Namespace, variant: str = "vanilla") -> list[resmc.Simulation]:
    """One simulation for each alpha."""
    return [
        common.simulate(args, NETWORKS, width=100, depth=30, alpha=s**0.5, lam=(1.0 - s) ** 0.5, variant=variant)
        for s in SQUARES
    ]


def findings(sims: list[resmc.Simulation]) -> list[Finding]:
    """Some lags, averaged over the layers, beside J(alpha^k)/3 (also for networks that do not follow it)."""
    inter = sims[SHOWN].interlayer_correlations()
    limit = resmc.theory.J(sims[SHOWN].model.alpha ** np.array(LAGS, float)) / 3.0
    return [Finding.of(f"k = {k}", inter.by_lag[k], "limit", at) for k, at in zip(LAGS, limit, strict=True)]


def sentence(sims: list[resmc.Simulation], found: list[Finding]) -> str:
    """The correlations by lag, and whether they decay."""
    values, errors = [one.value for one in found], [one.stderr for one in found]
    steps = [(a - b) / (s + t) for a, b, s, t in zip(values, values[1:], errors, errors[1:], strict=False)]
    decay = all(step > common.CLEAR for step in steps)
    shown = ", ".join(f"{one} at {one.name}" for one in found)
    m = sims[SHOWN].model
    return (
        f"In {sims[SHOWN].networks:,} {m.variant} networks with n = {m.width}, d = {m.depth}, alpha = {m.alpha:.4f} "
        f"the correlation of layers k apart is {shown}, the limit being J(alpha^k)/3: "
        f"{'it decays from each of these lags to the next' if decay else 'no clear decay'}."
    )


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "c_interlayer.png").parse_args(given)
    sims = simulate(args)
    found = findings(sims)
    print(sentence(sims, found))
    fig = common.figure(8.6, 3.8)
    left, right = fig.subplots(1, 2)
    resmc.plot.plot_interlayer(sims[SHOWN], ax=left)
    left.set_title(rf"$\alpha^2 = {SQUARES[SHOWN]:g}$")
    curves = {rf"$\alpha^2 = {s:g}$": sim for s, sim in zip(SQUARES, sims, strict=True)}
    resmc.plot.plot_interlayer_by_lag(curves, max_lag=20, ax=right)
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
