"""Ctrl-C and SIGTERM: a sweep ends at once, quietly and politely, and the same line again completes it."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sweeps import (
    SHARDS,
    Process,
    assert_same,
    contents,
    files,
    identities,
    leftovers,
    resmc_command,
    running,
    sweep,
    until,
)

from resmc.cli import main
from resmc.sweep import coordinator
from resmc.sweep.engines import Threads

pytestmark = pytest.mark.cpu
PLAN = """
width = [8, 16]
depth = [64, 128]
alpha = 0.5
lam = 0.5
networks = {networks}
shard_updates = 1
"""
INTERRUPTED = "resmc: finished shards are safe, the same command goes on\nresmc: interrupted\n"
SOON = 15.0  # seconds; it takes tenths of one, and up to two on busy cores where processes are still starting


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """40 000 small shards: no machine finishes it before the signal comes."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(networks=4 * 10**7), encoding="utf-8")
    return path


def ended_by(number: int, process: Process, to_all: bool) -> tuple[int, str, str]:
    """Sends a signal to the process, or to its whole group as a terminal does; exit status and what it has said."""
    (os.killpg if to_all else os.kill)(process.popen.pid, number)
    begin = time.monotonic()
    status, out, err = process.end()
    assert time.monotonic() - begin < SOON
    until(lambda: not process.family(), "workers end")
    return status, out, re.sub(r"^resmc: [\d.]+%, .*\n", "", err, flags=re.M)  # how far it is, on a busy machine


def command(plan: Path, store: Path, *options: str) -> list[str]:
    return resmc_command("sweep", plan, "--store", store, "--workers", "2", "--threads", "1", *options)


@pytest.mark.parametrize("options", [[], ["--processes"]], ids=["threads", "processes"])
def test_ctrl_c_ends_a_sweep_at_once_and_leaves_nothing_but_shards(tmp_path, plan, options):
    store, before = tmp_path / "store", dict[str, tuple[int, int]]()
    for _ in range(1 if options else 2):  # and goes on, and can be stopped again
        with running(command(plan, store, *options)) as process:
            until(lambda b=before: len(files(store)) > len(b) + 5, "shards are computed")
            status, out, err = ended_by(signal.SIGINT, process, to_all=True)
        assert (status, out, err) == (130, "", INTERRUPTED)
        assert leftovers(store) == []
        assert before.items() <= identities(store).items()
        before = identities(store)


@pytest.mark.parametrize("delay", [pytest.param(0.0, marks=pytest.mark.long), 0.2])
def test_ctrl_c_while_workers_are_starting_prints_no_traceback(tmp_path, plan, delay):
    """They import numpy then, for tenths of a second."""
    store = tmp_path / "store"
    with running(command(plan, store, "--processes")) as process:
        until(lambda: (store / "claims").exists() and any((store / "claims").glob("[0-9a-f]*")), "a claim")
        time.sleep(delay)
        status, out, err = ended_by(signal.SIGINT, process, to_all=True)
    assert (status, out, err) == (130, "", INTERRUPTED)
    assert leftovers(store) == []


@pytest.mark.parametrize(
    ("kind", "to_all"),
    [
        pytest.param("sweep", False, marks=pytest.mark.long),
        ("sweep", True),
        ("sweep --processes", False),
        pytest.param("sweep --processes", True, marks=pytest.mark.long),
        ("worker", False),
        pytest.param("worker", True, marks=pytest.mark.long),
    ],
)
def test_sigterm_ends_a_sweep_as_politely(tmp_path, plan, kind, to_all):
    """The signal goes to the process alone, or to its children as well."""
    store = tmp_path / "store"
    assert main(["sweep", str(plan), "--store", str(store), "--prepare"]) == 0
    line = resmc_command("worker", store) if kind == "worker" else command(plan, store, *kind.split()[1:])
    with running(line) as process:
        until(lambda: len(files(store)) > 5, "shards are computed")
        status, out, err = ended_by(signal.SIGTERM, process, to_all)
    assert (status, out) == (143, "")
    assert "Traceback" not in err
    # A worker process that the signal reaches as well may have been writing; all else is given back.
    left = leftovers(store)
    assert not left if not to_all or "--processes" not in kind else all(name.endswith(".tmp") for name in left)


@pytest.mark.long
@pytest.mark.parametrize("options", [[], ["--processes"]], ids=["threads", "processes"])
def test_the_same_line_after_ctrl_c_completes_the_sweep(tmp_path, plan, options):
    plan.write_text(PLAN.format(networks=50 * 4096), encoding="utf-8")
    store, expected = tmp_path / "store", tmp_path / "expected"
    assert sweep(alpha=0.5, lam=0.5).run(expected, progress=False).complete
    with running(command(plan, store, *options, "--quiet")) as process:
        until(lambda: files(store), "shards are computed")
        status, _, _ = ended_by(signal.SIGINT, process, to_all=True)
    assert status in (130, 0)  # 0: a machine that computes 200 shards between two looks
    before = identities(store)
    with running(command(plan, store, *options, "--quiet")) as process:
        status, out, err = process.end()
    assert (status, err) == (0, "")
    assert "INCOMPLETE" not in out
    assert before.items() <= identities(store).items()
    assert len(contents(store)) == SHARDS
    assert_same(store, expected)


def test_a_second_ctrl_c_gives_back_the_claims_as_well(tmp_path, monkeypatch):
    """Who presses it twice in a notebook would else wait for claims of the very process."""
    close = Threads.close

    def interrupted(self: Any) -> None:
        close(self)
        raise KeyboardInterrupt

    def first(done: int, in_all: int) -> None:
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr(Threads, "close", interrupted)
    monkeypatch.setattr(coordinator, "PATIENCE", 0.01)
    with pytest.raises(KeyboardInterrupt):
        sweep().run(tmp_path / "store", progress=first)
    assert leftovers(tmp_path / "store") == []


@pytest.mark.parametrize("tries", [1, pytest.param(16, marks=pytest.mark.long)])
@pytest.mark.parametrize(("kind", "second"), [("sweep", signal.SIGINT), ("worker", signal.SIGTERM)])
def test_a_second_signal_within_milliseconds_does_not_disturb_the_end(tmp_path, plan, kind, second, tries):
    """Of a shell and a batch queue, or of a finger: the status is that of the first, and nothing is left."""
    store = tmp_path / "store"
    assert main(["sweep", str(plan), "--store", str(store), "--prepare"]) == 0
    line = resmc_command("worker", store) if kind == "worker" else command(plan, store)
    for number in range(tries):
        before = len(files(store))
        with running(line) as process:
            until(lambda n=before: len(files(store)) > n, "shards are computed")
            process.popen.send_signal(signal.SIGINT)
            time.sleep(0.001 * 3 ** (number % 5))
            if process.popen.poll() is None:
                process.popen.send_signal(second)
            status, out, err = process.end()
        assert (status, out, err) == (130, "", INTERRUPTED)
        assert leftovers(store) == []
