"""Help for tests of `python -m bench.gpu_check`: a machine that is made up, and commands that are answered, not run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench.gpu.steps import Done  # noqa: E402
from bench.gpu_check import Check  # noqa: E402

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


def made_up_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a check with every tool there, and nothing copied into resmc."""
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
