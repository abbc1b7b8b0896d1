"""The steps of `python -m bench.gpu_check` and its deadline, with commands that are made up."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from gpu_checks import GOOD, ROOT, made_up_check, report_of  # noqa: E402

from bench import gpu_check  # noqa: E402
from bench.gpu.steps import Done  # noqa: E402
from bench.gpu_check import Check, Step  # noqa: E402


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    return made_up_check(tmp_path, monkeypatch)


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
