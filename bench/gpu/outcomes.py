"""A plugin of pytest that writes down every test as it ends, so that a run which is stopped leaves what it has:

    RESMC_OUTCOMES=FILE python -m pytest -p bench.gpu.outcomes ..

FILE has a line of JSON for each, {"test", "outcome", "message"}, after one that says how many there are. pytest's own
file is written at the end alone, and pytest-xdist takes longer to stop than a step has. The tests of the files whose
names stand in RESMC_FIRST are run before the others.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .steps import FIRST, OUTCOMES


def _write(row: dict[str, Any]) -> None:
    with Path(os.environ[OUTCOMES]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


class Outcomes:
    """Of the process that hears of all tests, not of its workers."""

    def __init__(self) -> None:
        self.counted = False

    def count(self, tests: int) -> None:
        """The first worker to say how many it has found speaks for all."""
        if not self.counted:
            self.counted = True
            _write({"collected": tests})

    def pytest_collection_finish(self, session: Any) -> None:
        if session.items:  # else they are with the workers
            self.count(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.count(len(ids))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test's call, or its set-up or tear-down where that has failed or skipped it."""
        if report.when != "call" and report.passed:
            return
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        crash = getattr(report.longrepr, "reprcrash", None)
        said = (crash.message if crash is not None else str(report.longrepr or "")).strip().splitlines() or [""]
        message = {} if outcome in ("passed", "skipped") else {"message": said[0][:300]}
        _write({"test": report.nodeid, "outcome": outcome, **message})


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Puts first what a run that is stopped should have told; in every worker alike."""
    first = os.environ.get(FIRST, "").split()
    items.sort(key=lambda item: item.path.stem not in first)


def pytest_configure(config: Any) -> None:
    if os.environ.get(OUTCOMES) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes(), "resmc-outcomes")
