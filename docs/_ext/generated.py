"""Pages made of what the repository holds: `<!-- generated: NAME -->` is replaced when a page is read.

- ``benchmarks``: every table in bench/results, unchanged but for the level of its headings;
- ``coverage``: the table of bench.coverage;
- ``gallery``: every script in examples/gallery: its docstring, its figure, its source;
- ``commands``: the command line, from its argparse parsers;
- ``quantities``: every quantity, from `resmc.results.observables`;
- ``citation``: CITATION.cff;
- ``bibtex``: docs/references.bib.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
COVERAGE = ROOT / "bench" / "results" / "coverage.md"
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def benchmarks() -> tuple[str, list[Path]]:
    files = sorted(file for file in (ROOT / "bench" / "results").rglob("*.md") if file != COVERAGE)
    return "\n\n".join(re.sub(r"^#", "##", file.read_text(), flags=re.MULTILINE) for file in files), files


def coverage() -> tuple[str, list[Path]]:
    _, _, text = COVERAGE.read_text().partition("\n")
    return re.sub(r"^##", "#", text, flags=re.MULTILINE), [COVERAGE]


def gallery() -> tuple[str, list[Path]]:
    folder = ROOT / "examples" / "gallery"
    scripts = sorted(folder.glob("[a-z]_*.py"))
    return "\n\n".join("\n".join(entry(script)) for script in scripts), scripts


def entry(script: Path) -> Iterator[str]:
    """A script's section: the first line of its docstring is the heading."""
    docstring = ast.get_docstring(ast.parse(script.read_text())) or script.stem
    title, _, rest = docstring.partition("\n")
    yield f"## {title.rstrip('.')}\n"
    yield rest.strip() + "\n"
    figure = ROOT / "build" / "gallery" / f"{script.stem}.png"  # made by `make docs`
    if figure.exists():
        yield f"```{{image}} {from_docs(figure)}\n:alt: {title}\n:class: figure\n```\n"
    yield f"<details>\n<summary>{script.relative_to(ROOT)}</summary>\n"
    yield f"```{{literalinclude}} {from_docs(script)}\n:language: python\n```\n\n</details>\n"


def from_docs(path: Path) -> str:
    """As seen from a page in docs/ itself."""
    return f"../{path.relative_to(ROOT)}"


def commands() -> tuple[str, list[Path]]:
    from resmc.cli import parser

    return "\n".join(command(parser())), sorted((ROOT / "resmc" / "cli").glob("*.py"))


def quantities() -> tuple[str, list[Path]]:
    from resmc.results.observables import OBSERVABLES

    rows = ["| name | variable | what it is | one for each |", "|---|---|---|---|"]
    for one in OBSERVABLES.values():
        words = one.long_name.replace("|", r"\|")
        rows.append(f"| `{one.name}` | `{one.variable}` | {words} | {PER[one.per]} |")
    folder = ROOT / "resmc" / "results"
    return "\n".join(rows), [folder / f"{name}.py" for name in ("observables", "quotient_rows", "distance_rows")]


PER = {"layer": "layer", "end": "final value", "lag": "distance of layers", "run": "simulation"}


def command(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A section for a parser, and one for each of its subcommands."""
    yield f"## {parser.prog}\n\n{parser.description or ''}\n"
    formatter = argparse.HelpFormatter(parser.prog, width=78)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    yield f"```text\n{formatter.format_help().strip()}\n```\n"
    nested: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            nested += action.choices.values()
            yield from (f"`{choice.dest}`\n: {choice.help}\n" for choice in action._choices_actions)
        else:
            required = " (required)" if action.required and action.option_strings else ""
            yield f"`{spelling(action)}`\n: {action.help or 'see above'}{required}\n"
    for group in parser._action_groups:
        if group.description:
            yield f"{group.title}:\n\n```text\n{group.description.strip()}\n```\n"
    if parser.epilog:
        yield f"```text\n{parser.epilog.strip()}\n```\n"
    for subparser in nested:
        yield from command(subparser)


def spelling(action: argparse.Action) -> str:
    name = action.metavar or action.dest.upper()
    if not action.option_strings:
        return str(name) + (" ..." if action.nargs == "*" else "")
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {name}")


def citation() -> tuple[str, list[Path]]:
    file = ROOT / "CITATION.cff"
    return f"```yaml\n{file.read_text().strip()}\n```\n", [file]


def bibtex() -> tuple[str, list[Path]]:
    file = ROOT / "docs" / "references.bib"
    return f"```bibtex\n{file.read_text().strip()}\n```\n", [file]


GENERATORS: dict[str, Callable[[], tuple[str, list[Path]]]] = {
    f.__name__: f for f in (benchmarks, coverage, gallery, commands, quantities, citation, bibtex)
}


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    def text(mark: re.Match[str]) -> str:
        made, files = GENERATORS[mark.group(1)]()
        for file in files:
            app.env.note_dependency(str(file))
        return made

    source[0] = MARK.sub(text, source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
