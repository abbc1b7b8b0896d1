"""Run the scripts of the gallery, or some; with --record write their numbers here and into docs/gallery.md.

python examples/gallery [NAME ...] [--output gallery-output] [--networks 1.0] [--small] [--seed 0] [--record]
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import common

import resmc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS, PAGE = HERE / "results.json", ROOT / "docs" / "gallery.md"
SCRIPTS = tuple(sorted(path.stem for path in HERE.glob("[a-z]_*.py")))
ORIGIN = "Seed {seed}, commit {commit}, {processor}, {instruction_set}, NumPy {numpy}, numerics version {numerics}."
BEGIN, END = "<!-- gallery: begin -->", "<!-- gallery: end -->"


def commit() -> str:
    """Of the working tree, with a plus if it has changes beyond what is recorded here."""
    others = ("--", ":(top)", *(f":(exclude,top){path.relative_to(ROOT)}" for path in (RESULTS, PAGE)))

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", *others) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def made(seed: int) -> dict[str, Any]:
    """What numbers are made with: it stands beside each script's in results.json."""
    info = resmc.build_info()
    machine = {key: info[key] for key in ("processor", "instruction_set", "threads", "compiler")}
    versions = {"resmc": info["version"], "numerics": info["numerics_version"], "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in ("numpy", "scipy", "matplotlib")}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"date": date, "commit": commit(), "seed": seed, **machine, **versions}


def merged(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every script's entry in their order: the new one if there is one."""
    entries = {entry["script"]: entry for entry in [*old, *new]}
    return [entries[name] for name in SCRIPTS if name in entries]


def page_table(recorded: Sequence[dict[str, Any]]) -> str:
    """A row for each number, the claim in front of the first, and where the numbers come from."""
    lines = ["| claim | quantity | found | theory | difference |", "|---|---|---|---|---|"]
    origins: dict[str, list[str]] = {}
    for entry in recorded:
        claim = f"[{entry['claim']}](../examples/gallery/{entry['script']}.py)"
        for one in (common.Finding(**one) for one in entry["findings"]):
            numbers = (cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in (one.number, one.theory, one.difference))
            cells = (cell.replace("|", r"\|") for cell in (claim, one.name, *numbers))
            lines.append(f"| {' | '.join(cells)} |")
            claim = ""
        origins.setdefault(ORIGIN.format(**entry["made"]), []).append(entry["script"][0])
    several = len(origins) > 1
    said = [(f"{', '.join(letters)}: " if several else "") + origin for origin, letters in origins.items()]
    return "\n".join([*lines, "", "\n\n".join(said)])


def main() -> None:
    """Run them, and say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SCRIPTS)}; all by default")
    parser.add_argument("--output", type=Path, default=Path("gallery-output"), help="folder of the figures")
    parser.add_argument("--networks", type=float, default=1.0, help="times the usual number of networks")
    parser.add_argument(
        "--small", action="store_true", help="fewer depths, or points of maps, where a script says which"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write results.json and the table of docs/gallery.md")
    args = parser.parse_args()
    if args.record and (args.networks != 1.0 or args.small):
        parser.error("--record goes with the usual networks, all of them: leave --networks and --small away")
    for name in args.names:
        if name not in SCRIPTS:
            parser.error(f"NAME={name!r} is not allowed: it must be one of {', '.join(SCRIPTS)}")
    args.output.mkdir(parents=True, exist_ok=True)
    results = []
    for name in args.names or SCRIPTS:
        script = importlib.import_module(name)
        if args.small:
            vars(script).update(getattr(script, "SMALL", {}))
        start = time.perf_counter()
        picture = args.output / f"{name}.png"
        found = script.main([f"--networks={args.networks}", f"--seed={args.seed}", f"--output={picture}"])
        print(f"{name} took {time.perf_counter() - start:.1f} s\n", flush=True)
        entry = {"script": name, "claim": script.CLAIM, "findings": [asdict(one) for one in found]}
        results.append(entry | {"made": made(args.seed)})
    if args.record:
        recorded = merged(json.loads(RESULTS.read_text(encoding="utf-8")), results)
        RESULTS.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        text = PAGE.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        PAGE.write_text(f"{before}{BEGIN}\n{page_table(recorded)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    common.run(main)
