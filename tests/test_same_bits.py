"""The numbers of a fixed list of simulations are, bit for bit, those on record; files of version 0.1 hold theirs."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import bits
import numpy as np
import pytest
from conftest import AVAILABLE

import resmc
from resmc import Sweep
from resmc._system.build import VARIABLE
from resmc.results import storage

RECORD = json.loads(bits.RECORD.read_text())
OLD = Path(__file__).parent / "data" / "version-0.1"
EXPECTED = json.loads((OLD / "expected.json").read_text())
FILES = ("resnet", "dying", "without-correlations", "gradients", "softplus", "uniform", "respelled")


@pytest.mark.cpu
@pytest.mark.parametrize("case", bits.CASES)
@pytest.mark.parametrize("name", ["avx512", "avx2", "baseline"])
def test_every_instruction_set_gives_the_bits_on_record(monkeypatch, name, case):
    if name not in AVAILABLE:
        pytest.skip(f"this machine has no {name}")
    monkeypatch.setenv(VARIABLE, name)
    assert bits.CASES[case](case) == RECORD[name][case]


def fused() -> bool:
    """Whether the emulated GPU is compiled with fused multiply-add, as the one on record was."""
    info = Path("/proc/cpuinfo")
    return info.exists() and {"avx2", "fma"} <= set(info.read_text().split())


@pytest.mark.skipif(not fused(), reason="without fused multiply-add, the emulated GPU rounds otherwise")
@pytest.mark.parametrize("case", bits.EMULATED)
def test_the_emulated_gpu_gives_the_bits_on_record(gpu, case):
    if gpu.name != "emulated":
        pytest.skip("a real GPU has a numerics class of its own")
    assert bits.CASES[case](case, "cuda") == RECORD["emulated"][case]


def test_the_hash_sees_one_bit(monkeypatch):
    """A negative control: the smallest change of one sum is another hash."""
    sim = resmc.simulate(width=4, depth=3, alpha=0.6, lam=0.8, networks=100, progress=False)
    one = dict(bits.raw(sim))
    changed = {name: array.copy() if hasattr(array, "copy") else array for name, array in one.items()}
    changed["log_norm"].flat[0] += 2.0**-60 + abs(changed["log_norm"].flat[0]) * 2.0**-52
    before = bits.digest_of({"": sim})
    monkeypatch.setattr(bits, "raw", lambda sim: changed.items())
    assert bits.digest_of({"": sim}) != before


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_version_01_is_read_with_all_its_numbers(name):
    assert bits.digest_of({"": resmc.load(OLD / f"{name}.resmc")}) == EXPECTED[name]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_version_01_merges_with_networks_of_today(name):
    old = resmc.load(OLD / f"{name}.resmc")
    settings: dict[str, Any] = {"correlations": old.correlations, "layers": old.layers, "method": old.method}
    more = resmc.simulate(
        old.model, networks=100, first_network=old.networks, seed=11, progress=False, **settings,
        gradients="gradient" in old.ratios, displacement="displacement" in old.ratios or None,
    )  # fmt: skip
    assert resmc.merge(old, more).networks == old.networks + 100


def test_a_store_may_hold_files_of_both_versions(tmp_path):
    shutil.copytree(OLD / "store", tmp_path / "store")
    (first, *_) = sorted((tmp_path / "store" / "shards").rglob("*.resmc"))
    before = resmc.load_sweep(tmp_path / "store")
    first.unlink()
    after = before.plan.run(tmp_path / "store", progress=False)
    schemas = {schema_of(path) for path in (tmp_path / "store" / "shards").rglob("*.resmc")}
    assert schemas == {2, storage.SCHEMA_VERSION}
    assert after.complete
    for name, estimate in before.estimates.items():
        np.testing.assert_allclose(after.estimates[name].value, estimate.value, rtol=1e-3, atol=1e-3)


def schema_of(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return int(json.loads(archive.read("manifest.json"))["schema_version"])


def test_a_store_of_version_01_is_complete_for_the_plan_that_made_it(tmp_path):
    plan = Sweep.from_toml(OLD / "plan.toml")
    assert [plan.point(index, 3000).key for index in range(4)] == EXPECTED["keys"]
    found = resmc.load_sweep(OLD / "store")
    assert found.complete
    assert found.plan == plan
    shards = {p.name.rsplit("-", 2)[0]: resmc.load(p) for p in sorted((OLD / "store" / "shards").rglob("*.resmc"))}
    assert bits.digest_of(shards) == EXPECTED["store"]
