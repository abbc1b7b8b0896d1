"""The store: a directory of shards, immutable files that each hold the sums of a range of networks of one model.

.. code-block:: text

    plan.json                                     the plan that is run
    plans/0001.json, ..                           the plans before it (`resmc.sweep.plans`)
    shards/ab/<key>-<start>-<stop>-<class>.resmc  a finished shard, in the format of `Simulation.save`
    claims/<key>-<start>-<stop>                   a hint that somebody is at it (`resmc.sweep.claims`)
    damaged/                                      files that failed their checksum, set aside

<key> is a hash of model, seed, method, layers, bins, batch and of the versions of numerics, histogram and key;
<class> is the numerics class, such as cpu-avx2. Range and class stay readable, so that a listing of names is enough to
know the store. A shard appears whole or not at all: it is written under a temporary name, flushed to the disk and
renamed, and the directory is flushed. No lock is needed: all who compute a shard of one class write the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from .._system import checks
from .._system.plain import Plain
from .._system.reading import read_file
from .._system.words import cut
from .._system.writers import is_temporary, temporary_name, writer_is_gone
from ..results import storage
from ..results.entries import FinalSums
from ..results.record import Record
from .errors import FULL, Damaged, Gone, PlanError, StoreError, cannot_write
from .kinds import kind_of
from .plans import FOLDER, PLAN, Plans
from .point import description_key
from .shards import Range, Series

Content = TypeVar("Content")
AnyPlan = TypeVar("AnyPlan")
NAME = re.compile(r"([0-9a-f]{32})-([0-9]{1,15})-([0-9]{1,15})-([a-z0-9_-]{1,40})\.resmc")
OLD = 3600.0  # seconds after which a temporary file counts as abandoned: writing a shard takes less than a second


class Stored(NamedTuple):
    """A shard's file, by its name."""

    key: str
    range: Range
    numerics: str  # numerics class, such as cpu-avx2

    @property
    def file(self) -> str:
        """Name of the shard's file in the store."""
        return f"{self.key}-{self.range.start}-{self.range.stop}-{self.numerics}.resmc"


class Listing:
    """The shards that a store holds, by key and range."""

    def __init__(self) -> None:
        self.by_key: dict[str, dict[Range, list[str]]] = {}
        self.classes: set[str] = set()  # all numerics classes that occur
        self.files = 0

    def add(self, stored: Stored) -> None:
        """Note one file; to note a file twice changes nothing."""
        classes = self.by_key.setdefault(stored.key, {}).setdefault(stored.range, [])
        if stored.numerics not in classes:
            self.classes.add(stored.numerics)
            classes.append(stored.numerics)
            classes.sort()  # `first` picks a file by name, so that the order in which files appeared has no effect
            self.files += 1

    def remove(self, stored: Stored) -> None:
        """Forget one file."""
        ranges = self.by_key[stored.key]
        ranges[stored.range].remove(stored.numerics)
        self.files -= 1
        if not ranges[stored.range]:
            del ranges[stored.range]

    def ranges(self, key: str) -> dict[Range, list[str]]:
        """Return the ranges stored under ``key``, each with its numerics classes."""
        return self.by_key.get(key, {})

    def first(self, key: str, networks: Range) -> Stored:
        """Return the file to use for a range: the first of its numerics classes, by name."""
        return Stored(key, networks, self.by_key[key][networks][0])


class Store:
    """The files of one directory; the module's text shows where each kind lies."""

    in_memory = False

    def __init__(self, path: str | Path) -> None:
        self.path = checks.absolute("store", path)  # the program may change its folder while a sweep runs
        self.shards, self.claims, self.damaged = (self.path / name for name in ("shards", "claims", "damaged"))
        self.plans = Plans(self.path)

    # -- the directory ------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Make the folders that are missing, and try whether files can be written.

        Raises
        ------
        StoreError
            If the path is a file, a directory with files that are not a store's, or cannot be written to.
        """
        try:
            if self.path.is_dir() and not self.exists() and any(map(self._is_foreign, self.path.iterdir())):
                raise StoreError(f"store={str(self.path)!r} is not allowed: it is a directory with other files in it")
            for folder in (self.path, self.shards, self.claims):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.path / temporary_name()
            try:
                probe.write_bytes(b"probe")
            finally:
                with contextlib.suppress(OSError):  # a full disk leaves an empty file, or none
                    probe.unlink()
        except StoreError:
            raise
        except (FileExistsError, NotADirectoryError):
            raise StoreError(f"store={str(self.path)!r} is not allowed: it, or a folder above it, is a file") from None
        except OSError as error:
            if error.errno in FULL:
                raise self.failure(error) from None
            raise StoreError(f"store={str(self.path)!r} cannot be written to: {error.strerror}") from None

    def _is_foreign(self, path: Path) -> bool:
        """Say whether a file belongs to no store; another process may be making the store just now."""
        own = (self.shards, self.claims, self.damaged, self.path / FOLDER, self.path / PLAN)
        return path not in own and not is_temporary(path.name)

    def exists(self) -> bool:
        """Say whether the directory is a store."""
        return self.shards.is_dir()

    def require(self) -> None:
        """Refuse a path that is not a store, with a sentence."""
        if not self.path.exists():
            raise StoreError(f"store={str(self.path)!r} does not exist")
        if not self.exists():
            raise StoreError(f"store={str(self.path)!r} is not a store: it has no folder 'shards'")

    def write_plan(self, plan: Plain, replace: bool = False) -> None:
        """Keep the plan for workers, status and export; errors as for `Plans.keep`."""
        self.plans.keep(plan, replace)

    def read_plan(self) -> Plain:
        """Read the plan that `write_plan` has kept; errors as for `Plans.read`."""
        self.require()
        return self.plans.read()

    def plan(self, read: Callable[[Plain], AnyPlan], loader: str = "") -> AnyPlan:
        """Make a plan of what `read_plan` reads; raises `PlanError` if ``read`` makes none of it.

        ``loader`` names the caller for people, who are told where the plan is of another kind.
        """
        return self.made(self.read_plan(), read, loader)

    def made(self, described: Plain, read: Callable[[Plain], AnyPlan], loader: str = "") -> AnyPlan:
        """Make a plan of what has been read, as `plan` does."""
        kind = kind_of(described)
        if loader and kind is not None and kind.loader != loader:
            raise PlanError(f"store={str(self.path)!r} holds the plan of a {kind.name}: {kind.loader} reads it")
        try:
            return read(described)
        except (TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            words = cut(str(error))
            raise PlanError(f"{self.plans.path} is no plan that this resmc can run: {words}") from None

    def sweep_up(self) -> None:
        """Remove temporary files whose writers are gone: processes of this host that have ended, or old files."""
        now = time.time()
        for folder in (self.path, *self._folders()):
            for entry in _scan(folder):
                if is_temporary(entry.name) and _abandoned(entry, now):
                    Path(entry.path).unlink(missing_ok=True)

    # -- shards -------------------------------------------------------------------------------------------------------

    def listing(self, key: str | None = None) -> Listing:
        """List every shard, or those of one key, by their names; no file is opened."""
        listing = Listing()
        for folder in self._folders() if key is None else [self.shards / key[:2]]:
            for entry in _scan(folder):
                match = NAME.fullmatch(entry.name)
                # A shard in the folder of another key counts as missing, since `file` would not find it.
                if not match or key not in (None, match[1]) or folder.name != match[1][:2]:
                    continue
                networks = Range(int(match[2]), int(match[3]))
                if networks.start < networks.stop:
                    listing.add(Stored(match[1], networks, match[4]))
        return listing

    def file(self, stored: Stored) -> Path:
        """Return the path of a shard's file."""
        return Path(self._name(stored))

    def _name(self, stored: Stored) -> str:
        return f"{self.shards}/{stored.key[:2]}/{stored.file}"

    def find(self, key: str, networks: Range, classes: Collection[str]) -> Stored | None:
        """Return the file of a range if there is one of these numerics classes by now; this lists no folder."""
        for numerics in sorted(classes):
            stored = Stored(key, networks, numerics)
            if os.path.exists(self._name(stored)):
                return stored
        return None

    def write(self, stored: Stored, data: bytes) -> None:
        """Write a shard's file, which appears whole or not at all.

        Raises
        ------
        StoreError
            If the disk is full or cannot be written to.
        """
        path = self._name(stored)
        try:
            try:
                storage.write_atomically(data, path)
            except FileNotFoundError:  # the first shard of its folder
                os.makedirs(os.path.dirname(path), exist_ok=True)
                storage.flush_folder(self.shards)
                storage.write_atomically(data, path)
        except OSError as error:
            raise self.failure(error) from None

    def verified(self, stored: Stored, parse: Callable[[bytes, str], tuple[Stored | None, Content]]) -> Content:
        """Read a shard by ``parse``, which says under which name a content belongs; a bad one raises ValueError there.

        Raises
        ------
        Damaged
            If the content contradicts the checksum or the name; `Gone` if the file is not there.
        """
        data = self.content(stored)
        try:
            held, content = parse(data, self._name(stored))
        except ValueError as error:
            raise Damaged(str(error)) from None
        if held != stored:
            raise Damaged(f"{self.file(stored)} does not hold what its name says")
        return content

    def read(self, stored: Stored) -> Record:
        """Read a shard of simulations and verify it; errors as for `verified`."""
        return self.verified(stored, _simulation)

    def read_final(self, stored: Stored) -> FinalSums:
        """Read the sums of the end of a shard of simulations and verify the file; errors as for `verified`."""
        return self.verified(stored, _final)

    def set_aside(self, stored: Stored) -> None:
        """Move a damaged shard to the folder damaged, for people to look at; if that fails, leave it where it is."""
        with contextlib.suppress(OSError):
            self.damaged.mkdir(exist_ok=True)
            os.replace(self.file(stored), self.damaged / stored.file)

    def content(self, stored: Stored) -> bytes:
        """Read a shard's file, unverified; raises `Damaged` if it cannot be read, `Gone` if it is not there."""
        path = self._name(stored)
        try:
            return read_file(path)
        except OSError as error:  # for example a bad sector, no permission, or a link to nowhere
            if not self.exists():
                raise Gone(
                    f"{path} cannot be read: store={str(self.path)!r} is not there any more. If it was moved, "
                    "resmc.load_sweep reads it where it is now"
                ) from None
            if not os.path.lexists(path):
                raise Gone(f"{path} is not there any more") from None
            raise Damaged(str(error)) from None

    def _folders(self) -> list[Path]:
        return sorted(Path(entry.path) for entry in _scan(self.shards) if entry.is_dir())

    def failure(self, error: OSError) -> StoreError:
        """Make the error for a disk that is full or gone."""
        return cannot_write(self.path, error)


def _simulation(data: bytes, name: str) -> tuple[Stored | None, Record]:
    simulation = storage.from_bytes(data, Record, name)
    return _place({**storage.described(simulation), "quotients": list(simulation.ratios)}), simulation


def _final(data: bytes, name: str) -> tuple[Stored | None, FinalSums]:
    manifest, sums = storage.final_from_bytes(data, name)
    return _place(manifest), sums


def _place(manifest: Plain) -> Stored | None:
    """Return the name under which a simulation's file belongs; no shard holds several ranges."""
    (start, stop, batch), *others = manifest["ranges"]
    key = description_key(manifest, manifest["numerics"][0], batch)
    return None if others else Stored(key, Range(start, stop), class_name(manifest["numerics"][-1]))


def stored_as(point: Series, networks: Range, numerics: str) -> Stored:
    """Name the file of a series' range that a numerics class has computed."""
    return Stored(point.key, networks, class_name(numerics))


@cache
def class_name(numerics: str) -> str:
    """Write a numerics class as it stands in a file's name."""
    return re.sub("[^a-z0-9_]+", "-", numerics.lower())


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _abandoned(entry: os.DirEntry[str], now: float) -> bool:
    """Say whether a temporary file is left over: its writer, by its name, is gone, or it is old."""
    if writer_is_gone(entry.name):
        return True
    # Age counts even if a process with the writer's number runs: numbers are given again after a process has ended.
    with contextlib.suppress(FileNotFoundError):
        return now - entry.stat().st_mtime > OLD
    return False
