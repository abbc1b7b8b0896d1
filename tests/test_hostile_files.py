"""Files with a right checksum and hostile content: each is read as what it says, or refused in a sentence, soon."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import Parts, as_json, changed_json, changed_tree, little_memory, mutant, signed, zipped
from sweeps import environment

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Sweep
from resmc.results import storage
from resmc.results.record import Record
from resmc.sweep import Store, stored_plan
from resmc.sweep.claims import Claims

pytestmark = pytest.mark.cpu
OLD = Path(__file__).parent / "data" / "version-0.1"
LONGEST = 1.0  # seconds of a processor that any file may take
MANY = int(os.environ.get("RESMC_HOSTILE_FILES", "100000"))


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    """Files of every kind."""

    def saved(model: Any, **settings: Any) -> bytes:
        return storage.to_bytes(resmc.simulate(model, networks=100, progress=False, threads=1, **settings))

    general = ResidualNetwork(3, 4, "v-phi-w", "tanh", scaling=DepthScaling(0.5, 2.0), bias=0.3, n_out=2)
    by_layer = ResidualNetwork(3, 3, "phi-out", scaling=(0.1, 0.0, 0.2), weights="uniform", input=(1.0, -2.0))
    return {
        "resnet": saved(ResNet(4, 5, 0.6, 0.8), keep_samples=3, keep_trajectories=2),
        "dying": saved(ResNet(2, 5, 0.0, 1.0, "balanced"), keep_samples=3),
        "gradients": saved(general, gradients=True, keep_samples=3, keep_trajectories=2),
        "by layer": saved(by_layer, method="dense"),
        "shard": saved(ResNet(4, 40, 0.6, 0.8), layers=[0, 20], correlations=False, first_network=200),
        "old": (OLD / "gradients.resmc").read_bytes(),
        "old, dying": (OLD / "dying.resmc").read_bytes(),
    }


def outcome(read: Callable[[], Any], name: str) -> str:
    """``read``, or ``refused`` where a ValueError names the file; anything else is an error of the test."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, words = "read", name
        try:
            read()
        except ValueError as error:
            found, words = "refused", str(error)
    assert name in words
    assert len(words) < 1000
    assert "\n" not in words
    assert time.process_time() - begin < LONGEST
    return found


def try_files(sound: dict[str, bytes], seed: int, count: int) -> Counter[str]:
    """Read mutants of all kinds of files; what is read is a record that can be written, and read again as the same."""
    rng, found = random.Random(seed), Counter[str]()

    def whole(data: bytes) -> Callable[[], None]:
        def read() -> None:
            record = storage.from_bytes(data, Record, "hostile.resmc")
            again = storage.to_bytes(record)
            assert storage.to_bytes(storage.from_bytes(again, Record)) == again

        return read

    for number in range(count):
        kind = rng.choice(sorted(sound))
        data = mutant(rng, sound[kind])
        try:
            found[outcome(whole(data), "hostile.resmc")] += 1
            if number % 3 == 0:
                outcome(lambda data=data: storage.final_from_bytes(data, "hostile.resmc"), "hostile.resmc")
        except BaseException as error:
            raise AssertionError(f"seed {seed}, number {number}, of {kind!r}: {error!r}") from error
    return found


def test_files_that_were_made_to_do_harm_are_read_or_refused(sound):
    with little_memory():
        found = try_files(sound, 1, 300)
    assert found["refused"] > 200
    assert found["read"] > 20


@pytest.mark.long
def test_a_hundred_thousand_of_them_are_read_or_refused(sound):
    found = Counter[str]()
    with little_memory():
        for seed in range(100, 100 + MANY // 1000):
            found += try_files(sound, seed, 1000)
    assert found["refused"] + found["read"] == MANY // 1000 * 1000
    assert found["read"] > MANY // 100


def test_sound_files_are_read_as_they_are(sound):
    """Negative control: what the checks refuse is not what simulations write."""
    for data in sound.values():
        record = storage.from_bytes(Parts(data).together(), Record)
        assert storage.to_bytes(record) == storage.to_bytes(storage.from_bytes(data, Record))


def changed(data: bytes, **changes: Any) -> bytes:
    parts = Parts(data)
    parts.manifest |= changes
    return parts.together()


def numbers(data: bytes, member: str, change: Callable[[np.ndarray], None]) -> bytes:
    """The file with numbers of one array changed in place."""
    parts, out = Parts(data), []
    for name, content in parts.members:
        if name == f"{member}.npy":
            start = 10 + int.from_bytes(content[8:10], "little")
            array = np.load(io.BytesIO(content))
            change(array)
            content = content[:start] + array.tobytes()
        out.append((name, content))
    parts.members = out
    return parts.together()


def put(*index: Any, field: str | None = None, value: Any) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        (array if field is None else array[field])[index] = value

    return change


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"seed": 2**64}, "seed=18446744073709551616 is out of range: it must be an integer from 0 to 2^64 - 1"),
        ({"seed": 1.5}, "seed=1.5 is not allowed: it must be an integer"),
        ({"seed": True}, "seed=True is not allowed"),
        ({"method": "evil"}, "method='evil' is not allowed: it must be one of 'projected', 'dense'"),
        ({"method": ["dense"]}, "method=["),
        ({"ranges": [[0, 101, 1]]}, "ranges of networks do not have as many networks in each group"),
        ({"ranges": [[0, 100, 3]]}, "a batch that is no power of two"),
        ({"ranges": [[0, 50, 2], [49, 99, 2]]}, "not allowed to overlap"),
        ({"ranges": [[2**48, 2**48 + 100, 2]]}, "ranges=281474976710756 is out of range"),
        ({"ranges": []}, "there must be a network"),
        ({"bins": [0, 1, 10**12]}, "bins=1000000000000 is out of range"),
        ({"bins": [0, 1, 8192]}, "are not those of the model"),
        ({"histogram_version": 7, "bins": [0, -1, 8192]}, "bins=-1.0 is not allowed"),
        ({"numerics": ["2", "cpu/evil machine"]}, "numerics="),
        ({"numerics": ["2"]}, "numerics="),
        ({"numerics": ["2", "cpu/avx2", "cpu/avx2"]}, "each said once"),
        ({"samples": 10**12}, "samples=1000000000000 is out of range: it must be an integer from 0 to 100"),
        ({"correlations": "yes"}, "correlations='yes' is not allowed"),
        ({"model": {"width": 4}}, "depth is missing: a ResNet needs it"),
        ({"model": 3}, "model=3 is not allowed"),
        ({"model": {"width": 4, "depth": 10**15, "alpha": 0.6, "lam": 0.8}}, "depth=1000000000000000 is out of range"),
        ({"quotients": ["gradient"]}, "are not those of any simulation"),
        ({"laws": {"growth": [0, 0.0]}}, "are not those of any simulation"),
        ({"schema_version": 3.0}, "it has schema version 3.0"),
    ],
)  # fmt: skip
def test_what_a_manifest_may_not_say_is_refused_with_its_name(sound, changes, words):
    with pytest.raises(ValueError, match=r"^a\.resmc is not a simulation that this resmc can read: ") as refusal:
        storage.from_bytes(changed(sound["resnet"], **changes), Record, "a.resmc")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "member", "change", "words"),
    [
        ("resnet", "layers", put(2, value=10**15), "layers are not increasing from 0 to the depth, 5"),
        ("resnet", "layers", put(1, value=0), "layers are not increasing"),
        ("resnet", "statistics.networks", put(0, value=-4), "as many networks in each group"),
        ("resnet", "statistics.norms", put(3, 2, field="alive", value=-1), "statistics.norms.alive counts"),
        ("resnet", "statistics.norms", put(3, 2, field="alive", value=10**12), "statistics.norms.alive counts"),
        ("resnet", "statistics.norms", put(3, 2, field="growth_exponent", value=-(2**63)), "an exponent out of range"),
        ("resnet", "statistics.norms", put(3, 2, 0, field="log_norm", value=np.nan), "infinite, or no number"),
        ("resnet", "statistics.norms", put(3, 2, 1, field="log_norm", value=-1.0), "sum of squares below 0"),
        ("resnet", "statistics.norms", put(3, 2, 3, field="log_norm", value=-1.0), "sum of squares below 0"),
        ("resnet", "statistics.norms", put(3, 2, 1, field="growth", value=np.inf), "infinite, or no number"),
        ("resnet", "statistics.activity", put(3, 2, field="active", value=10**6), "more active neurons than there are"),
        ("resnet", "statistics.activity", put(3, 2, field="inactive", value=2**62), "activity.inactive counts"),
        ("resnet", "statistics.activity", put(3, 2, field="asymmetry_square", value=-1.0), "sum of squares below 0"),
        ("resnet", "statistics.histogram", put(3, 1, value=200), "as many networks as are alive at the last layer"),
        ("resnet", "statistics.products", put(3, 1, value=np.nan), "infinite, or no number"),
        ("resnet", "samples.networks", put(2, value=2**63), "samples.networks are not increasing, or not in"),
        ("resnet", "samples.log_norm", put(2, value=np.nan), "samples.log_norm is no logarithm of a norm"),
        ("resnet", "trajectories.log_norm", put(1, 2, value=np.inf), "trajectories.log_norm is no logarithm"),
        ("gradients", "quotients.gradient", put(3, 2, 0, field="growth", value=np.nan), "sum of squares below 0"),
        ("gradients", "laws.growth.counts", put(0, value=-1), "laws.growth counts"),
        ("gradients", "laws.growth.counts", put(0, value=2**63 - 1), "laws.growth counts"),
        ("gradients", "laws.growth.counts", put(0, value=2), "laws.growth does not hold as many networks"),
        ("gradients", "laws.growth.bins", put(0, value=2**62), "bins that are not increasing"),
        ("dying", "statistics.partial_squares", put(3, 4, value=-1.0), "sum of squares below 0"),
        ("old", "statistics.sums", put(3, 2, field="alive", value=-1), "statistics.sums.alive counts"),
    ],
)  # fmt: skip
def test_numbers_that_no_simulation_has_are_refused_with_their_array(sound, kind, member, change, words):
    with pytest.raises(ValueError, match=r"^a\.resmc is not a simulation that this resmc can read: ") as refusal:
        storage.from_bytes(numbers(sound[kind], member, change), Record, "a.resmc")
    assert words in str(refusal.value)


def test_archives_that_are_none_are_refused(sound):
    parts = Parts(sound["resnet"])
    manifest = ("manifest.json", as_json(parts.manifest))
    twice = zipped([manifest, *parts.members, parts.members[0]])
    for data, words in (
        (twice, "it has two members of one name"),
        (parts.together(compressed=True), "its manifest.json is compressed or misplaced"),
        (zipped([("manifest.json", b"[" * 10**6)]), "lists within lists"),
        (zipped([("manifest.json", b'{"format": 1, "format": 2}')]), "it says 'format' twice"),
        (zipped([("manifest.json", b'{"format": NaN}')]), "it holds NaN, which JSON lacks"),
        (signed(b""), "its list of members is wrong"),
        (signed(b"PK\5\6" + b"\xff" * 18), "its list of members is wrong"),
    ):
        with pytest.raises(ValueError, match=r"^a\.resmc is not a simulation that this resmc can read: ") as refusal:
            storage.from_bytes(data, Record, "a.resmc")
        assert words in str(refusal.value)


# ---------------------------------------------------------------------------------------------- files that are no files


def test_what_is_no_file_is_refused_at_once_in_a_sentence_with_its_path(tmp_path):
    store = tmp_path / "store"
    Store(store).create()
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "endless", "wb") as file:
        file.truncate(1 << 42)  # 4 TiB, none of them on the disk
    for path, kind, words in (
        (tmp_path / "nowhere", FileNotFoundError, "cannot be read: No such file or directory"),
        (tmp_path, IsADirectoryError, "cannot be read: it is a directory"),
        (store, IsADirectoryError, "is a directory, the store of a sweep: resmc.load_sweep reads it"),
        (tmp_path / "empty", ValueError, "is not a resmc simulation, or its end is missing: it is empty"),
        (tmp_path / "pipe", ValueError, "is not a resmc simulation"),
        (tmp_path / "endless", ValueError, "is not a resmc simulation, or its end is missing: no checksum"),
        (Path("/dev/zero"), OSError, "cannot be read: it is a device, not a file"),
        (tmp_path / "empty" / "below", NotADirectoryError, "cannot be read: Not a directory"),
    ):
        with pytest.raises(kind) as refusal:
            resmc.load(path)
        assert str(refusal.value).startswith(f"{path} {words}")


def test_a_file_that_may_not_be_read_is_refused_with_its_path(tmp_path):
    (tmp_path / "mine").write_bytes(b"x")
    (tmp_path / "mine").chmod(0)
    tmp_path.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError) as refusal:
            resmc.load(tmp_path / "mine")
    finally:
        if root:
            os.seteuid(0)
    assert refusal.value.errno == 13
    assert "mine cannot be read: Permission denied" in str(refusal.value) or not root


@pytest.mark.parametrize("given", [3, None, b"a.resmc", ["a.resmc"]])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(ValueError, match=r"^path=.* is not allowed: it must be the name of a file"):
        resmc.load(given)


# ---------------------------------------------------------------------------------------------------------------- plans

PLANS = [
    Sweep(width=[4, 8], ratio=[0.5, 1], alpha=0.6, lam=0.8, variant=["vanilla", "balanced"], networks=1000),
    Sweep(block="v-phi-w", width=4, depth=[3, 5], beta=[0.5, 1], activation="tanh", networks=100, gradients=True),
    Sweep([ResNet(4, 5, 0.6, 0.8), ResidualNetwork(4, 2, scaling=(0.1, 0.2), input=(1.0, 2.0))], networks=50),
    Sweep(width=4, depth=5, alpha=0.6, lam=0.8, target_stderr={"growth": 0.1}, max_networks=1000, layers=3),
]


def try_plans(tmp_path: Path, seed: int, count: int) -> Counter[str]:
    rng, found, store = random.Random(seed), Counter[str](), Store(tmp_path)
    store.create()
    for number in range(count):
        tree = rng.choice(PLANS).to_dict()
        for _ in range(rng.choice([1, 1, 2])):
            tree = changed_tree(rng, tree)
        data = as_json(tree) if rng.random() < 0.9 else changed_json(rng, tree)
        store.plans.path.write_bytes(data)
        try:
            found[outcome(lambda: repr(stored_plan(tmp_path)), str(store.plans.path))] += 1
        except BaseException as error:
            raise AssertionError(f"seed {seed}, number {number}: {data[:2000]!r}: {error!r}") from error
    return found


def test_plans_that_were_made_to_do_harm_are_read_or_refused(tmp_path):
    with little_memory():
        found = try_plans(tmp_path, 1, 200)
    assert found["refused"] > 100
    assert found["read"] > 5


@pytest.mark.long
def test_ten_thousand_plans_are_read_or_refused(tmp_path):
    with little_memory():
        found = sum((try_plans(tmp_path, seed, 1000) for seed in range(100, 100 + MANY // 10_000)), Counter[str]())
    assert found["refused"] + found["read"] == MANY // 10_000 * 1000


def test_a_stored_plan_that_is_none_is_a_value_error_too(tmp_path):
    store = Store(tmp_path)
    store.create()
    for text in ("{", "[]", json.dumps({"format": "resmc-sweep", "schema_version": 1, "networks": -1})):
        store.plans.path.write_text(text, encoding="utf-8")
        for kind in (ValueError, resmc.sweep.StoreError):
            with pytest.raises(kind, match=r"plan\.json is"):
                resmc.load_sweep(tmp_path)


# ----------------------------------------------------------------------------------------------------------------- TOML

TOML = """\
width = [8, 16]
ratio = [0.5, 1]
alpha = 0.6
lam = 0.8
networks = 1000
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1000", "1e300", ", line 5: networks=1e+300 is out of range: it must be an integer from 1 to 2^47"),
        ("1000", "1" + "0" * 300, ", line 5: networks=1e+300 is out of range"),
        ("1000", "1" + "0" * 5000, ": Exceeds the limit (4300 digits)"),
        ("1000", "-inf", ", line 5: networks=-inf is not allowed"),
        ("[8, 16]", "[8, 1e300]", ", line 1: width=1e+300 is out of range: it must be an integer from 1 to 2^24"),
        ("[8, 16]", "281474976710656", ", line 1: width=281474976710656 is out of range: it must be an integer from 1 "
         "to 2^24"),
        ("ratio = [0.5, 1]", "depth = 1e300", ", line 2: depth=1e+300 is out of range: it must be an integer from 1 to "
         "1048575"),
        ("[0.5, 1]", "1e308", ", line 2: ratio=1e+308 is out of range with width=8: depth = ratio width must be at "
         "most 1048575"),
        ("[8, 16]", "[" * 300 + "]" * 300, ", line 1: width=[[["),
        ("[8, 16]", "[" * 3000 + "]" * 3000, ": it holds lists within lists within lists, too many to read"),
        ("[8, 16]", "1979-05-27", ", line 1: width=datetime.date(1979, 5, 27) is not allowed"),
        ("lam = 0.8", "lam = 0.8\nlam = 0.9", ": line 5: lam is given twice, first on line 4"),
        ("networks = 1000\n", "networks = 1000\nlam = 1", ": line 6: lam is given twice, first on line 4"),
        ("networks = 1000\n", "networks = 10\n[lam]", ": line 6: lam is given twice, first on line 4"),
        ("networks = 1000\n", "max_networks = 99\n[target_stderr]\ngrowth = 1\ngrowth = 2",
         ": line 8: target_stderr.growth is given twice, first on line 7"),
        ("networks = 1000", "layers = 1e300\nnetworks = 9", ", line 5: layers=1e+300 is out of range: it must be an "
         "integer from 2 to 4096"),
    ],
)  # fmt: skip
def test_a_hostile_plan_in_toml_is_refused_with_its_key_and_line(tmp_path, old, new, words):
    path = tmp_path / "plan.toml"
    assert old in TOML
    path.write_text(TOML.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=r"plan\.toml") as refusal:
        Sweep.from_toml(path)
    assert str(refusal.value).startswith(f"{path}{words}")
    assert len(str(refusal.value)) < 1000 + len(str(path))


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_plan_may_begin_with_a_byte_order_mark_and_have_the_ends_of_lines_of_windows(tmp_path, mark, end):
    (tmp_path / "plan.toml").write_bytes(mark + TOML.encode().replace(b"\n", end))
    assert Sweep.from_toml(tmp_path / "plan.toml").models[0] == ResNet(8, 4, 0.6, 0.8)


def test_plans_that_are_no_files_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path, "cannot be read: it is a directory"),
        (Path("/dev/zero"), "cannot be read: it is a device, not a file"),
    ):
        with pytest.raises(OSError, match=rf"^{path} {words}$"):
            Sweep.from_toml(path)
    with pytest.raises(ValueError, match=r"pipe: width is missing"):
        Sweep.from_toml(tmp_path / "pipe")


def test_a_wrong_keyword_of_a_sweep_names_the_sweep():
    with pytest.raises(TypeError, match=r"^Sweep\(\) got an unexpected keyword argument 'foo'$"):
        Sweep(foo=1)


# --------------------------------------------------------------------------------------------------------------- stores


def test_a_shard_that_was_made_to_do_harm_counts_as_damaged(tmp_path, sound):
    plan = PLANS[0]
    plan.run(tmp_path, progress=False)
    file = next((tmp_path / "shards").rglob("*.resmc"))
    for data in (changed(file.read_bytes(), seed=-1), changed(file.read_bytes(), method="evil"), sound["dying"]):
        file.write_bytes(data)
        assert plan.result(tmp_path).damaged == (file.name,)
        assert plan.run(tmp_path, progress=False).complete


def test_a_store_that_was_moved_says_so_with_its_directory(tmp_path):
    result = PLANS[0].run(tmp_path / "store", progress=False)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r" cannot be read: store='.*/store' is not there any more\. If it was ") as e:
        result.load(0)
    assert str(e.value).startswith(str(tmp_path / "store" / "shards"))
    assert resmc.load_sweep(tmp_path / "elsewhere").load(0).networks == 1000


def test_claims_of_any_content_hinder_nobody(tmp_path):
    store = Store(tmp_path)
    store.create()
    key = PLANS[0].point(0, 1000).key
    names = {f"{key}-0-\u00b2": b"", f"{key}-0-{'9' * 100}": b"\xff", "-": b"0" * 10**6, "x-1-2": b"-1"}
    for name, content in names.items():
        (store.claims / name).write_bytes(content)
    mark = Claims(store.claims).mark.partition("-")[0]
    (store.claims / f"{key}-0-7").write_text(f"{mark}-{'9' * 50}", encoding="ascii")
    os.mkfifo(store.claims / f"{key}-1-2")
    for path in store.claims.iterdir():
        os.utime(path, (1, 1))
    assert PLANS[0].run(tmp_path, progress=False).complete


def test_a_full_standard_output_is_told_in_a_sentence(tmp_path):
    arguments = [sys.executable, "-m", "resmc", "simulate", "--width=4", "--depth=3", "--alpha=0.6", "--lam=0.8"]
    buffered = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            [*arguments, "--networks=40"], stdout=full, stderr=subprocess.PIPE, text=True, env=buffered, timeout=60
        )
    words = "resmc: standard output cannot be written to: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, words)
