"""The map over H and beta: numbers of single networks, errors by network, a store from which nothing is lost."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeps import Enough, contents, files, identities, leftovers, running, stopped_after, until

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, SmoothProcess, Weights, cli, heat_map, load_heat_map
from resmc import plot as P
from resmc.engine.columns import Threads
from resmc.engine.native import NUMERICS_VERSION
from resmc.experiments.heat_map import HeatMap
from resmc.experiments.heat_row import HeatRow, first_states, from_bytes, row_of
from resmc.experiments.heat_statistics import RowSums, crossing, mean_over_networks
from resmc.results import archive
from resmc.sweep import Store, StoreError
from resmc.sweep.heat_map_plan import HeatMapPlan
from resmc.sweep.manage import join

pytestmark = pytest.mark.cpu

NETWORK = ResidualNetwork(6, 12, block="v-phi-w")
SMALL: dict[str, Any] = {"hurst": [0.2, 0.8], "beta": [0.0, 0.4, 1.0], "networks": 3, "n_inputs": 2}
WIDE: dict[str, Any] = {"hurst": np.linspace(0.05, 0.95, 19), "beta": [0.2, 0.5, 0.8], "networks": 2, "n_inputs": 2}
RUN = """
import json, sys
import resmc
from resmc.sweep.heat_map_plan import HeatMapPlan
plan, store, options = json.loads(sys.argv[1])
plan = HeatMapPlan.from_dict(plan)
given = {name: getattr(plan, name) for name in ("hurst", "beta", "networks", "n_inputs", "seed", "gradients")}
print("ready", flush=True)
print(int(resmc.heat_map(plan.model, **given, store=store, **options).complete), flush=True)
"""


def small(**changes: Any) -> HeatMap:
    return heat_map(NETWORK, **{"progress": False, **SMALL, **changes})


def run_of(store: Path, model: ResidualNetwork = NETWORK, **changes: Any) -> list[str]:
    """The command of a process that makes a map: prints ``ready`` when it begins, and ``1`` when it has finished."""
    options = {"progress": False, "workers": 1, "threads": 1}
    plan = HeatMapPlan(model, **{**WIDE, **changes}).to_dict()
    return [sys.executable, "-c", RUN, json.dumps([plan, str(store), options])]


def same(a: HeatMap, b: HeatMap) -> bool:
    return all(a.estimate(name) == b.estimate(name) for name in a.quantities)


# ---------------------------------------------------------------------------------------- the numbers, from the weights


def by_hand(model: ResidualNetwork, seed: int, network: int, h0: np.ndarray, s: float) -> list[float]:
    """log10 of the four ratios of one network, written as the formulas are."""
    drawn, sigma = model.draw_weights(seed, network), {"relu": lambda x: np.maximum(x, 0.0), "tanh": np.tanh}
    slope = {"relu": lambda x: (x > 0.0).astype(float), "tanh": lambda x: 1.0 - np.tanh(x) ** 2}[model.activation]
    phi, inside = sigma[model.activation], isinstance(model.scaling, DepthScaling) and model.scaling.inside
    b = np.zeros((model.depth, model.width)) if drawn.b is None else drawn.b
    states = [h0]
    for k in range(model.depth):
        h = states[-1]
        if model.block == "v-phi-w":
            branch = s * drawn.V[k] @ phi(drawn.W[k] @ h + b[k])
        elif model.block == "phi-in":
            branch = s * (drawn.V[k] @ phi(h) + b[k])
        else:
            u = drawn.W[k] @ h + b[k]
            branch = phi(s * u) if inside else s * phi(u)
        states.append(h + branch)
    p_last = p = drawn.readout[0]
    for k in reversed(range(model.depth)):
        h = states[k]
        if model.block == "v-phi-w":
            p = p + s * drawn.W[k].T @ (slope(drawn.W[k] @ h + b[k]) * (drawn.V[k].T @ p))
        elif model.block == "phi-in":
            p = p + s * slope(h) * (drawn.V[k].T @ p)
        else:
            u = drawn.W[k] @ h + b[k]
            p = p + drawn.W[k].T @ (s * slope(s * u if inside else u) * p)
    norm = np.linalg.norm
    h, h_0 = states[-1], states[0]
    forward = np.array([norm(h), norm(h - h_0)]) / norm(h_0)
    backward = np.array([norm(p), norm(p - p_last)]) / norm(p_last)
    return np.log10([*forward, *backward]).tolist()


@pytest.mark.parametrize(
    "model",
    [
        NETWORK,
        ResidualNetwork(5, 10, activation="tanh", bias=0.3, scaling=DepthScaling(0.5, 1.5)),
        ResidualNetwork(7, 9, block="phi-out", activation="tanh", scaling=DepthScaling(1, 0.7, inside=True)),
    ],
    ids=["v-phi-w", "phi-in", "phi-out"],
)
def test_every_point_is_the_mean_of_networks_followed_by_hand_through_their_weights(model):
    found = heat_map(model, **SMALL, seed=5, progress=False)
    for i, hurst in enumerate(SMALL["hurst"]):
        row, c = row_of(model, hurst), model.scaling.c
        states = first_states(model.width, found.seeds[i], range(3), 2)
        for j, beta in enumerate(SMALL["beta"]):
            s = c * model.depth**-beta
            each = [by_hand(row, found.seeds[i], k, states[k, :, m], s) for k in range(3) for m in range(2)]
            means = [float(found.estimate(name).value[i, j]) for name in found.quantities]
            np.testing.assert_allclose(means, np.mean(each, axis=0), atol=2e-5)


def test_inputs_are_uniform_on_the_unit_cube_and_meet_one_matrix_of_variance_1_over_64():
    states = first_states(16, 3, range(400), 3)
    assert states.shape == (400, 16, 3)
    # E h^2 = E x^2 = 1/3, and E h h' = (E x)^2 = 1/4 for two inputs that meet the same A; sums of 64 squares of
    # normals scatter by sqrt(2/400/16) of that, inputs by less. Bounds are 5 standard errors.
    second = np.einsum("nim,nik->mk", states, states) / (400 * 16)
    error = 5.0 * np.sqrt(2.0 / (400 * 16)) / 3.0
    np.testing.assert_allclose(np.diag(second), 1.0 / 3.0, atol=error)
    np.testing.assert_allclose(second[np.triu_indices(3, 1)], 0.25, atol=error)
    assert abs(states.mean()) < 5.0 * np.sqrt(0.25 / (400 * 16))
    assert np.array_equal(states[7:9, :, :2], first_states(16, 3, range(7, 9), 2))  # each by itself


def test_without_gradients_the_forward_numbers_are_the_same():
    forward, both = small(gradients=False), small()
    assert forward.quantities == ("growth", "displacement")
    assert forward.growth == both.growth
    assert forward.displacement == both.displacement
    with pytest.raises(ValueError, match=r"quantity='gradient' was not followed in this map: ask for gradients=True"):
        _ = forward.gradient
    with pytest.raises(ValueError, match="'gradient_displacement' was not followed"):
        forward.frontier("gradient_displacement")
    with pytest.raises(ValueError, match="quantity='depth' is not allowed"):
        forward.estimate("depth")


def test_values_come_out_in_increasing_order_whatever_the_order_in_which_they_are_given():
    turned = small(hurst=[0.8, 0.2], beta=np.array([1.0, 0.0, 0.4]))
    assert turned.hurst.tolist() == [0.2, 0.8]
    assert turned.beta.tolist() == [0.0, 0.4, 1.0]
    assert same(turned, small())


# ------------------------------------------------------------------------------------------------------ errors


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """12000 networks of 4 inputs each at five exponents: log10 of the displacement, (networks, exponents, inputs)."""
    model = row_of(ResidualNetwork(4, 8, block="v-phi-w"), 0.7)
    row = HeatRow(model, 11, 1.0, (0.1, 0.4, 0.6, 0.8, 1.2), 4, False)
    return row.values(0, 12000, Threads(2))


def covered(estimates: list[resmc.Estimate], truth: np.ndarray) -> float:
    """The fraction of intervals of 95% that hold the truth."""
    held = [(low <= truth) & (truth <= high) for low, high in (e.interval() for e in estimates)]
    return float(np.mean(held, axis=0).min())


def test_errors_clustered_by_network_cover_and_those_of_all_inputs_do_not(many):
    """300 maps of 40 networks: a fraction of .9 is four standard errors below .95, which has odds of 1 in 10^4."""
    maps = [RowSums.of(part) for part in np.split(many, 300)]
    truth = RowSums.of(many).averages[..., 1].mean(axis=0)
    by_network = [mean_over_networks(one.averages[..., 1]) for one in maps]
    assert all((e.df == 39.0).all() for e in by_network)
    assert covered(by_network, truth) > 0.9
    single = 0.5 * np.log10(np.e) * many[..., 1].transpose(0, 2, 1)  # each input as if it were a network
    of_inputs = [mean_over_networks(part.reshape(-1, 5)) for part in np.split(single, 300)]
    np.testing.assert_allclose([e.value for e in of_inputs], [e.value for e in by_network], rtol=1e-9)
    assert covered(of_inputs, truth) < 0.75  # the negative control


def test_errors_of_the_frontier_cover_and_those_of_all_inputs_do_not(many):
    maps = [RowSums.of(part).averages[..., 1] for part in np.split(many, 300)]
    beta = np.array([0.1, 0.4, 0.6, 0.8, 1.2])
    truth = np.asarray(crossing(RowSums.of(many).averages[..., 1], beta).value)
    assert 0.1 < truth < 1.2
    assert covered([crossing(one, beta) for one in maps], truth) > 0.9
    single = 0.5 * np.log10(np.e) * many[..., 1].transpose(0, 2, 1)
    of_inputs = [crossing(part.reshape(-1, 5), beta) for part in np.split(single, 300)]
    errors = np.mean([float(crossing(one, beta).stderr) for one in maps])
    assert np.mean([float(e.stderr) for e in of_inputs]) < 1.05 * errors  # whole networks are left out in these, too
    shuffled = single.reshape(-1, 5)[np.random.default_rng(0).permutation(48000)].reshape(300, -1, 5)
    assert np.mean([float(crossing(one, beta).stderr) for one in shuffled]) < 0.6 * errors  # the negative control


@pytest.mark.parametrize(("networks", "known"), [(31, False), (32, True)])
def test_there_are_errors_from_32_networks_on(networks, known):
    model = ResidualNetwork(4, 3, activation="tanh")
    found = heat_map(model, hurst=[0.3], beta=[0.0, 2.0], networks=networks, n_inputs=2, progress=False)
    for name in found.quantities:
        assert np.isfinite(found.estimate(name).stderr).all() == known
        assert (found.estimate(name).n == networks).all()
    assert np.isfinite(found.frontier().beta.stderr).all() == known
    assert ("no error bar: fewer than 32 networks" in str(found.summary())) != known


def test_points_of_one_h_are_dependent_and_of_two_are_not():
    found = heat_map(NETWORK, hurst=[0.3, 0.6], beta=[0.2, 0.8], networks=40, n_inputs=1, progress=False).growth
    assert np.isnan((found[0, 0] - found[0, 1]).stderr)
    between = float((found[0, 0] - found[1, 0]).stderr)
    assert between == pytest.approx(np.hypot(found.stderr[0, 0], found.stderr[1, 0]))


def of_values(values: np.ndarray, beta: list[float]) -> HeatMap:
    """A map of one row whose logarithms are given."""
    sums = RowSums.of(values)
    return HeatMap(
        NETWORK, np.array([0.3]), np.array(beta), values.shape[2], 0, (1,), len(values), np.array([len(values)]),
        ("2", "cpu-baseline"), None, (), 0, None, (sums,),
    )  # fmt: skip


def test_what_explodes_and_what_stays_where_it_is_counts_as_infinite_and_is_said():
    values = np.random.default_rng(0).normal(size=(40, 4, 3, 2))
    values[3, 1, 2, 1] = -np.inf
    values[5, 2, 0, 1] = np.inf
    values[[7, 8], 3, 0, 1] = np.inf, -np.inf
    found = of_values(values, [0.0, 0.1, 0.2, 0.3])
    e = found.displacement
    assert e.value[0, 1] == -np.inf
    assert e.value[0, 2] == np.inf
    assert np.isnan(e.value[0, 3])  # infinite both ways
    assert np.isfinite(e.stderr).tolist() == [[True, False, False, False]]
    assert found.zeros("displacement").tolist() == [[0, 1, 0, 1]]
    assert found.exploded("displacement").tolist() == [[0, 0, 1, 1]]
    assert np.isfinite(found.growth.stderr).all()
    text = str(found.summary())
    assert "points with inputs that stay where they are, and count as -infinity: 2 of |h_L - h_0|/|h_0|" in text
    assert "points with inputs that explode: 2 of |h_L - h_0|/|h_0|" in text


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([2.0, 1.0, -1.0, -2.0], 0.15),
        ([2.0, -1.0, 1.0, -3.0], 0.225),  # the last crossing, if noise makes several
        ([np.inf, 1.0, -1.0, -2.0], 0.15),
        ([2.0, np.inf, -1.0, -2.0], np.nan),
        ([-1.0, -1.0, -2.0, -3.0], np.nan),
        ([3.0, 2.0, 1.0, 0.5], np.nan),
    ],
)
def test_the_frontier_lies_where_the_mean_crosses_0_or_nowhere(means, expected):
    ten = 2.0 * np.log(10.0)
    values = np.broadcast_to(ten * np.array(means)[None, :, None, None], (3, 4, 2, 2)).copy()
    frontier = of_values(values, [0.0, 0.1, 0.2, 0.3]).frontier()
    np.testing.assert_allclose(frontier.beta.value, [expected], atol=1e-12)
    assert frontier.limit.tolist() == [0.5]


def test_the_frontier_of_deep_networks_rises_with_h_and_with_the_depth():
    """At a finite depth it is below its limit; H = .9 and .3 are 20 standard errors apart."""

    def frontier(depth: int) -> Any:
        model = ResidualNetwork(8, depth, block="v-phi-w")
        beta = np.linspace(0.3, 1.0, 8)
        return heat_map(model, hurst=[0.3, 0.9], beta=beta, networks=64, n_inputs=1, gradients=False, progress=False)

    shallow, deep = (frontier(depth).frontier().beta for depth in (30, 300))
    assert (shallow.value < deep.value).all()
    assert (deep.value < [0.5, 0.9]).all()
    assert deep.value[1] - deep.value[0] > 5.0 * np.hypot(*deep.stderr)


def test_the_frontier_as_the_depth_grows_is_said_in_a_formula():
    assert "as L grows: H, by which small" in str(heat_map(ResidualNetwork(4, 3), **SMALL, progress=False).frontier())
    signed = ResidualNetwork(4, 3, activation="balanced")  # its signs are drawn in every layer
    assert "as L grows: max(H, 1/2), by" in str(heat_map(signed, **SMALL, progress=False).frontier())


# ------------------------------------------------------------------------------------------------------ the store


def test_threads_processes_executors_and_memory_make_the_same_map(tmp_path):
    expected = small()
    with ThreadPoolExecutor(2) as pool:
        for name, engine in (("threads", None), ("processes", "processes"), ("executor", pool)):
            workers = {} if engine is pool else {"workers": 2}
            found = small(store=tmp_path / name, engine=engine, **workers)
            assert same(found, expected)
            assert found.complete
            assert leftovers(tmp_path / name) == []
            assert contents(tmp_path / name) == contents(tmp_path / "threads")
            assert same(load_heat_map(tmp_path / name), expected)
            assert same(small(engine=engine, **workers), expected)  # in memory, wherever the work is done
    assert len(files(tmp_path / "threads")) == 2


def test_a_gpu_makes_the_map_that_a_cpu_does(gpu, tmp_path):
    """Rounding apart: means of log10 agree within 1e-4. A shard says who has made it, and a CPU goes on with it."""
    ours, theirs = (small(device=device, store=tmp_path / device) for device in ("cuda", "cpu"))
    for name in ours.quantities:
        np.testing.assert_allclose(ours.estimate(name).value, theirs.estimate(name).value, atol=1e-4)
    assert ours.numerics[1:] == (gpu.numerics.replace("/", "-"),)
    kept = identities(tmp_path / "cuda")
    grown = small(device="cpu", store=tmp_path / "cuda", networks=4)
    assert {name: identities(tmp_path / "cuda")[name] for name in kept} == kept
    assert set(grown.numerics[1:]) == {*ours.numerics[1:], *theirs.numerics[1:]}


def test_a_map_in_memory_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert small().store is None
    assert list(tmp_path.iterdir()) == []


def test_a_map_killed_at_any_moment_loses_and_repeats_nothing(tmp_path):
    model, store = ResidualNetwork(16, 200, block="v-phi-w"), tmp_path / "store"
    expected = heat_map(model, **WIDE, store=tmp_path / "expected", progress=False)
    kept: dict[str, Any] = {}
    for wanted in (2, 9):
        with running(run_of(store, model)) as process:
            assert process.line() == "ready"
            until(lambda wanted=wanted: len(files(store)) >= wanted or process.popen.poll() is not None, "shards")
            process.kill()
        now = identities(store)
        assert {name: now[name] for name in kept} == kept
        kept = now
    half = load_heat_map(store)
    assert half.complete == (len(kept) == 19)
    assert (half.networks > 0).sum() == len(kept)
    with running(run_of(store, model)) as process:
        assert process.line() == "ready"
        assert process.line() == "1"
        assert process.end()[0] == 0
    now = identities(store)
    assert {name: now[name] for name in kept} == kept
    assert contents(store) == contents(tmp_path / "expected")
    assert leftovers(store) == []
    assert same(load_heat_map(store), expected)


def test_two_processes_on_one_store_make_one_map(tmp_path):
    model, store = ResidualNetwork(16, 100, block="v-phi-w"), tmp_path / "store"
    with running(run_of(store, model)) as one, running(run_of(store, model)) as other:
        for process in (one, other):
            assert process.line() == "ready"
        for process in (one, other):
            assert process.line() == "1"
    heat_map(model, **WIDE, store=tmp_path / "alone", progress=False)
    assert contents(store) == contents(tmp_path / "alone")
    assert leftovers(store) == []


def test_a_map_that_is_stopped_goes_on_with_what_is_missing(tmp_path):
    store, seen = tmp_path / "store", []
    with pytest.raises(Enough):
        heat_map(NETWORK, **WIDE, store=store, workers=1, progress=stopped_after(10))
    kept = identities(store)
    assert 5 <= len(kept) < 19
    assert leftovers(store) == []
    half = load_heat_map(store)
    assert not half.complete
    assert "INCOMPLETE" in str(half.summary())
    assert set(half.networks.tolist()) == {0, 2}
    assert np.isnan(half.growth.value).sum() == 3 * (half.networks == 0).sum()
    assert (half.growth.n[half.networks == 0] == 0).all()
    found = heat_map(NETWORK, **WIDE, store=store, progress=lambda done, in_all: seen.append((done, in_all)))
    assert seen[0] == (2 * len(kept), 38)
    assert seen[-1] == (38, 38)
    assert {name: identities(store)[name] for name in kept} == kept
    assert same(found, heat_map(NETWORK, **WIDE, progress=False))


def damage(path: Path, how: str, other: Path) -> None:
    data = bytearray(path.read_bytes())
    if how == "byte":
        data[len(data) // 2] ^= 1
    elif how == "cut":
        del data[-100:]
    elif how == "empty":
        data.clear()
    elif how == "other":
        data = bytearray(other.read_bytes())
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["byte", "cut", "empty", "other"])
def test_a_damaged_file_is_set_aside_and_computed_again(how, tmp_path):
    store = tmp_path / "store"
    expected = small(store=store)
    before = contents(store)
    first, last = files(store)
    damage(first, how, last)
    found = load_heat_map(store)
    assert found.damaged == (first.name,)
    assert not found.complete
    assert "1 file is damaged and left out" in str(found.summary())
    assert (store / "damaged" / first.name).exists()
    assert same(small(store=store), expected)
    assert contents(store) == before


ROW = HeatMapPlan(NETWORK, **SMALL).rows[0]
GOOD = {"format": "resmc-heat-map-row", "schema_version": 1, "row": ROW.to_dict(), "range": [0, 3],
        "numerics": [NUMERICS_VERSION, "cpu/baseline"]}  # fmt: skip
VALUES = np.zeros((3, 3, 2, 4))


@pytest.mark.parametrize(
    ("changes", "values", "words"),
    [
        ({"format": "resmc-simulation"}, VALUES, "its manifest does not say 'resmc-heat-map-row'"),
        ({"schema_version": 2}, VALUES, "schema version 2, not 1"),
        ({"row": 3}, VALUES, "is no part of a heat map"),
        ({"row": {}}, VALUES, "its manifest has no 'model'"),
        ({"row": ROW.to_dict() | {"beta": 0.5}}, VALUES, "no list of exponents"),
        ({"row": ROW.to_dict() | {"n_inputs": 0}}, VALUES, "n_inputs=0 is out of range"),
        ({"row": ROW.to_dict() | {"model": {"width": 3}}}, VALUES, "is no part of a heat map"),
        ({"range": [3, 0]}, VALUES, r"range=\[3, 0\] is not allowed"),
        ({"range": [0, 10**30]}, VALUES, "values have the shape"),
        ({"range": 7}, VALUES, "is no part of a heat map"),
        ({"numerics": ["1", "cpu/baseline"]}, VALUES, "numerics="),
        ({}, VALUES[:2], "values have the shape"),
        ({}, VALUES.astype(np.float32), "values has the wrong type"),
        ({}, np.full(VALUES.shape, np.nan), "its values hold what is no number"),
    ],
)
def test_files_with_a_right_checksum_that_say_what_no_row_is_are_refused_with_their_name(changes, values, words):
    with pytest.raises(ValueError, match=f"^file.*{words}"):
        from_bytes(archive.to_bytes(GOOD | changes, {"values": values}), "file")
    assert from_bytes(archive.to_bytes(GOOD, {"values": VALUES}), "file").row == ROW


def test_a_damaged_file_is_noticed_in_the_run_that_needs_it(tmp_path, capsys):
    expected = small(store=tmp_path)
    damage(files(tmp_path)[0], "byte", files(tmp_path)[1])
    assert same(small(store=tmp_path, progress=None), expected)
    assert "was damaged: it is set aside, and computed again" in capsys.readouterr().err


def test_more_networks_and_more_values_of_h_keep_what_is_there(tmp_path):
    small(store=tmp_path)
    kept = identities(tmp_path)
    grown = small(store=tmp_path, networks=5, hurst=[0.2, 0.5, 0.8])
    now = identities(tmp_path)
    assert {name: now[name] for name in kept} == kept
    assert len(now) == 2 + 2 + 1  # two networks more of each, and five of the new one
    assert same(grown, small(networks=5, hurst=[0.2, 0.5, 0.8]))
    assert grown.networks.tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"beta": [0.0, 0.5, 1.0]}, "beta="),
        ({"n_inputs": 3}, "n_inputs=3 instead of 2"),
        ({"networks": 2}, "networks=2 instead of 3"),
        ({"hurst": [0.2, 0.5]}, "hurst has 0.8 no more"),
        ({"seed": 1}, "seed=1 instead of 0"),
        ({"gradients": False}, "gradients=False instead of True"),
    ],
)
def test_a_map_that_does_not_extend_the_stored_one_is_refused_unless_it_is_to_replace_it(changes, said, tmp_path):
    small(store=tmp_path)
    kept = identities(tmp_path)
    with pytest.raises(StoreError, match=f"holds another plan, which this one does not extend: .*{said}"):
        small(store=tmp_path, **changes)
    assert identities(tmp_path) == kept
    assert same(small(store=tmp_path, replace=True, **changes), small(**changes))
    assert {name: identities(tmp_path)[name] for name in kept} == kept
    assert same(small(store=tmp_path, replace=True), small())  # what was there is used again


def test_sweeps_and_maps_know_each_others_stores(tmp_path):
    sweep = resmc.Sweep(width=4, depth=3, alpha=0.6, lam=0.8, networks=32)
    sweep.run(tmp_path / "sweep", progress=False)
    small(store=tmp_path / "map")
    with pytest.raises(ValueError, match=r"holds the plan of a heat map: resmc\.load_heat_map reads it"):
        resmc.load_sweep(tmp_path / "map")
    with pytest.raises(ValueError, match=r"holds the plan of a sweep: resmc\.load_sweep reads it"):
        load_heat_map(tmp_path / "sweep")
    with pytest.raises(StoreError, match="it is that of a sweep, and this one of a heat map"):
        small(store=tmp_path / "sweep")
    with pytest.raises(StoreError, match="it is that of a heat map, and this one of a sweep"):
        sweep.run(tmp_path / "map", progress=False)
    with pytest.raises(StoreError, match="does not exist"):
        load_heat_map(tmp_path / "nothing")


def test_shards_of_other_stores_are_brought_in(tmp_path):
    small(store=tmp_path / "one", hurst=[0.2])
    small(store=tmp_path / "other", hurst=[0.8])
    assert join(tmp_path / "one", [tmp_path / "other"]) == 1
    kept = identities(tmp_path / "one")
    assert same(small(store=tmp_path / "one"), small())
    assert identities(tmp_path / "one") == kept


def test_names_of_files_do_not_change_unnoticed():
    """A key that changes makes every stored map anew: raise `KEY_VERSION` if that is meant, and say it to users."""
    keys = [row.key for row in HeatMapPlan(NETWORK, **SMALL).rows]
    assert keys == ["f0386cb2ec5017517e50c92a11174641", "d5c9164a7ff03837d3846568f0d9dd03"]
    assert HeatMapPlan(NETWORK, **SMALL | {"networks": 9, "hurst": [0.1, 0.2]}).rows[1].key == keys[0]
    for changes in ({"beta": [0.0, 0.4]}, {"n_inputs": 1}, {"seed": 1}, {"gradients": False}):
        assert HeatMapPlan(NETWORK, **SMALL | changes).rows[0].key != keys[0]


def test_a_full_plan_is_read_as_it_was_written_and_nothing_else_is(tmp_path):
    model = ResidualNetwork(5, 7, block="phi-out", activation="tanh", bias=0.2, scaling=DepthScaling(1, 2, inside=True))
    plan = HeatMapPlan(model, **SMALL, seed=3)
    assert HeatMapPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    for change, words in (
        ({"format": "resmc-sweep"}, "not the plan of a heat map"),
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"colour": 1}, "'colour' is not a setting of a heat map"),
        ({"model": 3}, "model=3 is not allowed"),
        ({"hurst": []}, "hurst has 0 values"),
    ):
        with pytest.raises(ValueError, match=words):
            HeatMapPlan.from_dict(plan.to_dict() | change)
    store = Store(tmp_path)
    store.create()
    store.plans.path.write_text(json.dumps({"format": "resmc-heat-map", "schema_version": 1}), encoding="utf-8")
    with pytest.raises(StoreError, match="is no plan that this resmc can run: model is missing"):
        load_heat_map(tmp_path)


# ------------------------------------------------------------------------------------------------- the command line


def test_the_command_line_shows_exports_and_goes_on_with_a_stored_map(tmp_path, capsys):
    pytest.importorskip("pandas")
    store = tmp_path / "store"
    small(store=store)
    lost = files(store)[0]
    lost.unlink()
    assert cli.main(["status", str(store)]) == 0
    assert "1 of 2 rows complete, 3 of 6 networks" in capsys.readouterr().out
    assert cli.main(["worker", str(store), "--quiet"]) == 0
    assert capsys.readouterr().out == f"complete: 2 rows, 6 networks in {store}\n"
    assert lost.exists()
    assert cli.main(["show", str(store)]) == 0
    assert "heat map of v-phi-w relu" in capsys.readouterr().out
    assert cli.main(["show", str(store), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "heat map"
    assert record["points"][4]["log10_growth"]["value"] == float(small().growth.value[1, 1])
    assert record["rows"][0]["displacement.frontier"]["stderr"] is None
    assert cli.main(["export", str(store), "-o", str(tmp_path / "map.csv")]) == 0
    assert (tmp_path / "map.csv").read_text(encoding="utf-8").count("\n") == 7
    capsys.readouterr()
    assert cli.main(["export", str(store), "-o", str(tmp_path / "map.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "heat map"
    assert len(json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))["rows"]) == 6
    small(store=tmp_path / "other", hurst=[0.5])
    assert cli.main(["merge", str(store), str(tmp_path / "other")]) == 0
    found = capsys.readouterr()
    assert "1 shard brought into" in found.err
    assert "1 shard there is not used by its plan" in found.err
    damage(lost, "byte", lost)
    assert cli.main(["status", str(store)]) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["export", "-o", "map.nc", "--laws"], "--laws is not allowed with a heat map"),
        (["report", "-o", "map.txt"], "output='map.txt' is not allowed: it must end in .html"),
    ],
)
def test_what_a_map_has_not_is_refused_on_the_command_line(command, words, tmp_path, monkeypatch, capsys):
    pytest.importorskip("jinja2")
    monkeypatch.chdir(tmp_path)
    small(store="store")
    assert cli.main([command[0], "store", *command[1:]]) != 0
    assert words in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hurst": [0.5, 1.0]}, r"hurst=1\.0 is out of range: it must be above 0 and below 1"),
        ({"hurst": [0.0]}, r"hurst=0\.0 is out of range"),
        ({"hurst": []}, "hurst has 0 values: it must have 1 to 4096"),
        ({"hurst": [0.5, 0.2, 0.5]}, r"hurst holds 0\.5 twice"),
        ({"hurst": 0.5}, r"hurst=0\.5 is not allowed: it must be a list of numbers"),
        ({"hurst": "0.5"}, "hurst='0.5' is not allowed: it must be a list of numbers"),
        ({"hurst": ["a"]}, "hurst='a' is not allowed: it must be a finite number"),
        ({"hurst": [[0.1, 0.2]]}, "hurst="),
        ({"hurst": np.full((2, 2), 0.5)}, "it must be a list of numbers"),
        ({"beta": []}, "beta has 0 values"),
        ({"beta": [1, 1.0]}, r"beta holds 1\.0 twice"),
        ({"beta": {0.5}}, "beta={0.5} is not allowed: it must be a list of numbers"),
        ({"beta": [float("nan")]}, "beta=nan is not allowed: it must be a finite number"),
        ({"beta": [0.5, 20.0]}, r"beta=20\.0 is not allowed at depth=12: scaling=.* from 2\^-40 to 2\^40"),
        ({"beta": [True]}, "beta=True is not allowed"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"networks": 2.5}, r"networks=2\.5 is not allowed"),
        ({"networks": 1 << 20, "hurst": np.linspace(0.1, 0.9, 1000)}, "averages take .* GB"),
        ({"n_inputs": 0}, "n_inputs=0 is out of range"),
        ({"n_inputs": 1 << 17}, "n_inputs=131072 is out of range"),
        ({"n_inputs": 1 << 16, "beta": np.linspace(0, 1, 257)}, "n_inputs=65536 is too many for 257 exponents"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"gradients": 1}, "gradients=1 is not allowed"),
        ({"device": "tpu"}, "device='tpu' is not allowed"),
        ({"store": 3}, "store=3 is not allowed"),
        ({"engine": 3}, "engine=3 is not allowed"),
        ({"workers": 0}, "workers=0 is out of range"),
        ({"progress": "no"}, "progress='no' is not allowed"),
        ({"replace": 1}, "replace=1 is not allowed"),
    ],
)
def test_what_no_map_can_be_made_of_is_refused_in_a_sentence_before_any_work(changes, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        small(**{"store": tmp_path / "store", **changes})
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (resmc.ResNet(4, 3, 0.6, 0.8), r"model=.* is not allowed: it must be a ResidualNetwork"),
        (ResidualNetwork(4, 3, scaling=(1.0, 2.0, 3.0)), "scaling=.* is not allowed in a heat map, whose exponents"),
        (ResidualNetwork(4, 3, carry=0.9), r"carry=0\.9 is not allowed in a heat map: it must be 1"),
        (ResidualNetwork(4, 3, weights="uniform"), "weights='uniform' is not allowed in a heat map, which gives its"),
        (ResidualNetwork(4, 3, weights=Weights(depth=SmoothProcess())), "weights=.* is not allowed in a heat map"),
        (ResidualNetwork(4, 3, input=(1.0, 2.0)), "input=.* is not allowed in a heat map, which draws its own inputs"),
        (ResidualNetwork(4, 3, input_norm=2.0), r"input_norm=2\.0 is not allowed in a heat map"),
    ],
)
def test_networks_that_a_map_cannot_have_are_refused_in_a_sentence(model, words):
    with pytest.raises(ValueError, match=words):
        heat_map(model, **SMALL, progress=False)


def test_a_network_of_fractional_noise_or_another_exponent_gives_the_same_map():
    other = ResidualNetwork(
        6, 12, block="v-phi-w", scaling=DepthScaling(0.9), weights=Weights(depth=FractionalNoise(0.3))
    )
    assert same(heat_map(other, **SMALL, progress=False), small())


# ------------------------------------------------------------------------------------------------------ how it is shown


def test_a_map_is_a_data_set_with_units_and_names(tmp_path):
    pytest.importorskip("xarray")
    found = small()
    data = found.to_xarray()
    assert data.sizes == {"hurst": 2, "beta": 3}
    for name, variable in data.variables.items():
        assert variable.attrs["units"] == "1", name
        assert variable.attrs["long_name"], name
    np.testing.assert_array_equal(data["log10_gradient_displacement"], found.gradient_displacement.value)
    np.testing.assert_array_equal(data["displacement_frontier"], found.frontier().beta.value)
    assert data.attrs["complete"] == 1
    assert data["frontier_theory"].values.tolist() == [0.5, 0.8]
    pytest.importorskip("pandas")
    rows = found.to_dataframe()
    assert len(rows) == 6
    assert rows["log10_growth"].tolist() == found.growth.value.ravel().tolist()


def test_a_summary_says_the_frontiers_and_what_they_are():
    found = small()
    text = str(found)
    assert "heat map of v-phi-w relu  width 6  depth 12  scaling 1 depth^-beta" in text
    assert "frontier: the beta at which it is 0; as L grows: max(H, 1/2), by which small branches add up" in text
    assert [row[0] for row in found.summary().rows] == [0.2, 0.8]
    assert repr(found).startswith("HeatMap(")


@pytest.fixture(scope="module")
def drawn() -> HeatMap:
    hurst, beta = np.linspace(0.1, 0.9, 9), np.linspace(0.0, 1.2, 13)
    return heat_map(ResidualNetwork(8, 60, block="v-phi-w"), hurst=hurst, beta=beta, networks=32, n_inputs=1,
                    progress=False)  # fmt: skip


@pytest.mark.parametrize("ratio", ["displacement", "gradient_displacement"])
@pytest.mark.parametrize("x", ["hurst", "beta"])
def test_the_frontier_is_drawn_into_the_map_in_its_own_units(drawn, ratio, x):
    pytest.importorskip("matplotlib")
    ax = P.plot_heat_map(drawn, ratio, x=x)
    mesh = ax.collections[0]
    shape = (13, 9) if x == "hurst" else (9, 13)
    value = drawn.estimate(ratio).value
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(shape), value.T if x == "hurst" else value)
    lines = {line.get_label(): np.array(line.get_data()) for line in ax.lines}
    rows, exponents = lines[r"$\max(H, 1/2)$"][:: 1 if x == "hurst" else -1]
    np.testing.assert_allclose(rows, np.arange(9))
    np.testing.assert_allclose(exponents * 0.1, np.maximum(drawn.hurst, 0.5))
    at = lines["mean 0"][1 if x == "hurst" else 0]
    np.testing.assert_allclose(at * 0.1, drawn.frontier(ratio).beta.value)
    assert {text.get_text() for text in ax.get_legend().get_texts()} >= {"mean 0", r"$\max(H, 1/2)$"}
    assert "circle: no error bar" not in {text.get_text() for text in ax.get_legend().get_texts()}


def test_a_map_without_errors_says_so_and_other_dimensions_are_refused(drawn):
    pytest.importorskip("matplotlib")
    ax = P.plot_heat_map(small(), "growth")
    assert "no cell has an error bar" in {text.get_text() for text in ax.get_legend().get_texts()}
    with pytest.raises(ValueError, match="a heat map has the dimensions 'hurst' and 'beta'"):
        P.plot_heat_map(drawn, x="depth")
    with pytest.raises(ValueError, match="ratio='gradient' was not followed in this map"):
        P.plot_heat_map(small(gradients=False), "gradient")
    with pytest.raises(ValueError, match=r"sel=.* is not allowed here"):
        P.plot_heat_map(drawn, sel={"beta": 0.1})
