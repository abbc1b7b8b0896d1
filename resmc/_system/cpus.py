"""The CPUs that this process may use, which are the threads that are used by default."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path


def usable_cpus(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Return how many CPUs this process may use: the least of what the following allow, and at least 1.

    - Its affinity, which ``taskset``, ``numactl`` and most batch systems set.
    - The CPU time of its control groups, as of a container that was started with ``--cpus``: quota/period, rounded up,
      since threads that share 1.5 CPUs take work from each other. Versions 1 and 2.
    - SLURM's count for a task, SLURM_CPUS_PER_TASK; without it SLURM_CPUS_ON_NODE, shared among the tasks of an
      ``srun`` on this node.

    OMP_NUM_THREADS is not asked: no thread here is OpenMP's, and who sets it to 1 wants NumPy and torch to be quiet
    beside threads such as these.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` lie.
    environment : mapping of str
        Environment variables.
    """
    limits = [len(os.sched_getaffinity(0)), *_quotas(root), *_slurm(environment)]
    return max(1, math.ceil(min(limits)))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs that each control group of this process allows, the groups above it included."""
    for line in _lines(root / "proc/self/cgroup"):  # 0::/user.slice, or 4:cpu,cpuacct:/docker/2f
        files: tuple[str, ...]
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            kind, files = "cgroup2", ("cpu.max",)
        elif "cpu" in controllers.split(","):
            kind, files = "cgroup", ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        for mounted, at in _mounts(root, kind):
            # Seen from within a container, the path may be the host's, of which the mount is a part.
            within = f"{path}/".startswith(f"{mounted.rstrip('/')}/")
            folder = at / os.path.relpath(path, mounted) if within else at
            for group in (folder, *folder.parents):
                words = " ".join(" ".join(_lines(group / name)) for name in files).split()
                with suppress(ValueError, ZeroDivisionError):  # without a quota: max, or -1
                    quota, period = map(int, words)
                    if quota > 0:
                        yield quota / period
                if group == at:
                    break


def _mounts(root: Path, kind: str) -> Iterator[tuple[str, Path]]:
    """Yield what part of the groups' hierarchy is mounted, and where."""
    for line in _lines(root / "proc/self/mountinfo"):  # 36 30 0:31 /part /where rw - cgroup2 source options
        before, _, after = (part.split() for part in line.partition(" - "))
        if len(before) > 4 and after[:1] == [kind] and (kind == "cgroup2" or "cpu" in after[-1].split(",")):
            yield before[3], root / before[4].lstrip("/")


def _slurm(environment: Mapping[str, str]) -> Iterator[int]:
    """Yield SLURM's count for this task, if there is one."""
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        text = environment.get(name, "")
        if re.fullmatch("[1-9][0-9]{0,5}", text):
            tasks = 1 if name == "SLURM_CPUS_PER_TASK" else _tasks(environment)
            yield max(1, int(text) // tasks)
            return


def _tasks(environment: Mapping[str, str]) -> int:
    """Return the tasks of this step of a SLURM job on this node; 1 outside of ``srun``."""
    nodes: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):  # 4(x2),3: four on two nodes, then three
        match = re.fullmatch(r"([1-9][0-9]{0,5})(?:\(x([1-9][0-9]{0,5})\))?", part)
        if match is None:
            return 1
        nodes += [int(match[1])] * int(match[2] or 1)
    with suppress(ValueError, IndexError):
        return nodes[int(environment.get("SLURM_NODEID", "0"))]
    return 1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
