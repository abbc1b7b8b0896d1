"""``python -m bench.general``: the general kernels beside the specialised ones, gradients, activations, and torch.

All on one thread, by turns, medians of ratios with their range. ``kernels``: what general kernels take on networks that
the specialised ones can do as well (displacements are followed besides), v-phi-w, which draws twice, over phi-in,
gradients over the forward pass, tanh and gelu over relu. Layers of a gradient are kept for a segment
(`resmc.engine.lowering.SEGMENT_BYTES`): at width 192 a network of 20 layers is one, at width 40 one of 100; longer ones
are computed once more. ``peers``: torch's loop by the same trick, eager or compiled and with the best of several
batches, forwards and with gradients, and weights written out with autograd. A peer's answer is checked before it is
timed. Exits with 1 if a number is not reached. ``--quick`` takes few networks.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

import resmc
from resmc import Estimate, ResidualNetwork, ResNet

from .asked import Line, bare, between, near, number, options, origin, rows, run
from .harness import Spread, autotune, by_turns, calibrated, ratios
from .peers.problem import Floats, Problem

HALF = math.sqrt(0.5)
ROOT_TWO = math.sqrt(2.0)


@dataclass(frozen=True)
class Scale:
    """How much is measured: width and depth; short and long networks of gradients; neuron updates of one timing."""

    width: int
    depth: int
    short: tuple[tuple[int, int], ...]
    long: tuple[tuple[int, int], ...]
    updates: int
    checked: int  # networks of a peer whose answer is looked at
    rounds: int
    seconds: float  # of each of a peer's options


FULL = Scale(192, 200, ((192, 20), (40, 100)), ((192, 200), (40, 400)), 1 << 26, 2048, 11, 0.3)
QUICK = Scale(32, 16, ((32, 8),), ((32, 200),), 1 << 20, 512, 5, 0.02)


def network(block: str, activation: str, width: int, depth: int) -> ResidualNetwork:
    """Return alpha h + lam sqrt(2) branch, alpha^2 = lam^2 = 1/2: what relu keeps the size of."""
    scaling = (HALF * (1.0 if block == "phi-out" else ROOT_TWO),) * depth
    return ResidualNetwork(width, depth, block, activation, carry=HALF, scaling=scaling)


def simulated(model: Any, networks: int, **asked: Any) -> resmc.Simulation:
    """Simulate networks on one thread, first and last layer."""
    return resmc.simulate(
        model, networks=networks, threads=1, layers=[0, model.depth], correlations=False, progress=False, **asked
    )


def timed(scale: Scale, model: Any, **asked: Any) -> partial[resmc.Simulation]:
    """Return a run of a whole number of packs."""
    networks = max(32, scale.updates // (model.width * model.depth) // 32 * 32)
    return partial(simulated, model, networks, **asked)


def compared(scale: Scale, what: str, above: Callable[[], Any], below: Callable[[], Any], high: float) -> Line:
    """Time two runs by turns."""
    found = ratios(*by_turns([above, below], scale.rounds))
    return quotient(what, found, 0.0, high)


def quotient(what: str, found: Spread, low: float, high: float) -> Line:
    """Return a line whose name has the range."""
    return between(f"{what} ({found.min:.3g} to {found.max:.3g})", bare(found.median), low, high)


def kernels(scale: Scale) -> list[Line]:
    """Ratios of times of ours."""
    n, d = scale.width, scale.depth
    of = partial(timed, scale)
    phi_in = of(network("phi-in", "relu", n, d), displacement=True)
    lines = []
    for variant in ("vanilla", "balanced"):
        resnet = ResNet(n, d, HALF, HALF, variant=variant)
        what = f"general over specialised, {variant}, {n} x {d}"
        lines.append(compared(scale, what, of(resnet, displacement=True), of(resnet), 1.05))
    for block in ("phi-out", "v-phi-w"):
        what, high = f"{block} over phi-in, relu forwards, {n} x {d}", 1.05 if block == "phi-out" else 2.1
        lines.append(compared(scale, what, of(network(block, "relu", n, d)), phi_in, high))
    for activation in ("tanh", "gelu"):
        for block in ("phi-in", "v-phi-w"):
            model = network(block, activation, n, d)
            relu = phi_in if block == "phi-in" else of(network(block, "relu", n, d))
            lines.append(compared(scale, f"{activation} over relu, {block}, {n} x {d}", of(model), relu, 1.25))
    for shapes, high in ((scale.short, 2.6), (scale.long, 3.3)):
        for width, depth in shapes:
            for block in ("phi-in", "phi-out", "v-phi-w"):
                model = network(block, "relu", width, depth)
                what = f"gradients over forwards, {block}, relu, {width} x {depth}"
                there = of(model, gradients=True)
                lines.append(compared(scale, what, there, of(model, displacement=True), high))
    return lines


def same(what: str, theirs: Floats, found: Estimate) -> Line:
    """Compare a peer's mean with ours."""
    error = math.hypot(float(found.stderr), float(np.std(theirs, ddof=1)) / math.sqrt(len(theirs)))
    return near(what, bare((float(np.mean(theirs)) - float(found.value)) / error), 0.0, 4.0)


def peers(scale: Scale) -> list[Line]:
    """Time of torch over ours, for as many networks."""
    import torch

    from .peers import torch_residual

    torch.set_num_threads(1)
    problem, lines = Problem(scale.width, scale.depth), []
    for block, gradients in (("phi-in", False), ("phi-in", True), ("v-phi-w", False), ("v-phi-w", True)):
        inner, what = block == "v-phi-w", f"{block}, {'gradients' if gradients else 'forwards'}"
        model = network(block, "relu", problem.width, problem.depth)
        asked = {"gradients": True} if gradients else {"displacement": True}
        ours = timed(scale, model, **asked)
        name = "gradient" if gradients else "growth"
        expected = ours().log_ratio(name).final_mean

        loop = partial(torch_residual.projected, problem, seed=7, inner=inner, gradients=gradients)
        axes = {"compiled": (False, True), "batch": (64, 256)}
        best, _ = autotune(partial(with_options, loop), axes, scale.seconds)
        tuned = partial(loop, **best)
        checked = f"mean log quotient, torch's loop against resmc, {what}, z"
        lines.append(same(checked, tuned(scale.checked), expected))
        networks = calibrated(tuned, best["batch"], scale.seconds)
        theirs, mine = by_turns([partial(tuned, networks), ours], scale.rounds)
        said = "compiled" if best["compiled"] else "eager"
        title = f"torch's loop by the same trick ({said}, batch {best['batch']}) over resmc, {what}"
        lines.append(quotient(title, per_network(theirs, networks, mine, ours), 4.0, math.inf))
        if gradients:
            weights = partial(torch_residual.explicit, problem, seed=7, inner=inner)
            lines.append(same(f"the same with autograd, {what}, z", weights(networks=64), expected))
            theirs, mine = by_turns([partial(weights, networks=4), ours], 5)
            title = f"weights in batches and autograd over resmc, {what}"
            low = 100.0 if scale.width >= 192 else 0.0
            lines.append(quotient(title, per_network(theirs, 4, mine, ours), low, math.inf))
    return lines


def with_options(loop: Callable[..., Floats], networks: int, options: dict[str, Any]) -> Floats:
    """Run a peer as `autotune` asks."""
    return loop(networks, **options)


def per_network(theirs: list[float], networks: int, mine: list[float], ours: partial[resmc.Simulation]) -> Spread:
    """Ratios of the time that a network takes."""
    count = ours.args[1]
    return ratios([t / networks for t in theirs], [t / count for t in mine])


PARTS = {"kernels": kernels, "peers": peers}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    lines = [
        "# General kernels, gradients and activations\n",
        f"{origin(report)}, {report['seconds']:.0f} s, one thread. Medians over {report['rounds']} rounds, and their "
        "range; autograd over 5.\n",
        *rows(report["lines"], partial(number, digits=4)),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write it."""
    parser = options("general", __doc__, "few networks, in seconds")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of kernels, peers")
    args = parser.parse_args(arguments)
    unknown = [part for part in args.parts.split(",") if part not in PARTS]
    if unknown:
        parser.error(f"--parts={args.parts} is not allowed: they are {', '.join(PARTS)}")
    scale = QUICK if args.quick else FULL

    def measure() -> dict[str, Any]:
        lines = [asdict(line) for part in args.parts.split(",") for line in PARTS[part](scale)]
        return {"size": asdict(scale), "rounds": scale.rounds, "lines": lines}

    if args.parts == ",".join(PARTS):
        return run("general", args, measure, markdown)
    name = f"general-{args.parts.replace(',', '-')}"
    return run("general", args, measure, markdown, words=["--parts", args.parts], name=name)


if __name__ == "__main__":
    sys.exit(main())
