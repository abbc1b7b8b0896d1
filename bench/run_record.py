"""Which machine, state of the code and moment a run's numbers are of: the head of every JSON under results."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import resmc

from .machine import commit, cpu_model

FACTS: dict[str, Callable[[], Any]] = {
    "date": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
    "commit": commit,
    "cpu": cpu_model,
    "cpus": lambda: len(os.sched_getaffinity(0)),
    "instruction_set": lambda: resmc.build_info()["instruction_set"],
    "version": lambda: resmc.build_info()["version"],
    "load": lambda: os.getloadavg()[0],
}


def run_record(*left_out: str) -> dict[str, Any]:
    """Return all FACTS but some, as they are now: to be called before a run, which changes the load."""
    return {name: fact() for name, fact in FACTS.items() if name not in left_out}
