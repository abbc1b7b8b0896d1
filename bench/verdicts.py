"""The targets, and whether a run's results reach them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .harness import Spread
from .peers.table import CONTENDERS
from .plan import CURVES, DEFAULT_LOOP, MAIN, NARROW, Size

Entry = dict[str, Any]  # {"job": .., "status": .., "result" or "reason": ..}


@dataclass(frozen=True)
class Target:
    """A bound on a median. ``find`` gives what was measured and a remark on it, or why it was not."""

    text: str
    find: Callable[[Sequence[Entry]], tuple[Spread, str] | str]
    low: float | None = None
    high: float | None = None


def verdicts(entries: Sequence[Entry]) -> list[str]:
    """A line for each target: reached, NOT reached, or not measured and why."""
    return [verdict(target, entries) for target in targets()]


def verdict(target: Target, entries: Sequence[Entry]) -> str:
    found = target.find(entries)
    if isinstance(found, str):
        return f"{target.text}: not measured ({found})."
    spread, remark = found
    reached = (target.low is None or spread.median >= target.low) and (
        target.high is None or spread.median <= target.high
    )
    word = "measured" if target.low is target.high is None else "reached" if reached else "NOT reached"
    values = f"median {spread}" if spread.min < spread.max else f"{spread.median:.4g}"
    return f"{target.text}: {word} ({values}{remark})."


def targets() -> list[Target]:
    found = [
        Target(f"At least {bound:g} times the best smart peer at {_named(size)}, one thread", _smart(size), bound)
        for size, bound in ((MAIN, 4.0), ((40, 1000), 4.0), ((1024, 256), 4.0), ((100, 10), 3.0))
    ]
    loop = _ratio("peers", "compare", MAIN, peer=DEFAULT_LOOP)
    found.append(Target(f"At least 1500 times the module loop as published at {_named(MAIN)}, one thread", loop, 1500))
    for size in (MAIN, (1024, 256)):
        text = f"At least 0.85 of the rate of the generator alone at {_named(size)}, one thread"
        found.append(Target(text, _ratio("limit", "limit", size), 0.85))
    dense = _ratio("dense", "compare", MAIN, peer="torch.bmm")
    found.append(Target(f"Dense at least 5 times batched torch at {_named(MAIN)}, one thread", dense, 5.0))
    two = _ratio("threads", "threads", MAIN, threads=2)
    found.append(Target(f"Two threads at least 1.9 times one at {_named(MAIN)}", two, 1.9))
    for axis in ("width", "depth", "networks"):
        low, *_, high = CURVES[axis][1]
        text = f"Slope of log time against log {axis} ({low:,} to {high:,}) within 0.95 to 1.05"
        found.append(Target(text, _slope(axis), 0.95, 1.05))
    found.append(Target("Peak memory does not grow with the number of networks (less than 2%)", _growth, None, 1.02))
    all_layers = f"Recording every layer at {_named(MAIN)} in less than 1.1 times the time of the first and last alone"
    found.append(Target(all_layers, _ratio("recording", "recording", MAIN), None, 1.1))
    narrow = (NARROW.width, NARROW.depth)
    text = f"Recording every layer at {_named(narrow)}, no target: time over that of the first and last"
    return [*found, Target(text, _ratio("recording", "recording", narrow))]


def _named(size: Size) -> str:
    return f"width {size[0]}, depth {size[1]}"


def matching(entries: Sequence[Entry], **wanted: Any) -> list[Entry]:
    """Those whose jobs have these fields; ``size`` is width and depth."""

    def fits(entry: Entry) -> bool:
        p = entry["job"]["problem"]
        known = {**entry["job"], "size": (p["width"], p["depth"]), "variant": p["variant"], "status": entry["status"]}
        known["curve"] = entry["job"]["name"]
        return all(known[name] == value for name, value in wanted.items())

    return [entry for entry in entries if fits(entry)]


def _one(entries: Sequence[Entry], **wanted: Any) -> dict[str, Any] | str:
    found = matching(entries, **wanted)
    if not found:
        return "not part of this run"
    return found[0]["result"] if found[0]["status"] == "done" else str(found[0]["reason"])


def _ratio(
    part: str, task: str, size: Size, threads: int = 1, **wanted: Any
) -> Callable[[Sequence[Entry]], tuple[Spread, str] | str]:
    def find(entries: Sequence[Entry]) -> tuple[Spread, str] | str:
        found = _one(entries, part=part, task=task, size=size, variant="vanilla", threads=threads, **wanted)
        return found if isinstance(found, str) else (Spread(**found["ratio"]), "")

    return find


def _smart(size: Size) -> Callable[[Sequence[Entry]], tuple[Spread, str] | str]:
    def find(entries: Sequence[Entry]) -> tuple[Spread, str] | str:
        found = matching(entries, part="peers", task="compare", size=size, variant="vanilla", threads=1)
        smart = [e for e in found if CONTENDERS[e["job"]["peer"]].role == "smart"]
        done = [e for e in smart if e["status"] == "done"]
        lacking = [f"{e['job']['peer']}: {e['reason']}" for e in smart if e["status"] != "done"]
        if not done:
            return "; ".join(lacking) or "not part of this run"
        best = min(done, key=lambda e: e["result"]["ratio"]["median"])
        without = f", without {'; '.join(lacking)}" if lacking else ""
        return Spread(**best["result"]["ratio"]), f", against {best['job']['peer']}{without}"

    return find


def _slope(axis: str) -> Callable[[Sequence[Entry]], tuple[Spread, str] | str]:
    def find(entries: Sequence[Entry]) -> tuple[Spread, str] | str:
        found = _one(entries, part="curves", axis=axis, curve=axis)
        if isinstance(found, str):
            return found
        slope = found["slope"]
        error = f", standard error {slope['stderr']:.2g}" if slope["stderr"] is not None else ""
        return Spread(slope["value"], slope["value"], slope["value"]), error

    return find


def _growth(entries: Sequence[Entry]) -> tuple[Spread, str] | str:
    found = matching(entries, part="memory")
    failed = [str(e["reason"]) for e in found if e["status"] != "done"]
    if failed or len(found) < 2:
        return "; ".join(failed) or "not part of this run"
    runs = sorted((e["result"] for e in found), key=lambda r: r["networks"])
    ratio = runs[-1]["peak_bytes"] / runs[0]["peak_bytes"]
    remark = f" times, {runs[0]['peak_bytes'] / 2**20:.1f} MiB at {runs[0]['networks']:,} networks and "
    remark += f"{runs[-1]['peak_bytes'] / 2**20:.1f} MiB at {runs[-1]['networks']:,}"
    return Spread(ratio, ratio, ratio), remark
