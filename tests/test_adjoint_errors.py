"""Measured errors of gradients without stored states: how they fall with the depth, and what the table says."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from resmc import DepthScaling, ResidualNetwork, ResNet, SmoothProcess, Weights, ode

torch = pytest.importorskip("torch")
from resmc.torch_module.threads import threads_for  # noqa: E402

TANH = ResidualNetwork(8, 2, "v-phi-w", "tanh", scaling=DepthScaling(1.0), weights=Weights(depth=SmoothProcess(0.3)))


@pytest.fixture(scope="module")
def smooth() -> ode.AdjointErrors:
    return ode.adjoint_errors(TANH, (8, 64, 128, 256), networks=32, seed=3, batch=4, progress=False)


def test_errors_of_smooth_weights_fall_like_1_over_n_and_of_heun_like_1_over_n_cubed(smooth):
    """Within .05 of the orders and what 32 networks leave; without the cancellation Heun's would be 2."""
    for scheme, order in (("euler", 1.0), ("heun", 3.0)):
        for found in (smooth.gradient_slope(scheme, "float64"), smooth.inversion_slope(scheme, "float64")):
            assert int(found.n) == 32
            assert float(found) == pytest.approx(-order, abs=0.05 + 4.0 * float(found.stderr))
            assert float(found.stderr) < 0.02


def test_float32_has_the_errors_of_float64_above_rounding(smooth):
    euler = [smooth.gradient[smooth._at("euler", dtype)] for dtype in ("float32", "float64")]
    np.testing.assert_allclose(euler[0], euler[1], rtol=0.02)
    assert smooth.gradient[smooth._at("heun", "float32")][-1].max() < 1e-5
    with pytest.raises(ValueError, match="dtype='float16' is not allowed"):
        smooth.gradient_slope("euler", "float16")


def test_errors_are_those_of_modules():
    result = ode.adjoint_errors(TANH, (4, 16), schemes="heun", dtypes="float64", networks=2, seed=5, batch=3)
    for network in range(2):
        x = np.random.Generator(np.random.Philox(key=[5, network])).standard_normal((3, 8))
        found = []
        for backward in ("autograd", "adjoint"):
            model = replace(TANH, depth=16)
            module = model.to_torch(5, network, scheme="heun", backward=backward, tolerance=1.0)
            (0.5 * module.states(torch.from_numpy(x))[-1].square().sum()).backward()
            found.append(torch.cat([module.V.grad.flatten(), module.W.grad.flatten()]))
        error = float((found[1] - found[0]).norm() / found[0].norm())
        assert result.gradient[0, 0, 1, network] == pytest.approx(error, rel=1e-6)


def test_independent_layers_scatter_and_nothing_is_refused():
    """Falling more slowly than N^{-1/2}, as rectifiers at states that are N^{-1/2} off do."""
    model = ResidualNetwork(8, 2, "v-phi-w", "relu", scaling=DepthScaling(0.5, 2.0))
    result = ode.adjoint_errors(model, (2, 64, 128), networks=32, batch=2, dtypes="float64")
    assert (result.gradient[:, :, 0] > 0.1).mean() > 0.8
    slope = result.gradient_slope("euler", "float64")
    assert -0.5 - 4.0 * float(slope.stderr) < float(slope) < 0.0 + 4.0 * float(slope.stderr)


def test_the_table_has_both_errors_by_depth_and_the_slopes_below_it(smooth):
    text = str(smooth.summary())
    assert "gradient without stored states: v-phi-w tanh  width 8" in text
    assert "the same 32 networks at every depth, seed 3, 4 inputs each" in text
    assert text.count("gradient error ~ N^s, s = ") == 4
    assert "heun, float32: gradient error ~ N^s, s = no value: too few depths have errors above rounding" in text
    records = smooth.summary().records()
    assert [row["depth"] for row in records] == [8, 64, 128, 256]
    assert records[0]["gradient_euler_float64"]["value"] == pytest.approx(
        float(np.log(smooth.gradient[0, 1, 0]).mean())
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": ResNet(4, 3, 1.0, 0.5)}, "it must be a resmc.ResidualNetwork"),
        ({"model": ResidualNetwork(4, 3, scaling=(0.1, 0.1, 0.1))}, "a scaling by layer is not allowed"),
        ({"model": ResidualNetwork(4, 3, carry=0.5)}, "scheme='euler' is not allowed with carry=0.5"),
        ({"depths": (1, 4)}, "depths=1 is out of range: it must be an integer from 2 to 65536"),
        ({"depths": (4,)}, "depths="),
        ({"schemes": "midpoint"}, "schemes='midpoint' is not allowed: it must be 'euler', 'heun' or both"),
        ({"dtypes": ()}, "dtypes=.* is not allowed: it must be 'float32', 'float64' or both"),
        ({"networks": 0}, "networks=0 is out of range"),
        ({"batch": 0}, "batch=0 is out of range"),
        ({"depths": (4, 65536), "batch": 2**20}, "a network needs .* GB of memory"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(given, words):
    with pytest.raises(ValueError, match=words):
        ode.adjoint_errors(**({"model": TANH, "depths": (2, 4), "networks": 1} | given))


@pytest.mark.parametrize(("width", "threads"), [(64, 1), (65, 2)])
def test_narrow_networks_get_one_thread_and_torch_has_its_own_again_afterwards(width, threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with suppress(RuntimeError), threads_for(width):
            assert torch.get_num_threads() == threads
            raise RuntimeError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
