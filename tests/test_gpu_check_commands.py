"""The machine that `python -m bench.gpu_check` finds, and the commands that it runs and stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from gpu_checks import ROOT, made_up_check, report_of  # noqa: E402

from bench import gpu_check  # noqa: E402
from bench import machine as bench_machine  # noqa: E402
from bench.gpu import report as gpu_report  # noqa: E402
from bench.gpu import steps as gpu_steps  # noqa: E402
from bench.gpu.steps import Done  # noqa: E402
from bench.gpu_check import Check  # noqa: E402


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    return made_up_check(tmp_path, monkeypatch)


# ---- the machine ----------------------------------------------------------------------------------------------------


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_check.main(["--out", str(tmp_path / "out")]) == 2
    assert (
        "needs an NVIDIA GPU, and there is none to use here: nvidia-smi is not on the PATH" in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo 'NVIDIA-SMI has failed'; exit 9", "nvidia-smi says: NVIDIA-SMI has failed"), ("exit 0", "says: nothing")],
)
def test_a_broken_driver_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bench_machine.NoGpu, match=said):
        bench_machine.gpu_machine()


def test_machine_is_what_nvidia_smi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA X, 580.1, 9.0, 1 MiB'\n", encoding="utf-8")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = bench_machine.gpu_machine()
    assert (found["gpu"], found["driver"], found["compute_capability"]) == ("NVIDIA X", "580.1", "9.0")
    # A build for CUDA is called 2.11.0+cu130 by torch itself and 2.11.0 by what is installed.
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["numpy"] == np.__version__


# ---- commands and what they leave -----------------------------------------------------------------------------------


def python(code: str, log: Path, limit: float) -> Done:
    return gpu_steps.execute([sys.executable, "-c", code], log, limit, {"PATH": "/usr/bin"}, ROOT)


def test_commands_are_run_and_logged(tmp_path: Path):
    done = python("print('said'); raise SystemExit(3)", tmp_path / "log", 30.0)
    assert (done.code, done.timed_out, done.ok) == (3, False, False)
    assert (tmp_path / "log").read_text(encoding="utf-8").splitlines()[-1] == "said"
    assert done.status()["status"] == "failed"
    assert gpu_steps.execute(["/no/such"], tmp_path / "log", 1.0, {}, ROOT).code == 127


def test_at_the_limit_a_command_may_still_write(tmp_path: Path):
    begin = time.monotonic()
    done = python(
        "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "try: time.sleep(60)\nexcept KeyboardInterrupt: print('kept', flush=True)",
        tmp_path / "log",
        4.0,
    )
    assert done.timed_out
    assert done.status()["status"] == "stopped"
    assert done.tail.endswith("kept")
    assert time.monotonic() - begin < 30.0


def test_a_command_that_does_not_listen_is_killed(tmp_path: Path):
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    begin = time.monotonic()
    assert python(code, tmp_path / "log", 2.0).timed_out
    assert time.monotonic() - begin < 30.0


SUITE = """
import time, pytest
@pytest.fixture
def broken(): raise RuntimeError("broke")
def test_good(): pass
def test_bad(): assert 1 == 2, "as it should not"
@pytest.mark.skip(reason="none")
def test_skipped(): pass
def test_error(broken): pass
@pytest.mark.parametrize("i", range(20))
def test_slow(i): time.sleep(3 * (i > 0))
"""


@pytest.mark.parametrize("more", [[], pytest.param(["-n", "2"], marks=pytest.mark.long)], ids=["one", "several"])
def test_a_suite_that_is_stopped_leaves_what_has_ended(tmp_path: Path, more: list[str]):
    if more:
        pytest.importorskip("xdist")
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "test_a.py").write_text("import time\ndef test_last(): time.sleep(60)\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    outcomes = tmp_path / "outcomes.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RESMC_OUTCOMES": str(outcomes), "RESMC_FIRST": "test_suite"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "bench.gpu.outcomes", *more, str(tmp_path)]
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 60.0
        while gpu_steps.outcomes_of(outcomes).get("ran", 0) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it cannot end as it would like to
        process.wait()
    found = gpu_steps.outcomes_of(outcomes)
    assert found["collected"] == 25
    assert 5 <= found["ran"] < 25
    assert (found["skipped"], found["failures"]) == (1, 2)
    assert found["passed"] == found["ran"] - 3
    said = sorted(line.split("::")[1] for line in found["failed"])
    assert said[0].startswith("test_bad: AssertionError: as it should not")
    assert said[1].startswith("test_error: ")
    assert gpu_steps.outcomes_of(tmp_path / "none") == {}


def test_a_stopped_suite_with_a_failure_has_failed(check: Check):
    def stopped(*_: Any) -> Done:
        rows = [
            {"collected": 9},
            {"test": "a::b", "outcome": "failed", "message": "c"},
            {"test": "a::d", "outcome": "passed"},
        ]
        (check.logs / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"te')
        return Done(-2, 60.0, True, "interrupted")

    check.execute = stopped
    result = gpu_check.tests(check, 60.0)
    assert (result["status"], result["ran"], result["collected"], result["failures"]) == ("failed", 2, 9, 1)
    text = gpu_report.markdown(report_of({"tests": result}))
    assert "| no failure | 1 passed, 1 failed, 0 skipped; 2 of 9 ended in time |" in text
    assert "- a::b: c" in text


def test_the_sanitizers_verdict_is_read(tmp_path: Path):
    text = "========= COMPUTE-SANITIZER\nsaid by us\n========= Invalid read\n========= ERROR SUMMARY: 1 error\n"
    (tmp_path / "log").write_text(text, encoding="utf-8")
    assert gpu_steps.summary_of(tmp_path / "log") == {"summary": "ERROR SUMMARY: 1 error", "words": ["Invalid read"]}
