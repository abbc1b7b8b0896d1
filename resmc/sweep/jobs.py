"""The job of each kind of plan."""

from __future__ import annotations

from .job import Described, Job, Outcome
from .plan import Plan
from .store import Store
from .sweep_job import SweepJob


def job_of(plan: Described) -> Job:
    """Return the job that computes a plan."""
    if isinstance(plan, Plan):
        return SweepJob(plan)
    raise TypeError(f"{type(plan).__name__} is no kind of plan that has a job")


def collect(job: Job, store: Store) -> Outcome:
    """Read the result of a job back from its store."""
    return job.collect(store)
