r"""A deep network is a differential equation, a stochastic one, or neither: its weights over the layers decide.

Cont, Rossier, Xu (arXiv 2212.08199) part deep networks by how weights and their scale depend on depth. Here are the
three, with the number that shows each, and a trend with noise, which has both kinds of term:

- *ordinary*: weights that are smooth in depth, $\beta = 1$: each network tends to its own equation like $L^{-1}$;
- *stochastic*: a smooth trend and independent noise, scaled by $L^{-1}$ and $L^{-1/2}$: with the same trend and the
  same Brownian path, each network tends to its own equation like $L^{-1/2}$;
- *neither*: fractional noise with $H < 1/2$, $\beta = H$, one matrix in each block: $|h_L - h_0|$ stays bounded, while
  the sum of squared steps grows like $L^{1 - 2H}$. An ordinary equation would have no such sum, and Ito's a finite one.

    python examples/gallery/m_three_regimes.py [--networks 1.0] [--seed 0] [--output m_three_regimes.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import common
import numpy as np
from common import Finding
from matplotlib.axes import Axes
from numpy.typing import NDArray

import resmc
from resmc import DepthScaling, FractionalNoise, Mixture, ResidualNetwork, SmoothProcess, Weights
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "Smooth weights make an ODE, a trend with noise an SDE, rough noise neither: exponents in L"
NETWORKS = 64
ODE_DEPTHS, SDE_DEPTHS, ROUGH_DEPTHS = (64, 128, 256), (32, 64, 128), (64, 256, 1024)
HURST = 0.3
SMALL = {"ODE_DEPTHS": (16, 32, 64), "ROUGH_DEPTHS": (16, 64, 256)}


class Regimes(NamedTuple):
    """One of each."""

    ordinary: resmc.OdeLimit
    stochastic: resmc.TrendNoiseLimit
    neither: resmc.QuadraticVariation


def simulate(args: argparse.Namespace) -> Regimes:
    """Each has random numbers of its own."""
    networks = max(round(NETWORKS * args.networks), MIN_NETWORKS)
    seed = args.seed + (50 << 32)
    smooth, rough = Weights(depth=SmoothProcess(0.1)), Weights(depth=FractionalNoise(HURST))
    mixture = Weights(depth=Mixture(SmoothProcess(0.1), FractionalNoise(0.5), betas=(1.0, 0.5)))
    ordinary = ResidualNetwork(10, 1, "phi-out", "tanh", scaling=DepthScaling(1.0), weights=smooth)
    stochastic = ResidualNetwork(
        10, 1, "phi-out", "gelu", scaling=DepthScaling(0.0, inside=True), weights=mixture, bias=0.5
    )
    neither = ResidualNetwork(64, 1, "phi-in", scaling=DepthScaling(HURST, 0.5), weights=rough)
    return Regimes(
        resmc.limit(ordinary, networks=networks, seed=seed, depths=ODE_DEPTHS),
        resmc.limit(stochastic, networks=networks, seed=seed + (1 << 32), depths=SDE_DEPTHS),
        resmc.quadratic_variation(neither, ROUGH_DEPTHS, networks=networks, seed=seed + (2 << 32)),
    )


def findings(found: Regimes) -> list[Finding]:
    """Return the exponents beside those of theory."""
    out = []
    for name, one in (("ODE", found.ordinary), ("SDE", found.stochastic)):
        there = one.convergence
        out.append(Finding.of(f"{name}: distance of h", there.forward_slope, "limit", -there.order))
        out.append(Finding.of(f"{name}: distance of p", there.backward_slope, "limit", -there.backward_order))
    change, variation = found.neither.response
    out.append(Finding.of(f"neither, H = {HURST:g}: change", found.neither.change_slope, "limit", change))
    out.append(Finding.of(f"neither, H = {HURST:g}: variation", found.neither.variation_slope, "limit", variation))
    return out


def draw(ax: Axes, depths: NDArray[np.int64], curves: dict[str, NDArray[np.float64]], title: str) -> None:
    """Draw the geometric means over networks against the depth."""
    for label, values in curves.items():
        ax.loglog(depths, np.exp(np.log(values).mean(axis=1)), "o-", ms=4, label=label)
    ax.set(title=title, xlabel="depth $L$")
    ax.legend(frameon=False)


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "m_three_regimes.png").parse_args(given)
    regimes = simulate(args)
    found = findings(regimes)
    common.tell(found)
    fig = common.figure(10.0, 3.4)
    left, middle, right = fig.subplots(1, 3)
    for ax, one, title in ((left, regimes.ordinary, "ordinary"), (middle, regimes.stochastic, "stochastic")):
        there = one.convergence
        curves = {"|h_L - H(1)|/|H(1)|": there.forward, "|p_0 - P(0)|/|P(0)|": there.backward}
        draw(ax, there.depths, curves, title)
    rough = regimes.neither
    draw(right, rough.depths, {"|h_L - h_0|/|h_0|": rough.change, "sum of squared steps": rough.variation}, "neither")
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
