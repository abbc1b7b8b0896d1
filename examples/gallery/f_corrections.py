r"""The limits hold up to corrections in powers of 1/n; with these removed, they can be tested.

At a fixed ratio $d/n$ a quantity of the last layer is $c_0 + c_1/n + c_2/n^2 + ...$, where $c_0$ is the limit as $d$
and $n$ grow together (`resmc.theory.infinite_depth_and_width`, for correlations
`resmc.theory.interlayer_correlation`). Weighted fits over several widths (`resmc.extrapolate`) give $c_0$ with an
error, which tests the limit, and $c_1$, which the paper does not.

    python examples/gallery/f_corrections.py [--networks 1.0] [--seed 0] [--output f_corrections.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
from common import Finding

import resmc

CLAIM = "Corrections are polynomials in 1/n: the fits' values at 1/n = 0 (d = n = 32 to 192)"
NETWORKS = 250_000
WIDTHS = (32, 48, 64, 96, 128, 192)  # alpha^d is negligible beside 1/n at all of them
QUANTITIES = {
    "log_norm.mean": "E L_d",
    "log_norm.variance": "Var L_d",
    "log_norm.skewness": "skewness of L_d",
    "interlayer.lag1": "Corr(A_l, A_(l+1))",
}


def simulate(args: argparse.Namespace, variant: str = "vanilla") -> list[resmc.Simulation]:
    """As deep as wide."""
    return [common.simulate(args, NETWORKS, part=n, width=n, depth=n, variant=variant) for n in WIDTHS]


def fits(sims: list[resmc.Simulation]) -> dict[str, resmc.Extrapolation]:
    """For each quantity."""
    return {name: resmc.extrapolate(sims, quantity) for quantity, name in QUANTITIES.items()}


def findings(found: dict[str, resmc.Extrapolation]) -> list[Finding]:
    """For each quantity its value at 1/n = 0 beside the limit, and the first correction."""
    out = []
    for name, fit in found.items():
        out.append(Finding.of(name, fit.value, "extrapolated; limit", fit.limit))
        out.append(Finding(f"c₁ of {name}", float(fit.coefficients[1]), float(fit.covariance[1, 1]) ** 0.5))
    return out


def sentence(found: dict[str, resmc.Extrapolation]) -> str:
    """Value, limit, first correction and goodness of each fit."""
    numbers, shown = findings(found), []
    for (name, fit), value, first in zip(found.items(), numbers[::2], numbers[1::2], strict=True):
        degree = len(fit.coefficients) - 1
        shown.append(f"{name} = {value}, c_1 = {first.number}, degree {degree}, p-value {fit.p_value:.2g}")
    listed = "; ".join(shown)
    return f"Fits in 1/n over the widths n = d = {', '.join(map(str, WIDTHS))} give at 1/n = 0: {listed}."


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "f_corrections.png").parse_args(given)
    found = fits(simulate(args))
    print(sentence(found))
    fig = common.figure(8.6, 8.0)
    for ax, fit in zip(fig.subplots(2, 2).flat, found.values(), strict=True):
        resmc.plot.plot_extrapolation(fit, ax=ax)
    common.save(fig, args.output)
    return findings(found)


if __name__ == "__main__":
    common.run(main)
