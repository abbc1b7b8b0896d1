"""Damaged files, full disks, stores that cannot be written to: told in a sentence, and nothing changes the result."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeps import assert_same, contents, files, identities, leftovers, sweep, targeted

from resmc import Sweep, load_sweep
from resmc.cli import main
from resmc.results import storage
from resmc.sweep import StoreError
from resmc.sweep.manage import status
from resmc.sweep.store import Store

pytestmark = pytest.mark.cpu
AS_ROOT = os.geteuid() == 0
FULL = r"cannot be written to: No space left on device\. Finished shards are safe: make room, then run the same again"


def few(**changes: Any) -> Sweep:
    """Four points of six shards each."""
    return sweep(**{"networks": 20_000, "depth": [8, 16], "shard_updates": 1 << 19} | changes)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of `few`."""
    store = tmp_path_factory.mktemp("expected") / "store"
    assert few().run(store, progress=False).complete
    assert len(files(store)) > 12
    return store


@pytest.fixture(scope="module")
def expected_targeted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished store of `targeted`."""
    store = tmp_path_factory.mktemp("targeted") / "store"
    assert targeted().run(store, progress=False).complete
    return store


@pytest.fixture
def polite() -> Iterator[None]:
    """The command line changes what SIGTERM does, which is not for the tests after this one."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def copied(expected: Path, to: Path) -> Path:
    return Path(shutil.copytree(expected, to))


# ----------------------------------------------------------------------------------------------------- damaged shards


def flipped(place: Callable[[bytes], int]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place(bytes(data))] ^= 0x10
        path.write_bytes(data)

    return damage


def truncated(share: float) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def another(path: Path) -> None:
    """A valid shard under this one's name: of another range, or of another model."""
    others = [other for other in files(path.parents[2]) if other.parent != path.parent]
    shutil.copyfile(others[0], path)


def neighbour(path: Path) -> None:
    others = [other for other in sorted(path.parent.iterdir()) if other != path]
    shutil.copyfile(others[0], path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def unreadable(path: Path) -> None:
    if AS_ROOT:
        pytest.skip("root reads whatever the mode")
    path.chmod(0)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": truncated(0.0),
    "half": truncated(0.5),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "with a byte more": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "first byte": flipped(lambda data: 0),
    "seed in the manifest": flipped(lambda data: data.index(b'"seed": ') + 8),
    "middle": flipped(lambda data: len(data) // 2),
    "end of the directory": flipped(lambda data: len(data) - 100),
    "last byte": flipped(lambda data: len(data) - 1),
    "a shard of another point": another,
    "a shard of another range": neighbour,
    "a folder": a_folder,
    "a link to nowhere": a_link_to_nowhere,
    "unreadable": unreadable,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_set_aside_and_computed_again(tmp_path, expected, damage):
    store = copied(expected, tmp_path / "store")
    victim = files(store)[5]
    DAMAGES[damage](victim)
    before = identities(store)
    result = few().result(store)
    assert result.damaged == (victim.name,)
    assert not result.complete
    assert not os.path.lexists(victim)
    assert [path.name for path in (store / "damaged").iterdir()] == [victim.name]
    assert few().run(store, progress=False).complete
    assert_same(store, expected)
    after = identities(store)
    assert {name for name in after if after[name] != before[name]} == {victim.name}


@pytest.mark.parametrize("damage", ["half", "middle", "a shard of another range", "a link to nowhere"])
def test_a_run_computes_damaged_shards_again_and_says_which(tmp_path, expected, damage, capsys):
    store = copied(expected, tmp_path / "store")
    victims = {files(store)[2], files(store)[9]}
    for victim in victims:
        DAMAGES[damage](victim)
    assert few().run(store).complete
    said = capsys.readouterr().err
    assert all(f"{victim.name} was damaged: it is set aside, and computed again" in said for victim in victims)
    assert {path.name for path in (store / "damaged").iterdir()} == {victim.name for victim in victims}
    assert_same(store, expected)


@pytest.mark.parametrize("damage", ["empty", "middle", "a shard of another point"])
def test_a_damaged_pilot_is_named_set_aside_and_computed_again(tmp_path, expected_targeted, damage, capsys):
    def damaged(name: str) -> tuple[Path, Path]:
        store = copied(expected_targeted, tmp_path / name)
        victim = next(path for path in files(store) if int(path.name.split("-")[1]) >= 1 << 47)
        DAMAGES[damage](victim)
        return store, victim

    store, victim = damaged("result")
    result = targeted().result(store)
    assert result.damaged == (victim.name,)
    assert sorted(result.wanted > 0) == [False, True]  # nothing is known of the point without its pilot
    assert targeted().run(store, progress=False).complete
    assert_same(store, expected_targeted)

    store, victim = damaged("run")
    assert targeted().run(store).complete
    assert f"{victim.name} was damaged" in capsys.readouterr().err
    assert (store / "damaged" / victim.name).exists()
    assert_same(store, expected_targeted)


def test_a_pilot_and_a_shard_damaged_while_a_run_goes_on_are_computed_again(tmp_path, expected_targeted):
    """After the pilots have been read, and before the result is."""
    store = copied(expected_targeted, tmp_path / "store")
    shards = files(store)
    pilot = next(path for path in shards if int(path.name.split("-")[1]) >= 1 << 47)
    other = next(path for path in shards if int(path.name.split("-")[1]) < 1 << 47)
    missing = next(path for path in reversed(shards) if int(path.name.split("-")[1]) < 1 << 47)
    missing.unlink()

    def report(done: int, in_all: int) -> None:
        if missing.exists() and not (store / "damaged").exists():
            for path in (pilot, other):
                DAMAGES["middle"](path)

    assert targeted().run(store, workers=1, progress=report).complete
    assert {path.name for path in (store / "damaged").iterdir()} >= {pilot.name, other.name}
    assert_same(store, expected_targeted)


def test_a_shard_that_cannot_be_mended_ends_the_run_with_a_sentence(tmp_path, expected):
    """Its folder for damaged files is a file, so that it stays where it is."""
    store = copied(expected, tmp_path / "store")
    DAMAGES["middle"](files(store)[0])
    (store / "damaged").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"is damaged again\. Finished shards are safe"):
        few().run(store, progress=False)


def test_a_shard_that_lies_in_another_ones_folder_is_not_seen(tmp_path, expected):
    store = copied(expected, tmp_path / "store")
    victim = files(store)[0]
    elsewhere = store / "shards" / ("00" if victim.parent.name != "00" else "01")
    elsewhere.mkdir(exist_ok=True)
    moved = victim.rename(elsewhere / victim.name)
    assert few().result(store).damaged == ()
    assert few().run(store, progress=False).complete
    moved.unlink()
    assert_same(store, expected)


def test_a_shard_that_another_run_sets_aside_meanwhile_is_missing_and_not_damaged(tmp_path, expected, monkeypatch):
    store = copied(expected, tmp_path / "store")
    victim, listing = files(store)[0], Store.listing

    def listed_before(self: Store, key: str | None = None) -> Any:
        found = listing(self, key)
        victim.unlink(missing_ok=True)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Store, "listing", listed_before)
        result = few().result(store)
    assert result.damaged == ()
    assert not result.complete
    assert few().run(store, progress=False).complete
    assert_same(store, expected)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "resmc-sw', b"\xff\xfe", b"[]", b"{}", b'{"format": 3}'])
def test_a_damaged_plan_is_refused_in_a_sentence_and_mended_by_the_next_run(tmp_path, expected, content, capsys):
    store = copied(expected, tmp_path / "store")
    whole = (store / "plan.json").read_bytes()
    (store / "plan.json").write_bytes(content)
    with pytest.raises((StoreError, ValueError), match=r"is damaged|is not the plan of a sweep") as caught:
        load_sweep(store)
    assert "\n" not in str(caught.value)
    for command in ("status", "merge", "worker"):
        assert main([command, str(store)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("resmc: ")
        assert err.count("\n") == 1
    assert few().run(store, progress=False).complete
    assert (store / "plan.json").read_bytes() == whole
    assert_same(store, expected)


# ----------------------------------------------------------------------------------------------------- full disks


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Something mounted there; skips where that is not allowed."""
    if not AS_ROOT or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    folder.mkdir(exist_ok=True)
    made = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("engine", [None, pytest.param("processes", marks=pytest.mark.long)])
def test_a_disk_that_is_full_ends_the_run_with_a_sentence_and_room_lets_it_go_on(tmp_path, expected, engine):
    disk, wanted = tmp_path / "disk", sum(len(data) for data in contents(expected).values())
    with mounted(disk, "-t", "tmpfs", "-o", f"size={wanted * 6 // 10}", "tmpfs"):
        store = disk / "store"
        with pytest.raises(StoreError, match=FULL):
            few().run(store, engine=engine, workers=2, progress=False)
        assert leftovers(store) == []
        before = identities(store)
        assert len(before) > 3
        assert contents(store).items() < contents(expected).items()
        with pytest.raises(StoreError, match=FULL):
            few().run(store, engine=engine, workers=2, progress=False)
        assert before.items() <= identities(store).items()
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
        assert few().run(store, engine=engine, workers=2, progress=False).complete
        assert before.items() <= identities(store).items()
        assert_same(store, expected)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_an_export_to_a_full_disk_leaves_the_old_one_whole(tmp_path, expected, ending):
    xarray = pytest.importorskip("xarray")
    engine = {"nc": "h5netcdf", "zarr": "zarr"}[ending]
    pytest.importorskip(engine)
    result, disk = few().result(expected), tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        output = disk / f"out.{ending}"
        write = {"nc": result.to_netcdf, "zarr": result.to_zarr}[ending]
        write(output)
        before = xarray.load_dataset(output, engine=engine)
        with open(disk / "rest", "wb", buffering=0) as rest, contextlib.suppress(OSError):
            while True:
                rest.write(bytes(4096))
        with pytest.raises(OSError, match=r"out\.(nc|zarr).* cannot be written: No space left on device"):
            write(output)
        xarray.testing.assert_identical(xarray.load_dataset(output, engine=engine), before)
        assert sorted(path.name for path in disk.iterdir()) == sorted([output.name, "rest"])


class HalfWritten(io.FileIO):
    """A file for half of which there is room."""

    def __init__(self, handle: int) -> None:
        super().__init__(handle, "wb")

    def write(self, data: Any) -> int:
        super().write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("fails", ["open", "write", "fsync", "mkdir"])
def test_wherever_a_full_disk_shows_the_run_says_so_and_can_go_on(tmp_path, expected, monkeypatch, fails):
    """Without a disk: the call that would fail does, from the tenth shard on, or for the first shard's folder."""
    store, begun, written = tmp_path / "store", storage.write_atomically, list[Path]()
    name = "fdopen" if fails == "write" else fails
    real: Callable[..., Any] = getattr(os, name)

    def counting(data: bytes, path: Path) -> None:
        written.append(path)
        begun(data, path)

    def failing(*arguments: Any, **options: Any) -> Any:
        if len(written) < 10 if fails != "mkdir" else Path(arguments[0]).parent.name != "shards":
            return real(*arguments, **options)
        if fails == "write":
            return HalfWritten(arguments[0])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_atomically", counting)
        patch.setattr(os, name, failing)
        with pytest.raises(StoreError, match=FULL):
            few().run(store, workers=2, progress=False)
    assert leftovers(store) == []
    assert contents(store).items() < contents(expected).items()
    before = identities(store)
    assert before or fails == "mkdir"
    assert few().run(store, progress=False).complete
    assert before.items() <= identities(store).items()
    assert_same(store, expected)


def test_a_store_on_a_disk_that_is_full_from_the_start_is_refused_and_left_as_it_was(tmp_path, expected, monkeypatch):
    store = copied(expected, tmp_path / "store")

    def full(self: Path, data: bytes) -> None:
        self.touch()  # as a full disk does: the name is there, the content is not
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match=FULL):
            few().run(store, progress=False)
    assert_same(store, expected)


# ----------------------------------------------------------------------------------------------------- read-only stores


@contextlib.contextmanager
def read_only(store: Path) -> Iterator[None]:
    """Nothing can be written to it: by a read-only mount of itself for root, by modes for others."""
    if AS_ROOT:
        with mounted(store, "--bind", str(store)):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(store)], check=True)
            yield
        return
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_store_that_is_read_only_can_be_read_and_a_run_into_it_is_refused(tmp_path, expected, capsys, polite):
    store = copied(expected, tmp_path / "store")
    with read_only(store):
        with pytest.raises(StoreError, match=r"cannot be written to: (Read-only file system|Permission denied)"):
            few().run(store, progress=False)
        assert_same(store, expected)
        found = status(few(), store)
        assert (found.points_complete, found.damaged, found.at_work) == (4, (), 0)
        for arguments in (["status"], ["merge"], ["export", "--output", tmp_path / "table.nc"]):
            assert main([*map(str, arguments), str(store)]) == 0
            assert capsys.readouterr().err == ""
        assert (tmp_path / "table.nc").exists()
        assert main(["worker", str(store)]) == 2
        assert "cannot be written to" in capsys.readouterr().err


def test_a_damaged_shard_in_a_read_only_store_is_reported_and_stays(tmp_path, expected, capsys):
    store = copied(expected, tmp_path / "store")
    victim = files(store)[3]
    DAMAGES["middle"](victim)
    before = identities(store)
    with read_only(store):
        result = load_sweep(store)
        assert result.damaged == (victim.name,)
        assert not result.complete
        assert status(few(), store).damaged == (victim.name,)
        assert main(["status", str(store), "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["damaged"] == [victim.name]
        assert identities(store) == before
    assert not (store / "damaged").exists()
    assert few().run(store, progress=False).complete
    assert_same(store, expected)


def test_of_a_file_that_a_run_has_written_whole_the_checksum_alone_is_read(tmp_path, monkeypatch):
    plan = Sweep(width=[4, 5], depth=6, alpha=0.6, lam=0.8, networks=200)
    read = list[str]()
    final = Store.read_final

    def counted(self, stored):
        read.append(stored.file)
        return final(self, stored)

    monkeypatch.setattr(Store, "read_final", counted)
    result = plan.run(tmp_path, progress=False)
    assert result.complete
    assert read == []
    again = load_sweep(tmp_path)
    assert len(read) == 2  # another process knows no file
    for name, estimate in result.estimates.items():
        np.testing.assert_array_equal(again.estimates[name].value, estimate.value)
        np.testing.assert_array_equal(again.estimates[name].stderr, estimate.stderr)


def test_a_file_that_is_damaged_after_a_run_has_written_it_is_computed_again(tmp_path, monkeypatch, capsys):
    plan = Sweep(width=4, depth=6, alpha=0.6, lam=0.8, networks=200)
    write, times = Store.write, list[int]()

    def damaging(self, stored, data):
        write(self, stored, data)
        if not times:
            path = self.file(stored)
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(bytes(content))
        times.append(1)

    monkeypatch.setattr(Store, "write", damaging)
    result = plan.run(tmp_path, engine="threads", progress=True)
    assert result.complete
    assert len(times) == 2
    assert "computed again" in capsys.readouterr().err
