"""What the tests of sweeps share: plans, what a store holds, runs that are stopped, runs in processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import resmc
from resmc import Sweep, load_sweep

HALF = math.sqrt(0.5)
SHARDS = 200  # of `sweep`
PATIENCE = 60.0  # seconds for what takes tenths of one: no test fails for a slow machine
MARK = "RESMC_TEST_RUN"  # an environment variable by which a run's processes are known
RUN = """
import json, sys
from resmc import Sweep
plan, store, options = json.loads(sys.argv[1])
plan = Sweep.from_dict(plan)
print("ready", flush=True)
print(int(plan.run(store, **options).complete), flush=True)
"""


SMALL: dict[str, Any] = {
    "width": [8, 16], "ratio": [0.5, 1], "alpha": HALF, "lam": HALF, "networks": 20_000, "shard_updates": 1,
}  # fmt: skip


def small(**changes: Any) -> Sweep:
    """Four points of forty shards each."""
    return Sweep(**SMALL | changes)


def as_toml(**changes: Any) -> str:
    """The same as a file; a value of None leaves a line out."""
    return "".join(f"{name} = {value!r}\n" for name, value in (SMALL | changes).items() if value is not None)


def sweep(**changes: Any) -> Sweep:
    """Four points of 50 shards of about 5 ms each, one of a core."""
    given: dict[str, Any] = {
        "width": [8, 16], "depth": [64, 128], "alpha": HALF, "lam": HALF, "networks": 50 * 4096, "shard_updates": 1,
    }  # fmt: skip
    return Sweep(**given | changes)


def targeted(**changes: Any) -> Sweep:
    """Two points with pilots, and a few shards each."""
    given: dict[str, Any] = {
        "width": [8, 16], "depth": 8, "alpha": HALF, "lam": HALF, "max_networks": 20_000, "shard_updates": 1 << 18,
        "target_stderr": {"log_norm.variance": 0.02},
    }  # fmt: skip
    return Sweep(**given | changes)


# -------------------------------------------------------------------------------------------------- what a store holds


def files(store: Path) -> list[Path]:
    """Every shard's file."""
    return sorted((store / "shards").rglob("*.resmc"))


def contents(store: Path) -> dict[str, bytes]:
    """Every shard by name."""
    return {path.name: path.read_bytes() for path in files(store)}


def identities(store: Path) -> dict[str, tuple[int, int]]:
    """What changes when a shard is written again, by name."""
    return {path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in files(store)}


def leftovers(store: Path) -> list[str]:
    """Claims and temporary files."""
    claims = store / "claims"
    return [str(p) for p in store.rglob("*") if p.name.endswith(".tmp") or claims in p.parents]


def assert_same(store: Path, expected: Path) -> None:
    """Byte for byte the same shards, the same estimates, and nothing else lies about."""
    assert contents(store) == contents(expected)
    found, wanted = load_sweep(store), load_sweep(expected)
    assert found.complete
    assert found.damaged == ()
    for name, estimate in wanted.estimates.items():
        np.testing.assert_array_equal(found.estimates[name].value, estimate.value)
        np.testing.assert_array_equal(found.estimates[name].stderr, estimate.stderr)
    assert leftovers(store) == []


class Enough(Exception):
    """Stops a run from its progress."""


def stopped_after(networks: int) -> Any:
    """A progress that stops the run when so many networks are done."""

    def report(done: int, in_all: int) -> None:
        if done >= networks:
            raise Enough

    return report


# ---------------------------------------------------------------------------------------------------- runs in processes


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE} s"
        time.sleep(0.002)
    return found


def environment() -> dict[str, str]:
    """Of a process that uses this very package."""
    package = str(Path(resmc.__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])}


class Process:
    """A process of its own session, and all that it starts."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.mark = uuid.uuid4().hex
        self.popen = subprocess.Popen(
            command, env=environment() | {MARK: self.mark}, start_new_session=True, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def line(self) -> str:
        """The next line that it prints."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def say(self, line: str) -> None:
        """A line for it to read."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def family(self) -> list[int]:
        """Its processes that still run: those that have its mark in their environment."""
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if wanted in (entry / "environ").read_bytes():  # of a process that has ended it is empty
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def end(self) -> tuple[int, str, str]:
        """Exit status, and the rest of its output."""
        out, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, out, err

    def kill(self) -> None:
        """The process at once, as by ``kill -9``; what it has started is left to notice."""
        self.popen.kill()
        self.popen.wait()
        until(lambda: not self.family(), "workers end after the process that started them was killed")


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[Process]:
    """A process that does not outlive its test."""
    process = Process(command, **options)
    try:
        yield process
    finally:
        for pid in process.family():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        process.popen.communicate()


def run_of(plan: Sweep, store: Path, **options: Any) -> list[str]:
    """The command of a process that runs a plan: prints ``ready`` when it begins, and ``1`` when it has finished."""
    given = {"progress": False, "workers": 2, "threads": 1} | options
    return [sys.executable, "-c", RUN, json.dumps([plan.to_dict(), str(store), given])]


def resmc_command(*arguments: Any) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "resmc", *map(str, arguments)]


def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(resmc_command(*arguments), text=True, env=environment(), **pipes | options)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit status, output and errors; nothing that a test starts takes minutes."""
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err
