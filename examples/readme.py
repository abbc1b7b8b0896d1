"""What README shows, made anew: the output and the picture of its first code, and its table of rates.

    python examples/readme.py [--check]

The rates are those of bench/results. With --check nothing is written; an error says what is out of date.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "images" / "log_norm.png"
ROWS = (  # the beginnings of the lines of the summary that README has room for
    "vanilla ResNet",
    "quantity ",
    "mean L_50 ",
    "variance L_50 ",
    "log E|z_50|^2/|z_0|^2 ",
    "E F_0 ",
    "E F_50 ",
    "Corr A, lag 1 ",
    "KS of L, log-Gaussian limit ",
    "KS of L, infinite width ",
)
BENCHMARKS = {
    "AVX2": "cpu-intel-xeon-family-6-model-167-avx2-one-thread",
    "AVX-512": "cpu-intel-xeon-family-6-model-167-avx512-one-thread-quick",
}
PEERS = {
    "torch.compile": "the same method in PyTorch, compiled",
    "NumPy": "the same method in NumPy",
    "torch module loop, default construction": "`torch.nn.Module`, one network at a time",
}
SIZE = (192, 200)
NUMBER = re.compile(r"[+-]?[0-9]+(?:\.([0-9]+))?(?:e[+-][0-9]+)?%?")
LAST_DIGITS = 5  # units of the last digit by which numbers may differ between processors, whose rounding differs
BLOCK, SHADE = 10, 0.25  # pictures are compared by the mean shades of squares of so many pixels


def first_code(text: str) -> str:
    """Return the first Python block of a page."""
    found = re.search(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def run(code: str, folder: Path) -> str:
    """Run code in a folder, where it leaves its files, and return what it prints."""
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, str(README), "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def shortened(printed: str) -> str:
    """Return the lines that begin with `ROWS`, with an empty line below the first."""
    first, *others = (line.rstrip() for line in printed.splitlines() if line.startswith(ROWS))
    return "\n".join([first, "", *others])


def rates() -> str:
    """Return the table of rates as Markdown, and the machine and the files that they are from."""
    folder = ROOT / "bench" / "results"
    found = {name: json.loads((folder / f"{file}.json").read_text()) for name, file in BENCHMARKS.items()}
    lines = [f"| one thread | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    rows = {"**resmc**": [_rate(one, next(iter(PEERS)), "resmc_per_s") for one in found.values()]}
    rows |= {words: [_rate(one, peer, "peer_per_s") for one in found.values()] for peer, words in PEERS.items()}
    lines += [f"| {name} | {' | '.join(map(_thousands, each))} |" for name, each in rows.items()]
    machine = next(iter(found.values()))["machine"]["cpu"]
    files = ", ".join(f"[{name}](bench/results/{file}.md)" for name, file in BENCHMARKS.items())
    return "\n".join([*lines, "", f"{machine}; medians of several rounds ({files})."])


def _rate(benchmark: Any, peer: str, side: str) -> float:
    """Return the neuron updates a second of resmc or of a peer that it was measured against."""
    for one in benchmark["results"]:
        job, (width, depth) = one["job"], SIZE
        problem = job["problem"]
        if (job["task"], job["peer"], job["method"], problem["variant"]) != ("compare", peer, "projected", "vanilla"):
            continue
        if (problem["width"], problem["depth"]) == SIZE:
            return float(one["result"][side]["median"]) * width * depth
    raise ValueError(f"there is no measurement of {peer} in the benchmark of commit {benchmark['commit']}")


def _thousands(rate: float) -> str:
    """Return a rate with three digits, as so many millions."""
    return f"{float(f'{rate / 1e6:.3g}'):g} million"


def put(text: str, name: str, inside: str) -> str:
    """Return a page with what stands between its marks replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    return f"{before}{begin}\n{inside}\n{end}{after}"


def inside(text: str, name: str) -> str:
    """Return what stands between the marks of a page."""
    return text.split(f"<!-- {name}: begin -->\n")[1].split(f"\n<!-- {name}: end -->")[0]


def same_words(old: str, new: str) -> bool:
    """Return True if two texts differ in the last digits of numbers alone."""
    if NUMBER.split(old)[::2] != NUMBER.split(new)[::2]:
        return False
    pairs = zip(NUMBER.finditer(old), NUMBER.finditer(new), strict=True)
    return all(_near(a, b) for a, b in pairs)


def _near(a: re.Match[str], b: re.Match[str]) -> bool:
    unit = 10.0 ** -min(len(a[1] or ""), len(b[1] or ""))
    return abs(float(a[0].rstrip("%")) - float(b[0].rstrip("%"))) <= LAST_DIGITS * unit


def same_picture(old: Path, new: Path) -> bool:
    """Return True if two pictures look alike, whatever wrote their files."""
    import numpy as np
    from matplotlib.image import imread

    shades = [imread(path)[..., :3].mean(axis=2) for path in (old, new)]
    if shades[0].shape != shades[1].shape:
        return False
    high, wide = (n // BLOCK * BLOCK for n in shades[0].shape)
    means = [s[:high, :wide].reshape(high // BLOCK, BLOCK, wide // BLOCK, BLOCK).mean(axis=(1, 3)) for s in shades]
    return bool(np.max(np.abs(means[0] - means[1])) < SHADE)


def main() -> None:
    """Write README's parts, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if something is out of date")
    check = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        output = f"```text\n{shortened(run(first_code(text), Path(folder)))}\n```"
        drawn = Path(folder) / PICTURE.name
        if check:
            old = [
                *(["its output"] if not same_words(inside(text, "output"), output) else []),
                *(["its picture"] if not same_picture(PICTURE, drawn) else []),
                *(["its rates"] if inside(text, "rates") != rates() else []),
            ]
            if old:
                sys.exit(f"README is out of date ({', '.join(old)}): run `make readme`")
            return
        PICTURE.write_bytes(drawn.read_bytes())
    README.write_text(put(put(text, "output", output), "rates", rates()), encoding="utf-8")


if __name__ == "__main__":
    main()
