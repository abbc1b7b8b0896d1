"""The search for a CUDA compiler that works (cmake/find_nvcc.cmake), with compilers that only pretend to be one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compiled import ROOT

CMAKE = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
pytestmark = [pytest.mark.cpu, pytest.mark.skipif(CMAKE is None, reason="no cmake")]

VERSION = 'case "$*" in *--version*) echo "Cuda compilation tools, release 12.4, V12.4.131"; exit 0;; esac\n'
KNOWS = 'case "$*" in *--list-gpu-code*) printf "sm_80\\nsm_90\\n"; exit 0;; esac\n'
LEAVES_OBJECT = 'case "$*" in *" -c "*) while [ "$1" != -o ]; do shift; done; : >"$2"; exit 0;; esac\n'
GOOD = VERSION + KNOWS
TOO_NEW = "host_config.h:143:2: error: #error -- unsupported GNU version! gcc versions later than 13 are not supported!"

# What each does, and what is said of it.
PRETENDERS = {
    "does not run": ("exit 7", "does not run: it ends with 7 and says nothing"),
    "crashes": ("kill -SEGV $$", "does not run: "),
    "says other things": ("echo 'cc 3.1'", "does not say which version of nvcc it is, but: cc 3.1"),
    "says nothing": ("exit 0", "does not say which version of nvcc it is, but: it ends with 0 and says nothing"),
    "binary garbage": ("printf '\\001;]\\377\\n'", "does not say which version of nvcc it is"),
    "hangs": ("sleep 60", "does not run: it does not end within 1 s"),
    "too old": ("echo 'release 11.8, V11.8.89'", "nvcc 11.8 (", "is too old: 12.0 is the first with C++20"),
    "knows no sm_90": (VERSION + "echo sm_80", "does not know architecture 90"),
    "only answers --version": (VERSION + "exit 1", "cannot compile here: it ends with 1 and says nothing"),
    "has no headers": (
        GOOD + "echo 'probe.cu:1:10: warning: unused'; echo 'fatal error: cuda_runtime.h: No such file' >&2; exit 1",
        "nvcc 12.4 (",
        "cannot compile here: fatal error: cuda_runtime.h: No such file",
    ),
    "host compiler is too new": (GOOD + f"echo '{TOO_NEW}' >&2; exit 1", f"cannot compile here: {TOO_NEW}"),
    "hangs when it compiles": (GOOD + "sleep 60", "cannot compile here: it does not end within 1 s"),
    "compiles nothing": (GOOD + "exit 0", "cannot compile here: it leaves no object file"),
    "cannot link": (
        GOOD + LEAVES_OBJECT + "echo '/usr/bin/ld: cannot find -lcudart_static: No such file or directory' >&2; exit 1",
        "cannot link here: /usr/bin/ld: cannot find -lcudart_static",
    ),
    "links nothing": (GOOD + LEAVES_OBJECT + "exit 0", "cannot link here: it leaves no program"),
}  # fmt: skip

SCRIPT = f"""
cmake_minimum_required(VERSION 3.25)
set(wish AUTO)
set(architectures 80-real 90)
set(CMAKE_CURRENT_SOURCE_DIR "{ROOT}")
include("{ROOT}/cmake/find_nvcc.cmake")
find_nvcc(why)
message(STATUS "why: ${{why}}")
"""


def pretend(folder: Path, script: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "nvcc"
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(mode)
    return file


def search(folder: Path, nvcc: str, **more: str) -> str:
    """What `find_nvcc` says of the compiler that CUDACXX names: a line."""
    assert CMAKE is not None
    (folder / "search.cmake").write_text(SCRIPT, encoding="utf-8")
    command = [CMAKE, "-DRESMC_NVCC_SECONDS=1", "-P", "search.cmake"]
    environment = {**os.environ, "CUDACXX": nvcc, "CUDAFLAGS": "", **more}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("-- why:")]
    assert len(lines) == 1, done.stdout
    return lines[0].removeprefix("-- why:").strip()


@pytest.mark.parametrize("kind", PRETENDERS)
def test_a_compiler_that_cannot_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    script, *said = PRETENDERS[kind]
    nvcc, begin = pretend(tmp_path / "a folder", script), time.monotonic()
    why = search(tmp_path, str(nvcc))
    for words in (str(nvcc), *said):
        assert words in why
    assert time.monotonic() - begin < 30.0


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    assert "does not run: " in search(tmp_path, str(pretend(tmp_path / "bin", GOOD, 0o644)))
    assert "does not run: " in search(tmp_path, str(tmp_path / "none"))
    assert "does not run: " in search(tmp_path, str(tmp_path))


def test_options_beside_the_compiler_reach_it(tmp_path: Path) -> None:
    """As in CUDACXX='nvcc -ccbin g++-12', which CMake takes as well."""
    nvcc = pretend(tmp_path / "bin", GOOD + 'echo "error: $*"; exit 1')
    assert "error: -Xone -Xtwo -ccbin=g++-9 -std=c++20 -c" in search(
        tmp_path, f"{nvcc} -Xtwo", CUDAFLAGS="-Xone", CUDAHOSTCXX="g++-9"
    )


# ---- the whole configuration ----------------------------------------------------------------------------------------


def configure(folder: Path, wish: str, nvcc: Path, *more: str) -> subprocess.CompletedProcess[str]:
    assert CMAKE is not None
    options = [f"-DRESMC_CUDA={wish}", f"-DPython_EXECUTABLE={sys.executable}", *more]
    command = [CMAKE, "-S", str(ROOT), "-B", str(folder / "build"), *options]
    environment = {**os.environ, "CUDACXX": str(nvcc)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.long
def test_auto_builds_without_kernels_and_on_stops(tmp_path: Path) -> None:
    nvcc = pretend(tmp_path / "a folder", GOOD + f"echo '{TOO_NEW}' >&2; exit 1")
    sentence = f"nvcc 12.4 ({nvcc}) cannot compile here: {TOO_NEW}"
    auto = configure(tmp_path, "AUTO", nvcc)
    assert auto.returncode == 0, auto.stdout + auto.stderr
    assert f"resmc: no CUDA kernels: {sentence}" in auto.stdout
    on = configure(tmp_path, "ON", nvcc)
    assert on.returncode != 0
    assert " ".join(on.stderr.split()).count(f"RESMC_CUDA=ON, but {' '.join(sentence.split())}") == 1


@pytest.mark.long
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_a_compiler_that_works_is_taken_and_one_that_cmake_cannot_use_is_not(tmp_path: Path) -> None:
    real = shutil.which("nvcc")
    works = configure(tmp_path, "AUTO", pretend(tmp_path / "a folder", f'exec {real} "$@"'))
    assert "resmc: CUDA kernels for 80-real;90" in works.stdout, works.stdout + works.stderr
    # It compiles and links what it is asked plainly, and fails at what only CMake asks.
    of_cmake = 'case "$*" in *CMakeCUDACompilerId*) echo "odd error"; exit 1;; esac'
    odd = pretend(tmp_path / "odd", f'{of_cmake}\nexec {real} "$@"')
    found = configure(tmp_path / "odd", "AUTO", odd)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "no CUDA kernels: CMake cannot use nvcc" in found.stdout
