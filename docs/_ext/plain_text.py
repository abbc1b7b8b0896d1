"""Lets no directive of the tests (`<!-- test: ... -->`, tests/test_documentation.py) reach the pages."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

DIRECTIVE = re.compile(r"^<!-- test: .*?-->\n", re.MULTILINE | re.DOTALL)


def clean(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = DIRECTIVE.sub("", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", clean)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
