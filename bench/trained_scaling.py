"""``python -m bench.trained_scaling``: how weights of trained networks scale with the depth, up to 1024 layers.

The task, width and blocks of Cohen, Cont, Rossier and Xu, with tanh and with ReLU: exponents of the weights before and
after training and of what was learnt, what is asked of them, and the regime they indicate. Two cases train scale
factors from weights near 0, as the authors do, and stand beside the powers of L that their programs have. Exits with 1
if a number that is asked for is not reached. ``--quick`` takes small depths; ``--only tanh`` a part.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import resmc
from resmc import DepthScaling, ResidualNetwork
from resmc.analyses.scaling import SHOWN
from resmc.analyses.scaling_statistics import KINDS
from resmc.experiments.train.scaling import TIMES
from resmc.train import TrainedScaling

from .asked import Line, near, number, options, origin, rows, run

WIDTH, EXAMPLES, SEED = 10, 1280, 0
EVERY = {**TIMES, "unscaled": "after, A_k alone", "factors": "after, s_k"}


@dataclass(frozen=True)
class Case:
    """What is trained: the activation, steps L^(-beta), and scale factors "fixed", "shared" or of "layers".

    With trained factors weights start near 0, and Adam's step is the same at all depths.
    """

    activation: str
    beta: float
    scales: str = "fixed"


CASES = {
    "tanh, beta 0.8": Case("tanh", 0.8),
    "tanh, beta 0.5": Case("tanh", 0.5),
    "relu, beta 1": Case("relu", 1.0),
    "tanh, one factor trained": Case("tanh", 1.0, "shared"),
    "relu, factors trained": Case("relu", 1.0, "layers"),
}
# Powers of L by which plots_fully_connected.py of the authors divides, of A_k for tanh and of s_k A_k for ReLU.
THEIRS = {"shared": ("unscaled", -0.2), "layers": ("after", -0.5)}


@dataclass(frozen=True)
class Scale:
    """How much is trained: depths, networks of each, epochs."""

    depths: tuple[int, ...]
    networks: int
    epochs: int


FULL = Scale((16, 32, 64, 128, 256, 512, 1024), 32, 25)
QUICK = Scale((8, 16, 32), 4, 5)


def trained(case: Case, scale: Scale) -> TrainedScaling:
    """Networks of all depths, trained by Adam."""
    scaling = DepthScaling(case.beta)
    how: dict[str, Any] = {"learning_rate": 0.03, "rate_exponent": case.beta - 1.0}
    bias = 0.1
    if case.scales != "fixed":  # biases are larger than weights by the root of the width, as the authors have them
        how, bias = {"learning_rate": 0.002, "scales": case.scales, "start": 1e-4}, 1.0
    model = ResidualNetwork(WIDTH, 1, "phi-out", case.activation, scaling=scaling, bias=bias)
    x, y = resmc.train.ode_task(EXAMPLES, seed=SEED, dimension=WIDTH)
    return resmc.train.scaling(
        model,
        x,
        y,
        scale.depths,
        networks=scale.networks,
        seed=SEED,
        optimizer="adam",
        epochs=scale.epochs,
        batch=64,
        ends="identity",
        progress=False,
        **how,
    )


def lines(name: str, case: Case, found: TrainedScaling) -> list[Line]:
    """Exponents of independent weights of one size, and of a trend that adds up to the same at every depth.

    Of trained factors it is the product that adds up, and s_k A_k has the size 1/L at the start.
    """
    sums = near(f"{name}: before, sums of noise", found.before.noise_hurst, 0.5, 0.05)
    if case.scales == "fixed":
        first, trend = near(f"{name}: before, largest layer", found.before.size_exponent, 0.0, 0.05), case.beta - 1.0
    else:
        first, trend = near(f"{name}: before, root of squares", found.before.root_square_exponent, -0.5, 0.05), -1.0
    return [first, sums, near(f"{name}: learnt, trend", found.learnt.trend_exponent, trend, 0.1)]


def exponents(found: TrainedScaling) -> dict[str, dict[str, Any]]:
    """Every exponent (value and standard error) and the regime, by time."""
    names = [*(f"{kind}_exponent" for kind in KINDS), "noise_hurst", "trend_sum", "noise_sum"]
    out: dict[str, dict[str, Any]] = {}
    for moment in EVERY:
        of = getattr(found, moment)
        if of is None:
            continue
        each = {name: [float(getattr(of, name).value), float(getattr(of, name).stderr)] for name in names}
        out[moment] = {**each, "regime": of.regime, "sentence": of.sentence}
    return out


def measured(name: str, scale: Scale) -> dict[str, Any]:
    """Train one case; its lines, exponents, test losses by depth, and seconds."""
    began, case = time.monotonic(), CASES[name]
    found = trained(case, scale)
    return {
        "name": name,
        **asdict(case),
        "lines": [asdict(line) for line in lines(name, case, found)],
        "exponents": exponents(found),
        "loss": [[float(one.value), float(one.stderr)] for one in found.loss],
        "kept": found.kept,
        "seconds": time.monotonic() - began,
    }


def every_line(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is asked of all cases."""
    return [line for case in report["cases"] for line in case["lines"]]


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    parts = [
        "# Scaling of trained weights\n",
        f"{origin(report)}. phi-out, width {WIDTH}, steps L^(-beta), L = "
        f"{', '.join(map(str, report['depths']))}, {report['networks']} networks; the equation's task, "
        f"{EXAMPLES} examples, Adam, {report['epochs']} epochs, learning rate 0.03 L^(beta - 1), or with trained "
        f"factors 0.002 at all depths, from weights near 0; seed {SEED}, {report['seconds']:.0f} s.\n",
        *rows(every_line(report)),
    ]
    for case in report["cases"]:
        by_depth = "; ".join(number(*one) for one in case["loss"])
        parts += [
            f"\n## {case['name']}\n",
            f"networks that failed at no depth: {case['kept']}; test losses by depth {by_depth}; "
            f"{case['seconds']:.0f} s.\n",
        ]
        moments = list(case["exponents"])
        if case["scales"] in THEIRS:
            moment, theirs = THEIRS[case["scales"]]
            here = number(*case["exponents"][moment]["size_exponent"])
            of = "s_k A_k" if moment == "after" else "A_k"
            parts.append(f"The authors' programs take {of} to be of size L^{theirs}: max |{of}| has L^({here}) here.\n")
        parts += [
            f"| exponent of | {' | '.join(EVERY[moment] for moment in moments)} |",
            "|---" + "|--:" * len(moments) + "|",
        ]
        shown = {f"{kind}_exponent": SHOWN[kind].replace("|", "&#124;") for kind in KINDS}
        for key, words in {**shown, "noise_hurst": "sums of noise, h"}.items():
            each = [number(*case["exponents"][moment][key]) for moment in moments]
            parts.append(f"| {words} | {' | '.join(each)} |")
        regimes = [case["exponents"][moment]["regime"] if moment in TIMES else "" for moment in moments]
        parts.append(f"| regime | {' | '.join(regimes)} |\n")
        parts += [f"- {words}: {case['exponents'][moment]['sentence']}." for moment, words in TIMES.items()]
    return "\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Train, print the tables, and write them."""
    parser = options("trained_scaling", __doc__, "small depths, in seconds")
    parser.add_argument("--only", default="", help="part of a case's name")
    args = parser.parse_args(arguments)
    scale = QUICK if args.quick else FULL
    names = [name for name in CASES if args.only in name]
    if not names:
        parser.error(f"no case is called {args.only!r}: there are {'; '.join(CASES)}")

    def measure() -> dict[str, Any]:
        return {**asdict(scale), "cases": [measured(name, scale) for name in names]}

    words = ["--only", args.only] if args.only else []
    return run("trained_scaling", args, measure, markdown, words=words, lines=every_line)


if __name__ == "__main__":
    sys.exit(main())
