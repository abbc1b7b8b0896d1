"""Every quantity is one row of one table, and every surface shows it: nothing has a list of its own."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from commands import run
from reports import bare
from scipy.stats import binom

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Sweep, cli
from resmc.analyses import export, found, summary
from resmc.analyses.extrapolation import FITTED
from resmc.engine.lowering import lower
from resmc.results import layer_estimates, observables
from resmc.results.observables import OBSERVABLES, SWEPT, Observable

pytestmark = pytest.mark.cpu
HALF = 0.5**0.5
NETWORKS = 2000
# Together these networks have every quantity: a ResNet that can die, one that is no ResNet and has biases.
MODELS = {
    "ResNet": ResNet(4, 6, 0.0, 1.0),
    "general": ResidualNetwork(4, 6, "phi-in", "relu", scaling=DepthScaling(0.5), bias=0.3),
}
ALONG_LAYERS = [name for name, one in OBSERVABLES.items() if one.per == "layer"]


@pytest.fixture(scope="module")
def sims() -> dict[str, resmc.Simulation]:
    return {
        name: resmc.simulate(model, networks=NETWORKS, gradients=True, keep_trajectories=3, progress=False)
        for name, model in MODELS.items()
    }


@pytest.fixture(scope="module")
def rows(sims) -> dict[str, list[summary.Row]]:
    return {name: list(summary.rows(sim)) for name, sim in sims.items()}


@pytest.fixture(scope="module")
def data(sims) -> dict[str, Any]:
    pytest.importorskip("xarray")
    return {name: sim.to_xarray(laws=True) for name, sim in sims.items()}


@pytest.fixture(scope="module")
def swept_data(swept) -> dict[str, Any]:
    """Data set and frame of each sweep."""
    pytest.importorskip("xarray")
    return {name: (result.to_xarray(laws=True), result.to_dataframe()) for name, result in swept.items()}


@pytest.fixture(scope="module")
def saved(sims, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("saved")
    for name, sim in sims.items():
        sim.save(folder / name)
    return {name: folder / name for name in sims}


@pytest.fixture(scope="module")
def shown(saved) -> dict[str, tuple[Any, str]]:
    """JSON and text that `resmc show` prints of each file."""
    out = {}
    for name, path in saved.items():
        printed = []
        for more in (["--json"], []):
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                assert cli.main(["show", str(path), *more]) == 0
            printed.append(stream.getvalue())
        out[name] = json.loads(printed[0]), printed[1]
    return out


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> dict[str, resmc.sweep.SweepResult]:
    """A grid of each kind of network, of two widths and two depths."""
    shared: dict[str, Any] = {
        "width": [4, 6],
        "depth": [3, 6],
        "networks": 200,
        "gradients": True,
        "correlations": True,
    }
    plans = {
        "ResNet": Sweep(alpha=0.0, lam=1.0, **shared),
        "general": Sweep(block="phi-in", activation="relu", beta=0.5, bias=0.3, **shared),
    }
    folder = tmp_path_factory.mktemp("stores")
    return {name: plan.run(folder / name, progress=False) for name, plan in plans.items()}


def where(name: str) -> str:
    """A network that has the quantity: the ResNet if it does."""
    return next(k for k, m in MODELS.items() if OBSERVABLES[name].exists(lower(m), frozenset(WITH_GRADIENTS[k])))


WITH_GRADIENTS = {name: lower(model).sums_of(True, True) for name, model in MODELS.items()}


def test_the_two_networks_have_every_quantity_between_them():
    there = [set(observables.existing(lower(m), WITH_GRADIENTS[name])) for name, m in MODELS.items()]
    assert there[0] | there[1] == set(OBSERVABLES)
    assert there[0] != there[1]  # or tests of what is missing would be about nothing


@pytest.mark.parametrize("name", OBSERVABLES)
def test_a_quantity_is_an_estimate_with_its_error(name, sims):
    e = found.estimate(sims[where(name)], name)
    assert np.isfinite(e.value).any()
    if not (OBSERVABLES[name].least and np.isnan(e.stderr).all()):  # rare networks may rule a mean square
        assert np.isfinite(e.stderr).any()


@pytest.mark.parametrize("name", OBSERVABLES)
def test_a_summary_has_a_row_of_every_quantity_and_its_record_the_same_numbers(name, rows):
    one = OBSERVABLES[name]
    here = [row for row in rows[where(name)] if row.observable.name == name]
    records = [record for record in summary.as_table(rows[where(name)]).records() if record["name"] == name]
    assert len(here) == len(records) == (3 if one.per == "lag" else len(one.rows))
    for row, record in zip(here, records, strict=True):
        assert record["quantity"] == row.name
        assert record["layer"] == row.layer
        np.testing.assert_equal(record["value"], float(row.estimate.value))
        assert (record["exact"], record["limit"]) == (row.exact, row.limit)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_json_and_text_of_the_command_line_have_every_quantity(name, saved, rows, shown):
    found, text = shown[where(name)]
    assert name in {row["name"] for row in found["quantities"]}
    assert all(row.name in text for row in rows[where(name)] if row.observable.name == name)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_a_data_set_has_every_quantity_in_one_schema(name, data):
    one, found = OBSERVABLES[name], data[where(name)]
    endings = ("_stderr", "_noise_floor", "_resolution") if one.per == "run" else ("_stderr", "_theory", "_exact")
    dims = {"layer": ("layer",), "lag": ("lag",), "end": (), "run": ()}[one.per]
    for variable in (one.variable, *(one.variable + ending for ending in endings)):
        assert found[variable].dims == dims, variable
        assert found[variable].attrs["observable"] == name
        assert found[variable].attrs["units"] == one.unit == "1"
        assert found[variable].attrs["long_name"]
    assert (one.variable + "_reliable" in found) == (one.least is not None)


@pytest.mark.parametrize("name", SWEPT)
def test_a_sweep_has_every_quantity_of_a_points_end_as_the_simulation_has_it(name, swept):
    one, result = SWEPT[name], swept[where(name)]
    for index in range(len(result.plan.models)):
        sim = result.load(index)
        e = sim.estimate(name)
        e = e if one.per == "end" else e[0 if one.backward else -1]
        there = result.estimates[name].reshape((-1,))[index]
        np.testing.assert_allclose([there.value, there.stderr], [e.value, e.stderr], rtol=1e-9, atol=1e-14)
        assert there.n == e.n
        facts = sim.facts
        np.testing.assert_equal(result.exact[name].flat[index], one.exact_value(facts))
        np.testing.assert_equal(result.limits[name].flat[index], one.limit_value(facts))


@pytest.mark.parametrize("name", SWEPT)
def test_a_sweeps_data_set_and_frame_have_every_quantity_in_the_same_schema(name, swept_data, data):
    one, alone = SWEPT[name], data[where(name)]
    found, frame = swept_data[where(name)]
    for ending in ("", "_stderr", "_theory", "_exact", *(["_reliable"] if one.least else [])):
        variable = one.variable + ending
        assert found[variable].dims == ("width", "depth")
        assert found[variable].attrs == alone[variable].attrs
        np.testing.assert_equal(frame[variable].to_numpy(), found[variable].values.ravel())


@pytest.mark.parametrize("name", [name for name, one in OBSERVABLES.items() if one.per == "run"])
def test_a_sweeps_data_set_has_distances_between_laws_on_request(name, swept_data):
    variable = OBSERVABLES[name].variable
    found, frame = swept_data[where(name)]
    assert np.isfinite(found[variable]).all()
    assert variable not in frame


@pytest.mark.parametrize("name", SWEPT)
def test_the_command_line_shows_every_quantity_of_every_point(name, swept, capsys):
    shown = json.loads(run(capsys, "show", swept[where(name)].store, "--json"))
    assert all({"value", "stderr", "n", "exact", "limit"} <= set(p["quantities"][name]) for p in shown["points"])


@pytest.mark.parametrize("name", [name for name, one in SWEPT.items() if one.headline])
def test_headlines_are_columns_of_a_sweeps_table(name, swept):
    assert name in swept[where(name)].summary()


@pytest.mark.parametrize("name", SWEPT)
def test_a_target_may_be_set_for_every_quantity_of_a_sweep(name):
    plan = Sweep([MODELS[where(name)]], target_stderr={name: 0.1}, max_networks=100, gradients=True)
    assert plan.target_stderr == {name: 0.1}


def test_a_target_that_a_point_does_not_have_is_refused_with_the_point():
    with pytest.raises(ValueError, match=r"target_stderr\['asymmetry'\] is not allowed: activation tanh has no such"):
        Sweep(width=4, depth=3, activation=["relu", "tanh"], target_stderr={"asymmetry": 0.1}, max_networks=100)
    with pytest.raises(ValueError, match="has no such quantity; ask for gradients=True"):
        Sweep(width=4, depth=3, beta=0.5, target_stderr={"gradient.median": 0.1}, max_networks=100)


@pytest.mark.parametrize("name", OBSERVABLES)
def test_every_quantity_can_be_drawn_of_simulations_and_over_a_sweep(name, sims, swept):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = [resmc.plot.plot_quantity(sims[where(name)], name)]
        if name in SWEPT and list(OBSERVABLES).index(name) % 2:  # either is drawn of half of the quantities
            axes.append(resmc.plot.plot_sweep(swept[where(name)], name))
        else:
            axes.append(resmc.plot.plot_quantity(swept[where(name)], name, along="depth"))
        for ax in axes:
            assert ax.has_data()
    pyplot.close("all")


@pytest.fixture(scope="module")
def widths() -> list[resmc.Simulation]:
    """One network of three widths, so shallow that means of squares have errors."""
    return [
        resmc.simulate(ResNet(n, n // 4, HALF, HALF), networks=4000, seed=n, gradients=True, progress=False)
        for n in (8, 16, 32)
    ]


@pytest.mark.parametrize("name", FITTED)
def test_every_quantity_can_be_extrapolated_and_those_of_a_known_scaling_have_a_limit(name, widths):
    fit = resmc.extrapolate(widths, name)
    assert fit.quantity == name
    assert np.isfinite([fit.value.value, fit.value.stderr]).all()
    assert np.isfinite(fit.limit) == (OBSERVABLES[name].scaled is not None)


# ---------------------------------------------------------------------------------------------------- one row is enough


@pytest.fixture
def new_row(monkeypatch) -> Observable:
    """A quantity that nobody knows: twice the mean of the log-norm, whose first layer is known."""
    mean = OBSERVABLES["log_norm.mean"]
    row = replace(
        mean,
        name="made.up",
        variable="made_up",
        symbol="made up {v}_{l}",
        words="quantity that is made up",
        question="Is it made up?",
        estimate=lambda e: found_twice(layer_estimates.log_norm_mean(e.norms, e.offsets)),
        exact=lambda facts, layers: 2.0 * mean.exact(facts, layers),
        limit=lambda facts, layers: 2.0 * mean.limit(facts, layers),
        scaled=None,
    )
    for table in (OBSERVABLES, SWEPT):
        monkeypatch.setitem(table, row.name, row)
    return row


def found_twice(e: resmc.Estimate) -> resmc.Estimate:
    return resmc.Estimate(2.0 * e.value, 2.0 * e.stderr, e.n, e.df)


def test_a_new_row_appears_everywhere_at_once(new_row, tmp_path, capsys):
    sim = resmc.simulate(MODELS["general"], networks=200, progress=False)
    np.testing.assert_array_equal(sim.estimate("made.up").value, 2.0 * sim.log_norm_mean.value)
    assert "made up h_6" in sim.summary()
    plan = Sweep(width=[4, 6], depth=[3, 6], beta=0.5, networks=100, displacement=True)
    result = plan.run(tmp_path / "store", progress=False)
    assert "made.up" in result.summary()
    assert "made.up" in json.loads(run(capsys, "show", tmp_path / "store", "--json"))["points"][0]["quantities"]
    pytest.importorskip("xarray")
    for data in (sim.to_xarray(), result.to_xarray()):
        assert {"made_up", "made_up_stderr", "made_up_theory", "made_up_exact"} <= set(data)
    pytest.importorskip("matplotlib")
    assert resmc.plot.plot_sweep(result, "made.up").has_data()
    pytest.importorskip("jinja2")
    with bare():
        assert "made up" in resmc.report.render(sim)
        assert "Is it made up?" in resmc.report.render(result)


# ----------------------------------------------------------------------------------------------------- fractions, means


def test_intervals_of_a_share_cover_whatever_the_probability():
    """Sums of the binomial law, without sampling: 95% intervals cover in 94.3% of samples or more, from 32 networks."""
    for n in (32, 50, 100, 1000, 20_000):
        k = np.arange(n + 1)
        e = layer_estimates.share(k, np.full(n + 1, n))
        low, high = e.interval(0.95)
        plain = np.sqrt(e.value * (1.0 - e.value) / n)  # the textbook's error, a negative control
        least, least_plain = 1.0, 1.0
        for p in np.geomspace(1e-6, 0.5, 200):
            law = binom.pmf(k, n, p)
            least = min(least, float(law[(low <= p) & (p <= high)].sum()))
            least_plain = min(least_plain, float(law[np.abs(e.value - p) <= 1.96 * plain].sum()))
        assert least > 0.943
        assert least_plain < 0.2


def test_a_share_of_few_networks_has_no_error_and_of_none_no_value():
    e = layer_estimates.share(np.array([0, 1]), np.array([0, 31]))
    assert np.isnan(e.value[0])
    assert np.isnan(e.stderr).all()


def test_data_sets_of_networks_without_a_quantity_lack_its_variables():
    pytest.importorskip("xarray")
    sim = resmc.simulate(ResidualNetwork(4, 3, "phi-out", "tanh"), networks=64, progress=False)
    names = set(export.to_xarray(sim))
    assert "asymmetry" not in names
    assert "log_gradient_mean" not in names
    with pytest.raises(ValueError, match=r"name='asymmetry' is not allowed: it must be one of 'log_norm\.mean'"):
        sim.estimate("asymmetry")


def test_a_z_score_is_no_number_where_all_networks_agree_to_rounding():
    """Without a branch, and beside a scale of 0, values are the same in all networks, but for float32's last bit."""
    skipped = resmc.simulate(ResNet(2, 1, 0.9, 0.0), networks=2000, gradients=True, progress=False)
    e, exact = skipped.estimate("displacement.second_moment")[-1], np.log(0.01)
    assert e.value != exact
    assert 0.0 < e.stderr < 1e-7
    assert np.isnan(e.z_score(exact))
    row = next(row for row in summary.rows(skipped) if row.observable.name == "displacement.second_moment")
    assert row.comparison()[1:] == ("exact", "equal to rounding")
    # Negative controls: an error that float32 resolves, and a difference that rounding does not make.
    assert resmc.Estimate(1.0 + 1e-5, 1e-6, 2000).z_score(1.0) == pytest.approx(10.0)
    assert resmc.Estimate(1.001, 1e-9, 2000).z_score(1.0) == pytest.approx(1e6)
