"""The process of one comparison: `python -m bench.worker RESULT`, the job as JSON on its standard input.

The environment has been set by whoever started it (bench.launch); nothing heavy is imported before the cores are.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> int:
    order = json.load(sys.stdin)
    os.sched_setaffinity(0, order["cores"])
    Path(sys.argv[1]).write_text(json.dumps(outcome(order)), encoding="utf-8")
    return 0


def outcome(order: dict[str, Any]) -> dict[str, Any]:
    """``done`` with a result, or what stood in the way in one line."""
    from .environment import NotHeld
    from .harness import Moments, WrongAnswer
    from .job import Job

    job = Job.of_json(order["job"])
    reference = Moments(**order["reference"]) if order["reference"] else None
    try:
        return {"status": "done", "result": tasks()[job.task](job, reference)}
    except ModuleNotFoundError as error:
        return {"status": "missing", "reason": f"{error.name} is not installed"}
    except (WrongAnswer, NotHeld) as error:
        return {"status": "refused", "reason": str(error)}
    except Exception as error:  # of any library: the other comparisons go on
        said = str(error).strip().splitlines() or [""]
        return {"status": "failed", "reason": f"{type(error).__name__}: {said[0][:300]}"}


def tasks() -> dict[str, Callable[..., dict[str, Any]]]:
    from . import comparison, cost, curves

    return {
        "reference": reference,
        "compare": comparison.compare,
        "limit": cost.limit,
        "recording": cost.recording,
        "threads": cost.threads,
        "memory": cost.memory,
        "curve": curves.curve,
    }


def reference(job: Any, _: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from . import ours

    return asdict(ours.reference_moments(job.problem, job.values[0], threads=job.threads))


if __name__ == "__main__":
    raise SystemExit(main())
