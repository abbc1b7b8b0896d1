"""resmc against itself: its own generator without a network, recording, threads, and memory."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from . import ours
from .harness import Moments, Spread, WrongAnswer, by_turns, calibrated, ratios
from .job import Job

CHECKED = 256  # networks whose normals are summed


def limit(job: Job, reference: Moments | None) -> dict[str, Any]:
    """Rate of a simulation over the rate of drawing its normals and forgetting them, on one thread."""
    problem, effort = job.problem, job.effort
    run = partial(ours.simulate, problem)
    networks = calibrated(run, ours.unit("projected", 1), effort.seconds)
    normals = CHECKED * 4 * math.ceil(problem.width / 4) * problem.depth
    score = ours.draw(problem, CHECKED) / math.sqrt(normals)  # and it warms up
    if not abs(score) <= 4.0:
        raise WrongAnswer(f"the sum of {normals} normals is {score:.1f} standard errors off 0")
    taken = by_turns((lambda: run(networks), lambda: ours.draw(problem, networks)), effort.rounds)
    return {
        "networks": networks,
        "check": {"mean": score},
        "resmc_per_s": asdict(Spread.of([networks / t for t in taken[0]])),
        "draw_per_s": asdict(Spread.of([networks / t for t in taken[1]])),
        "ratio": asdict(ratios(taken[1], taken[0])),
        "seconds": taken,
    }


def recording(job: Job, reference: Moments | None) -> dict[str, Any]:
    """Time of recording every layer over the time of recording the first and the last."""
    run = partial(ours.simulate, job.problem, threads=job.threads)
    every = partial(run, layers=range(job.problem.depth + 1))
    networks = calibrated(run, ours.unit("projected", job.threads), job.effort.seconds)
    every(networks)
    return _pair(networks, by_turns((lambda: every(networks), lambda: run(networks)), job.effort.rounds))


def threads(job: Job, reference: Moments | None) -> dict[str, Any]:
    """Time on one thread over the time on several."""
    one = partial(ours.simulate, job.problem, threads=1)
    several = partial(ours.simulate, job.problem, threads=job.threads)
    # Threads take blocks of networks: enough of them that the last ones do not decide.
    networks = calibrated(one, ours.unit("projected", 4 * job.threads), 2.0 * job.effort.seconds)
    several(networks)
    return _pair(networks, by_turns((lambda: one(networks), lambda: several(networks)), job.effort.rounds))


def _pair(networks: int, taken: list[list[float]]) -> dict[str, Any]:
    return {"networks": networks, "ratio": asdict(ratios(*taken)), "seconds": taken}


def memory(job: Job, reference: Moments | None) -> dict[str, Any]:
    """Peak resident memory of this process before and after simulating so many networks."""
    before = peak_bytes()
    ours.simulate(job.problem, job.values[0], threads=job.threads)
    return {"networks": job.values[0], "before_bytes": before, "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """VmHWM: getrusage would count what the parent had before it started this program."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise RuntimeError("/proc/self/status does not say VmHWM")
    return 1024 * int(found[1])
