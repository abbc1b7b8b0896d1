"""Saving to a file: a failed save harms nothing, and any name that the file system takes will do."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import resmc
from resmc import ResNet, Simulation
from resmc.results import storage

SMALL = ResNet(4, 6, 0.1, 0.7, "balanced-half", n_out=3)


def run(model: ResNet = SMALL, networks: int = 200, **settings) -> Simulation:
    return resmc.simulate(model, networks=networks, **{"progress": False, "threads": 1, **settings})


def check_failed_save(directory: Path, sim: Simulation, error: type[OSError], number: int) -> None:
    """Saving over `old` raises; it stays as it was, and nothing is left beside it."""
    before = (directory / "old").read_bytes()
    with pytest.raises(error) as caught:
        sim.save(directory / "old")
    assert caught.value.errno == number
    assert (directory / "old").read_bytes() == before
    assert [p.name for p in directory.iterdir()] == ["old"]
    resmc.load(directory / "old")


@pytest.mark.parametrize("function", ["fsync", "replace", "fdopen"])
def test_a_save_that_fails_at_any_step_leaves_the_old_file_whole(tmp_path, monkeypatch, function):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run().save(tmp_path / "old")
    monkeypatch.setattr(os, function, full)
    check_failed_save(tmp_path, run(seed=1), OSError, errno.ENOSPC)


def test_a_save_that_is_interrupted_leaves_the_old_file_whole(tmp_path, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    run().save(tmp_path / "old")
    before = (tmp_path / "old").read_bytes()
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(seed=1).save(tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_old_file_whole(small_disk):
    run().save(small_disk / "old")
    large = run(ResNet(4, 100, 0.5, 0.5), networks=2000, keep_trajectories=2000)
    assert len(storage.to_bytes(large)) > 512 * 1024
    check_failed_save(small_disk, large, OSError, errno.ENOSPC)


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A directory in which `old` may be read and nothing written; root steps down to somebody else meanwhile."""
    place = Path(tempfile.mkdtemp(prefix="resmc-"))
    run().save(place / "old")
    place.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield place
    if root:
        os.seteuid(0)
    place.chmod(0o755)
    shutil.rmtree(place)


def test_no_permission_leaves_the_old_file_whole(forbidden):
    check_failed_save(forbidden, run(seed=1), PermissionError, errno.EACCES)


def test_saving_into_a_directory_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        run().save(tmp_path / "nowhere" / "a")
    assert list(tmp_path.iterdir()) == []


def test_saving_over_a_directory_is_an_os_error_and_leaves_it(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="directory"):
        run().save(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_saving_over_a_pipe_or_device_is_an_os_error_and_leaves_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is a device or a pipe: give the name of a file"):
        run().save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_saving_to_a_link_writes_the_file_that_it_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/run")
    run().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "folder") == ["run"]


@pytest.mark.parametrize("path", [None, 3, b"run", "a\0b"])
def test_a_path_that_is_none_is_refused_in_a_sentence(path):
    for use in (run().save, resmc.load, resmc.load_sweep):
        with pytest.raises(ValueError, match="is not allowed: "):
            use(path)


def test_a_name_as_long_as_the_file_system_allows_can_be_saved(tmp_path):
    run().save(tmp_path / ("x" * 255))
    assert resmc.load(tmp_path / ("x" * 255)).networks == 200


def test_a_file_in_the_working_directory_can_be_saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run().save("a")
    assert resmc.load("a").networks == 200
    for _ in range(2):  # a new file, and one in the place of another
        storage.write_atomically(b"some bytes", "b")
        storage.write_atomically(b"some bytes", Path("b"))
    assert (tmp_path / "b").read_bytes() == b"some bytes"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_writing_does_not_touch_the_umask_of_other_threads(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "umask")
    storage.write_atomically(b"some bytes", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"some bytes"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_saved_file_has_the_permissions_of_an_ordinary_file(tmp_path, umask):
    previous = os.umask(umask)
    try:
        run().save(tmp_path / "a")
        (tmp_path / "ordinary").touch()
        assert os.umask(umask) == umask  # and the process's own is untouched
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_new_save_replaces_the_old_file(tmp_path):
    run(seed=1).save(tmp_path / "a")
    run(seed=2).save(tmp_path / "a")
    assert resmc.load(tmp_path / "a").seed == 2
