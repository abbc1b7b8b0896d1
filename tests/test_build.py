"""What is built: the shared mathematics with no vectors at all, and the separation of the instruction sets."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compiled import COMPILER, ROOT, compile_cxx, compiled
from engines import fast_network

from resmc import ResNet, _native, reference

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no compiler: {COMPILER}"),
]

FLAGS = ("-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror")

# ---- one slot per word ----------------------------------------------------------------------------------------------

HALF = 0.5**0.5
SEED, FIRST, NETWORKS, DEPTH, N_OUT = 0x9E3779B97F4A7C15, (1 << 32) - 5, 12, 8, 6  # networks on both sides of 2^32


@pytest.fixture(scope="module")
def scalar_team() -> Path:
    """tests/native/scalar_team.cpp: the mathematics of csrc/include for one network at a time."""
    return compiled("scalar_team", [ROOT / "tests" / "native" / "scalar_team.cpp"], *FLAGS, "-ffp-contract=off")


def run_scalar(program: Path, model: ResNet, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(L, A, active counts), each (NETWORKS, depth + 1), and outputs (NETWORKS, n_out)."""
    native = vars(fast_network(model))
    names = ("width", "depth", "n_out", "carry", "carry_mantissa", "carry_exponent", "step", "readout")
    variant = ("vanilla", "balanced", "balanced-half").index(model.variant)
    arguments = [variant, reference.METHODS.index(method), *(native[name] for name in names), SEED, FIRST, NETWORKS]
    command = [str(program), *(repr(argument) for argument in arguments)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = np.array([line.split() for line in lines if len(line.split()) == 4], float)
    square, active_square, exponent, active = rows.reshape(NETWORKS, model.depth + 1, 4).transpose(2, 0, 1)
    outputs = np.array([line.split() for line in lines if len(line.split()) == model.n_out], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_norm = np.log(square / model.width) + 2.0 * np.log(2.0) * exponent
        asymmetry = 2.0 * active_square / square - 1.0
    log_norm += [model.log_norm_offset(layer) for layer in range(model.depth + 1)]
    scale = np.exp(0.5 * model.log_norm_offset(model.depth)) * np.exp2(exponent[:, -1:])
    return log_norm, asymmetry, active, outputs * scale


def models() -> list[ResNet]:
    shapes = [(width, variant) for width in (1, 3, 40, 193) for variant in ("vanilla", "balanced")]
    shapes += [(2, "balanced-half"), (40, "balanced-half")]
    return [
        *(ResNet(width, DEPTH, HALF, HALF, variant, N_OUT) for width, variant in shapes),
        ResNet(3, DEPTH, 0.0, 1.5, n_out=N_OUT, input_norm=3.0),  # networks die
        ResNet(40, DEPTH, -0.9, 0.6, n_out=N_OUT),
    ]


@pytest.mark.parametrize("method", reference.METHODS)
@pytest.mark.parametrize("model", models(), ids=lambda m: f"{m.variant}-{m.width}-{m.alpha:.2g}")
def test_scalar_team_draws_the_networks_of_the_reference(scalar_team: Path, model: ResNet, method: str) -> None:
    log_norm, asymmetry, active, output = run_scalar(scalar_team, model, method)
    paths = reference.simulate(model, NETWORKS, SEED, FIRST, method)

    alive = np.isfinite(paths.log_norm)
    assert alive.all() == (model.alpha != 0.0)
    assert alive[:, 0].all()
    np.testing.assert_array_equal(np.isfinite(log_norm), alive)
    np.testing.assert_array_equal(active[alive], np.rint(paths.active_fraction * model.width)[alive])
    # Single precision against double. A narrow network may cancel to a small |z|: 99% of those, within 1e-4.
    far = 0.01 if model.width < 64 else 0.0
    assert np.mean(np.abs(log_norm[alive] - paths.log_norm[alive]) > 1e-4) <= far
    assert np.mean(np.abs(asymmetry[alive] - paths.asymmetry[alive]) > 1e-4) <= far
    size = np.sqrt(np.mean(paths.output**2, axis=1, keepdims=True))
    assert np.mean(np.abs(output - paths.output) > 1e-4 * size) <= far


def test_scalar_team_can_disagree(scalar_team: Path) -> None:
    """The comparison finds networks that are not the same."""
    model = ResNet(40, DEPTH, HALF, HALF)
    log_norm, _, active, _ = run_scalar(scalar_team, model, "projected")
    paths = reference.simulate(model, NETWORKS, SEED, FIRST + 1)
    assert np.mean(np.abs(log_norm - paths.log_norm) > 1e-4) > 0.9
    assert np.any(active != np.rint(paths.active_fraction * model.width))


# ---- weak symbols ---------------------------------------------------------------------------------------------------

CHECK_SYMBOLS = ROOT / ".ci" / "check_symbols.py"

INNOCENT = """
namespace resmc { namespace avx2 {
inline int twice(int x) { return 2 * x; }
template <class T> struct Box { T x; T get() const { return x; } };
int (*const address)(int) = twice;
int use() { return Box<int>{address(1)}.get(); }
} }
"""
OFFENDING = {
    "shared-inline": "namespace resmc { inline int twice(int x) { return 2 * x; } int (*address)(int) = twice; }",
    "other-set": "namespace resmc { namespace avx512 { inline int f() { return 1; } } int (*address)() = avx512::f; }",
    "std-template": "#include <vector>\nvoid push(std::vector<int>& v) { v.push_back(1); }",
    "mentions-only": (
        "namespace resmc { namespace avx2 { struct Word {}; } }\n"
        "template <class T> int size(T) { return sizeof(T); }\n"
        "int (*address)(resmc::avx2::Word) = size<resmc::avx2::Word>;"
    ),
    "variable": "inline int shared = 1; int* address = &shared;",
}


def check_symbols(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    objects = folder / "kernels_avx2.dir"
    objects.mkdir()
    (folder / "unit.cpp").write_text(code)
    done = compile_cxx([folder / "unit.cpp"], objects / "unit.o", *FLAGS, "-c", "-mavx2", "-O0")
    assert done.returncode == 0, done.stderr
    return subprocess.run([sys.executable, str(CHECK_SYMBOLS), str(folder)], capture_output=True, text=True)


x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86")


@x86
def test_symbols_of_its_own_namespace_are_allowed(tmp_path: Path) -> None:
    done = check_symbols(INNOCENT, tmp_path)
    assert done.returncode == 0, done.stdout


@x86
@pytest.mark.parametrize("name", OFFENDING)
def test_symbols_that_the_linker_may_merge_are_found(name: str, tmp_path: Path) -> None:
    done = check_symbols(OFFENDING[name], tmp_path)
    assert done.returncode == 1
    assert "weak symbols outside of resmc::avx2" in done.stdout
    assert not done.stderr


def test_no_object_to_check_is_a_failure(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(CHECK_SYMBOLS), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1


# ---- the extension --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("readelf") is None, reason="no readelf")
def test_the_extension_brings_its_libstdcxx_and_shows_its_entry_alone() -> None:
    """Else it could not be loaded where Python meets an older one than the compiler's."""

    def said(*command: str) -> str:
        return subprocess.run([*command, _native.__file__], check=True, capture_output=True, text=True).stdout

    dynamic = said("readelf", "--dynamic", "--version-info")
    assert "libc.so" in dynamic
    for word in ("libstdc++", "GLIBCXX_", "CXXABI_"):
        assert word not in dynamic
    assert [line.split()[-1] for line in said("nm", "-D", "--defined-only").splitlines()] == ["PyInit__native"]


# ---- the source distribution ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="not a checkout of git's")
def test_a_source_distribution_holds_all_that_is_tracked() -> None:
    """Else it does not build, which nobody sees who builds from a checkout: by MANIFEST.in, as setuptools reads it."""
    filelist = pytest.importorskip("setuptools._distutils.filelist")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = set(listed.stdout.splitlines())
    files = filelist.FileList()
    files.allfiles = sorted(tracked)
    for line in (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            files.process_template_line(line)
    always = {"pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in", ".gitignore"}
    packaged = {name for name in tracked if name.startswith("resmc/")}
    assert tracked - set(files.files) - packaged == always - set(files.files)
    assert "csrc/include/resmc/philox.hpp" in files.files
