"""``python -m bench.ode_distance``: networks against their ordinary equations, numbers asked and reached.

By which power of the depth N Euler's and Heun's distances fall, where weights are smooth in depth and where they are
not; that no distance is above its bound, network by network, and how far below it is; and two examples whose factor is
known. Half an hour on two cores; ``--only`` takes parts, ``--quick`` small networks in seconds. Exits with 1 if
a number is not reached.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from resmc import DepthScaling, Estimate, FractionalNoise, ResidualNetwork, SmoothProcess, Weights
from resmc.ode import Distance, WeightFunction, distance

from .asked import Line, between, near, options, origin, rows, run

SEED = 0


@dataclass(frozen=True)
class Scale:
    """How much is measured: width, depths N, and how many networks, smooth ones and others."""

    width: int
    depths: tuple[int, ...]
    smooth: int
    others: int


FULL = Scale(40, (64, 128, 256, 512, 1024), 32, 64)
QUICK = Scale(6, (64, 128, 256), 32, 32)

TANH: dict[str, dict[str, Any]] = {
    "phi-in, tanh": {"block": "phi-in", "activation": "tanh"},
    "phi-out, tanh": {"block": "phi-out", "activation": "tanh"},
    "v-phi-w, tanh": {"block": "v-phi-w", "activation": "tanh"},
}
RELU: dict[str, dict[str, Any]] = {
    "phi-in, relu": {"block": "phi-in"},
    "v-phi-w, relu": {"block": "v-phi-w"},
}
SMOOTH: dict[str, Any] = {
    "values": SmoothProcess(),
    "increments": SmoothProcess(version="increments"),
    "tied": "tied",
}


def reported(what: str, found: Estimate, said: str = "reported") -> Line:
    """A number of which nothing is asked."""
    return Line(what, said, float(found.value), float(found.stderr), True)


def measured(scale: Scale, fields: dict[str, Any], beta: float, networks: int, **how: Any) -> Distance:
    """Distances of a network with this scaling."""
    given = {"scaling": DepthScaling(beta), **fields}
    model = ResidualNetwork(scale.width, 1, **given)
    return distance(model, scale.depths, networks=networks, seed=SEED, progress=False, **how)


def below(what: str, found: Distance) -> list[Line]:
    """Largest part of its bounds that any network's distance is, and how far the bounds are above it."""
    assert found.euler is not None
    largest = Estimate(np.max(found.euler / found.step_bound), np.nan, found.networks)
    moved = found.euler > 0.0  # networks of a few dead neurons do not move at all
    factors = [one[moved] / found.euler[moved] for one in (found.bound, found.step_bound)]
    logs = [np.log10(np.median(one)) if one.size else np.nan for one in factors]
    lines = [between(f"{what}: largest distance over bound", largest, 0.0, 1.0)]
    for name, log in zip(("bound", "bound by step"), logs, strict=True):
        lines.append(reported(f"{what}: log10 of {name} over distance, median", Estimate(log, np.nan, found.networks)))
    return lines


def smooth(scale: Scale, name: str, version: str) -> list[Line]:
    """Orders of smooth weights at beta = 1: 1 and 2 with tanh, reported with ReLU."""
    fields = {**TANH, **RELU}[name] | {"weights": Weights(depth=SMOOTH[version])}
    found = measured(scale, fields, 1.0, scale.smooth)
    assert found.euler_slope is not None
    assert found.heun_slope is not None
    what = f"{name}, {version}"
    orders = {"Euler": (-found.euler_slope, 1.0), "Heun": (-found.heun_slope, 2.0)}
    lines = []
    for scheme, (order, limit) in orders.items():
        line = f"{what}: order of {scheme}"
        lines.append(near(line, order, limit, 0.05) if name in TANH else reported(line, order))
    return lines + below(what, found)


def inside(scale: Scale) -> list[Line]:
    """Orders with the scaling inside the activation, whose equation depends on the depth."""
    fields = {"block": "phi-out", "activation": "gelu", "weights": Weights(depth=SmoothProcess()), "bias": 0.5}
    found = measured(scale, fields | {"scaling": DepthScaling(1.0, 1.0, True)}, 1.0, scale.smooth)
    assert found.euler_slope is not None
    assert found.heun_slope is not None
    what = "phi-out inside, gelu, values"
    lines = [near(f"{what}: order of Euler", -found.euler_slope, 1.0, 0.05)]
    lines.append(near(f"{what}: order of Heun", -found.heun_slope, 2.0, 0.05))
    return lines + below(what, found)


def critical(scale: Scale, name: str) -> list[Line]:
    """Slopes of independent layers at beta = 1/2, linear interpolation: 0 where branches are not linear in weights.

    With phi-in they are. Then network and equation differ by Ito's correction, of order 1/n, and by a path that falls
    like N^(-1/2): its slope is reported, and so are those of narrow networks, whose slopes are 0 at larger depths.
    """
    found = measured(scale, TANH[name], 0.5, scale.others, tolerance=1e-5)
    assert found.euler_slope is not None
    assert found.heun_slope is not None
    what, slopes = f"{name}, independent, beta = 1/2, linear", {"Euler": found.euler_slope, "Heun": found.heun_slope}
    asked = scale.width >= FULL.width and name != "phi-in, tanh"
    lines = []
    for scheme, slope in slopes.items():
        line = f"{what}: slope of {scheme}"
        lines.append(near(line, slope, 0.0, 0.05) if asked else reported(line, slope))
    return lines + below(what, found)


def rough(scale: Scale, name: str, depth: str, interpolation: str) -> list[Line]:
    """Orders at beta = 1 where weights are not smooth in depth: reported."""
    process: Any = {"independent": "iid", "H = 0.3": FractionalNoise(0.3), "H = 0.7": FractionalNoise(0.7)}[depth]
    fields = {**TANH, **RELU}[name] | {"weights": Weights(depth=process)}
    tolerance = 1e-5 if name in RELU else 1e-7
    found = measured(scale, fields, 1.0, scale.others, tolerance=tolerance, interpolation=interpolation)
    assert found.euler_slope is not None
    assert found.heun_slope is not None
    what = f"{name}, {depth}, beta = 1, {interpolation}"
    known = {"linear": "0.5 with V and W", "constant": "1.1 to 1.5"}[interpolation]
    said = f"reported (known: {known})" if depth == "independent" else "reported"
    return [
        reported(f"{what}: order of Euler", -found.euler_slope, said),
        reported(f"{what}: order of Heun", -found.heun_slope),
        *below(what, found),
    ]


def examples(scale: Scale) -> list[Line]:
    """Factors of the bound over the distance where they are known: dx/dt = a t, and dx/dt = L x."""

    def still(value: Any) -> WeightFunction:
        return WeightFunction(lambda t: np.asarray(value), lambda t: np.zeros_like(value), 0.0)

    v, zero = np.ones(3) / np.sqrt(3.0), np.zeros((3, 3))
    model = ResidualNetwork(3, 1, "phi-in", "tanh", scaling=DepthScaling(1.0))
    functions = {"V": still(zero), "b": WeightFunction(lambda t: 2.0 * t * v, lambda t: 2.0 * v, 0.0)}
    found = distance(model, scale.depths, networks=1, weights=functions, progress=False)
    assert found.euler is not None
    lines = [near("dx/dt = 2t: bound over distance", _farthest(found.bound / found.euler, 1.0), 1.0, 1e-3)]
    for L in (0.5, 2.0, 6.0):
        model = ResidualNetwork(1, 1, "phi-in", "linear", scaling=DepthScaling(1.0))
        found = distance(model, scale.depths, networks=1, weights={"V": still([[L]])}, progress=False)
        assert found.euler is not None
        factor = np.expm1(L) / L
        whole, by_step = (one[-1:] / found.euler[-1:] for one in (found.bound, found.step_bound))
        what = f"dx/dt = {L:g} x, N = {scale.depths[-1]}"
        lines.append(near(f"{what}: bound over distance", _farthest(whole, factor), float(factor), 0.1 * float(factor)))
        lines.append(near(f"{what}: bound by step over distance", _farthest(by_step, 1.0), 1.0, 0.1))
    return lines


def _farthest(values: Any, target: float) -> Estimate:
    """Return the value farthest from a target."""
    flat = np.ravel(values)
    return Estimate(flat[np.argmax(np.abs(flat - target))], np.nan, flat.size)


def jobs() -> dict[str, Callable[[Scale], list[Line]]]:
    """Return all jobs by name."""
    found: dict[str, Callable[[Scale], list[Line]]] = {"examples": examples}
    for version in SMOOTH:
        names = [*TANH, *RELU] if version == "values" else [*TANH]
        found |= {f"smooth, {name}, {version}": partial(smooth, name=name, version=version) for name in names}
    found["smooth, inside"] = inside
    found |= {f"critical, {name}": partial(critical, name=name) for name in TANH}
    for name in ("v-phi-w, tanh", "phi-in, tanh", "phi-in, relu"):
        for interpolation in ("linear", "constant"):
            what = f"rough, {name}, independent, {interpolation}"
            found[what] = partial(rough, name=name, depth="independent", interpolation=interpolation)
    for depth in ("H = 0.3", "H = 0.7"):
        found[f"rough, phi-in, tanh, {depth}"] = partial(
            rough, name="phi-in, tanh", depth=depth, interpolation="linear"
        )
    return found


def shown(value: float, stderr: float) -> str:
    """A number with its error, if it has one: most are orders, which two digits of errors suffice for."""
    return f"{value:.4g} ± {stderr:.2g}" if np.isfinite(stderr) else f"{value:.4g}"


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    missed = sum(not row["reached"] for row in report["lines"])
    lines = [
        "# Distance to ordinary equations\n",
        f"{origin(report)}. Width {report['width']}, depths {report['depths'][0]} to {report['depths'][-1]}, "
        f"{report['smooth']} networks with smooth weights and {report['others']} with others, seed {SEED}, "
        f"{report['seconds']:.0f} s. {len(report['lines'])} numbers, {missed} of them not reached.\n",
        *rows(report["lines"], shown),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write it."""
    parser = options("ode_distance", __doc__, "small networks, in seconds")
    parser.add_argument("--only", default="", help="parts of names of jobs, separated by semicolons")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args(arguments)
    scale = QUICK if args.quick else FULL
    wanted = [part.strip() for part in args.only.split(";") if part.strip()]
    chosen = {name: job for name, job in jobs().items() if not wanted or any(part in name for part in wanted)}

    def measure() -> dict[str, Any]:
        lines: list[Line] = []
        began = time.monotonic()
        with ProcessPoolExecutor(args.processes) as pool:
            for name, future in [(name, pool.submit(job, scale)) for name, job in chosen.items()]:
                lines += future.result()
                print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return {**asdict(scale), "lines": [asdict(line) for line in lines]}

    return run("ode_distance", args, measure, markdown, words=["--only", args.only] if wanted else [])


if __name__ == "__main__":
    sys.exit(main())
