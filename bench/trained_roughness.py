"""``python -m bench.trained_roughness``: is smoothness in depth kept in training, and do gradients grow with the depth?

First networks of the width and depth of Marion, Fermanian, Biau and Vert's figure 8 learn the digits, with weights that
are independent, fractional or smooth over 1000 layers, with ReLU and GELU: exponents of the weights before and after,
and of what was learnt. Then networks of 16 to 1024 layers: slopes in ln L of ln |p_0|^2/|p_L|^2, before and after
training by descent and by Adam. Exits with 1 if a number is not reached. ``--quick`` takes seconds.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import resmc
from resmc import FractionalNoise, ResidualNetwork, SmoothProcess
from resmc.models.processes import Process
from resmc.train import Regularity, TrainedLogRatios, TrainedRoughness

from .asked import Line, between, near, number, options, origin, rows, run

SEED = 0
LAWS: dict[str, tuple[str | Process, float]] = {  # how layers depend on each other, and the exponent of states
    "independent": ("iid", 0.5),
    "H = 0.7": (FractionalNoise(0.7), 0.7),
    "smooth": (SmoothProcess(), 1.0),
}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "Adam": {"optimizer": "adam", "learning_rate": 0.003},
}


@dataclass(frozen=True)
class Scale:
    """How much is trained."""

    width: int
    depth: int
    epochs: int
    depths: tuple[int, ...]
    networks: int = 32


FULL = Scale(30, 1000, 10, (16, 64, 256, 1024))
QUICK = Scale(8, 32, 2, (8, 32))


def trained(law: str | Process, beta: float, activation: str, scale: Scale) -> Regularity:
    """Networks with the critical beta, by Adam, whose step size makes h move as much at every depth and beta."""
    return resmc.train.regularity(
        ResidualNetwork(scale.width, scale.depth, "phi-in"),
        *resmc.train.digits(),
        laws=[law],
        activations=activation,
        networks=scale.networks,
        seed=SEED,
        optimizer="adam",
        learning_rate=0.01 * 64 ** (1.0 - beta),
        rate_exponent=beta - 1.0,
        epochs=scale.epochs,
        progress=False,
    )


def lines(name: str, row: TrainedRoughness, states: float) -> list[Line]:
    """Exponents of the weights that are kept, and of what was learnt."""
    return [
        near(f"{name}: weights, after - before", row.weights.difference, 0.0, 0.02),
        near(f"{name}: what was learnt", row.weights.learnt, states, 0.15),
    ]


def roughness(scale: Scale) -> list[dict[str, Any]]:
    """Train every law and activation; lines and exponents of each."""
    cases = []
    for activation in ("relu", "gelu"):
        for name, (law, states) in LAWS.items():
            began = time.monotonic()
            (row,) = trained(law, states, activation, scale).rows
            label = f"{activation}, {name}"
            exponents = {
                f"{path} {when}": [float(one.value), float(one.stderr)]
                for path, change in (("sums", row.sums), ("weights", row.weights))
                for when, one in (("before", change.before), ("after", change.after), ("learnt", change.learnt))
            }
            cases.append(
                {
                    "name": label,
                    "lines": [asdict(line) for line in lines(label, row, states)],
                    "exponents": exponents,
                    "moved": [float(row.sums.moved.value), float(row.sums.moved.stderr)],
                    "accuracy": [float(row.accuracy.value), float(row.accuracy.stderr)],
                    "seconds": time.monotonic() - began,
                }
            )
            print(f"{label}: done", flush=True)
    return cases


def gradients(scale: Scale) -> dict[str, TrainedLogRatios]:
    """Laws of gradients of the loss at every depth, by optimizer."""
    models = [ResidualNetwork(16, depth, "v-phi-w") for depth in scale.depths]
    found = {}
    for name, chosen in OPTIMIZERS.items():
        fit = resmc.train.fit(
            models, *resmc.train.digits(), networks=scale.networks, seed=SEED, epochs=3, progress=False, **chosen
        )
        found[name] = resmc.train.log_ratio(fit, start="loss")
        print(f"gradients, {name}: done", flush=True)
    return found


def slopes(found: dict[str, TrainedLogRatios]) -> list[Line]:
    """Slopes in ln L: none before training and where descent has trained, and one after Adam."""
    before, descent, adam = found["SGD"].slope_before, found["SGD"].slope_after, found["Adam"].slope_after
    assert before is not None
    assert descent is not None
    assert adam is not None
    return [
        near("gradients, before: slope in ln L", before, 0.0, 0.05),
        near("gradients, SGD: slope in ln L", descent, 0.0, 0.1),
        between("gradients, Adam: slope in ln L", adam, 0.2, 1.0),
    ]


def every_line(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is asked of all cases and of slopes."""
    return [*(line for case in report["cases"] for line in case["lines"]), *report["slopes"]]


def markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    parts = [
        "# Roughness and gradients of trained networks\n",
        f"{origin(report)}, {report['seconds']:.0f} s. Roughness: phi-in, width "
        f"{report['width']}, L = {report['depth']}, digits, Adam, {report['epochs']} epochs; gradients: v-phi-w, width "
        f"16, 3 epochs; {report['networks']} networks each, seed {SEED}.\n",
        *rows(every_line(report)),
    ]
    names = list(report["cases"][0]["exponents"])
    parts += [
        "\nExponents of partial sums over the layers, and of the weights themselves:\n",
        f"| weights | {' | '.join(names)} | moved | accuracy | s |",
        f"|---|{'--:|' * (len(names) + 3)}",
    ]
    for case in report["cases"]:
        each = [number(*case["exponents"][name]) for name in names]
        each += [number(*case["moved"]), number(*case["accuracy"]), f"{case['seconds']:.0f}"]
        parts.append(f"| {case['name']} | {' | '.join(each)} |")
    parts += [
        "\nMeans of ln &#124;p_0&#124;^2/&#124;p_L&#124;^2 of the loss, by depth:\n",
        f"| | {' | '.join(f'L = {depth}' for depth in report['depths'])} |",
        f"|---|{'--:|' * len(report['depths'])}",
    ]
    parts += [
        f"| {name} | {' | '.join(number(*one) for one in values)} |" for name, values in report["gradients"].items()
    ]
    return "\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Train, print the tables, and write them."""
    args = options("trained_roughness", __doc__, "small networks, in seconds").parse_args(arguments)
    scale = QUICK if args.quick else FULL

    def measure() -> dict[str, Any]:
        cases, by_optimizer = roughness(scale), gradients(scale)
        finals = {"before training": [row.mean_before[0] for row in by_optimizer["SGD"].rows]}
        finals |= {name: [row.mean_after[0] for row in one.rows] for name, one in by_optimizer.items()}
        return {
            **asdict(scale),
            "cases": cases,
            "slopes": [asdict(line) for line in slopes(by_optimizer)],
            "gradients": {name: [[float(x.value), float(x.stderr)] for x in one] for name, one in finals.items()},
        }

    return run("trained_roughness", args, measure, markdown, lines=every_line)


if __name__ == "__main__":
    sys.exit(main())
