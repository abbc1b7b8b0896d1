"""The steps of `python -m bench.gpu_check`, its deadline and its report, with commands that are made up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import gpu_check, harness  # noqa: E402, I001
from bench.gpu import common as gpu_common  # noqa: E402
from bench.gpu import report as gpu_report  # noqa: E402
from bench.gpu import steps as gpu_steps  # noqa: E402
from bench import machine as bench_machine  # noqa: E402
from bench.gpu_check import Check, Step  # noqa: E402
from bench.gpu.steps import Done  # noqa: E402

MACHINE = {"gpu": "NVIDIA Made Up", "driver": "580.1", "compute_capability": "9.0", "python": "3.12.3", "cpu": "x",
           "cores": 16}  # fmt: skip
GOOD = Done(0, 1.0, False, "fine")
BUILT = json.dumps([{"version": "0.1.0"}, {"cuda": None, "runtime": "13.0"}])


class Runner:
    """Answers commands instead of running them; the first fragment that a command contains decides."""

    def __init__(self, answers: dict[str, Done] | None = None) -> None:
        self.answers = {"import json": Done(0, 1.0, False, BUILT), **(answers or {})}
        self.commands: list[str] = []
        self.beside: list[str] = []  # at the same time as others
        self.environments: list[dict[str, str]] = []

    def __call__(self, command: list[str], log: Path, limit: float, environment: dict[str, str], folder: Path) -> Done:
        text = " ".join(command)
        if "emulated.module()" in text:
            self.beside.append(text)
        else:
            self.commands.append(text)
            self.environments.append(environment)
        assert folder == ROOT
        assert limit > 0.0
        log.write_text(f"$ {text}\n", encoding="utf-8")
        return next((done for fragment, done in self.answers.items() if fragment in text), GOOD)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """With every tool there, and nothing copied into resmc."""
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(Check, "tool", lambda self, name: f"/tools/{name}")
    return Check(tmp_path / "out", tmp_path / "scratch", dict(MACHINE), 480.0, Runner())


def report_of(steps: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": "today",
        "commit": "0123456789ab+",
        "clean": False,
        "minutes": 8.0,
        "machine": MACHINE,
        "steps": steps,
    }


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


# ---- steps ----------------------------------------------------------------------------------------------------------


def test_build_is_plain_cmake(check: Check):
    result = gpu_check.build(check, 100.0)
    configure, build, report = check.execute.commands
    assert configure.startswith(f"/tools/cmake -S {ROOT} -B {check.scratch / 'build'} -G Ninja")
    assert "-DRESMC_CUDA=ON -DRESMC_CUDA_ARCHITECTURES=90" in configure
    assert build.startswith(f"/tools/cmake --build {check.scratch / 'build'} --parallel")
    assert "resmc.build_info()" in report
    assert len(check.execute.beside) == 1  # the emulated GPU, for which many tests would wait
    assert result["emulation"]["status"] == "ok"
    assert check.usable
    assert result["status"] == "ok"
    assert result["by"] == "cmake"
    assert result["devices"]["runtime"] == "13.0"


def test_pip_takes_over_where_cmake_cannot_be_configured(check: Check):
    check.execute.answers = {"-S": Done(1, 1.0, False, "no pybind11"), **check.execute.answers}
    result = gpu_check.build(check, 100.0)
    assert "-m pip install --no-build-isolation --no-deps --no-index --editable" in check.execute.commands[1]
    assert check.execute.environments[1]["CMAKE_ARGS"] == "-DRESMC_CUDA=ON -DRESMC_CUDA_ARCHITECTURES=90"
    assert "metadata" not in check.execute.environments[1]["PYTHONPATH"]  # pip would try to remove it
    assert result["status"] == "ok"
    assert (result["by"], result["configure"]) == ("pip", "no pybind11")


def test_a_build_without_use_leaves_the_rest_out(check: Check):
    seen = Done(0, 1.0, False, json.dumps([{}, {"cuda": "this machine has no NVIDIA driver"}]))
    check.execute.answers = {"import json": seen}
    report = report_of({})
    gpu_check.run_steps(check, list(gpu_check.STEPS), report)
    assert report["steps"]["build"]["status"] == "failed"
    assert report["steps"]["build"]["reason"] == "this machine has no NVIDIA driver"
    assert {report["steps"][name]["status"] for name in ("parity", "tests", "peers")} == {"skipped"}


def test_the_version_is_there_without_an_install(tmp_path: Path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    gpu_check.write_metadata(tmp_path)
    code = "import sys; sys.path[:] = [sys.argv[1]] + [p for p in sys.path if 'site-packages' not in p]; " \
           "from importlib import metadata; print(metadata.version('resmc'))"  # fmt: skip
    command = [sys.executable, "-I", "-S", "-c", code, str(tmp_path / "metadata")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == version


def test_steps_run_what_they_say(check: Check):
    report = report_of({})
    gpu_check.run_steps(check, list(gpu_check.STEPS), report)
    commands = "\n".join(check.execute.commands)
    for fragment in (
        "-m bench.gpu.parity --rows",
        "-m pytest -p bench.gpu.outcomes --device cuda",
        "-m bench.gpu.speed",
        "-m bench.gpu.peers",
    ):
        assert fragment in commands
    watched = [c for c in check.execute.commands if "compute-sanitizer" in c]
    assert all((ROOT / "tests" / f"{name}.py").exists() for name in gpu_check.OF_GPUS)
    tools = sorted(c.split("--tool ")[1].split()[0] for c in watched)
    assert tools == ["initcheck", "memcheck", "racecheck", "synccheck"]
    assert all(c.endswith("-m bench.gpu.sanitize") for c in watched)
    environment = check.execute.environments[-1]
    assert environment["PYTHONPATH"].startswith(str(ROOT))
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    assert all(step["status"] == "ok" for step in report["steps"].values())


def test_rows_of_a_stopped_program_are_kept(check: Check):
    rows = check.logs / "speed_rows.json"

    def stopped(*_: Any) -> Done:
        rows.write_text('[{"name": "first"}]', encoding="utf-8")
        return Done(-2, 60.0, True, "interrupted")

    check.execute = stopped
    result = gpu_check.program("speed")(check, 60.0)
    assert result["status"] == "stopped"
    assert result["rows"] == [{"name": "first"}]


def test_a_sanitizer_that_refuses_is_quoted(check: Check):
    def refuses(command: list[str], log: Path, *_: Any) -> Done:
        log.write_text("========= COMPUTE-SANITIZER\n========= Error: Device not supported\n", encoding="utf-8")
        return Done(1, 1.0, False, "")

    check.execute = refuses
    result = gpu_check.sanitizer(check, 90.0)
    assert len(result["tools"]) == 4
    assert result["status"] == "failed"
    assert result["tools"]["memcheck"]["words"] == ["Error: Device not supported"]
    assert result["tools"]["memcheck"]["summary"] is None


def test_a_missing_sanitizer_is_left_out(check: Check, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Check, "tool", lambda self, name: None)
    assert gpu_check.sanitizer(check, 90.0)["status"] == "skipped"


# ---- the deadline ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [600.0, 480.0, 200.0, 40.0, 0.0])
def test_limits_keep_to_what_is_left(left: float):
    """Each step taking all it is given."""
    steps = list(gpu_check.STEPS)
    for i, step in enumerate(steps):
        limit = gpu_check.limit_of(step, steps[i + 1 :], left)
        assert 0.0 <= limit <= min(step.most, left)
        left -= limit
    assert left >= -1e-9


def test_one_failure_costs_the_others_nothing_and_all_is_written(check: Check):
    def broken(*_: Any) -> dict[str, Any]:
        raise RuntimeError("of its own")

    def good(*_: Any) -> dict[str, Any]:
        written.append(json.loads((check.out / "gpu_check.json").read_text(encoding="utf-8")))
        return {"status": "ok"}

    written: list[dict[str, Any]] = []
    report = report_of({})
    gpu_check.run_steps(check, [Step("parity", broken, 20.0, 60.0), Step("speed", good, 20.0, 60.0)], report)
    assert written[0]["steps"]["parity"]["status"] == "failed"
    assert report["steps"]["parity"]["reason"] == "RuntimeError: of its own"
    assert report["steps"]["speed"]["status"] == "ok"
    assert "| speed | ok |" in (check.out / "gpu_check.md").read_text(encoding="utf-8")


def test_few_files_are_left_and_all_logs_are_in_one_of_them(check: Check):
    """A machine that is lent gives back eight files at most."""
    gpu_check.run_steps(check, list(gpu_check.STEPS), report_of({}))
    assert sorted(file.name for file in check.out.iterdir()) == [
        "gpu_check.json", "gpu_check.md", "gpu_check_logs.tar.gz"
    ]  # fmt: skip
    with tarfile.open(check.out / "gpu_check_logs.tar.gz") as archive:
        logs = set(archive.getnames())
    assert logs >= {f"{name}.log" for name in ("configure", "build", "parity", "tests", "sanitizer-memcheck", "speed")}


def test_what_is_expected_leaves_every_step_its_time(check: Check):
    """With the default minutes, a build of two and every other step taking all that it may."""
    steps, left = list(gpu_check.STEPS), 60.0 * 9.0
    for i, step in enumerate(steps):
        limit = gpu_check.limit_of(step, steps[i + 1 :], left)
        assert limit >= step.least
        left -= min(limit, 120.0) if step.name == "build" else limit
    assert left >= -1e-9
    assert next(step.least for step in steps if step.name == "sanitizer") >= 90.0


def test_all_sanitizers_have_all_the_time(check: Check):
    """At once: one after the other, the first took most of it."""
    limits: list[float] = []
    started = threading.Barrier(4, timeout=20.0)

    def watching(command: list[str], log: Path, limit: float, *_: Any) -> Done:
        limits.append(limit)
        started.wait()
        log.write_text("========= ERROR SUMMARY: 0 errors\n", encoding="utf-8")
        return GOOD

    check.execute = watching
    assert gpu_check.sanitizer(check, 100.0)["status"] == "ok"
    assert len(limits) == 4
    assert min(limits) > 95.0


def test_without_time_a_step_is_left_out(check: Check):
    check.seconds = 5.0
    report = report_of({})
    gpu_check.run_steps(check, list(gpu_check.STEPS), report)
    assert {step["status"] for step in report["steps"].values()} == {"skipped"}
    assert not check.execute.commands


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


# ---- rows and the table ---------------------------------------------------------------------------------------------


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
