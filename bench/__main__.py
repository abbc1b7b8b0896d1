"""``python -m bench``: resmc against an explicit torch network, the best batched torch loop, and NumPy; one thread."""

from __future__ import annotations

import argparse
import json
import platform
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import resmc

from .harness import Comparison, checked, compare, reference_moments
from .machine import commit, cpu_model
from .peers import BATCHES, Peer, Problem, autotune, module_loop, numpy_projected, torch_projected

TARGETS = {"torch projected": 3.0, "torch module loop": 500.0}  # resmc/peer, for the vanilla network of TARGET_SIZE
TARGET_SIZE = (192, 200)


@dataclass(frozen=True)
class Row:
    """One peer's result."""

    name: str
    options: dict[str, Any]
    check: dict[str, float]
    comparison: Comparison


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=200)
    parser.add_argument("--variant", choices=("vanilla", "balanced"), default="vanilla")
    parser.add_argument("--rounds", type=int, default=9, help="at least 5")
    parser.add_argument("--quick", action="store_true", help="5 rounds of short measurements, few batch sizes")
    parser.add_argument("--output", type=Path, default=Path("bench/results"), help="folder of the JSON and the table")
    args = parser.parse_args(arguments)

    torch.set_num_threads(1)
    problem = Problem(args.width, args.depth, variant=args.variant)
    rounds, seconds = (5, 0.3) if args.quick else (max(args.rounds, 5), 1.0)
    work = 2e8 if args.quick else 2e9  # neuron updates of the reference run; a tenth of it checks a batched peer
    batches = (64, 256, 1024) if args.quick else BATCHES

    reference = reference_moments(problem, max(1024, int(work / problem.neurons)))
    rows = []
    for name, peer, options, tuning in _peers(problem, batches):
        tuned = partial(peer, **options)
        batch = options.get("batch", 1)
        sample = max(64, int(work / (10 if batch > 1 else 130) / problem.neurons))
        check = checked(name, tuned, problem, sample, reference)
        comparison = compare(tuned, problem, rounds, seconds, peer_unit=batch)
        rows.append(Row(name, {**_plain(options), **tuning}, check, comparison))
        print(f"{name}: checked, timed", flush=True)

    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "problem": asdict(problem),
        "quick": args.quick,
        "threads": 1,
        "reference": asdict(reference),
        "rows": [asdict(row) for row in rows],
        "targets": verdicts(problem, rows),
    }
    table = markdown(report, problem, rows)
    print(f"\n{table}")
    args.output.mkdir(parents=True, exist_ok=True)
    stem = args.output / _stem(problem, report["machine"], args.quick)
    stem.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table, encoding="utf-8")
    print(f"written: {stem}.json, {stem}.md")
    return 0


def _peers(problem: Problem, batches: tuple[int, ...]) -> list[tuple[str, Peer, dict[str, Any], dict[str, Any]]]:
    """(name, peer, its best options, what the other options reached)."""
    generators = (np.random.SFC64, np.random.PCG64)
    candidates: dict[str, tuple[Peer, list[dict[str, Any]]]] = {
        "torch projected": (torch_projected, [{"batch": b} for b in batches]),
        "numpy projected": (numpy_projected, [{"batch": b, "bit_generator": g} for b in batches for g in generators]),
    }
    found: list[tuple[str, Peer, dict[str, Any], dict[str, Any]]] = []
    if problem.variant == "vanilla":
        found.append(("torch module loop", module_loop, {}, {}))
    for name, (peer, options) in candidates.items():
        best, all_rates = autotune(peer, problem, options)
        tried = [{**_plain(o), "neuron_updates_per_s": rate} for o, rate in all_rates]
        found.append((name, peer, best, {"tried": tried}))
    return found


def verdicts(problem: Problem, rows: list[Row]) -> list[str]:
    """Each target ratio, reached or not."""
    if (problem.width, problem.depth) != TARGET_SIZE or problem.variant != "vanilla":
        return [f"The targets are stated for the vanilla network of width {TARGET_SIZE[0]} and depth {TARGET_SIZE[1]}."]
    ratios = {row.name: row.comparison.ratio for row in rows}
    lines = []
    for name, target in TARGETS.items():
        ratio = ratios[name]
        verdict = "reached" if ratio.median >= target else "NOT reached"
        lines.append(
            f"Target, at least {target:g} times the {name}: {verdict} "
            f"(median {ratio.median:.3g}, {ratio.min:.3g} to {ratio.max:.3g})."
        )
    return lines


def markdown(report: dict[str, Any], problem: Problem, rows: list[Row]) -> str:
    """The printed and written table."""
    m = report["machine"]
    lines = [
        f"# {problem.variant}, width {problem.width}, depth {problem.depth}, one thread",
        "",
        f"{m['cpu']}, {m['instruction_set']}; resmc {m['resmc']} (numerics {m['numerics']}), torch {m['torch']}, "
        f"NumPy {m['numpy']}, Python {m['python']}; commit {report['commit']}, {report['date']}"
        + ("; quick run" if report["quick"] else ""),
        "",
        "Median (minimum to maximum) over the rounds; the ratio is the median of the rounds' own ratios.",
        "",
        "| peer | options | resmc networks/s | peer networks/s | peer neuron updates/s | resmc / peer |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        c = row.comparison
        options = ", ".join(f"{k} {v}" for k, v in row.options.items() if k != "tried") or "-"
        lines.append(
            f"| {row.name} | {options} | {_spread(c.resmc)} | {_spread(c.peer)} | "
            f"{c.peer.median * problem.neurons:.3g} | {_spread(c.ratio)} |"
        )
    rate = float(np.median([row.comparison.resmc.median for row in rows]))
    lines += ["", f"resmc: {rate * problem.neurons:.3g} neuron updates/s (median over the peers' medians).", ""]
    lines += [line for verdict in report["targets"] for line in (verdict, "")]
    return "\n".join(lines).rstrip() + "\n"


def machine() -> dict[str, Any]:
    """The processor and the versions behind the numbers."""
    info = resmc.build_info()
    return {
        "cpu": cpu_model(),
        "instruction_set": info["instruction_set"],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "numpy": np.__version__,
        "resmc": info["version"],
        "numerics": info["numerics_version"],
    }


def _stem(problem: Problem, m: dict[str, Any], quick: bool) -> str:
    cpu = re.sub(r"\((R|TM)\)|CPU|Processor|@.*?GHz", " ", m["cpu"], flags=re.IGNORECASE)
    name = re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")
    size = "" if (problem.width, problem.depth) == TARGET_SIZE else f"-{problem.width}x{problem.depth}"
    variant = "" if problem.variant == "vanilla" else f"-{problem.variant}"
    return f"projected{variant}{size}-{name}-{m['instruction_set']}" + ("-quick" if quick else "")


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {k: v.__name__ if isinstance(v, type) else v for k, v in options.items()}


def _spread(s: Any) -> str:
    return f"{s.median:.4g} ({s.min:.4g} to {s.max:.4g})"


if __name__ == "__main__":
    raise SystemExit(main())
