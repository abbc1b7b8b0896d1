"""Several runs on one store at once share the work, whatever their shards' sizes; none waits for what nobody does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from sweeps import contents, small

from resmc import Sweep
from resmc.sweep import coordinator
from resmc.sweep.claims import Claims
from resmc.sweep.shards import Range, cover, is_within
from resmc.sweep.store import Store, Stored

pytestmark = pytest.mark.cpu


def test_a_claim_keeps_others_away_until_its_owner_is_gone(tmp_path):
    (tmp_path / "claims").mkdir()
    mine, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    other.mark = "00000000-1"  # a process of another host
    assert mine.take("shard")
    assert mine.take("shard")
    assert not other.take("shard")
    assert other.others() == 1
    mine.drop("shard")
    assert other.take("shard")
    assert not mine.take("shard")
    other.stale = mine.stale = -1.0  # older than that, untouched
    assert mine.take("shard")


def test_who_is_interrupted_while_claiming_gives_up_no_claim_of_another(tmp_path, monkeypatch):
    mine, other = Claims(tmp_path), Claims(tmp_path)
    other.mark = "00000000-1"
    assert other.take("theirs")

    def interrupt(path: Path) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(mine, "_alive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mine.take("theirs")
    mine.drop_all()
    assert (tmp_path / "theirs").read_text(encoding="ascii") == other.mark


def test_the_claim_of_a_process_that_has_ended_is_nobodys(tmp_path):
    claims = Claims(tmp_path)
    process = get_context("spawn").Process()
    process.start()
    process.join()
    (tmp_path / "shard").write_text(claims.mark.partition("-")[0] + f"-{process.pid}", encoding="ascii")
    assert claims.others() == 0
    assert claims.take("shard")


@pytest.mark.parametrize("links", [True, False])
def test_a_claim_says_whose_it_is_and_is_as_young_as_the_last_touch(tmp_path, monkeypatch, links):
    """Where the file system has hard links, and where it has none."""
    if not links:
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError))
    claims = Claims(tmp_path)
    assert claims.take("one")
    assert claims.take("two")
    assert (tmp_path / "one").samefile(tmp_path / "two") == links
    for name in ("one", "two"):
        assert (tmp_path / name).read_text(encoding="ascii") == claims.mark
        os.utime(tmp_path / name, (0.0, 0.0))
    assert claims.of_others() == []
    assert Claims(tmp_path).others() == 0  # untouched for decades
    claims.last = -1e9
    claims.beat()
    assert Claims(tmp_path).others() == 2
    claims.drop("one")
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["two"]
    claims.drop_all()
    assert not list(tmp_path.iterdir())


def test_claims_that_cannot_be_kept_keep_nobody_from_working(tmp_path):
    claims = Claims(tmp_path / "nowhere")
    assert claims.take("shard")
    claims.last = -1e9
    claims.beat()
    claims.drop("shard")
    assert claims.others() == 0


def test_a_run_waits_for_what_another_process_claims_and_takes_over_when_it_is_gone(tmp_path, small_shards):
    store = Store(tmp_path / "store")
    store.create()
    name = next(iter(small_shards)).rpartition("-cpu")[0]
    claim = store.claims / name
    claim.write_text("00000000-1", encoding="ascii")

    timer = threading.Timer(2.5, claim.unlink)
    timer.start()
    assert small().run(store.path, progress=False).complete
    timer.join()
    assert contents(store.path) == small_shards


def test_two_runs_at_once_share_the_work(tmp_path, small_shards):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(small().run(tmp_path / "store", workers=1, progress=False)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.complete for result in results] == [True, True]
    assert contents(tmp_path / "store") == small_shards


# ------------------------------------------------------------------------------------------------ shards of other sizes


def together(store: Path, plans: list[Sweep]) -> None:
    """Runs them at once, each with one worker."""
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda plan=plan: results.append(plan.run(store, workers=1, progress=False)))
        for plan in plans
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.complete for result in results] == [True] * len(plans)


def test_runs_with_shards_of_other_sizes_compute_little_twice(tmp_path, small_shards, monkeypatch):
    fine, coarse = small(shard_updates=1), small(shard_updates=1 << 18)
    written, write = list[Stored](), Store.write

    def counted(self: Store, stored: Stored, data: bytes) -> None:
        write(self, stored, data)
        written.append(stored)

    monkeypatch.setattr(Store, "write", counted)
    monkeypatch.setattr(coordinator, "LOOK", 0.0)
    together(tmp_path / "store", [fine, coarse])
    assert len({stored.range.stop - stored.range.start for stored in written}) > 2
    assert sum(stored.range.stop - stored.range.start for stored in written) < 1.5 * 80_000  # 2.0 without a look
    whole = small().run(tmp_path / "whole", progress=False)
    for name, estimate in fine.result(tmp_path / "store").estimates.items():
        np.testing.assert_allclose(estimate.value, whole.estimates[name].value, rtol=1e-9, atol=1e-12)


def test_what_others_have_done_meanwhile_is_not_claimed_any_more(tmp_path, monkeypatch):
    """Also where it was ours, of a worker that had died."""
    runner = coordinator.Runner(small(), Store(tmp_path / "store"), "cpu", False)
    runner.open(keep_plan=False)
    waiting = deque(runner._missing(runner._listing()))
    first = waiting[0]
    assert runner.claims is not None
    assert runner.claims.take(first.name)
    small().run(tmp_path / "other", progress=False)
    for file in (tmp_path / "other" / "shards").rglob(f"{first.name}*"):
        place = tmp_path / "store" / file.relative_to(tmp_path / "other")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(file.read_bytes())
    monkeypatch.setattr(coordinator, "LOOK", 0.0)
    runner._look(waiting)
    assert first not in waiting
    assert len(waiting) == 159
    assert runner.state.networks == first.stop
    assert not list(runner.store.claims.iterdir())


def test_a_claim_on_some_of_the_same_networks_keeps_others_away(tmp_path):
    mine, other = Claims(tmp_path), Claims(tmp_path)
    other.mark = "00000000-1"
    key = "0" * 32
    assert mine.take(f"{key}-0-10")
    for overlapping in ("0-1", "9-20", "0-20", "3-4"):
        assert not other.take(f"{key}-{overlapping}")
    for free in (f"{key}-10-20", "1" * 32 + "-0-10"):
        assert other.take(free)
    mine.drop(f"{key}-0-10")
    assert other.take(f"{key}-3-4")


@pytest.mark.parametrize("seed", range(20))
def test_a_range_is_within_others_if_every_network_of_it_is(seed):
    random = np.random.default_rng(seed)
    cuts = np.unique(random.integers(0, 40, size=12)).tolist()
    ranges = [Range(a, b) for a, b in pairwise(cuts) if random.random() < 0.7]
    inside = {n for r in ranges for n in range(*r)}
    for start in range(40):
        for stop in range(start + 1, 41):
            assert is_within(Range(start, stop), ranges) == (set(range(start, stop)) <= inside)


def test_an_empty_range_that_somebody_left_is_no_shard(tmp_path):
    assert cover(100, 50, {Range(10, 10)}) == ([], [Range(0, 50), Range(50, 100)])
    result = small().run(tmp_path / "store", progress=False)
    file = next((tmp_path / "store" / "shards").rglob("*.resmc"))
    key, _, _, rest = file.name.split("-", 3)
    file.with_name(f"{key}-512-512-{rest}").touch()
    assert small().run(tmp_path / "store", progress=False).shards == result.shards


# ---------------------------------------------------------------------------------------------- scripts without a guard

SCRIPT = """
{imports}
import resmc
plan = resmc.Sweep(width=8, depth=8, alpha=0.6, lam=0.8, networks=1000)
print(plan.run({store!r}, engine={engine}, progress=False).complete)
"""


def run_script(folder: Path, engine: str, imports: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a script that has no main guard."""
    script = folder / "script.py"
    script.write_text(SCRIPT.format(store=str(folder / "store"), engine=engine, imports=imports), encoding="utf-8")
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)


def test_worker_processes_do_not_import_the_script(tmp_path):
    done = run_script(tmp_path, "'processes'")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_spawned_executors_of_a_script_without_a_guard_are_told_to_have_one(tmp_path):
    imports = "import concurrent.futures, multiprocessing"
    pool = "concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))"
    done = run_script(tmp_path, pool, imports)
    assert done.returncode != 0
    assert "put the call under `if __name__ == '__main__':`" in done.stderr
    assert not list((tmp_path / "store").rglob("*.tmp"))
