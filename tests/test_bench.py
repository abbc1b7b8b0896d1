"""The benchmark's peers simulate the same networks, the harness refuses one that does not, and its report says so.

No timings here. Libraries of the extra `bench` that are missing are skipped.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import __main__ as program  # noqa: E402
from bench import curves, environment, harness, instructions, launch, ours, plan, report, verdicts, worker  # noqa: E402
from bench.job import Effort, Job  # noqa: E402
from bench.peers import Floats, Problem  # noqa: E402
from bench.peers.table import CONTENDERS, Contender  # noqa: E402

pytestmark = pytest.mark.cpu
HALF = 0.5**0.5
PROBLEMS = [(HALF, HALF, 24), (0.3, 1.1, 47)]
LOOPS = [name for name, c in CONTENDERS.items() if c.role == "published"]
SHORT = Effort(rounds=5, seconds=0.001, tuning=0.001, checking=0.01, at_most=1)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Peers leave no settings behind; JAX looks for no other device."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    if "torch" not in sys.modules:
        yield
        return
    import torch

    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def run(contender: Contender, problem: Problem, networks: int, threads: int = 1, **given: Any) -> Floats:
    if contender.library != "numpy":
        pytest.importorskip(contender.library)
    options: dict[str, Any] = {"batch": 128} if contender.floats else {}
    return contender.load()(problem, networks, 7, threads=threads, **{**options, **given})


def sample_of(name: str) -> int:
    return 400 if name in LOOPS else 1_501 if name == "JAX vmap+scan" else 5_001


def slow_in(names: list[str], name: str) -> list[pytest.MarkDecorator]:
    """Marks of a case that repeats another one, if the contender is among slow ones."""
    return [pytest.mark.long] if name in names else []


def trials() -> Iterator[Any]:
    """Every contender meets both variants and both problems, and each variant each problem; loops keep to the first."""
    for i, name in enumerate(CONTENDERS):
        for j, variant in enumerate(("vanilla", "balanced")):
            for k, problem in enumerate(PROBLEMS):
                quick = name != "torch.compile" and (k == 0 if name in LOOPS else (i + j + k) % 2 == 0)
                yield pytest.param(name, variant, *problem, marks=[] if quick else [pytest.mark.long])


@pytest.mark.parametrize(("name", "variant", "alpha", "lam", "depth"), trials())
def test_peers_agree_in_law(name: str, variant: str, alpha: float, lam: float, depth: int) -> None:
    problem = Problem(21, depth, alpha, lam, variant)
    reference = ours.reference_moments(problem, 100_000)
    found = run(CONTENDERS[name], problem, sample_of(name))
    assert found.shape == (sample_of(name),)
    harness.check_answer(name, found, reference, limit=5.0)


@pytest.mark.parametrize("name", plan.USUAL)
def test_deep_and_narrow_networks_do_not_underflow(name: str) -> None:
    problem = Problem(8, 160)  # |z|^2/n of some networks is below the smallest normal float32, 1e-38
    found = run(CONTENDERS[name], problem, 20_000)
    harness.check_answer(name, found, ours.reference_moments(problem, 100_000), limit=5.0)
    assert found.min() < -88.0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("torch eager", {"in_python": True}),
        ("torch.bmm", {"in_python": True}),
        ("NumPy", {"bit_generator": "PCG64"}),
        ("Numba parallel", {"bit_generator": "PCG64"}),
        ("JAX jit+scan", {"generator": "rbg", "devices": 2}),
        ("JAX vmap+scan", {"generator": "unsafe_rbg", "devices": 2}),
    ],
)
def test_threads_and_options_keep_the_law(name: str, options: dict[str, Any]) -> None:
    problem = Problem(21, 24)
    threads = min(2, len(os.sched_getaffinity(0)))
    networks = sample_of(name)
    found = run(CONTENDERS[name], problem, networks, threads, **options)
    harness.check_answer(name, found, ours.reference_moments(problem, 100_000), limit=5.0)
    assert len(np.unique(found)) > 0.99 * networks  # no thread, batch or device repeats another's


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *((name, 1.05) for name in CONTENDERS if name != "torch.compile"),
        *(pytest.param(name, 0.95, marks=slow_in(LOOPS, name)) for name in CONTENDERS if name != "torch.compile"),
    ],
)
def test_wrong_peer_is_refused(name: str, error: float) -> None:
    problem = Problem(24, 60)
    reference = ours.reference_moments(problem, 50_000)
    wrong = run(CONTENDERS[name], replace(problem, lam=error * problem.lam), 300 if name in LOOPS else 700)
    with pytest.raises(harness.WrongAnswer, match="not timed"):
        harness.check_answer("wrong", wrong, reference)


def test_not_a_number_is_refused() -> None:
    reference = harness.Moments(0.0, 0.01, 1.0, 0.01, 10_000)
    with pytest.raises(harness.WrongAnswer):
        harness.check_answer("broken", np.full(100, np.nan), reference)


def test_problem_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="it must be positive"):
        Problem(8, 8, alpha=-0.5)
    with pytest.raises(ValueError, match="variant='other'"):
        Problem(8, 8, variant="other")


def test_autotune_finds_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock)

    def simulate(networks: int, options: dict[str, Any]) -> None:
        nonlocal clock
        clock += networks * (abs(math.log2(options["batch"] / 64)) + 1) * (2 if options["kind"] == "a" else 1)

    best, tried = harness.autotune(simulate, {"batch": (16, 64, 256), "kind": ("a", "b")}, 1000.0)
    assert best == {"batch": 64, "kind": "b"}
    assert {(t["batch"], t["kind"]): t["networks_per_s"] for t in tried} == {
        (16, "a"): pytest.approx(1 / 6),
        (64, "a"): pytest.approx(1 / 2),
        (256, "a"): pytest.approx(1 / 6),
        (64, "b"): pytest.approx(1.0),
    }


def test_turns_alternate_and_are_at_least_five() -> None:
    order: list[str] = []
    taken = harness.by_turns([lambda: order.append("A"), lambda: order.append("B")], 5)
    assert order == ["A", "B"] * 5
    assert [len(seconds) for seconds in taken] == [5, 5]
    with pytest.raises(ValueError, match="rounds=4"):
        harness.by_turns([], 4)


def test_slope_and_its_error() -> None:
    sizes = [64, 128, 256, 512, 1024]
    exact = curves.log_log_slope(sizes, [3e-4 * n**1.25 for n in sizes])
    assert exact.value == pytest.approx(1.25, abs=1e-12)
    assert exact.stderr == pytest.approx(0.0, abs=1e-12)

    rng, found = np.random.default_rng(5), []
    for _ in range(2_000):
        noisy = [n * math.exp(0.05 * e) for n, e in zip(sizes, rng.standard_normal(len(sizes)), strict=True)]
        found.append(curves.log_log_slope(sizes, noisy))
    spread = float(np.std([s.value for s in found]))
    assert spread == pytest.approx(0.05 / math.sqrt(10) / math.log(2), rel=0.08)  # sum of (x - mean)^2 = 10 log(2)^2
    assert math.sqrt(np.mean([s.stderr**2 for s in found if s.stderr])) == pytest.approx(spread, rel=0.08)

    assert curves.log_log_slope([1, 2], [1.0, 0.5]) == curves.Slope(-1.0, None, 2)
    with pytest.raises(ValueError, match="two different"):
        curves.log_log_slope([8, 8], [1.0, 1.0])


def entry(part: str, task: str, size: tuple[int, int], ratio: float = 1.0, **given: Any) -> dict[str, Any]:
    fields = {name: given.pop(name) for name in ("peer", "threads", "axis", "name", "values") if name in given}
    job = Job(part, task, Problem(*size), SHORT, **fields)
    spread = {"median": ratio, "min": 0.9 * ratio, "max": 1.1 * ratio}
    base = {"title": job.title, "job": json.loads(json.dumps(job.to_json())), "status": "done"}
    return {**base, "result": {"ratio": spread}, **given}


def line(entries: list[dict[str, Any]], part_of_text: str) -> str:
    (found,) = [text for text in verdicts.verdicts(entries) if part_of_text in text]
    return found


def test_verdicts_say_reached_or_not() -> None:
    main = (192, 200)
    fast = entry("peers", "compare", main, 4.5, peer="torch eager")
    slow = entry("peers", "compare", main, 9.0, peer="NumPy")
    smart = "best smart peer at width 192"
    assert "reached (median 4.5 (4.05 to 4.95), against torch eager)" in line([slow, fast], smart)
    closer = entry("peers", "compare", main, 3.9, peer="torch.compile")
    assert "NOT reached (median 3.9 (3.51 to 4.29), against torch.compile)" in line([slow, fast, closer], smart)
    gone = {**closer, "status": "missing", "reason": "torch is not installed"}
    assert ", without torch.compile: torch is not installed" in line([slow, gone], smart)
    assert "not measured (torch.compile: torch is not installed)" in line([gone], smart)
    assert "not measured (not part of this run)" in line([], smart)

    loop = entry("peers", "compare", main, 1400.0, peer=plan.DEFAULT_LOOP)
    assert "NOT reached" in line([loop, fast], "1500 times")
    recorded = entry("recording", "recording", main, 1.02)
    assert ": reached" in line([recorded], "in less than 1.1 times")
    narrow = entry("recording", "recording", (4, 200), 4.4)
    assert ": measured (median 4.4" in line([narrow], "no target")


def test_verdicts_on_slopes_and_memory() -> None:
    slope = {"name": "width", "slope": {"value": 0.93, "stderr": 0.004, "points": 5}}
    width = entry("curves", "curve", (192, 50), axis="width", name="width", result=slope)
    assert "NOT reached (0.93, standard error 0.004)" in line([width], "log width")
    runs = [
        entry("memory", "memory", (8, 16), values=(n,), result={"networks": n, "peak_bytes": b, "before_bytes": 1})
        for n, b in ((10**7, 41 << 20), (10**5, 40 << 20))
    ]
    assert "NOT reached (1.025 times, 40.0 MiB at 100,000 networks and 41.0 MiB" in line(runs, "Peak memory")


def test_plan_is_complete_and_selectable() -> None:
    jobs = plan.jobs(plan.FULL, plan.PARTS, plan.SIZES, (1, 2), "avx2")
    assert {job.part for job in jobs} == set(plan.PARTS)
    assert len({(job.title, job.values) for job in jobs}) == len(jobs)
    compared = {
        (j.peer, j.problem.width, j.problem.variant, j.threads) for j in jobs if j.task == "compare" and not j.skip
    }
    assert {(p, w, "vanilla", 1) for p in plan.SMART for w, _ in plan.SIZES} <= compared
    assert {
        (p, w, v, t) for p in plan.USUAL for w, _ in plan.SIZES for v, t in (("balanced", 1), ("vanilla", 2))
    } <= compared
    assert {(p, 192, "balanced", 2) for p in plan.SMART} <= compared
    assert {(p, 192, v, 1) for p in plan.WEIGHTS for v in ("vanilla", "balanced")} <= compared
    assert all(job.estimate == 0.0 for job in jobs if job.skip)
    assert sum(job.estimate for job in jobs) < 25 * 60

    few = plan.jobs(plan.FULL, ("peers",), ((40, 1000),), (1,), "avx2")
    assert {(job.part, job.problem.width, job.threads) for job in few} == {("peers", 40, 1)}
    assert {j.peer for j in plan.jobs(plan.SMOKE, ("peers", "dense"), plan.SMOKE.sizes, (1,), "avx2")} == set(
        CONTENDERS
    )
    for job in jobs:
        assert Job.of_json(json.loads(json.dumps(job.to_json()))) == job


def test_report_round_trip(tmp_path: Path) -> None:
    rate = {"median": 1e4, "min": 9e3, "max": 1.1e4}
    result = {"library": "AVX2", "options": {"batch": 64}, "resmc_per_s": rate, "peer_per_s": rate, "ratio": rate}
    entries = [
        entry("peers", "compare", (192, 200), peer="NumPy", result=result),
        entry("peers", "compare", (192, 200), peer="JAX jit+scan", status="failed", reason="out of memory"),
    ]
    options = {"scale": "full", "parts": ["peers"], "comparisons": 3}
    found = report.report(report.machine("avx2", 2), options, [], entries)
    stem = report.write(found, tmp_path / "new", "selected")
    assert stem.name.startswith("cpu-")
    assert stem.name.endswith("-avx2-selected")
    assert json.loads(stem.with_suffix(".json").read_text()) == found
    text = stem.with_suffix(".md").read_text()
    assert "a full run of peers: NOT FINISHED, 2 of 3 comparisons." in text
    assert "| vanilla | 192 | 200 | 1 | projected | NumPy | batch 64; AVX2 | 3.84e+08 | 3.84e+08 |" in text
    assert "- peers, JAX jit+scan, vanilla, 192x200, 1 thread: out of memory" in text
    assert sorted(p.suffix for p in (tmp_path / "new").iterdir()) == [".json", ".md"]


def test_autotune_gives_every_worker_a_batch() -> None:
    seen: list[tuple[int, int]] = []

    def simulate(networks: int, options: dict[str, Any]) -> None:
        seen.append((networks, options["batch"]))
        time.sleep(networks * 1e-6)

    harness.autotune(simulate, {"batch": (16, 64)}, 1e-3, workers=3)
    assert seen
    assert all(networks % (3 * batch) == 0 for networks, batch in seen)


@pytest.mark.parametrize("cores", [2, 8, 9, 12, 64, 96])
def test_thread_curve_goes_up_to_all_cores(cores: int) -> None:
    jobs = plan.jobs(plan.FULL, ("curves",), plan.SIZES, (1, cores), "avx2")
    (values,) = [job.values for job in jobs if job.axis == "threads"]
    assert values == tuple(sorted(set(values)))
    assert values[0] == 1
    assert values[-1] == cores


def test_instruction_counts_are_optional(tmp_path: Path) -> None:
    rates = {"resmc_per_s": {"median": 1e4, "min": 1e4, "max": 1e4}}
    timed = [entry("limit", "limit", (192, 200), result=rates)]
    counts = tmp_path / "counts.json"
    assert instructions.instruction_rates(timed, "avx2", counts) == []
    kind = {"method": "projected", "variant": "vanilla", "layers": "ends"}
    run = {**kind, "width": 192, "depth": 20, "networks": 4096, "instructions_per_update": 5.0}
    runs = {"main": run, "other": {**run, "width": 40}, "dense": {**run, "method": "dense"}}
    counts.write_text(json.dumps({"instruction_set": "avx2", "runs": runs}))
    (row,) = instructions.instruction_rates(timed, "avx2", counts)
    assert row["instructions_per_s"] == pytest.approx(5.0 * 192 * 200 * 1e4)
    assert instructions.instruction_rates(timed, "avx512", counts) == []


def order(job: Job, reference: harness.Moments | None = None) -> dict[str, Any]:
    return {"job": job.to_json(), "reference": reference.__dict__ if reference else None}


def numpy_job() -> Job:
    return Job("peers", "compare", Problem(16, 8), SHORT, instruction_set="baseline", peer="NumPy")


def test_missing_library_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    for name in ("jax_projected", "jax_weights"):
        monkeypatch.delitem(sys.modules, f"bench.peers.{name}", raising=False)
    found = worker.outcome(order(replace(numpy_job(), peer="JAX jit+scan"), harness.Moments(0, 1, 1, 1, 1000)))
    assert found == {"status": "missing", "reason": "jax is not installed"}


def test_wrong_answer_and_error_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "held", lambda library, instruction_set: "anything")
    wrong = harness.Moments(5.0, 0.001, 1.0, 0.001, 10_000)
    found = worker.outcome(order(numpy_job(), wrong))
    assert found["status"] == "refused"
    assert "standard errors off 5: not timed" in found["reason"]

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError("too much\nand more")

    monkeypatch.setattr("bench.peers.numpy_projected.projected", fail)
    assert worker.outcome(order(numpy_job(), wrong)) == {"status": "failed", "reason": "MemoryError: too much"}


def test_a_comparison_that_dies_or_hangs_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    job = replace(numpy_job(), instruction_set=ours.resmc.build_info()["instruction_set"])

    def end(code: str) -> dict[str, Any]:
        real = subprocess.run
        monkeypatch.setattr(launch.subprocess, "run", lambda _, **k: real([sys.executable, "-c", code], **k))
        try:
            return launch.run(job, None, limit=3.0)
        finally:
            monkeypatch.undo()

    assert end("import os; os.kill(os.getpid(), 9)") == {"status": "failed", "reason": "ended by SIGKILL"}
    assert end("raise SystemExit('no such thing')") == {"status": "failed", "reason": "no such thing"}
    assert end("import time; time.sleep(60)") == {"status": "failed", "reason": "not finished after 3 s"}


def test_instruction_sets_are_held() -> None:
    free = environment.environment("avx512", "avx512", 1)
    assert free["OMP_NUM_THREADS"] == "1"
    assert "ATEN_CPU_CAPABILITY" not in free
    if environment.platform.machine() != "x86_64":
        pytest.skip("instruction sets of x86")
    held = environment.environment("avx2", "avx512", 2)
    assert held["ATEN_CPU_CAPABILITY"] == "avx2"
    assert held["RESMC_INSTRUCTION_SET"] == "avx2"
    assert held["XLA_FLAGS"].split()[-2:] == ["--xla_force_host_platform_device_count=2", "--xla_cpu_max_isa=AVX2"]
    code = "from bench.environment import held; print(held('numpy', 'baseline'))"
    variables = {**os.environ, **environment.environment("baseline", "avx512", 1)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "SSE", done.stderr


def test_library_that_is_not_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "in_use", lambda library: "AVX512")
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    with pytest.raises(environment.NotHeld, match="told to use avx2"):
        environment.held("torch", "avx2")
    assert environment.held("torch", "avx512") == "AVX512"


def test_program_writes_after_each_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    calls: list[str] = []

    def one(job: Job, reference: harness.Moments | None) -> dict[str, Any]:
        if job.task == "reference":
            return {"status": "done", "result": harness.Moments(0, 1, 1, 1, 1000).__dict__}
        calls.append(job.peer)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"status": "missing" if job.peer == plan.DEFAULT_LOOP else "refused", "reason": "made up"}

    monkeypatch.setattr(program, "run", one)
    words = ["--smoke", "--parts", "peers", "--threads", "1", "--output", str(tmp_path)]
    assert program.main(words) == 130
    said = capsys.readouterr().out
    assert "left out: made up" in said
    assert "REFUSED: made up" in said
    (written,) = tmp_path.glob("*.json")
    assert [e["status"] for e in json.loads(written.read_text())["results"]] == ["missing", "refused"]
    assert "-smoke-selected" in written.name

    monkeypatch.setattr(program, "run", lambda job, reference: {"status": "missing", "reason": "made up"})
    limited = ["--parts", "limit", "--sizes", "192x200", "--output", str(tmp_path)]
    assert program.main(["--quick", *limited]) == 0  # a library may be missing, but not from CI's smoke run
    assert program.main(["--smoke", *limited]) == 1


@pytest.mark.parametrize("words", [["--sizes", "192"], ["--parts", "other"], ["--threads", "3"], ["--rounds", "4"]])
def test_bad_options_are_refused(words: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit):
        program.main(words)
    assert words[0] in capsys.readouterr().err
