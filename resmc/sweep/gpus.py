"""One GPU for each worker process: chosen before CUDA starts, and held until the process ends."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from pathlib import Path
from typing import IO

from ..engine import cuda, devices

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/gpus")

_held: IO[str] | None = None  # the locked file of this process's GPU


def visible() -> list[str]:
    """List the GPUs that this process may use, as CUDA_VISIBLE_DEVICES would name them, without starting CUDA."""
    listed = os.environ.get(VISIBLE)
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip()]
    try:
        return [str(i) for i in range(len(list(DRIVER.iterdir())))]
    except OSError:
        return []


def gpu_of_kernels(device: str) -> str:
    """Return the name by number of a GPU that our kernels run on; raises DeviceError if there is none."""
    return f"cuda:{cuda.open_cuda(devices.parse(device)[1]).ordinal}"


def pin(device: str, folder: Path | None = None) -> str | None:
    """Hold one of several GPUs for this process, by a lock that ends with it, and hide the others from CUDA.

    Return the name of the GPU, or None if there is nothing to choose: ``device`` is not "cuda" without a number, there
    are fewer than two GPUs, CUDA has been started, or this process holds a GPU already. If other processes hold all
    GPUs, this process shares one of them.
    """
    global _held
    if devices.parse(device) != ("cuda", None) or _held is not None:
        return None
    names = visible()
    torch = sys.modules.get("torch")
    if len(names) < 2 or (torch is not None and torch.cuda.is_initialized()):
        return None
    folder = folder or Path(tempfile.gettempdir()) / f"resmc-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    chosen = names[os.getpid() % len(names)]
    for name in names:
        # Two jobs on one node may each see a GPU 0, and these may be different GPUs: each job has locks of its own.
        place = f"{os.environ.get('SLURM_JOB_ID', '')}-{name}".replace("/", "-")
        file = open(folder / f"{place}.lock", "w", encoding="ascii")  # noqa: SIM115 (held for life)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _held, chosen = file, name
        break
    os.environ[VISIBLE] = chosen
    return chosen
