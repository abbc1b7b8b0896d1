"""`resmc.stop` ends what runs in any thread; CPU, emulated GPU, sweeps, limits, regimes and the twin."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sweeps import files, leftovers, small, sweep, until

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Stopped
from resmc._system import stopping
from resmc.sweep import coordinator

SOON = 5.0  # seconds; it takes tenths of one
HALF = 0.5**0.5
MODEL = ResNet(50, 200, HALF, HALF)
GENERAL = ResidualNetwork(20, 100, "v-phi-w", "tanh", scaling=DepthScaling(0.5))
ENDLESS: dict[str, Callable[[Any], Any]] = {
    "simulate": lambda folder: resmc.simulate(MODEL, networks=10**10, threads=1),
    "gradients": lambda folder: resmc.simulate(GENERAL, networks=10**8, gradients=True, threads=1),
    "dense": lambda folder: resmc.simulate(MODEL, networks=10**8, method="dense", threads=1),
    "limit": lambda folder: resmc.limit(GENERAL, networks=10**6, steps=1000),
    "regime": lambda folder: resmc.regime(GENERAL, networks=10**8, threads=1),
    "reference": lambda folder: resmc.reference.simulate(ResNet(16, 10**5, HALF, HALF), networks=64, layers=[0]),
    "sweep": lambda folder: sweep(networks=10**7).run(folder, workers=1, progress=False),
    "processes": lambda folder: sweep(networks=10**7).run(folder, engine="processes", workers=1, progress=False),
}


def stopped(call: Callable[[], Any], begun: Callable[[], Any] = lambda: stopping._running) -> None:
    """Calls it in another thread, and stops it once it has begun."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        until(lambda: begun() or future.done(), "it begins")
        time.sleep(0.1)
        assert not future.done(), future.exception()
        begin = time.monotonic()
        resmc.stop()
        with pytest.raises(Stopped, match=r"resmc.stop\(\)"):
            future.result(SOON)
        assert time.monotonic() - begin < SOON


@pytest.mark.cpu
@pytest.mark.parametrize("what", ENDLESS)
def test_stop_ends_it_in_another_thread(what, tmp_path):
    store = tmp_path / "store"
    begun = {"sweep": lambda: files(store), "processes": lambda: files(store)}
    stopped(lambda: ENDLESS[what](store), begun.get(what, lambda: stopping._running))
    assert not stopping._running
    if store.exists():
        assert leftovers(store) == []


def test_what_begins_after_a_stop_runs_and_has_the_same_bits():
    before = resmc.simulate(MODEL, networks=100)
    resmc.stop()
    after = resmc.simulate(MODEL, networks=100)
    np.testing.assert_array_equal(before.histogram.counts, after.histogram.counts)


@pytest.mark.cpu
def test_stop_reaches_the_thread_that_calls_it_at_its_next_look():
    """As from a handler of a signal, or from a progress function."""
    with pytest.raises(Stopped):
        resmc.simulate(MODEL, networks=10**10, progress=lambda done, networks: resmc.stop())


@pytest.mark.cpu
def test_what_a_progress_function_raises_stops_its_own_simulation_alone():
    enough = threading.Event()

    class Enough(Exception):
        pass

    def asked(done: int, networks: int) -> None:
        if enough.is_set():
            raise Enough

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(resmc.simulate, MODEL, networks=10**10, threads=1, progress=asked)
        other = pool.submit(resmc.simulate, MODEL, networks=10**10, threads=1)
        until(lambda: len(stopping._running) == 2, "both begin")
        enough.set()
        with pytest.raises(Enough):
            one.result(SOON)
        assert not other.done()
        resmc.stop()
        with pytest.raises(Stopped):
            other.result(SOON)


@pytest.mark.cpu
def test_an_interrupted_sweep_stops_the_tasks_of_a_caller_s_threads(tmp_path, monkeypatch):
    """Their executor lives on, and would else compute to the end of its shards."""

    def interrupted(self: Any, waiting: Any) -> None:
        if stopping._running - {threading.get_ident()}:
            raise KeyboardInterrupt

    monkeypatch.setattr(coordinator.Runner, "_look", interrupted)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            small(networks=10**9, shard_updates=2**45).run(tmp_path / "store", engine=pool, progress=False)
        begin = time.monotonic()
        assert pool.submit(int).result(SOON) == 0
    assert time.monotonic() - begin < SOON
    assert leftovers(tmp_path / "store") == []


def test_stop_sets_the_word_that_a_gpu_s_kernels_look_at(emulated_kernels, monkeypatch):
    """A launch runs in a thread of its own here, as it does on a GPU beside the host's."""
    import emulated

    from resmc.engine import cuda

    launched: list[threading.Thread] = []
    words: list[Any] = []

    class Beside:
        def __getattr__(self, name: str) -> Any:
            call = getattr(emulated_kernels, name)
            if name not in ("simulate", "reduce"):
                return call

            def enqueue(*arguments: Any) -> None:
                before = launched[-1:]

                def in_turn() -> None:
                    for thread in before:
                        thread.join()
                    call(*arguments)

                launched.append(threading.Thread(target=in_turn))
                launched[-1].start()

            return enqueue

    class Event:
        def __init__(self) -> None:
            self.after = launched[-1]

        def query(self) -> bool:
            return not self.after.is_alive()

    accelerator = emulated.Emulated(Beside())
    made = accelerator.host_words
    accelerator.record = Event
    accelerator.host_words = lambda count: words.append(made(count)) or words[-1]
    accelerator.synchronize = lambda: launched[-1].join()
    monkeypatch.setattr(cuda, "open_cuda", lambda ordinal: accelerator)
    endless = ResNet(8, 1_000_000, HALF, HALF)
    run = {"networks": 32, "layers": [0], "correlations": False, "device": "cuda", "progress": False}
    stopped(lambda: resmc.simulate(endless, **run), lambda: words and words[0][1][1] > 0)
    assert words[0][1][0] == 1
    assert 0 < words[0][1][1] < 1_000_000
    assert not any(thread.is_alive() for thread in launched)
