"""The benchmark of resampled populations says what is reached, and sees where it is not."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import moment_growth as bench

pytestmark = pytest.mark.cpu


def test_a_quick_run_is_written_and_all_but_the_time_is_reached(tmp_path, capsys):
    bench.main(["--quick", "--output", str(tmp_path)])
    (found,) = tmp_path.glob("moment-growth-quick-*.json")
    lines = json.loads(found.read_text())["lines"]
    assert len({line["what"] for line in lines}) == len(lines) == 10
    assert all(line["reached"] for line in lines if "time" not in line["what"])
    assert capsys.readouterr().out.count("\n| ") == 1 + len(lines)


def test_what_is_asked_is_missed_by_other_numbers(monkeypatch):
    """A negative control: moments that grow by 2% in each layer, where they should not grow at all."""

    def wrong(model, **settings):
        run = real(model, **settings)
        return replace(run, log_product=run.log_product + 0.02 * run.layers)

    real = bench.moment_growth
    monkeypatch.setattr(bench, "moment_growth", wrong)
    assert not all(line.reached for line in bench.accuracy(bench.QUICK))
    assert not any(line.reached for line in bench.coverage(replace(bench.QUICK, seeds=10)))
