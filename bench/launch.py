"""Starts the process of a comparison, with its environment and cores, and brings back its result or a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import resmc

from .environment import HELD, environment
from .harness import Moments
from .job import Job

ROOT = Path(__file__).parents[1]
LIMIT_S = 300.0  # of one comparison


def run(job: Job, reference: Moments | None, limit: float = LIMIT_S) -> dict[str, Any]:
    """``status`` (done, missing, refused, failed), with ``result`` or ``reason``."""
    every = sorted(os.sched_getaffinity(0))
    # One thread is the last core's for everybody: a library that starts more threads shares it among them.
    order = {
        "job": job.to_json(),
        "reference": asdict(reference) if reference else None,
        "cores": every[-1:] if job.threads == 1 else every[: job.threads],
    }
    variables = environment(job.instruction_set, resmc.build_info()["instruction_sets"][0], job.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "bench.worker", str(result)],
                input=json.dumps(order),
                env={name: value for name, value in os.environ.items() if name not in HELD} | variables,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return {"status": "failed", "reason": f"not finished after {limit:g} s"}
        if result.exists():
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return found
    if done.returncode < 0:
        return {"status": "failed", "reason": f"ended by {signal.Signals(-done.returncode).name}"}
    said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return {"status": "failed", "reason": said[-1][:300]}
