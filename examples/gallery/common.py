"""What the scripts of the gallery share: their arguments, LNR's weights, a number beside what it is compared with."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import resmc
from resmc.results.estimates import Estimate, format_estimate

WEIGHT = 0.5**0.5  # alpha and lambda, wherever a script does not vary them
PLAIN = {r"\lambda": "lam", r"\le": "<="}  # what is not its name without the backslash
CLEAR = 5.0  # standard errors: below it a sentence does not say which of two numbers is larger


@dataclass(frozen=True)
class Finding:
    """One number of a script: an estimate, its standard error, and what stands beside it.

    ``kind`` says what ``reference`` is. "limit": leading order in 1/n or 1/L, from which a finite width or depth
    differs. "noise": the distance that sampling alone would show. Any other, like "exact": there is a z-score.
    """

    name: str
    value: float
    stderr: float
    kind: str = ""
    reference: float | None = None

    @classmethod
    def of(cls, name: str, estimate: Estimate, kind: str = "", reference: Any = None) -> Finding:
        """From a scalar estimate."""
        beside = None if reference is None else float(reference)
        return cls(name, float(estimate.value), float(estimate.stderr), kind, beside)

    @property
    def z(self) -> float:
        """How many standard errors it lies above the reference."""
        return (self.value - (self.reference or 0.0)) / self.stderr if self.stderr else math.nan

    @property
    def number(self) -> str:
        """The value and its standard error."""
        return format_estimate(self.value, self.stderr).replace("+-", "±")

    @property
    def theory(self) -> str:
        """What stands beside it, and of which kind that is."""
        if self.reference is None or math.isnan(self.reference):
            return ""
        return f"{self.kind} {self.reference:.{1 if self.kind == 'noise' else 4}g}"

    @property
    def difference(self) -> str:
        """The relative difference from a limit, or the z-score against an exact value."""
        if not self.theory or self.kind == "noise":
            return ""
        if self.kind == "limit":
            return f"{(self.value - self.reference) / self.reference:+.1%}" if self.reference else ""
        return f"z = {round(self.z, 1) + 0.0:+.1f}" if math.isfinite(self.z) else ""

    def __str__(self) -> str:
        beside = ", ".join(filter(None, (self.theory, self.difference)))
        return f"{self.number} ({beside})" if beside else self.number


def tell(found: Sequence[Finding]) -> None:
    """Prints each number with its name."""
    for one in found:
        print(f"{one.name}: {one}")


def word(errors: float, below: str, above: str, otherwise: str) -> str:
    """What to call a difference of so many standard errors; ``otherwise`` too if there are no errors."""
    return above if errors >= CLEAR else below if errors <= -CLEAR else otherwise


def plain(doc: str) -> str:
    """Return a docstring for a terminal, where its formulas, written as in LaTeX, are read as they are."""
    return re.sub(r"\\[a-zA-Z]+", lambda word: PLAIN.get(word[0], word[0][1:]), doc).replace(r"\,", "").replace("$", "")


def arguments(doc: str | None, picture: str) -> argparse.ArgumentParser:
    """What every script takes: --networks, --seed, --output."""
    parser = argparse.ArgumentParser(description=plain(doc or ""), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=float, default=1.0, help="times the usual number of networks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(picture), help="the figure")
    return parser


def run(main: Callable[[], Any]) -> None:
    """A script's last line: what cannot be done is said in one."""
    try:
        main()
    except (resmc.DeviceError, OSError, ValueError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")


def simulate(args: argparse.Namespace, networks: float, part: int = 0, **model: Any) -> resmc.Simulation:
    """``networks`` times --networks of the networks of these fields, alpha and lambda being `WEIGHT` by default.

    Different ``part`` have random numbers of their own: what is fitted together has to be independent.
    """
    fields = {"alpha": WEIGHT, "lam": WEIGHT} | model
    return resmc.simulate(networks=max(int(networks * args.networks), 1), seed=args.seed + (part << 32), **fields)


def figure(width: float, height: float) -> Figure:
    """An empty figure in inches, whose layout makes room for legends below the axes."""
    return Figure(figsize=(width, height), layout="constrained")


def save(fig: Figure, path: Path) -> None:
    """Writes the figure and says where."""
    fig.savefig(path, dpi=160)
    print(f"figure: {path}")
