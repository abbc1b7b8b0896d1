"""A sweep on a GPU, real or emulated, and with a CPU in one store."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import Sweep
from resmc.sweep.store import Store

HALF = math.sqrt(0.5)


def plan(**changes: Any) -> Sweep:
    given: dict[str, Any] = {
        "width": [64, 80], "depth": 8, "alpha": HALF, "lam": HALF, "networks": 3000, "shard_updates": 64 * 8 * 900,
    }  # fmt: skip
    return Sweep(**given | changes)


def test_a_gpu_fills_a_store_as_a_cpu_does(gpu, tmp_path):
    there = plan().run(tmp_path / "gpu", device="cuda", progress=False)
    here = plan().run(tmp_path / "cpu", device="cpu", progress=False)
    assert there.complete
    assert there.shards == here.shards
    assert not set(there.numerics[1:]) & set(here.numerics[1:])
    for name in ("log_norm.mean", "log_norm.variance", "asymmetry", "active_fraction"):
        np.testing.assert_allclose(there.estimates[name].value, here.estimates[name].value, atol=2e-4)


def test_a_gpu_goes_on_with_what_a_cpu_has_begun_and_the_result_names_both(gpu, tmp_path):
    class Enough(Exception):
        pass

    def stop(done: int, in_all: int) -> None:
        if done:
            raise Enough

    with pytest.raises(Enough):
        plan().run(tmp_path / "store", device="cpu", workers=1, progress=stop)
    begun = {networks for ranges in Store(tmp_path / "store").listing().by_key.values() for networks in ranges}
    assert begun
    result = plan().run(tmp_path / "store", device="cuda", progress=False)
    assert result.complete
    assert len(result.numerics) == 3
    whole = plan().run(tmp_path / "whole", device="cpu", progress=False)
    for index in range(2):
        both, alone = result.load(index), whole.load(index)
        assert both.statistics.networks.tolist() == alone.statistics.networks.tolist()
        np.testing.assert_allclose(both.log_norm_mean.value, alone.log_norm_mean.value, atol=1e-4)


def test_shards_for_a_gpu_are_larger():
    from resmc.sweep.cost import shard_sizes

    large = Sweep(width=200, depth=200, alpha=HALF, lam=HALF, networks=1e9)
    points, each = [large.point(0, large.networks)], [large.networks]
    assert shard_sizes(large, points, each, "cuda")[0] >= 64 * shard_sizes(large, points, each, "cpu")[0]


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(resmc.engine.cuda.device, "why_no_cuda", lambda: "there is none")
    with pytest.raises(resmc.DeviceError, match="there is none"):
        plan().run(tmp_path / "store", device="cuda", progress=False)
    assert not (tmp_path / "store").exists()
