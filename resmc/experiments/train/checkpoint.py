"""The file from which an interrupted training goes on: an archive of what it is, and of the state of each part.

.. code-block:: text

    manifest.json       format, schema_version, described (models, networks, settings, data, device), parts
    <part>.<name>       arrays of `Training.state`, of each part that has begun: members of one shape

The file appears whole or not at all, and carries a checksum. One takes the place of another between two steps, every
few seconds, but not so often that more than a twentieth of the time goes into writing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._system import checks
from ..._system.plain import Plain
from ..._system.reading import read_file
from ..._system.words import brief
from ..._system.writers import writer_is_gone
from ...results import archive
from ...results.storage import check_place, write_atomically
from .settings import USUAL, differences

FORMAT = "resmc-training"
SCHEMA_VERSION = 1
KIND = "training"
SHARE = 0.05  # the most of the time that writing may take
LEAST = 2.0  # seconds between two writings, at least
MOST_NAMED = 4

Arrays = dict[str, NDArray[Any]]
Stored = Callable[[str, "np.dtype[Any]"], NDArray[Any]]


class Checkpoint:
    """The file of a training that is described so; what it holds is read, and refused if it is of another.

    Attributes
    ----------
    parts : int
        Parts whose states the file has.

    Raises
    ------
    OSError
        If the file cannot be read, or nothing can be written there.
    ValueError
        If it is damaged or none of a training, or of one with other settings, models, networks or data; the message
        says which differ.
    """

    def __init__(self, path: str | Path, described: Plain) -> None:
        self.path, self.described = checks.absolute("checkpoint", path), described
        check_place(self.path)
        self._sweep_up()
        self.parts, self._finished = 0, Arrays()
        self._archive: archive.Archive | None = None
        self._next = time.monotonic() + LEAST
        if self.path.exists():
            self._read()

    def stored(self, part: int) -> Stored:
        """Return a function that reads the arrays of a part by name and type; ValueError for what is not there."""
        found = self._archive
        assert found is not None
        return lambda name, dtype: found.array(f"{part}.{name}", dtype)

    def refusal(self, error: Exception) -> ValueError:
        """Return the error for a file whose content is not what it should be."""
        return ValueError(f"{archive.refusal(f'checkpoint={str(self.path)!r}', error, KIND)}: {CURE}")

    @property
    def due(self) -> bool:
        """True if it is time to write again."""
        return time.monotonic() >= self._next

    def write(self, part: int, state: Arrays) -> None:
        """Put the state of a part into the file, beside those of the parts before it.

        Raises
        ------
        OSError
            If the file cannot be written; the one before it stays as it was.
        """
        begun = time.monotonic()
        manifest = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "described": self.described, "parts": part + 1}
        arrays = self._finished | {f"{part}.{name}": array for name, array in state.items()}
        write_atomically(archive.to_bytes(manifest, arrays), self.path)
        now = time.monotonic()
        self._next = now + max(LEAST, (now - begun) / SHARE)

    def finish(self, part: int, state: Arrays, write: bool) -> None:
        """Keep the state of a part that has ended, for this file and those to come."""
        if write:
            self.write(part, state)
        self._finished |= {f"{part}.{name}": np.array(array) for name, array in state.items()}

    def _sweep_up(self) -> None:
        """Remove what processes that were killed while they wrote have left beside the file."""
        for one in self.path.parent.glob(".resmc-*.tmp"):
            if writer_is_gone(one.name):
                one.unlink(missing_ok=True)

    def _read(self) -> None:
        name = f"checkpoint={str(self.path)!r}"
        try:
            data = read_file(self.path, lambda end: archive.check_end(end, name, KIND))
            found = archive.Archive(data, name, KIND)
        except ValueError as error:
            raise ValueError(f"{error}: {CURE}") from None
        manifest = found.manifest
        try:
            if manifest["format"] != FORMAT:
                raise ValueError(f"it is a file of the format {brief(manifest['format'])}")
            version = manifest["schema_version"]
            if version != SCHEMA_VERSION:
                raise ValueError(f"it has the schema version {brief(version)}, and {SCHEMA_VERSION} is read")
            described, parts = manifest["described"], checks.integer("parts", manifest["parts"], 1, 2**20)
            differ = _differences(self.described, described)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = ValueError(f"its manifest has no {error}") if isinstance(error, KeyError) else error
            raise self.refusal(said) from None
        if differ:
            more = f"; and {len(differ) - MOST_NAMED} more" if len(differ) > MOST_NAMED else ""
            raise ValueError(
                f"{name} is not allowed: it is of another training, which differs in {'; '.join(differ[:MOST_NAMED])}"
                f"{more}. Ask for the same to go on with it, or give another file for a new training"
            )
        self.parts, self._archive = parts, found


CURE = "remove it to begin anew, or give another file"


def _differences(new: Plain, old: Plain) -> list[str]:
    """Return what is asked for that differs from what a file has, in words."""
    found = differences(USUAL | new["settings"], USUAL | old["settings"])
    data = {name: value for name, value in new["data"].items() if name != "data"}
    found += differences(data, {name: value for name, value in old["data"].items() if name != "data"})
    if new["data"]["data"] != old["data"]["data"]:
        found.append("the data: X, y, or the indices of split, are not the same")
    rest = ("networks", "device")
    found += differences({name: new[name] for name in rest}, {name: old[name] for name in rest})
    if len(new["models"]) != len(old["models"]):
        found.append(f"{len(new['models'])} models, where there were {len(old['models'])}")
    for i, (one, other) in enumerate(zip(new["models"], old["models"], strict=False)):
        found += differences(one, other, f"models[{i}].")
    return list(dict.fromkeys(found))  # Settings and data both have the loss.
