"""The table of coverage: what it counts, what fails, and that a part counted again leaves the others."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from resmc import Estimate

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import coverage  # noqa: E402
from bench.coverage import Count, Results, cell  # noqa: E402
from bench.coverage_cases import CASES, covered  # noqa: E402

pytestmark = pytest.mark.cpu
WIDE = Count("wide", "growth", 100, 2000, 2000, 1900, 0, 0.5, True)


def test_a_case_fails_where_the_exact_binomial_bound_is_under_93_percent():
    for covering in range(1700, 2001):
        upper = 1.0 if covering == 2000 else stats.binomtest(covering, 2000).proportion_ci(0.998, "exact").high
        assert replace(WIDE, covering=covering).failed == (upper < 0.93)
    assert replace(WIDE, covering=1800).failed
    assert "fails" in cell(replace(WIDE, covering=1800))
    assert not replace(WIDE, with_error=0, covering=0).failed
    assert cell(replace(WIDE, with_error=0, covering=0)) == "no interval"


def test_an_infinite_truth_is_missed_by_the_entries_with_an_interval_alone():
    value = np.array([-np.inf, -np.inf, 1.0, 2.0])
    there, holds, _ = covered(Estimate(value, np.array([np.nan, np.nan, np.nan, 0.5]), np.full(4, 100)), -np.inf)
    assert there.all()
    assert holds.tolist() == [True, True, True, False]
    there, _, _ = covered(Estimate(value, np.full(4, np.nan), np.full(4, 100)), -np.inf)
    assert not there.any()


def test_values_without_an_error_cover_nothing_and_miss_nothing():
    estimate = Estimate(np.array([0.0, 1.0, 9.0, 9.0]), np.array([1.0, 1.0, 1.0, np.nan]), np.full(4, 1000))
    there, holds, far = covered(estimate, 0.0)
    assert there.tolist() == [True, True, True, False]
    assert (holds & there).tolist() == [True, True, False, False]
    assert (far & there).tolist() == [False, False, True, False]


def test_what_is_counted_again_takes_the_place_of_what_was_and_says_so(tmp_path: Path):
    sizes = [replace(WIDE, networks=networks) for networks in (100, 20_000)]
    first = Results(tmp_path, ["--first"])
    first.add("wide", sizes)
    first.add("width 1", [replace(WIDE, case="width 1")])
    second = Results(tmp_path, ["--second"])
    second.add("wide", [replace(sizes[1], covering=1899)])
    second.add("targets", (49, 50))
    record = json.loads((tmp_path / "coverage.json").read_text())
    assert [one["cases"] for one in record["runs"]] == [["wide", "width 1"], ["wide of 20,000 networks", "targets"]]
    assert [(row["case"], row["networks"], row["covering"]) for row in record["counts"]] == [
        ("wide", 100, 1900), ("wide", 20_000, 1899), ("width 1", 100, 1900),
    ]  # fmt: skip
    assert "Of 50 points" in (tmp_path / "coverage.md").read_text()
    third = Results(tmp_path, ["--third"])
    third.add("wide", sizes)  # as a whole: no other run has a part in it
    assert [one["cases"] for one in third.record["runs"]] == [["width 1"], ["targets"], ["wide"]]
    assert [row for row in third.record["counts"] if row["case"] == "wide"] == [asdict(one) for one in sizes]


def test_a_short_run_counts_every_estimate_of_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coverage, "TRUTH", 20_000)
    case = next(one for one in CASES if one.name == "width 4 balanced")
    counts = {(c.quantity, c.networks): c for c in coverage.count(case, [100, 2_000], 30)}
    mean = counts["log_norm.mean", 2_000]
    assert mean.seeds == mean.with_error == 30
    assert not mean.failed
    assert stats.binom.ppf(1e-6, 30, 0.95) <= mean.covering
    assert counts["log_norm.excess_kurtosis", 100].with_error == 0
    assert {quantity for quantity, networks in counts if networks == 100} == {q for q, n in counts if n == 2_000}
    assert counts["growth", 2_000].exact
