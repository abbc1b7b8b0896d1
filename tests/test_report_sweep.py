"""The page of a sweep: unfinished, damaged, of several classes, listed, of ten thousand points; and its command."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports import HALF, Page, bare, only
from sweeps import Enough, contents, files, small, stopped_after

import resmc
from resmc import Sweep, cli, load_sweep
from resmc._system.build import VARIABLE
from resmc.results.estimates import Estimate

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import numbers, render, reproduce, sweep_figures, sweep_tables, words_sweep
from resmc.report.reproduce import toml

pytestmark = pytest.mark.cpu


def both(**changes: Any) -> Sweep:
    """Eight points, of two variants."""
    return small(variant=["vanilla", "balanced"], shard_updates=None, networks=4000, **changes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("reports") / "store"
    assert both().run(store, workers=2, progress=False).complete
    return store


@pytest.fixture(scope="module")
def page(store: Path) -> Page:
    return Page(render(load_sweep(store)))


def cells(page: Page) -> list[list[str]]:
    """The table of points."""
    body = re.search(r"<tbody>(.*?)</tbody>", page.source, re.DOTALL)
    assert body is not None
    text = re.sub(r"</?span[^>]*>", "", body[1])  # around what follows a decimal point
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    return [[cell.replace("\N{MINUS SIGN}", "-") for cell in row] for row in rows]


def test_every_point_is_in_the_table_with_its_numbers(page: Page, store: Path):
    result = load_sweep(store)
    found = cells(page)
    assert len(found) == 8
    for row, model, variance in zip(found, result.plan.models, result.estimates["log_norm.variance"].value.flat,
                                    strict=True):  # fmt: skip
        assert row[:3] == [str(model.width), str(model.depth), model.variant]
        assert any(float(c.split("\xa0")[0]) == pytest.approx(variance, rel=0.1) for c in row[4:] if "±" in c)
    assert "Complete: all 8 points are finished" in page.text
    assert "cpu-" in page.text


def test_a_page_leaves_out_figures_whose_points_are_not_computed_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    only(monkeypatch, "log_norm.variance", "growth")
    small(networks=640, shard_updates=None).run(tmp_path / "store", progress=False)
    later = small(networks=640, shard_updates=None, variant=["vanilla", "balanced"]).result(tmp_path / "store")
    assert later.points_complete == 4
    source = render(later)
    assert "There is no figure" not in source
    assert "variant vanilla)" in source
    assert "variant balanced)" not in source


def test_each_variant_is_answered(page: Page, store: Path):
    result = load_sweep(store)
    active = result.estimates["active_fraction"]
    below = (0.5 - active.value > 3.0 * active.stderr)[..., 0]
    assert f"Vanilla: below one half at {below.sum()} of 4 points." in page.text
    assert "Balanced: not seen to differ from one half at any of 4 points." in page.text
    assert "z-scores have a root mean square of" in page.text
    assert len(page.all("svg")) == 14
    assert all(re.search(r"\d", svg["aria-label"] or "") for svg in page.all("svg"))


def test_a_limit_that_is_no_help_is_not_counted_in_thousands():
    assert words_sweep._share(0.3) == "+30%"
    assert words_sweep._share(-20.0) == "more than 1000%"


def test_a_store_is_reported_as_it_is(capsys, tmp_path: Path):
    store = tmp_path / "store"
    with pytest.raises(Enough):
        small().run(store, workers=1, progress=stopped_after(60_000))
    damaged = files(store)[0]
    damaged.write_bytes(b"x" + damaged.read_bytes()[1:])
    before = contents(store)
    with bare():
        assert cli.main(["report", str(store), "-o", str(tmp_path / "report.html")]) == 0
    assert capsys.readouterr().out == f"written to {tmp_path / 'report.html'} (INCOMPLETE)\n"
    assert contents(store) == before
    text = Page((tmp_path / "report.html").read_text()).text
    assert "INCOMPLETE: " in text
    assert "of 4 points are finished" in text
    assert "1 shard is damaged and not part of any number here" in text
    assert damaged.name in text


def test_a_store_without_networks_has_no_figures(tmp_path: Path):
    assert cli.main(["sweep", str(_plan(tmp_path)), "--store", str(tmp_path / "store"), "--prepare"]) == 0
    page = Page(render(load_sweep(tmp_path / "store")))
    assert page.all("svg") == []
    assert "has no value yet" in page.text
    assert "INCOMPLETE: 0 of 4 points are finished" in page.text


def test_several_classes_are_named(store: Path):
    result = dataclasses.replace(load_sweep(store), numerics=("2", "cpu-avx2", "cuda-sm_90"))
    with bare():
        text = Page(render(result)).text
    assert "Several numerics classes have filled the store: cpu-avx2, cuda-sm_90." in text


def test_what_is_no_store_is_refused(capsys, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert cli.main(["report", str(tmp_path / "empty"), "-o", str(tmp_path / "report.html")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("resmc: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


PLANS: dict[str, dict[str, Any]] = {
    "one point": {"width": 8, "ratio": 1},
    "one dimension": {"width": 8, "ratio": [0.5, 1]},
    "variants alone": {"width": 8, "ratio": 1, "variant": ["vanilla", "balanced", "balanced-half"]},
    "variants and widths": {"ratio": 1, "variant": ["vanilla", "balanced"]},
    "alphas": {"width": 8, "ratio": 1, "alpha": [0.0, 0.5, 1.0]},
    "three numbers": {"alpha": [0.5, 0.7]},
    "dimension of one value": {"variant": ["vanilla"], "lam": [HALF]},
    "many widths": {"width": list(range(4, 14)), "ratio": [0.5, 1]},
    "fewer than 32": {"networks": 20},
}


@pytest.mark.parametrize("name", PLANS)
def test_every_kind_of_plan_has_its_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Figures take most of a page's time, and those of three quantities are of all kinds."""
    only(monkeypatch, "log_norm.variance", "growth", "active_fraction")
    plan = small(**{"shard_updates": None, "networks": 500} | PLANS[name])
    page = Page(render(plan.run(tmp_path / "store", workers=2, progress=False)))
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    assert len(cells(page)) == len(plan.models)
    assert bool(page.all("svg")) == (name != "one point")
    assert "There is no figure" not in page.text
    assert not re.search(r"(?<![A-Za-z])(nan|None|inf)(?![A-Za-z])", page.text)


def test_a_list_too_long_to_print_is_run_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reproduce, "MOST_MODELS", 1)
    plan = Sweep([resmc.ResNet(8, 4, HALF, HALF), resmc.ResNet(4, 9, -0.5, 1.0, "balanced")], networks=500)
    result = plan.run(tmp_path / "store", workers=2, progress=False)
    with bare():
        page = Page(render(result).replace("STORE", "store"))
    assert "The plan lists 2 models: too many to print here." in page.text
    for code in (page.code("shell"), page.code("python")):
        assert f"{result.numerics[1].partition('-')[2]}" in code
        assert re.search("device='?cpu", code)
    _assert_again(page, tmp_path)


def test_a_list_of_models_has_its_page(tmp_path: Path):
    models = [resmc.ResNet(8, 4, HALF, HALF), resmc.ResNet(4, 9, -0.5, 1.0, "balanced", n_out=2)]
    plan = Sweep(models, networks=500)
    page = Page(render(plan.run(tmp_path / "store", workers=2, progress=False)))
    assert len(page.all("svg")) == 7
    _assert_again(page, tmp_path)


def _assert_again(page: Page, folder: Path) -> None:
    """The page's commands fill a store with the same bytes."""
    package = str(Path(resmc.__file__).parents[1])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    program = folder / "bin" / "resmc"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom resmc.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    search = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": search, "PYTHONPATH": path, VARIABLE: "baseline"}
    for command in (["sh", "-ec", page.code("shell")], [sys.executable, "-c", page.code("python")]):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert contents(folder / "again") == contents(folder / "store")
        (folder / "again").rename(folder / f"again-{command[0] == 'sh'}")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.long),
        {"target_stderr": {"log_norm.variance": 0.05}, "max_networks": 3000},
    ],
)
def test_the_commands_give_the_same_shards(changes: dict[str, Any], tmp_path: Path):
    given = {"networks": None if changes else 1000, "shard_updates": 1 << 16, "seed": 2**63, "layers": 5,
             "correlations": True, "independent": False}  # fmt: skip
    plan = small(**given | changes)
    with bare():
        page = Page(render(plan.run(tmp_path / "store", workers=2, progress=False)))
    _assert_again(page, tmp_path)


def test_dimensions_are_drawn_along_numbers():
    from resmc.report.sweep_figures import _dims

    two = ["vanilla", "balanced"]
    assert _dims(small()) == (["ratio", "width"], [])
    assert _dims(small(variant=two)) == (["ratio", "width"], ["variant"])
    assert _dims(small(width=8, ratio=1, alpha=[0.1, 0.2], variant=two)) == (["alpha", "variant"], [])
    assert _dims(small(width=8, ratio=1, variant=two)) == (["variant"], [])
    assert _dims(small(ratio=1, variant=two)) == (["width", "variant"], [])


@pytest.mark.parametrize("widths", [6, 7])
def test_growth_is_a_map_where_there_would_be_too_many_curves(widths: int, monkeypatch: pytest.MonkeyPatch):
    only(monkeypatch, "growth")
    maps: list[str] = []
    original = sweep_figures.plot_sweep

    def counted(result: Any, name: str, **given: Any) -> Any:
        maps.append(name)
        return original(result, name, **given)

    monkeypatch.setattr(sweep_figures, "plot_sweep", counted)
    result = _tiled(Sweep(width=list(range(4, 4 + widths)), ratio=[0.5, 1], alpha=HALF, lam=HALF, networks=500))
    (drawn,) = sweep_figures.drawn(result)["growth"]
    assert drawn.svg
    assert ("growth" in maps) == (widths == 7)


def test_figures_that_are_not_drawn_are_counted():
    plan = Sweep(width=[8, 9], ratio=[0.5, 1], alpha=[0.1 * k for k in range(1, 5)], lam=[0.5, 0.6, 0.7],
                 variant=["vanilla"], networks=500)  # fmt: skip
    with bare():
        page = Page(render(_tiled(plan)))
    assert page.text.count("Of the 12 figures over alpha, lam the first 6 are drawn; the table has all points.") == 7
    assert len(page.all("figure")) == 42


FOUR = Sweep(width=[8, 9], depth=[1, 2], alpha=HALF, lam=HALF, networks=1000)


@pytest.mark.parametrize(
    ("networks", "sel", "words"),
    [
        ([1000] * 4, None, r" ± \S+ at all 4 points\."),
        ([1000] * 4, {"width": 8, "depth": 2}, r" ± \S+ at width 8, depth 2\."),
        ([1000, 20, 1000, 0], None, r" ± \S+ at all 2 points with an error\."),
        ([1000, 20, 2000, 0], None, r" ± .* ± .* \(width ., depth 1\), where it has an error\."),
        ([20, 1000, 20, 20], None, r" ± \S+ at width 8, depth 2, the only one with an error\."),
        ([20, 1000, 20, 20], {"width": 8}, r" ± \S+ at width 8, depth 2\."),
        ([20, 0, 0, 0], None, r" \(no error bar\) at width 8, depth 1, the only one with a value\."),
        ([20] * 4, None, r" \(no error bar\) at all 4 points\."),
        ([0] * 4, None, r" has no value yet\."),
    ],
)
def test_the_range_of_a_quantity_is_over_the_points_it_speaks_of(networks, sel, words):
    said = words_sweep.span(_tiled(FOUR, networks), "log_norm.skewness", sel)
    assert re.fullmatch(rf"The skewness of the log-norm log\(\|z_d\|²/n\).*{words}", said.replace("\xa0", " ")), said


def test_rare_networks_are_not_blamed_where_there_are_few():
    result = _tiled(FOUR, [20, 20, 40, 1000])
    unreliable = int(np.isnan(result.estimates["growth"].stderr).sum()) - 2
    said = " ".join(words_sweep._sentences(result, "growth"))
    assert "no error bar at 2 points of fewer than 32 networks." in said
    assert f"no error bar at {numbers.counted(unreliable, 'point')} since the mean of |z|² is ruled by" in said
    assert "rare" not in " ".join(words_sweep._sentences(result, "asymmetry"))


@pytest.mark.parametrize(
    ("away", "stderr", "words"),
    [
        ([2.0, -2.9, 1.0, 0.0], [1.0] * 4, "it is not seen to differ at any of 4 points."),
        ([4.0, -99.0, 2.0, -5.2], [1.0, 40.0, 1.0, 1.0], "it is seen to differ at 2 of 4 points, by −5.2% at most (at "
         "width 9, depth 2) and by 4.6% in the median of these; that is finite width."),
    ],
)  # fmt: skip
def test_noise_is_not_called_finite_width(away: list[float], stderr: list[float], words: str):
    """Both in per cent of the limit."""
    result = _tiled(FOUR)
    limit = result.limits["log_norm.mean"]
    difference, error = 0.01 * limit * np.reshape(away, (2, 2)), 0.01 * np.abs(limit) * np.reshape(stderr, (2, 2))
    result.estimates["log_norm.mean"] = Estimate(limit + difference, error, np.full((2, 2), 1000))
    sentence, *more = words_sweep._sentences(result, "log_norm.mean")
    assert len(more) == ("not seen" not in words)  # what the next order leaves of a difference that is seen
    assert all(one.startswith("From the limit with the next order in 1/n it is") for one in more)
    assert sentence == f"From the limit at leading order in 1/n {words}"


def test_toml_is_read_back(tmp_path: Path):
    import tomllib

    for value in (1, 1e-5, -0.5, 1e22, 2**63 - 1, True, "vanilla", [1, 2], [0.5], {"a.b": 1e-3}, [{"width": 3}]):
        assert tomllib.loads(f"x = {toml(value)}")["x"] == value


@pytest.mark.long
def test_ten_thousand_points_are_a_page_of_megabytes():
    """By tiling the sums of a few points: what is tested is the page, not the simulation."""
    plan = Sweep(width=list(range(10, 110)), depth=list(range(1, 101)), alpha=HALF, lam=HALF, networks=1000)
    result = _tiled(plan)
    begin = time.process_time()
    source = render(result)
    assert time.process_time() - begin < 60.0
    assert len(source.encode()) < 10e6
    assert source.count("<tr>") == 10_000 + 1
    assert "There is no figure" not in source


def test_more_points_than_are_shown_are_said_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep_tables, "MOST_ROWS", 5)
    with bare():
        page = Page(render(_tiled(Sweep(width=[8, 9, 10], depth=[1, 2, 3], alpha=HALF, lam=HALF, networks=1000))))
    assert len(cells(page)) == 5
    assert "The first 5 of 9 points are shown" in page.text


def _tiled(plan: Sweep, networks: list[int] | None = None) -> resmc.SweepResult:
    """A result whose points all have the same networks, or the first so many of them."""
    from resmc.results.entries import FinalSums
    from resmc.sweep.plan import ends
    from resmc.sweep.result import SweepResult

    networks = networks or [plan.networks] * len(plan.models)
    sums = {0: FinalSums.of_none().end()}
    for number in {*networks} - {0}:
        sums[number] = resmc.simulate(width=10, depth=10, alpha=HALF, lam=HALF, networks=number).final().end()
    there, wanted = np.array(networks).reshape(plan.shape), np.full(plan.shape, plan.networks)
    return SweepResult(plan, Path("store"), there, wanted, (), ("2", "cpu-avx2"),
                       ends(plan, range(len(networks)), [sums[number] for number in networks]),
                       ((),) * len(networks))  # fmt: skip


def _plan(folder: Path) -> Path:
    path = folder / "plan.toml"
    path.write_text(f"width = [8, 16]\nratio = [0.5, 1]\nalpha = {HALF}\nlam = {HALF}\nnetworks = 1000\n")
    return path


def test_progress_is_said_in_all_its_stages(store: Path, tmp_path: Path):
    result = load_sweep(store)
    assert words_sweep.progress(result).startswith("Complete: all 8 points are finished")
    one = Sweep(width=8, depth=4, alpha=HALF, lam=HALF, networks=100).run(tmp_path / "one", progress=False)
    assert words_sweep.progress(one).startswith("Complete: its point is finished")
    unknown = dataclasses.replace(result, wanted=np.zeros_like(result.wanted))
    assert "a pilot has not said yet" in words_sweep.progress(unknown)
