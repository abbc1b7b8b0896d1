"""Memory of this machine."""

from __future__ import annotations

import os


def available_memory() -> int:
    """Return the bytes that this process may still take, which the kernel calls available."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
