"""``python -m bench.next_order``: how much of what the limit is off by does the next order in 1/n remove?

Vanilla networks of n = 16 to 512, d/n = 1/2, 1 and 2, alpha = 0.5, 0.71 and 0.9: variance and mean of the log-norm and
E A at the last layer, and the correlation of A between the last layer and the one three before. Wherever the limit is
off by more than 4 standard errors, the next order shall remove two thirds of that. An hour on one core; ``--only``
takes parts. Exits with 1 if a case is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import resmc
from resmc import Estimate, ResNet, theory

from .machine import commit, cpu_model

RESULTS = Path(__file__).parent / "results"
WIDTHS, RATIOS, ALPHAS = (16, 32, 48, 64, 128, 256, 512), (0.5, 1.0, 2.0), (0.5, 0.71, 0.9)
LAG = 3
CLEAR, SHARE = 4.0, 2.0 / 3.0
QUANTITIES = ("variance of L", "mean of L", "E A", "Corr A, lag 3")


@dataclass(frozen=True)
class Case:
    """A quantity of a network: the estimate with its error, the limit, and the limit with the next order."""

    quantity: str
    value: float
    stderr: float
    limit: float
    second_order: float

    @property
    def judged(self) -> bool:
        """True if the limit is off by more than 4 standard errors."""
        return abs(self.value - self.limit) > CLEAR * self.stderr

    @property
    def removed(self) -> float:
        """The share of the limit's error that the next order removes."""
        return 1.0 - abs(self.value - self.second_order) / abs(self.value - self.limit)

    @property
    def error(self) -> float:
        """The standard error of that share."""
        return self.stderr * abs(self.second_order - self.limit) / (self.value - self.limit) ** 2

    @property
    def verdict(self) -> str:
        """What is to be said of the case; it is missed for certain where two standard errors do not explain it."""
        if not self.judged:
            return "not judged"
        if self.removed >= SHARE:
            return ""
        towards = math.copysign(
            min(2.0 * self.stderr, abs(self.second_order - self.value)), self.second_order - self.value
        )
        return "missed, within 2 s.e." if replace(self, value=self.value + towards).removed >= SHARE else "MISSED"


def networks(width: int) -> int:
    """Return how many networks tell: at width 512 the variance is then off the limit by 5 to 6 standard errors.

    With fewer, chance would choose most of the cases that are judged, and those lie farther off than they should.
    """
    return 200_000 if width < 512 else 400_000


def cases(model: ResNet, count: int, seed: int, threads: int | None = None) -> list[Case]:
    """Simulate a network, and compare."""
    d = model.depth
    sim = resmc.simulate(model, networks=count, seed=seed, layers=[d - LAG, d], threads=threads, progress=False)
    estimates: list[Estimate] = [
        sim.log_norm_variance[-1],
        sim.log_norm_mean[-1],
        sim.asymmetry_mean[-1],
        sim.asymmetry_correlation[1, 2],
    ]
    known = []
    for order in (1, 2):
        law, fired = theory.log_norm(model, [d], order=order), theory.hypoactivation(model, [d], order=order)
        correlation = theory.interlayer_correlation(model, [LAG], order=order, layers=[d - LAG])
        known.append([float(x[0]) for x in (law.variance, law.mean, fired.asymmetry, correlation)])
    return [
        Case(name, float(e.value), float(e.stderr), *pair)
        for name, e, *pair in zip(QUANTITIES, estimates, *known, strict=True)
    ]


def jobs() -> dict[str, tuple[ResNet, int]]:
    """Return networks by name, each with how many are simulated; those that decide most come first."""
    found = {}
    for width in WIDTHS[::-1]:
        for ratio in RATIOS[::-1]:
            for alpha in ALPHAS:
                model = ResNet(width, round(width * ratio), alpha, math.sqrt(1.0 - alpha**2))
                found[f"n = {width}, d/n = {ratio:g}, alpha = {alpha:g}"] = model, networks(width)
    return found


def page(record: dict[str, Any]) -> str:
    """Return the result as Markdown: counts for each quantity, and every case."""
    runs = dict.fromkeys(
        f"- `{job['command']}` at {job['commit']}, {job['date']}: {job['machine']}, resmc {job['version']}"
        for job in record.values()
    )
    rows = [
        (name, job["width"], job["networks"], Case(**case)) for name, job in record.items() for case in job["cases"]
    ]
    counts = ["| two thirds of the gap are removed | n >= 32 | n = 16 |", "|---|--:|--:|"]
    for name in (*QUANTITIES, "all"):
        cells = []
        for wide in (True, False):
            here = [c for _, width, _, c in rows if c.judged and (width >= 32) == wide and name in (c.quantity, "all")]
            cells.append(f"{sum(c.removed >= SHARE for c in here)} of {len(here)}")
        counts.append(f"| {name} | {' | '.join(cells)} |")
    table = ["| network | networks | quantity | simulated | limit | next order | gap in s.e. | removed | |",
             "|---|--:|---|--:|--:|--:|--:|--:|---|"]  # fmt: skip
    for name, _, count, c in rows:
        share = f"{100.0 * c.removed:.0f} ± {100.0 * c.error:.0f}%" if c.judged else ""
        gap = (c.value - c.limit) / c.stderr
        table.append(
            f"| {name} | {count:,} | {c.quantity} | {c.value:.5g} ± {c.stderr:.2g} | {c.limit:.5g} | "
            f"{c.second_order:.5g} | {gap:+.1f} | {share} | {c.verdict} |"
        )
    return "\n".join(["# The next order in 1/n\n", *runs, "", *counts, "", *table]) + "\n"


def write(folder: Path, name: str, job: dict[str, Any]) -> None:
    """Put what a job has found in the place of what it had found before, and keep all others."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "next-order.json"
    record = (json.loads(file.read_text()) if file.exists() else {}) | {name: job}
    record = {one: record[one] for one in jobs() if one in record}
    file.write_text(json.dumps(record, indent=1) + "\n")
    (folder / "next-order.md").write_text(page(record))


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print a line for each case, and write what each network says as it is done."""
    parser = argparse.ArgumentParser(prog="python -m bench.next_order", description=__doc__)
    parser.add_argument("--only", default="", help="parts of names of networks, separated by semicolons")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="share of the networks that are simulated")
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args(arguments)
    wanted = [part.strip() for part in asked.only.split(";") if part.strip()]
    options = [*(["--only", asked.only] if wanted else []), *(["--share", f"{asked.share:g}"] * (asked.share != 1.0))]
    run: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "bench.next_order", *options]),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": cpu_model(),
        "version": resmc.build_info()["version"],
    }
    missed = False
    for seed, (name, (model, count)) in enumerate(jobs().items()):
        if wanted and not any(part in name for part in wanted):
            continue
        count, began = max(round(count * asked.share), 64), time.monotonic()
        found = cases(model, count, seed, asked.threads)
        job = {**run, "width": model.width, "networks": count, "seed": seed, "cases": [asdict(case) for case in found]}
        write(asked.output, name, job)
        for case in found:
            told = f"{case.removed:.0%} removed  {case.verdict}" if case.judged else case.verdict
            print(f"{name}: {case.quantity} {case.value:.5g} +- {case.stderr:.2g}, {told}", flush=True)
            missed |= case.verdict == "MISSED"
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
