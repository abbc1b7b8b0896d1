"""Errors of stores, in words that say which store, why, and what would help."""

from __future__ import annotations

import errno
from pathlib import Path

from .._system.reading import reason

FULL = (errno.ENOSPC, errno.EDQUOT)


class StoreError(OSError):
    """A store cannot be used as asked; the message says which store, why, and what would help."""


class PlanError(StoreError, ValueError):
    """A store's plan is damaged, or is not what the run's plan extends."""


class Superseded(Exception):
    """The store has another plan than the one with which a worker began."""


class Damaged(ValueError):
    """A shard's content contradicts its name or its checksum."""


class Gone(Damaged):
    """A shard is not there any more: another process has set it aside since the store was listed."""


def cannot_write(store: Path, error: OSError) -> StoreError:
    """Make the error for a disk that is full or gone, with words that say how to mend it."""
    help = "make room" if error.errno in FULL else "see to it"
    return StoreError(
        f"store={str(store)!r} cannot be written to: {reason(error)}. Finished shards are safe: {help}, then run the "
        "same again"
    )
