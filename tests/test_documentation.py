"""Every block of code in README.md and docs/ is run, parsed, or said not to be, and why.

Python blocks of a page run in their order, in one namespace, in a folder of their own that holds growth.toml. Networks
are few: every simulation and sweep has at most so many as `FEW` says, so that a page may show what one would really
ask for. Commands in `sh` blocks are parsed as the command line parses them, or looked up: a make target, a module, a
script. `toml` blocks are read as plans.

A comment in front of a block, which neither GitHub nor the site shows, says what is special about it:

    <!-- test: gpu -->             device="cuda" is the emulated GPU where there is no other
    <!-- test: dask -->            a distributed.Client is one of a small cluster in this process
    <!-- test: not run: REASON --> only compiled (python) or left alone (sh)

Text after a further colon is a note. A block in a language that is not listed here is an error, and so is a comment
that is followed by no block: nothing is skipped silently.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import emulated as emulation
import pytest
from conftest import missing, open_gpu

import resmc
from resmc.cli import main, parser
from resmc.sweep import engines
from resmc.sweep.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FEW = {"simulate": 4096, "dense": 1024, "gpu": 64, "sweep": 512, "max_networks": 2048, "regime": 200, "limit": 1000}
# `make docs` runs the cells of these pages, and `-m long` their tests.
SLOW = ("depth.md", "neural-tangents.md", "ode.md", "linear.md", "weights.md", "training.md")
RUN, TEXT = (
    ("python", "{code-cell} ipython3"),
    ("text", "cpp", "bibtex", "yaml", "{toctree}", "{eval-rst}", "{raw} html"),
)
FENCE = re.compile(r"^( *)(```+)(.*)$")
COMMENT = re.compile(r"^ *<!-- test: (.*?) -->$")
GROWTH = """
width = [8, 16]
ratio = [0.5, 1]
alpha = 0.6
lam = 0.8
networks = 100
"""


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    code: str
    comment: str

    @property
    def kind(self) -> str:
        return self.comment.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    found: list[Block] = []
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    comment = ""
    for number, line in lines:
        if said := COMMENT.match(line):
            assert not comment, f"{page}:{number}: two comments for one block"
            comment = said[1]
            continue
        fence = FENCE.match(line)
        if not fence:
            assert not (comment and line.strip()), f"{page}:{number}: no block after <!-- test: {comment} -->"
            continue
        indent, ticks, language = fence.groups()
        body: list[str] = []
        for _, inner in lines:
            if inner.strip() == ticks:
                break
            body.append(inner.removeprefix(indent))
        else:
            raise AssertionError(f"{page}:{number}: the block does not end")
        if language == RUN[1]:
            body = [part for part in body if not part.startswith((":tags:", "%"))]
        found.append(Block(page, number, language.strip(), "\n" * number + "\n".join(body) + "\n", comment))
        comment = ""
    assert not comment, f"{page}: no block after <!-- test: {comment} -->"
    return found


def all_blocks() -> Iterator[Block]:
    for page in PAGES:
        yield from blocks(page)


def in_language(*languages: str) -> list[Block]:
    return [block for block in all_blocks() if block.language in languages]


@pytest.fixture
def few_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented mechanism: what simulates, but with few networks."""
    simulate, check = resmc.simulate, Plan._check_networks

    def smaller(*args: Any, networks: float, **options: Any) -> Any:
        kind = "gpu" if str(options.get("device", "")).startswith("cuda") else options.get("method")
        return simulate(*args, networks=int(min(networks, FEW.get(str(kind), FEW["simulate"]))), **options)

    def fewer(self: Plan, put: Callable[[str, Any], None]) -> None:
        for name, most in (("networks", FEW["sweep"]), ("max_networks", FEW["max_networks"])):
            if getattr(self, name) is not None:
                put(name, min(getattr(self, name), most))
        check(self, put)

    def at_most(name: str) -> None:
        function = getattr(resmc, name)
        usual = inspect.signature(function).parameters["networks"].default

        def with_few(*args: Any, networks: int | None = usual, **options: Any) -> Any:
            return function(*args, networks=networks and min(networks, FEW[name]), **options)

        monkeypatch.setattr(resmc, name, with_few)

    monkeypatch.setattr(resmc, "simulate", smaller)
    at_most("regime")
    at_most("limit")
    monkeypatch.setattr(Plan, "_check_networks", fewer)


@pytest.fixture
def small_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    distributed = pytest.importorskip("distributed")
    client = distributed.Client
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        monkeypatch.setattr(distributed, "Client", lambda address: client(cluster))
        yield


@pytest.mark.cpu
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=[pytest.mark.long] * (page.name in SLOW))
        for page in PAGES
    ],
)
@pytest.mark.usefixtures("few_networks")
def test_python_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    code = [block for block in blocks(page) if block.language in RUN]
    left_out = {"not run"}
    if any(block.kind == "dask" for block in code):
        request.getfixturevalue("small_cluster")
    if any(block.kind == "gpu" for block in code):
        if resmc.engine.cuda.why_no_cuda() is None:
            open_gpu("cuda", request, monkeypatch)
        elif emulation.can_compile() and importlib.util.find_spec("torch"):
            open_gpu("emulated", request, monkeypatch)
            # it lives in this process alone
            monkeypatch.setattr(engines, "Processes", lambda workers, threads, device: engines.Threads(1, 1))
        else:
            left_out.add("gpu")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "growth.toml").write_text(GROWTH)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in code:
        compiled = compile(block.code, str(page), "exec")
        if block.kind not in left_out:
            exec(compiled, namespace)
    if "gpu" in left_out:
        missing("no GPU, and no compiler and torch to emulate one with: the blocks that use it were not run")


def commands() -> list[Block]:
    """One block for each line of the `sh` blocks."""
    return [
        block._replace(line=block.line + number, code=line)
        for block in in_language("sh")
        for number, line in enumerate(block.code.lstrip("\n").splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]


@pytest.mark.parametrize("command", commands(), ids=str)
def test_commands_exist(command: Block) -> None:
    words = [word for word in shlex.split(command.code, comments=True) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if command.kind == "not run":
        return
    if words[0] == "resmc":
        parser().parse_args([word.strip("[]") for word in words[1:] if word != "...]"])
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None
    elif words[0] in ("python", "bash"):
        assert (ROOT / words[1]).is_file()
    else:
        assert words[:2] == ["pip", "install"], command.code


@pytest.mark.parametrize("block", in_language("toml"), ids=str)
def test_plans_are_plans(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(block.code)
    assert resmc.Sweep.from_toml(path).models


def test_no_block_is_skipped_silently() -> None:
    every = list(all_blocks())
    for block in every:
        assert block.language in (*RUN, *TEXT, "sh", "toml") or block.language.startswith("{image}"), block
        assert block.kind in ("", "gpu", "dask", "not run"), block
        assert block.kind != "not run" or block.comment.partition(":")[2].strip(), f"{block}: say why it is not run"
        assert block.kind in ("", "not run") or block.language in RUN, block
    run = [block for block in every if block.language in RUN and block.kind != "not run"]
    not_run = [block for block in every if block.kind == "not run"]
    assert len(run) >= 25, len(run)
    assert len(not_run) <= 4, not_run


def test_lines_of_code_fit_the_column_of_a_page() -> None:
    for block in in_language(*RUN):
        if block.page.parent != ROOT:
            assert max(map(len, block.code.splitlines())) <= 97, block


def test_blocks_are_found_and_faults_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- test: gpu: note -->\n```python\nx = 1\n```\n\n1. item\n\n   ```sh\n   resmc doctor\n   ```\n")
    first, second = blocks(page)
    assert (first.kind, first.language, first.code.strip()) == ("gpu", "python", "x = 1")
    assert (second.kind, second.language, second.code.strip()) == ("", "sh", "resmc doctor")
    for wrong in ("```python\nx = 1\n", "<!-- test: gpu -->\nno block\n", "<!-- test: gpu -->\n"):
        page.write_text(wrong)
        with pytest.raises(AssertionError):
            blocks(page)
    for line in ("resmc simulate --width 3", "make tea", "python -m no_such_module", "curl x"):
        with pytest.raises((AssertionError, SystemExit)):
            test_commands_exist(Block(page, 1, "sh", line, ""))


@pytest.fixture(scope="module")
def readme() -> Any:
    """examples/readme.py, which makes what README shows."""
    spec = importlib.util.spec_from_file_location("readme", ROOT / "examples" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.cpu
def test_readme_is_short_and_shows_what_its_code_gives(readme: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    text = readme.README.read_text(encoding="utf-8")
    assert len(text.encode()) <= 9000
    output, picture = text.index("<!-- output: begin -->"), text.index("docs/images/log_norm.png")
    assert text.index("make demo") < text.index("make test") < text.index("resmc.simulate") < output < picture
    assert text[:picture].count("\n") < 50  # the first screen
    printed = readme.run(readme.first_code(text), tmp_path)
    shown = f"```text\n{readme.shortened(printed)}\n```"
    assert readme.same_words(readme.inside(text, "output"), shown), f"run `make readme`:\n{shown}"
    assert readme.same_picture(readme.PICTURE, tmp_path / readme.PICTURE.name), "run `make readme`"
    assert readme.PICTURE.stat().st_size < 100_000
    assert readme.inside(text, "rates") == readme.rates()


def test_what_readme_shows_may_differ_by_rounding_alone(readme: Any, tmp_path: Path) -> None:
    """The negative control: another word, number or picture is seen."""
    line = "mean L_50   -0.9993 +- 0.0053   leading order   -2.56%"
    assert readme.same_words(line, line.replace("0.9993", "0.9995"))
    for old, new in (("0.9993", "0.9893"), ("mean", "median"), ("-2.56%", "+2.56%"), ("L_50", "L_60")):
        assert not readme.same_words(line, line.replace(old, new))
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread, imsave

    pixels = imread(readme.PICTURE)[..., :3]
    imsave(tmp_path / "moved.png", pixels[:, ::-1].copy())
    assert readme.same_picture(readme.PICTURE, readme.PICTURE)
    assert not readme.same_picture(readme.PICTURE, tmp_path / "moved.png")


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    documented = set(re.findall(r"\.\. auto\w+:: resmc\.([\w.]+)", pages))
    short = {name.rpartition(".")[2] for name in documented}
    for module in ("resmc", "resmc.theory", "resmc.analyses", "resmc.ode", "resmc.train", "resmc.sweep"):
        names = importlib.import_module(module).__all__
        lacking = {name for name in names if name not in documented and name not in short}
        assert not lacking, f"{module}: {sorted(lacking)}"


def test_the_page_about_variants_names_every_file_that_knows_them() -> None:
    page = (ROOT / "docs" / "howto" / "extending.md").read_text()
    asking = re.compile(
        r"(model|self)\.variant (==|!=|in|not in) |VARIANT_VANILLA|Balanced\b|\"balanced-half\"\}?[,)\]]"
    )
    for folder, endings in (("resmc", ".py"), ("csrc", ".hpp .cpp .cu"), ("tests/native", ".hpp .cpp .cu")):
        for path in sorted(one for one in (ROOT / folder).rglob("*") if one.suffix in endings.split()):
            if asking.search(path.read_text(encoding="utf-8")) and path.name != "warp_checks.cpp":
                assert path.name in page, path


def test_citation_holds_what_its_format_asks_for() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == resmc.__version__
    assert citation["authors"] == [{"name": "The resmc developers"}]
    assert {"message", "title", "license"} <= set(citation)
    assert any("2106.04013" in str(reference) for reference in citation["references"])


def test_bibliography_is_well_formed() -> None:
    text = (ROOT / "docs" / "references.bib").read_text()
    entries = re.findall(r"^@\w+\{(\w+),$(.*?)^\}$", text, re.MULTILINE | re.DOTALL)
    assert len(entries) == text.count("\n@") + 1
    assert text.count("{") == text.count("}")
    for key, body in entries:
        fields = dict(re.findall(r"^  (\w+) += \{(.*)\},$", body, re.MULTILINE))
        assert {"title", "author", "year"} <= set(fields), key
    known = {number for _, body in entries for number in re.findall(r"arXiv:(\d{4}\.\d{5})", body)}
    sources = "\n".join(path.read_text() for path in (ROOT / "resmc").rglob("*.py"))
    assert set(re.findall(r"arXiv (\d{4}\.\d{5})", sources)) <= known


@pytest.mark.parametrize(
    "command",
    [
        "",
        "simulate",
        "regime",
        "limit",
        "show",
        "merge",
        "export",
        "report",
        "sweep",
        "worker",
        "status",
        "doctor",
    ],
)
def test_every_help_has_an_example_that_the_command_line_takes(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    lines = [line.partition(" # ")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  resmc ")]
    examples = [words for line in lines if "COMMAND" not in (words := shlex.split(line)[1:])]
    assert [words for words in examples if command in ("", words[0])]
    for words in examples:
        assert parser().parse_args(words).command == words[0]


def test_every_command_is_listed_above() -> None:
    (action,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    marks = test_every_help_has_an_example_that_the_command_line_takes.pytestmark  # type: ignore[attr-defined]
    assert set(action.choices) == set(marks[0].args[1]) - {""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("simulate --widht 20 --depth 3 --networks 10", "unknown option --widht: did you mean --width?"),
        ("report run.resmc --outpt=x.html", "unknown option --outpt: did you mean --output?"),
        ("simulate --depth 3 --networks 10", "the following arguments are required: --width"),
        ("simulate --wid 3 --depth 3", "the following arguments are required: --networks"),
        ("simulate --width=8 --depth=3 --networks=9 --blok phi-in", "unknown option --blok: did you mean --block?"),
        ("regime --width=8 --activaton tanh", "unknown option --activaton: did you mean --activation?"),
        ("regime --width=8 --alpha=1", "unknown option --alpha"),
        ("show run.resmc --jsn", "unknown option --jsn: did you mean --json?"),
        ("--verison", "unknown option --verison: did you mean --version?"),
    ],
)
def test_a_misspelt_option_is_named(capsys: pytest.CaptureFixture[str], words: str, said: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words.split())
    assert said in capsys.readouterr().err
