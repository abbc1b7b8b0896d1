"""Numbers that are asked for and reached, and what the programs that measure them have in common."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resmc import Estimate
from resmc.results.estimates import format_estimate

from .machine import publish
from .run_record import run_record


@dataclass(frozen=True)
class Line:
    """One number: what it is, what is asked of it, its value and standard error, and whether it is reached."""

    what: str
    asked: str
    value: float
    stderr: float
    reached: bool


def near(what: str, found: Estimate, target: float, bound: float) -> Line:
    """A number that shall be within a bound of a target."""
    value, error = float(found.value), float(found.stderr)
    return Line(what, f"{target:g} +- {bound:g}", value, error, abs(value - target) <= bound)


def between(what: str, found: Estimate, low: float, high: float) -> Line:
    """A number that shall lie between two others."""
    value, error = float(found.value), float(found.stderr)
    return Line(what, f"{low:g} to {high:g}", value, error, low <= value <= high)


def bare(value: float) -> Estimate:
    """Return a number that has no error."""
    return Estimate(np.asarray(value), np.asarray(np.nan), np.asarray(1))


def number(value: float, stderr: float, digits: int = 3) -> str:
    """A number with its error, if it has one."""
    if np.isnan(value):
        return "not seen"
    return format_estimate(value, stderr).replace("+-", "±") if np.isfinite(stderr) else f"{value:.{digits}g}"


def rows(lines: Iterable[dict[str, Any]], show: Callable[[float, float], str] = number) -> list[str]:
    """Return the table of all `Line` in a report, in Markdown; show(value, stderr) is what is reached."""
    table = ["| number | asked | reached | |", "|---|--:|--:|---|"]
    for line in (Line(**one) for one in lines):
        word = "" if line.reached else "NOT reached"
        table.append(f"| {line.what} | {line.asked} | {show(line.value, line.stderr)} | {word} |")
    return table


def origin(report: dict[str, Any]) -> str:
    """Return the beginning of a sentence: which command found a report, when and where."""
    return (
        f"`{report['command']}` at {report['commit']}, {report['date']}: {report['cpu']}, {report['cpus']} CPUs, load "
        f"average {report['load']:.1f}, resmc {report['version']}"
    )


def options(module: str, description: str | None, quick: str) -> argparse.ArgumentParser:
    """Return what ``python -m bench.<module>`` is asked: --quick, which ``quick`` explains, and --output."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{module}", description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", type=Path, help="folder for the JSON and the table; without it they are printed")
    return parser


def run(
    module: str,
    args: argparse.Namespace,
    measure: Callable[[], dict[str, Any]],
    markdown: Callable[[dict[str, Any]], str],
    *,
    words: Sequence[str] = (),
    name: str | None = None,
    lines: Callable[[dict[str, Any]], Iterable[dict[str, Any]]] = lambda report: report["lines"],
) -> int:
    """Measure, print the table and write it with its report; 1 if one of the report's ``lines`` is not reached.

    ``words`` are what the command was given besides --quick and --output; ``name`` is what files are called after, as a
    rule the module.
    """
    machine, began = run_record(), time.monotonic()
    command = ["python", "-m", f"bench.{module}", *(["--quick"] if args.quick else []), *words]
    report = {"command": shlex.join(command), **machine, **measure(), "seconds": time.monotonic() - began}
    publish(args.output, (name or module.replace("_", "-")) + "-quick" * args.quick, report, markdown(report))
    return int(not all(line["reached"] for line in lines(report)))
