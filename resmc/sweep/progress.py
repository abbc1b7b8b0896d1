"""Progress of a running sweep: networks done, rate, time left, and the largest standard error so far."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._system.words import brief
from .cost import duration

LINE_EVERY, FIRST_LINE = 60.0, 5.0  # seconds between lines, and before the first, where there is no terminal
DELAY = 1.0  # seconds before a bar appears


@dataclass
class State:
    """Networks and work of a sweep, in neuron updates: done by now, done before this run began, and in all."""

    networks: int = 0
    networks_before: int = 0
    networks_in_all: int = 0
    work: float = 0.0
    work_before: float = 0.0
    work_in_all: float = 0.0
    at_least: bool = False  # True while pilots are missing, whose points are not counted in networks_in_all


class Progress:
    """A bar, lines, or a callable that show progress; ``worst`` is called now and then to name the largest error."""

    def __init__(self, progress: Any, worst: Callable[[], str]) -> None:
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise ValueError(f"progress={brief(progress)} is not allowed: it must be None, True, False or a callable")
        self.call = progress if callable(progress) else None
        self.wants_bar = progress is True or (progress is None and (sys.stderr.isatty() or in_notebook()))
        self.wants_lines = progress is None and not self.wants_bar
        self.begin = time.monotonic()
        self.shown = self.begin - (LINE_EVERY - FIRST_LINE if self.wants_lines else 0.0)
        self.bar: Any = None
        self.keep = progress is True
        self.called = (-1, -1)
        self.worst, self.worst_text, self.worst_at, self.worst_cost = worst, "", -1e9, 0.0

    def show(self, state: State, last: bool = False) -> None:
        """Show the state, unless it was shown a moment ago."""
        now = time.monotonic()
        if self.call is not None:
            if (state.networks, state.networks_in_all) != self.called:
                self.called = state.networks, state.networks_in_all
                self.call(*self.called)
        elif self.wants_bar:
            if self.bar is None and now - self.begin > (0.0 if self.keep else DELAY):
                self.bar = _bar(self.keep)
            if self.bar is not None and (last or now - self.shown > 0.2):
                self.shown = now
                self.bar.total = state.work_in_all
                self.bar.set_description_str(self.text(state, now), refresh=False)
                self.bar.update(state.work - self.bar.n)
                self.bar.refresh()
        elif self.wants_lines and now - self.shown > LINE_EVERY:
            self.shown = now
            share = state.work / state.work_in_all if state.work_in_all else 1.0
            print(f"resmc: {share:.1%}, {self.text(state, now)}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Print a remark beside the bar or the lines; say nothing to a callable or in silence."""
        if self.bar is not None:
            self.bar.write(f"resmc: {text}", file=sys.stderr)
        elif self.wants_bar or self.wants_lines:
            print(f"resmc: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Finish the bar, so that the terminal is left tidy."""
        if self.bar is not None:
            self.bar.close()

    def text(self, state: State, now: float) -> str:
        """Write the state in words, as ``4.2 minutes left, 3.1e+08 of 1.6e+09 networks, 2.1e+06/s``."""
        elapsed = max(now - self.begin, 1e-6)
        work, left = state.work - state.work_before, state.work_in_all - state.work
        rate = (state.networks - state.networks_before) / elapsed
        more = "at least " if state.at_least else ""
        words = [f"{state.networks:.4g} of {more}{state.networks_in_all:.4g} networks"]
        if work > 0.0:
            words = [f"{more}{duration(left * elapsed / work)} left", *words, f"{rate:.3g}/s"]
        worst = self._worst(now)
        return ", ".join([*words, worst] if worst else words)

    def _worst(self, now: float) -> str:
        """Name the largest error, computed anew at most every five seconds and in at most a hundredth of the time."""
        if now - self.worst_at > max(5.0, 100.0 * self.worst_cost):
            self.worst_at = now
            self.worst_text = self.worst()
            self.worst_cost = time.monotonic() - now
        return self.worst_text


def in_notebook() -> bool:
    """Say whether this process is a Jupyter kernel, whose bars are widgets."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def _bar(keep: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=math.inf, leave=keep, bar_format="{percentage:3.0f}%|{bar}| {desc}", dynamic_ncols=True)
