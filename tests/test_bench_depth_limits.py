"""The benchmark of limits in depth: its table says what is reached, and each job measures what its name says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from resmc import Estimate

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import depth_limits  # noqa: E402
from bench.asked import Line, between, near  # noqa: E402

pytestmark = pytest.mark.cpu


def estimate(value: float) -> Estimate:
    return Estimate(np.asarray(value), np.asarray(0.01), np.asarray(100))


def test_a_number_is_reached_within_its_bound_and_no_farther() -> None:
    assert near("order", estimate(0.96), 1.0, 0.05).reached
    assert not near("order", estimate(0.94), 1.0, 0.05).reached
    assert not near("order", estimate(np.nan), 1.0, 0.05).reached
    assert between("slope", estimate(0.3), 0.2, 0.4).reached
    assert not between("slope", estimate(0.41), 0.2, 0.4).reached


def test_the_page_has_a_row_for_each_number_and_exit_status_says_whether_all_are_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth_limits, "ProcessPoolExecutor", Here)
    good, bad = Line("one", "1 +- 0.05", 1.01, 0.02, True), Line("two", "0 +- 4", 9.0, 1.0, False)
    monkeypatch.setattr(depth_limits, "jobs", lambda: {"ode, a": lambda: [good], "weak, b": lambda: [bad]})
    assert depth_limits.main(["--output", str(tmp_path)]) == 1
    page = (tmp_path / "depth-limits.md").read_text()
    assert "2 numbers, 1 of them not reached" in page
    assert "| two | 0 +- 4 | 9.0000 ± 1.0000 | NOT reached |" in page
    assert list(json.loads((tmp_path / "depth-limits.json").read_text())) == ["ode, a", "weak, b"]
    assert depth_limits.main(["--output", str(tmp_path), "--only", "ode"]) == 0
    assert "2 numbers, 1 of them not reached" in (tmp_path / "depth-limits.md").read_text()  # the other job is kept


def test_every_job_measures_a_kind_of_limit() -> None:
    names = list(depth_limits.jobs())
    assert {name.partition(",")[0] for name in names} == {"ode", "strong", "weak", "frontier", "neither"}
    assert len(depth_limits.ode("phi-out, tanh", "tied", 1)) == 2
    assert len(depth_limits.weak("phi-in, tanh", 40)) == 4


class Here:
    """An executor that works at once, in this process."""

    def __init__(self, processes: int) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, function, *given):  # type: ignore[no-untyped-def]
        from concurrent.futures import Future

        done: Future[object] = Future()
        done.set_result(function(*given))
        return done
