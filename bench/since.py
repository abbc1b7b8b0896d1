"""What has moved since the last run that is recorded of the same machine, by more than its noise.

Compared are ratios that were measured by turns, of rates or of times: a machine that is slower on another day slows
both sides. A ratio has moved if its rounds of then and of now lie apart, all of one above all of the other. Of a and b
rounds of one law that happens with a probability of 2 a! b!/(a + b)!, 2/252 for five and five, whatever that law is;
what two processes differ by, as in where their memory lies, comes on top.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .harness import Spread
from .verdicts import Entry

RESULTS = Path(__file__).parent / "results"
SAME = ("cpu", "cores", "instruction_set")  # what makes a machine another
VERSIONS = ("numerics", "compiler", "python", "numpy", "torch", "jax", "numba")  # what may have moved a ratio
KEY = ("part", "task", "threads", "method", "peer", "name", "axis")  # of a job, beside its problem
OTHER = {"compare": "peer_per_s", "limit": "draw_per_s"}  # the rate beside resmc's own


def last_recorded(machine: dict[str, Any], folders: Iterable[Path]) -> tuple[Path, Entry] | None:
    """The latest finished run of this machine, with its file; no smoke run, whose rounds are too short."""
    found = []
    for path in {path.resolve() for folder in folders for path in folder.glob("cpu-*.json")}:
        if path.stem.endswith("-unfinished"):
            continue
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["options"]["scale"] != "smoke" and all(run["machine"].get(name) == machine[name] for name in SAME):
            found.append((run["date"], path, run))
    return max(found, key=lambda one: one[:2])[1:] if found else None


def since(now: Entry, then: tuple[Path, Entry] | None) -> list[str]:
    """What this run was compared with, and a line for each ratio that has moved."""
    machine = now["machine"]
    if then is None:
        said = f"{machine['cpu']}, {machine['cores']} cores, {machine['instruction_set']}"
        return [f"No run of this machine ({said}) is recorded: there is nothing to compare with."]
    path, before = then
    where = f"{path.name}, commit {before['commit']}, {before['date']}"
    known = {_key(entry): entry for entry in _with_ratio(before["results"])}
    pairs = [(known[_key(entry)], entry) for entry in _with_ratio(now["results"]) if _key(entry) in known]
    if not pairs:
        return [f"The last run recorded of this machine ({where}) has measured nothing that this one has."]
    moved = [pair for pair in pairs if _apart(*(_ratio(entry) for entry in pair))]
    by_chance = sum(chance(*(entry["job"]["effort"]["rounds"] for entry in pair)) for pair in pairs)
    lines = [
        f"{len(moved) or 'None'} of {len(pairs)} ratios moved by more than their noise since the last run recorded of "
        f"this machine ({where}); if nothing had changed, {by_chance:.1g} would be expected.",
        *(_line(*pair) for pair in moved),
    ]
    others = [f"{name} {before['machine'].get(name)} then, {machine.get(name)} now" for name in VERSIONS
              if before["machine"].get(name) != machine.get(name)]  # fmt: skip
    return [*lines, f"Other versions: {'; '.join(others)}."] if others else lines


def chance(a: int, b: int) -> float:
    """The probability that a and b independent numbers of one continuous law lie apart."""
    return 2.0 / math.comb(a + b, a)


def noise(old: Spread, new: Spread) -> float:
    """By which part two medians differ at most while their rounds overlap: both half ranges together."""
    return math.sqrt(old.max / old.min * new.max / new.min) - 1.0


def _apart(old: Spread, new: Spread) -> bool:
    return new.min > old.max or new.max < old.min


def _with_ratio(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["status"] == "done" and "ratio" in entry["result"]]


def _ratio(entry: Entry) -> Spread:
    return Spread(**entry["result"]["ratio"])


def _key(entry: Entry) -> str:
    job = entry["job"]
    return json.dumps([job["problem"], *(job[name] for name in KEY)], sort_keys=True)


def _line(old: Entry, new: Entry) -> str:
    """A ratio of then and of now, and which side of it moved, where there are rates of both."""
    then, now = _ratio(old), _ratio(new)
    said = (
        f"{new['title']}: {then} then, {now} now, {now.median / then.median - 1.0:+.1%} (noise {noise(then, now):.1%})"
    )
    other = OTHER.get(new["job"]["task"], "")
    if other not in new["result"] or other not in old["result"]:
        return f"{said}."
    rates = [new["result"][name]["median"] / old["result"][name]["median"] - 1.0 for name in ("resmc_per_s", other)]
    return f"{said}; networks/s of resmc {rates[0]:+.1%}, of the other side {rates[1]:+.1%}."
