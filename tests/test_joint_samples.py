"""What `keep_samples` keeps of networks with several inputs: the twin's values, and what sums are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork, ResNet
from resmc.cli import main
from resmc.engine import joint, native
from resmc.models.joint_inputs import of_gram
from resmc.reference.joint import simulate_joint
from resmc.report import reproduce
from resmc.results import archive, storage
from resmc.results.joint_kept import JointSamples

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(native._native, "joint"), reason="the extension was built without several inputs"),
]
GRAM = [[4.0, 1.0, -1.0], [1.0, 1.0, 0.2], [-1.0, 0.2, 2.0]]
ASKED: dict[str, Any] = {"gram": GRAM, "tangent_kernel": True, "tangents": 2}
MODELS = {
    "ResNet": ResNet(12, 5, 0.6, 0.9),
    "tanh": ResidualNetwork(12, 4, "phi-out", "tanh", scaling=resmc.DepthScaling(0.5), bias=0.3, input_norm=2.0),
    "two matrices": ResidualNetwork(12, 4, "v-phi-w", "relu", scaling=resmc.DepthScaling(0.25, 1.5)),
    "dying": ResNet(3, 5, 0.0, 1.0),
}


def run(model: Any, networks: int = 40, keep_samples: int = 40, **asked: Any) -> resmc.Simulation:
    return resmc.simulate(model, networks=networks, keep_samples=keep_samples, progress=False, seed=5, **ASKED | asked)


def kept(sim: resmc.Simulation) -> JointSamples:
    assert sim.joint_samples is not None
    return sim.joint_samples


@pytest.mark.parametrize("name", ["ResNet", "tanh", "two matrices"])
@pytest.mark.parametrize("method", ["projected", "dense"])
def test_samples_are_the_twins_networks(name, method):
    sim = run(MODELS[name], 20, 20, method=method)
    found, general, inputs = kept(sim), sim.lowered.general, of_gram(GRAM)
    twin = simulate_joint(general, inputs.start, 20, seed=5, method=method, layers=None, backward=True, tangents=2)
    assert twin.gradient_gram is not None
    assert twin.gradient_unit is not None
    assert twin.kernel is not None
    # The columns' inner products, written out as those of states.
    n, unit, a, b = general.width, twin.unit[-1], *np.tril_indices(3)
    columns = np.zeros((20, 3, 3))
    columns[:, a, b] = columns[:, b, a] = (twin.gram[-1] * 2.0 ** (unit[a] + unit[b])).T
    states = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]])
    scale = np.exp(np.concatenate([np.zeros((1, 20)), twin.log_scale[-1]]).T)
    covariance = states @ columns @ states.T / n * scale[:, :, None] * scale[:, None]
    np.testing.assert_allclose(found.output_covariance, covariance, rtol=1e-3, atol=1e-4 * np.abs(covariance).max())
    np.testing.assert_allclose(found.log_norm, np.log(np.diagonal(covariance, axis1=1, axis2=2)), atol=1e-4)
    np.testing.assert_allclose(found.log_stretch, twin.log_stretch[-1].T, atol=1e-3)
    sine = np.log1p(-(found.cosine[:, 1, 0] ** 2))
    np.testing.assert_allclose(found.log_sine_squared[:, 1, 0], sine, atol=1e-3)
    u = twin.gradient_unit[0]
    whole = twin.kernel[0] + (twin.gradient_gram[0] * 2.0 ** (u[a] + u[b])) * np.array(GRAM)[a, b][:, None]
    whole += covariance[:, a, b].T
    scale = np.abs(whole).max()
    np.testing.assert_allclose(found.tangent_kernel[:, a, b].T, whole, rtol=5e-3, atol=1e-3 * scale)
    assert found.tangent_kernel[:, 0, 0].std() > 0.1 * found.tangent_kernel[:, 0, 0].mean()


@pytest.mark.parametrize("name", MODELS)
def test_all_networks_together_make_the_estimates(name):
    sim = run(MODELS[name])
    found, angles, tangents = kept(sim), sim.angles(), sim.lyapunov()
    assert found.networks.tolist() == list(range(40))
    with np.errstate(invalid="ignore"):
        alive = np.isfinite(found.log_norm)
    assert (alive.all()) == (name != "dying")
    np.testing.assert_allclose(np.nanmean(found.cosine, axis=0), angles.cosine.value[-1], rtol=1e-12, atol=1e-15)
    separated = np.isfinite(found.log_sine_squared).sum(axis=0)
    np.testing.assert_array_equal(separated, angles.separated[-1])
    np.testing.assert_allclose(
        np.nanmean(found.log_sine_squared[:, 1, 0]), angles.log_sine_squared.value[-1, 1, 0], rtol=1e-12
    )
    covariance = sim.output_covariance().by_layer.value[-1]
    np.testing.assert_allclose(found.output_covariance.mean(axis=0), covariance, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(found.tangent_kernel.mean(axis=0), sim.tangent_kernel().total.value, rtol=1e-11)
    stretched = np.isfinite(found.log_stretch)
    np.testing.assert_array_equal(stretched.sum(axis=0), tangents.networks[-1])
    mean = np.where(stretched, found.log_stretch, 0.0).sum(axis=0) / stretched.sum(axis=0)
    np.testing.assert_allclose(mean, tangents.by_layer.value[-1], rtol=1e-12)


def test_the_first_networks_are_kept_whatever_is_simulated_at_a_time(monkeypatch):
    whole = kept(run(MODELS["ResNet"], 300, 100, first_network=7))
    assert whole.networks.tolist() == list(range(7, 107))
    monkeypatch.setattr(joint, "MOST_BYTES", 1)  # 64 networks at a time
    parts = kept(run(MODELS["ResNet"], 300, 100, first_network=7, threads=2))
    for name, array in vars(whole).items():
        np.testing.assert_array_equal(array, getattr(parts, name))


def test_input_0_is_the_single_run_and_what_was_not_asked_for_is_not_kept():
    model = MODELS["ResNet"]
    sim = resmc.simulate(model, networks=20, seed=5, tangents=1, keep_samples=6, progress=False)
    alone = resmc.simulate(model, networks=20, seed=5, keep_samples=6, progress=False)
    found = kept(sim)
    np.testing.assert_allclose(found.log_norm[:, 0], alone.samples.log_norm, atol=1e-6)
    assert found.tangent_kernel.shape == (6, 0, 0)
    assert len(sim.samples.networks) == 0
    assert alone.joint_samples is None
    assert run(model, 4, 0).joint_samples is None


def test_files_merges_and_data_sets_have_them(tmp_path: Path):
    a, b = run(MODELS["tanh"], 20, 5), run(MODELS["tanh"], 20, 3, first_network=20)
    both = resmc.merge(b, a)
    assert kept(both).networks.tolist() == [0, 1, 2, 3, 4, 20, 21, 22]
    both.save(tmp_path / "both.resmc")
    again = resmc.load(tmp_path / "both.resmc")
    for name, array in vars(kept(both)).items():
        np.testing.assert_array_equal(array, getattr(kept(again), name))
    assert again.joint_samples.cosine.flags.writeable is False
    data = pytest.importorskip("xarray") and again.to_xarray()
    assert data["sample_cosine"].dims == ("network", "input", "input_")
    assert data["network"].values.tolist() == kept(both).networks.tolist()
    np.testing.assert_array_equal(data["sample_tangent_kernel"], kept(both).tangent_kernel)
    np.testing.assert_array_equal(data["sample_output_covariance"], kept(both).output_covariance)
    assert data["sample_log_stretch"].dims == ("network", "tangent")
    said = reproduce.of_simulation(both).python
    assert "keep_samples=5" in said
    assert "keep_samples=3" in said


def test_the_command_line_keeps_them(tmp_path: Path):
    path = tmp_path / "run.resmc"
    words = "simulate --width 6 --depth 3 --alpha 0.6 --lam 0.8 --networks 8 --angle 0.5 --keep-samples 4 --quiet"
    assert main([*words.split(), "--output", str(path)]) == 0
    assert kept(resmc.load(path)).cosine.shape == (4, 2, 2)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("networks", lambda x: x[::-1], "not increasing"),
        ("networks", lambda x: x + np.uint64(1000), "not in the ranges"),
        ("log_norm", lambda x: x[:, :1], "wrong shape"),
        ("log_norm", lambda x: x + np.inf, "no logarithm of a size"),
        ("log_stretch", lambda x: x * np.nan, "no logarithm of a size"),
        ("cosine", lambda x: x + 2.0, "angles that are none"),
        ("log_sine_squared", lambda x: x + 100.0, "angles that are none"),
    ],
)
def test_files_of_what_no_networks_have_are_refused(tmp_path: Path, name, change, words):
    sim = run(MODELS["ResNet"], 20, 5)
    parts = dict(vars(kept(sim)))
    parts[name] = change(np.array(parts[name]))
    object.__setattr__(sim, "joint_samples", JointSamples(**parts))
    (tmp_path / "bad.resmc").write_bytes(storage.to_bytes(sim))
    with pytest.raises(ValueError, match=words):
        resmc.load(tmp_path / "bad.resmc")


def test_a_file_may_not_say_more_than_there_are(tmp_path: Path, monkeypatch):
    sim = run(MODELS["ResNet"], 20, 5)
    put = archive.to_bytes
    monkeypatch.setattr(archive, "to_bytes", lambda said, arrays: put(said | {"joint_samples": 21}, arrays))
    (tmp_path / "bad.resmc").write_bytes(storage.to_bytes(sim))
    with pytest.raises(ValueError, match="joint_samples=21 is out of range"):
        resmc.load(tmp_path / "bad.resmc")


def test_samples_count_as_memory(monkeypatch):
    monkeypatch.setattr("resmc.engine.memory.available_memory", lambda: 50_000_000)
    with pytest.raises(ValueError, match="keep fewer samples"):
        run(MODELS["ResNet"], 10**6, 10**6)
