"""The inside of `simulate`: ranges with a batch of the caller's choice, from any thread of Python."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engines import simulate_range

import resmc
from resmc import ResNet, Simulation
from resmc.engine.request import NetworkRange

HALF = math.sqrt(0.5)
MODEL = ResNet(24, 30, HALF, HALF, n_out=2)
ENDLESS = NetworkRange(0, 10**9, 4096)


def run(networks: NetworkRange, model: ResNet = MODEL, **settings: Any) -> Simulation:
    return simulate_range(model, networks, **{"seed": 3, **settings})


def assert_same_bits(a: Simulation, b: Simulation) -> None:
    sums = b.statistics.by_name()
    for name, x in a.statistics.by_name().items():
        assert x.tobytes() == sums[name].tobytes(), name
    for part in ("samples", "trajectories"):
        for f in (f for f in fields(getattr(a, part)) if f.name != "ratios"):
            x, y = getattr(getattr(a, part), f.name), getattr(getattr(b, part), f.name)
            assert x.tobytes() == y.tobytes(), f"{part}.{f.name}"


@pytest.mark.cpu
def test_the_public_function_is_the_range_with_its_own_block() -> None:
    settings = {"seed": 3, "method": "dense"}
    kept = {"keep_samples": 7, "keep_trajectories": 5}
    public = resmc.simulate(MODEL, networks=1000, first_network=77, progress=False, **settings, **kept)
    assert public.ranges == (NetworkRange(77, 1077, 16),)
    assert_same_bits(run(NetworkRange(77, 1077, 16), samples=7, trajectories=5, **settings), public)


@pytest.mark.parametrize("block", [1, 16, 256, 4096])
def test_ranges_with_a_common_block_merge_to_the_whole_with_its_errors(backend: Any, block: int) -> None:
    """However short they are: integers equal, estimates and standard errors within rounding."""
    device = ("cpu" if isinstance(backend, str) else "cuda", None)
    cuts = [5, 6, 40, 300, 301, 1000]
    parts = [run(NetworkRange(a, b, block), device=device, layers=[0, 9]) for a, b in pairwise(cuts)]
    merged, whole = resmc.merge(parts), run(NetworkRange(5, 1000, block), device=device, layers=[0, 9])
    assert merged.ranges == whole.ranges == (NetworkRange(5, 1000, block),)
    sums = whole.statistics.by_name()
    for name, x in merged.statistics.by_name().items():
        if x.dtype == np.int64:
            np.testing.assert_array_equal(x, sums[name], err_msg=name)
    for name in ("log_norm_mean", "log_norm_variance", "asymmetry_mean", "asymmetry_variance", "active_fraction"):
        a, b = getattr(merged, name), getattr(whole, name)
        np.testing.assert_allclose(a.value, b.value, rtol=1e-10, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(a.stderr, b.stderr, rtol=1e-8, atol=1e-12, err_msg=name)


# -------------------------------------------------------------------------------------------------------------- threads


class Stop(Exception):
    pass


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    """A thread of Python that does the work; what it returned or raised, and when."""
    out: list[Any] = []

    def body() -> None:
        try:
            out.append(work())
        except BaseException as error:
            out.append(error)
        out.append(time.monotonic())

    thread = threading.Thread(target=body)
    thread.start()
    return thread, out


@pytest.mark.cpu
@pytest.mark.parametrize("native_threads", [1, 3])
@pytest.mark.parametrize(
    ("model", "method"),
    [(MODEL, "projected"), (ResNet(2**18, 10_000, HALF, HALF), "projected"), (ResNet(2048, 50, HALF, HALF), "dense")],
    ids=["narrow", "wide", "dense"],
)
def test_what_report_raises_in_a_worker_thread_stops_the_run_within_a_second(
    model: ResNet, method: str, native_threads: int
) -> None:
    stop, callers = threading.Event(), set()

    def report(fraction: float) -> None:
        callers.add(threading.get_ident())
        if stop.is_set():
            raise Stop

    thread, out = in_thread(
        lambda: run(ENDLESS, model, method=method, layers=[0], report=report, threads=native_threads)
    )
    time.sleep(0.3)
    assert not out
    asked = time.monotonic()
    stop.set()
    thread.join(10.0)
    assert isinstance(out[0], Stop)
    assert out[1] - asked < 1.0
    assert callers == {thread.ident}


@pytest.mark.cpu
def test_one_thread_stopped_leaves_the_other_s_run_alone() -> None:
    def fail(fraction: float) -> None:
        raise Stop

    wanted = NetworkRange(0, 60_000, 128)
    expected = run(wanted)
    thread, out = in_thread(lambda: run(wanted))
    for _ in range(5):
        with pytest.raises(Stop):
            run(ENDLESS, report=fail)
    thread.join()
    assert_same_bits(out[0], expected)


@pytest.mark.cpu
def test_threads_at_once_give_the_bits_of_one_after_the_other() -> None:
    ranges = [NetworkRange(a, a + 4000, 128) for a in range(0, 32_000, 4000)]
    settings = {"samples": 20, "trajectories": 20}
    alone = [run(r, **settings) for r in ranges]
    together = threading.Barrier(2, timeout=30.0)

    def one(i: int) -> Simulation:
        if i < 2:
            together.wait()
        return run(ranges[i], **settings)

    with ThreadPoolExecutor(2) as pool:
        for found, expected in zip(pool.map(one, range(len(ranges))), alone, strict=True):
            assert_same_bits(found, expected)


@pytest.mark.cpu
def test_a_run_leaves_the_interpreter_to_other_threads() -> None:
    """Python code goes on beside a run that reports, which holds the interpreter for moments only."""
    stop = threading.Event()

    def report(fraction: float) -> None:
        if stop.is_set():
            raise Stop

    thread, out = in_thread(lambda: run(ENDLESS, report=report))
    time.sleep(0.1)
    waits = []
    for _ in range(100):
        begin = time.perf_counter()
        time.sleep(0.001)
        waits.append(time.perf_counter() - begin)
    stop.set()
    thread.join(10.0)
    assert isinstance(out[0], Stop)
    assert np.median(waits) < 0.04  # a run that kept the interpreter would let it go every 50 ms


def test_what_report_raises_in_a_worker_thread_stops_a_gpu(gpu: Any) -> None:
    def fail(fraction: float) -> None:
        raise Stop

    def work() -> Simulation:
        return run(NetworkRange(0, 3000, 64), device=("cuda", None), report=fail)

    thread, out = in_thread(work)
    thread.join(60.0)
    assert isinstance(out[0], Stop)
