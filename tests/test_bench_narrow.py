"""The benchmark of narrow networks: every number is measured, and one that is missed is said to be."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import narrow

pytestmark = pytest.mark.cpu
TINY = replace(narrow.QUICK, narrow=((8, 64),), points=2, networks=64, fit_depth=600, rounds=1)


def test_a_tiny_run_leaves_every_number_and_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(narrow, "QUICK", TINY)
    narrow.main(["--quick", "--output", str(tmp_path)])
    (data,) = tmp_path.glob("*.json")
    report = json.loads(data.read_text(encoding="utf-8"))
    assert report["command"] == "python -m bench.narrow --quick"
    assert len(report["lines"]) == 6
    assert all(line["value"] > 0.0 for line in report["lines"])
    page = data.with_suffix(".md").read_text(encoding="utf-8")
    assert all(line["what"] in page for line in report["lines"])


def test_processor_seconds_leave_out_what_a_call_waits_and_keep_what_it_works():
    def work():
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    assert narrow.processor_seconds(lambda: time.sleep(0.05)) < 0.02
    assert narrow.processor_seconds(work) >= 0.02


def test_a_share_of_kernels_below_nine_tenths_is_not_reached(monkeypatch):
    """Points so small that nearly all of their time is spent beside the kernels."""
    kernels, cores = narrow.small_points(TINY)
    assert 0.0 < kernels.value < 0.9
    assert not kernels.reached
    assert 0.0 < cores.value < 1.1
