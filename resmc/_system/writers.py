"""Names of temporary files: each says which process of which host writes the file, so that leftovers are recognised."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from functools import cache
from pathlib import Path


@cache
def host_mark() -> str:
    """Return eight hexadecimal digits for this host since it was started, and for this container.

    Process numbers mean something only among processes with the same digits.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {boot} {numbers}".encode()).hexdigest()[:8]


def process_is_alive(pid: int) -> bool:
    """Say whether a process of this host still runs; a zombie, whose parent has not asked for its status, does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    try:
        about = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # The state stands after the process's name, which is in parentheses and may itself hold anything.
    return about.rpartition(")")[2].split()[0] not in "ZX"


def temporary_name() -> str:
    """Make a new name for a file that this process is about to write."""
    return f".resmc-{host_mark()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Say whether a file's name was made by `temporary_name`, on whatever host."""
    return name.startswith(".resmc-") and name.endswith(".tmp")


def writer_is_gone(name: str) -> bool | None:
    """Say whether the process that made a temporary file has ended; None if another host's process made it."""
    match = re.fullmatch(r"\.resmc-([0-9a-f]{8})-([0-9]+)-[0-9a-f]+\.tmp", name)
    if match is None or match[1] != host_mark():
        return None
    return not process_is_alive(int(match[2]))
