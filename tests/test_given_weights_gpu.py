"""Columns with weights that are handed in on a GPU, emulated and, where there is one, real."""

from __future__ import annotations

import numpy as np
import pytest
from handed import BY_LAYER, INSIDE, SEED, TOLERANCE, differences, follow, handed, same_bits, small

import resmc
from resmc import DepthScaling, FractionalNoise, ResidualNetwork, Weights
from resmc.engine import column_plan
from resmc.engine.cuda import Accelerator
from resmc.engine.cuda.columns import Device
from resmc.engine.lowering import lower
from resmc.models.blocks import BLOCKS

pytestmark = pytest.mark.cpu


@pytest.fixture
def device(gpu: Accelerator) -> Device:
    return Device(gpu)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ["relu", "balanced", "gelu"])
def test_a_gpu_follows_the_columns_of_the_reference(block, activation, device):
    for scaling, bias in ((INSIDE if block == "phi-out" else BY_LAYER, 0.0), (DepthScaling(0.5), 0.4)):
        model = small(block, activation, scaling=scaling, bias=bias)
        assert differences(model, machine=device) < TOLERANCE, model


@pytest.mark.parametrize("width", [1, 5, 40, 131])
def test_a_gpu_follows_columns_of_any_width(width, device):
    model = ResidualNetwork(width, 4, "v-phi-w", "tanh", bias=0.3)
    bound = TOLERANCE if width > 3 else 10 * TOLERANCE
    factors = np.linspace(0.3, 1.2, 11).astype(np.float32)
    assert differences(model, factors=factors, machine=device) < bound


@pytest.mark.parametrize("block", BLOCKS)
def test_chunks_of_layers_change_no_bit_on_a_gpu(block, device, monkeypatch):
    model = ResidualNetwork(7, 13, block, "tanh", bias=0.2, scaling=DepthScaling(0.5))
    given, h0, factors = handed(model), np.random.default_rng(2).standard_normal((2, 7, 9)), np.linspace(0.1, 2.0, 9)
    whole = follow(model, factors, given, 2, h0, machine=device)
    layer = column_plan.layer_bytes(lower(model).in_own_units(True))
    for held, kept in ((4 * layer, 1 << 28), (5 * layer, 1), (1 << 28, 1)):
        monkeypatch.setattr(column_plan, "WEIGHTS_HELD", held)
        monkeypatch.setattr(column_plan, "STATES_HELD", kept)
        same_bits(follow(model, factors, given, 2, h0, machine=device), whole)


@pytest.mark.parametrize("weights", [Weights("rademacher", "tied"), Weights(depth=FractionalNoise(0.7))], ids=str)
def test_a_gpu_sums_the_networks_that_a_cpu_does(weights, gpu):
    model = ResidualNetwork(8, 6, "phi-in", "relu", bias=0.1, n_out=2, weights=weights)
    settings = {
        "networks": 70, "seed": SEED, "first_network": 2**32 - 30, "gradients": True, "keep_samples": 40,
        "keep_trajectories": 20, "layers": [0, 3, 6], "progress": False,
    }  # fmt: skip
    ours, theirs = (resmc.simulate(model, device=device, **settings) for device in ("cuda", "cpu"))
    assert ours.numerics != theirs.numerics
    for a, b in (
        (ours.samples.output, theirs.samples.output),
        (ours.trajectories.log_norm, theirs.trajectories.log_norm),
        (ours.trajectories.asymmetry, theirs.trajectories.asymmetry),
        (ours.trajectories.ratios["gradient"], theirs.trajectories.ratios["gradient"]),
    ):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_a_stop_ends_what_a_gpu_does(device):
    model = ResidualNetwork(24, 40, "v-phi-w", "tanh")

    class Enough(Exception):
        pass

    def stop(fraction: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        follow(model, np.ones(5), handed(model), 2, None, report=stop, machine=device)
