"""Formulas as MathML, by the converter that docutils brings along.

MathJax and KaTeX, the usual choices, are scripts: a page would fetch them from the network, or the site would carry
megabytes of them that this project would have to keep up to date. Browsers have understood MathML since 2023, it needs
no script and no file, follows the text's colour and size, and can be read aloud. A formula that the converter does not
know is a warning, and so an error in `make docs`.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


FUNCTION = r"\\(?:log|exp|sin|cos|arccos|max|min)\b"
OPERATORS = {  # as browsers space them by themselves, |z|/n would fall apart
    "<mo>|</mo>": '<mo lspace="0" rspace="0" stretchy="false">|</mo>',
    '<mo stretchy="false">|</mo>': '<mo lspace="0" rspace="0" stretchy="false">|</mo>',
    '<mo stretchy="false">/</mo>': '<mo lspace="0.05em" rspace="0.05em" stretchy="false">/</mo>',
    "<mo>{</mo>": '<mo lspace="0" rspace="0" stretchy="false">{</mo>',
    "<mo>}</mo>": '<mo lspace="0" rspace="0" stretchy="false">}</mo>',
    '<mtable class="ams-align">': '<mtable class="ams-align" displaystyle="true">',
}


def spaced(text: str) -> str:
    """Thin spaces around the names of functions, and primes where they belong: the converter does neither."""
    text = re.sub(r"(?<=\w)'", r"^{\\prime}", text)
    text = re.sub(rf"(?<=[\w}}])\s*({FUNCTION})", r"\\,\1", text)
    return re.sub(rf"({FUNCTION}(?:\^\w)?)(?!\^|\s*\(|\s*\\left)", r"\1\\,", text)


def convert(translator: HTML5Translator, node: Any, block: bool) -> None:
    text = node.astext().strip()
    if block and "\\\\" in text and r"\begin{" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    try:
        formula = latex2mathml.tex2mathml(spaced(text), as_block=block)
    except (MathError, SyntaxError) as error:
        logger.warning("formula not understood: %s in %r", error, text, location=node)
        formula = f"<code>{translator.encode(text)}</code>"
    for plain, better in OPERATORS.items():
        formula = formula.replace(plain, better)
    translator.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    convert(translator, node, block=False)


def display(translator: HTML5Translator, node: nodes.math_block) -> None:
    convert(translator, node, block=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
