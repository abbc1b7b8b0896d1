"""Networks one by one: a GPU against the twin, the twin against autograd, segments that are computed once more.

For tests of a capability that all kernels have: `test_dropout`, `test_inner_width`, `test_norms`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_residual_kernels import TOLERANCE
from test_residual_reference import RECORDS, autograd

import resmc
from resmc import ResidualNetwork, ResNet
from resmc.engine import lowering
from resmc.reference import simulate_residual


def simulated(model: ResidualNetwork | ResNet, networks: int, **settings: Any) -> resmc.Simulation:
    """Simulate on one thread, without a bar of progress."""
    return resmc.simulate(model, networks=networks, **{"progress": False, "threads": 1, **settings})


def assert_gpu_has_the_twins_networks(model: ResidualNetwork, method: str) -> None:
    """Compare paths of 40 networks, forwards and backwards."""
    ours = simulated(model, 40, seed=5, method=method, gradients=True, device="cuda", keep_trajectories=40).trajectories
    twin = simulate_residual(model, 40, seed=5, method=method)
    np.testing.assert_allclose(ours.log_norm, twin.log_norm, atol=TOLERANCE)
    np.testing.assert_allclose(ours.ratios["gradient"], twin.log_gradient, atol=TOLERANCE)
    np.testing.assert_allclose(ours.ratios["displacement"], twin.log_displacement, atol=TOLERANCE)


def assert_twin_is_autograd(model: ResidualNetwork, tolerance: float = 1e-9, smallest: float = -math.inf) -> None:
    """Compare all records of two networks, but for displacements up to ``smallest``, which are rounding alone."""
    paths = simulate_residual(model, 2, seed=71, method="dense")
    for row in range(2):
        found = autograd(model, 71, row)
        for record in RECORDS:
            ours = getattr(paths, record)[row]
            same = ~np.isneginf(ours)  # a difference of states has rounding where the sum of steps is 0
            if record == "log_displacement":
                same &= ~(ours <= smallest)
            np.testing.assert_allclose(
                ours[same], found[record][same], rtol=tolerance, atol=tolerance, err_msg=f"{record} {model}"
            )


def assert_segments_change_nothing(model: ResidualNetwork, networks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare paths of a network of 40 layers with those that are computed once more from every seventh."""
    settings = {"seed": 4, "gradients": True, "keep_trajectories": networks}
    whole = simulated(model, networks, **settings).trajectories.ratios
    with monkeypatch.context() as patch:
        patch.setattr(lowering, "SEGMENT_BYTES", 1)
        assert lowering.lower(model).in_own_units(True).segment == 7
        for name, path in simulated(model, networks, **settings).trajectories.ratios.items():
            np.testing.assert_array_equal(path, whole[name])
