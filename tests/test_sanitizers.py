"""The CUDA kernels' warps and blocks, emulated on the CPU, against one thread per network; and under the sanitizers.

tests/native/warp_checks.cpp does the work. The address sanitizer sees a thread that reads or writes beyond what its
launch was given, the thread sanitizer a warp that reads what another has not been made to wait for. Faults that are
planted as a program begins show that they do, in the very program in which nothing is found without them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from compiled import COMPILER, ROOT, compile_cxx, compiled
from emulated import QUICKLY, flags

SOURCES = [ROOT / "tests" / "native" / name for name in ("warp_checks.cpp", "scalar_networks.cpp")]
SANITIZERS = {
    "address": ["-Og", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-g1", "-fsanitize=thread"],  # half a minute more to compile, minutes less to run than with -Og
}
FOUND = 66  # the exit status that a sanitizer is told to use; the program's own is 1 if it finds a difference
OPTIONS = {
    "ASAN_OPTIONS": f"exitcode={FOUND}:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": f"exitcode={FOUND}:print_stacktrace=1",
    "TSAN_OPTIONS": f"exitcode={FOUND}:halt_on_error=1",
}
INNOCENT = "int main() { return 0; }"
SHIFTED = "int main(int argc, char**) { return (1 << (31 + argc)) == 7; }"

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no compiler: {COMPILER}"),
]


def warp_checks(*more: str) -> Path:
    return compiled("warp_checks", SOURCES, *flags(), "-Werror", *more)


def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **OPTIONS, **variables}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=900)


class Sanitizer:
    """Compiles with a sanitizer and runs what comes out of it; skips the test where that is not possible."""

    def __init__(self, name: str, folder: Path) -> None:
        self.flags, self.folder = SANITIZERS[name], folder
        self.before: list[str] = []
        innocent = self.tiny(INNOCENT)
        # Some kernels scatter a process's memory more widely than the sanitizers' maps allow for; some containers do
        # not let a process ask for less.
        attempts = [run(*before, innocent) for before in (self.fixed_addresses(), [])]
        if attempts[0].returncode == 0:
            self.before = self.fixed_addresses()
        elif attempts[1].returncode != 0:
            pytest.skip(f"programs with the {name} sanitizer do not run here: {attempts[1].stderr.strip()[:200]}")

    @staticmethod
    def fixed_addresses() -> list[str]:
        return ["setarch", "-R"] if shutil.which("setarch") else []

    def tiny(self, code: str) -> Path:
        source, output = self.folder / "tiny.cpp", self.folder / "tiny"
        source.write_text(code)
        done = compile_cxx([source], output, *flags(), "-Werror", *self.flags)
        if done.returncode != 0:
            pytest.skip(f"{COMPILER} cannot link with {self.flags[-1]}: {done.stderr.strip()[:200]}")
        return output

    def build(self) -> Path:
        return warp_checks(*self.flags)

    def run(self, program: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run(*self.before, program, *arguments, **variables)


def assert_all_is_well(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr[:10000]
    assert "networks compared in" in done.stdout
    assert done.stderr == ""
    print(done.stdout.strip())


@pytest.mark.long
def test_warps_and_blocks_make_the_networks_of_one_thread() -> None:
    """As the quick tests see it of emulated warps in test_native.py, test_cuda.py and test_cuda_residual.py."""
    assert_all_is_well(run(warp_checks(QUICKLY), "quick"))


@pytest.mark.long
@pytest.mark.parametrize("name", SANITIZERS)
def test_sanitizer_finds_nothing(name: str, tmp_path: Path) -> None:
    sanitizer = Sanitizer(name, tmp_path)
    assert_all_is_well(sanitizer.run(sanitizer.build(), "full"))


# ---- planted faults -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_missing_barrier_is_found(tmp_path: Path) -> None:
    """One barrier of every block: in the sums of records, and in a team that is a block, wherever its states are."""
    sanitizer = Sanitizer("thread", tmp_path)
    program, planted = sanitizer.build(), {"RESMC_PLANT": "race"}
    for part in ("statistics", "registers", "shared", "device", "residual", "populations"):
        done = sanitizer.run(program, "quick", part, **planted)
        assert done.returncode == FOUND, f"{part}: {done.stdout}"
        assert "ThreadSanitizer: data race" in done.stderr
    assert_all_is_well(sanitizer.run(program, "quick", "words", **planted))  # no barriers there


@pytest.mark.long
def test_overrun_is_found(tmp_path: Path) -> None:
    """One quad too little for the states of a block."""
    sanitizer = Sanitizer("address", tmp_path)
    program, planted = sanitizer.build(), {"RESMC_PLANT": "overrun"}
    for part in ("shared", "device", "residual", "populations"):
        done = sanitizer.run(program, "quick", part, **planted)
        assert done.returncode == FOUND, f"{part}: {done.stdout}"
        assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
    assert_all_is_well(sanitizer.run(program, "quick", "words", **planted))


@pytest.mark.long
def test_undefined_behaviour_is_found(tmp_path: Path) -> None:
    sanitizer = Sanitizer("address", tmp_path)
    done = sanitizer.run(sanitizer.tiny(SHIFTED))
    assert done.returncode != 0
    assert "runtime error: shift exponent 32" in done.stderr


@pytest.mark.cpu
@pytest.mark.parametrize("skips", [-1, 1, *(pytest.param(warp, marks=pytest.mark.long) for warp in (0, 2, 3))])
def test_warps_that_pass_different_numbers_of_barriers_are_seen(skips):
    """Without threads no sanitizer would see it; -1 is no warp, and all is well."""
    program = compiled("barriers", [ROOT / "tests" / "native" / "barriers.cpp"], *flags(), "-Werror")
    done = subprocess.run([program, str(skips)], capture_output=True, text=True)
    if skips < 0:
        assert (done.returncode, done.stdout) == (0, "4 warps have ended\n")
    else:
        assert done.returncode == -signal.SIGABRT
        assert done.stderr == "warps of a block have passed different numbers of barriers\n"
