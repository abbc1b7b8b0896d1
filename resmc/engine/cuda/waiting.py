"""Waiting for a launch while it tells how far it is, and ending it where waiting ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..._system.progress import Report
from .device import Accelerator, faults_in_words


@contextmanager
def ended_by_exceptions(accelerator: Accelerator, seen: Any) -> Iterator[None]:
    """On any exception within, tell kernels to stop, by the first of the words ``seen``, and wait for them."""
    try:
        yield
    except BaseException:
        seen[0] = 1
        with faults_in_words(accelerator):
            accelerator.synchronize()
        raise


def wait_for(accelerator: Accelerator, event: Any, fraction: Callable[[], float], report: Report) -> None:
    """Return once ``event`` has passed; until then ``report`` is told of the fraction twenty times a second."""
    pause, reported = 2e-5, time.monotonic()
    while not _passed(accelerator, event):
        time.sleep(pause)
        pause = min(1.5 * pause, 0.002)
        if time.monotonic() - reported > 0.05:
            reported = time.monotonic()
            report(fraction())


def _passed(accelerator: Accelerator, event: Any) -> bool:
    with faults_in_words(accelerator):
        return bool(event.query())
