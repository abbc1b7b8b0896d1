"""The budget of instructions per neuron update: what is read of the counters' output, and what breaks the budget."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "instructions.py"
spec = importlib.util.spec_from_file_location("instructions", SCRIPT)
assert spec is not None
assert spec.loader is not None
instructions = importlib.util.module_from_spec(spec)
sys.modules["instructions"] = instructions
spec.loader.exec_module(instructions)

NAMES = list(instructions.RUNS)

# ---- counting -------------------------------------------------------------------------------------------------------

VALGRIND = """\
==5526== Cachegrind, a cache and branch-prediction profiler
==5526== Command: ./count_instructions avx2 projected vanilla 192 20 ends 128
==5526==
avx2: mean log-norm -0.2719535
==5526==
==5526== I   refs:      8,345,428
"""


def test_counts_are_read() -> None:
    assert instructions.parse_count(VALGRIND) == 8345428
    assert instructions.parse_count("avx2: sum 1\n12345678,,instructions:u,1000,100.00,,\n") == 12345678
    assert instructions.parse_count("<not supported>,,instructions:u,0,100.00,,\n") is None
    assert instructions.parse_count("") is None


def test_an_update_costs_the_difference_of_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(*command: str) -> str:
        asked.append(command)
        return f"==1== I   refs:      {1_000_000 + 7 * 4 * 10 * int(command[-1]):,}\n"

    monkeypatch.setattr(instructions, "run", run)
    run_spec = dict(zip(instructions.KEYS, ("projected", "vanilla", 4, 10, "ends", 32), strict=True))
    assert instructions.per_update("count", ["valgrind"], run_spec) == 7.0
    assert asked[0] == ("valgrind", "count", "avx2", "projected", "vanilla", "4", "10", "ends", "32")
    assert asked[1][-1] == "64"


def test_a_counter_that_does_not_count_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"valgrind": VALGRIND, "perf": "<not supported>,,instructions:u,0,100.00,,\n"}
    found = {"valgrind", "perf"}
    monkeypatch.setattr(instructions.shutil, "which", lambda name: name if name in found else None)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: SimpleNamespace(returncode=0, stdout="", stderr=said[command[0]])
    )
    assert instructions.counter() == "valgrind"
    found.remove("valgrind")
    with pytest.raises(instructions.NotCountable, match="no valgrind"):
        instructions.counter()
    said["perf"] = "7,,instructions:u,0,100.00,,\n"
    assert instructions.counter() == "perf"


def test_without_a_counter_the_step_says_so_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    data = tmp_path / "data.json"
    assert instructions.main(["--data", str(data)]) == 0
    assert instructions.main(["--data", str(data), "--update"]) == 1
    assert not data.exists()
    assert capsys.readouterr().out.count("SKIPPED") == 2


# ---- the budget -----------------------------------------------------------------------------------------------------


def result(factor: float = 1.0, compiler: str = "g++ 12.2.0", **changes: Any) -> dict[str, Any]:
    """A measurement; `changes` are of the first run."""
    runs = {
        name: {**dict(zip(instructions.KEYS, run, strict=True)), "instructions_per_update": 13.25}
        for name, run in instructions.RUNS.items()
    }
    runs[NAMES[0]]["instructions_per_update"] *= factor
    runs[NAMES[0]] |= changes
    return {"instruction_set": "avx2", "compiler": compiler, "counted_by": "valgrind", "runs": runs}


def failures(stored: dict[str, Any], measured: dict[str, Any]) -> list[str]:
    return [change.name for change in instructions.compare(stored, measured) if change.fails]


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (1.0, None),
        (1.049, None),
        (0.951, None),
        (1.051, "over budget"),
        (0.949, "better: record it"),
    ],
)
def test_five_percent_in_either_direction_fail(
    factor: float, verdict: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = instructions.compare(result(), result(factor))
    assert failures(result(), result(factor)) == ([NAMES[0]] if verdict else [])
    assert len(changes) == len(NAMES)
    assert instructions.report(changes) == (verdict is None)
    assert (verdict or "ok") in capsys.readouterr().out


def test_other_runs_than_the_recorded_ones_fail() -> None:
    fewer = result()
    del fewer["runs"][NAMES[2]]
    assert failures(fewer, result()) == failures(result(), fewer) == [NAMES[2]]
    assert failures(result(), result(depth=21)) == [NAMES[0]]
    assert failures({}, result()) == NAMES


def test_another_compiler_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert failures(result(), result(2.0, compiler="g++ 13.1.0")) == []
    assert failures(result(), result(2.0, compiler="g++ Clang 12.0.1")) == []
    assert failures(result(), result(2.0, compiler="g++ 12.3.0")) == [NAMES[0]]
    instructions.report(instructions.compare(result(), result(2.0, compiler="g++ 13.1.0")))
    said = capsys.readouterr().out
    assert said.count("NOT compared") == len(NAMES)
    assert "26.500" in said


def test_the_data_file_has_a_line_for_each_run_and_is_of_these_runs() -> None:
    text = (SCRIPT.parents[1] / "tests" / "data" / "cpu_instructions.json").read_text(encoding="utf-8")
    stored = json.loads(text)
    assert instructions.dump(stored) == text
    assert len([line for line in text.splitlines() if "instructions_per_update" in line]) == len(NAMES)
    assert failures(stored, stored) == []
    assert stored["instruction_set"] == instructions.INSTRUCTION_SET
    assert {name: tuple(run[key] for key in instructions.KEYS) for name, run in stored["runs"].items()} == (
        instructions.RUNS
    )
