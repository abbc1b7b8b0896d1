"""How often intervals of 95% hold the truth: `python -m bench.coverage`.

Every case of `bench.coverage_cases` is simulated with 2000 seeds of 100, 2000 and 20,000 networks, at most 2000 where
layers depend on each other, and every estimate that the package makes of it is held against the exact value or, where
none is known, against one run of four million networks. Counted are the seeds whose estimate has an error, how often
its interval holds the truth, and how often the truth is more than 4 errors off. A coverage fails where its upper bound
of 99.9% is under 93%.

Over an hour on two cores: nothing is timed, so the number of processes does not matter. The result goes to
bench/results/coverage.json and .md; the documentation shows the table.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaincinv

from resmc import Estimate, build_info

from .coverage_cases import CASES, FIRST_SEED, Case, covered, everything, joined, run
from .coverage_experiments import EXPERIMENTS, targets
from .machine import commit, cpu_model

SIZES = (100, 2_000, 20_000)
SEEDS = 2_000
SEEDS_OF_TARGETS = 100
TRUTH = 4_000_000  # networks
LEAST = 0.93
BOUND = 0.999
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Count:
    """How the intervals of one estimate did.

    Attributes
    ----------
    case, quantity : str
    networks, seeds : int
    with_error : int
        Seeds whose estimate has an error, and so an interval.
    covering : int
        Of these, the intervals of 95% that hold the truth.
    beyond : int
        Of these, the estimates that are more than 4 errors off.
    truth : float
    exact : bool
        True if the truth is known in closed form.
    """

    case: str
    quantity: str
    networks: int
    seeds: int
    with_error: int
    covering: int
    beyond: int
    truth: float
    exact: bool

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the truth."""
        return self.covering / self.with_error if self.with_error else float("nan")

    @property
    def deviation(self) -> float:
        """Binomial standard error of the coverage."""
        p = self.coverage
        return float(np.sqrt(p * (1.0 - p) / self.with_error)) if self.with_error else float("nan")

    @property
    def failed(self) -> bool:
        """True if the upper bound of the coverage (Clopper, Pearson 1934) is under what is asked."""
        missing = self.with_error - self.covering
        return bool(missing and betaincinv(self.covering + 1.0, missing, BOUND) < LEAST)


def count(case: Case, sizes: Sequence[int], seeds: int) -> list[Count]:
    """Return the counts of every estimate of a case at every number of networks."""
    truths = everything(case, iter([run(case, TRUTH, FIRST_SEED - 1)]))
    out = []
    for networks in (size for size in sizes if size <= case.most):
        sims = (run(case, networks, FIRST_SEED + k) for k in range(seeds))
        for name, (estimate, exact) in everything(case, sims).items():
            known = bool(np.isfinite(exact))
            truth = exact if known else float(truths[name][0].value[0])
            there, holds, far = covered(estimate, truth)
            counts = (int(np.count_nonzero(which)) for which in (there, holds & there, far & there))
            out.append(Count(case.name, name, networks, seeds, *counts, truth, known))
    return out


def count_experiment(name: str, seeds: int) -> list[Count]:
    """Return the counts of every estimate of an experiment at every number of networks."""
    experiment = next(one for one in EXPERIMENTS if one.name == name)
    truths = experiment.truths()
    out = []
    for networks in experiment.sizes:
        several: dict[str, list[Estimate]] = {}
        for seed in range(seeds):
            for quantity, estimate in experiment.estimates(networks, FIRST_SEED + seed).items():
                several.setdefault(quantity, []).append(estimate)
        for quantity, estimates in several.items():
            there, holds, far = covered(joined(estimates), truths[quantity])
            counts = (int(np.count_nonzero(which)) for which in (there, holds & there, far & there))
            out.append(Count(name, quantity, networks, seeds, *counts, truths[quantity], experiment.exact))
    return out


def table(counts: Sequence[Count]) -> Iterator[str]:
    """Yield the lines of a table: a row for each quantity and case, a column for each number of networks."""
    by_place = {(c.case, c.quantity, c.networks): c for c in counts}
    for case in (*CASES, *EXPERIMENTS):
        sizes = sorted({c.networks for c in counts if c.case == case.name})
        quantities = dict.fromkeys(c.quantity for c in counts if c.case == case.name)
        if not quantities:
            continue
        yield f"### {case.name}: {case.words}\n"
        yield "| quantity | truth | " + " | ".join(f"{n:,} networks" for n in sizes) + " |"
        yield "|---|--:|" + "--:|" * len(sizes)
        for quantity in quantities:
            row = [by_place.get((case.name, quantity, n)) for n in sizes]
            first = next(c for c in row if c is not None)
            truth = f"{first.truth:.5g}{' (exact)' if first.exact else ''}"
            yield f"| `{quantity}` | {truth} | " + " | ".join(cell(c) for c in row) + " |"
        yield ""


def cell(c: Count | None) -> str:
    """Return the coverage in percent with its binomial error; a share where not all seeds have an interval."""
    if c is None:
        return ""
    if not c.with_error:
        return "no interval"
    share = "" if c.with_error == c.seeds else f", in {100.0 * c.with_error / c.seeds:.3g}%"
    return f"{100.0 * c.coverage:.1f} ± {100.0 * c.deviation:.1f}{share}{' **fails**' if c.failed else ''}"


def page(record: dict[str, Any]) -> str:
    """Return the result as Markdown."""
    counts = [Count(**row) for row in record["counts"]]
    failed, given = sum(c.failed for c in counts), sum(c.with_error > 0 for c in counts)
    squares = [c for c in counts if c.exact and (c.quantity.endswith("second_moment") or c.quantity in MEANS)]
    reliable, far = sum(c.with_error for c in squares), sum(c.beyond for c in squares)
    runs = [
        f"- `{one['command']}` at {one['commit']}, {one['date']}: {one['machine']}, resmc {one['version']}, "
        f"{one['instruction_set']}; {'; '.join(one['cases'])}"
        for one in record["runs"]
    ]
    return "\n".join(
        [
            "# Coverage of 95% intervals\n",
            *runs,
            "",
            f"{given} estimates have intervals; {failed} of them fail. Of {reliable} means of squares that are called "
            f"reliable and whose exact value is known, {far} are more than 4 errors off.\n",
            *([TARGETS_MET.format(**record["targets"])] if "targets" in record else []),
            *table(counts),
        ]
    )


TARGETS = 100
TRUTH = 4_000_000  # networks
LEAST = 0.93
BOUND = 0.999
RESULTS = Path(__file__).parent / "results"


TARGETS_MET = "Of {points} points of sweeps with `target_stderr`, {met} have an error below the target that binds.\n"
MEANS = ("growth", "mean_square")


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, print a line for each case and number of networks, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of networks")
    parser.add_argument("--cases", default="", help="names, or parts of names, of cases, experiments and targets")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    wanted = [part for part in asked.cases.split(",") if part]
    sizes = sorted(int(size) for size in asked.sizes.split(","))
    began, written = time.monotonic(), Results(asked.output, arguments)

    names = [one.name for one in (*CASES, *EXPERIMENTS)]

    def chosen(name: str) -> bool:
        return not wanted or any(part == name or (part in name and part not in names) for part in wanted)

    with ProcessPoolExecutor(asked.processes) as pool:
        jobs: dict[Any, str] = {}
        for case in filter(lambda one: chosen(one.name), CASES):
            jobs[pool.submit(count, case, sizes, asked.seeds)] = case.name
        for one in filter(lambda one: chosen(one.name), EXPERIMENTS):
            jobs[pool.submit(count_experiment, one.name, asked.seeds)] = one.name
        if chosen("targets"):
            jobs[pool.submit(targets, min(asked.seeds, SEEDS_OF_TARGETS))] = "targets"
        for done, job in enumerate(as_completed(jobs), 1):
            written.add(jobs[job], job.result())
            failed = (
                [] if jobs[job] == "targets" else [f"{c.quantity} of {c.networks}" for c in job.result() if c.failed]
            )
            said = f"{jobs[job]}: {', '.join(failed) or 'nothing'} fails"
            print(f"{time.monotonic() - began:6.0f} s  {done}/{len(jobs)}  {said}", flush=True)
    return int(any(Count(**row).failed for row in written.record["counts"]))


class Results:
    """The files of results: what is counted again takes the place of what was, and each case is written when done."""

    def __init__(self, folder: Path, arguments: Sequence[str] | None) -> None:
        build = build_info()
        given = sys.argv[1:] if arguments is None else arguments
        self.folder = folder
        self.run: dict[str, Any] = {
            "command": shlex.join(["python", "-m", "bench.coverage", *given]),
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
            "machine": cpu_model(),
            "version": build["version"],
            "instruction_set": build["instruction_set"],
            "cases": [],
        }
        before = folder / "coverage.json"
        self.record: dict[str, Any] = json.loads(before.read_text()) if before.exists() else {"runs": [], "counts": []}

    def add(self, name: str, found: Any) -> None:
        """Take over what one case has found, and write everything."""
        new = [] if name == "targets" else [asdict(c) for c in found]
        places = {(row["case"], row["networks"]) for row in new}
        kept = [row for row in self.record["counts"] if (row["case"], row["networks"]) not in places]
        older = any(row["case"] == name for row in kept)
        parts = [f"{name} of {networks:,} networks" for _, networks in sorted(places)]
        for before in self.record["runs"]:
            replaced = parts if older else [case for case in before["cases"] if case.startswith(f"{name} of ")] + [name]
            before["cases"] = [case for case in before["cases"] if case not in replaced]
        self.run["cases"] += parts if older else [name]
        others = [one for one in self.record["runs"] if one["cases"] and one is not self.run]
        self.record["runs"] = [*others, self.run]
        if name == "targets":
            self.record["targets"] = dict(zip(("met", "points"), found, strict=True))
        else:
            place = {case.name: i for i, case in enumerate((*CASES, *EXPERIMENTS))}
            self.record["counts"] = sorted(kept + new, key=lambda row: (place[row["case"]], row["networks"]))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "coverage.json").write_text(json.dumps(self.record, indent=1) + "\n")
        (self.folder / "coverage.md").write_text(page(self.record))


if __name__ == "__main__":
    sys.exit(main())
