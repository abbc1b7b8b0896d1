"""``python -m bench.tangent_kernel``: several inputs and the tangent kernel: a public table, and what they cost.

The table is an independent reproduction of arXiv 2508.11522: fully connected, 3 hidden ReLU layers of width n, no bias,
weights N(0, 2), z = W a/sqrt(fan-in), f = w.a_3/sqrt(n), the kernel of two inputs in R^2 summed over all four matrices
with gradients with respect to these weights; 5e6 networks. In resmc the last hidden layer's outgoing weights are those
of a third residual layer without a skip, of which f is a neuron (in law: the readout's average of them, of weights
r/sqrt(n) with E |r|^2/n = 1): ``ResNet(n, 3, alpha=0, lam=1)`` with inputs sqrt(2) x, whose parameters have variance 1:
its kernel, without the readout's, is twice the table's. Its off-diagonal shifts come without errors; the same networks
with all weights written out, in torch, are held against ours beside (explicit weights: -6.09 +- 0.06% at width 20).

Costs are of one thread, by turns: m inputs over one, the tangent kernel over gradients, torch's batched loop by the
same trick, and dense weights in batches with autograd; of each peer the answer is checked before it is timed. The loop
makes 2048 networks: of 512, what a simulation costs whatever its size takes a twelfth of the time. Exits with 1 if a
number is not reached. ``--quick`` takes few networks.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

import resmc
from resmc import Estimate, ResNet

from .asked import Line, bare, between, near, number, options, origin, rows, run
from .harness import Spread, by_turns, ratios
from .peers.problem import Problem

INPUTS = ((-0.9895229, -0.5992492), (-0.1787748, 2.2536829))
INFINITE = 2.6765
DIAGONAL = (2.6776, 0.0014)  # at width 20, with its standard error
SHIFTS = {20: -6.42, 80: -1.34}  # of the off-diagonal entry, in % of the infinite width's
SHIFT_ERROR = 0.1  # a bound for what the table rounds and its own standard error, in %
GROUPS = 32  # runs whose scatter gives the table's errors
HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Scale:
    """How much is measured: networks of the table by width, seconds it may take; size of the costs, rounds."""

    networks: dict[int, int]
    seconds: float
    width: int
    depth: int
    count: int  # networks of a cost
    dense: int  # networks of the dense peer
    rounds: int


FULL = Scale({20: 1 << 23, 80: 1 << 21}, 30.0, 192, 64, 1 << 13, 16, 9)
QUICK = Scale({20: 1 << 17, 80: 1 << 16}, 30.0, 32, 8, 1 << 10, 8, 5)


def hidden_layers(width: int, networks: int) -> tuple[Estimate, np.ndarray]:
    """Return the table's kernel, (2, 2), and that of infinite width.

    Two of the parts of resmc's kernel are added, which depend on each other: errors are those of 32 runs.
    """
    model, x = ResNet(width, 3, alpha=0.0, lam=1.0), math.sqrt(2.0) * np.array(INPUTS)
    found, each = [], networks // GROUPS
    for group in range(GROUPS):
        sim = resmc.simulate(
            model, inputs=x, tangent_kernel=True, networks=each, first_network=group * each, seed=width,
            layers=[0, 3], correlations=False, progress=False,
        )  # fmt: skip
        kernel = sim.tangent_kernel()
        found.append((kernel.residual.value + kernel.first_layer.value) / 2.0)
    error = np.std(found, axis=0, ddof=1) / math.sqrt(GROUPS)
    limit = (kernel.infinite_width.residual + kernel.infinite_width.first_layer) / 2.0
    return Estimate(np.mean(found, axis=0), error, np.asarray(GROUPS)), limit


def table(scale: Scale) -> list[Line]:
    """Both entries at both widths, and how long they take with all threads."""
    began, lines = time.perf_counter(), []
    for width, networks in scale.networks.items():
        mean, limit = hidden_layers(width, networks)
        own = float(mean[0, 0].stderr)
        if width == 20:
            lines.append(near("infinite width, diagonal", bare(limit[0, 0]), INFINITE, 1e-4))
            bound = 3.0 * math.hypot(DIAGONAL[1], own)
            lines.append(near("diagonal at width 20", mean[0, 0], DIAGONAL[0], bound))
            lines.append(between("its standard error over the table's", bare(own / DIAGONAL[1]), 0.0, 1.0))
        z = (float(mean[0, 0].value) - limit[0, 0]) / own
        lines.append(near(f"diagonal at width {width} against the infinite width's, z", bare(z), 0.0, 4.0))
        shift = 100.0 * (mean[0, 1] / limit[0, 1] - 1.0)
        asked = SHIFT_ERROR + 3.0 * float(shift.stderr)
        lines.append(near(f"off-diagonal shift at width {width}, %", shift, SHIFTS[width], asked))
    lines.append(between("seconds", bare(time.perf_counter() - began), 0.0, scale.seconds))
    return lines


def cosines(m: int) -> list[list[float]]:
    """Gram matrix of m inputs of size 1: cosines 1/2 to the next, less to those beyond."""
    return [[0.5 ** abs(a - b) for b in range(m)] for a in range(m)]


def ours(scale: Scale, networks: int, **asked: Any) -> resmc.Simulation:
    """Simulate networks of the costs, first and last layer, on one thread."""
    model = ResNet(scale.width, scale.depth, HALF, HALF)
    return resmc.simulate(
        model, networks=networks, threads=1, layers=[0, scale.depth], correlations=False, progress=False, **asked
    )


def costs(scale: Scale) -> list[Line]:
    """Time of m = 2 and 8 inputs over that of one, and of the tangent kernel of one over gradients."""
    runs: dict[str, Callable[[], Any]] = {
        "one": lambda: ours(scale, scale.count, displacement=True),
        "m = 2": lambda: ours(scale, scale.count, gram=cosines(2)),
        "m = 8": lambda: ours(scale, scale.count // 4, gram=cosines(8)),
        "gradients": lambda: ours(scale, scale.count, gradients=True),
        "kernel": lambda: ours(scale, scale.count, tangent_kernel=True),
    }
    taken = dict(zip(runs, by_turns(list(runs.values()), scale.rounds), strict=True))
    slower = [4.0 * seconds for seconds in taken["m = 8"]]
    return [
        _quotient("m = 2 over m = 1", ratios(taken["m = 2"], taken["one"]), 0.0, 2.6),
        _quotient("m = 8 over m = 1", ratios(slower, taken["one"]), 0.0, 32.0),
        _quotient("kernel of one input over gradients", ratios(taken["kernel"], taken["gradients"]), 0.0, 1.1),
    ]


def peers(scale: Scale) -> list[Line]:
    """Time of torch over ours, on one thread each."""
    import torch

    from .peers import torch_joint

    torch.set_num_threads(1)
    problem = Problem(scale.width, scale.depth)
    theirs = torch_joint.hidden_layers(INPUTS, 20, scale.networks[20] // 8, 7)
    small, _ = hidden_layers(20, scale.networks[20] // 4)
    lines = [_same("off-diagonal at width 20, explicit weights against resmc, z", theirs, small[0, 1])]
    networks = scale.count // 4
    for m in (2, 8):
        factor = torch_joint.start(cosines(m))
        theirs = torch_joint.projected(problem, networks, 7, factor=factor)
        sim = ours(scale, networks, gram=cosines(m))
        lines.append(_same(f"cosine at m = {m}, torch against resmc, z", theirs, sim.angles().cosine[-1, 0, 1]))
        seconds = by_turns(
            [
                lambda factor=factor: torch_joint.projected(problem, networks, 7, factor=factor),
                lambda m=m: ours(scale, networks, gram=cosines(m)),
            ],
            scale.rounds,
        )
        lines.append(_quotient(f"torch's loop by the same trick over resmc, m = {m}", ratios(*seconds), 4.0, math.inf))
    factor, many = torch_joint.start(cosines(2)), scale.count // 4
    theirs = torch_joint.explicit_kernels(problem, 4 * scale.dense, 7, factor=factor)
    kernel = ours(scale, many, gram=cosines(2), tangent_kernel=True).tangent_kernel()
    lines.append(_same("kernel, torch's autograd against resmc, z", theirs[:, 1], _residual(kernel)))
    seconds = by_turns(
        [
            lambda: torch_joint.explicit_kernels(problem, scale.dense, 7, factor=factor),
            lambda: ours(scale, many, gram=cosines(2), tangent_kernel=True),
        ],
        scale.rounds,
    )
    per_network = [a / scale.dense * many for a in seconds[0]]
    what = f"weights in batches and autograd over resmc, width {scale.width}"
    lines.append(_quotient(what, ratios(per_network, seconds[1]), 50.0 if scale.width >= 192 else 0.0, math.inf))
    return lines


def _residual(kernel: Any) -> Estimate:
    """Return the entry (0, 1) of the layers' part, of parameters of variance 1."""
    return kernel.residual[0, 1]


def _same(what: str, theirs: np.ndarray, found: Estimate) -> Line:
    """Compare a peer's mean with ours."""
    error = math.hypot(float(found.stderr), float(np.std(theirs, ddof=1)) / math.sqrt(len(theirs)))
    return near(what, bare((float(np.mean(theirs)) - float(found.value)) / error), 0.0, 4.0)


def _quotient(what: str, found: Spread, low: float, high: float) -> Line:
    return between(f"{what} ({found.min:.3g} to {found.max:.3g})", bare(found.median), low, high)


PARTS = {"table": table, "costs": costs, "peers": peers}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a table."""
    lines = [
        "# Several inputs and the tangent kernel\n",
        f"{origin(report)}, {report['seconds']:.0f} s. Costs: width {report['width']}, depth {report['depth']}, "
        f"medians over {report['rounds']} rounds.\n",
        *rows(report["lines"], partial(number, digits=5)),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the table, and write it."""
    parser = options("tangent_kernel", __doc__, "few networks, in seconds")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of table, costs, peers")
    args = parser.parse_args(arguments)
    unknown = [part for part in args.parts.split(",") if part not in PARTS]
    if unknown:
        parser.error(f"--parts={args.parts} is not allowed: they are {', '.join(PARTS)}")
    scale = QUICK if args.quick else FULL

    def measure() -> dict[str, Any]:
        lines = [asdict(line) for part in args.parts.split(",") for line in PARTS[part](scale)]
        return {"width": scale.width, "depth": scale.depth, "rounds": scale.rounds, "lines": lines}

    return run("tangent_kernel", args, measure, markdown)


if __name__ == "__main__":
    sys.exit(main())
