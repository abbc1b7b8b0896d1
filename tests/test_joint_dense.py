"""Several inputs through explicit weights in the compiled kernels: input 0 as it is alone, and all as the twin has it.

The weights are those of one input's dense method, and the twin's are held against autograd (`test_joint_reference`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import AVAILABLE
from joint_kernels import START, DenseCase, differences

from resmc import DepthScaling, ResidualNetwork
from resmc.models.activations import ACTIVATIONS
from resmc.models.blocks import BLOCKS
from resmc.models.weight_law import WEIGHTS

pytestmark = pytest.mark.cpu

TOLERANCE = 1e-4
INSIDE = DepthScaling(0.5, -1.3, inside=True)
BY_LAYER = tuple(0.5 - 0.3 * (layer % 4) for layer in range(6))


def small(block: str, activation: str, **given: Any) -> ResidualNetwork:
    return ResidualNetwork(6 if activation == "balanced-half" else 7, 6, block, activation, 0.9, **given)


def scalings(block: str) -> list[Any]:
    return [BY_LAYER, INSIDE] if block == "phi-out" else [BY_LAYER]


def assert_twin(case: DenseCase, instructions: str | None = None) -> None:
    for name, found in differences(case.records(instructions=instructions), case.twins()).items():
        assert found.max(initial=0.0) < TOLERANCE, (name, case.model, found.max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("block", BLOCKS)
def test_columns_gradients_and_kernels_of_explicit_weights_are_those_of_the_twin(block, activation):
    for i, scaling in enumerate(scalings(block)):
        for bias in (0.0, 0.4):
            model = small(block, activation, scaling=scaling, bias=bias)
            assert_twin(DenseCase(model, START, 8, backward=True, tangents=1 + i, segment=4))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_masks_of_explicit_networks_are_those_of_the_twin(activation):
    for bias, keep in ((0.0, 0.6), (0.4, 0.3)):
        model = small("phi-in", activation, scaling=BY_LAYER, bias=bias, keep=keep)
        case = DenseCase(model, START, 8, backward=True, tangents=2, segment=4)
        assert_twin(case)
        joint, alone = case.sums_of_input_0(), case.sums_of_one_input()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


@pytest.mark.parametrize("block", BLOCKS)
def test_explicit_weights_of_every_law_are_those_of_the_twin(block):
    for law in WEIGHTS:
        for activation in ("relu", "tanh"):
            assert_twin(DenseCase(small(block, activation, weights=law, bias=0.2), START, 8, backward=True))
    other = DenseCase(small(block, "relu", weights="uniform"), START, 8, backward=True)
    found = differences(other.records(), replace(other, model=small(block, "relu")).twins())
    assert min(one.max() for name, one in found.items() if name != "stretch") > 100.0 * TOLERANCE  # negative control


@pytest.mark.parametrize("block", BLOCKS)
def test_input_0_of_explicit_weights_has_the_bits_that_it_has_alone(block):
    for activation, bias in (("relu", 0.0), ("balanced", 0.4), ("gelu", 0.4)):
        case = DenseCase(small(block, activation, scaling=scalings(block)[-1], bias=bias), START, 40, backward=True)
        joint, alone = case.sums_of_input_0(), case.sums_of_one_input()
        for name, value in alone.items():
            assert value.tobytes() == joint[name].tobytes(), name


@pytest.mark.parametrize("block", BLOCKS)
def test_independent_gradients_through_explicit_weights_are_those_of_the_twin(block):
    case = DenseCase(small(block, "relu", bias=0.4), START, 8, backward=True, independent=True)
    assert_twin(case)
    found = differences(case.records(), replace(case, independent=False).twins())
    assert found["kernel"].max() > 100.0 * TOLERANCE  # negative control


@pytest.mark.parametrize("instructions", AVAILABLE)
def test_every_instruction_set_makes_the_twin_s_explicit_networks(instructions):
    case = DenseCase(small("v-phi-w", "gelu", bias=0.1), START, 20, backward=True, tangents=1)
    assert_twin(case, instructions)


def test_sixteen_columns_of_explicit_weights_are_those_of_the_twin():
    start = np.tril(np.random.default_rng(5).normal(size=(12, 12))) / 4.0 + np.eye(12)
    start[0, 0] = 1.0
    assert_twin(DenseCase(ResidualNetwork(21, 4, "v-phi-w", "relu"), start, 4, tangents=4, backward=True))
