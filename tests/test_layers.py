"""Imports within the package point downwards only, and there are no circles but those that a class's methods make.

Imports in functions and under TYPE_CHECKING count like any other, and so does a module that is named in a string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import resmc

PACKAGE = Path(resmc.__file__).parent

# From the bottom up; a room may import what stands before it, and itself. ARCHITECTURE.md says what each is.
FLOORS = (
    "_native",
    "_system",
    "tables",
    "models",
    "theory",
    "reference",
    "torch_module",
    "engine",
    "results",
    "analyses",
    "simulation",
    "experiments",
    "ode",
    "sweep",
    "train",
    "plot",
    "report",
    "cli",
    "__main__",
)

FACADES = ("ode", "train")  # modules of public names alone, which are loaded by name when they are asked for

# (importing file, what it imports): why it climbs. At most five, and only ever fewer.
CLIMBS = {
    (
        "models.network",
        "torch_module",
    ): "model.to_torch(..) is a method of the model, and torch comes only when called",
    (
        "models.network",
        "reference.drawn",
    ): "model.draw_weights(..) is a method of the model, one line that hands the model on",
    ("simulation", "report.simulation_page"): "sim.report(..) is a method; the page of a simulation knows of no sweep",
    ("sweep.result", "report.sweep_page"): "result.report(..) is a method, one line that hands the result on",
}

# Files that stand in a circle, by the class whose delegating methods make it.
CIRCLES = {
    "Network.to_torch, .draw_weights": {
        "models.network", "models.residual_network", "models.resnet", "reference.drawn", "reference.sources",
        "torch_module", "torch_module.branches", "torch_module.fill", "torch_module.generated",
        "torch_module.residual", "torch_module.resnet",
    },
    "SweepResult.report, .summary, .to_xarray": {
        "plot.growth", "plot.select", "plot.sweeps", "report.sweep_figures", "report.sweep_page",
        "report.sweep_tables", "report.words_sweep", "sweep.result", "sweep.summary", "sweep.table",
    },
}  # fmt: skip


def name_of(path: Path) -> str:
    """A file of the package as a module, without the package's own name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


@cache
def modules() -> dict[str, Path]:
    """Every module by name; "" is the package itself, where public names are collected lazily."""
    found = {name_of(path): path for path in PACKAGE.rglob("*.py")}
    return found | {"_native": PACKAGE / "_native.pyi"}


@cache
def homes() -> dict[str, str]:
    """The module of every public name."""
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.level]
    return {alias.name: node.module or alias.name for node in nodes for alias in node.names}


def imported(name: str, source: str, is_package: bool) -> Iterator[str]:
    """The modules of the package that a module's source imports, in whatever way."""
    here = name.split(".") if name else []
    base = here if is_package else here[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                above = base[: len(base) - node.level + 1]
            elif (node.module or "").split(".")[0] == "resmc":
                above = []
            else:
                continue
            module = (node.module or "").removeprefix("resmc").lstrip(".") if not node.level else (node.module or "")
            start = [*above, *([module] if module else [])]
            for alias in node.names:
                inner = ".".join([*start, alias.name])
                yield inner if inner in modules() else ".".join(start) or homes().get(alias.name, "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "resmc":
                    yield alias.name.removeprefix("resmc").lstrip(".") or "__main__"  # all that is public
        elif isinstance(node, ast.Call) and _loads_by_name(node):
            for argument in node.args[:1]:
                text = argument.value if isinstance(argument, ast.Constant) else None
                if isinstance(text, str) and (text.startswith(".") or text.split(".")[0] == "resmc"):
                    yield text.removeprefix("resmc").lstrip(".")


def _loads_by_name(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in ("import_module", "__import__")


@cache
def arrows() -> dict[str, frozenset[str]]:
    """What every module imports; the package itself, which collects public names, is left out."""
    out = {}
    for name, path in modules().items():
        if name and path.suffix == ".py":
            found = set(imported(name, path.read_text(encoding="utf-8"), path.name == "__init__.py"))
            out[name] = frozenset(found - {"", name})
    return out


def floor(module: str) -> int:
    """The place of a module's room, from the bottom."""
    return FLOORS.index(module.split(".")[0])


def climbs(found: dict[str, frozenset[str]]) -> set[tuple[str, str]]:
    """The imports that point upwards."""
    return {(a, b) for a, targets in found.items() for b in targets if floor(b) > floor(a)}


def circles(found: dict[str, frozenset[str]]) -> list[set[str]]:
    """Groups of modules that import each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    out: list[set[str]] = []

    def visit(v: str) -> None:
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in found.get(v, ()):
            if w in found and w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            group = set(stack[stack.index(v) :])
            del stack[stack.index(v) :]
            if len(group) > 1:
                out.append(group)

    for v in found:
        if v not in index:
            visit(v)
    return out


def test_every_room_has_a_floor():
    assert {name.split(".")[0] for name in modules() if name} == set(FLOORS)


def test_imports_point_downwards_but_for_the_exceptions_with_a_reason():
    assert climbs(arrows()) == set(CLIMBS)
    assert len(CLIMBS) <= 5
    assert all(len(reason) > 20 for reason in CLIMBS.values())


def test_no_files_import_each_other_in_a_circle_but_those_of_delegating_methods():
    found = circles(arrows())
    assert sorted(map(sorted, found)) == sorted(map(sorted, CIRCLES.values()))
    assert max(map(len, found)) <= 12


def test_nobody_but_the_package_itself_and_its_facades_loads_modules_by_name():
    """An import by string is counted; the only other calls of import_module name torch."""
    for name, path in modules().items():
        if path.suffix == ".py" and name not in ("", "_system.facade"):
            calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and _loads_by_name(n)]
            assert all(isinstance(n.args[0], ast.Constant) and n.args[0].value == "torch" for n in calls), name


@pytest.mark.parametrize("name", FACADES)
def test_all_that_a_facade_loads_by_name_is_counted_as_its_imports(name):
    facade = getattr(resmc, name)
    assert sorted(facade.HOMES) == sorted(facade.__all__)
    assert arrows()[name] == {"_system.facade", *facade.HOMES.values()}


def test_dictionaries_meet_the_extension_in_two_files():
    """Its functions that take dictionaries are called from engine.native, and on a GPU from engine.cuda.kernels."""
    users = {name for name, targets in arrows().items() if "_native" in targets}
    assert users == {"_system.build", "engine.native", "engine.cuda.kernels"}


@pytest.mark.parametrize("spelling", ["as_resnet", "isinstance(model, ResNet", "isinstance(sim.model"])
def test_nothing_above_the_engine_asks_for_a_spelling(spelling):
    above = [name for name in modules() if name and floor(name) > floor("engine")]
    assert [name for name in above if spelling in modules()[name].read_text(encoding="utf-8")] == []


def test_below_it_one_file_asks_besides_the_models_and_the_engines_lowering():
    """The two spellings have modules of their own; there alone it matters which one was given."""
    asks = re.compile(r"\bas_resnet\b|isinstance\([^)]*\bResNet\b")
    found = [name for name, path in modules().items() if asks.search(path.read_text(encoding="utf-8"))]
    assert {name for name in found if not name.startswith("models")} - {"engine.lowering"} == {"torch_module.fill"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ..sweep import plan", {"sweep.plan"}),
        ("def f():\n    from ..report import write", {"report"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli.main import main", {"cli.main"}),
        ("import resmc.plot.style", {"plot.style"}),
        ("from resmc.sweep.plan import Sweep", {"sweep.plan"}),
        ("from .. import simulate", {"simulation"}),
        ("from resmc import Sweep, regime", {"sweep", "experiments.regime"}),
        ("import resmc", {"__main__"}),
        ("import importlib\nimportlib.import_module('resmc.report')", {"report"}),
        ("from importlib import import_module\nimport_module('.plot', 'resmc')", {"plot"}),
    ],
)
def test_the_reader_sees_an_import_that_climbs(source, expected):
    """Negative controls: each of these is an import that engine.run may not have."""
    found = set(imported("engine.run", source, is_package=False))
    assert found == expected
    assert climbs({"engine.run": frozenset(found)}) == {("engine.run", name) for name in expected}


def test_a_circle_is_found():
    a, b, c = frozenset({"b"}), frozenset({"c"}), frozenset({"a"})
    assert circles({"a": a, "b": b, "c": c, "d": a}) == [{"a", "b", "c"}]
    assert circles({"a": a, "b": b, "c": frozenset()}) == []
