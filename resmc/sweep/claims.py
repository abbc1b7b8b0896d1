"""Claims: hints by which several processes on one store share the work instead of doing it twice.

A claim is a small file named after a shard. Its owner, the process that computes the shard, touches it every few
seconds. No result depends on claims being seen, kept or written: without them several processes compute the same shard,
and write the same bytes.

A claim lapses at once when its owner was a process of this host and has ended. Every other claim lapses after a minute
without a touch, even if a process of the owner's number runs: numbers are given again, and in a container the first
process has the same number every time.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from .._system.writers import host_mark, process_is_alive

BEAT = 10.0  # seconds between touches
STALE = 60.0  # seconds after which an untouched claim lapses
BLANK = 2.0  # seconds after which an empty claim lapses: a process was killed before it wrote its mark
LONGEST_MARK = 64  # bytes
NAME = re.compile("(.*)-([0-9]{1,18})-([0-9]{1,18})", re.DOTALL)  # a shard's: key and range


class Claims:
    """The claims of this process in a store's folder; the age of a claim is told by the file system's own clock."""

    def __init__(self, folder: Path, beat: float = BEAT, stale: float = STALE) -> None:
        self.folder, self.every, self.stale = folder, beat, stale
        self.mark = f"{host_mark()}-{os.getpid()}"
        self.own: set[str] = set()
        self.ahead = 0.0  # seconds by which the file system's clock is ahead of this machine's
        self.last = -1e9
        self.beat()

    def take(self, name: str) -> bool:
        """Claim ``name``; return False if another living process has claimed it, or a range that overlaps with it."""
        if name in self.own:
            return True
        if self._overlaps(name):
            return False
        path = self.folder / name
        self.own.add(name)  # noted before the file is made, so that an interrupt leaves no file that nobody gives up
        with contextlib.suppress(OSError):
            for _ in range(2):
                try:
                    with open(path, "x", encoding="ascii") as file:
                        file.write(self.mark)
                    break
                except FileExistsError:
                    if self._alive(path):
                        self.own.discard(name)
                        return False
                    path.unlink(missing_ok=True)
        return True

    def _overlaps(self, name: str) -> bool:
        """Say whether another process has claimed some of the same networks, in a shard of another size."""
        key, start, stop = _parts(name)
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name == name or entry.name in self.own or not entry.name.startswith(f"{key}-"):
                    continue
                _, other_start, other_stop = _parts(entry.name)
                if other_start < stop and start < other_stop and self._alive(Path(entry.path)):
                    return True
        return False

    def drop(self, name: str) -> None:
        """Give up one claim of this process."""
        path = self.folder / name
        with contextlib.suppress(OSError, ValueError):
            # After an interrupt in `take`, the file may still be empty, or be another process's, as its mark tells.
            if _mark(path) in (self.mark, ""):
                path.unlink()
        self.own.discard(name)

    def drop_all(self) -> None:
        """Give up all claims of this process."""
        for name in list(self.own):
            self.drop(name)

    def beat(self) -> None:
        """Touch the claims of this process if the last touch is long enough ago."""
        if time.monotonic() - self.last < self.every:
            return
        self.last = time.monotonic()
        with contextlib.suppress(OSError):
            clock = self.folder / f".clock-{self.mark}"
            clock.touch()
            self.ahead = clock.stat().st_mtime - time.time()
            clock.unlink()
        for name in self.own:
            with contextlib.suppress(OSError):
                os.utime(self.folder / name)

    def sweep_up(self) -> None:
        """Remove claims, and files that told the time, of processes that are gone."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not self._alive(Path(entry.path)):
                    Path(entry.path).unlink(missing_ok=True)

    def others(self) -> int:
        """Count the shards that other living processes are computing."""
        found = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                found += entry.name[0] != "." and entry.name not in self.own and self._alive(Path(entry.path))
        return found

    def _alive(self, path: Path) -> bool:
        """Say whether the owner of a claim lives: by the time of the last touch and, on this host, by its process."""
        try:
            mark = path.name.removeprefix(".clock-") if path.name[0] == "." else _mark(path)
            touched = path.stat().st_mtime
        except (OSError, ValueError):
            return False
        host, _, process = mark.partition("-")
        here = host == self.mark.partition("-")[0] and re.fullmatch("[0-9]{1,18}", process)
        if here and not process_is_alive(int(process)):
            return False
        return time.time() + self.ahead - touched < (self.stale if mark else min(self.stale, BLANK))


class NoClaims(Claims):
    """The claims of a process that shares its store with nobody."""

    def __init__(self) -> None:
        self.own: set[str] = set()

    def take(self, name: str) -> bool:
        return True

    def drop(self, name: str) -> None:
        pass

    def beat(self) -> None:
        pass

    def sweep_up(self) -> None:
        pass


def _mark(path: Path) -> str:
    """Read the mark of a claim; whatever else a file there holds, no more of it is read than a mark is long."""
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(path)
    with open(path, "rb") as file:
        return file.read(LONGEST_MARK).decode("ascii")


def _parts(name: str) -> tuple[str, int, int]:
    """Split a shard's name into key and range; any other name has an empty range."""
    match = NAME.fullmatch(name)
    return (match[1], int(match[2]), int(match[3])) if match else (name, 0, 0)
