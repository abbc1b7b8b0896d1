"""Stopping what runs: `stop`, which any thread may call, and the end of the program.

Whatever takes long works in a scope, as ``with stoppable():``, and looks now and then, by `look`, whether to go on.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

PATIENCE = 5.0  # seconds that the end of the program waits for simulations of other threads; it takes tenths of one
LEAVING = {"concurrent.futures._base", "asyncio.runners"}  # modules whose ``__exit__`` waits for an executor's threads


class Stopped(Exception):
    """A simulation or sweep was stopped by `resmc.stop`, or by Ctrl-C while it ran in an executor's thread."""


class _Scope(threading.local):
    """The scope of a thread: how many calls of `stop` there had been as it began; None outside of all scopes."""

    calls: int | None = None


_counter, _calls = itertools.count(1), 0  # calls of `stop`
_ending = False  # True once the program ends: nothing goes on in other threads than the main one
_scope = _Scope()
_running: set[int] = set()  # threads that are in a scope
_interrupt: Callable[[], object] | None = None  # calls the handler of a Ctrl-C that waits for `look`


def stop() -> None:
    """Stop whatever this package computes in this process now, in every thread: each call raises `resmc.Stopped`.

    Simulations, `resmc.limit`, `resmc.regime` and runs of a `Sweep` raise it within a tenth of a second or so, on a GPU
    within a second; nothing of an interrupted simulation is kept, finished shards of a sweep are safe. Any thread may
    call this, and a handler of a signal. What begins afterwards runs: cancel what waits in an executor first.

    Ctrl-C reaches the main thread alone. It stops what runs in other threads where the main thread would only wait for
    them: at the end of a program that does not catch it, and as it leaves ``with ThreadPoolExecutor()`` or
    ``asyncio.run``. Elsewhere, ``except KeyboardInterrupt: resmc.stop()``. One simulation alone is stopped by what its
    ``progress=`` raises.
    """
    global _calls
    _calls = next(_counter)


def look() -> None:
    """Return if the work of this thread shall go on.

    Raises
    ------
    Stopped
        If `stop` was called since the outermost scope of this thread began, or Ctrl-C ends its executor.
    SystemExit
        If the program ends. It ends the thread, and nobody prints it.
    KeyboardInterrupt
        If Ctrl-C waits for this, in `interrupted_at_looks`.
    """
    if _interrupt is not None and _is_main():
        _call_interrupt()
    if _scope.calls is not None and _scope.calls != _calls:
        raise Stopped("stopped by resmc.stop()")
    if not _is_main():
        if _ending:
            raise SystemExit("the program ends")
        if _is_left_by_ctrl_c():
            raise Stopped("stopped by Ctrl-C: the main thread waits for this thread of an executor")


@contextmanager
def stoppable() -> Iterator[None]:
    """Mark work that `stop` can stop; scopes within this one begin when it does."""
    if _scope.calls is not None:
        yield
        return
    if not _is_main():
        _watch_the_end()
    thread = threading.get_ident()
    try:  # around all of it, since Ctrl-C may come between any two lines
        _scope.calls = _calls
        _running.add(thread)
        look()
        yield
    finally:
        _scope.calls = None
        _running.discard(thread)


@contextmanager
def interrupted_at_looks() -> Iterator[None]:
    """Have Ctrl-C wait for the next `look`, or for the end of this, so that work is left between two of its steps.

    A second Ctrl-C comes at once. In other threads than the main one, and where Python does not handle the signal,
    this changes nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if not _is_main() or not callable(before):
        yield
        return
    handler = before

    def wait(number: int, frame: FrameType | None) -> None:
        global _interrupt
        signal.signal(signal.SIGINT, handler)
        _interrupt = lambda: handler(number, frame)  # noqa: E731

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        _call_interrupt()


def _call_interrupt() -> None:
    global _interrupt
    call, _interrupt = _interrupt, None
    if call is not None:
        call()


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def _is_left_by_ctrl_c() -> bool:
    """Say whether the main thread waits for the executor of this thread because of Ctrl-C.

    Python offers no hook for that: the main thread is then in ``__exit__``, which knows the exception.
    """
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "__exit__" and frame.f_globals.get("__name__") in LEAVING:
            kind, executor = (frame.f_locals.get(name) for name in ("exc_type", "self"))
            threads = getattr(executor, "_threads", None)  # asyncio has one executor for all
            return kind is KeyboardInterrupt and (threads is None or threading.current_thread() in threads)
        frame = frame.f_back
    return False


_watched = False


def _watch_the_end() -> None:
    """Have `_before_joining` called before Python waits for the threads of the program, and for those of executors."""
    global _watched
    if _watched:
        return
    _watched = True
    import concurrent.futures.thread  # noqa: F401 (registers itself; what is registered last is called first)

    register = getattr(threading, "_register_atexit", None)  # executors use it themselves
    if register is not None:
        with suppress(RuntimeError):  # raised if the program ends already
            register(_before_joining)


def _before_joining() -> None:
    """Stop all if the program ends by Ctrl-C. Else Python waits for its threads, so that nothing is lost."""
    global _ending
    asked = hasattr(sys, "ps1") or sys.flags.interactive  # where the last exception may be an old one
    last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    if isinstance(last, KeyboardInterrupt) and not asked:
        _ending = True


def _at_exit() -> None:
    """Stop the threads that Python does not wait for, before the interpreter goes away under them."""
    global _ending
    _ending = True
    deadline = time.monotonic() + PATIENCE
    while _running - {threading.get_ident()} and time.monotonic() < deadline:
        with suppress(KeyboardInterrupt):  # the end is under way
            time.sleep(0.005)


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_running.clear)  # a fork has no other threads
