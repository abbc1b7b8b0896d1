"""The benchmark of linear networks says what is reached, times a step, and sees where the rate is missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import resmc

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import linear_descent as bench

pytestmark = pytest.mark.cpu


def test_a_quick_run_is_written_and_its_controls_behave(tmp_path, capsys):
    status = bench.main(["--quick", "--output", str(tmp_path)])
    (found,) = tmp_path.glob("linear-descent-quick-*.json")
    report = json.loads(found.read_text())
    by_name = {line["what"]: line for line in report["lines"]}
    assert len(by_name) == 7
    order = by_name["distance of N and 2N, N = 8 to 32: order"]
    assert abs(order["value"] - 1.0) < 0.05
    assert order["reached"]
    assert all(line["reached"] for name, line in by_name.items() if "control" in name)
    assert all(line["reached"] for line in report["lines"])
    assert status == 0
    assert [cost["depth"] for cost in report["costs"]] == [8, 16, 32]
    table = capsys.readouterr().out
    assert table.count("\n| ") >= 7 + 3
    assert "python -m bench.linear_descent --quick" in table
    assert len(list(tmp_path.glob("*.md"))) == 1


def test_memory_does_not_grow_with_the_steps():
    (cost,) = bench.costs([64], 2)
    few, many = cost["mib"]
    assert many < 1.1 * few
    assert cost["ms_per_step"] > 0.0


def test_a_start_that_is_no_function_of_the_depth_misses_the_rate():
    """A negative control of what the table asks for."""
    rng = np.random.default_rng(3)
    given = bench.targets(2)
    found = resmc.ode.linear_descent(given, (8, 16), time=1, start=lambda t: rng.standard_normal((4, 4)))
    assert not bench.rates(found)[0].reached
    assert not bench.rates(found)[-1].reached
