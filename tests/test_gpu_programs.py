"""The programs that bench.gpu_check runs: the baselines on CPU tensors; parity, speed and what the sanitizer sees, on
a GPU or an emulated one. No timings here."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import harness  # noqa: E402, I001
from bench.gpu import parity as gpu_parity  # noqa: E402
from bench.gpu import parity_populations as gpu_populations  # noqa: E402
from bench.gpu import parity_residual as gpu_residual  # noqa: E402
from bench.gpu import peers as gpu_peers  # noqa: E402
from bench.gpu import speed as gpu_speed  # noqa: E402
from bench.gpu import sanitize  # noqa: E402
from bench.peers import Problem  # noqa: E402
from resmc import ResidualNetwork  # noqa: E402
from resmc.models.blocks import BLOCKS  # noqa: E402

# ---- peers, on a CPU ------------------------------------------------------------------------------------------------

PEERS: list[Any] = [
    (gpu_peers.projected, 20_000, {"batch": 256}),
    (gpu_peers.explicit_batched, 1_000, {"batch": 64}),
    (gpu_peers.module_loop, 400, {}),
    pytest.param(gpu_peers.projected_compiled, 20_000, {"batch": 512}, marks=pytest.mark.long),
    pytest.param(gpu_peers.jax_projected, 20_000, {"batch": 512, "generator": "rbg"}, marks=pytest.mark.long),
]


@pytest.mark.cpu  # torch and JAX, on CPU tensors
@pytest.mark.parametrize(("peer", "networks", "options"), PEERS)
def test_peers_have_the_law_and_wrong_ones_are_refused(peer: gpu_peers.Peer, networks: int, options: dict[str, Any]):
    """A false alarm once in 10^6; the wrong network has lam 30% too large."""
    problem = Problem(21, 24)
    expected = gpu_peers.reference(problem, 100_000)
    state = torch.get_rng_state()
    try:
        row = gpu_peers.measure(peer, problem, "cpu", expected, [options], networks, seconds=0.01, rounds=1)
        assert row["options"] == options
        wrong = peer(Problem(21, 24, lam=1.3 * problem.lam), networks, 7, "cpu", **options)
    except gpu_peers.NotHere as reason:
        pytest.skip(str(reason))
    finally:
        torch.set_rng_state(state)
    with pytest.raises(harness.WrongAnswer):
        harness.check_answer("wrong", wrong, expected, limit=5.0)


# ---- the programs, on a GPU or an emulated one ----------------------------------------------------------------------


def test_parity_of_a_few_networks(gpu: Any):
    found = gpu_parity.words_and_normals(gpu, counters=5, normals=512)
    assert found["words_that_differ"] == 0
    assert found["holds"]
    row = gpu_parity.compare(gpu_parity.of(192, 20, 300, "balanced"), piece=256)
    assert row["holds"]
    assert row["log_norm_difference"]["max"] < 1e-5
    assert row["integers_equal"]["alive"] == 1.0
    dying = gpu_parity.compare(gpu_parity.of(3, 40, 300, alpha=0.0, lam=1.0))
    assert dying["deaths_differ"] == 0
    assert dying["statistics_difference"]["partial_sums"] < 1e-4


def test_square_roots_of_normals_are_correctly_rounded(gpu: Any, monkeypatch: pytest.MonkeyPatch):
    found = gpu_parity.square_roots(gpu, mantissas=4096, exponents=range(-40, 10, 24))
    assert found["holds"]
    assert found["radicands"] == 3 * 4096
    roots = gpu.kernels.bound.roots

    class Off:
        def __getattr__(self, name: str) -> Any:
            return getattr(gpu.kernels, name)

        def roots(self, numbers: int, n: int, out: int, *where: int) -> None:
            roots(numbers, n - 1, out, *where)  # one is left out

    with monkeypatch.context() as patch:
        patch.setattr(gpu, "kernels", Off())
        assert gpu_parity.square_roots(gpu, mantissas=64, exponents=range(0, 2, 2))["roots_that_differ"] == 1


def test_parity_of_residual_networks(gpu: Any, monkeypatch: pytest.MonkeyPatch):
    chosen = {(case.method, case.model.block) for case in gpu_residual.RESIDUAL_CASES}
    assert chosen == {(method, block) for method in ("projected", "dense") for block in BLOCKS}
    for case in (
        gpu_residual.of("v-phi-w", "relu", 64, 12, 200, bias=0.3),
        gpu_residual.of("phi-out", "tanh", 10, 4, 64, method="dense", weights="uniform"),
    ):
        row = gpu_residual.compare(case)
        assert row["holds"]
        assert set(row["quantities"]) == {"log_norm", "displacement", "gradient", "gradient_displacement", "overlap"}
        assert 0.0 <= row["quantities"]["gradient"]["median"] < 1e-5
    right = gpu_residual.simulate
    monkeypatch.setattr(gpu_residual, "simulate", lambda case, on, seed: right(case, on, seed + (on == "cuda")))
    assert not gpu_residual.compare(case)["holds"]


def test_parity_of_populations(gpu: Any, monkeypatch: pytest.MonkeyPatch):
    models = [case.model for case in gpu_populations.POPULATION_CASES]
    assert {m.block for m in models if isinstance(m, ResidualNetwork)} == set(BLOCKS)
    assert {m.variant for m in models if not isinstance(m, ResidualNetwork)} == set(sanitize.VARIANTS)
    case = gpu_populations.PopulationCase(ResidualNetwork(40, 8, "v-phi-w"), 8)
    row = gpu_populations.compare(case)
    assert row["holds"]
    assert row["log_product_difference"]["max"] < 1e-5
    assert row["layers"] > 2
    dying = gpu_populations.compare(gpu_populations.PopulationCase(gpu_speed.of(3, 20).model.__class__(3, 20, 0, 1), 8))
    assert dying["holds"]
    right = gpu_populations.resmc.moment_growth

    def wrong(*arguments: Any, device: Any, **settings: Any) -> Any:
        return right(*arguments, device=device, **{**settings, "seed": settings["seed"] + (device == "cuda")})

    monkeypatch.setattr(gpu_populations.resmc, "moment_growth", wrong)
    assert not gpu_populations.compare(case)["holds"]


def test_populations_are_timed_beside_a_plain_simulation(gpu: Any):
    row = gpu_speed.populations_end_to_end(gpu_speed.of(16, 8), 3, size=50, rounds=2)
    assert row["networks"] == 150
    assert row["per_s"] == pytest.approx(150 * 16 * 8 / row["seconds"].median)
    assert 0.0 < row["of_plain"].min <= row["of_plain"].max


def test_one_parity_case_has_its_states_in_device_memory(gpu: Any):
    """By the shared memory of compute capability 9.0, which the emulation has as well."""
    kept = {gpu_parity.memory_of(gpu, case) for case in gpu_parity.CASES}
    assert kept == {"registers", "shared", "device"}


def test_parity_sees_a_difference(gpu: Any, monkeypatch: pytest.MonkeyPatch):
    def wrong(case: gpu_parity.Case, device: Any, seed: int, first: int, count: int) -> Any:
        return right(case, device, seed + (device == "cuda"), first, count)

    right = gpu_parity._simulate
    monkeypatch.setattr(gpu_parity, "_simulate", wrong)
    row = gpu_parity.compare(gpu_parity.of(64, 5, 200))
    assert not row["holds"]
    assert row["above_1e-4"] > 0.9


@pytest.mark.parametrize(
    "case",
    [
        gpu_speed.of(192, 6),
        gpu_speed.Case(gpu_speed.ALL_LAYERS.model.__class__(40, 5, 0.6, 0.8, "balanced"), layers=None),
        gpu_speed.Case(gpu_speed.DENSE.model.__class__(24, 5, 0.6, 0.8), "dense"),
        gpu_speed.Case(ResidualNetwork(40, 5, "v-phi-w", scaling=gpu_speed.ROOT), gradients=True),
    ],
    ids=lambda case: case.name,
)
def test_speed_checks_its_answers(gpu: Any, case: gpu_speed.Case):
    row = gpu_speed.speed(gpu, case, work=1e5)
    assert row["check"]["most_off"] < 1e-5
    assert row["networks"] == row["check"]["checked"] == 64
    assert row["layers_recorded"] == (2 if case.layers == () else 6)
    assert row["per_s"].median > 0.0
    assert ("segment" in row) == case.gradients


@pytest.mark.parametrize("case", [gpu_speed.of(192, 200), gpu_speed.of(40, 40), gpu_speed.RESIDUAL[3]])
def test_whole_waves_are_measured(gpu: Any, case: gpu_speed.Case):
    chunk = gpu_speed.Chunk(gpu, case, 1e8)
    assert chunk.networks % chunk.plan.wave == 0
    assert chunk.networks * case.work == pytest.approx(1e8, rel=0.5 * max(1.0, chunk.plan.wave * case.work / 1e8))


def test_a_wrong_kernel_is_not_timed(gpu: Any, monkeypatch: pytest.MonkeyPatch):
    chunk = gpu_speed.Chunk(gpu, gpu_speed.of(40, 5), 1e5)
    chunk.check()
    chunk.launch = dataclasses.replace(chunk.launch, seed=1)
    with pytest.raises(harness.WrongAnswer, match="from the CPU's"):
        chunk.check()
    monkeypatch.setattr(chunk, "simulate", lambda: None)
    with pytest.raises(harness.WrongAnswer):  # its records were emptied
        chunk.check()


def test_all_shapes_of_a_width_are_tried(gpu: Any):
    row = gpu_speed.sweep(gpu, gpu_speed.of(40, 4), work=1e5, rounds=1)
    assert row["best"] in row["per_s"]
    assert row["chosen"] in row["per_s"]
    assert {name.split(", ")[2] for name in row["per_s"]} == {"registers", "shared"}


def test_every_kind_of_kernel_is_shown_to_the_sanitizer():
    cases = sanitize.cases()
    seen = {(case.method, case.memory, case.threads > 32) for case in cases}
    assert seen == {
        (method, memory, block)
        for method in ("projected", "dense") for memory in range(3) for block in (False, True)
        if (method, memory) != ("dense", sanitize.REGISTERS)
    }  # fmt: skip
    rounds = {-((c.width + 3) // 4 // -c.threads) for c in cases if c.memory == sanitize.REGISTERS}
    assert rounds == set(range(1, 9))
    residual = sanitize.residual_cases()
    assert {(c.method, c.block, c.threads > 32) for c in residual} == {
        (method, block, several) for method in ("projected", "dense") for block in BLOCKS for several in (False, True)
    }
    populations = sanitize.population_cases()
    assert {m.variant for m, _ in populations[:3]} == set(sanitize.VARIANTS)
    assert {m.block for m, _ in populations[3:]} == set(BLOCKS)
    for of_kind in (populations[:3], populations[3:]):
        assert {threads for _, threads in of_kind} == {1, 32, 128}


@pytest.mark.long
def test_all_cases_for_the_sanitizer_run(gpu: Any, capsys: pytest.CaptureFixture[str]):
    assert sanitize.main() == 0
    cases = len(sanitize.cases()) + len(sanitize.residual_cases()) + len(sanitize.population_cases())
    assert f"sanitize: {cases} simulations" in capsys.readouterr().out


@pytest.mark.parametrize("main", [gpu_parity.main, gpu_speed.main, gpu_peers.main])
def test_programs_end_at_their_time(
    gpu: Any, main: Callable[[list[str]], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gpu_peers, "NETWORKS", 64)
    assert main(["--rows", str(tmp_path / "rows.json"), "--seconds", "0"]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert len(rows) >= 6
    assert all("skipped" in row for row in rows)
