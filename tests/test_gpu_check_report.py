"""The rows of `python -m bench.gpu_check` and the page that is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from gpu_checks import report_of  # noqa: E402

from bench import harness  # noqa: E402
from bench.gpu import common as gpu_common  # noqa: E402
from bench.gpu import report as gpu_report  # noqa: E402


def test_rows_are_written_as_they_come(tmp_path: Path):
    rows = gpu_common.Rows(tmp_path / "rows.json", 60.0)

    def broken() -> dict[str, Any]:
        raise ValueError("first line\nsecond line")

    rows.add("good", lambda: {"per_s": harness.Spread(2.0, 1.0, 3.0), "n": np.int64(3), "a": np.arange(2)})
    rows.add("broken", broken)
    rows.add("late", dict, needs=1e6)
    good, bad, late = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert good["per_s"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    assert (good["n"], good["a"]) == (3, [0, 1])
    assert bad["error"] == "ValueError: first line"
    assert "s wanted" in late["skipped"]
    assert rows.failed


def test_table_of_made_up_measurements():
    spread = {"median": 4e11, "min": 3e11, "max": 5e11}
    difference = {"median": 1e-6, "q99": 2e-6, "q999": 3e-6, "max": 4e-6}
    networks = {"name": "projected vanilla 192x200", "log_norm_difference": difference, "above_1e-4": 0.0,
                "final_bits_equal": 0.25, "integers_equal": {"active": 1.0}, "holds": True,
                "asked": "100% within 1e-4"}  # fmt: skip
    words = {"name": "words and normals", "words": 400, "words_that_differ": 0, "normals": 4000, "holds": False,
             "avx2": {"normals_that_differ": 7, "most_ulp": 1}}  # fmt: skip
    roots = {
        "name": "square roots",
        "roots_that_differ": 1,
        "radicands": 9,
        "asked": "correctly rounded",
        "holds": False,
    }
    residual = {"name": "there and back", "quantities": {"log_norm": {"max": 0.5, "above": 0.25}}, "asked": "90%",
                "holds": True}  # fmt: skip
    populations = {"name": "populations of 64", "log_product_difference": {"median": 1e-7, "max": 2e-3},
                   "above_1e-4": 0.005, "populations": 200, "layers": 12, "asked": "99%", "holds": True}  # fmt: skip
    size = {"name": "vanilla 192x200", "shape": "8 threads", "per_s": spread, "generator_per_s": spread,
            "of_generator": 0.8, "reduce_over_simulate": 0.01}  # fmt: skip
    shapes = {"name": "shapes, 40x200", "chosen": "a", "best": "b", "per_s": {"a": 3.0, "b": 4.0},
              "chosen_over_best": 0.75}  # fmt: skip
    whole = {"name": "simulate() end to end", "seconds": spread, "per_s": 3e11}
    grown = {"name": "moment_growth() end to end", "seconds": spread, "per_s": 2e11, "of_plain": spread}
    normals = {"name": "normals", "randn_per_s": spread, "randn_in_cache_per_s": spread, "ours_per_s": spread}
    slow = {"name": "module_loop", "per_s": {"median": 1e8, "min": 1e8, "max": 1e8}, "options": {}}
    steps = {
        "parity": {
            "status": "ok",
            "rows": [
                words,
                roots,
                residual,
                populations,
                networks,
                {"name": "last", "skipped": "2 s left, 3 s wanted"},
            ],
        },
        "tests": {
            "status": "failed",
            "collected": 9,
            "ran": 9,
            "passed": 6,
            "failures": 1,
            "skipped": 2,
            "failed": ["a::b: c"],
        },
        "sanitizer": {"status": "ok", "tools": {"memcheck": {"status": "ok", "summary": "ERROR SUMMARY: 0 errors"}}},
        "speed": {"status": "ok", "rows": [size, shapes, whole, grown, {"name": "x", "error": "WrongAnswer: far off"}]},
        "peers": {"status": "ok", "rows": [{"name": "ours", "per_s": spread, "options": {"batch": 4}}, normals, slow]},
    }
    text = gpu_report.markdown(report_of(steps))
    for line in (
        "# NVIDIA Made Up, commit 0123456789ab (with changes)",
        "| words and normals | equal words "
        "| 0 of 400 words differ; normals of 4000 that differ from the CPU's: avx2 7 | NO |",
        "| no failure | 6 passed, 1 failed, 2 skipped |",
        "| square roots | correctly rounded | 1 of 9 square roots differ | NO |",
        "| there and back | 90% | log_norm max 0.5, above 25.00% | yes |",
        "| populations of 64 | 99% | max 0.002, median 1e-07, above 0.50% of 200 populations, resampled at 10 layers "
        "| yes |",
        "- a::b: c",
        "| memcheck | 0 errors | ERROR SUMMARY: 0 errors | ok |",
        "| shapes, 40x200 | a | b | 4 | 75.0% |",
        "| x | FAILED: WrongAnswer: far off |",
        "| module_loop | 1e+08 (1e+08 to 1e+08) | - | 4000 |",
    ):
        assert line in text.splitlines()
    assert (
        "| 100% within 1e-4 | max 4e-06, median 1e-06, above 0.00%; equal bits 25.0%; equal sums of active 100.0%"
        in text
    )
    assert "skipped: 2 s left, 3 s wanted" in text


@pytest.mark.parametrize("name", ["build", "parity", "tests", "sanitizer", "speed", "peers"])
def test_a_step_that_left_nothing_has_its_line(name: str):
    text = gpu_report.markdown(report_of({name: {"status": "failed", "reason": "why"}}))
    assert f"| {name} | failed: why |" in text
