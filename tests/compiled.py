"""What the tests compile, once for all of them: for every worker of a run, and for later runs until a source changes.

A result lies under build/tests or, where that cannot be written, in a folder of one's own among the temporary files.
Its name is a hash of the compiler, its arguments, and every file that may be included. `make clean` removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPILER = os.environ.get("CXX", "g++")
UNUSED = 7 * 24 * 3600.0  # seconds after which a result that nobody asked for is removed


def compile_cxx(sources: list[Path], output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Runs the compiler, whether it succeeds or not."""
    command = [COMPILER, *flags, *map(str, sources), "-o", str(output)]
    return subprocess.run(command, capture_output=True, text=True)


def compiled(name: str, sources: list[Path], *flags: str, also: str = "", reads: tuple[Path, ...] = ()) -> Path:
    """The file ``name`` that the compiler makes; ``also`` is what else it depends on, such as a library's version, and
    ``reads`` all that the sources include, where that is known.

    The lock makes a second process wait instead of compiling the same, and the system gives it back whatever happens.
    """
    folder = _folder()
    key = hashlib.sha256(repr((_surroundings(reads), sources, flags, also)).encode()).hexdigest()[:16]
    place = folder / f"{key}-{name}"
    with open(folder / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _remove_unused(folder)
            partial = folder / f"{key}.partial"
            done = compile_cxx(sources, partial, *flags)
            assert done.returncode == 0, done.stderr
            os.replace(partial, place)
        os.utime(place)
    return place


def _folder() -> Path:
    folder = ROOT / "build" / "tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.gettempdir()) / f"resmc-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid(), f"{folder} belongs to somebody else"
    return folder


@cache
def _surroundings(reads: tuple[Path, ...] = ()) -> str:
    """The compiler's version, and a hash of some files, or of all sources but those of the PTX machine."""
    version = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    found = hashlib.sha256()
    files = (path for folder in ("csrc", "tests/native") for path in (ROOT / folder).rglob("*"))
    for path in reads or sorted(
        path for path in files if path.suffix in (".hpp", ".cpp", ".cu") and path.parent.name != "ptx"
    ):
        found.update(f"{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return f"{COMPILER} {version} {found.hexdigest()}"


def _remove_unused(folder: Path) -> None:
    """Removes old results, but for those whose lock another process holds."""
    for path in folder.glob("*.lock"):
        if path.stat().st_mtime >= time.time() - UNUSED:
            continue
        with open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for result in folder.glob(f"{path.stem}*"):
                result.unlink(missing_ok=True)
