"""The default number of threads: the least of affinity, control groups' quota and SLURM's count, from made-up files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import resmc
from resmc._system import cpus
from resmc._system.cpus import usable_cpus
from resmc.engine import native
from resmc.sweep import engines

pytestmark = pytest.mark.cpu
CORES = 64  # of the made-up machine
V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 {part} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
"""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CORES)))


def files(root: Path, **contents: str) -> Path:
    """Writes files below ``root``; __ in a name stands for a slash."""
    for name, text in contents.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def group(root: Path, where: str, **contents: str) -> None:
    for name, text in contents.items():
        path = root / where / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_without_limits_it_is_the_affinity(tmp_path):
    assert usable_cpus(tmp_path, {}) == CORES
    assert usable_cpus(tmp_path, {"OMP_NUM_THREADS": "1"}) == CORES


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", CORES),
        ("150000 100000", 2),
        ("400000 100000", 4),
        ("1000 100000", 1),
        ("9900000 100000", CORES),
        ("0 100000", CORES),
        ("100000 0", CORES),
        ("nonsense", CORES),
        ("", CORES),
    ],
)
def test_version_2_gives_quota_over_period_rounded_up(tmp_path, quota, expected):
    files(tmp_path, proc__self__cgroup="0::/\n", proc__self__mountinfo=V2 + "\n")
    group(tmp_path, "sys/fs/cgroup", cpu__max=quota + "\n")
    assert usable_cpus(tmp_path, {}) == expected


def test_version_2_asks_every_group_above_as_well(tmp_path):
    files(tmp_path, proc__self__cgroup="0::/slurm/job_7/step_0\n", proc__self__mountinfo=V2 + "\n")
    group(tmp_path, "sys/fs/cgroup/slurm/job_7/step_0", cpu__max="max 100000\n")
    group(tmp_path, "sys/fs/cgroup/slurm/job_7", cpu__max="300000 100000\n")
    group(tmp_path, "sys/fs/cgroup/slurm", cpu__max="800000 100000\n")
    assert usable_cpus(tmp_path, {}) == 3
    group(tmp_path, "sys/fs/cgroup", cpu__max="100000 100000\n")
    assert usable_cpus(tmp_path, {}) == 1


@pytest.mark.parametrize("part", ["/", "/docker/2f"])
def test_version_1_wherever_a_container_sees_its_group(tmp_path, part):
    """With a view of its own or the host's path; where the host's hierarchy is mounted whole, below that path."""
    lines = "5:cpuset:/\n4:cpu,cpuacct:/docker/2f\n1:name=systemd:/docker/2f\n"
    files(tmp_path, proc__self__cgroup=lines, proc__self__mountinfo=V1.format(part=part))
    at = "sys/fs/cgroup/cpu,cpuacct" + ("/docker/2f" if part == "/" else "")
    group(tmp_path, at, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert usable_cpus(tmp_path, {}) == CORES
    group(tmp_path, at, cpu__cfs_quota_us="250000\n")
    assert usable_cpus(tmp_path, {}) == 3


def test_a_container_without_its_group_in_sight_has_that_of_the_mount(tmp_path):
    files(tmp_path, proc__self__cgroup="2:cpu,cpuacct:/docker/2f\n", proc__self__mountinfo=V1.format(part="/"))
    group(tmp_path, "sys/fs/cgroup/cpu,cpuacct", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    assert usable_cpus(tmp_path, {}) == 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CPUS_PER_TASK": "8", "CPUS_ON_NODE": "32"}, 8),
        ({"CPUS_ON_NODE": "32"}, 32),
        ({"CPUS_ON_NODE": "32", "STEP_TASKS_PER_NODE": "4(x2)", "NODEID": "1"}, 8),
        ({"CPUS_ON_NODE": "32", "STEP_TASKS_PER_NODE": "4(x2),2", "NODEID": "2"}, 16),
        ({"CPUS_ON_NODE": "2", "STEP_TASKS_PER_NODE": "4"}, 1),
        ({"CPUS_ON_NODE": "32", "STEP_TASKS_PER_NODE": "4", "NODEID": "7"}, 32),
        ({"CPUS_PER_TASK": "128"}, CORES),
        ({"CPUS_PER_TASK": "0"}, CORES),
        ({"CPUS_PER_TASK": "many", "CPUS_ON_NODE": "-3"}, CORES),
    ],
)
def test_slurm_gives_its_count_for_a_task(tmp_path, environment, expected):
    assert usable_cpus(tmp_path, {f"SLURM_{name}": value for name, value in environment.items()}) == expected


def test_the_least_of_all_counts(tmp_path):
    files(tmp_path, proc__self__cgroup="0::/\n", proc__self__mountinfo=V2 + "\n")
    group(tmp_path, "sys/fs/cgroup", cpu__max="500000 100000\n")
    assert usable_cpus(tmp_path, {"SLURM_CPUS_PER_TASK": "8"}) == 5
    assert usable_cpus(tmp_path, {"SLURM_CPUS_PER_TASK": "3"}) == 3


def test_simulations_sweeps_and_doctor_ask_this_alone(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert usable_cpus() <= 3
    monkeypatch.setattr(cpus, "_quotas", lambda root: iter(()))
    asked = []
    monkeypatch.setattr(native, "simulate", lambda *arguments: asked.append(arguments[4]))
    resmc.simulate(width=4, depth=2, alpha=0.5, lam=0.5, networks=10)
    assert asked == [3]
    assert resmc.build_info()["threads"] == 3
    pool = engines.open_engine(None, None, None, "cpu")
    assert (pool.workers, pool.threads) == (3, 1)
    pool.close()
    sources = {path.name: path.read_text(encoding="utf-8") for path in Path(resmc.__file__).parent.rglob("*.py")}
    assert [name for name, text in sources.items() if "sched_getaffinity" in text or "cpu_count" in text] == ["cpus.py"]
