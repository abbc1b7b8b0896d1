"""Progress of a long run: a bar on a terminal, a callable, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from .words import brief

Report = Callable[[float], None]


class NotedReport(Protocol):
    """A `Report` that may be called with a few words for the bar besides."""

    def __call__(self, fraction: float, note: str = "") -> None: ...


@contextmanager
def reporting(progress: Any, networks: int, label: str) -> Iterator[NotedReport | None]:
    """Yield a function for the run to call with the finished fraction, or None if nobody wants to know.

    ``progress`` None: a bar if standard error is a terminal and the run takes more than a second. True: always a bar.
    False: nothing. A callable: called as progress(done, networks), about twenty times a second, at last with
    done == networks.

    Raises
    ------
    ValueError
        If ``progress`` is neither None, True, False nor a callable.
    """
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield None
    elif callable(progress):

        def call(fraction: float, note: str = "") -> None:
            progress(round(fraction * networks), networks)

        yield call
    elif progress is None or progress is True:
        from tqdm.auto import tqdm

        delay = 0.0 if progress else 1.0
        with tqdm(total=networks, desc=label, unit="net", unit_scale=True, delay=delay, leave=bool(progress)) as bar:
            last = time.monotonic()

            def show(fraction: float, note: str = "") -> None:
                nonlocal last
                if fraction == 1.0 or time.monotonic() - last > 0.2:
                    last = time.monotonic()
                    if note:
                        bar.set_postfix_str(note, refresh=False)
                    bar.update(round(fraction * networks) - bar.n)

            yield show
    else:
        raise ValueError(f"progress={brief(progress)} is not allowed: it must be None, True, False or a callable")
