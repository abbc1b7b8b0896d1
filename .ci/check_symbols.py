"""No function compiled for AVX2 or AVX-512 may be one that the linker merges with its namesake elsewhere.

    python .ci/check_symbols.py BUILD...

An inline function used by several object files is a weak symbol in each, and the linker keeps whichever copy it meets
first. Where that is the copy compiled with -mavx2, every caller runs AVX2 instructions, and a machine without them
stops with SIGILL. So the objects of one instruction set may have weak symbols only in a namespace of their own.

BUILD is a directory of a CMake build, or an object file in a directory kernels_<set>.dir. Exits with 1, naming the
symbols, if any is outside of resmc::<set>; and if no object was found.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SETS = ("avx2", "avx512")
WEAK = frozenset("WVu")  # nm's letters: weak function, weak object, unique global


def objects(build: Path) -> list[tuple[str, Path]]:
    """(instruction set, object file) of every kernel below build, or build itself."""
    files = sorted(build.rglob("*.o")) if build.is_dir() else [build]
    found = []
    for file in files:
        folder = re.search(r"kernels_(\w+)\.dir", str(file.absolute()))
        if folder and folder[1] in SETS:
            found.append((folder[1], file))
    return found


def inside(mangled: str, name: str) -> bool:
    """Whether a mangled C++ symbol belongs to the namespace resmc::name.

    What only mentions the namespace, as std::swap<resmc::avx2::Word> does, is outside of it.
    """
    space = f"5resmc{len(name)}{name}"
    # Z: what is local to a function; GV, T.: guards and tables; K, V, R, O: qualifiers of a member function.
    return re.match(rf"_Z(GV|T[VTIS])?Z?N[KVRO]*{space}", mangled) is not None


def offending(file: Path, name: str) -> list[str]:
    """The weak symbols of an object file outside of resmc::name, demangled."""
    lines = subprocess.run(["nm", str(file)], check=True, capture_output=True, text=True).stdout.splitlines()
    symbols = [line.split(maxsplit=2) for line in lines if line[:1].isalnum()]
    bad = [symbol for _, letter, symbol in symbols if letter in WEAK and not inside(symbol, name)]
    if not bad:
        return []
    return subprocess.run(["c++filt", *bad], check=True, capture_output=True, text=True).stdout.splitlines()


def main(arguments: list[str]) -> int:
    found = [pair for argument in arguments for pair in objects(Path(argument))]
    if not found:
        print(f"check_symbols: no object of {' or '.join(SETS)} below {' '.join(arguments) or '(nothing given)'}")
        return 1
    failed = False
    for name, file in found:
        bad = offending(file, name)
        failed = failed or bool(bad)
        print(f"{name}: {file.name}: {len(bad)} weak symbols outside of resmc::{name}")
        for symbol in bad:
            print(f"    {symbol}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
