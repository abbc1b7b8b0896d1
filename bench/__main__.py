"""``python -m bench``: resmc on a CPU against what else simulates the same networks, against its own generator, and
how its cost grows. bench/README.md says what is compared and how; the GPU's benchmark is bench.gpu_check.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import resmc

from . import plan
from .harness import Moments, Spread
from .job import Job
from .launch import run
from .peers.problem import Problem
from .report import machine, markdown, report, write
from .since import RESULTS, last_recorded, since

STATUS = {"skipped": "left out", "missing": "left out", "refused": "REFUSED", "failed": "FAILED"}


def main(given: list[str] | None = None) -> int:
    """1 if a comparison failed or was refused (in a smoke run also if a library is missing), 130 if interrupted."""
    parser, args = arguments(given)
    cores = len(os.sched_getaffinity(0))
    scale = plan.SMOKE if args.smoke else plan.QUICK if args.quick else plan.FULL
    if args.rounds is not None:
        efforts = {name: replace(getattr(scale, name), rounds=args.rounds) for name in ("target", "brief")}
        scale = replace(scale, **efforts)
    try:
        names = resmc.build_info()["instruction_sets"]
        instruction_set = args.instruction_set or resmc.build_info()["instruction_set"]
    except ValueError as error:
        parser.error(str(error))
    if instruction_set not in names:
        parser.error(f"--instruction-set {instruction_set}: this machine has {', '.join(names)}")
    threads = sorted({cores if word == "all" else 1 for word in args.threads})
    sizes = args.sizes or scale.sizes
    jobs = plan.jobs(scale, args.parts, sizes, threads, instruction_set)
    if args.list or not jobs:
        print("\n".join(job.title for job in jobs) or "nothing to do: no comparison has such sizes, parts and threads")
        return 0 if jobs else 2

    options = {
        "scale": scale.name or "full",
        "comparisons": len(jobs),
        "parts": args.parts,
        "sizes": sizes,
        "threads": threads,
    }
    options |= {"target": asdict(scale.target), "brief": asdict(scale.brief)}
    chosen = args.sizes or args.rounds or args.parts != plan.PARTS or set(args.threads) != {"1", "all"}
    stem = "-".join(filter(None, (scale.name, "selected" if chosen else "")))
    try:
        bench = Run(scale, instruction_set, cores, args.output, options, stem)
    except OSError as error:
        parser.error(f"--output {args.output}: {error.strerror}")
    minutes = sum(job.estimate for job in jobs) / 60.0
    print(f"{len(jobs)} comparisons on {instruction_set}, {cores} cores: about {minutes:.0f} minutes", flush=True)
    status = bench.all(jobs)
    print(f"\n{markdown(bench.report)}\nwritten: {bench.stem}.json, {bench.stem}.md")
    return status


class Run:
    """The comparisons done so far, written after each; until the last, beside what an earlier run has left."""

    def __init__(
        self, scale: plan.Scale, instruction_set: str, cores: int, folder: Path, options: dict[str, Any], stem: str
    ) -> None:
        self.scale, self.instruction_set, self.cores, self.folder = scale, instruction_set, cores, folder
        self.options, self.name, self.unfinished = options, stem, True
        self.machine = machine(instruction_set, cores)
        self.earlier = last_recorded(self.machine, (RESULTS, folder))  # now: this run may take its file's place
        self.references: dict[Problem, dict[str, Any]] = {}
        self.entries: list[dict[str, Any]] = []
        self.write()

    def all(self, jobs: list[Job]) -> int:
        begin, bad = time.perf_counter(), ("failed", "refused", *(["missing"] if self.scale.name == "smoke" else []))
        try:
            for number, job in enumerate(jobs, 1):
                entry = self.one(job)
                minutes, seconds = divmod(int(time.perf_counter() - begin), 60)
                print(f"[{number}/{len(jobs)}, {minutes}:{seconds:02}] {job.title}: {said(entry)}", flush=True)
        except KeyboardInterrupt:
            print("interrupted: what was done is written", flush=True)
            return 130
        self.finish()
        return int(any(entry["status"] in bad for entry in self.entries))

    def one(self, job: Job) -> dict[str, Any]:
        begin, reference = time.perf_counter(), None
        found: dict[str, Any] = {}
        if job.skip:
            found = {"status": "skipped", "reason": job.skip}
        elif job.task == "compare":
            known = self.reference(job.problem)
            if known["status"] == "done":
                reference = Moments(**known["result"])
            else:
                found = {"status": "failed", "reason": f"no reference to check against: {known['reason']}"}
        found = found or run(job, reference)
        entry = {"title": job.title, "job": job.to_json(), **found, "took_s": round(time.perf_counter() - begin, 2)}
        self.entries.append(entry)
        self.write()
        return entry

    def reference(self, problem: Problem) -> dict[str, Any]:
        if problem not in self.references:
            job = plan.reference_job(problem, self.scale, self.cores, self.instruction_set)
            self.references[problem] = {"problem": asdict(problem), **run(job, None)}
        return self.references[problem]

    def write(self) -> None:
        self.report = report(self.machine, self.options, list(self.references.values()), self.entries)
        if not self.unfinished and self.scale.name != "smoke":
            self.report["since"] = since(self.report, self.earlier)
        name = "-".join(filter(None, (self.name, "unfinished" if self.unfinished else "")))
        self.stem = write(self.report, self.folder, name)

    def finish(self) -> None:
        earlier, self.unfinished = self.stem, False
        self.write()
        for suffix in (".json", ".md"):
            earlier.with_suffix(suffix).unlink()


def said(entry: dict[str, Any]) -> str:
    """A result in a few words."""
    if entry["status"] != "done":
        return f"{STATUS[entry['status']]}: {entry['reason']}"
    result = entry["result"]
    if "slope" in result:
        stderr = result["slope"]["stderr"]
        return f"slope {result['slope']['value']:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")
    if "peak_bytes" in result:
        return f"{result['peak_bytes'] / 2**20:.1f} MiB"
    return f"ratio {Spread(**result['ratio'])}"


def arguments(given: list[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    def sizes(text: str) -> tuple[plan.Size, ...]:
        pairs = [re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", word) for word in text.split(",")]
        if None in pairs:
            raise argparse.ArgumentTypeError(f"{text!r}: width x depth, both at least 1, as in 192x200,40x1000")
        return tuple((int(pair[1]), int(pair[2])) for pair in pairs if pair)

    def some_of(known: tuple[str, ...]) -> Any:
        def words(text: str) -> tuple[str, ...]:
            found = tuple(text.split(","))
            if not set(found) <= set(known):
                raise argparse.ArgumentTypeError(f"{text!r}: allowed are {', '.join(known)}, joined by commas")
            return found

        return words

    def rounds(text: str) -> int:
        if not text.isdecimal() or int(text) < 5:
            raise argparse.ArgumentTypeError(f"{text!r}: an integer, at least 5")
        return int(text)

    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    scales = parser.add_mutually_exclusive_group()
    scales.add_argument("--quick", action="store_true", help="two sizes, short measurements: about three minutes")
    scales.add_argument("--smoke", action="store_true", help="every peer once on tiny networks: does it still work?")
    parser.add_argument("--sizes", type=sizes, help="as in 192x200,40x1000: width x depth")
    parser.add_argument("--parts", type=some_of(plan.PARTS), default=plan.PARTS, help=",".join(plan.PARTS))
    parser.add_argument("--threads", type=some_of(("1", "all")), default=("1", "all"), help="1, all, or 1,all")
    parser.add_argument("--instruction-set", help="for resmc and its peers alike; by default the best there is")
    parser.add_argument("--rounds", type=rounds, help="of each comparison, at least 5")
    parser.add_argument(
        "--output", type=Path, default=Path("bench/results"), help="folder of the results (bench/results)"
    )
    parser.add_argument("--list", action="store_true", help="print the comparisons, measure nothing")
    return parser, parser.parse_args(given)


if __name__ == "__main__":
    raise SystemExit(main())
