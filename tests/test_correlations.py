"""Simulations without the products of A between layers: smaller, and otherwise the same in every bit."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from engines import fast_network, request

import resmc
from resmc import ResNet, Simulation
from resmc._system.build import instruction_set
from resmc.engine import native
from resmc.engine.memory import needed_memory
from resmc.engine.sums import Sums

HALF = math.sqrt(0.5)
MATRICES = ("products", "partial_sums", "partial_squares")
SKIP, PLAIN = ResNet(12, 6, HALF, HALF, n_out=2), ResNet(3, 7, 0.0, 1.3, n_out=2)  # the second one's networks die


def run(model: ResNet = SKIP, networks: int = 700, **settings: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, **{"progress": False, "threads": 2, **settings})


@pytest.fixture(scope="module")
def without() -> Simulation:
    return run(correlations=False)


# ------------------------------------------------------------------------------------------------------------- the sums


@pytest.mark.parametrize(("networks", "first"), [(700, 5), (9000, 4090)])
@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("model", [SKIP, PLAIN], ids=["skip", "plain"])
def test_without_correlations_all_else_is_the_same_in_every_bit(
    backend: Any, model: ResNet, method: str, networks: int, first: int
) -> None:
    if networks > 1000 and not isinstance(backend, str) and backend.name == "emulated":
        networks = 1500
    settings = {"method": method, "first_network": first, "keep_samples": 40, "keep_trajectories": 9}
    full, bare = (run(model, networks, correlations=wanted, **settings) for wanted in (True, False))
    assert full.dead[-1] > 0 or model is SKIP
    assert (full.correlations, bare.correlations) == (True, False)
    sums = bare.statistics.arrays()
    for name, array in full.statistics.arrays().items():
        if name in MATRICES:
            assert sums[name].shape == (32, 0), name
        else:
            assert array.tobytes() == sums[name].tobytes(), name
    for part in ("samples", "trajectories"):
        for f in (f for f in fields(getattr(full, part)) if f.name != "ratios"):
            x, y = getattr(getattr(full, part), f.name), getattr(getattr(bare, part), f.name)
            assert x.tobytes() == y.tobytes(), f.name
    assert full.statistics.products.shape == (32, 36 if model is PLAIN else 28)


@pytest.mark.parametrize("model", [SKIP, PLAIN], ids=["skip", "plain"])
def test_sums_of_squares_of_a_are_the_diagonal_of_the_products(backend: Any, model: ResNet) -> None:
    sim = run(model, 3000 if isinstance(backend, str) else 700)
    row, size = np.arange(len(sim.layers)), len(sim.layers)
    diagonal = sim.statistics.products[:, row * size - row * (row - 1) // 2]
    np.testing.assert_allclose(sim.statistics.activity.asymmetry_square, diagonal, rtol=1e-12, atol=0.0)
    assert (diagonal > 0.0).any()


def test_sums_without_correlations_add_when_ranges_merge(without: Simulation) -> None:
    merged = resmc.merge(without, run(networks=300, first_network=700, correlations=False))
    assert not merged.correlations
    whole = run(networks=1000)
    np.testing.assert_allclose(merged.asymmetry_variance.value, whole.asymmetry_variance.value, rtol=1e-12)
    np.testing.assert_allclose(merged.asymmetry_mean.value, whole.asymmetry_mean.value, rtol=1e-10)


def test_neither_results_nor_threads_take_memory_for_products_that_are_not_wanted() -> None:
    for model in (SKIP, PLAIN):
        deaths = model.alpha == 0.0
        for wanted in (True, False):
            for activity in (True, False):
                zeros = Sums.zeros(50, 8, deaths, wanted, activity)
                size = zeros.networks.nbytes + sum(array.nbytes for array in zeros.arrays().values())
                assert Sums.bytes(50, 8, deaths, wanted, activity) == size

        def thread(wanted: bool, n_layers: int, model: ResNet = model) -> int:
            asked = request(model, 5000, correlations=wanted, threads=3)
            each = native.thread_bytes(asked.network(), asked.job(), n_layers, instruction_set())
            assert needed_memory(asked, n_layers) == 3 * each + Sums.bytes(
                n_layers, asked.job().n_bins, model.alpha == 0.0, wanted
            )
            return each

        pairs, matrices = 501 * 502 // 2, 3 if deaths else 1
        assert thread(True, 501) - thread(False, 501) == 8 * matrices * (pairs + 128 * 512)
        assert thread(False, 1001) - thread(False, 501) < 1.01 * 500 * (16 * 128 + 8 * 15)


def test_a_gpu_takes_no_memory_for_products_that_are_not_wanted(gpu: Any) -> None:
    from resmc.engine.cuda.buffers import Buffers
    from resmc.engine.cuda.plan import make_plan

    def buffers(model: ResNet, wanted: bool) -> tuple[Buffers, int]:
        network, layers = fast_network(model), np.arange(model.depth + 1, dtype=np.uint32)
        job = request(model, 512, correlations=wanted).job()
        shape = gpu.kernels.shape(network, 0, gpu.properties)
        plan = make_plan(network, job, shape, len(layers), 2, 1 << 30)
        made = Buffers(gpu, network, job, shape, layers, plan)
        return made, Buffers.bytes(network, job, shape, len(layers), plan)

    for model in (SKIP, PLAIN):
        (full, size), (bare, smaller) = buffers(model, True), buffers(model, False)
        assert "asymmetry" in full.tensors
        assert not {"asymmetry", "alive"} & set(bare.tensors)
        assert not bare.of_batches
        assert not bare.of_groups
        for made, bound in ((full, size), (bare, smaller)):
            tensors = [*made.tensors.values(), *made.of_batches.values(), *made.of_groups.values()]
            if "alive" in made.tensors:
                tensors.append(made.squares)
            taken = sum(t.numel() * t.element_size() for t in tensors)
            assert taken <= bound + 4 * (model.depth + 1)  # the numbers of the layers are not counted
            assert bound < 1.2 * taken


# ----------------------------------------------------------------------------------------------- what is not there then


@pytest.mark.parametrize(
    "ask",
    [
        lambda sim: sim.asymmetry_covariance,
        lambda sim: sim.asymmetry_correlation,
        lambda sim: sim.interlayer_correlations(),
    ],
    ids=["covariance", "correlation", "analysis"],
)
def test_correlations_that_were_not_wanted_are_refused_in_words(without: Simulation, ask: Any) -> None:
    with pytest.raises(ValueError, match="this simulation was made with correlations=False"):
        ask(without)
    assert ask(run(networks=100)) is not None


def test_the_summary_is_that_with_correlations_less_their_rows(without: Simulation) -> None:
    full = str(run().summary()).splitlines()
    assert str(without.summary()).splitlines() == [line for line in full if not line.startswith("Corr A")]
    assert any(line.startswith("Corr A, lag 1") for line in full)


def test_the_data_set_is_that_with_correlations_less_their_variables(without: Simulation) -> None:
    pytest.importorskip("xarray")
    full, bare = run().to_xarray(), without.to_xarray()
    left_out = {name for name in full.variables if name.startswith("asymmetry_correlation")} | {"layer2", "lag"}
    assert len(left_out) == 10
    assert set(bare.variables) == set(full.variables) - left_out
    assert bare.identical(full.drop_vars(left_out))


def test_simulations_with_and_without_correlations_do_not_merge(without: Simulation) -> None:
    other = run(networks=100, first_network=700)
    with pytest.raises(ValueError, match="simulations with different correlations do not merge: False and True"):
        resmc.merge(without, other)


def test_a_file_without_correlations_comes_back_as_it_was(without: Simulation, tmp_path: Any) -> None:
    without.save(tmp_path / "bare.resmc")
    back = resmc.load(tmp_path / "bare.resmc")
    assert not back.correlations
    assert back.summary() == without.summary()


@pytest.mark.parametrize("wanted", [0, 1, None, "no", np.True_])
def test_correlations_is_true_or_false(wanted: Any) -> None:
    with pytest.raises(ValueError, match=r"correlations=.* is not allowed: it must be True or False"):
        run(correlations=wanted)
