"""The file of a saved simulation: what goes in comes out, and damage is noticed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest

import resmc
from resmc import ResNet, Simulation
from resmc.engine import native
from resmc.engine.request import NetworkRange
from resmc.engine.sums import NORM_SUMS, LayerSums
from resmc.results import archive, storage

MODELS = [
    ResNet(4, 6, 0.1, 0.7, "balanced-half", n_out=3, input_norm=1e-300),
    ResNet(2, 9, 0.0, 1.0),  # dead networks: -inf and NaN among what is kept
    ResNet(3, 5, -1e-200, 1e200),
]


def from_bytes(data: bytes, name: str = "data") -> Simulation:
    return storage.from_bytes(data, Simulation, name)


def run(model: ResNet = MODELS[0], networks: int = 200, **settings) -> Simulation:
    return resmc.simulate(model, networks=networks, **{"progress": False, "threads": 1, **settings})


def arrays_of(a: Simulation, b: Simulation) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """All sums of two simulations by name."""
    x, y = a.statistics, b.statistics
    assert x.arrays().keys() == y.arrays().keys()
    both = {name: (array, y.arrays()[name]) for name, array in x.arrays().items()}
    return both | {"networks": (x.networks, y.networks)}


def assert_equal(a: Simulation, b: Simulation) -> None:
    pairs = [(x, y, name) for name, (x, y) in arrays_of(a, b).items()]
    for part in ("samples", "trajectories"):
        for f in (f for f in fields(getattr(a, part)) if f.name != "ratios"):
            pairs.append((getattr(getattr(a, part), f.name), getattr(getattr(b, part), f.name), f"{part}.{f.name}"))
    for x, y, name in pairs:
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()), name
        assert not y.flags.writeable
    assert (a.layers.dtype, a.layers.tolist()) == (b.layers.dtype, b.layers.tolist())
    for name in ("model", "method", "seed", "ranges", "bins", "numerics", "histogram_version"):
        assert getattr(a, name) == getattr(b, name), name
        assert type(getattr(a, name)) is type(getattr(b, name)), name


@pytest.fixture(scope="module")
def data() -> bytes:
    return storage.to_bytes(run(keep_samples=3, keep_trajectories=3))


# --------------------------------------------------------------------------------------------------------------- whole


@pytest.mark.parametrize("method", ["projected", "dense"])
@pytest.mark.parametrize("model", MODELS)
def test_a_saved_simulation_comes_back_bit_for_bit(tmp_path, model, method):
    sim = run(model, seed=2**64 - 1, first_network=2**48 - 200, method=method, keep_samples=20, keep_trajectories=30)
    sim.save(tmp_path / "a.resmc")
    back = resmc.load(tmp_path / "a.resmc")
    assert_equal(sim, back)
    assert sim.summary() == back.summary()
    sim.save(str(tmp_path / "b"))  # a str serves as well as a Path, and no suffix is forced
    assert_equal(sim, resmc.load(str(tmp_path / "b")))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.resmc", "b"]


def test_a_merged_simulation_comes_back_and_merges_on(tmp_path):
    a, b, c = (run(first_network=first, keep_samples=2) for first in (0, 1000, 200))
    merged = resmc.merge(a, b)
    merged.save(tmp_path / "m")
    back = resmc.load(tmp_path / "m")
    assert len(back.ranges) == 2
    assert_equal(merged, back)
    assert_equal(resmc.merge(back, c), resmc.merge(merged, c))


def test_the_bytes_are_a_function_of_the_content(tmp_path):
    first, again = run(seed=7), run(seed=7, threads=2)
    first.save(tmp_path / "a")
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == storage.to_bytes(first)
    assert storage.to_bytes(resmc.load(tmp_path / "a")) == storage.to_bytes(first)
    assert storage.to_bytes(run(seed=8)) != storage.to_bytes(first)


def test_numpy_and_zip_read_it_too(tmp_path):
    sim = run(keep_samples=3)
    sim.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["layers"], sim.layers)
        log_norm = arrays["statistics.norms"]["log_norm"]
        np.testing.assert_array_equal(log_norm[:, 0, 1], sim.statistics.norms.log_norm[:, 1, 0])
        np.testing.assert_array_equal(arrays["statistics.activity"]["active"], sim.statistics.activity.active)
        histogram, inner = arrays["statistics.histogram"], sim.statistics.histogram[:, 1:-1]
        first = json.loads(arrays["manifest.json"])["histogram_offset"]
        np.testing.assert_array_equal(histogram[:, 1:-1], inner[:, first : first + histogram.shape[1] - 2])
        assert histogram[:, 1:-1].sum() == inner.sum()
        np.testing.assert_array_equal(arrays["samples.output"], sim.samples.output)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.testzip() is None
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["model"] == sim.model.to_dict()
    assert manifest["schema_version"] == storage.SCHEMA_VERSION


def test_a_small_archive_is_what_zipfile_writes_in_every_byte(monkeypatch):
    members = {"manifest.json": b"{}", "a.npy": bytes(range(256)) * 9, "b.c.npy": b""}
    assert archive.small_zip(members) == archive.any_zip(members)
    assert archive.small_zip({**members, "a.npy": b"a"}) != archive.any_zip(members)
    sim = run(keep_samples=3)
    small = storage.to_bytes(sim)
    for bound in ("SMALL", "MANY"):
        with monkeypatch.context() as patch:
            patch.setattr(archive, bound, 1)
            patch.delattr(archive, "small_zip")
            assert storage.to_bytes(sim) == small


def test_a_file_without_products_or_raw_values_has_no_arrays_for_them():
    sim = run(MODELS[1], correlations=False)
    data = storage.to_bytes(sim)
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        names = [name.removesuffix(".npy") for name in members.namelist()]
    sums = [f"statistics.{name}" for name in ("networks", "norms", "activity", "histogram")]
    assert names == ["manifest.json", "layers", *sums]
    assert_equal(sim, from_bytes(data))


@pytest.mark.parametrize("low", [0, 1, 4000, 8192])
@pytest.mark.parametrize("count", [1, 255, 256, 2**16, 2**40])
def test_a_histogram_comes_back_wherever_its_counts_lie_and_however_large_they_are(low, count):
    sim = run()
    sums, networks = sim.statistics, np.full(32, count)
    histogram = np.zeros_like(sums.histogram)
    histogram[:, low] = count - 1
    histogram[:, min(low + 2, 8193)] += 1
    norms, activity = (
        replace(part, networks=networks, records=part.records.copy()) for part in (sums.norms, sums.activity)
    )
    norms.records["alive"] = count
    activity.records["inactive"] = activity.records["active"] = 0
    sums = replace(sums, norms=norms, activity=replace(activity, alive=norms.alive), histogram=histogram)
    sim = replace(sim, ranges=(NetworkRange(0, 32 * count, 1),), statistics=sums)
    assert_equal(sim, from_bytes(storage.to_bytes(sim)))


@pytest.mark.parametrize("bins", [1, 7, 8, 100, 8192])
def test_the_occupied_bins_are_found_whether_all_are_in_the_middle_or_not(bins):
    random = np.random.default_rng(bins)
    for low, high in ((0, bins), (bins * 3 // 8, bins - bins * 3 // 8), (0, 1), (bins - 1, bins)):
        histogram = np.zeros((5, 2 + bins), np.int64)
        for place in random.integers(low, high, size=3):
            histogram[random.integers(5), 1 + place] += random.integers(1, 1000)
        histogram[:, 0] = histogram[:, -1] = 10**6
        inside = histogram[:, 1:-1]
        found = np.flatnonzero(inside.any(axis=0))
        expected = (int(found[0]), int(found[-1]) + 1, int(np.bitwise_or.reduce(inside, axis=None)))
        assert native.occupied(histogram, int(inside.sum())) == expected
        assert native.occupied(histogram, -1) == expected
    assert native.occupied(np.zeros((5, 2 + bins), np.int64), 0) == (0, 0, 0)


def test_an_empty_histogram_comes_back():
    sim = run(ResNet(1, 60, 0.0, 1.0), networks=3)  # everybody is dead at the end
    assert sim.statistics.histogram.sum() == 0
    assert_equal(sim, from_bytes(storage.to_bytes(sim)))


@pytest.mark.parametrize("settings", [{}, {"correlations": False}, {"keep_samples": 3}])
@pytest.mark.parametrize("model", MODELS)
def test_the_last_layer_can_be_read_without_the_rest(model, settings):
    sim = run(model, **settings)
    manifest, end = storage.final_from_bytes(storage.to_bytes(sim))
    sums = end.layers
    assert ResNet(**manifest["model"]) == sim.model
    assert manifest["seed"] == sim.seed
    assert type(sums) is LayerSums
    final = sim.statistics.final()
    for a, b in ((sums.norms, final.norms), (sums.activity, final.activity)):
        for f in fields(a):
            there, here = getattr(a, f.name), getattr(b, f.name)
            assert (there.dtype, there.shape, there.tobytes()) == (here.dtype, here.shape, here.tobytes())


def test_reading_the_last_layer_refuses_what_reading_it_all_refuses(data):
    for broken in (data[:-1], data[:100] + b"x" + data[101:], b"", b"x" * 1000):
        with pytest.raises(ValueError, match=r"shard is damaged|shard is not a resmc simulation"):
            storage.final_from_bytes(broken, "shard")
    for change in (
        manifest_with(schema_version=1),
        manifest_with(format="resmc-sweep"),
        without("statistics.norms.npy"),
        without("statistics.activity.npy"),
        without("statistics.networks.npy"),
        without("manifest.json"),
        another_array("statistics.norms", np.zeros((32, 0), NORM_SUMS)),
    ):
        with pytest.raises(ValueError, match=r"shard is not a simulation that this resmc can read: "):
            storage.final_from_bytes(repacked(data, change), "shard")


# -------------------------------------------------------------------------------------------------------------- damaged


def test_every_changed_byte_is_noticed(data):
    rng = np.random.default_rng(0)
    end = len(data)
    positions = {*rng.integers(0, end, 300).tolist(), *range(end - 100, end), *range(100)}
    for at in sorted(positions):
        for flip in (1, 0x80, 0xFF):
            broken = bytearray(data)
            broken[at] ^= flip
            with pytest.raises(ValueError, match=r"damaged: its checksum|no checksum was found"):
                from_bytes(bytes(broken))


def test_every_truncation_and_every_addition_is_noticed(data):
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"end is missing|damaged"):
            from_bytes(data[:length])
    for broken in (data + b"\0", b"\0" + data, data + data, data[:50] + data[51:]):
        with pytest.raises(ValueError, match=r"end is missing|damaged"):
            from_bytes(broken)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"not a simulation" * 1000, b"\0" * 100_000, b"PK\x05\x06" + b"\0" * 18, b"sha256:" + b"0" * 64],
)
def test_what_is_no_simulation_is_refused_with_the_name_of_the_file(tmp_path, content):
    (tmp_path / "wrong.resmc").write_bytes(content)
    with pytest.raises(ValueError, match=r"wrong\.resmc is (not a resmc simulation|damaged)"):
        resmc.load(tmp_path / "wrong.resmc")


def test_a_damaged_file_is_refused_with_its_name(tmp_path, data):
    broken = bytearray(data)
    broken[len(data) // 2] ^= 1
    (tmp_path / "broken.resmc").write_bytes(broken)
    with pytest.raises(ValueError, match=r"broken\.resmc is damaged"):
        resmc.load(tmp_path / "broken.resmc")


def test_another_schema_version_is_refused_with_both_versions(tmp_path, monkeypatch):
    sim = run()
    monkeypatch.setattr(storage, "SCHEMA_VERSION", 12)
    sim.save(tmp_path / "new")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"new is .*schema version 12\b.*\b{storage.SCHEMA_VERSION}$"):
        resmc.load(tmp_path / "new")


def test_another_format_is_refused(tmp_path, monkeypatch):
    sim = run()
    monkeypatch.setattr(storage, "FORMAT", "resmc-sweep")
    sim.save(tmp_path / "sweep")
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"sweep is .*'(resmc-sweep|{storage.FORMAT})'"):
        resmc.load(tmp_path / "sweep")


def test_a_savez_file_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", layers=np.arange(3))
    with pytest.raises(ValueError, match="not a resmc simulation"):
        resmc.load(tmp_path / "a.npz")


def repacked(data: bytes, change) -> bytes:
    """The archive with `change(name, content)` in place of each entry (None leaves it out), and a right checksum."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        new.comment = b"sha256:" + b"0" * 64
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    whole = out.getvalue()
    return whole[:-64] + hashlib.sha256(whole).hexdigest().encode()


def test_repacking_alone_does_no_harm(data):
    assert_equal(from_bytes(repacked(data, lambda name, content: content)), from_bytes(data))


def without(entry: str):
    return lambda name, content: None if name == entry else content


def manifest_with(**changes):
    def change(name: str, content: bytes) -> bytes:
        return json.dumps({**json.loads(content), **changes}).encode() if name == "manifest.json" else content

    return change


def another_array(entry: str, array: np.ndarray):
    def change(name: str, content: bytes) -> bytes:
        if name != f"{entry}.npy":
            return content
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("manifest.json"),
        without("layers.npy"),
        without("statistics.norms.npy"),
        without("statistics.activity.npy"),
        without("statistics.products.npy"),
        without("samples.output.npy"),
        lambda name, content: b"[]" if name == "manifest.json" else content,
        lambda name, content: b"{" if name == "manifest.json" else content,
        lambda name, content: b"no array" if name == "layers.npy" else content,
        manifest_with(model={"width": 0}),
        manifest_with(model={"width": 4, "depth": 6, "alpha": 0.1, "lam": 0.7, "colour": "red"}),
        manifest_with(schema_version=None),
        manifest_with(ranges=[[0]]),
        manifest_with(bins=[]),
        manifest_with(samples=2),
        manifest_with(histogram_offset=8190),
        manifest_with(histogram_offset=-1),
        manifest_with(correlations=None),
        another_array("layers", np.arange(3)),
        another_array("layers", np.arange(7.0)),
        another_array("layers", np.arange(7, dtype=object)),
        another_array("statistics.networks", np.zeros((32, 7), np.int64)),
        another_array("statistics.norms", np.zeros((32, 6), NORM_SUMS)),
        another_array("statistics.norms", np.zeros((32, 7))),
        another_array("statistics.histogram", np.zeros((32, 1), np.uint8)),
        another_array("samples.output", np.zeros((3, 2))),
        lambda name, content: content[:-1] if name == "statistics.products.npy" else content,
    ],
    ids=[
        "no manifest",
        "no layers",
        "an array is missing",
        "the activity is missing",
        "the products are missing",
        "a sample is missing",
        "manifest is a list",
        "manifest is no JSON",
        "layers are no array",
        "model is invalid",
        "model has another field",
        "no schema version",
        "half a range",
        "no bins",
        "another number of samples",
        "a histogram beyond its bins",
        "a histogram before its bins",
        "correlations that are not there",
        "too few layers",
        "layers that are no integers",
        "layers that are objects",
        "group sizes by layer",
        "sums of fewer layers",
        "sums that are no records",
        "a histogram without its ends",
        "too few outputs",
        "products that are cut off",
    ],
)
def test_a_file_with_a_right_checksum_and_wrong_content_is_refused(data, change):
    with pytest.raises(ValueError, match=r"the file\b"):
        from_bytes(repacked(data, change), "the file")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.resmc"):
        resmc.load(tmp_path / "nowhere.resmc")
    with pytest.raises(OSError, match="directory"):
        resmc.load(tmp_path)


def test_another_histogram_version_is_kept(tmp_path):
    sim = replace(run(), histogram_version=99)
    sim.save(tmp_path / "a")
    assert resmc.load(tmp_path / "a").histogram_version == 99
