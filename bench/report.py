"""What a run leaves: a JSON file with every number, and a markdown table of the same name."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import resmc

from .harness import Spread
from .instructions import instruction_rates
from .machine import commit, cpu_model, file_name
from .verdicts import Entry, verdicts

NO_TARGETS = "A smoke run is too short for any."
LIBRARIES = ("numpy", "scipy", "torch", "jax", "jaxlib", "numba", "llvmlite")


def machine(instruction_set: str, cores: int) -> dict[str, Any]:
    """The processor and the versions behind the numbers."""
    info = resmc.build_info()
    versions: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "cpu": cpu_model(),
        "cores": cores,
        "load_average": os.getloadavg()[0],
        "instruction_set": instruction_set,
        "resmc": info["version"],
        "numerics": info["numerics_version"],
        "compiler": info["compiler"],
        "python": platform.python_version(),
        **versions,
    }


def report(machine: dict[str, Any], options: dict[str, Any], references: list[Entry], entries: list[Entry]) -> Entry:
    """All that is written; ready for JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine,
        "options": options,
        "references": references,
        "results": entries,
        "instructions": instruction_rates(entries, machine["instruction_set"]),
        "verdicts": [NO_TARGETS] if options["scale"] == "smoke" else verdicts(entries),
    }


def write(found: Entry, folder: Path, scale: str) -> Path:
    """``folder``/cpu-<machine>-<instruction set>[-<scale>].json and .md, each replaced at once; their common stem."""
    name = file_name(found["machine"]["cpu"])
    stem = folder / "-".join(filter(None, ("cpu", name, found["machine"]["instruction_set"], scale)))
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(found, indent=1) + "\n"), (".md", markdown(found))):
        partial = stem.with_suffix(suffix + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(stem.with_suffix(suffix))
    return stem


def _extent(found: Entry) -> str:
    options, done = found["options"], len(found["results"])
    planned = options["comparisons"]
    whole = f"a {options['scale']} run of {', '.join(options['parts'])}"
    return whole if done == planned else f"{whole}: NOT FINISHED, {done} of {planned} comparisons"


def markdown(found: Entry) -> str:
    """The targets, then a table for each part."""
    m = found["machine"]
    versions = ", ".join(f"{name} {m[name]}" for name in ("python", *LIBRARIES) if m.get(name))
    lines = [
        f"# resmc on a CPU: {m['cpu']}, {m['instruction_set']}",
        "",
        f"{m['cores']} cores, load average {m['load_average']:.2f} when it began; "
        f"resmc {m['resmc']} (numerics {m['numerics']}, {m['compiler']}), {versions}; commit "
        f"{found['commit']}, {found['date']}; {_extent(found)}.",
        "",
        "Median (minimum to maximum) over the rounds; a ratio is the median of the rounds' own ratios. A neuron update "
        "is one neuron of one layer of one network.",
        "",
        "## Targets",
        "",
        *(f"- {line}" for line in found["verdicts"]),
    ]
    if found.get("since"):
        lines += ["", "## Since the last run", "", *(f"- {line}" for line in found["since"])]
    for task, (title, header, row) in TABLES.items():
        done = [e for e in found["results"] if e["job"]["task"] == task and e["status"] == "done"]
        if done:
            lines += ["", f"## {title}", "", *_table(header, [row(e["job"], e["result"]) for e in done])]
    if found["instructions"]:
        header = (
            "width",
            "depth",
            "instructions per neuron update",
            "instructions/s",
            "per cycle of /proc/cpuinfo's clock",
        )
        rows = [_instructions(r) for r in found["instructions"]]
        lines += ["", "## Instructions, one thread", "", *_table(header, rows)]
    failed = [e for e in found["results"] if e["status"] != "done"]
    if failed:
        lines += ["", "## Not measured", "", *(f"- {e['title']}: {e['reason']}" for e in failed)]
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _where(job: dict[str, Any]) -> list[str]:
    p = job["problem"]
    return [p["variant"], str(p["width"]), str(p["depth"]), str(job["threads"])]


def _updates(job: dict[str, Any], networks: dict[str, float]) -> str:
    return f"{networks['median'] * job['problem']['width'] * job['problem']['depth']:.3g}"


def _compared(job: dict[str, Any], r: dict[str, Any]) -> list[str]:
    options = ", ".join(f"{name} {value}" for name, value in r["options"].items()) or "-"
    rates = [_updates(job, r["resmc_per_s"]), _updates(job, r["peer_per_s"])]
    return [*_where(job), job["method"], job["peer"], f"{options}; {r['library']}", *rates, str(Spread(**r["ratio"]))]


def _limited(job: dict[str, Any], r: dict[str, Any]) -> list[str]:
    rates = [_updates(job, r["resmc_per_s"]), _updates(job, r["draw_per_s"])]
    return [*_where(job)[:3], *rates, str(Spread(**r["ratio"]))]


def _own(job: dict[str, Any], r: dict[str, Any]) -> list[str]:
    return [*_where(job), f"{r['networks']:,}", str(Spread(**r["ratio"]))]


def _curve(job: dict[str, Any], r: dict[str, Any]) -> list[str]:
    p, slope = job["problem"], r["slope"]
    sizes = [f"{name} {p[name]}" for name in ("width", "depth") if name != r["axis"]]
    if r["axis"] != "networks":
        sizes.append(f"{r['networks']:,} networks")
    points = ", ".join(f"{v:,}: {s['median']:.3g} s" for v, s in zip(r["values"], r["seconds"], strict=True))
    error = "-" if slope["stderr"] is None else f"{slope['stderr']:.2g}"
    return [r["name"], ", ".join(sizes), points, f"{slope['value']:.4f}", error]


def _memory(job: dict[str, Any], r: dict[str, Any]) -> list[str]:
    return [*_where(job), f"{r['networks']:,}", *(f"{r[k] / 2**20:.1f}" for k in ("before_bytes", "peak_bytes"))]


def _instructions(r: dict[str, Any]) -> list[str]:
    cycle = f"{r['instructions_per_cycle']:.2f} at {r['clock_hz'] / 1e9:.3g} GHz" if r["clock_hz"] else "-"
    numbers = [f"{r['instructions_per_update']:.3g}", f"{r['instructions_per_s']:.3g}"]
    return [str(r["width"]), str(r["depth"]), *numbers, cycle]


_WHERE = ("variant", "width", "depth", "threads")
_RATES = ("resmc updates/s", "peer updates/s")
Row = Callable[[dict[str, Any], dict[str, Any]], list[str]]
TABLES: dict[str, tuple[str, tuple[str, ...], Row]] = {
    "compare": (
        "resmc against its peers",
        (*_WHERE, "resmc's method", "peer", "its best options; instructions", *_RATES, "resmc / peer"),
        _compared,
    ),
    "limit": (
        "The limit: the generator alone, one thread",
        (*_WHERE[:3], "resmc updates/s", "generator updates/s", "resmc / generator"),
        _limited,
    ),
    "threads": ("Threads: time on one over time on several", (*_WHERE, "networks", "ratio"), _own),
    "recording": (
        "Recording: time of every layer over time of the first and the last", (*_WHERE, "networks", "ratio"), _own,
    ),
    "curve": ("Scaling", ("time against", "of", "median times", "slope of logs", "standard error"), _curve),
    "memory": ("Peak resident memory", (*_WHERE, "networks", "MiB before", "MiB at most"), _memory),
}  # fmt: skip
