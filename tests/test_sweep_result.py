"""What comes out of a sweep: tables over its dimensions, single points, files, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeps import HALF, small

import resmc
from resmc import ResidualNetwork, ResNet, Sweep, load_sweep
from resmc.sweep import SweepResult

pytestmark = pytest.mark.cpu

NAMES = ["log_norm_mean", "log_norm_variance", "log_norm_skewness", "log_norm_excess_kurtosis", "asymmetry",
         "active_fraction", "log_second_moment",
         "asymmetry_variance", "inactive_fraction", "dead_fraction", "log_mean_square"]  # fmt: skip
FIELDS = {"width", "depth", "ratio", "alpha", "lam", "variant", "n_out", "input_norm"}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """Two widths, ratios and variants each, recorded with correlations."""
    plan = small(variant=["vanilla", "balanced"], networks=2000, shard_updates=10**5, correlations=True)
    return plan.run(tmp_path_factory.mktemp("grid") / "store", progress=False)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """Three models, one of them twice."""
    models = [ResNet(8, 4, 0.6, 0.8), ResNet(10, 5, 0.0, 1.0, "balanced"), ResNet(8, 4, 0.6, 0.8)]
    return Sweep(models, networks=640).run(tmp_path_factory.mktemp("listed") / "store", progress=False)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    """A sweep to a target of which one point is there, and not even the pilot of the other."""
    store = tmp_path_factory.mktemp("unfinished") / "store"
    given: dict[str, Any] = {"depth": 4, "alpha": HALF, "lam": HALF, "max_networks": 1000}
    Sweep(width=[8], target_stderr={"growth": 1e-9}, **given).run(store, progress=False)
    return Sweep(width=[8, 16], target_stderr={"growth": 1e-9}, **given).result(store)


# --------------------------------------------------------------------------------------------------- labelled data sets


def test_every_point_is_where_its_coordinates_say(grid):
    data = grid.to_xarray()
    assert dict(data.sizes) == {"width": 2, "ratio": 2, "variant": 2}
    assert set(data.coords) == FIELDS
    for index, model in enumerate(grid.plan.models):
        asked = {"width": model.width, "ratio": grid.plan.ratio[index // 2 % 2], "variant": model.variant}
        point, sim = data.sel(asked), grid.simulation(**asked)
        assert sim.model == model
        for name, estimate in (("log_norm_mean", sim.log_norm_mean), ("log_norm_variance", sim.log_norm_variance),
                               ("asymmetry", sim.asymmetry_mean)):  # fmt: skip
            np.testing.assert_allclose(point[name], estimate.value[-1], rtol=1e-11)
            np.testing.assert_allclose(point[f"{name}_stderr"], estimate.stderr[-1], rtol=1e-9)
        assert point["depth"] == model.depth
        assert point["networks"] == sim.networks == 2000
        assert point["seed"] == sim.seed


def test_each_quantity_comes_with_error_limit_and_exact_value(grid):
    data = grid.to_xarray()
    for name in NAMES:
        for suffix in ("", "_stderr", "_theory", "_exact"):
            assert data[name + suffix].dims == ("width", "ratio", "variant")
    assert np.isnan(data["asymmetry_exact"].sel(variant="vanilla")).all()
    assert (data["asymmetry_exact"].sel(variant="balanced") == 0.0).all()
    assert (data["asymmetry_theory"].sel(variant="vanilla") < 0.0).all()
    assert data["log_second_moment_reliable"].dtype == bool
    other = {"networks", "seed", "inactive", "dead", "ratio_rounded"}
    other |= {f"log_{one}_reliable" for one in ("second_moment", "mean_square")}
    other |= {f"log_norm_{one}_reliable" for one in ("variance", "skewness", "excess_kurtosis")}
    other |= {f"log_norm_{one}_second_order" for one in ("mean", "variance")}
    other |= {f"{one}_second_order" for one in ("asymmetry", "active_fraction", "log_second_moment", "log_mean_square")}
    assert set(data) == {n + s for n in NAMES for s in ("", "_stderr", "_theory", "_exact")} | other


def test_the_plan_and_the_numerics_are_attributes(grid):
    attributes = grid.to_xarray().attrs
    assert Sweep.from_dict(json.loads(attributes["plan"])) == grid.plan
    assert attributes["numerics"].split() == list(grid.numerics)
    assert attributes["complete"] == 1
    assert attributes["source"].startswith("resmc ")


def test_a_ratio_is_a_coordinate_as_asked_for_and_a_variable_as_rounded(tmp_path):
    plan = Sweep(width=[50, 100], ratio=[0.25, 1], alpha=HALF, lam=HALF, networks=32)
    data = plan.run(tmp_path / "store", progress=False).to_xarray()
    assert data["ratio"].values.tolist() == [0.25, 1.0]
    assert data["ratio_rounded"].values.tolist() == [[0.26, 1.0], [0.25, 1.0]]
    assert data["depth"].values.tolist() == [[13, 50], [25, 100]]
    assert data["depth"].dims == ("width", "ratio")


def test_a_depth_is_a_coordinate_and_the_ratio_follows(tmp_path):
    plan = Sweep(width=[8, 16], depth=[4, 8], alpha=HALF, lam=HALF, networks=32)
    data = plan.run(tmp_path / "store", progress=False).to_xarray()
    assert data["depth"].dims == ("depth",)
    assert data["ratio"].values.tolist() == [[0.5, 1.0], [0.25, 0.5]]
    assert "ratio_rounded" not in data


def test_a_plan_of_one_point_has_no_dimensions(tmp_path):
    result = Sweep(width=8, depth=4, alpha=0.6, lam=0.8, networks=64).run(tmp_path / "store", progress=False)
    data = result.to_xarray(laws=True)
    assert dict(data.sizes) == {}
    assert set(data.coords) == FIELDS
    assert data["networks"] == 64
    assert np.isfinite(data["ks_fitted"])
    assert result.simulation().networks == 64
    assert "width 8, depth 4" in result.summary()


def test_a_list_of_models_is_one_dimension_with_their_fields_beside_it(listed):
    data = listed.to_xarray(laws=True)
    assert dict(data.sizes) == {"point": 3}
    assert data["variant"].values.tolist() == ["vanilla", "balanced", "vanilla"]
    assert data["alpha"].values.tolist() == [0.6, 0.0, 0.6]
    assert data["log_norm_mean"][0] != data["log_norm_mean"][2]  # the same model, of a seed of its own
    assert abs(data["log_norm_mean"][0] - data["log_norm_mean"][2]) < 0.5
    assert all(variable.attrs["long_name"] for variable in data.variables.values())
    assert {data[name].dims for name in data} == {("point",)}
    assert (data["dead"] == listed.dead).all()


def test_the_distances_between_laws_are_those_of_the_merged_simulations(grid):
    data = grid.to_xarray(laws=True)
    fit = grid.simulation(width=16, ratio=0.5, variant="balanced").log_gaussian_fit()
    point = data.sel(width=16, ratio=0.5, variant="balanced")
    for name, distance in (("ks_fitted", fit.ks_fitted), ("ks_log_gaussian_limit", fit.ks_theory),
                           ("ks_infinite_width", fit.ks_gaussian_limit),
                           ("ks_output_log_gaussian", fit.output.ks_log_gaussian),
                           ("ks_output_infinite_width", fit.output.ks_gaussian)):  # fmt: skip
        assert point[name] == distance.value
        assert point[f"{name}_stderr"] == distance.stderr
        assert point[f"{name}_noise_floor"] == distance.noise_floor


def test_an_unfinished_sweep_has_gaps_and_no_numbers_in_them(unfinished, tmp_path):
    assert not unfinished.complete
    data = unfinished.to_xarray(laws=True)
    assert data.attrs["complete"] == 0
    assert data["networks"].values.tolist() == [1000, 0]
    assert unfinished.wanted.tolist() == [1000, 0]
    for name in (*NAMES, "ks_fitted"):
        assert np.isnan(data[name]).values.tolist() == [False, True]
    assert "INCOMPLETE: 1 of 2 points finished" in unfinished.summary()
    assert "no value" in unfinished.summary()
    unfinished.to_netcdf(tmp_path / "gaps.nc")
    unfinished.to_zarr(tmp_path / "gaps.zarr")


# ------------------------------------------------------------------------------------------------------------ summaries


def test_the_summary_has_a_line_for_each_point_with_what_is_known_of_it(grid):
    lines = {line.split("  ")[0]: line for line in str(grid.summary()).splitlines()}
    assert set(map(grid.plan.describe, range(8))) <= set(lines)
    vanilla = lines["width 16, ratio 1, variant vanilla"]
    balanced = lines["width 16, ratio 1, variant balanced"]
    estimate = grid.estimates["log_norm.variance"]
    assert f"{estimate.value[1, 1, 0]:.2f}" in vanilla
    # A value that nobody knows exactly stands beside its limit, never beside "exact".
    assert vanilla.count("limit") == 5
    assert f"limit {float(grid.limits['log_norm.mean'][1, 1, 0]):.4g}" in vanilla
    assert "exact" not in vanilla
    assert balanced.count("(exact 0)") == 2  # asymmetry and growth
    assert "(exact 0.5)" in balanced
    assert "limit: leading order in 1/n" in grid.summary()


def test_a_network_of_a_list_is_named_by_its_title_and_no_field_is_none(tmp_path):
    models = [ResNet(8, 4, 0.6, 0.8), ResidualNetwork(8, 4, "v-phi-w", "tanh")]
    result = Sweep(models, networks=64).run(tmp_path / "store", progress=False)
    assert result.plan.describe(0) == "point 0: vanilla ResNet, width 8, depth 4, d/n 0.5, alpha 0.6, lam 0.8"
    assert "point 1: v-phi-w tanh residual network, width 8, depth 4, scaling 1 depth^-0.5" in result.summary(1000)
    assert "None" not in result.summary(1000)


def test_a_mean_square_without_an_error_is_explained_and_others_are_not(tmp_path):
    few = Sweep(width=8, depth=4, alpha=0.6, lam=0.8, networks=64).run(tmp_path / "store", progress=False)
    assert "(no error bar)" in few.summary()
    assert "\nno error bar: too few networks, or rare ones rule the mean" in few.summary()
    assert repr(few.plan).startswith("Sweep(1 point, networks=64,")
    many = Sweep(width=8, depth=1, alpha=0.6, lam=0.8, networks=1e4).run(tmp_path / "many", progress=False)
    assert "no error" not in many.summary()


def test_a_damaged_file_is_told_with_the_estimates(tmp_path):
    plan = Sweep(width=[8, 10], depth=4, alpha=0.6, lam=0.8, networks=64)
    assert "damaged and left out" not in plan.run(tmp_path / "store", progress=False).summary()
    one = next((tmp_path / "store" / "shards").rglob("*.resmc"))
    one.write_bytes(one.read_bytes()[:100])
    summary = plan.result(tmp_path / "store").summary()
    assert "1 file is damaged and left out: run the sweep again, which computes them anew" in summary


def test_an_exact_zero_is_no_rounding_error(grid):
    growth = grid.exact["growth"][:, :, 1]  # of the balanced networks, whose scales are 1 but for rounding
    assert not growth.any()
    assert not np.signbit(growth).any()
    assert "e-1" not in grid.summary()


def test_a_result_in_words_says_how_far_it_is(grid, unfinished):
    assert "8 of 8 points complete" in repr(grid)
    assert "1 of 2 points complete" in repr(unfinished)


# -------------------------------------------------------------------------------------------------------- single points


def test_points_are_chosen_by_their_coordinates(grid, listed):
    assert grid.simulation(width=8, ratio=1, variant="balanced").model == ResNet(8, 8, HALF, HALF, "balanced")
    assert [s.model.width for s in grid.simulations(ratio=1, variant="vanilla")] == [8, 16]
    assert len(grid.simulations()) == 8
    assert listed.simulation(point=1).model.variant == "balanced"
    assert len(listed.simulations()) == 3


def test_what_was_recorded_comes_with_the_points(grid, listed):
    assert grid.simulation(width=8, ratio=1, variant="vanilla").interlayer_correlations().by_lag.value.size
    with pytest.raises(ValueError, match="correlations=False"):
        listed.simulation(point=0).interlayer_correlations()


@pytest.mark.parametrize(
    ("which", "where", "words"),
    [
        ("grid", {"width": 8}, r"4 points have \{'width': 8\}: give width, ratio, variant"),
        ("grid", {"width": 9, "ratio": 1}, r"width=9 is not in the sweep: it has \(8, 16\)"),
        ("grid", {"depth": 8}, "depth=8 is not allowed: the dimensions are width, ratio, variant"),
        ("grid", {"point": 0}, "point=0 is not allowed"),
        ("grid", {"variant": "odd"}, "variant='odd' is not in the sweep"),
        ("listed", {}, "3 points have"),
        ("listed", {"width": 8}, "width=8 is not allowed: the dimensions are point"),
        ("listed", {"point": 3}, "point=3 is out of range"),
        ("listed", {"point": -1}, "point=-1 is out of range"),
        ("listed", {"point": "first"}, "point='first' is not allowed"),
    ],
)
def test_what_is_not_one_point_is_refused_in_a_sentence(request, which, where, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        request.getfixturevalue(which).simulation(**where)


def test_a_point_without_networks_is_refused_with_its_name(unfinished):
    assert unfinished.simulation(width=8).networks == 1000
    for ask in (unfinished.simulation, unfinished.simulations):
        with pytest.raises(ValueError, match="there are no networks yet at width 16"):
            ask(width=16)


def test_a_fit_over_points_of_a_sweep_has_independent_points(tmp_path):
    given: dict[str, Any] = {"depth": 16, "alpha": HALF, "lam": HALF, "networks": 8192}
    together, apart = (
        Sweep(width=[16, 17], independent=independent, **given).run(tmp_path / f"{independent}", progress=False)
        for independent in (False, True)
    )

    def correlation(result: SweepResult) -> float:
        first, second = (s.statistics.final().norms.log_norm[:, 0, 0] for s in result.simulations())
        return float(np.corrcoef(first, second)[0, 1])

    assert correlation(together) > 0.5  # shared numbers: a fit over these would have errors that are not its own
    assert abs(correlation(apart)) < 0.75  # of 32 groups: four standard deviations
    plan = Sweep(width=[32, 64, 128], ratio=[0.5], alpha=HALF, lam=HALF, variant=["vanilla", "balanced"], networks=4096)
    result = plan.run(tmp_path / "store", progress=False)
    assert len({s.seed for s in result.simulations()}) == 6
    fit = resmc.extrapolate(result.simulations(ratio=0.5, variant="vanilla"))
    assert fit.widths.tolist() == [32, 64, 128]
    assert fit.p_value > 1e-4
    assert abs(fit.z_score) < 4


# ---------------------------------------------------------------------------------------------------------------- files


def test_files_hold_what_the_data_set_holds(grid, listed, tmp_path):
    import xarray

    for name, result in (("grid", grid), ("listed", listed)):
        data = result.to_xarray(laws=True)
        result.to_netcdf(tmp_path / f"{name}.nc", laws=True)
        result.to_zarr(tmp_path / f"{name}.zarr", laws=True)
        for found in (xarray.open_dataset(tmp_path / f"{name}.nc", engine="h5netcdf"),
                      xarray.open_zarr(tmp_path / f"{name}.zarr")):  # fmt: skip
            xarray.testing.assert_identical(found.load(), data)
            assert {n: found[n].dtype.kind for n in found} == {n: data[n].dtype.kind for n in data}


def test_a_file_that_is_there_is_replaced_and_another_folder_is_not(grid, listed, tmp_path):
    import xarray

    for _ in range(2):
        for name, write in (("out.nc", listed.to_netcdf), ("out.zarr", listed.to_zarr)):
            write(tmp_path / name)
    grid.to_netcdf(tmp_path / "out.nc")
    grid.to_zarr(tmp_path / "out.zarr")
    assert set(xarray.open_zarr(tmp_path / "out.zarr").sizes) == {"width", "ratio", "variant"}
    assert {path.name for path in tmp_path.iterdir()} == {"out.nc", "out.zarr"}
    with pytest.raises(ValueError, match="is not allowed: it is a folder with other files in it"):
        grid.to_zarr(grid.store)  # which would empty it
    assert load_sweep(grid.store).complete
    with pytest.raises(ValueError, match="is not allowed: it is a file"):
        grid.to_zarr(tmp_path / "out.nc")
    with pytest.raises(OSError, match=r"nowhere/out.nc' cannot be written: No such file or directory$"):
        grid.to_netcdf(tmp_path / "nowhere" / "out.nc")


@pytest.mark.parametrize(
    ("module", "method", "words"),
    [
        ("xarray", "to_xarray", r"to_xarray needs xarray: install resmc\[xarray\]"),
        ("h5netcdf", "to_netcdf", r"to_netcdf needs h5netcdf and h5py: install resmc\[netcdf\]"),
        ("h5py", "to_netcdf", r"to_netcdf needs h5netcdf and h5py: install resmc\[netcdf\]"),
        ("zarr", "to_zarr", r"to_zarr needs zarr: install resmc\[zarr\]"),
    ],
)
def test_what_is_not_installed_is_said_in_a_sentence(grid, monkeypatch, tmp_path: Path, module, method, words):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"^{words}$"):
        getattr(grid, method)(*([] if method == "to_xarray" else [tmp_path / "out"]))
    assert not list(tmp_path.iterdir())
