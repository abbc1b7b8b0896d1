"""Signals: the first ends a command politely, and what comes right after it does not disturb the end."""

from __future__ import annotations

import atexit
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

GRACE = 2.0  # seconds that an end may take: a second Ctrl-C, or SIGTERM on top of it, is ignored for so long

_ended = -GRACE  # when the last signal came that was not ignored


@contextmanager
def polite_end(*signals: signal.Signals) -> Iterator[None]:
    """Raise KeyboardInterrupt at Ctrl-C, and SystemExit at any other of ``signals``, but once in `GRACE` seconds.

    Batch queues send SIGTERM, terminals send Ctrl-C to all processes of a command, and who is impatient presses twice:
    an exception in the middle of the first one's clean-up would leave threads and claims behind. After a signal the
    handlers stay, for the rest of the process is its end; otherwise those from before are put back. Signals that are
    ignored, as Ctrl-C is in the background, stay ignored.
    """

    def end(number: int, frame: Any) -> None:
        global _ended
        now = time.monotonic()
        if now - _ended < GRACE:
            return
        _ended = now
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():  # no other may set handlers, and none gets signals
        for number in signals:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            if _ended < 0.0:
                signal.signal(number, handler)
            else:  # Python's last act puts back the handlers of the system, which would kill it without its status
                atexit.register(signal.signal, number, signal.SIG_IGN)
