"""Who writes: names of temporary files that say which process of which host they belong to, and whether it runs."""

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
    """Eight hexadecimal digits for this host since it was started, and this container: elsewhere, process numbers mean
    nothing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot = numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {boot} {numbers}".encode()).hexdigest()[:8]


def process_is_alive(pid: int) -> bool:
    """Whether a process of this host still runs; one that has ended, and only waits to be asked how, does not."""
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
    return about.rpartition(")")[2].split()[0] not in "ZX"  # after the name, which may hold anything


def temporary_name() -> str:
    """A name for a file that is being written by this process."""
    return f".resmc-{host_mark()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file's name is one of those."""
    return name.startswith(".resmc-") and name.endswith(".tmp")


def writer_is_gone(name: str) -> bool | None:
    """Whether the process that made a temporary file has ended; None if it is of another host."""
    match = re.fullmatch(r"\.resmc-([0-9a-f]{8})-([0-9]+)-[0-9a-f]+\.tmp", name)
    if match is None or match[1] != host_mark():
        return None
    return not process_is_alive(int(match[2]))
