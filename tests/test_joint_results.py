"""Several inputs, tangent kernel and tangents through `resmc.simulate`: exact laws, limits and public numbers.

Statistical tests compare with bounds of z = 4.5, at fixed seeds: a false alarm has a probability of 7e-6 each.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import ResidualNetwork, ResNet, Simulation
from resmc.cli import main
from resmc.engine import joint
from resmc.report import reproduce
from resmc.theory.infinite_width import tangent_kernel

pytestmark = pytest.mark.cpu
Z = 4.5
SPELLED = [
    ResNet(12, 5, 0.6, 0.8),
    ResNet(12, 5, 0.6, 0.8, "balanced", input_norm=3.0),
    ResidualNetwork(12, 4, "phi-in", "gelu", bias=0.3),
    ResidualNetwork(12, 4, "phi-out", "tanh", scaling=resmc.DepthScaling(0.5, 2.0, inside=True), input_norm=0.7),
    ResidualNetwork(12, 4, "v-phi-w", "relu", scaling=resmc.DepthScaling(0.25)),
]


def run(model: Any, networks: int = 64, **asked: Any) -> Simulation:
    return resmc.simulate(model, networks=networks, progress=False, **{"seed": 5, **asked})


def same_sums(a: Simulation, b: Simulation) -> None:
    x, y = a.statistics.by_name(), b.statistics.by_name()
    for name in x:
        assert x[name].tobytes() == y[name].tobytes(), name


# ---------------------------------------------------------------------------------------------- the usual analyses


@pytest.mark.parametrize("model", SPELLED, ids=lambda m: type(m).__name__)
def test_all_usual_results_are_those_of_input_0(model: Any):
    alone = run(model, displacement=True, keep_trajectories=3)
    several = run(model, angle=0.5, keep_trajectories=3)
    same_sums(several, alone)
    assert several.followed == alone.followed
    np.testing.assert_allclose(several.trajectories.log_norm, alone.trajectories.log_norm, atol=1e-4)


@pytest.mark.parametrize(("asked", "method"), [({}, "projected"), ({"angle": 0.5}, "dense")])
@pytest.mark.parametrize("model", SPELLED, ids=lambda m: type(m).__name__)
def test_gradients_are_those_of_one_input_alone(model: Any, asked: dict[str, Any], method: str):
    """Projected, others leave them their law alone: what a matrix does to a gradient is known where it met an input."""
    one = run(model, gradients=True, method=method)
    found = run(model, tangent_kernel=True, method=method, **asked)
    assert found.followed == one.followed
    for name in ("gradient.mean", "gradient_displacement.mean"):
        np.testing.assert_allclose(found.estimate(name).value, one.estimate(name).value, atol=1e-3)


@pytest.mark.parametrize("asked", [{"angle": 0.5}, {"gram": np.eye(3)}, {"tangents": 2}, {"tangent_kernel": True}])
def test_a_simulation_says_what_it_holds_and_refuses_what_it_does_not(asked: dict[str, Any]):
    sim = run(SPELLED[0], **asked)
    assert sim.joint is not None
    count = sim.joint.recording.count
    assert f"inputs={count}" in repr(sim)
    assert sim.gram.shape == (count, count)
    summary = str(sim.summary())
    for ask, there in (
        (sim.angles, count > 1),
        (sim.output_covariance, count > 1),
        (sim.joint_log_norms, count > 1),
        (sim.tangent_kernel, "tangent_kernel" in asked),
        (sim.lyapunov, "tangents" in asked),
    ):
        if there:
            found = ask()
            assert found._table().records()
            assert type(found).__name__ in repr(found)
        else:
            with pytest.raises(ValueError, match=r"needs (several inputs|simulate)"):
                ask()
    assert (f"{count} inputs" in summary) == (count > 1)
    assert ("(tangent_kernel())" in summary) == ("tangent_kernel" in asked)
    assert ("(lyapunov())" in summary) == ("tangents" in asked)
    data = sim.to_xarray()
    assert data.gram.dims == ("input", "input_")
    assert ("cosine" in data) == (count > 1)
    assert ("tangent_kernel_residual_stderr" in data) == ("tangent_kernel" in asked)
    assert ("lyapunov_exponent" in data) == ("tangents" in asked)
    plain = run(SPELLED[0])
    with pytest.raises(ValueError, match="simulate"):
        plain.angles()


def test_parts_and_threads_and_sizes_make_the_same_sums(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, Any] = {"angle": 0.5, "tangent_kernel": True, "tangents": 1}
    whole = run(SPELLED[0], 512, threads=1, **asked)
    assert whole.joint is not None
    same = run(SPELLED[0], 512, threads=3, **asked)
    assert same.joint is not None
    for name, array in whole.joint.arrays().items():
        assert same.joint.arrays()[name].tobytes() == array.tobytes(), name
    merged = resmc.merge(run(SPELLED[0], 256, **asked), run(SPELLED[0], 256, first_network=256, **asked))
    assert merged.joint is not None
    monkeypatch.setattr(joint, "MOST_BYTES", 1 << 12)
    cut = run(SPELLED[0], 512, **asked)
    assert cut.joint is not None
    for other in (merged.joint, cut.joint):
        for name, array in whole.joint.arrays().items():
            found, expected = other.arrays()[name].sum(axis=0), array.sum(axis=0)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-9, err_msg=name)
    same_sums(cut, whole)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"angle": 1e-9, "tangents": 2}, "angle=1e-09"),
        ({"gram": [[4.0, 1.0], [1.0, 4.0]], "tangent_kernel": True}, "gram=[[4.0, 1.0], [1.0, 4.0]]"),
        ({"inputs": [[1.0, 2.0, 0.5], [1.0, 2.0, 0.6]]}, "gram=resmc.load('run.resmc').joint.recording.inputs"),
        ({"tangent_kernel": True, "independent_backward": True}, "independent_backward=True"),
    ],
)
def test_a_page_says_how_to_get_it_again_in_the_same_bits(
    asked: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    sim = run(SPELLED[0], **asked)
    sim.save("run.resmc")
    again = reproduce.of_simulation(sim)
    assert said in again.python
    exec(again.python)
    assert Path("again.resmc").read_bytes() == Path("run.resmc").read_bytes()
    if "load" not in said:
        assert main(shlex.split(again.shell.replace("\\\n", "").partition("resmc ")[2])) == 0
        assert Path("again.resmc").read_bytes() == Path("run.resmc").read_bytes()


# -------------------------------------------------------------------------------------------------------- angles


def test_identical_inputs_stay_so_and_opposite_ones_do_in_linear_networks():
    found = run(SPELLED[0], gram=[[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]).angles()
    np.testing.assert_allclose(found.cosine.value[:, 0, 1], 1.0)
    np.testing.assert_array_equal(found.separated[:, 0, 1], 0)
    assert np.isnan(found.log_sine_squared.value[:, 0, 1]).all()
    assert found.cosine.value[0, 0, 2] == pytest.approx(-1.0)
    assert found.cosine.value[-1, 0, 2] > -0.9
    linear = ResidualNetwork(12, 4, "v-phi-w", "linear")
    there = run(linear, gram=[[4.0, -2.0], [-2.0, 1.0]])
    np.testing.assert_allclose(there.angles().cosine.value[:, 0, 1], -1.0, atol=1e-5)
    norms = there.joint_log_norms()
    np.testing.assert_allclose(norms.mean.value[:, 0] - norms.mean.value[:, 1], 2.0 * math.log(2.0), atol=1e-4)


def test_narrow_networks_without_a_skip_die_and_stay_out_of_means():
    sim = run(ResNet(2, 8, 0.0, 1.0), 400, angle=2.0)
    found, norms = sim.angles(), sim.joint_log_norms()
    np.testing.assert_array_equal(found.alive[:, 0, 0], sim.alive)
    assert sim.dead[-1] > 100
    assert (found.alive[:, 0, 1] <= np.minimum(found.alive[:, 0, 0], found.alive[:, 1, 1])).all()
    assert (np.diff(found.alive[:, 1, 1]) <= 0).all()
    assert np.isfinite(norms.mean.value).all()
    assert np.isfinite(found.cosine.value).all()
    np.testing.assert_allclose(norms.mean.value[:, 0], sim.log_norm_mean.value, atol=1e-4)


@pytest.mark.parametrize("angle", [1e-6, 1e-9])
def test_small_angles_follow_their_exact_law(angle: float):
    """ln sin^2 moves by log(chi^2_{K-1}/chi^2_K) in every layer of a network without a skip."""
    found = run(ResNet(30, 6, 0.0, 1.0), 1024, angle=angle).angles()
    away = (found.log_sine_squared.value - found.small_angle)[:, 0, 1]
    assert np.abs(away / found.log_sine_squared.stderr[:, 0, 1]).max() < Z
    # The negative control: the limit at infinite width, where a small angle shrinks not at all, is far away.
    far = (found.log_sine_squared.value - found.infinite_width.log_sine_squared)[:, 0, 1]
    assert np.abs(far / found.log_sine_squared.stderr[:, 0, 1]).max() > 10.0


@pytest.mark.parametrize("model", SPELLED[2:], ids=lambda m: m.block)
def test_wide_networks_have_the_angles_of_infinite_width(model: Any):
    wide = ResidualNetwork.from_dict({**model.to_dict(), "width": 1024})
    found = run(wide, 64, gram=[[0.49, 0.2], [0.2, 0.6]] if model.input_norm == 0.7 else [[1.0, 0.3], [0.3, 0.8]])
    angles, outputs = found.angles(), found.output_covariance()
    np.testing.assert_allclose(angles.cosine.value, angles.infinite_width.cosine, atol=0.01)
    np.testing.assert_allclose(outputs.covariance.value, outputs.infinite_width[-1], rtol=0.05)
    assert (np.abs(angles.cosine_variance.value) < 10.0 / 1024).all()


def test_linear_networks_have_exact_covariances_and_kernels():
    model = ResidualNetwork(6, 3, "v-phi-w", "linear", scaling=resmc.DepthScaling(0.5))
    sim = run(model, 4000, gram=[[1.0, 0.4], [0.4, 2.0]], tangent_kernel=True)
    outputs, kernel = sim.output_covariance(), sim.tangent_kernel()
    assert outputs.reliable[0].all()
    for found, exact in ((outputs.by_layer, outputs.exact), (kernel.total, kernel.exact)):
        z = found.z_score(exact)
        assert np.isfinite(exact).all()
        assert np.nanmax(np.abs(z)) < Z


# ---------------------------------------------------------------------------------------------- the tangent kernel


def fully_connected(width: int, networks: int, seed: int = 5, **asked: Any) -> Simulation:
    """Public numbers: three hidden layers of relu, weights N(0, 2), inputs in R^2, all four matrices trained.

    Our third residual layer is their readout: in the mean over the readout's rows, whose squares have the mean 1, its
    kernel is theirs. Their weights have twice the variance, and so half the gradients' products.
    """
    x = np.array([[-0.9895229, -0.5992492], [-0.1787748, 2.2536829]])
    model = ResNet(width, 3, 0.0, 1.0)
    return resmc.simulate(
        model, networks=networks, gram=x @ x.T, tangent_kernel=True, seed=seed, layers=[0], progress=False, **asked
    )


def public_kernel(sim: Simulation) -> Any:
    found = sim.tangent_kernel()
    return 0.5 * (found.residual + found.first_layer).value, found


def test_the_public_table_of_finite_width_kernels_comes_out():
    """An independent reproduction of arXiv 2508.11522 with 5e6 networks has 2.6776 +- .0014 and -6.42%, -1.34%."""
    x = np.array([[-0.9895229, -0.5992492], [-0.1787748, 2.2536829]])
    limit = tangent_kernel(ResNet(20, 3, 0.0, 1.0), x @ x.T)
    theirs = 0.5 * (limit.residual + limit.first_layer)
    assert theirs[0, 0] == pytest.approx(2.6765, abs=1e-4)
    for width, shift, networks in ((20, -0.0642, 60_000), (80, -0.0134, 20_000)):
        kernel, found = public_kernel(fully_connected(width, networks))
        error = 0.5 * (found.residual.stderr + found.first_layer.stderr)
        assert abs(kernel[0, 0] - 2.6765) < Z * error[0, 0]
        assert abs(kernel[0, 1] - (1.0 + shift) * theirs[0, 1]) < Z * error[0, 1]


def test_the_diagonal_of_fully_connected_networks_is_that_of_infinite_width():
    found = run(ResNet(20, 3, 0.0, 1.0), 2000, tangent_kernel=True).tangent_kernel()
    assert abs(found.total.z_score(found.exact)[0, 0]) < Z
    assert found.total.value == pytest.approx((found.residual + found.readout + found.first_layer).value, rel=1e-9)
    assert found.by_layer.value.sum(axis=0) == pytest.approx(found.residual.value, rel=1e-9)
    np.testing.assert_allclose(found.infinite_width.by_layer[:, 0, 0], 2.0 * 0.5)
    assert 1.3 < float(found.second_moment_ratio[0, 0]) < 2.0


def test_gradients_through_matrices_of_their_own_have_the_same_mean_and_another_law():
    tied, cut = (
        run(ResNet(8, 6, 0.6, 0.8), 2000, tangent_kernel=True, independent_backward=b).tangent_kernel()
        for b in (False, True)
    )
    assert cut.independent_backward
    assert not tied.independent_backward
    assert "matrices of their own" in str(cut._table())
    assert abs(float(cut.total.value[0, 0]) - float(tied.total.value[0, 0])) > 1e-6


# -------------------------------------------------------------------------------------------------------- tangents


def test_lyapunov_exponents_of_fully_connected_networks_are_exact():
    found = run(ResNet(40, 20, 0.0, 1.0), 400, tangents=4, layers=[0]).lyapunov()
    np.testing.assert_allclose(found.exact, [-0.0326, -0.0605, -0.0901, -0.1216], atol=1e-4)
    assert np.abs(found.exponents.z_score(found.exact)).max() < Z
    assert (np.abs(found.exponents.z_score(found.exact[::-1])) > Z).any()
    np.testing.assert_array_equal(found.by_layer.value[0], 0.0)


def test_exponents_are_those_of_the_network_as_it_was_spelled():
    a, b = (run(ResNet(12, 5, 0.6 * c, 0.8 * c), tangents=3).lyapunov().exponents.value for c in (1.0, 3.0))
    np.testing.assert_allclose(b - a, math.log(3.0), atol=1e-6)


# ----------------------------------------------------------------------------------------------- dense = projected


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("model", SPELLED[1:], ids=lambda m: type(m).__name__)
def test_both_methods_have_one_law(model: Any, m: int):
    """Means of angles, norms and kernels; a negative control is that of other inputs."""
    small = type(model)(**{**{f: getattr(model, f) for f in model.__dataclass_fields__}, "width": 6, "depth": 3})
    size = small.inputs.size**2
    gram = size * (0.3 + 0.7 * np.eye(m))
    count = 4000
    one, two, other = (
        run(small, count, gram=g, tangent_kernel=True, tangents=1, method=method, seed=seed)
        for g, method, seed in (
            (gram, "projected", 1),
            (gram, "dense", 2),
            (size * (0.9 + 0.1 * np.eye(m)), "dense", 3),
        )
    )

    def away(a: Simulation, b: Simulation) -> float:
        i, j = np.tril_indices(m, -1)
        largest = 0.0
        for ask in (
            lambda s: s.angles().cosine[:, i, j],
            lambda s: s.angles().log_sine_squared[:, i, j],
            lambda s: s.joint_log_norms().mean,
            lambda s: s.joint_log_norms().covariance[:, i, j],
            lambda s: s.tangent_kernel().residual,
            lambda s: s.lyapunov().by_layer[1:],
        ):
            x, y = ask(a), ask(b)
            with np.errstate(invalid="ignore", divide="ignore"):
                z = np.abs(x.value - y.value) / np.hypot(x.stderr, y.stderr)
            largest = max(largest, float(np.nanmax(z, initial=0.0)))
        return largest

    assert away(one, two) < Z
    assert away(one, other) > Z
