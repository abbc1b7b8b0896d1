"""The plans of a store: ``plan.json``, the one that is run, and in the folder ``plans`` those before it, in order.

A plan takes the place of another if it extends it, so that nobody loses what he asked for; any other only if its user
says so. Whoever replaces a plan holds a lock on the directory for that moment, where the file system has locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from .._system.plain import Plain, of_json
from .._system.reading import read_file
from .._system.words import cut
from ..results import storage
from .errors import PlanError, StoreError, cannot_write
from .kinds import kind_of, lacking

PLAN = "plan.json"
FOLDER = "plans"
NUMBERED = re.compile(r"[0-9]{4,9}\.json")
PATIENCE = 5.0  # seconds that a lock is waited for: it is held for milliseconds, unless its owner was stopped


class Plans:
    """The plans in one directory."""

    def __init__(self, store: Path) -> None:
        self.store, self.path, self.folder = store, store / PLAN, store / FOLDER

    def read(self) -> Plain:
        """Read the plan that is run.

        Raises
        ------
        StoreError
            If there is none; `PlanError` if it is damaged.
        """
        data = self._bytes()
        if data is None:
            raise StoreError(f"store={str(self.store)!r} holds no plan yet: run a sweep into it")
        try:
            plan = of_json(data)
            if not isinstance(plan, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            raise PlanError(f"{self.path} is damaged ({error}): run the sweep again, shards are kept") from None
        return plan

    def keep(self, described: Plain, replace: bool = False) -> None:
        """Make a plan the one that is run; a plan that lies there already is not written again.

        Raises
        ------
        PlanError
            If the directory holds a plan that this one does not extend, unless ``replace``.
        StoreError
            If it cannot be written.
        """
        data = (json.dumps(described, indent=1) + "\n").encode()
        with self._locked():
            before = self._bytes()
            if before == data:
                return
            if before is not None:
                if not replace:
                    self._check(described, before)
                self._remember(before)
            self._write(data, self.path)

    def earlier(self) -> list[Path]:
        """List the files of the plans before this one, the oldest first."""
        with contextlib.suppress(OSError):
            found = [path for path in self.folder.iterdir() if NUMBERED.fullmatch(path.name)]
            return sorted(found, key=lambda path: int(path.stem))
        return []

    def _check(self, new: Plain, before: bytes) -> None:
        """Refuse to put a plan in the place of one that it does not extend; what is no plan may be replaced."""
        try:
            found = of_json(before)
        except ValueError:
            return
        if not isinstance(found, dict) or kind_of(found) is None:
            return
        try:
            missing = lacking(new, found)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:  # for example one of a newer version
            missing = [cut(str(error))]
        if missing:
            raise PlanError(
                f"store={str(self.store)!r} holds another plan, which this one does not extend: {'; '.join(missing)}. "
                "Run this one into another directory, or say replace=True (--replace) to put it in the place of the "
                "other, which is then kept in the folder plans; shards stay in any case"
            )

    def _remember(self, before: bytes) -> None:
        earlier = self.earlier()
        number = 1 + (int(earlier[-1].stem) if earlier else 0)
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(self.store, error) from None
        self._write(before, self.folder / f"{number:04}.json")

    def _bytes(self) -> bytes | None:
        try:
            return read_file(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(str(error)) from None

    def _write(self, data: bytes, path: Path) -> None:
        try:
            storage.write_atomically(data, path)
        except OSError as error:
            raise cannot_write(self.store, error) from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the directory's lock; go on without it where there are none, or its owner does not give it back."""
        folder = os.open(self.store, os.O_RDONLY | os.O_CLOEXEC)
        try:
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:
                    break
            yield
        finally:
            os.close(folder)
