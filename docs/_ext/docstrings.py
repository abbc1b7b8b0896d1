"""The package's docstrings, as this project writes them, for autodoc and napoleon.

- |z| is a norm, and never the name of a substitution.
- A name in single backticks must exist. It is a link if it is documented, wherever it stands in the package.
- The type of a parameter is prose ("ndarray, shape (R,)") and no link.
- Several parameters may share a description. Results have attributes and no signature.
- ``Source: ...`` at the end is a section of its own.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

LITERAL = re.compile(r"(``.*?``|`[^`]*`)")
COLON, COMMA = "\ue000", "\ue001"  # for those that napoleon shall not see
PACKAGE = "resmc"
OTHERS = ("numpy", "matplotlib", "xarray", "torch", "pandas")  # whose pages would have to be fetched to link to them


def before_napoleon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what == "property" and lines:
        lines[0] = lines[0].replace(":", COLON)  # no type stands before it
    out: list[str] = []
    indent = None  # of the literal block that we are in
    for line in lines:
        depth = len(line) - len(line.lstrip())
        if indent is not None and (not line.strip() or depth > indent):
            out.append(line)
            continue
        indent = None
        if line.rstrip().endswith("::") or line.lstrip().startswith(".. code-block"):
            indent = depth
        elif line.startswith("Source: "):
            out += ["References", "----------"]
            line = line.removeprefix("Source: ")
        elif re.match(r"\w+(, \w+)+ : ", line):  # one entry for several names
            names, colon, kind = line.partition(" : ")
            line = names.replace(", ", COMMA) + colon + kind
        parts = LITERAL.split(line)
        parts[::2] = [re.sub(r"(?<!\\)\|", r"\|", part) for part in parts[::2]]
        out.append("".join(parts))
    lines[:] = out


def after_napoleon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace(COLON, ":") for line in lines]


def signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, arguments: Any, returns: Any) -> Any:
    """A result is made by the package and by nobody else: its attributes are what it has to say."""
    made_by_us = what == "class" and "Parameters\n" not in (obj.__doc__ or "")
    return ("", None) if made_by_us else None


def tidy_fields(app: Sphinx, doctree: nodes.document) -> None:
    for name in doctree.findall(nodes.field_name):
        if name.astext() == "Variables":
            name.children = [nodes.Text("Attributes")]
    for node in doctree.findall(addnodes.literal_strong):
        text = node.astext()
        if COMMA in text:
            node.children = [nodes.Text(text.replace(COMMA, ", "))]


def resolve(app: Sphinx, env: BuildEnvironment, node: Any, contnode: Any) -> Any:
    if node.get("refdomain") != "py":
        return None
    if node["reftype"] in ("class", "exc"):
        return contnode
    target = node["reftarget"].removesuffix("()")
    objects = env.get_domain("py").objects  # type: ignore[attr-defined]
    context = [*(node.get("py:module") or PACKAGE).split("."), *filter(None, [node.get("py:class")])]

    def link(name: str) -> Any:
        entry = objects[name]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)

    for depth in range(len(context), -1, -1):  # as seen from the module or class, then from what holds that
        path = ".".join([*context[:depth], target])
        if path in objects:
            return link(path)
        if _holds(path):
            return contnode
    found = [known for known in objects if known.endswith(f".{target}")]
    if found:
        return link(min(found, key=len))
    return contnode if target.startswith(OTHERS) else None


def _holds(path: str) -> bool:
    """Whether the package has something of that name, documented or not."""
    names = path.split(".")
    if names[0] != PACKAGE:
        return False
    here: Any = importlib.import_module(PACKAGE)
    for index, name in enumerate(names[1:], 2):
        if name in getattr(here, "__dataclass_fields__", ()):
            return True
        try:
            here = importlib.import_module(".".join(names[:index]))
        except ImportError:
            if not hasattr(here, name):
                return False
            here = getattr(here, name)
    return True


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", before_napoleon, priority=100)
    app.connect("autodoc-process-docstring", after_napoleon, priority=900)
    app.connect("autodoc-process-signature", signature)
    app.connect("doctree-read", tidy_fields)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
