"""Infinite-width kernels against google/neural-tangents's, which ``python -m bench.neural_tangents_data`` records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from resmc.models.residual_network import ResidualNetwork
from resmc.models.scaling import DepthScaling
from resmc.theory.infinite_width import covariance, tangent_kernel

RECORDED = json.loads((Path(__file__).parent / "data" / "neural_tangents.json").read_text())
GRAM = np.array(RECORDED["inputs"]) @ np.array(RECORDED["inputs"]).T / len(RECORDED["inputs"][0])


def model_of(case: dict) -> ResidualNetwork:
    return ResidualNetwork(
        8, case["depth"], case["block"], case["activation"], case["carry"], DepthScaling(0.0, case["scale"])
    )


@pytest.mark.parametrize(
    "case", RECORDED["cases"], ids=lambda case: f"{case['block']}-{case['activation']}-carry{case['carry']:g}"
)
def test_covariances_and_tangent_kernels_are_those_of_neural_tangents(case):
    model = model_of(case)
    np.testing.assert_allclose(covariance(model, GRAM)[-1], case["covariance"], rtol=1e-5)
    np.testing.assert_allclose(tangent_kernel(model, GRAM).total, case["tangent_kernel"], rtol=1e-5)


def test_other_networks_have_other_kernels():
    """A negative control: a scale that is off by 1e-4."""
    for case in RECORDED["cases"]:
        other = model_of(case | {"scale": case["scale"] * 1.0001})
        assert not np.allclose(tangent_kernel(other, GRAM).total, case["tangent_kernel"], rtol=1e-5)
