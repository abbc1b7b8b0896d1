"""Programs end while simulations run in their threads: quietly, soon after Ctrl-C, and never by std::terminate.

The races are tried a few times here, and many times by the long tests.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeps import environment

pytestmark = pytest.mark.cpu
SOON = 20.0  # seconds; it takes tenths of one, and what is ended here would take hours

LONG = """
import asyncio, atexit, ctypes, os, signal, sys, threading, time
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: the program ends with its test, however the test ends
from concurrent.futures import ThreadPoolExecutor
import resmc
from resmc._system import stopping

def simulate(networks=10**10, **options):
    return resmc.simulate(width=50, depth=200, alpha=0.5, lam=0.5, networks=networks, threads=2, **options)

def begun(threads):
    while threading.active_count() <= threads or not stopping._running:
        time.sleep(0.01)
    time.sleep(0.1)
    print("begun", flush=True)
"""
DAEMONS = """
def forever(networks):
    while True:
        simulate(networks, progress=lambda done, all: time.sleep(0.001))

if {alone}:  # as if the program's end found the threads within the extension
    atexit.unregister(stopping._at_exit)
for networks in (10**10, 4096):
    threading.Thread(target=forever, args=(networks,), daemon=True).start()
begun(2)
time.sleep({seconds})
"""
WAITING = {
    "a thread": "threading.Thread(target=simulate).start(); begun(1); time.sleep(60)",
    "an executor": """
with ThreadPoolExecutor(2) as pool:
    futures = [pool.submit(simulate) for _ in range(3)]
    begun(2)
    futures[0].result()
""",
    "asyncio": """
async def main():
    task = asyncio.create_task(asyncio.to_thread(simulate))
    await asyncio.sleep(0)
    begun(1)
    await task
asyncio.run(main())
""",
}


class Program:
    """A Python program; none outlives its test."""

    def __init__(self, source: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LONG + source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(), start_new_session=True,
        )  # fmt: skip

    def begun(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "begun\n"

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Exit status, and what it has said on its standard error."""
        try:
            _, err = self.process.communicate(timeout=SOON)
        finally:
            self.process.kill()
        return self.process.returncode, err


@pytest.mark.parametrize("tries", [1, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize("alone", [False, True])
def test_a_program_may_end_while_its_daemon_threads_simulate(tries, alone):
    for number in range(tries):
        program = Program(DAEMONS.format(alone=alone, seconds=0.01 * number))
        assert program.end() == (0, "")


@pytest.mark.parametrize("waits_for", WAITING)
def test_ctrl_c_ends_a_program_that_would_wait_for_simulations(waits_for):
    program = Program(WAITING[waits_for])
    program.begun()
    program.interrupt()
    status, err = program.end()
    assert status == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert err.count("Traceback") == (2 if waits_for == "asyncio" else 1)  # asyncio has two of its own


def test_a_thread_that_the_program_does_not_abandon_finishes_its_simulation(tmp_path):
    saved = tmp_path / "run.resmc"
    program = Program(
        f"threading.Thread(target=lambda: simulate(10**5).save({str(saved)!r})).start(); begun(1); raise SystemExit(3)"
    )
    assert program.end() == (3, "")
    assert saved.exists()


@pytest.mark.parametrize("tries", [1, pytest.param(10, marks=pytest.mark.long)])
def test_ctrl_c_while_python_waits_for_threads_ends_them(tries):
    """Python abandons its threads then; what is left of the program ends all the same."""
    for _ in range(tries):
        program = Program("threading.Thread(target=simulate).start(); begun(1)")
        program.begun()
        deadline = time.monotonic() + SOON
        while program.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)  # the program has reached its end, and waits
            program.interrupt()  # again where Python misses one that comes just before it waits
        status, err = program.end()
        assert status in (0, -signal.SIGINT)
        assert "terminate" not in err


def test_threads_that_cannot_be_started_are_an_error_in_a_sentence():
    """Stacks of threads are address space, of which a program may be given little."""
    program = Program("""
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, -1))
for _ in range(2):
    try:
        resmc.simulate(width=4, depth=4, alpha=0.5, lam=0.5, networks=10**7, threads=4096, layers=[4])
    except RuntimeError as error:
        print(str(error).split(":")[0], "of them start" in str(error), threading.active_count())
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print(resmc.simulate(width=4, depth=4, alpha=0.5, lam=0.5, networks=10**4, threads=2).networks)
""")
    out, err = program.process.communicate(timeout=SOON)
    assert (out, err, program.process.returncode) == ("threads=4096 True 1\n" * 2 + "10000\n", "", 0)


def test_no_function_of_c_but_the_guarded_ones_takes_the_interpreter():
    """Whatever takes the interpreter's lock may be ended there, so it has to be one of csrc/interpreter.hpp."""
    sources = Path(__file__).parents[1] / "csrc"
    taking = ("gil_scoped", "PyEval_RestoreThread", "PyGILState_Ensure", "PyEval_AcquireThread")
    found = {p.name for p in sources.rglob("*.?pp") if any(name in p.read_text(encoding="utf-8") for name in taking)}
    assert found == {"interpreter.hpp"}
