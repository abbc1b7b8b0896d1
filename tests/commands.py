"""What the tests of the command line share: a command that succeeds, and one that says in a sentence why it fails."""

from __future__ import annotations

from typing import Any

import pytest

from resmc import cli


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
