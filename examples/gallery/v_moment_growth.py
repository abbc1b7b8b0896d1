r"""Output variance grows exponentially in d/n, far beyond where a plain mean sees it.

$\log E|z_d|^2/|z_0|^2$ grows in proportion to $d/n$ in a vanilla ResNet, and not at all in a balanced one. But from
$d/n$ of about 2 on the networks that make this mean are so rare that no plain simulation meets one: it shows too
little, and the more so the deeper. `resmc.moment_growth` takes populations of networks through the layers and resamples
them by $|z|^2$: its products of means are unbiased at any depth, and its error grows like $\sqrt{d/n}$. Beside it stand
the plain mean of as many networks, and the limit $(\lambda^4/n) \sum_{m < d} \sum_{k \le m} K(\alpha^k)$ of Li, Nica,
Roy (arXiv 2106.04013), which lacks corrections of order $1/n$.

    python examples/gallery/v_moment_growth.py [--networks 1.0] [--seed 0] [--output v_moment_growth.png]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import common
import numpy as np
from common import WEIGHT, Finding

import resmc
from resmc.results.estimates import MIN_NETWORKS

CLAIM = "log E|z_d|²/|z_0|² grows in proportion to d/n, up to d/n = 10, where plain means show little of it"
WIDTH, RATIO, SIZE, POPULATIONS = 40, 10, 1024, 256
RATIOS = (1, 2, 5, 10)
Runs = dict[str, resmc.MomentRun]


def simulate(args: argparse.Namespace) -> tuple[Runs, resmc.Simulation]:
    """Populations of either variant, and as many networks of the vanilla one without resampling."""
    count = max(round(POPULATIONS * args.networks), MIN_NETWORKS)
    runs = {}
    for part, variant in enumerate(("vanilla", "balanced")):
        model = resmc.ResNet(WIDTH, RATIO * WIDTH, WEIGHT, WEIGHT, variant)
        seed = args.seed + (90 + part << 32)
        layers = range(0, RATIO * WIDTH + 1, 5)
        runs[variant] = resmc.moment_growth(model, populations=count, size=SIZE, seed=seed, layers=layers)
    plain = resmc.simulate(runs["vanilla"].model, networks=count * SIZE, seed=args.seed + (92 << 32))
    return runs, plain


def limit(run: resmc.MomentRun) -> np.ndarray:
    """Return the limit at a run's layers, at leading order in 1/n."""
    return resmc.theory.variance_growth(run.model, run.layers)


def findings(runs: Runs) -> list[Finding]:
    """Growth at some depths, beside the limit, or exactly 0 of balanced networks."""
    found = []
    for variant, run in runs.items():
        for ratio in RATIOS:
            at = int(np.searchsorted(run.layers, ratio * WIDTH))
            kind, beside = ("limit", limit(run)[at]) if variant == "vanilla" else ("exact", run.exact[at])
            found.append(Finding.of(f"{variant}, d/n = {ratio}", run.log_moment[at], kind, beside))
    return found


def sentence(runs: Runs, plain: resmc.Simulation, found: list[Finding]) -> str:
    """What populations show, and what the plain mean does."""
    run, curve = runs["vanilla"], plain.variance_growth()
    last = float(curve.log_second_moment.value[-1])
    reliable = int(curve.layers[curve.reliable][-1]) / WIDTH if curve.reliable.any() else 0.0
    shown = "; ".join(f"{one.name}: {one}" for one in found)
    return (
        f"log E|z_d|^2/|z_0|^2 at n = {WIDTH} by {run.populations} populations of {run.size} networks ({shown}). "
        f"At d/n = {RATIO} the plain mean of as many networks has {last:.2f}, and an error only up to {reliable:.2g}. "
        f"One population's log product scatters by {run.scatter[-1]:.2f} there."
    )


def draw(args: argparse.Namespace, runs: Runs, plain: resmc.Simulation) -> None:
    """Draw growth against l/n."""
    fig = common.figure(6.0, 4.0)
    ax = fig.add_subplot()
    for variant, run in runs.items():
        x, moment = run.layers / WIDTH, run.log_moment
        (line,) = ax.plot(x, moment.value, label=f"{variant}, resampled by |z|²")
        ax.fill_between(x, *moment.interval(0.95), alpha=0.3, color=line.get_color(), linewidth=0)
    curve = plain.variance_growth()
    ax.plot(curve.layers / WIDTH, curve.log_second_moment.value, ":", color="C3", label="vanilla, plain mean")
    ax.plot(runs["vanilla"].layers / WIDTH, limit(runs["vanilla"]), "k--", linewidth=1, label="vanilla, limit")
    ax.axhline(0.0, color="0.6", linewidth=1, label="balanced, exact")
    ax.set(xlabel="l/n", ylabel=r"$\log\, E|z_l|^2/|z_0|^2$", title=f"width {WIDTH}")
    ax.legend()
    common.save(fig, args.output)


def main(given: Sequence[str] | None = None) -> list[Finding]:
    """Simulate, print, draw."""
    args = common.arguments(__doc__, "v_moment_growth.png").parse_args(given)
    runs, plain = simulate(args)
    found = findings(runs)
    print(sentence(runs, plain, found))
    draw(args, runs, plain)
    return found


if __name__ == "__main__":
    common.run(main)
