"""Tangent kernels of tanh against those that google/neural-tangents finds by quadrature, as recorded.

``python -m bench.neural_tangents_data`` has recorded them, and the closed forms that `test_infinite_width` is about.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from resmc.models.residual_network import ResidualNetwork
from resmc.theory.infinite_width import covariance, tangent_kernel

RECORDED = json.loads((Path(__file__).parent / "data" / "neural_tangents.json").read_text())
GRAM = np.array(RECORDED["inputs"]) @ np.array(RECORDED["inputs"]).T / len(RECORDED["inputs"][0])


@pytest.mark.parametrize("described", RECORDED["by_quadrature"], ids=lambda described: described["model"]["block"])
def test_kernels_of_tanh_are_those_of_neural_tangents(described):
    model = ResidualNetwork(**described["model"])
    np.testing.assert_allclose(covariance(model, GRAM)[-1], described["covariance"], rtol=1e-8)
    np.testing.assert_allclose(tangent_kernel(model, GRAM).total, described["tangent_kernel"], rtol=1e-8)


def test_other_networks_have_other_kernels():
    """A negative control: scales that are off by 1e-6."""
    for described in [*RECORDED["networks"], *RECORDED["by_quadrature"]]:
        fields = described["model"]
        model = ResidualNetwork(**{**fields, "scaling": [s * (1.0 + 1e-6) for s in fields["scaling"]]})
        total = tangent_kernel(model, GRAM).total
        assert not np.allclose(total, described["tangent_kernel"], rtol=1e-8, atol=0.0)
