"""What a sweep asks for: grids, lists, files, refusals; how it is cut into shards, and how those are named."""

from __future__ import annotations

import json
import math
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resmc import ResNet, Sweep
from resmc.sweep.point import Point, spaced_layers
from resmc.sweep.shards import MOST_SHARDS, Range, cover, in_turn, shard_networks, shard_updates
from resmc.sweep.toml_file import first_lines

HALF = math.sqrt(0.5)
GRID: dict[str, Any] = {"width": [8, 16], "ratio": [0.5, 1], "alpha": HALF, "lam": HALF, "networks": 1000}

# ---------------------------------------------------------------------------------------------------------------- grids


def test_a_grid_has_a_dimension_for_each_sequence_in_a_fixed_order():
    plan = Sweep(variant=["vanilla", "balanced"], lam=0.5, alpha=[0.5, 0.6, 0.7], depth=[3, 4], width=10, networks=1e3)
    assert plan.dims == ("depth", "alpha", "variant")
    assert plan.shape == (2, 3, 2)
    assert plan.models[1] == ResNet(10, 3, 0.5, 0.5, "balanced")
    assert plan.models[-1] == ResNet(10, 4, 0.7, 0.5, "balanced")
    assert plan.networks == 1000


def test_a_ratio_is_a_depth_rounded_to_the_nearest_integer_and_at_least_one():
    plan = Sweep(width=[50, 3], ratio=[0.25, 0.01, 1.5], alpha=HALF, lam=HALF, networks=1)
    assert [m.depth for m in plan.models] == [13, 1, 75, 1, 1, 5]
    assert plan.ratios[0] == 13 / 50


def test_a_list_of_models_is_one_dimension():
    models = [ResNet(8, 4, 0.6, 0.8), ResNet(9, 5, 0.6, 0.8, input_norm=2.0)]
    plan = Sweep(models, networks=100)
    assert (plan.dims, plan.shape, plan.models) == (("point",), (2,), tuple(models))


def test_a_plan_without_a_sequence_is_one_point():
    plan = Sweep(width=8, depth=4, alpha=0.6, lam=0.8, networks=100)
    assert (plan.dims, plan.shape, len(plan.models)) == ((), (), 1)


def test_numpy_values_are_as_good_as_python_ones():
    plan = Sweep(
        width=np.array([8, 16]), ratio=np.linspace(0.5, 1.0, 2), alpha=np.float64(HALF), lam=HALF, networks=1e3
    )
    assert json.dumps(plan.to_dict()) == json.dumps(Sweep(**GRID).to_dict() | {"ratio": [0.5, 1.0]})


def test_points_are_independent_unless_shared_random_numbers_are_asked_for():
    assert len(set(Sweep(**GRID).seeds)) == 4
    assert set(Sweep(**GRID, seed=7, independent=False).seeds) == {7}


def test_the_seed_of_a_point_depends_on_its_model_and_not_on_the_plan():
    one = Sweep(width=16, depth=16, alpha=HALF, lam=HALF, networks=5)
    assert one.seeds[0] == Sweep(**GRID).seeds[3]
    assert Sweep(**GRID, seed=1).seeds[3] != one.seeds[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": None}, "width is missing"),
        ({"ratio": None}, "depth or ratio is missing"),
        ({"alpha": None}, "alpha is missing"),
        ({"depth": 3}, "ratio is not allowed beside depth"),
        ({"width": []}, "width=[] is not allowed"),
        ({"width": [8, 8]}, "width holds 8 twice"),
        ({"width": [8, 0]}, "width=0 is out of range"),
        ({"width": [[8]]}, "width=[[8]] is not allowed"),
        ({"width": [8, "x"]}, "width='x' is not allowed"),
        ({"ratio": [1, -1]}, "ratio=-1.0 is not allowed"),
        ({"ratio": [math.nan]}, "ratio=nan is not allowed"),
        ({"variant": ["vanilla", "odd"]}, "variant='odd' is not allowed"),
        ({"variant": "balanced-half", "width": [8, 9]}, "width=9 is not allowed with variant='balanced-half'"),
        ({"networks": None}, "networks is missing"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"networks": 1.5}, "networks=1.5 is not allowed"),
        ({"max_networks": 10}, "max_networks is not allowed beside networks"),
        ({"target_stderr": {"growth": 1}}, "target_stderr is not allowed beside networks"),
        ({"networks": None, "target_stderr": {"growth": 1.0}}, "max_networks is missing"),
        ({"networks": None, "target_stderr": {"x": 1.0}, "max_networks": 1e6}, "target_stderr['x'] is not allowed"),
        ({"networks": None, "target_stderr": {}, "max_networks": 1e6}, "target_stderr={} is not allowed"),
        ({"networks": None, "target_stderr": 1e-3, "max_networks": 1e6}, "target_stderr=0.001 is not allowed"),
        ({"networks": None, "target_stderr": {"growth": 0}, "max_networks": 1e6}, "target_stderr['growth']=0"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"independent": 1}, "independent=1 is not allowed"),
        ({"method": "fast"}, "method='fast' is not allowed"),
        ({"layers": 1}, "layers=1 is out of range"),
        ({"correlations": "no"}, "correlations='no' is not allowed"),
        ({"shard_updates": 0}, "shard_updates=0 is out of range"),
        ({"models": [ResNet(8, 4, 0.6, 0.8)]}, "width is not allowed beside models"),
        ({"width": range(1, 2000), "ratio": np.linspace(0.1, 1, 2000)}, "the grid has 3998000 points"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(change, words):
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        Sweep(**{**GRID, **change})


@pytest.mark.parametrize("models", [[], "abc", 3, [1]])
def test_a_wrong_list_of_models_is_refused(models):
    with pytest.raises(ValueError, match="models"):
        Sweep(models, networks=10)


# ---------------------------------------------------------------------------------------------------------------- files

FILE = """\
# a plan
width = [
  8,
  16,
]
ratio = [0.5, 1]
alpha = 0.6
lam = 0.8
seed = 3
max_networks = 1e5

[target_stderr]
"log_norm.variance" = 1e-2  # of each point
growth = 0.1
"""


def read(tmp_path: Path, text: str) -> Sweep:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return Sweep.from_toml(path)


def test_a_file_is_the_plan_with_its_keys_as_arguments(tmp_path):
    expected = Sweep(width=[8, 16], ratio=[0.5, 1], alpha=0.6, lam=0.8, seed=3, max_networks=1e5,
                     target_stderr={"log_norm.variance": 1e-2, "growth": 0.1})  # fmt: skip
    assert read(tmp_path, FILE) == expected


def test_models_in_a_file_are_an_array_of_tables(tmp_path):
    text = "networks = 10\n[[models]]\nwidth = 8\ndepth = 4\nalpha = 0.6\nlam = 0.8\n"
    assert read(tmp_path, text) == Sweep([ResNet(8, 4, 0.6, 0.8)], networks=10)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("seed = 3", "seed = -3", 9, "seed=-3 is out of range"),
        ("  16,", "  0,", 2, "width=0 is out of range"),
        ("seed = 3", "sead = 3", 9, "'sead' is not a setting of a sweep"),
        ('"log_norm.variance"', '"log_norm.median"', 13, "target_stderr['log_norm.median'] is not allowed"),
        ("growth = 0.1", "growth = -0.1", 14, "target_stderr['growth']=-0.1 is not allowed"),
        ("lam = 0.8", 'lam = "0.8"', 8, "lam='0.8' is not allowed"),
        ("lam = 0.8", "lam = = 0.8", 8, "Invalid value"),
        ("alpha = 0.6", "lam = 0.6", 8, "lam is given twice, first on line 7"),
        ("max_networks = 1e5\n", "", None, "max_networks is missing"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_key_and_line(tmp_path, old, new, line, words):
    assert old in FILE
    with pytest.raises(ValueError, match=r"plan\.toml") as refusal:
        read(tmp_path, FILE.replace(old, new))
    where = f"{tmp_path / 'plan.toml'}{f', line {line}' if line else ''}: "
    where_of_syntax = f"{tmp_path / 'plan.toml'}: line {line}: "
    assert str(refusal.value).startswith((where + words, where_of_syntax + words))


def test_the_line_of_a_wrong_model_is_its_own(tmp_path):
    model = "[[models]]\nwidth = 8\ndepth = 4\nalpha = 0.6\nlam = 0.8\n"
    with pytest.raises(ValueError, match=r"plan.toml, line 8: models\[1\]: depth=0 is out of range"):
        read(tmp_path, model + model.replace("depth = 4", "depth = 0") + "\n")
    with pytest.raises(ValueError, match=r"plan.toml, line 6: models\[1\]: lam is missing"):
        read(tmp_path, model + model.replace("lam = 0.8\n", ""))


def test_lines_are_found_whatever_the_layout():
    text = 'a = 1\n\n# c\n"b.c" = """\nx = 2\n"""\n[t]\nu = [1,\n 2]\n[[m]]\nv = 1\n[[m]]\nv = 2\n'
    found = first_lines(text)
    assert found["a",] == 1
    assert found["b.c",] == 4
    assert found["t", "u"] == 8
    assert found["m", 1, "v"] == 13
    assert ("x",) not in found


def test_a_plan_survives_json():
    for plan in (Sweep(**GRID), Sweep([ResNet(8, 4, 0.6, 0.8)], networks=10, correlations=True, shard_updates=5)):
        assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_of_another_format_is_refused():
    with pytest.raises(ValueError, match="not the plan of a sweep"):
        Sweep.from_dict({"networks": 3})
    with pytest.raises(ValueError, match="schema version 99"):
        Sweep.from_dict(Sweep(**GRID).to_dict() | {"schema_version": 99})


# --------------------------------------------------------------------------------------------------------------- shards


@given(st.integers(1, 10**6), st.integers(2, 100))
def test_recorded_layers_are_spaced_equally_and_never_too_many(depth, most):
    layers = spaced_layers(depth, most)
    assert layers[0] == 0
    assert layers[-1] == depth
    assert len(layers) <= most
    assert (np.diff(layers) > 0).all()
    assert len(set(np.diff(layers)[:-1].tolist())) <= 1


def point(width: int = 200, depth: int = 200, block: int = 4096) -> Point:
    return Point(ResNet(width, depth, HALF, HALF), 0, "projected", 32, False, block)


def test_a_shard_is_a_power_of_two_of_blocks_with_the_work_asked_for():
    p = point()
    for updates in (1, 2**30, 2**37, 10**12):
        networks = shard_networks(p, updates)
        assert networks * p.updates >= updates
        blocks = networks // 4096
        assert networks == 4096 * blocks
        assert blocks & (blocks - 1) == 0
        assert blocks == 1 or networks // 2 * p.updates < updates


@pytest.mark.parametrize("points", [1, 100, 10_000])
def test_a_trillion_networks_are_fewer_than_1e5_files(points):
    widths = np.unique(np.geomspace(4, 1000, points).astype(int))
    p = [point(int(w), int(w)) for w in widths] * -(-points // len(widths))
    each = 10**12 // len(p)
    updates = shard_updates(sum(each * q.updates for q in p), 2**30)
    assert sum(-(-each // shard_networks(q, updates)) for q in p) < 1e5


def test_a_small_plan_has_shards_of_about_a_second():
    assert shard_updates(10**12, 2**30) == 2**30
    assert shard_updates(2**30 * MOST_SHARDS * 4, 2**30) == 2**32


ranges = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=12)


@settings(max_examples=500)
@given(networks=st.integers(1, 400), log2_size=st.integers(0, 4), pairs=ranges, odd=st.integers(0, 9))
def test_ranges_cover_all_networks_once_with_what_is_stored(networks, log2_size, pairs, odd):
    size = 10 << log2_size
    stored = {Range(10 * start, 10 * (start + n)) for start, n in pairs} | {Range(0, 10 + odd)}
    have, missing = cover(networks, size, stored)
    together = sorted([*have, *missing])
    assert together[0].start == 0
    assert together[-1].stop == networks
    assert all(a.stop == b.start for a, b in pairwise(together))
    assert set(have) <= stored
    assert not set(missing) & stored
    assert all(r.stop - r.start <= size and (r.start % 10 == 0 or r.start == 10 + odd) for r in missing)


@settings(max_examples=200)
@given(networks=st.integers(1, 400), log2_size=st.integers(0, 4), pairs=ranges, seed=st.integers(0, 99))
def test_a_cover_does_not_change_while_its_gaps_are_filled(networks, log2_size, pairs, seed):
    size = 10 << log2_size
    stored = {Range(10 * start, 10 * (start + n)) for start, n in pairs}
    have, missing = cover(networks, size, stored)
    everything = set(have) | set(missing)
    for found in np.random.default_rng(seed).permutation(len(missing)):
        stored.add(missing[found])
        have, _ = cover(networks, size, stored)
        assert set(have) <= everything
    assert cover(networks, size, stored) == (sorted(everything), [])


def test_a_plan_that_is_extended_keeps_all_shards():
    _, first = cover(10_000_000, 1 << 17, ())
    have, missing = cover(20_000_000, 1 << 17, set(first))
    assert have == first
    assert missing[0] == (10_000_000, 77 << 17)  # the rest of a block that the first plan has ended in, and more
    assert all(r.start % (1 << 17) == 0 for r in missing[1:])
    assert not cover(5_000_000, 1 << 17, have)[1][:-1]


def test_all_points_of_a_sweep_advance_together():
    from resmc.sweep.shards import Shard

    a, b = point(), point(100)
    shards = [(80, Shard(a, s, s + 20)) for s in range(0, 80, 20)] + [(40, Shard(b, s, s + 20)) for s in (0, 20)]
    order = [(s.point is a, s.start) for s in in_turn(shards)]
    assert order == [(True, 0), (False, 0), (True, 20), (True, 40), (False, 20), (True, 60)]


def changed(p: Point, **changes: Any) -> Point:
    from dataclasses import replace

    return replace(p, **changes)


def test_the_key_of_a_shard_changes_with_everything_that_decides_its_content(monkeypatch):
    p = point()
    others = [
        changed(p, model=ResNet(200, 201, HALF, HALF)),
        changed(p, model=ResNet(200, 200, HALF, HALF + 2 * np.spacing(HALF))),  # its neighbour may be spelled alike
        changed(p, model=ResNet(200, 200, HALF, HALF, "balanced")),
        changed(p, model=ResNet(200, 200, HALF, HALF, input_norm=2.0)),
        changed(p, seed=1),
        changed(p, method="dense"),
        changed(p, layers=16),
        changed(p, correlations=True),
        changed(p, batch=2048),
    ]
    keys = {q.key for q in [p, *others]}
    from resmc.sweep import point as module

    for name in ("NUMERICS_VERSION", "KEY_VERSION", "HISTOGRAM_VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 99)
            keys.add(point().key)
    assert len(keys) == 1 + len(others) + 3
    assert point().key == p.key


def test_rows_of_different_lengths_are_refused_with_the_name_of_the_argument():
    with pytest.raises(ValueError, match=r"width=\[\[1, 2\], \[3\]\] is not allowed"):
        Sweep(**GRID | {"width": [[1, 2], [3]]})


def test_shards_without_number_are_refused(tmp_path):
    plan = Sweep(**GRID | {"networks": 1e12, "shard_updates": 1})
    with pytest.raises(ValueError, match="shard_updates=1 is too small"):
        plan.run(tmp_path / "store", progress=False)
    assert not (tmp_path / "store").exists()


def test_an_estimate_takes_seconds_whatever_the_plan():
    plan = Sweep(width=[1000, 2000], depth=3000, alpha=0.6, lam=0.8, networks=10, method="dense")
    begin = time.process_time()
    assert plan.estimate("cpu").seconds > 10.0
    assert time.process_time() - begin < 10.0  # by itself a network of either takes as long


def test_the_line_of_an_error_in_a_long_list_is_found_at_once(tmp_path):
    table = "[[models]]\nwidth = 8\ndepth = 4\nalpha = 0.6\nlam = 0.8\n"
    begin = time.process_time()
    with pytest.raises(ValueError, match=f"line {3 + 6 * 1999}: models\\[1999\\]: width=0 is out of range"):
        read(tmp_path, "networks = 10\n" + "\n".join([table] * 1999 + [table.replace("8", "0", 1)]))
    assert time.process_time() - begin < 5.0


def test_points_whose_depths_round_to_the_same_are_independent():
    plan = Sweep(width=4, ratio=[0.1, 0.2, 0.25, 0.3], alpha=0.6, lam=0.8, networks=100)
    assert {model.depth for model in plan.models} == {1}
    assert len(set(plan.seeds)) == 4
    assert plan.seeds[0] == Sweep(width=4, depth=1, alpha=0.6, lam=0.8, networks=100).seeds[0]
    shared = Sweep(width=4, ratio=[0.1, 0.2], alpha=0.6, lam=0.8, networks=100, independent=False)
    assert shared.estimate("cpu").networks == 100  # computed once


def test_a_dimension_of_very_many_values_is_refused_at_once():
    with pytest.raises(ValueError, match="width holds 999999999999 values: a grid has at most 100000 points"):
        Sweep(**GRID | {"width": range(1, 10**12)})


@pytest.mark.parametrize("given", [{8, 16}, iter([8, 16]), (n for n in (8, 16))])
def test_what_has_no_order_or_is_read_only_once_is_refused(given):
    with pytest.raises(ValueError, match=r"width=.* is not allowed: make it a list"):
        Sweep(**GRID | {"width": given})
