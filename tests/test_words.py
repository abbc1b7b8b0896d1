"""Docstrings begin with a verb or the name of the thing; a comment is a sentence, or a phrase, that stands alone."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable
from pathlib import Path

import resmc

PACKAGE = Path(resmc.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Words that refer to something which the reader has not met yet.
RIDDLES = (
    "What", "Whether", "Of", "As", "Who", "Whose", "Which", "It", "Its", "They", "Their", "Them", "This", "That",
    "These", "Those", "He", "She", "Both", "Also", "Else", "So", "Such", "Than", "Then", "Likewise", "Ditto",
    "The same",
)  # fmt: skip
OPENING = re.compile(r"(?:The same|[A-Za-z]+)")


def opening(text: str) -> str:
    """The word, or "The same", with which a text begins."""
    found = OPENING.match(text.strip())
    return found[0] if found else ""


def docstrings(source: str) -> list[tuple[int, str]]:
    """Every docstring with its line."""
    out = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                out.append((getattr(node, "lineno", 1), text))
    return out


def comments(source: str) -> list[tuple[int, str]]:
    """Every comment that does not go on with the one in the line above, with its line; directives are left out."""
    out: list[tuple[int, str]] = []
    before = (-1, -1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("#").strip()
            goes_on = before == (token.start[0] - 1, token.start[1])
            before = token.start
            if not goes_on and not re.match(r"(fmt|type|noqa|ruff|mypy|--)", text):
                out.append((token.start[0], text))
    return out


def riddles(texts: list[tuple[int, str]]) -> list[str]:
    """The texts that begin with a word that refers to something not met yet."""
    return [f"{line}: {text.splitlines()[0]}" for line, text in texts if opening(text) in RIDDLES]


def in_all_files(texts: Callable[[str], list[tuple[int, str]]]) -> list[str]:
    """The riddles of all files, with file and line."""
    found = ((path, riddles(texts(path.read_text(encoding="utf-8")))) for path in FILES)
    return [f"{path.relative_to(PACKAGE)}:{riddle}" for path, several in found for riddle in several]


def test_a_docstring_begins_with_a_verb_or_the_name_of_the_thing():
    assert in_all_files(docstrings) == []


def test_a_comment_stands_alone():
    assert (
        in_all_files(lambda source: [(line, text[0].upper() + text[1:]) for line, text in comments(source) if text])
        == []
    )


def test_the_reader_sees_a_riddle():
    """A negative control."""
    source = '"""What it is."""\n\n\ndef f():\n    """Whether so."""\n    x = 1  # of that\n'
    source += "    # A comment.\n    # It goes on.\n"
    assert riddles(docstrings(source)) == ["1: What it is.", "4: Whether so."]
    assert comments(source) == [(6, "of that"), (7, "A comment.")]
    assert riddles([(1, "The same as before")]) == ["1: The same as before"]
    assert riddles([(1, "Theory of what comes")]) == []
