r"""Weights that are fractional noise over the layers add up to paths of the roughness that was asked for.

The sum of an entry over $m$ layers has the variance $m^{2H}$, exactly, for every $H$ in (0, 1): smoother than a random
walk above 1/2, rougher below (Marion, Fermanian, Biau, Vert, arXiv 2206.06929, figure 6). Measured are the exponents
$H$ between sums over 10 layers and over all 1000, of the 2 x 20 x 20 entries of each of some networks.

    python examples/gallery/k_fractional_paths.py [--networks 1.0] [--seed 0] [--output k_fractional_paths.png]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

import common
import numpy as np
from common import Finding
from numpy.typing import NDArray

import resmc
from resmc.engine.weights import WeightSource

CLAIM = "Fractional weights have paths of the exponent asked for (L = 1000)"
NETWORKS = 64  # for each exponent
HURST = (0.05, 0.2, 0.5, 0.8, 0.97)
SHOWN = (0.2, 0.5, 0.8)
WIDTH, DEPTH, SHORT = 20, 1000, 10


def paths(hurst: float, networks: int, seed: int) -> NDArray[np.float64]:
    """Return sums of entries over the layers, (networks, DEPTH, entries)."""
    weights = resmc.Weights(depth=resmc.FractionalNoise(hurst))
    model = resmc.ResidualNetwork(WIDTH, DEPTH, "v-phi-w", weights=weights)
    drawn = WeightSource(model, seed).draw(range(networks), 0, DEPTH)
    both = np.concatenate([drawn.outer.reshape(networks, DEPTH, -1), drawn.inner.reshape(networks, DEPTH, -1)], axis=2)
    return np.cumsum(both, axis=1, dtype=np.float64)


def exponent(sums: NDArray[np.float64]) -> tuple[float, float]:
    """Return H from the mean squares of sums over SHORT and over DEPTH layers, and its standard error."""
    short, whole = (np.mean(sums[:, m - 1] ** 2, axis=1) for m in (SHORT, DEPTH))  # by network
    scale = 0.5 / math.log(DEPTH / SHORT)
    value = scale * math.log(whole.mean() / short.mean())
    linear = scale * (whole / whole.mean() - short / short.mean())
    return value, float(linear.std(ddof=1)) / math.sqrt(len(sums))


def simulate(args: argparse.Namespace) -> dict[float, NDArray[np.float64]]:
    """Return sums by exponent; each has random numbers of its own."""
    networks = max(round(NETWORKS * args.networks), 8)
    return {hurst: paths(hurst, networks, args.seed + (30 + i << 32)) for i, hurst in enumerate(HURST)}


def findings(found: Mapping[float, NDArray[np.float64]]) -> list[Finding]:
    """Return the measured exponents."""
    return [Finding(f"H = {hurst:g}", *exponent(sums), "exact", hurst) for hurst, sums in found.items()]


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Draw weights, print, draw figures."""
    args = common.arguments(__doc__, "k_fractional_paths.png").parse_args(given)
    drawn = simulate(args)
    found = findings(drawn)
    common.tell(found)
    fig = common.figure(9.0, 2.8)
    for ax, hurst in zip(fig.subplots(1, len(SHOWN)), SHOWN, strict=True):
        ax.plot(np.arange(1, DEPTH + 1), drawn[hurst][0, :, :3], lw=0.8)
        ax.set(title=f"H = {hurst:g}", xlabel="layer", ylabel="sum of an entry" if hurst == SHOWN[0] else "")
    common.save(fig, args.output)
    return found


if __name__ == "__main__":
    common.run(main)
