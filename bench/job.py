"""One comparison: what is passed to a process of its own, and comes back with its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .peers.problem import Problem


@dataclass(frozen=True)
class Effort:
    """How long to look."""

    rounds: int = 7
    seconds: float = 0.4  # about, of one measurement
    tuning: float = 0.1  # of one option's
    checking: float = 0.7  # of the peer's run that is checked
    checked: int = 0  # so many networks instead, whatever the machine's speed
    at_most: int = 0  # so many values of each option; 0: all


@dataclass(frozen=True)
class Job:
    """A task (a function of bench.worker) with all that it needs."""

    part: str
    task: str
    problem: Problem
    effort: Effort
    threads: int = 1
    instruction_set: str = ""
    method: str = "projected"
    peer: str = ""
    name: str = ""  # of a curve
    axis: str = ""  # of a curve: a field of the problem, networks or threads
    values: tuple[int, ...] = ()  # of a curve's axis, or the networks of a task that does not find its own number
    estimate: float = 5.0  # seconds
    skip: str = ""  # why it is not run at all

    @property
    def title(self) -> str:
        """As the progress line names it."""
        p = self.problem
        what = {"compare": self.peer, "curve": f"time against {self.name}"}.get(self.task, "")
        words = [self.part, what, p.variant, f"{p.width}x{p.depth}", f"{self.threads} thread{'s'[: self.threads > 1]}"]
        if self.task == "memory":
            words.append(f"{self.values[0]} networks")
        return ", ".join(word for word in words if word)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Job:
        return cls(
            **{
                **fields,
                "problem": Problem(**fields["problem"]),
                "effort": Effort(**fields["effort"]),
                "values": tuple(fields["values"]),
            }
        )
