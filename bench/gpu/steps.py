"""Running a command within a time limit, and reading what pytest and compute-sanitizer leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OUTCOMES = "RESMC_OUTCOMES"  # the variable that tells `outcomes` where to write
FIRST = "RESMC_FIRST"  # names of files of tests that are to be run before the others
TAIL = 3000  # characters of a log that a result quotes


@dataclass(frozen=True)
class Done:
    """How a command ended, and the end of what it said."""

    code: int
    seconds: float
    timed_out: bool
    tail: str

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.timed_out

    def status(self, ok: bool | None = None) -> dict[str, Any]:
        """For a step's result; ``ok`` if more than the exit code decides."""
        word = "stopped" if self.timed_out else "ok" if (self.ok if ok is None else ok) else "failed"
        return {"status": word, "code": self.code, "seconds": round(self.seconds, 1)}


def execute(command: list[str], log: Path, limit: float, environment: Mapping[str, str], folder: Path) -> Done:
    """Run it with its output in ``log``. At the limit it is interrupted, so that it can still write what it has, and
    soon after that it is killed, with all that it started.
    """
    begin, timed_out = time.monotonic(), False
    grace = min(8.0, 0.15 * max(limit, 0.0))
    with log.open("wb") as output:
        output.write(f"$ {' '.join(command)}\n".encode())
        output.flush()
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=dict(environment), cwd=folder, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return Done(127, 0.0, False, str(error))
        for number, wait in ((signal.SIGINT, max(limit - grace, 0.1)), (signal.SIGKILL, grace), (None, None)):
            try:
                code = process.wait(wait)
                break
            except subprocess.TimeoutExpired:
                timed_out = True
                assert number is not None
                os.killpg(process.pid, number)
    if timed_out:  # its own processes may have outlived it
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return Done(code, time.monotonic() - begin, timed_out, tail_of(log))


def tail_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()


def outcomes_of(file: Path, most: int = 30) -> dict[str, Any]:
    """Counts of what `outcomes` has written and the first failures, a line each; nothing without a file."""
    rows = []
    for line in lines_of(file):
        with contextlib.suppress(ValueError):  # the last one, of a process that was killed while it wrote
            rows.append(json.loads(line))
    if not rows:
        return {}
    last = {row["test"]: row for row in rows if "test" in row}  # a test that passed may fail in its tear-down
    counts = {name: sum(row["outcome"] == name for row in last.values()) for name in ("passed", "skipped")}
    failed = [row for row in last.values() if row["outcome"] in ("failed", "error")]
    return {
        "collected": next((row["collected"] for row in rows if "collected" in row), None),
        "ran": len(last),
        **counts,
        "failures": len(failed),
        "failed": [f"{row['test']}: {row['message']}" for row in failed[:most]],
    }


def summary_of(log: Path, most: int = 12) -> dict[str, Any]:
    """compute-sanitizer's verdict, None if it came to none, and the first of its other lines."""
    marked = [line.removeprefix("=========").strip() for line in lines_of(log) if line.startswith("=========")]
    verdicts = [line for line in marked if re.search(r"SUMMARY:", line)]
    others = [line for line in marked if line and line not in verdicts and line != "COMPUTE-SANITIZER"]
    return {"summary": verdicts[-1] if verdicts else None, "words": others[:most]}


def lines_of(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
