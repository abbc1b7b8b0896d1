"""Layers of networks without norm and dropout have passes of their own on CPUs: in every bit those of all networks.

Dropout that keeps all words but one in 2^32 multiplies by 1 and draws masks without a zero: such networks are those
without dropout, and their layers are made by the general passes.
"""

from __future__ import annotations

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork

pytestmark = pytest.mark.cpu

NEARLY_ALL = 1.0 - 2.0**-32


def finals(width: int, depth: int, activation: str, keep: float, networks: int = 64) -> dict[str, np.ndarray]:
    model = ResidualNetwork(width, depth, "phi-in", activation, scaling=DepthScaling(0.5), bias=0.25, keep=keep)
    sim = resmc.simulate(
        model, networks=networks, gradients=True, threads=1, keep_samples=networks, correlations=False, progress=False
    )
    found = {"log_norm": sim.samples.log_norm, "output": sim.samples.output}
    return found | {name: sim.samples.ratios[name] for name in ("displacement", "gradient", "gradient_displacement")}


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "gelu", "balanced"])
@pytest.mark.parametrize(("width", "depth"), [(64, 9), (67, 40), (261, 7), (3, 30)])
def test_plain_layers_are_the_general_ones_in_every_bit(width, depth, activation):
    plain, general = (finals(width, depth, activation, keep) for keep in (1.0, NEARLY_ALL))
    for name, values in plain.items():
        np.testing.assert_array_equal(values, general[name], err_msg=name)


def test_normals_that_are_too_many_to_keep_are_drawn_again_in_every_bit():
    plain, general = (finals(16385, 16, "relu", keep, networks=32) for keep in (1.0, NEARLY_ALL))
    for name, values in plain.items():
        np.testing.assert_array_equal(values, general[name], err_msg=name)


def test_a_mask_with_zeros_is_seen():
    """A negative control: one neuron in a thousand is dropped."""
    plain, other = (finals(64, 9, "relu", keep) for keep in (1.0, 0.999))
    assert not any(np.array_equal(values, other[name]) for name, values in plain.items())
