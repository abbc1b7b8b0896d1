"""Norms, `ResidualNetwork(norm=, norm_at=, eps=)`: kernels against the twin and autograd, fields, files and refusals.

Networks are compared one by one. What is known of their laws is in `test_norm_laws`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from commands import refusal, run
from test_residual_kernels import TOLERANCE, differences
from twins import assert_gpu_has_the_twins_networks, assert_segments_change_nothing, assert_twin_is_autograd, simulated

import resmc
from resmc import DepthScaling, ResidualNetwork, Sweep, Weights, theory
from resmc._system.build import VARIABLE
from resmc.models.normalisation import NORMS as ALL_NORMS
from resmc.models.normalisation import PLACES
from resmc.reference import simulate_residual
from resmc.sweep.point import Point

NORMS = {name: norm for name, norm in ALL_NORMS.items() if not norm.over_inputs}  # those of one input
INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = (0.5, -0.3, 0.0, 0.9, 0.4, 0.7)


# -- N itself ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NORMS)
def test_norms_are_torchs_and_their_jacobians_difference_quotients(name):
    torch = pytest.importorskip("torch")
    norm, x = NORMS[name], np.random.default_rng(1).standard_normal((3, 7)) + 2.0
    functions = {"layer": torch.nn.functional.layer_norm, "rms": torch.nn.functional.rms_norm}
    expected = functions[name](torch.tensor(x), (7,), eps=0.1).numpy()
    np.testing.assert_allclose(norm.value(x, 0.1), expected, rtol=1e-13)
    np.testing.assert_allclose(norm.torch(torch, torch.tensor(x), 0.1).numpy(), expected, rtol=1e-13)
    v, step = np.random.default_rng(2).standard_normal((3, 7)), 1e-6
    numeric = (norm.value(x + step * v, 0.1) - norm.value(x - step * v, 0.1)) / (2.0 * step)
    np.testing.assert_allclose(norm.pulled(x, v, 0.1), numeric, atol=1e-9)


@pytest.mark.parametrize("name", NORMS)
def test_a_vector_of_0_stays_0_without_an_eps(name):
    norm, zeros = NORMS[name], np.zeros((2, 3))
    for found in (norm.value(zeros, 0.0), norm.pulled(zeros, zeros + 1.0, 0.0)):
        np.testing.assert_array_equal(found, zeros)


# -- kernels, twin and torch ------------------------------------------------------------------------------------------

SPECIAL = {
    "explicit eps": ResidualNetwork(7, 6, "phi-in", "relu", 0.9, norm="layer", eps=0.3, n_out=2),
    "no eps": ResidualNetwork(7, 6, "v-phi-w", "tanh", 0.9, norm="rms", eps=0.0, bias=0.4, input_norm=40.0),
    "no skip": ResidualNetwork(9, 6, "phi-in", "tanh", 0.0, DepthScaling(0.0, 0.6), norm="layer", norm_at="post"),
    "dropout": ResidualNetwork(9, 6, "phi-in", "gelu", norm="layer", keep=0.6),
    "dropout behind a norm": ResidualNetwork(9, 6, "phi-in", "tanh", norm="rms", norm_at="sandwich", keep=0.6),
    "growing": ResidualNetwork(9, 40, "phi-in", "relu", 8.0, norm="layer", norm_at="sandwich"),
    "shrinking": ResidualNetwork(9, 12, "phi-out", "tanh", 0.25, norm="rms"),
    "inner width": ResidualNetwork(7, 6, "v-phi-w", "relu", norm="layer", norm_at="sandwich", inner_width=12),
    "narrow inner": ResidualNetwork(9, 6, "v-phi-w", "tanh", norm="rms", norm_at="post", inner_width=3, bias=0.3),
    "wide": ResidualNetwork(131, 6, "v-phi-w", "relu", 0.9, norm="layer", norm_at="branch"),
    "small post": ResidualNetwork(
        30, 20, "phi-in", "relu", scaling=DepthScaling(0.0, 1e-3), norm="rms", norm_at="post"
    ),
}
OTHER_WEIGHTS = {
    "uniform": ResidualNetwork(7, 6, "phi-in", "gelu", weights="uniform", input=(0.3, -2.0, 1.1), norm="layer"),
    "rademacher": ResidualNetwork(
        7, 6, "phi-out", "tanh", weights="rademacher", input=(0.3, -2.0), norm="layer", norm_at="post"
    ),
    "tied": ResidualNetwork(5, 6, "phi-in", "tanh", weights=Weights(depth="tied"), bias=0.2, norm="rms"),
    "smooth": ResidualNetwork(
        5, 6, "v-phi-w", "tanh", weights=Weights(depth=resmc.SmoothProcess(0.3)), norm="layer", norm_at="sandwich"
    ),
}


def blocks(norm: str, norm_at: str) -> dict[str, ResidualNetwork]:
    """One of every block, with the scaling inside too; the two norms have other activations, biases and widths."""
    first = norm == "layer"
    given = {"carry": 0.9, "norm": norm, "norm_at": norm_at, "n_out": 2, "input_norm": 1.7, "eps": 1e-3}
    return {
        "phi-in": ResidualNetwork(7, 6, "phi-in", "relu" if first else "gelu", bias=0.4 * first, **given),
        "signs": ResidualNetwork(8, 6, "phi-in", "balanced-half" if first else "balanced", scaling=BY_LAYER, **given),
        "phi-out": ResidualNetwork(6, 6, "phi-out", "tanh" if first else "relu", scaling=BY_LAYER, bias=0.3, **given),
        "inside": ResidualNetwork(7, 6, "phi-out", "leaky_relu" if first else "sigmoid", scaling=INSIDE, **given),
        "v-phi-w": ResidualNetwork(9, 6, "v-phi-w", "silu" if first else "balanced", bias=0.4 * first, **given),
    }


EVERYWHERE = [(norm, place) for norm in NORMS for place in PLACES]


@pytest.mark.parametrize(("norm", "place"), EVERYWHERE)
def test_the_dense_gradient_is_autograds(norm, place):
    for model in blocks(norm, place).values():
        check_autograd(model)


@pytest.mark.parametrize("name", [*SPECIAL, *OTHER_WEIGHTS])
def test_the_dense_gradient_is_autograds_elsewhere(name):
    check_autograd((SPECIAL | OTHER_WEIGHTS)[name])


def check_autograd(model: ResidualNetwork) -> None:
    assert_twin_is_autograd(replace(model, width=min(model.width, 9)), 1e-8, smallest=-30.0)


@pytest.mark.cpu
@pytest.mark.parametrize(("norm", "place"), EVERYWHERE)
def test_kernels_simulate_the_networks_of_the_reference(norm, place):
    for name, model in blocks(norm, place).items():
        for method in ("projected", "dense"):
            assert differences(model, method=method).max() < TOLERANCE, (name, method)


@pytest.mark.cpu
@pytest.mark.parametrize("name", SPECIAL)
def test_kernels_simulate_special_networks(name):
    for method in ("projected", "dense") if SPECIAL[name].width < 100 else ("projected",):
        assert differences(SPECIAL[name], method=method).max() < TOLERANCE, method


@pytest.mark.cpu
@pytest.mark.parametrize("name", OTHER_WEIGHTS)
def test_kernels_simulate_other_weights_and_those_that_are_handed_in(name):
    assert differences(OTHER_WEIGHTS[name], method="dense").max() < TOLERANCE


@pytest.mark.cpu
def test_every_instruction_set_has_the_norm(monkeypatch):
    for name, _ in resmc._native.instruction_sets():
        monkeypatch.setenv(VARIABLE, name)
        assert differences(blocks("layer", "sandwich")["phi-in"]).max() < TOLERANCE, name


@pytest.mark.cpu
def test_a_mean_that_is_large_beside_the_rest_costs_no_digits():
    """Of sigmoid's branch of phi-out the mean is 1/2; with a scale inside of 5e-4 it is 4000 times the rest."""
    model = ResidualNetwork(40, 4, "phi-out", "sigmoid", scaling=DepthScaling(0.0, 5e-4, inside=True), norm="layer")
    apart = np.abs(differences(replace(model, norm_at="branch", eps=0.0)))
    assert apart.max() < 5e-3  # float32 has 2^-24 of the mean left, 5e-4 of what is around it
    assert np.median(apart) < 1e-4


@pytest.mark.cpu
def test_the_comparison_sees_another_eps_and_a_gradient_without_the_norms_jacobian(monkeypatch):
    """A negative control: 1e-3 is not 2e-3, and N has a slope."""
    model = blocks("layer", "pre")["phi-in"]
    ours = simulated(model, 20, seed=3, gradients=True, keep_trajectories=20).trajectories
    other = simulate_residual(replace(model, eps=2e-3), 20, seed=3)
    assert np.abs(ours.log_norm - other.log_norm).max() > 5 * TOLERANCE
    monkeypatch.setattr(type(NORMS["layer"]), "pulled", lambda self, x, v, eps: v)
    without = simulate_residual(model, 20, seed=3)
    np.testing.assert_allclose(ours.log_norm, without.log_norm, atol=TOLERANCE)
    assert np.abs(ours.ratios["gradient"] - without.log_gradient).max() > 0.1


@pytest.mark.cpu
@pytest.mark.parametrize("place", PLACES)
def test_a_segment_that_is_computed_once_more_is_the_same(place, monkeypatch):
    model = ResidualNetwork(8, 40, "phi-in", "relu", norm="layer", norm_at=place)
    assert_segments_change_nothing(model, 30, monkeypatch)


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize(("norm", "place"), [("layer", "pre"), ("rms", "sandwich"), ("layer", "post")])
def test_a_gpu_has_the_networks_of_the_reference(gpu, norm, place, method):
    for name in ("signs", "phi-out", "v-phi-w"):
        model = replace(blocks(norm, place)[name], width=30, n_out=1)
        assert_gpu_has_the_twins_networks(model, method)


# -- fields, files, keys, commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"norm": "batch"},
            "norm='batch' is not allowed with one input: it has means over several inputs of one",
        ),
        ({"norm": "group"}, "norm='group' is not allowed: it must be one of"),
        ({"norm": "rms", "norm_at": "middle"}, "norm_at='middle' is not allowed: it must be one of"),
        ({"norm_at": "post"}, "norm_at='post' and eps=1e-05 are not allowed with norm=None"),
        ({"eps": 0.0}, "norm_at='pre' and eps=0.0 are not allowed with norm=None"),
        ({"norm": "rms", "eps": -1e-5}, "eps=-1e-05 is not allowed: it must be 0, or from 2^-60 to 1"),
        ({"norm": "rms", "eps": 2.0}, "eps=2.0 is not allowed: it must be 0, or from 2^-60 to 1"),
        ({"norm": "rms", "eps": float("nan")}, "eps=nan is not allowed: it must be a finite number"),
        ({"norm": "layer", "width": 1}, "width=1 is not allowed with norm='layer'"),
        ({"norm": "layer", "eps": 0.0, "weights": "rademacher"}, "eps=0.0 is not allowed with weights of +-1"),
        ({"norm": "rms", "carry": 2.0**21}, "carry=2097152.0 is out of range with norm='rms'"),
        ({"norm": "rms", "alpha": 0.5, "lam": 0.5}, "norm is not allowed beside alpha: norm is a field of a"),
    ],
)
def test_bad_norms_are_refused(given, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        resmc.simulate(**{"width": 4, "depth": 3, "networks": 2, "progress": False, **given})


def test_where_there_is_no_norm_a_sentence_says_so():
    from resmc.torch_module.ensemble import Ensemble

    model, x, y = ResidualNetwork(8, 10, "phi-in", "linear", norm="layer"), np.zeros((4, 2)), np.zeros((4, 2))
    free = replace(model, carry=0.0)
    for call, said in {
        lambda: resmc.train.fit(model, x, y): "in training: passes by hand have none",
        lambda: Ensemble([model], [0], features=2, outputs=2): "in training: passes by hand have none",
        lambda: model.to_torch(scheme="euler"): "scheme='euler' is not allowed with norm='layer'",
        lambda: resmc.heat_map(model, hurst=[0.5], beta=[0.5]): "in a heat map: ",
        lambda: resmc.quadratic_variation(model): "where one network has every depth: no limit in depth",
        lambda: resmc.limit(model): "norm='layer' has no limit in depth",
        lambda: theory.two_inputs(model, 0.5): "in two_inputs: ",
        lambda: theory.infinite_width.tangent_kernel(replace(model, norm="batch"), [[1.0]]): "in tangent_kernel: there",
        lambda: resmc.gram_chain(model, [[1.0]], 2): "in gram_chain: a norm is no function",
        lambda: resmc.moment_growth(model, 1.0, populations=32, size=8): "in populations that are resampled: ",
        lambda: theory.lyapunov_exponents(free, 2): "norm='layer' has no exact exponents",
        lambda: theory.kernel_moments(free): "norm='layer' has no exact second moment",
        lambda: theory.dropout_moments(model): "norm='layer' is not allowed in dropout_moments",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            call()


def test_descriptions_without_a_norm_are_what_they_were_and_others_come_back():
    plain = ResidualNetwork(6, 4)
    assert not {"norm", "norm_at", "eps"} & set(plain.to_dict())
    model = replace(plain, norm="rms", norm_at="post", eps=1e-3)
    assert ResidualNetwork.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    assert "rms norm (post, eps 0.001)" in model.title
    assert model.as_resnet is None
    assert not model.homogeneous
    point = Point(plain, 3, "projected", 8, False, 64)
    assert replace(point, model=model).key != point.key


@pytest.mark.cpu
def test_a_sweep_has_norms_as_dimensions(tmp_path):
    plan = Sweep(width=6, depth=4, norm=["layer", "rms"], norm_at=["pre", "post"], networks=64)
    assert plan.dims == ("norm", "norm_at")
    assert [model.norm_at for model in plan.models] == ["pre", "post"] * 2
    assert Sweep.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert "norm" in str(plan.run(tmp_path / "store", progress=False))


@pytest.mark.cpu
def test_the_command_has_a_norm(capsys):
    options = ("simulate", "--width", "6", "--depth", "4", "--norm", "layer", "--norm-at", "post", "--networks", "64")
    model = json.loads(run(capsys, *options, "--json"))["model"]
    assert (model["norm"], model["norm_at"], model["eps"]) == ("layer", "post", 1e-5)
    assert "norm='batch' is not allowed" in refusal(
        capsys, "simulate", "--width=6", "--depth=4", "--networks=9", "--norm=batch"
    )
