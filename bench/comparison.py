"""resmc against one peer, in this process: tune the peer, check its answer, time both by turns."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

from . import environment, ours
from .harness import Moments, Spread, autotune, by_turns, calibrated, check_answer, elapsed, ratios
from .job import Job
from .peers.table import CONTENDERS

TUNED_LAYERS = {"projected": 40, "dense": 8}  # every layer costs the same: so many are enough to choose a batch by
FEWEST_CHECKED = 8


def compare(job: Job, reference: Moments) -> dict[str, Any]:
    """Rates in networks/s, the ratio resmc/peer of each round, and all that led to them."""
    contender, problem, effort = CONTENDERS[job.peer], job.problem, job.effort
    peer = contender.load()
    library = environment.held(contender.library, job.instruction_set)
    if contender.library == "torch":
        import torch

        torch.set_num_threads(job.threads)

    short = replace(problem, depth=min(problem.depth, TUNED_LAYERS[contender.method]))
    workers = job.threads if contender.role != "published" else 1
    options, tried = autotune(
        lambda networks, options: peer(short, networks, 0, threads=job.threads, **options),
        contender.options(problem, job.threads, effort.at_most),
        effort.tuning,
        workers,
    )
    tuned = partial(peer, threads=job.threads, **options)
    start = options.get("batch", 1) * workers

    # The first run at full depth may compile; the second tells how many networks there is time to check.
    if contender.role != "published":
        tuned(problem, start, 3)
    seconds = elapsed(lambda: tuned(problem, start, 3))
    sample = effort.checked or max(FEWEST_CHECKED, min(int(effort.checking / seconds * start), reference.networks))
    check = check_answer(contender.name, tuned(problem, sample, 2), reference)

    run = partial(ours.simulate, problem, threads=job.threads, method=job.method)
    counts = (
        calibrated(run, ours.unit(job.method, job.threads), effort.seconds),
        calibrated(lambda networks: tuned(problem, networks, 0), start, effort.seconds),
    )
    taken = by_turns((lambda: run(counts[0]), lambda: tuned(problem, counts[1], 0)), effort.rounds)
    rates = [[count / t for t in seconds] for count, seconds in zip(counts, taken, strict=True)]
    return {
        "library": library,
        "options": options,
        "tried": tried,
        "checked_networks": sample,
        "check": check,
        "networks": counts,
        "resmc_per_s": asdict(Spread.of(rates[0])),
        "peer_per_s": asdict(Spread.of(rates[1])),
        "ratio": asdict(ratios(*rates)),
        "rates": rates,
    }
