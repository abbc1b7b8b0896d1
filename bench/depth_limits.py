"""``python -m bench.depth_limits``: the numbers of limits in depth, asked and reached.

Slopes of networks against their own equations, ordinary ones and those of a trend plus noise; means in law; exponents
by which fractional noise adds up; and both halves of the case that is neither. Half an hour on two cores, minutes with
``--only``. Exits with 1 if a number is not reached.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import resmc
from resmc import DepthScaling, Estimate, FractionalNoise, Mixture, ResidualNetwork, SmoothProcess, Weights

from .asked import Line, between, near
from .machine import commit, cpu_model

RESULTS = Path(__file__).parent / "results"


ODES: dict[str, dict[str, Any]] = {
    "v-phi-w, relu": {"block": "v-phi-w", "scaling": DepthScaling(1.0)},
    "phi-out, tanh": {"block": "phi-out", "activation": "tanh", "scaling": DepthScaling(1.0)},
    "phi-out inside, gelu": {"block": "phi-out", "activation": "gelu", "scaling": DepthScaling(1.0, 1.0, True)},
}
DEPENDENCES: dict[str, Any] = {
    "values": SmoothProcess(),
    "increments": SmoothProcess(version="increments"),
    "tied": "tied",
}


def ode(name: str, version: str, networks: int) -> list[Line]:
    """Slopes of the distance to ordinary equations, width 40."""
    model = ResidualNetwork(40, 1, weights=Weights(depth=DEPENDENCES[version]), **ODES[name])
    found = resmc.limit(model, networks=networks, progress=False).convergence
    what = f"ODE, {name}, {version}: order"
    return [
        near(f"{what}, forward", -found.forward_slope, 1.0, 0.05),
        near(f"{what}, backward", -found.backward_slope, 1.0, 0.05),
    ]


MIXTURE = Weights(depth=Mixture(SmoothProcess(), FractionalNoise(0.5)))
TRENDS: dict[str, dict[str, Any]] = {
    "phi-in, relu": {"block": "phi-in", "scaling": DepthScaling(0.0)},
    "phi-in, tanh": {"block": "phi-in", "activation": "tanh", "scaling": DepthScaling(0.0)},
    "phi-out inside, gelu": {
        "block": "phi-out", "activation": "gelu", "bias": 0.5, "scaling": DepthScaling(0.0, 1.0, True)
    },
}  # fmt: skip


def strong(name: str, networks: int) -> list[Line]:
    """Slopes of the distance to equations with a drift that share trend and noise, width 20."""
    from resmc.experiments.trend_limit import compared

    model = ResidualNetwork(20, 1, weights=MIXTURE, **TRENDS[name])
    sde = resmc.theory.trend_noise_limit(model)
    found = compared(sde, networks, 0, (64, 128, 256, 512), None, True, None)
    what = f"trend plus noise, {name}: order"
    forward = near(f"{what}, forward", -found.forward_slope, 0.5, 0.05)
    if sde.backward_order == 0.5:
        return [forward, near(f"{what}, backward", -found.backward_slope, 0.5, 0.05)]
    # The order of theory is 1/4, to which a part of order 1/2 is added at these depths.
    return [forward, between(f"{what}, backward across a kink", -found.backward_slope, 0.2, 0.35)]


def weak(name: str, networks: int) -> list[Line]:
    """Means of networks of width 10 and depth 400 less those of the equation, in standard errors."""
    model = ResidualNetwork(10, 400, weights=MIXTURE, **TRENDS[name])
    sim = resmc.simulate(model, networks=networks, seed=1, gradients=True, layers=[0], progress=False)
    limit = resmc.limit(model, networks=networks, depths=(8, 16), progress=False)
    lines = []
    for ratio in ("growth", "displacement", "gradient", "gradient_displacement"):
        difference = sim.log_ratio(ratio).final_mean - getattr(limit, ratio).mean
        z = Estimate(difference.value / difference.stderr, 1.0, difference.n)
        lines.append(near(f"trend plus noise in law, {name}: mean {ratio}, z", z, 0.0, 4.0))
    return lines


def frontier(block: str, hurst: float) -> list[Line]:
    """Exponents of fractional noise, width 16, depths 1024 to 16384.

    At H = 0.9 the exponent of v-phi-w is 0.872 at these depths by theory, which a sample can hardly tell from 0.87:
    there depths are 4096 to 65536, where it is 0.878, and networks twice as many.
    """
    slow = block == "v-phi-w" and hurst > 0.8
    depths = (4096, 8192, 16384, 32768, 65536) if slow else (1024, 2048, 4096, 8192, 16384)
    networks = 320 if slow else 160
    found = resmc.frontier(ResidualNetwork(16, 1, block), hurst, depths, networks=networks, progress=False)
    what = f"exponent of {block}, H = {hurst:g}"
    z = Estimate(found.z_score[0], 1.0, networks)
    return [
        near(what, found.exponent[0], float(found.limit[0]), 0.03),
        near(f"{what}, against {found.exact[0]:.4f} at these depths, z", z, 0.0, 4.0),
    ]


def neither(hurst: float, networks: int) -> list[Line]:
    """Change and quadratic variation, phi-in with ReLU, width 40, depths 64 to 4096."""
    model = ResidualNetwork(40, 1, weights=Weights(depth=FractionalNoise(hurst)), scaling=DepthScaling(hurst))
    found = resmc.quadratic_variation(model, networks=networks, progress=False)
    return [
        near(f"neither, H = {hurst:g}: slope of the change", found.change_slope, 0.0, 0.05),
        between(f"neither, H = {hurst:g}: slope of the quadratic variation", found.variation_slope, 0.2, 0.4),
    ]


def jobs() -> dict[str, Callable[[], list[Line]]]:
    """Return all jobs by name."""
    found: dict[str, Callable[[], list[Line]]] = {}
    for name in ODES:
        found |= {f"ode, {name}, {version}": partial(ode, name, version, 32) for version in DEPENDENCES}
    for name in TRENDS:
        found[f"strong, {name}"] = partial(strong, name, 100)
        found[f"weak, {name}"] = partial(weak, name, 4000)
    for hurst in (0.1, 0.3, 0.5, 0.7, 0.9):
        found[f"frontier, v-phi-w, {hurst:g}"] = partial(frontier, "v-phi-w", hurst)
        found[f"frontier, phi-in, {hurst:g}"] = partial(frontier, "phi-in", hurst)
    for hurst in (0.2, 0.3):
        found[f"neither, {hurst:g}"] = partial(neither, hurst, 64)
    return found


def page(record: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    rows = [Line(**row) for job in record.values() for row in job["lines"]]
    missed = sum(not row.reached for row in rows)
    runs = dict.fromkeys(
        f"- `{job['command']}` at {job['commit']}, {job['date']}: {job['machine']}, resmc {job['version']}"
        for job in record.values()
    )
    table = ["| number | asked | reached | |", "|---|--:|--:|---|"]
    for row in rows:
        error = "" if row.what.endswith(", z") else f" ± {row.stderr:.4f}"
        table.append(f"| {row.what} | {row.asked} | {row.value:.4f}{error} | {'' if row.reached else 'NOT reached'} |")
    said = f"{len(rows)} numbers, {missed} of them not reached."
    return "\n".join(["# Limits in depth\n", *runs, "", said + "\n", *table]) + "\n"


def write(folder: Path, name: str, job: dict[str, Any]) -> None:
    """Put what a job has found in the place of what it had found before, and keep all others."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "depth-limits.json"
    record = (json.loads(file.read_text()) if file.exists() else {}) | {name: job}
    record = {one: record[one] for one in jobs() if one in record}
    file.write_text(json.dumps(record, indent=1) + "\n")
    (folder / "depth-limits.md").write_text(page(record))


def timed(job: Callable[[], list[Line]]) -> tuple[list[Line], float]:
    """Return what a job finds, and how many seconds it takes."""
    began = time.monotonic()
    return job(), time.monotonic() - began


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line for each number, and write what each job finds as it ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.depth_limits", description=__doc__)
    parser.add_argument("--only", default="", help="parts of names of jobs, separated by semicolons")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    wanted = [part.strip() for part in asked.only.split(";") if part.strip()]
    chosen = {name: job for name, job in jobs().items() if not wanted or any(part in name for part in wanted)}
    run: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "bench.depth_limits", *(["--only", asked.only] if wanted else [])]),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": cpu_model(),
        "version": resmc.build_info()["version"],
    }
    missed = False
    with ProcessPoolExecutor(asked.processes) as pool:
        futures = {pool.submit(timed, job): name for name, job in chosen.items()}
        for future in as_completed(futures):
            lines, seconds = future.result()
            write(asked.output, futures[future], {**run, "lines": [asdict(line) for line in lines]})
            for line in lines:
                word = "" if line.reached else "  NOT reached"
                print(f"{line.what}: {line.value:.4f} +- {line.stderr:.4f}, asked {line.asked}{word}", flush=True)
                missed |= not line.reached
            print(f"  {seconds:.0f} s", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
