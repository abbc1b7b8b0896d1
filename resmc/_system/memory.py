"""Memory of this machine."""

from __future__ import annotations

import os
import time

FRESH = 0.1  # seconds for which an answer serves: to ask takes as long as to simulate hundreds of small networks
_answered: tuple[float, int] = (-FRESH, 0)  # time and bytes


def available_memory() -> int:
    """Return the bytes that this process may still take, which the kernel calls available; at most 0.1 s old."""
    global _answered
    when, found = _answered
    now = time.monotonic()
    if now - when >= FRESH:
        found = _ask()
        _answered = now, found
    return found


def _ask() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
