"""What a user may do wrong, and how soon: bad arguments, Ctrl-C, a progress callable that fails, too little memory.

Also the two numbers that concern a fresh process: the time of `import resmc`, and the memory of a long run. Those, and
Ctrl-C, are measured in processes of their own.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResNet
from resmc.models.layer_widths import MAX_WIDTH
from resmc.models.resnet import MAX_DEPTH, MAX_WIDTH_DENSE

AT_ONCE = 3.0  # seconds, on a busy machine; a run of GOOD would take hours
GOOD: dict[str, Any] = {"width": 64, "depth": 100, "alpha": 0.5, "lam": 0.5, "networks": 10**9}


def refused(bad: dict[str, Any]) -> str:
    """The message of the ValueError that `simulate` raises at once, before it reports any progress."""

    def never(_done: int, _networks: int) -> None:
        raise AssertionError("work has begun")

    start = time.perf_counter()
    with pytest.raises(ValueError, match=r".") as caught:
        resmc.simulate(**{"progress": never, **GOOD, **bad})
    assert time.perf_counter() - start < AT_ONCE
    assert type(caught.value) is ValueError
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- bad arguments

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(
            ("width", v)
            for v in (0, -1, -(10**30), MAX_WIDTH + 1, 2**40, 2.5, NAN, INF, "64", None, True, np.True_, [64], 1j)
        ),
        *(("depth", v) for v in (0, -1, MAX_DEPTH + 1, 2**64, 0.5, NAN, "10", None, False)),
        *(("alpha", v) for v in (NAN, INF, -INF, "half", None, 1j, [1.0], np.True_)),
        *(("lam", v) for v in (NAN, INF, -INF, "half", None, 1j)),
        *(("networks", v) for v in (0, -1, 0.5, 1e15, 2**48 + 1, NAN, INF, "all", None, True)),
        *(("first_network", v) for v in (-1, 2**48 - 10**9 + 1, 2**48, 1.5, None)),
        *(("seed", v) for v in (-1, 2**64, 0.5, NAN, "x", None, True)),
        *(("variant", v) for v in ("relu", "Vanilla", "", None, 0, ["vanilla"])),
        *(("method", v) for v in ("sparse", "", None, 1)),
        *(("device", v) for v in ("tpu", "CPU", "", None)),
        *(("layers", v) for v in (5, "all", {}.keys)),
        *(("threads", v) for v in (0, -2, 1.5, 4097, "two", True)),
        *(("progress", v) for v in (1, "yes", 0.5)),
        *(("correlations", v) for v in (None, 0, 1.5, "no")),
        *(("keep_samples", v) for v in (-1, 0.5, 2**48 + 1, None)),
        *(("keep_trajectories", v) for v in (-1, 0.5, 2**48 + 1, None)),
        *(("n_out", v) for v in (0, -1, 2**17 + 1, 1.5, None)),
        *(("input_norm", v) for v in (0.0, -1.0, NAN, INF, None)),
    ],
)
def test_a_bad_argument_is_refused_at_once_with_its_name_and_value(argument, value):
    message = refused({argument: value})
    shown = str(int(value)) if isinstance(value, float) and value.is_integer() and value != 0.0 else repr(value)
    shown = repr(value) if argument in ("alpha", "lam", "input_norm", "progress") else shown
    assert f"{argument}={shown}" in message
    assert re.search(r"must (be|lie)", message)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([-1], "-1"),
        ([101], "101"),
        ([0, 50, 2**40], str(2**40)),
        ([2**70], str(2**70)),
        (range(90, 120), "101"),
        ([1.5], "1.5"),
        ([3, NAN], "nan"),
        (["1"], "'1'"),
        ([None], "None"),
        ([True], "True"),
        (np.array([0.25]), "0.25"),
        (np.array([-3]), "-3"),
        ([], "[]"),
        (np.zeros(0, int), "[]"),
    ],
)
def test_a_layer_out_of_range_is_refused_at_once_with_its_number(layers, named):
    message = refused({"layers": layers})
    assert f"layers={named} " in message
    assert "100" in message  # the depth: what is allowed


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        ({"alpha": 0.0, "lam": 0.0}, ["alpha=0.0", "lam=0.0"]),
        ({"alpha": 0, "lam": -0.0}, ["alpha=0.0", "lam=0.0"]),
        ({"alpha": 1e-320, "lam": 1e308}, ["alpha=", "lam=1e+308", "2^-2000"]),
        ({"width": 65, "variant": "balanced-half"}, ["width=65", "balanced-half", "even"]),
        ({"width": MAX_WIDTH_DENSE + 1, "method": "dense"}, [f"width={MAX_WIDTH_DENSE + 1}", str(MAX_WIDTH_DENSE)]),
        ({"first_network": 1, "networks": 2**48}, ["first_network=1"]),
        ({"layers": [[1, 2], [3]]}, ["layers="]),
        ({"variant": np.array(["vanilla", "relu"])}, ["variant="]),
    ],
)
def test_bad_combinations_are_refused_at_once_by_name(bad, names):
    message = refused(bad)
    for name in names:
        assert name in message


def test_a_missing_field_of_the_model_is_named():
    for name in ("width", "depth", "alpha", "lam"):
        with pytest.raises(ValueError, match=f"{name} is missing"):
            resmc.simulate(**{k: v for k, v in GOOD.items() if k != name})


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match="'colour'"):
        resmc.simulate(**GOOD, colour="red")


def test_something_else_in_place_of_a_model_is_refused():
    with pytest.raises(ValueError, match=r"model='vanilla'.*ResNet"):
        resmc.simulate("vanilla", networks=10)
    with pytest.raises(ValueError, match="width is not allowed beside a model"):
        resmc.simulate(ResNet(4, 4, 1.0, 1.0), networks=10, width=4)


def test_a_model_refuses_its_own_bad_fields():
    good = {"width": 4, "depth": 4, "alpha": 1.0, "lam": 1.0}
    for name, value in (("width", 0), ("depth", 2**20), ("alpha", NAN), ("variant", "x"), ("input_norm", 0.0)):
        with pytest.raises(ValueError, match=f"{name}={value!r}"):
            ResNet(**{**good, name: value})


def test_whole_floats_and_numpy_numbers_are_accepted():
    a = resmc.simulate(width=4.0, depth=np.int32(3), alpha=np.float32(0.5), lam=1, networks=1e2, seed=np.uint64(5))
    b = resmc.simulate(width=4, depth=3, alpha=0.5, lam=1.0, networks=100, seed=5)
    assert a.model == b.model
    np.testing.assert_array_equal(a.statistics.histogram, b.statistics.histogram)
    layers = resmc.simulate(width=4, depth=9, alpha=1, lam=1, networks=1, layers=np.array([3, 3, 1], np.uint8)).layers
    assert layers.tolist() == [0, 1, 3, 9]


def test_the_largest_seed_and_network_numbers_are_accepted():
    sim = resmc.simulate(width=2, depth=1, alpha=1, lam=1, networks=3, seed=2**64 - 1, first_network=2**48 - 3)
    assert sim.networks == 3


# --------------------------------------------------------------------------------------------------------------- memory


def suggested(message: str) -> range:
    found = re.search(r"layers=(range\(0, \d+, \d+\)) would fit", message)
    assert found, message
    return eval(found[1], {"range": range})


@pytest.mark.cpu
def test_a_recording_that_does_not_fit_is_refused_with_its_size_and_with_layers_that_would_fit():
    depth = MAX_DEPTH
    message = refused({"width": 2, "depth": depth, "threads": 2, "layers": range(depth + 1)})
    needed = float(re.search(r"need ([\d.e+]+) GB", message)[1])
    pairs = (depth + 1) * (depth + 2) / 2
    assert needed > 32 * 8 * pairs / 1e9
    assert needed < 2 * 32 * 8 * pairs / 1e9
    assert f"layers={depth + 1} " in message
    assert re.search(r"[\d.]+ GB are available", message)
    sim = resmc.simulate(width=2, depth=depth, alpha=0.9, lam=0.1, networks=1, layers=suggested(message))
    assert sim.layers[-1] == depth
    assert np.isfinite(sim.log_norm_mean.value).all()


@pytest.mark.cpu
@pytest.mark.parametrize("alpha", [0.5, 0.0])
def test_a_suggestion_for_layers_is_itself_accepted(alpha, monkeypatch):
    """On a machine with 1 GB: with deaths (alpha = 0) there are three sums for each pair of layers."""
    monkeypatch.setattr(resmc.engine.memory, "available_memory", lambda: 10**9)
    settings: dict[str, Any] = {"width": 2, "depth": 5000, "alpha": alpha, "networks": 10, "threads": 2}
    message = refused({**settings, "layers": range(5001)})
    assert "1 GB are available" in message
    resmc.simulate(**{**GOOD, **settings}, layers=suggested(message))


@pytest.mark.cpu
def test_a_width_that_does_not_fit_is_not_blamed_on_the_layers(monkeypatch):
    """Four threads with z of 2^24 neurons in each take gigabytes whatever is recorded; no layers would fit."""
    monkeypatch.setattr(resmc.engine.memory, "available_memory", lambda: 10**9)
    message = refused({"width": MAX_WIDTH, "threads": 4})
    assert "GB of memory" in message
    assert "would fit" not in message


@pytest.mark.cpu
@pytest.mark.parametrize("kept", ["keep_samples", "keep_trajectories"])
def test_raw_values_that_do_not_fit_are_refused_by_name(kept):
    message = refused({kept: 10**13, "networks": 10**13})
    assert f"{kept}=10000000000000" in message
    assert "GB of memory" in message
    assert "keep fewer" in message


def peak_of(code: str) -> float:
    """Peak resident memory in MB of a fresh process that runs `code` (its own: a child's ru_maxrss begins at ours)."""
    report = "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) * 1024 / 1e6


def long_run(networks: int) -> str:
    return f"import resmc; resmc.simulate(width=4, depth=16, alpha=0.6, lam=0.8, networks={networks}, progress=False)"


@pytest.mark.cpu
def test_memory_does_not_grow_with_the_networks():
    few, many = peak_of(long_run(10**5)), peak_of(long_run(10**7))
    assert many < 400
    assert many < few + 20


@pytest.mark.cpu
@pytest.mark.long
def test_a_hundred_million_networks_take_less_than_400_mb():
    assert peak_of(long_run(10**8)) < 400


# ------------------------------------------------------------------------------------------------------------- progress


def threads_now() -> int:
    return len(os.listdir("/proc/self/task"))


def assert_no_thread_left(before: int) -> None:
    """A joined thread leaves /proc a moment after it has ended."""
    end = time.perf_counter() + 0.5
    while threads_now() > before and time.perf_counter() < end:
        time.sleep(0.005)
    assert threads_now() <= before


@pytest.mark.cpu
@pytest.mark.parametrize("networks", [1, 100, 300_000])
def test_the_progress_callable_sees_increasing_numbers_that_end_with_all(networks):
    seen: list[tuple[int, int]] = []
    resmc.simulate(
        width=40, depth=40, alpha=0.6, lam=0.8, networks=networks, threads=2, progress=lambda *now: seen.append(now)
    )
    done = [now for now, _ in seen]
    assert all(type(now) is int and total == networks for now, total in seen)
    assert done == sorted(done)
    assert done[0] >= 0
    assert seen[-1] == (networks, networks)
    assert networks < 1000 or len(seen) > 3


@pytest.mark.cpu
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_the_progress_callable_propagates_and_leaves_no_thread(error):
    def fail(_done: int, _networks: int) -> None:
        raise error("from the callable")

    before = threads_now()
    start = time.perf_counter()
    with pytest.raises(error, match="from the callable"):
        resmc.simulate(**GOOD, threads=5, progress=fail)
    assert time.perf_counter() - start < AT_ONCE
    assert_no_thread_left(before)


@pytest.mark.cpu
def test_a_finished_run_leaves_no_thread():
    before = threads_now()
    resmc.simulate(**{**GOOD, "networks": 2000}, threads=5, progress=False)
    assert_no_thread_left(before)


def test_progress_true_draws_a_bar_and_false_nothing(capfd):
    resmc.simulate(**{**GOOD, "networks": 2000}, progress=False)
    resmc.simulate(**{**GOOD, "networks": 2000}, progress=None)  # standard error is no terminal here
    assert capfd.readouterr().err == ""
    resmc.simulate(**{**GOOD, "networks": 2000}, progress=True)
    shown = capfd.readouterr().err
    assert "vanilla 64x100" in shown
    assert "100%" in shown


# --------------------------------------------------------------------------------------------------------------- Ctrl-C

INTERRUPTED = """
import os, signal, sys, time
import resmc
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without
before = len(os.listdir("/proc/self/task"))
print("ready", flush=True)
try:
    resmc.simulate(**{arguments}, threads=3, progress={progress})
except KeyboardInterrupt:
    caught = time.clock_gettime(time.CLOCK_MONOTONIC)
    end = caught + 0.5
    while len(os.listdir("/proc/self/task")) > before and time.clock_gettime(time.CLOCK_MONOTONIC) < end:
        time.sleep(0.005)
    print("caught", caught, len(os.listdir("/proc/self/task")) - before, flush=True)
else:
    print("finished", 0, 0, flush=True)
"""


LONG_RUNS: dict[str, dict[str, Any]] = {
    "projected": {"width": 200, "depth": 200, "networks": 10**9},
    "deep": {"width": 2, "depth": 2**20 - 1, "networks": 10**6},
    "wide": {"width": 2**20, "depth": 10_000, "networks": 1000},
    "wide dense": {"width": 4096, "depth": 100, "networks": 1000, "method": "dense"},
    "outputs": {"width": 100, "depth": 100, "networks": 10**7, "method": "dense", "n_out": 2**17, "keep_samples": 40},
    "mostly outputs": {
        "width": 1024, "depth": 1, "networks": 10**6, "method": "dense", "n_out": 2**17, "keep_samples": 10**4
    },
    "many layers": {"width": 2, "depth": 1500, "networks": 10**7, "layers": range(1501)},
    "widest": {"width": 2**24, "depth": 10, "networks": 1000},  # 6 GB
}  # fmt: skip
WATCHED = "lambda done, networks: None"


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("run", "progress"),
    [
        *(pytest.param(run, "False", marks=[pytest.mark.long] * (run == "widest")) for run in LONG_RUNS),
        *(pytest.param(run, WATCHED, marks=[pytest.mark.long] * (run != "projected")) for run in LONG_RUNS),
    ],
)
def test_ctrl_c_stops_within_a_second_and_leaves_no_thread(run, progress):
    code = INTERRUPTED.format(arguments={"alpha": 0.6, "lam": 0.8, **LONG_RUNS[run]}, progress=progress)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.4)
            sent = time.clock_gettime(time.CLOCK_MONOTONIC)
            process.send_signal(signal.SIGINT)
            word, caught, threads = process.stdout.readline().split()
            assert word == "caught"
            assert float(caught) - sent < 1.0
            assert threads == "0"
            assert process.wait(timeout=5) == 0
        finally:
            process.kill()


# --------------------------------------------------------------------------------------------------------------- import


@pytest.mark.cpu
def test_import_is_quick_and_leaves_torch_and_scipy_special_alone():
    code = (
        "import sys, time; start = time.thread_time(); import resmc; took = time.thread_time() - start\n"
        "heavy = [m for m in ('torch', 'scipy.special', 'matplotlib', 'xarray') if m in sys.modules]\n"
        "print(took, *heavy)"
    )
    times = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took, *heavy = done.stdout.split()
        assert heavy == []
        times.append(float(took))
    assert min(times) < 0.4


@pytest.mark.cpu
def test_a_simulation_on_the_cpu_imports_no_torch_and_of_scipy_what_its_summary_needs():
    code = (
        "import sys, resmc; resmc.simulate(width=4, depth=4, alpha=1, lam=1, networks=100).summary()\n"
        "print(*(m for m in ('torch', 'scipy.special', 'scipy.optimize', 'scipy.linalg') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "scipy.special\n"
