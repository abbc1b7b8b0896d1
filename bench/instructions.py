"""How busy the machine is: instructions per second from a count of instructions per neuron update, where there is one.

The counts are those of `make instructions` (tests/data/cpu_instructions.json), of networks as wide as those timed but
perhaps less deep: what a layer costs does not depend on how many there are. Whether a processor could retire more per
cycle is not known here, and nothing is claimed about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .verdicts import Entry, matching

COUNTS = Path(__file__).parents[1] / "tests" / "data" / "cpu_instructions.json"


def instruction_rates(entries: Sequence[Entry], instruction_set: str, counts: Path = COUNTS) -> list[dict[str, Any]]:
    """For each width that was both counted and timed on this instruction set; empty without counts."""
    if not counts.exists():
        return []
    known = json.loads(counts.read_text(encoding="utf-8"))
    if known.get("instruction_set") != instruction_set:
        return []
    clock, found = clock_hz(), []
    for name, run in known["runs"].items():
        if (run["method"], run["variant"], run["layers"]) != ("projected", "vanilla", "ends"):
            continue
        for entry in matching(entries, part="limit", variant="vanilla", status="done"):
            width, depth = entry["job"]["problem"]["width"], entry["job"]["problem"]["depth"]
            if width != run["width"]:
                continue
            per_s = entry["result"]["resmc_per_s"]["median"] * width * depth
            row = {"run": name, "width": width, "depth": depth, "updates_per_s": per_s}
            row["instructions_per_update"] = run["instructions_per_update"]
            row["instructions_per_s"] = per_s * run["instructions_per_update"]
            row["clock_hz"] = clock
            row["instructions_per_cycle"] = row["instructions_per_s"] / clock if clock else None
            found.append(row)
    return found


def clock_hz() -> float | None:
    """What /proc/cpuinfo says now: on a virtual machine often the nominal clock, not the one in use."""
    try:
        said = re.search(r"^cpu MHz\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return 1e6 * float(said[1]) if said else None
