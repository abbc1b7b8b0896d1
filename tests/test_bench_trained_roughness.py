"""The benchmark of roughness and gradients says numbers and what is asked, and sees where they are missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

pytest.importorskip("torch")

from bench import trained_roughness as bench

pytestmark = pytest.mark.cpu


@pytest.mark.long
def test_a_quick_run_is_written_and_its_numbers_are_reached(tmp_path, capsys):
    assert bench.main(["--quick", "--output", str(tmp_path)]) == 0
    (found,) = tmp_path.glob("trained-roughness-quick-*.json")
    report = json.loads(found.read_text())
    assert [case["name"] for case in report["cases"]][:3] == ["relu, independent", "relu, H = 0.7", "relu, smooth"]
    assert all(line["reached"] for case in report["cases"] for line in case["lines"])
    assert all(line["reached"] for line in report["slopes"])
    assert all(0.1 < case["moved"][0] < 1.0 for case in report["cases"])
    table = capsys.readouterr().out
    assert table.count("\n| relu, ") == table.count("\n| gelu, ") == 9
    assert len(list(tmp_path.glob("*.md"))) == 1


def test_what_was_learnt_from_other_weights_is_missed():
    """A negative control: the exponents of one law's states are asked of another's networks."""
    (row,) = bench.trained("iid", 0.5, "relu", bench.Scale(6, 24, 1, (8, 16))).rows
    kept, learnt = bench.lines("independent", row, 0.7)
    assert kept.reached
    assert not learnt.reached


def test_a_slope_after_adam_is_no_slope_of_descent():
    found = bench.gradients(bench.Scale(6, 24, 1, (4, 16)))
    swapped = bench.slopes({"SGD": found["Adam"], "Adam": found["SGD"]})
    assert [line.reached for line in swapped[1:]] == [False, False]
