"""The benchmark of sweeps measures what it says: the same shards with and without a store, and a whole store read."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from resmc.results.storage import to_bytes
from resmc.sweep import compute

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import sweep, sweep_overhead  # noqa: E402

pytestmark = pytest.mark.cpu


@pytest.mark.long
def test_a_short_run_leaves_numbers_and_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert sweep.main(["--seconds", "0.01", "--points", "100", "--rounds", "5", "--output", str(tmp_path)]) == 0
    (data,) = tmp_path.glob("*.json")
    report = json.loads(data.read_text(encoding="utf-8"))
    assert report["large"]["points"]["median"] == report["large"]["shards"]["median"] == 100
    assert {row["shards"] for row in report["overhead"]} == {
        sweep_overhead.SHARDS * row["workers"] for row in report["overhead"]
    }
    assert all(row["over_bare"]["median"] > 0.5 for row in report["overhead"])
    page = data.with_suffix(".md").read_text(encoding="utf-8")
    assert all(line in page for line in report["verdicts"])


def test_time_outside_the_kernels_is_what_was_spent_there(tmp_path, monkeypatch):
    """A sweep that sleeps, and one that computes, for a known time after each kernel."""

    def busy(seconds):
        begin = time.thread_time()
        while time.thread_time() < begin + seconds:
            pass

    def storage(wait):
        return SimpleNamespace(to_bytes=lambda simulation, trimmed: (wait(0.1), to_bytes(simulation, trimmed))[1])

    plan, kernel, waits = sweep_overhead.plan_of(1, 1 << 26), compute.run, 0.1 * sweep_overhead.SHARDS
    plan.run(tmp_path / "warm", progress=False)
    for wait in (time.sleep, busy):
        watch = sweep_overhead.Watch()
        monkeypatch.setattr(compute, "storage", storage(wait))
        begin = time.perf_counter()
        with watch.watching():
            plan.run(tmp_path / wait.__name__, workers=1, progress=False)
        end = time.perf_counter()
        kernels = sum(stop - start for run in watch.kernels.values() for start, stop in run)
        assert sum(map(len, watch.kernels.values())) == sweep_overhead.SHARDS
        assert watch.idle(begin, end, 1) * kernels >= waits
        assert (watch.outside >= waits) == (wait is busy)
    assert compute.run is kernel


def test_a_target_that_is_missed_is_said_to_be():
    row = {"workers": 1, "idle": {"median": 0.03}, "processor": {"median": 0.01}}
    said = sweep.verdicts({"overhead": [row], "large": {"in all": {"median": 11.0}}})
    assert [("NOT reached" in line) for line in said] == [False, True, True]


def test_a_store_that_is_not_complete_is_not_timed(tmp_path, monkeypatch):
    plan = sweep.large_plan(100)
    sweep.fill(plan, tmp_path / "store")
    shard = next((tmp_path / "store").rglob("*.resmc"))
    shard.write_bytes(shard.read_bytes()[:-1])
    monkeypatch.setattr(type(plan), "run", lambda plan, path, **options: plan.result(path))
    with pytest.raises(RuntimeError, match="was not complete"):
        sweep.read_back(str(tmp_path / "store"))
