"""Type hints, as a user's type checker sees them: a right program passes, and each wrong line of another one fails."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import resmc
from resmc.sweep.plan import Plan

pytestmark = pytest.mark.cpu
HERE = Path(__file__).parent
WRONG = {
    'resmc.Sweep(widths=[8], depth=4, networks=10)': "call-arg",
    'resmc.Sweep(width="eight", depth=4, networks=10)': "arg-type",
    'resmc.Sweep(width=8, depth=4, variant=3, networks=10)': "arg-type",
    'resmc.Sweep(width=8, depth=4, networks="many")': "arg-type",
    'resmc.Sweep(["a model"], networks=10)': "list-item",
    'resmc.Sweep(width=8, depth=4, networks=10).run(3)': "arg-type",
    'resmc.Sweep(width=8, depth=4, networks=10).run("store", engine="thread")': "arg-type",
    'resmc.Sweep(width=8, depth=4, networks=10).run("store", engine=3)': "arg-type",
    'resmc.Sweep(width=8, depth=4, networks=10).run("store", progress=3)': "arg-type",
    'resmc.Sweep(width=8, depth=4, networks=10).result("store").summary().split("a")': "attr-defined",
    'resmc.simulate(width=8, depth=4, alpha=1, lam=1, networks="many")': "arg-type",
    'x: int = resmc.simulate(width=8, depth=4, alpha=1, lam=1, networks=8).log_norm_mean + 1': "assignment",
}  # fmt: skip


def checked(*paths: Path) -> str:
    """What mypy says of programs that use resmc, which is checked out beside these tests."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context",
               "--follow-imports=silent", "--cache-dir", str(HERE.parent / ".mypy_cache")]  # fmt: skip
    environment = os.environ | {"MYPYPATH": str(Path(resmc.__file__).parents[1])}
    found = subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, env=environment, cwd=HERE.parent, check=False
    )
    assert found.stderr == ""
    return found.stdout


def test_no_field_of_a_plan_is_hinted_as_anything():
    hints = typing.get_type_hints(Plan)
    assert [name for name, hint in hints.items() if hint is typing.Any] == []
    for method in (resmc.Sweep.run, resmc.Sweep.estimate, resmc.Sweep.result):
        assert [name for name, hint in typing.get_type_hints(method).items() if hint is typing.Any] == []


def test_the_package_says_that_it_is_typed():
    assert (Path(resmc.__file__).parent / "py.typed").exists()


@pytest.mark.long
def test_a_type_checker_passes_a_right_program_and_finds_every_wrong_line(tmp_path: Path):
    pytest.importorskip("mypy")
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import resmc\n" + "\n".join(WRONG) + "\n", encoding="utf-8")
    said = checked(HERE / "user_program.py", wrong)
    assert "user_program.py" not in said, said
    by_line = {int(line.split("wrong.py:")[1].split(":")[0]): line for line in said.splitlines() if "error:" in line}
    assert list(by_line) == list(range(2, len(WRONG) + 2)), said
    for number, (line, kind) in enumerate(WRONG.items(), 2):
        assert by_line[number].endswith(f"[{kind}]"), (line, by_line[number])


def test_the_signature_that_type_checkers_read_is_that_of_the_fields():
    """`Sweep` is written twice: its fields hold checked values, and the second signature says what may be given."""
    tree = ast.parse(inspect.getsource(sys.modules[Plan.__module__]))
    (typed,) = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    first, *keywords = inspect.signature(resmc.Sweep).parameters.values()
    assert [one.arg for one in typed.args.args] == ["self", first.name]
    assert [one.arg for one in typed.args.kwonlyargs] == [one.name for one in keywords]
    assert {one.kind for one in keywords} == {inspect.Parameter.KEYWORD_ONLY}
    defaults = [*typed.args.defaults, *(one for one in typed.args.kw_defaults if one is not None)]
    assert [ast.literal_eval(one) for one in defaults] == [first.default, *(one.default for one in keywords)]
