"""What the tests of the command line share: a command that succeeds, and one that says in a sentence why it fails."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

import resmc
from resmc import cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"


def run(capsys: pytest.CaptureFixture[str], *arguments: Any, status: int = 0) -> str:
    """What a command prints that succeeds, or ends with another status."""
    capsys.readouterr()
    found = cli.main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert found == status, err
    return str(out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one line that a command says when it fails, without the name of the program."""
    capsys.readouterr()
    assert cli.main([str(a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("resmc: ")
    assert err.count("\n") == 1
    return str(err[len("resmc: ") : -1])


def strict(text: str) -> Any:
    """Read JSON; a NaN or an infinity, which Python's reader would take, is an error."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def answer(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    """The JSON object that a command prints, which begins as all do."""
    found: dict[str, Any] = strict(run(capsys, *arguments, "--json"))
    assert list(found)[:2] == ["command", "version"]
    assert (found.pop("command"), found.pop("version")) == (arguments[0], resmc.__version__)
    return found


def documented(heading: str, after: str = "") -> set[str]:
    """The keys in the table of the page's section that begins so, or in the table after a line in it."""
    page = PAGE.read_text(encoding="utf-8")
    (section,) = (part for part in page.split("\n### ") if part.startswith(heading + "\n"))
    table = section.partition(f"\n{after}\n\n" if after else "\n\n")[2].partition("\n\n")[0]
    keys = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert keys
    return set(keys)


def contents_of(sim: resmc.Simulation) -> bytes:
    from resmc.results.storage import to_bytes

    return to_bytes(sim)


def has_frames() -> bool:
    """Return True if pandas is installed, which tables need."""
    return importlib.util.find_spec("pandas") is not None
