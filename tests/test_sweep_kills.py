"""Whatever is killed, whenever: no finished shard is lost or computed again, and the result is the same.

Kills come at moments drawn from a seed, so each run of these tests may see others; what is claimed holds for all.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sys
import threading
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
    run_of,
    running,
    sweep,
    targeted,
    until,
)

from resmc import Sweep, load_sweep
from resmc._system.writers import process_is_alive, temporary_name
from resmc.sweep import coordinator
from resmc.sweep.claims import Claims
from resmc.sweep.processes import Worker

pytestmark = pytest.mark.cpu
# Seconds after which a run is killed at the latest: about what it takes to start and to compute half of the shards.
LATEST = {None: 0.6, "processes": 1.6}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of `sweep` that nothing has interrupted."""
    store = tmp_path_factory.mktemp("expected") / "store"
    assert sweep().run(store, workers=1, threads=2, progress=False).complete
    assert len(files(store)) == SHARDS
    return store


# ----------------------------------------------------------------------------------------------- the process that runs


def until_shards(store: Path, number: int, process: Process) -> None:
    """Waits for so many, or for the end of their maker."""
    until(lambda: len(files(store)) >= number or process.popen.poll() is not None, "shards come")


def killed_at_random(kills: int, engine: str | None, folder: Path, expected: Path, seed: int) -> dict[str, int]:
    """Runs and kills, ``kills`` times; a sweep that is complete before all of them have come is begun anew."""
    moments = random.Random(seed)
    seen = {"kills": 0, "kills with shards": 0, "finished sweeps": 0, "temporary files": 0, "claims": 0}
    store, before = folder / "0", dict[str, tuple[int, int]]()
    while seen["kills"] < kills or before:
        with running(run_of(sweep(), store, engine=engine)) as process:
            assert process.line() == "ready"
            if seen["kills"] < kills:
                if seen["kills"] % 2:  # every other one not before there are more shards, however slow the machine
                    wanted = len(before) + moments.randint(1, SHARDS // 4)
                    until_shards(store, min(wanted, SHARDS), process)
                time.sleep(moments.uniform(0.0, LATEST[engine] / (10 if seen["kills"] % 2 else 1)))
                ended = process.popen.poll() is not None
                process.kill()
            else:
                status, out, err = process.end()
                assert (status, out, err) == (0, "1\n", "")
                ended = True
        after = identities(store) if store.exists() else {}
        assert before.items() <= after.items()  # nothing that was finished is gone, or was written again
        assert contents(store).items() <= contents(expected).items()
        assert not list(folder.rglob("damaged"))
        if ended:
            assert_same(store, expected)
            seen["finished sweeps"] += 1
            store, before = folder / str(seen["finished sweeps"]), {}
        else:
            seen["kills"] += 1
            seen["kills with shards"] += 0 < len(after) < SHARDS
            lying = leftovers(store)
            seen["temporary files"] += sum(name.endswith(".tmp") for name in lying)
            seen["claims"] += sum(not name.endswith(".tmp") for name in lying)
            before = after
    return seen


@pytest.mark.parametrize("engine", [pytest.param(None, marks=pytest.mark.long), "processes"])
def test_a_sweep_killed_twice_loses_and_repeats_nothing(tmp_path, expected, engine):
    seen = killed_at_random(2, engine, tmp_path, expected, seed=1)
    assert seen["kills"] == 2
    assert seen["kills with shards"] >= 1
    assert seen["claims"] > 0
    assert seen["finished sweeps"] >= 1


@pytest.mark.long
@pytest.mark.parametrize("engine", [None, "processes"])
def test_a_sweep_killed_fifty_times_loses_and_repeats_nothing(tmp_path, expected, engine, capsys):
    begin = time.perf_counter()
    seen = killed_at_random(50, engine, tmp_path, expected, seed=2)
    with capsys.disabled():
        print(f"\nengine={engine!r}: {seen} in {time.perf_counter() - begin:.0f} s")
    assert seen["kills"] == 50
    assert seen["kills with shards"] >= 10
    assert seen["claims"] > 0
    assert seen["finished sweeps"] >= 1


def test_what_a_killed_process_leaves_behind_is_swept_up_by_the_next(tmp_path, expected):
    """Temporary files, claims, clocks, and claims that say nothing: of a process that has ended."""
    store = tmp_path / "store"
    with running([sys.executable, "-c", "pass"]) as process:
        process.popen.wait()
        gone = process.popen.pid
    assert not process_is_alive(gone)
    assert sweep(networks=4096).run(store, progress=False).complete
    mine = str(os.getpid())
    name = next(iter(contents(expected))).rpartition("-cpu")[0]
    folder = files(store)[0].parent
    for place in (store, folder):
        (place / temporary_name().replace(f"-{mine}-", f"-{gone}-")).write_bytes(b"half a sh")
    mark = Claims(store / "claims").mark.replace(mine, str(gone))
    (store / "claims" / f".clock-{mark}").touch()
    (store / "claims" / name).write_text(mark, encoding="ascii")
    assert len(leftovers(store)) == 4
    assert sweep(networks=4096).run(store, progress=False).complete
    assert leftovers(store) == []


def test_a_claim_without_a_name_and_one_of_a_reused_process_number_hold_nobody_up_for_long(tmp_path):
    claims = Claims(tmp_path)
    (tmp_path / "blank").touch()
    (tmp_path / "reused").write_text(claims.mark, encoding="ascii")  # of this number, but not touched for long
    assert not claims.take("blank")
    for name, age in (("blank", 5.0), ("reused", 120.0)):
        then = time.time() + claims.ahead - age
        os.utime(tmp_path / name, (then, then))
        assert claims.take(name)


def test_a_claim_that_cannot_be_read_is_nobodys(tmp_path):
    """Damaged, or given back between the moment it was seen and the moment it is read."""
    claims = Claims(tmp_path)
    (tmp_path / "damaged").write_bytes(b"\xff")
    (tmp_path / "vanished").symlink_to(tmp_path / "nowhere")
    assert claims.others() == 0
    assert claims.take("damaged")
    assert claims.take("vanished")
    assert (tmp_path / "damaged").read_text(encoding="ascii") == claims.mark


def test_the_claim_of_a_process_whose_status_nobody_has_asked_for_is_nobodys(tmp_path):
    """In a container there may be nobody who asks for it."""
    with running([sys.executable, "-c", "pass"]) as process:
        os.waitid(os.P_PID, process.popen.pid, os.WEXITED | os.WNOWAIT)
        claims = Claims(tmp_path)
        (tmp_path / "shard").write_text(claims.mark.replace(str(os.getpid()), str(process.popen.pid)), encoding="ascii")
        assert claims.others() == 0
        assert claims.take("shard")


# --------------------------------------------------------------------------------------------------------- its workers


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_sweep_whose_workers_are_killed_goes_on_by_itself(tmp_path, expected, monkeypatch, capsys):
    store, compute, moments, tasks = tmp_path / "store", Worker.compute, random.Random(3), list[Any]()

    def compute_and_die(self: Worker, task: Any) -> Any:
        tasks.append(task)
        if len(tasks) in (1, 60, 61):  # 1: while it starts; 60 and 61: two at once, or the same one twice
            threading.Timer(moments.uniform(0.0, 0.01), kill, [self.process.pid]).start()
        return compute(self, task)

    monkeypatch.setattr(Worker, "compute", compute_and_die)
    assert sweep().run(store, engine="processes", workers=2, threads=1).complete
    # A run that takes more than seconds says how far it is.
    said = [line for line in capsys.readouterr().err.splitlines() if not re.search(r"^resmc: [\d.]+%, ", line)]
    assert set(said) == {"resmc: a worker has died; what it was at is computed again"}
    assert 1 <= len(said) <= 3
    assert len(tasks) <= SHARDS + len(said)  # one is computed again for each, unless it was finished already
    # What a killed worker was writing is left; the next run finds nothing to do, and tidies up.
    before = identities(store)
    assert sweep().run(store, progress=False).complete
    assert identities(store) == before
    assert_same(store, expected)


def test_workers_that_die_again_and_again_end_the_run_with_a_sentence(tmp_path, expected, monkeypatch):
    store = tmp_path / "store"
    assert sweep(width=[8]).run(store, progress=False).complete
    before, started, start = identities(store), list[int](), Worker.__init__

    def start_and_die(self: Worker, *arguments: Any) -> None:
        start(self, *arguments)
        started.append(self.process.pid)
        kill(self.process.pid)

    monkeypatch.setattr(coordinator, "MOST_FAILURES", 2)
    with monkeypatch.context() as patch:
        patch.setattr(Worker, "__init__", start_and_die)
        with pytest.raises(RuntimeError, match=r"a worker has died .*\. Finished shards are safe") as caught:
            sweep().run(store, engine="processes", workers=1, progress=False)
    assert "\n" not in str(caught.value)
    assert coordinator.MOST_FAILURES < len(started) <= 2 * (coordinator.MOST_FAILURES + 1)
    assert not list((store / "claims").iterdir())
    assert identities(store) == before
    assert sweep().run(store, progress=False).complete
    assert before.items() <= identities(store).items()
    assert_same(store, expected)


def test_a_small_shard_that_kills_its_workers_is_the_one_that_is_named(tmp_path, monkeypatch):
    """It is one of a task's first, and not the first; none that shared its task is computed again more than once."""
    plan = Sweep(width=4, depth=4, alpha=[number / 64 for number in range(64)], lam=0.5, networks=64)
    compute, tasks = Worker.compute, list[list[float]]()

    def compute_or_die(self: Worker, task: Any) -> Any:
        tasks.append([one.shard.point.model.alpha for one in task])
        if 2 / 64 in tasks[-1]:
            kill(self.process.pid)
        return compute(self, task)

    monkeypatch.setattr(Worker, "compute", compute_or_die)
    with pytest.raises(RuntimeError, match=r"a worker has died while computing alpha 0\.03125: "):
        plan.run(tmp_path / "store", engine="processes", workers=1, threads=1, progress=False)
    fatal = [task for task in tasks if 2 / 64 in task]
    assert len(fatal[0]) > 2
    assert fatal[1:] == [[2 / 64]] * coordinator.MOST_FAILURES
    again = [alpha for task in tasks if task not in fatal for alpha in task]
    assert len(set(again)) == len(again)


# ------------------------------------------------------------------------------------------------------ several at once


COUNTED = """
import json, sys
from resmc import Sweep
from resmc.sweep.store import Store
plan, path, options = json.loads(sys.argv[1])
written, write = [], Store.write
def counted(self, stored, data):
    write(self, stored, data)
    written.append(stored.file)
    if len(written) == 20:  # as long as the other one has not come as far
        print("at 20", flush=True)
        sys.stdin.readline()
Store.write = counted
complete = Sweep.from_dict(plan).run(path, **options).complete
print(json.dumps([complete, written]), flush=True)
"""


def test_two_processes_on_one_store_share_the_work_and_do_none_of_it_twice(tmp_path, expected):
    store = tmp_path / "store"
    command = [sys.executable, "-c", COUNTED, *run_of(sweep(), store, workers=1)[3:]]
    with running(command) as one, running(command) as other:
        assert [p.line() for p in (one, other)] == ["at 20"] * 2
        for process in (one, other):
            process.say("go")
        (first, out_1, err_1), (second, out_2, err_2) = one.end(), other.end()
    assert (first, second, err_1, err_2) == (0, 0, "", "")
    (complete_1, written_1), (complete_2, written_2) = json.loads(out_1), json.loads(out_2)
    assert complete_1
    assert complete_2
    assert min(len(written_1), len(written_2)) >= 20
    assert sorted(written_1 + written_2) == sorted(contents(expected))
    assert_same(store, expected)


def test_a_targeted_sweep_killed_between_its_pilots_and_its_shards_is_the_same(tmp_path):
    plan = targeted(shard_updates=1)
    assert plan.run(tmp_path / "expected", progress=False).complete
    store, before = tmp_path / "store", dict[str, tuple[int, int]]()
    for enough in (1, 2, 3):
        with running(run_of(plan, store, workers=1)) as process:
            assert process.line() == "ready"
            until_shards(store, enough, process)
            process.kill()
        assert before.items() <= identities(store).items()
        before = identities(store)
    assert plan.run(store, progress=False).complete
    assert before.items() <= identities(store).items()
    assert_same(store, tmp_path / "expected")
    assert (load_sweep(store).networks == load_sweep(tmp_path / "expected").networks).all()
