"""Hints about who computes what: several processes on one store share the work instead of doing it twice.

A claim is a small file named after the shard, that its owner touches every few seconds. Nothing depends on claims
being seen, kept or written: without them the same shards are computed by several, who write the same bytes.

The claim of a process of this host that has ended is nobody's at once, any other after a minute without a touch. That
the process still runs is not enough: its number may be another's by now, and in a container it is the same every time.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from .._system.writers import host_mark, process_is_alive

BEAT = 10.0  # seconds between touches
STALE = 60.0  # seconds after which an untouched claim is nobody's
BLANK = 2.0  # the same for a claim that does not say whose it is: its owner was killed while making it


class Claims:
    """The claims of this process in a store's folder; ages are told by the file system's own clock."""

    def __init__(self, folder: Path, beat: float = BEAT, stale: float = STALE) -> None:
        self.folder, self.every, self.stale = folder, beat, stale
        self.mark = f"{host_mark()}-{os.getpid()}"
        self.own: set[str] = set()
        self.ahead = 0.0  # of the file system's clock before ours
        self.last = -1e9
        self.beat()

    def take(self, name: str) -> bool:
        """Claims ``name``; False if another process that still lives has it, or a range that overlaps with it."""
        if name in self.own:
            return True
        if self._overlaps(name):
            return False
        path = self.folder / name
        self.own.add(name)  # before there is a file: an interrupt between the two would leave it behind
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
        """Whether another has claimed some of the same networks in a shard of another size."""
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
        """Gives up one of our own."""
        path = self.folder / name
        with contextlib.suppress(OSError):
            if path.read_text(encoding="ascii") in (self.mark, ""):  # who was interrupted in `take` may not have got it
                path.unlink()
        self.own.discard(name)

    def drop_all(self) -> None:
        """Gives up all of our own."""
        for name in list(self.own):
            self.drop(name)

    def beat(self) -> None:
        """Touches our claims if it is time to."""
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
        """Removes claims, and clocks, of processes that are gone."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if not self._alive(Path(entry.path)):
                    Path(entry.path).unlink(missing_ok=True)

    def others(self) -> int:
        """How many shards other living processes are at."""
        found = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                found += entry.name[0] != "." and entry.name not in self.own and self._alive(Path(entry.path))
        return found

    def _alive(self, path: Path) -> bool:
        """Whether the owner of a claim lives: by when it was last touched and, on this host, by its process."""
        try:
            mark = path.name.removeprefix(".clock-") if path.name[0] == "." else path.read_text(encoding="ascii")
            touched = path.stat().st_mtime
        except (OSError, ValueError):
            return False
        host, _, process = mark.partition("-")
        if host == self.mark.partition("-")[0] and process.isdigit() and not process_is_alive(int(process)):
            return False
        return time.time() + self.ahead - touched < (self.stale if mark else min(self.stale, BLANK))


def _parts(name: str) -> tuple[str, int, int]:
    """Key and range of a shard's name; of another name, an empty range."""
    key, *numbers = name.rsplit("-", 2)
    if len(numbers) < 2 or not all(map(str.isdigit, numbers)):
        return name, 0, 0
    return key, int(numbers[0]), int(numbers[1])
