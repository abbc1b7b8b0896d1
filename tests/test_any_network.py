"""Everything above the engine takes every network: ten small ones of every block and activation, and MFBV's figures."""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from commands import run
from compiled import ROOT
from reports import bare
from sweeps import assert_same, contents, files, resmc_command, running, until

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Sweep, load_sweep
from resmc.engine.lowering import QUOTIENTS
from resmc.models import spelling
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.spelling import log_gaussian
from resmc.results.observables import OBSERVABLES

pytestmark = pytest.mark.cpu
EXAMPLES = ROOT / "examples" / "mfbv"
EVERY: dict[str, Any] = {"block": list(BLOCKS), "activation": list(ACTIVATIONS), "width": 4, "depth": 3, "seed": 5}
PLAN = Sweep(**EVERY, networks=10, gradients=True, correlations=True)


@pytest.fixture(scope="module")
def every(tmp_path_factory) -> resmc.sweep.SweepResult:
    return PLAN.run(tmp_path_factory.mktemp("every") / "store", progress=False)


def test_ten_networks_of_every_block_and_activation_are_one_grid(every):
    assert every.plan.dims == ("block", "activation")
    assert every.plan.shape == (len(BLOCKS), len(ACTIVATIONS))
    assert every.complete
    assert (every.networks == 10).all()


def points() -> Iterator[Any]:
    """All points; the quick ones are a chess board of blocks and activations, with several of each."""
    for i, model in enumerate(PLAN.models):
        black = (list(BLOCKS).index(model.block) + list(ACTIVATIONS).index(model.activation)) % 2
        yield pytest.param(i, id=PLAN.describe(i).replace(", ", " "), marks=[pytest.mark.long] * black)


@pytest.mark.parametrize("index", points())
def test_a_point_of_a_sweep_is_the_simulation_of_its_model_in_every_bit(index, every):
    model, seed = PLAN.models[index], PLAN.seeds[index]
    alone = resmc.simulate(
        model, networks=10, seed=seed, gradients=True, layers=PLAN.point(index, 10).recorded, progress=False
    )
    stored = every.load(index)
    assert stored.model == model
    assert stored.correlations == (log_gaussian(model) is not None)
    for name, array in alone.statistics.arrays().items():
        np.testing.assert_array_equal(array, stored.statistics.arrays()[name], err_msg=name)
    for name in QUOTIENTS[1:]:
        np.testing.assert_array_equal(alone.ratios[name].records, stored.ratios[name].records)
    assert alone.summary() == stored.summary()


def test_a_store_of_all_networks_is_read_back_and_brought_together_from_two(every, tmp_path, capsys):
    halves = [tmp_path / "phi-in", tmp_path / "others"]
    for store, blocks in zip(halves, (["phi-in"], ["phi-out", "v-phi-w"]), strict=True):
        Sweep(**EVERY | {"block": blocks}, networks=10, gradients=True, correlations=True).run(store, progress=False)
    whole = tmp_path / "whole"
    assert run(capsys, "merge", whole, *halves)
    result = PLAN.result(whole)
    assert result.complete
    assert contents(whole) == contents(every.store)
    assert load_sweep(every.store).plan == PLAN


def test_a_store_of_all_networks_is_prepared_for_workers_who_finish_it(every, tmp_path, capsys):
    file, store = tmp_path / "plan.toml", tmp_path / "store"
    given = {**EVERY, "networks": 10, "gradients": True, "correlations": True}
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()), encoding="utf-8")
    assert "ready for" in run(capsys, "sweep", file, "--store", store, "--prepare")
    assert f"complete: {len(PLAN.models)} points" in run(capsys, "worker", store, "--quiet")
    assert contents(store) == contents(every.store)


def test_the_command_line_shows_all_networks_and_exports_them(every, tmp_path, capsys):
    pytest.importorskip("h5netcdf")
    shown = json.loads(run(capsys, "show", every.store, "--json"))
    assert [p["model"]["block"] for p in shown["points"]] == [m.block for m in PLAN.models]
    assert "phi-out" in run(capsys, "show", every.store)
    assert json.loads(run(capsys, "status", every.store, "--json"))["points_complete"] == len(PLAN.models)
    for ending in ("nc", "csv", "json"):
        run(capsys, "export", every.store, "--output", tmp_path / f"out.{ending}")
    import xarray

    with xarray.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as data:
        assert data["block"].values.tolist() == list(BLOCKS)
        assert data["activation"].values.tolist() == list(ACTIVATIONS)
        assert (data["networks"] == 10).all()
        # Asymmetries exist for rectifiers in phi-in; elsewhere there is no value, and no network counts.
        there = np.isfinite(data["asymmetry"].values)
        np.testing.assert_array_equal(there[1:], False)
        np.testing.assert_array_equal(there[0], [sigma.rectifier for sigma in ACTIVATIONS.values()])
    assert len((tmp_path / "out.csv").read_text().splitlines()) == len(PLAN.models) + 1


def test_all_networks_have_one_page_together(every):
    pytest.importorskip("jinja2")
    with bare():  # figures over words and numbers are in tests/test_report_general.py, too
        page = resmc.report.render(every)
    for name in (*BLOCKS, *ACTIVATIONS):
        assert name in page
    assert not re.search(r"\b(None|nan)\b", re.sub("<script.*?</script>|<style.*?</style>", "", page, flags=re.S))


# ----------------------------------------------------------------------------------------------------- fields of a grid


def test_every_field_of_a_residual_network_is_a_dimension():
    plan = Sweep(
        block=["phi-out"], activation=["tanh", "gelu"], weights=["gaussian", "uniform"], width=[4, 6], depth=[2, 3],
        beta=[0.5, 1], c=[1, 2], inside=[False, True], carry=[0.5, 1], bias=[0, 1], n_out=[1, 2], input_norm=[1, 2],
        networks=1, method="dense",
    )  # fmt: skip
    names = ("block", "activation", "weights", "width", "depth", "beta", "c", "inside", "carry", "bias", "n_out")
    assert plan.dims == (*names, "input_norm")
    model = plan.models[-1]
    scaling = DepthScaling(1.0, 2.0, inside=True)
    assert model == ResidualNetwork(6, 3, "phi-out", "gelu", 1.0, scaling, "uniform", 1.0, None, 2, 2.0)
    assert plan.models[0].scaling == DepthScaling(0.5, 1.0, False)
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_scalings_and_inputs_are_values_or_dimensions():
    scalings = [DepthScaling(0.5), DepthScaling(1.0, 2.0), [0.1, 0.2, 0.3]]
    plan = Sweep(block="v-phi-w", width=4, depth=3, scaling=scalings, input=[[1.0, 2.0], [3.0, 0.0]], networks=1)
    assert plan.dims == ("scaling", "input")
    assert [m.scaling for m in plan.models[::2]] == [*scalings[:2], (0.1, 0.2, 0.3)]
    assert [m.input for m in plan.models[:2]] == [(1.0, 2.0), (3.0, 0.0)]
    one = Sweep(width=4, depth=3, scaling=[0.1, 0.2, 0.3], input=[1.0, 2.0], networks=1)
    assert one.dims == ()
    for each in (plan, one):
        assert Sweep.from_dict(json.loads(json.dumps(each.to_dict()))) == each


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"carry": 1.0, "alpha": 0.5, "lam": 0.5}, "carry is not allowed beside alpha: carry is a field of a"),
        ({"block": "phi-in", "lam": 0.5}, "block is not allowed beside lam: "),
        ({"beta": 0.5, "scaling": DepthScaling(0.5)}, "beta is not allowed beside scaling: scaling says it already"),
        ({"beta": 0.5, "input": [1.0], "input_norm": 2.0}, "input_norm is not allowed beside input: "),
        ({"block": "phi"}, "block='phi' is not allowed: it must be one of 'phi-in', 'phi-out', 'v-phi-w'"),
        ({"block": ["phi-in", "phi-in"]}, "block holds 'phi-in' twice"),
        ({"activation": []}, "activation=[] is not allowed: a dimension needs at least one value"),
        ({"activation": 3}, "activation=3 is not allowed: it must be a word"),
        ({"block": "phi-in", "inside": True}, "scaling inside is not allowed with block='phi-in'"),
        ({"block": "phi-out", "inside": "yes"}, "inside='yes' is not allowed"),
        ({"beta": "x"}, "beta='x' is not allowed"),
        ({"scaling": [0.1, 0.2]}, "scaling has 2 entries: it must have one for each of depth=3 layers"),
        ({"scaling": "x"}, "scaling='x' is not allowed: it must be a DepthScaling or one number for each layer"),
        (
            {"beta": 0.5, "weights": "uniform", "method": "projected"},
            "weights='uniform' are not allowed with method='projected'",
        ),
        ({}, "alpha is missing: give width, depth or ratio, alpha and lam (or block, beta ..), or a list of models"),
        ({"beta": 0.5, "gradients": "yes"}, "gradients='yes' is not allowed"),
        ({"models": [3]}, "width is not allowed beside models"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_what_is_allowed(given, words):
    with pytest.raises(ValueError, match="^" + re.escape(words)):
        Sweep(**{"width": 4, "depth": 3, "networks": 1} | given)


def test_lists_hold_both_spellings_of_networks_and_these_share_shards(tmp_path):
    resnet = ResNet(4, 3, 0.5, 0.5)
    general = ResidualNetwork(4, 3, "phi-in", "relu", 0.5, DepthScaling(0.0, 2**0.5 * 0.5))
    assert log_gaussian(general) == log_gaussian(resnet)
    other = ResidualNetwork(4, 3, "v-phi-w", "tanh")
    plan = Sweep([resnet, general, other], networks=40, independent=False)
    result = plan.run(tmp_path / "store", progress=False)
    assert len(files(tmp_path / "store")) == 2
    assert [type(result.load(i).model) for i in range(3)] == [ResNet, ResidualNetwork, ResidualNetwork]
    assert str(result.load(0).summary()).splitlines()[3:6] != str(result.load(2).summary()).splitlines()[3:6]
    np.testing.assert_array_equal(result.estimates["growth"].value[0], result.estimates["growth"].value[1])
    assert np.isnan(result.estimates["asymmetry"].value[2])
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_shard_has_the_same_bytes_whichever_spelling_asked_for_it(tmp_path):
    lam = next(x for x in np.linspace(0.1, 0.9, 99).tolist() if ResNet(4, 3, 0.5, x).as_resnet.lam != x)
    resnet = ResNet(4, 3, 0.5, lam)  # its lam is not quite that of the general spelling, s/sqrt(2)
    stores = {}
    for name, models in {"resnet": [resnet], "general": [spelling.general(resnet)]}.items():
        Sweep(models, networks=40).run(tmp_path / name, progress=False)
        stores[name] = {path.name: path.read_bytes() for path in files(tmp_path / name)}
    assert stores["resnet"] == stores["general"]
    both = Sweep([resnet, spelling.general(resnet)], networks=40, independent=False)
    assert len(set(both.identities)) == 1


def test_a_point_is_found_by_its_scaling_or_input_however_they_are_written(tmp_path):
    scalings = [DepthScaling(0.5), [0.1, 0.2, 0.3]]
    plan = Sweep(block="v-phi-w", width=4, depth=3, scaling=scalings, input=[[1.0, 2.0], [3.0, 0.0]], networks=1)
    result = plan.run(tmp_path / "store", progress=False)
    assert result.simulation(scaling={"beta": 0.5}, input=[3, 0]).model == plan.models[1]
    assert result.simulation(scaling=np.array([0.1, 0.2, 0.3]), input=(1.0, 2.0)).model == plan.models[2]
    with pytest.raises(ValueError, match=r"input=\(1.0,\) is not in the sweep"):
        result.simulation(input=[1])


def test_fields_of_a_residual_network_are_keywords_of_simulate():
    sim = resmc.simulate(width=4, depth=3, block="phi-out", beta=1, inside=True, bias=0.2, networks=10, progress=False)
    assert sim.model == ResidualNetwork(4, 3, "phi-out", bias=0.2, scaling=DepthScaling(1.0, inside=True))
    with pytest.raises(ValueError, match=r"^carry is not allowed beside alpha: "):
        resmc.simulate(width=4, depth=3, alpha=1, carry=1, networks=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'shape'"):
        resmc.simulate(width=4, depth=3, shape="phi-in", networks=1)


def test_models_of_a_file_are_tables_of_either_kind(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(
        "networks = 1\n"
        "models = [\n"
        "  {width = 4, depth = 3, alpha = 0.5, lam = 0.5},\n"
        "  {width = 4, depth = 3, activation = 'tanh', scaling = {beta = 1.0}},\n"
        "  {width = 4, depth = 3, block = 'v-phi-w', beta = 0.25, c = 2},\n"
        "]\n",
        encoding="utf-8",
    )
    assert Sweep.from_toml(file).models == (
        ResNet(4, 3, 0.5, 0.5),
        ResidualNetwork(4, 3, "phi-in", "tanh", scaling=DepthScaling(1.0)),
        ResidualNetwork(4, 3, "v-phi-w", scaling=DepthScaling(0.25, 2.0)),
    )
    file.write_text(file.read_text(encoding="utf-8").replace("beta = 0.25", "lam = 0.25"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"models\[2\]: 'lam' is not a field of a model"):
        Sweep.from_toml(file)


def test_gradients_and_displacement_are_kept_on_request_alone_and_change_the_key():
    resnet = {"width": 4, "depth": 3, "alpha": 0.5, "lam": 0.5, "networks": 40}
    plain, away, back = (Sweep(**resnet, **more) for more in ({}, {"displacement": True}, {"gradients": True}))
    assert len({p.point(0, 40).key for p in (plain, away, back)}) == 3
    assert "gradients" not in plain.to_dict()
    general = {"width": 4, "depth": 3, "block": "v-phi-w", "networks": 40}
    plain, away, back = (Sweep(**general, **more) for more in ({}, {"displacement": True}, {"gradients": True}))
    assert plain.point(0, 40).key == away.point(0, 40).key  # such networks follow their displacement in any case
    assert plain.point(0, 40).key != back.point(0, 40).key
    assert "displacement.median" in plain.observables[0]
    assert "gradient.median" not in plain.observables[0]


def test_a_grid_over_beta_and_depth_grows_and_keeps_its_shards(tmp_path):
    first = Sweep(block="v-phi-w", width=4, depth=[2, 4], beta=[0.5, 1], networks=64)
    first.run(tmp_path / "store", progress=False)
    before = contents(tmp_path / "store")
    more = Sweep(block="v-phi-w", width=4, depth=[2, 4, 8], beta=[0.25, 0.5, 1], networks=64)
    more.run(tmp_path / "store", progress=False)
    after = contents(tmp_path / "store")
    assert before.items() <= after.items()
    assert len(after) == 9


# ------------------------------------------------------------------------------------------------------- MFBV's figures


@pytest.mark.parametrize("number", [1, 2, pytest.param(3, marks=pytest.mark.long)])
def test_mfbvs_figures_are_plans_that_may_be_killed_go_on_and_are_reported(number, tmp_path, capsys):
    """Each figure's file, with fewer networks: run, killed as by ``kill -9``, run again, and made a page of."""
    text = (EXAMPLES / f"figure-{number}.toml").read_text(encoding="utf-8")
    file, store = tmp_path / "figure.toml", tmp_path / "store"
    few = "networks = 64" + "\nshard_updates = 1" * (number == 2)  # its two points would be two files
    smaller = re.sub(r"^networks = .*$", few, text, flags=re.M)
    assert smaller != text
    file.write_text(smaller, encoding="utf-8")
    with running(resmc_command("sweep", file, "--store", store, "--workers", 1, "--quiet")) as process:
        until(lambda: len(files(store)) > 2, "a few shards")
        process.kill()
    left = contents(store)
    plan = Sweep.from_toml(file)
    assert not plan.result(store).complete
    run(capsys, "sweep", file, "--store", store, "--quiet")
    assert left.items() <= contents(store).items()
    plan.run(tmp_path / "whole", progress=False)
    assert_same(store, tmp_path / "whole")
    pytest.importorskip("jinja2")
    with bare() if number < 3 else contextlib.nullcontext():  # drawings of such grids have tests of their own
        run(capsys, "report", store, "--output", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    asked = "gradient_displacement.median" if number == 3 else "displacement.median"
    assert OBSERVABLES[asked].question in html.unescape(page)


def test_mfbvs_figures_show_explosion_identity_and_neither(tmp_path):
    """The medians of figure 1 and 3 at L = 1000: the slope in ln L is 1/2 - beta up to beta = 1/2, five errors wide."""
    for number, name in ((1, "displacement.median"), (3, "gradient_displacement.median")):
        given = Sweep.from_toml(EXAMPLES / f"figure-{number}.toml").to_dict() | {"depth": [120, 1000], "networks": 400}
        found = Sweep.from_dict(given).run(tmp_path / str(number), progress=False).estimates[name]
        at = {beta: i for i, beta in enumerate(given["beta"])}
        change = found.value[1] - found.value[0]
        error = np.hypot(*found.stderr)
        slope = change / np.log(1000 / 120)
        assert abs(change[at[0.5]]) < 5.0 * error[at[0.5]]
        np.testing.assert_allclose(slope[at[1.0]], -1.0, atol=5.0 * error[at[1.0]] / np.log(1000 / 120) + 0.02)
        assert change[at[0.25]] > 50.0 * error[at[0.25]]  # faster than any power
