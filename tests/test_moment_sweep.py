"""Sweeps of moments: the bits of `moment_growth`, exact values, a store that loses nothing, and what is refused.

Every z-score is bounded by 4.5, of t with 31 degrees of freedom: 8.9e-5 each, for the 12 of them 1.1e-3 in all.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from heat_maps import damage
from sweeps import HALF, Enough, contents, files, identities, leftovers, stopped_after

import resmc
from resmc import MomentSweep, ResidualNetwork, ResNet, cli, load_moment_sweep, moment_growth, moment_sweep
from resmc.engine.native import NUMERICS_VERSION
from resmc.experiments.moment_point import FILES
from resmc.experiments.row_files import RowRange
from resmc.results import archive
from resmc.sweep import StoreError
from resmc.sweep.manage import join
from resmc.sweep.moment_plan import MomentPlan
from resmc.sweep.shards import UPDATES

pytestmark = pytest.mark.cpu
GRID: dict[str, Any] = {"width": [6, 9], "ratio": [0.5, 2], "alpha": HALF, "lam": HALF, "variant": "balanced"}
FEW: dict[str, Any] = {"q": [0.5, 1.0], "populations": 6, "size": 20}


def small(**changes: Any) -> MomentSweep:
    return moment_sweep(**{"progress": False, **GRID, **FEW, **changes})


def same(a: MomentSweep, b: MomentSweep) -> bool:
    pairs = zip(a.runs, b.runs, strict=True)
    return all(x.log_product.tobytes() == y.log_product.tobytes() for x, y in pairs)


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_every_point_has_the_bits_of_moment_growth_with_its_seed():
    found = small()
    assert found.plan.dims == ("width", "ratio", "q")
    assert found.log_moment.shape == found.populations.shape == (2, 2, 2)
    run = found.run(width=9, ratio=2, q=0.5)
    alone = moment_growth(run.model, 0.5, populations=6, size=20, seed=run.seed, threads=1)
    for name in ("log_product", "growth", "effective", "layers"):
        assert getattr(run, name).tobytes() == getattr(alone, name).tobytes()
    assert run.model == ResNet(9, 18, HALF, HALF, "balanced")
    assert found.log_moment.value[1, 1, 0] == alone.log_moment.value[-1]
    assert found.tilted_growth.value[1, 1, 0] == alone.tilted_growth.value[-1]
    assert found.scatter[1, 1, 0] == alone.scatter[-1]
    assert found.reliable[1, 1, 0] == alone.reliable[-1]
    assert np.isnan(found.log_moment.stderr).all()  # six populations have no error


def test_balanced_second_moments_and_networks_of_two_matrices_are_exact_at_every_point():
    found = moment_sweep(width=[12, 16], ratio=[1, 3, 6], alpha=HALF, lam=HALF, variant="balanced", populations=32,
                         size=512, seed=1, progress=False)  # fmt: skip
    assert (found.exact == 0.0).all()
    assert found.reliable.all()
    assert np.abs(found.z_score).max() < 4.5
    assert found.plan.dims == ("width", "ratio")
    listed = moment_sweep([ResidualNetwork(8, 20, "v-phi-w"), ResNet(8, 20, 0.0, 1.0), ResNet(8, 20, 0.0, 1.1)],
                          q=[0.5, 2], populations=32, size=512, progress=False)  # fmt: skip
    assert listed.log_moment.shape == (3, 2)
    assert np.abs(listed.z_score).max() < 4.5
    wrong = np.abs(listed.log_moment.z_score(np.roll(listed.exact, 1, axis=0)))[:, 1]  # those of another network, q = 2
    assert (wrong > 4.5).all()


def test_points_are_independent_and_a_network_has_one_seed_however_it_is_spelled():
    found = moment_sweep([ResNet(8, 4, HALF, HALF), ResNet(8, 4, HALF, HALF), ResNet(8, 5, HALF, HALF)], q=[0, 1],
                         populations=32, size=100, progress=False)  # fmt: skip
    assert len({run.seed for run in found.runs}) == 6
    assert np.isfinite((found.log_moment[0, 1] - found.log_moment[2, 1]).stderr)
    general = ResidualNetwork(8, 4, carry=0.6, scaling=resmc.DepthScaling(0.0, 0.8 * 2**0.5))
    log_gaussian = general.as_resnet
    one, other = (moment_sweep([m], populations=3, size=40, progress=False) for m in (general, log_gaussian))
    assert same(one, other)
    assert one.plan.rows[0].key == other.plan.rows[0].key
    assert one.runs[0].model == general


# -- the store ---------------------------------------------------------------------------------------------------------


def test_threads_processes_executors_and_memory_make_the_same_numbers(tmp_path):
    expected = small()
    with ThreadPoolExecutor(2) as pool:
        for name, engine in (("threads", None), ("processes", "processes"), ("executor", pool)):
            workers = {} if engine is pool else {"workers": 2}
            found = small(store=tmp_path / name, engine=engine, **workers)
            assert same(found, expected)
            assert found.complete
            assert leftovers(tmp_path / name) == []
            assert contents(tmp_path / name) == contents(tmp_path / "threads")
            assert same(load_moment_sweep(tmp_path / name), expected)
    assert len(files(tmp_path / "threads")) == 8


def test_shards_of_a_point_are_whole_populations_and_change_no_bit(tmp_path, monkeypatch):
    expected = small()
    monkeypatch.setitem(UPDATES, "cpu", 1)
    seen: list[tuple[int, int]] = []
    with pytest.raises(Enough):
        small(store=tmp_path, workers=1, progress=stopped_after(20 * 20))
    half = load_moment_sweep(tmp_path)
    assert not half.complete
    assert 0 < half.populations.sum() < 48
    assert "INCOMPLETE" in str(half.summary())
    assert (half.log_moment.n == half.populations).all()
    kept = identities(tmp_path)
    found = small(store=tmp_path, progress=lambda *at: seen.append(at))
    assert seen[0] == (half.networks.sum(), 48 * 20)
    assert seen[-1] == (960, 960)
    assert {name: identities(tmp_path)[name] for name in kept} == kept
    assert len(files(tmp_path)) == 48
    assert same(found, expected)
    assert np.isfinite((found.log_moment[0, 0, 0] - expected.log_moment[1, 0, 0]).value)


def test_a_point_without_populations_has_no_run(tmp_path):
    small(store=tmp_path)
    files(tmp_path)[0].unlink()
    found = load_moment_sweep(tmp_path)
    (place,) = np.argwhere(found.populations == 0)
    where = {name: getattr(found.plan.points, name)[i] for name, i in zip(("width", "ratio"), place, strict=False)}
    with pytest.raises(ValueError, match="there are no populations yet at width"):
        found.run(**where, q=found.plan.powers[place[2]])
    assert np.isnan(found.log_moment.value[tuple(place)])


@pytest.mark.parametrize("how", ["byte", "cut", "empty", "other"])
def test_a_damaged_file_is_set_aside_and_computed_again(how, tmp_path):
    expected = small(store=tmp_path)
    before = contents(tmp_path)
    first, *_, last = files(tmp_path)
    damage(first, how, last)
    found = load_moment_sweep(tmp_path)
    assert found.damaged == (first.name,)
    assert not found.complete
    assert "1 file is damaged and left out" in str(found)
    assert same(small(store=tmp_path), expected)
    assert contents(tmp_path) == before


def test_more_populations_powers_and_networks_keep_what_is_there(tmp_path):
    small(store=tmp_path)
    kept = identities(tmp_path)
    more: dict[str, Any] = {"populations": 8, "q": [0.5, 1, 2], "width": [6, 8, 9]}
    grown = small(store=tmp_path, **more)
    now = identities(tmp_path)
    assert {name: now[name] for name in kept} == kept
    assert len(now) == 8 + 8 + (18 - 8)
    assert same(grown, small(**more))
    assert (grown.populations == 8).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 21}, "size=21 instead of 20"),
        ({"populations": 5}, "populations=5 instead of 6"),
        ({"q": [0.5, 2.0]}, "q lacks 1"),
        ({"seed": 1}, "seed=1 instead of 0"),
        ({"width": [6]}, "2 points are not in it any more"),
    ],
)
def test_a_plan_that_does_not_extend_the_stored_one_is_refused_unless_it_is_to_replace_it(changes, said, tmp_path):
    small(store=tmp_path)
    kept = identities(tmp_path)
    with pytest.raises(StoreError, match=f"holds another plan, which this one does not extend: .*{said}"):
        small(store=tmp_path, **changes)
    assert same(small(store=tmp_path, replace=True, **changes), small(**changes))
    assert {name: identities(tmp_path)[name] for name in kept} == kept


def test_sweeps_and_moments_know_each_others_stores(tmp_path):
    sweep = resmc.Sweep(width=4, depth=3, alpha=0.6, lam=0.8, networks=32)
    sweep.run(tmp_path / "sweep", progress=False)
    small(store=tmp_path / "moments")
    with pytest.raises(ValueError, match=r"holds the plan of a moment sweep: resmc\.load_moment_sweep reads it"):
        resmc.load_sweep(tmp_path / "moments")
    with pytest.raises(ValueError, match=r"holds the plan of a sweep: resmc\.load_sweep reads it"):
        load_moment_sweep(tmp_path / "sweep")
    with pytest.raises(StoreError, match="it is that of a sweep, and this one of a moment sweep"):
        small(store=tmp_path / "sweep")


def test_shards_of_other_stores_are_brought_in(tmp_path):
    small(store=tmp_path / "one", width=[6])
    small(store=tmp_path / "other", width=[9])
    assert join(tmp_path / "one", [tmp_path / "other"]) == 4
    kept = identities(tmp_path / "one")
    assert same(small(store=tmp_path / "one"), small())
    assert identities(tmp_path / "one") == kept


def test_names_of_files_do_not_change_unnoticed():
    """A key that changes makes every stored point anew: raise `KEY_VERSION` if that is meant, and say it to users."""
    plan = MomentPlan.of(None, GRID, 1.0, 6, 20, 0)
    assert plan.rows[0].key == "b4b7df34bdbf366bc757a4d03e39328d"
    assert MomentPlan.of(None, GRID | {"width": 6}, [0.5, 1.0], 9, 20, 0).rows[1].key == plan.rows[0].key
    for changes in ({"size": 21}, {"seed": 1}, {"q": 2.0}):
        given = {"q": 1.0, "populations": 6, "size": 20, "seed": 0, **changes}
        assert MomentPlan.of(None, GRID, **given).rows[0].key != plan.rows[0].key


POINT = MomentPlan.of(None, GRID, 1.0, 6, 20, 0).rows[0]
GOOD = {"format": "resmc-moments", "schema_version": 1, "row": POINT.to_dict(), "range": [0, 60],
        "numerics": [NUMERICS_VERSION, "cpu/baseline"]}  # fmt: skip
VALUES = np.zeros((3, len(POINT.layers)))


@pytest.mark.parametrize(
    ("changes", "values", "words"),
    [
        ({"format": "resmc-simulation"}, VALUES, "its manifest does not say 'resmc-moments'"),
        ({"schema_version": 2}, VALUES, "schema version 2, not 1"),
        ({"row": 3}, VALUES, "is no part of a sweep of moments"),
        ({"row": {}}, VALUES, "its manifest has no 'model'"),
        ({"row": POINT.to_dict() | {"size": 1}}, VALUES, "size=1 is out of range"),
        ({"row": POINT.to_dict() | {"every": 0}}, VALUES, "every=0 is out of range"),
        ({"row": POINT.to_dict() | {"q": "1"}}, VALUES, "q='1'"),
        ({"range": [0, 30]}, VALUES, "its range has 30 networks, no multiple of 20"),
        ({"range": [60, 0]}, VALUES, r"range=\[60, 0\] is not allowed"),
        ({"range": 7}, VALUES, "is no part of a sweep of moments"),
        ({"numerics": ["1", "cpu/baseline"]}, VALUES, "numerics="),
        ({}, VALUES[:2], "log_product has the shape"),
        ({}, VALUES.astype(np.float32), "log_product has the wrong type"),
        ({}, np.full(VALUES.shape, np.nan), "log_product holds what is no number"),
    ],
)
def test_files_with_a_right_checksum_that_say_what_no_point_is_are_refused_with_their_name(changes, values, words):
    def made(manifest: dict[str, Any], values: Any) -> RowRange[Any, Any]:
        arrays = dict.fromkeys(("log_product", "growth", "effective"), values)
        return FILES.from_bytes(archive.to_bytes(manifest, arrays), "file")

    with pytest.raises(ValueError, match=f"^file.*{words}"):
        made(GOOD | changes, values)
    assert made(GOOD, VALUES).row == POINT


# -- refusals, and how it is shown -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"q": -1.5}, r"q=-1\.5 is not allowed at width=6: it must be above -width/4"),
        ({"q": ()}, "q has 0 values"),
        ({"q": [1, 1.0]}, "q holds 1.0 twice"),
        ({"q": "1"}, "q='1'"),
        ({"populations": 0}, "populations=0"),
        ({"populations": 2**40, "size": 2}, r"populations=\d+ is too many for 8 points: their numbers by layer take"),
        ({"size": 1}, "size=1"),
        ({"seed": -1}, "seed=-1"),
        ({"networks": 100}, "'networks' is not allowed in a sweep of moments, which takes the fields of networks"),
        ({"gradients": True}, "'gradients' is not allowed"),
        ({"lam": None}, "lam is missing"),
        ({"variant": None, "alpha": None, "lam": None, "weights": ["gaussian", "uniform"]}, "method='projected'"),
        ({"models": [ResNet(4, 4, HALF, HALF)]}, "is not allowed beside models"),
        ({"workers": 0}, "workers=0"),
        ({"device": "gpu"}, "device='gpu' is not allowed: it must be 'auto', 'cpu', 'cuda'"),
        ({"progress": 3}, "progress=3"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        small(**arguments)


def test_wrong_coordinates_are_refused():
    found = small()
    for where, words in (
        ({"width": 6}, "4 points have {'width': 6}: give width, ratio, q"),
        ({"width": 7, "ratio": 2, "q": 1}, "width=7 is not in the sweep"),
        ({"width": 6, "ratio": 2, "q": 3}, "q=3.0 is not in the sweep: it has"),
        ({"depth": 3}, "depth=3 is not allowed: the dimensions are"),
    ):
        with pytest.raises(ValueError, match=words):
            found.run(**where)
    listed = moment_sweep([ResNet(6, 3, HALF, HALF)], populations=2, size=20, progress=False)
    assert listed.run() is listed.run(point=0) is listed.runs[0]
    with pytest.raises(ValueError, match="q=1 is not allowed"):
        listed.run(q=1)


def test_a_plan_is_read_as_it_was_written_and_nothing_else_is(tmp_path):
    plan = MomentPlan.of([ResidualNetwork(5, 7, bias=0.2)], {}, [0.5, 2], 3, 20, 4)
    assert MomentPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    for change, words in (
        ({"format": "resmc-sweep"}, "not the plan of a sweep of moments"),
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"colour": 1}, "'colour' is not a setting of a sweep of moments"),
        ({"points": 3}, "points=3 is not allowed"),
        ({"points": {}}, "not the plan of a sweep"),
        ({"q": []}, "q has 0 values"),
    ):
        with pytest.raises(ValueError, match=words):
            MomentPlan.from_dict(plan.to_dict() | change)


def test_the_command_line_shows_exports_and_goes_on_with_stored_moments(tmp_path, capsys):
    pytest.importorskip("pandas")
    store = tmp_path / "store"
    whole = small(store=store)
    lost = files(store)[0]
    lost.unlink()
    assert cli.main(["status", str(store)]) == 0
    assert "7 of 8 points complete, 840 of 960 networks" in capsys.readouterr().out
    assert cli.main(["worker", str(store), "--quiet"]) == 0
    assert capsys.readouterr().out == f"complete: 8 points, 960 networks in {store}\n"
    assert lost.exists()
    assert cli.main(["show", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "width 9, ratio 2, q 0.5" in shown
    assert "log E|z_d|^2q/|z_0|^2q" in shown
    assert cli.main(["show", str(store), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["kind"] == "moment sweep"
    assert record["points"][7]["log_moment"]["value"] == float(whole.log_moment.value[1, 1, 1])
    assert record["points"][7]["log_moment"]["exact"] == 0.0
    assert cli.main(["export", str(store), "-o", str(tmp_path / "moments.csv")]) == 0
    assert (tmp_path / "moments.csv").read_text(encoding="utf-8").count("\n") == 9
    capsys.readouterr()
    assert cli.main(["export", str(store), "-o", str(tmp_path / "moments.json"), "--json"]) == 0
    assert len(json.loads((tmp_path / "moments.json").read_text(encoding="utf-8"))["rows"]) == 8
    assert cli.main(["report", str(store), "-o", str(tmp_path / "page.html")]) == 2
    assert "is not allowed: it must be a Simulation" in capsys.readouterr().err


def test_moments_are_a_data_set_and_a_data_frame():
    pytest.importorskip("xarray")
    pytest.importorskip("pandas")
    found = small()
    data = found.to_xarray()
    assert dict(data.sizes) == {"width": 2, "ratio": 2, "q": 2}
    for name, variable in data.variables.items():
        assert variable.attrs["units"] == "1", name
        assert variable.attrs["long_name"], name
    assert data["log_moment"].sel(width=9, ratio=2, q=1.0).item() == found.log_moment.value[1, 1, 1]
    assert data["depth"].values.tolist() == [[3, 12], [5, 18]]
    rows = found.to_dataframe()
    assert rows["log_moment"].tolist() == found.log_moment.value.ravel().tolist()
    assert rows["depth"].tolist() == [3, 3, 12, 12, 5, 5, 18, 18]
    assert rows["q"].tolist() == [0.5, 1.0] * 4
    one = small(q=1.0)
    assert dict(one.to_xarray().sizes) == {"width": 2, "ratio": 2}
    assert one.to_xarray()["q"].item() == 1.0
    assert one.to_dataframe()["q"].tolist() == [1.0] * 4
