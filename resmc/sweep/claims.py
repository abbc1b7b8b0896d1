"""Claims: hints by which several processes on one store share the work instead of doing it twice.

A claim is a small file named after a shard. Its owner, the process that computes the shard, touches it every few
seconds. No result depends on claims being seen, kept or written: without them several processes compute the same shard,
and write the same bytes.

A claim is a hard link to a file of its owner's, the clock, where the file system has links. To make and remove a file
for every shard can take longer than to compute a small one: without a journal, ext4 looks at all that were removed
within the last minutes whenever it makes one.

A claim lapses at once when its owner was a process of this host and has ended. Every other claim lapses after a minute
without a touch, even if a process of the owner's number runs: numbers are given again, and in a container the first
process has the same number every time.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Collection
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
        with contextlib.suppress(OSError):  # claims of an earlier process with this mark are links to it: they stay old
            self.clock.unlink()
        self.beat()

    @property
    def clock(self) -> Path:
        """The file that tells the time, and that claims are links to."""
        return self.folder / f".clock-{self.mark}"

    def take(self, name: str, seen: Collection[str] | None = None) -> bool:
        """Claim ``name``; return False if another living process has claimed it, or a range that overlaps with it.

        ``seen`` are names of other processes' claims as `of_others` has just told; by default it is asked.
        """
        if name in self.own:
            return True
        self.beat()  # a link is as old as the last touch of the clock
        if self._overlaps(name, self.of_others() if seen is None else seen):
            return False
        path = f"{self.folder}/{name}"
        self.own.add(name)  # noted before the file is made, so that an interrupt leaves no file that nobody gives up
        with contextlib.suppress(OSError):
            for _ in range(2):
                try:
                    self._make(path)
                    break
                except FileExistsError:
                    if self._alive(Path(path)):
                        self.own.discard(name)
                        return False
                    Path(path).unlink(missing_ok=True)
        return True

    def _make(self, path: str) -> None:
        """Make the file of a claim; raises FileExistsError if it is there."""
        try:
            try:
                os.link(self.clock, path)
            except FileNotFoundError:  # the clock is not there yet, or went with other claims of this process
                self._touch_clock()
                os.link(self.clock, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links, or with no more of them for one file
            with open(path, "x", encoding="ascii") as file:
                file.write(self.mark)

    def _touch_clock(self) -> None:
        try:
            os.utime(self.clock)
        except FileNotFoundError:
            self.clock.write_text(self.mark, encoding="ascii")

    def of_others(self) -> list[str]:
        """Return the names of claims that are not of this process, whether their owners live or not."""
        with contextlib.suppress(OSError):
            return [name for name in os.listdir(self.folder) if name not in self.own and name[0] != "."]
        return []

    def _overlaps(self, name: str, seen: Collection[str]) -> bool:
        """Say whether another process has claimed some of the same networks, in a shard of another size."""
        key, start, stop = _parts(name)
        for other in seen:
            if other == name or other in self.own or not other.startswith(f"{key}-"):
                continue
            _, other_start, other_stop = _parts(other)
            if other_start < stop and start < other_stop and self._alive(self.folder / other):
                return True
        return False

    def drop(self, name: str) -> None:
        """Give up one claim of this process."""
        path = f"{self.folder}/{name}"
        with contextlib.suppress(OSError, ValueError):
            # After an interrupt in `take`, the file may still be empty, or be another process's, as its mark tells.
            if self._is_link(path) or _mark(Path(path)) in (self.mark, ""):
                os.unlink(path)
        self.own.discard(name)
        if not self.own:
            with contextlib.suppress(OSError):
                self.clock.unlink()

    def _is_link(self, path: str) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samefile(path, self.clock)
        return False

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
            self._touch_clock()
            self.ahead = self.clock.stat().st_mtime - time.time()
            if not self.own:
                self.clock.unlink()
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

    def of_others(self) -> list[str]:
        return []

    def take(self, name: str, seen: Collection[str] | None = None) -> bool:
        return True

    def drop(self, name: str) -> None:
        pass

    def drop_all(self) -> None:
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
