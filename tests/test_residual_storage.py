"""Files and stores of residual networks: nothing is lost, and one network in two spellings is one."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reports import bare

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Sweep
from resmc.cli import main
from resmc.models import spelling
from resmc.report import reproduce
from resmc.results import storage
from resmc.results.archive import Archive
from resmc.results.laws import Law
from resmc.results.storage import to_bytes

OLD = Path(__file__).parent / "data" / "version-0.1"
MODELS = [
    ResidualNetwork(5, 6, "v-phi-w", "gelu", scaling=DepthScaling(0.5, 2.0), bias=0.1, n_out=2),
    ResidualNetwork(5, 3, "phi-out", "tanh", scaling=(0.1, 0.2, 0.0), input=(1.0, -2.0)),
    ResidualNetwork(5, 6, "phi-in", "relu", scaling=DepthScaling(0.3)),
    ResNet(5, 6, 0.0, 1.0),
    spelling.general(ResNet(2, 8, 0.0, 1.0)),
]


def equal_sums(a: resmc.Simulation, b: resmc.Simulation) -> None:
    x, y = a.statistics.arrays(), b.statistics.arrays()
    assert x.keys() == y.keys()
    for name, array in x.items():
        np.testing.assert_array_equal(array, y[name], err_msg=name)
    np.testing.assert_array_equal(a.statistics.networks, b.statistics.networks)


def same(a: resmc.Simulation, b: resmc.Simulation) -> None:
    assert (a.model, a.ranges, a.followed, a.bins, a.numerics) == (
        b.model,
        b.ranges,
        b.followed,
        b.bins,
        b.numerics,
    )
    equal_sums(a, b)
    assert a.ratios.keys() == b.ratios.keys()
    for name, norms in a.ratios.items():
        np.testing.assert_array_equal(norms.records, b.ratios[name].records, err_msg=name)
    for part in ("samples", "trajectories"):
        x, y = getattr(a, part), getattr(b, part)
        np.testing.assert_array_equal(x.log_norm, y.log_norm)
        assert set(x.ratios) == set(y.ratios)
        for name in x.ratios:
            np.testing.assert_array_equal(x.ratios[name], y.ratios[name])
    for name, law in a.laws.items():
        assert (law.zeros, law.offset) == (b.laws[name].zeros, b.laws[name].offset)
        np.testing.assert_array_equal(law.bins, b.laws[name].bins)
        np.testing.assert_array_equal(law.counts, b.laws[name].counts)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{type(m).__name__}-{m.depth}")
def test_a_saved_simulation_is_read_back_whole(model, gradients, tmp_path):
    sim = resmc.simulate(
        model, networks=500, gradients=gradients, progress=False, keep_samples=7, keep_trajectories=3, seed=2
    )
    sim.save(tmp_path / "a.resmc")
    loaded = resmc.load(tmp_path / "a.resmc")
    same(sim, loaded)
    assert sim.summary() == loaded.summary()
    loaded.save(tmp_path / "b.resmc")
    assert (tmp_path / "a.resmc").read_bytes() == (tmp_path / "b.resmc").read_bytes()


def test_a_file_of_version_01_that_says_softplus_means_centred_softplus():
    path = OLD / "softplus.resmc"
    assert b'"softplus"' in path.read_bytes()
    model = resmc.load(path).model
    assert model.activation == "centred_softplus"
    described = {**model.to_dict(), "activation": "softplus"}
    assert spelling.of_dict(described, version_01=True) == model
    assert storage.model_of({"model": described, "schema_version": 2}) == model
    for ask in (spelling.of_dict, lambda described: storage.model_of({"model": described, "schema_version": 3})):
        assert ask(described).activation == "softplus"


def test_descriptions_are_read_in_the_names_of_today():
    for model in MODELS:
        assert spelling.of_dict(model.to_dict()) == spelling.of_dict(model.to_dict(), version_01=True) == model
        assert storage.model_of({"model": model.to_dict()}) == model


def test_a_law_with_networks_at_infinity_is_read_back_and_one_without_them_is_written_as_before(tmp_path):
    sim = resmc.simulate(MODELS[0], networks=100, displacement=True, progress=False)
    sim.save(tmp_path / "a.resmc")
    assert all(len(law) == 2 for law in Archive((tmp_path / "a.resmc").read_bytes(), "a").manifest["laws"].values())
    wild = replace(sim, laws=dict.fromkeys(sim.laws, Law.of(np.where(np.arange(100) < 7, np.inf, 0.5))))
    wild.save(tmp_path / "b.resmc")
    assert {law.exploded for law in resmc.load(tmp_path / "b.resmc").laws.values()} == {7}


def test_a_changed_byte_of_a_ratio_is_noticed(tmp_path):
    path = tmp_path / "a.resmc"
    resmc.simulate(MODELS[0], networks=500, gradients=True, progress=False).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"quotients.gradient.npy") + 200
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        resmc.load(path)


def test_merged_files_are_one_run(tmp_path):
    for model in MODELS:
        parts = [
            resmc.simulate(model, networks=n, first_network=first, gradients=True, progress=False, keep_samples=5)
            for first, n in ((0, 300), (300, 200))
        ]
        for i, part in enumerate(parts):
            part.save(tmp_path / f"{i}.resmc")
        merged = resmc.merge(*[resmc.load(tmp_path / f"{i}.resmc") for i in (1, 0)])
        whole = resmc.simulate(model, networks=500, gradients=True, progress=False)
        assert merged.networks == 500
        for name in whole.laws:
            np.testing.assert_array_equal(merged.laws[name].counts, whole.laws[name].counts)
            a, b = merged.log_ratio(name).final_mean.value, whole.log_ratio(name).final_mean.value
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12, equal_nan=True)


def test_what_was_not_followed_alike_does_not_merge():
    model = MODELS[0]
    a = resmc.simulate(model, networks=100, gradients=True, progress=False)
    b = resmc.simulate(model, networks=100, first_network=100, progress=False)
    with pytest.raises(ValueError, match="different observables do not merge"):
        resmc.merge(a, b)


@pytest.mark.parametrize("settings", [{"gradients": True}, {"displacement": True, "keep_trajectories": 3}])
def test_a_report_says_how_to_get_what_was_followed_again(settings, tmp_path, monkeypatch):
    sim = resmc.simulate(ResNet(6, 4, 0.6, 0.8), networks=200, progress=False, **settings)
    again = reproduce.of_simulation(sim)
    monkeypatch.chdir(tmp_path)
    exec(again.python, {})
    assert (tmp_path / reproduce.FILE).read_bytes() == to_bytes(sim)
    (tmp_path / reproduce.FILE).unlink()
    words = shlex.split(again.shell.replace("\\\n", " "))
    assert main([word for word in words[words.index("resmc") + 1 :] if word]) == 0
    assert (tmp_path / reproduce.FILE).read_bytes() == to_bytes(sim)


def test_a_report_of_a_resnet_in_the_general_spelling_says_how_to_get_it_again(tmp_path):
    pytest.importorskip("jinja2")
    spelled = resmc.simulate(ResidualNetwork(6, 4), networks=100, progress=False)
    with bare():
        spelled.report(tmp_path / "b.html")
    assert "resmc.ResidualNetwork(" in (tmp_path / "b.html").read_text(encoding="utf-8")


def shards(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((store / "shards").rglob("*")) if path.is_file()}


@pytest.mark.parametrize("lam", [0.6, 0.4358898943540673])
def test_a_store_knows_a_network_in_either_spelling(lam, tmp_path):
    """The key of ResNet(..) and of phi-in with carry = alpha, c = sqrt(2) lam, beta = 0 is one, and so are the bits."""
    resnet = ResNet(8, 4, 0.8, lam)
    general = ResidualNetwork(8, 4, "phi-in", "relu", carry=0.8, scaling=DepthScaling(0.0, math.sqrt(2.0) * lam))
    assert general == spelling.general(resnet)
    plans = [Sweep(models=[model], networks=5000) for model in (resnet, general)]
    assert plans[0].point(0, 5000).key == plans[1].point(0, 5000).key
    assert spelling.canonical(resnet) == spelling.canonical(general)
    plans[0].run(tmp_path / "store", progress=False)
    before = shards(tmp_path / "store")
    assert plans[1].result(tmp_path / "store").complete
    plans[1].run(tmp_path / "store", progress=False)
    assert shards(tmp_path / "store") == before
    other = plans[1].run(tmp_path / "other", progress=False)
    assert list(shards(tmp_path / "other")) == list(before)  # their names are their keys
    one, two = plans[0].result(tmp_path / "store").load(0), other.load(0)
    equal_sums(one, two)
    a = resmc.simulate(resnet, networks=300, progress=False)
    b = resmc.simulate(general, networks=300, first_network=300, progress=False, displacement=False)
    assert resmc.merge(a, b).networks == 600


def test_two_networks_have_two_keys():
    """Negative control: what looks alike is not."""
    one, other = ResNet(8, 4, 0.8, 0.6), ResidualNetwork(8, 4, carry=0.8, scaling=DepthScaling(0.0, 0.6))
    assert spelling.canonical(one) != spelling.canonical(other)
    with pytest.raises(ValueError, match="different model do not merge"):
        resmc.merge(
            resmc.simulate(one, networks=100, progress=False),
            resmc.simulate(other, networks=100, first_network=100, progress=False, displacement=False),
        )


def test_a_data_set_of_a_residual_network_can_be_written(tmp_path):
    pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    sim = resmc.simulate(MODELS[0], networks=500, gradients=True, progress=False)
    data = sim.to_xarray()
    assert data.attrs["scaling_beta"] == 0.5
    np.testing.assert_array_equal(data["log_gradient_mean"], sim.log_ratio("gradient").mean.value)
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    by_layer = resmc.simulate(MODELS[1], networks=100, progress=False).to_xarray()
    assert by_layer.attrs["scaling"] == [0.1, 0.2, 0.0]
    assert "asymmetry" not in by_layer
