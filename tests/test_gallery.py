"""The gallery: every script runs and says what it found, its claim holds, and fails for networks that do not obey it.

Claims are seen at 5 standard errors where the effect is 15 and more, which no false alarm threatens. What has to agree
may differ by 4.5 standard errors, and from a limit by a bound on the correction of order 1/n besides: 19 numbers, whose
errors have 31 degrees of freedom or more, so a false-alarm level of 2e-3 in all.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import resmc

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "examples" / "gallery"
NETWORKS = {"a_log_gaussian": 0.1, "b_hypoactivation": 0.15, "c_interlayer": 0.1, "d_growth": 0.15, "e_balanced": 0.1,
            "f_corrections": 0.1}  # fmt: skip
CLEAR, AGREE = 5.0, 4.5


@dataclass
class Ran:
    """A script, what its main returned and printed, and the figure it left."""

    script: Any
    found: list[Any]
    printed: str
    figure: bytes


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ran]]:
    """Every script by its name, run once in a folder of its own with few networks."""
    known = set(sys.modules)
    out = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(GALLERY)
        for name, networks in NETWORKS.items():
            script, printed, folder = importlib.import_module(name), io.StringIO(), tmp_path_factory.mktemp(name)
            with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
                found = script.main([f"--networks={networks}"])
            out[name] = Ran(script, found, printed.getvalue(), (folder / f"{name}.png").read_bytes())
            assert [path.name for path in folder.iterdir()] == [f"{name}.png"]
        out["__main__"] = Ran(_runner(), [], "", b"")
        yield out
    for name in set(sys.modules) - known:
        if str(ROOT / "examples") in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def _runner() -> Any:
    spec = importlib.util.spec_from_file_location("gallery_main", GALLERY / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def few(networks: float) -> argparse.Namespace:
    return argparse.Namespace(networks=networks, seed=0)


def agrees(one: Any, correction: float = 0.0) -> bool:
    """Within 4.5 standard errors and a bound on what finite width adds."""
    return abs(one.value - one.reference) <= AGREE * one.stderr + correction


# --------------------------------------------------------------------------------------------------------------- claims


def log_gaussian_is_nearer(found: list[Any]) -> bool:
    infinite, log_gaussian = found
    return infinite.value - log_gaussian.value > CLEAR * (infinite.stderr + log_gaussian.stderr)


def fewer_than_half_fire(found: list[Any]) -> bool:
    # the correction is 5% at n = 100
    return all(one.value < -CLEAR * one.stderr and agrees(one, 0.1 * abs(one.reference)) for one in found)


def layers_correlate(found: list[Any]) -> bool:
    # the correction is up to 2/n
    return all(agrees(one, 3.0 / 100.0) for one in found) and found[0].value > CLEAR * found[0].stderr


def variance_grows(found: list[Any]) -> bool:
    # the correction is some 3/n
    widths = [int(one.name.partition("n = ")[2]) for one in found]
    return all(
        one.value > CLEAR * one.stderr and agrees(one, 6.0 / n * one.reference)
        for one, n in zip(found, widths, strict=True)
    )


def nothing_of_it(found: list[Any]) -> bool:
    return all(agrees(one) for one in found)


# ---------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("name", NETWORKS)
def test_a_script_prints_its_numbers_and_leaves_a_figure(ran, name):
    one = ran[name]
    assert one.found
    for found in one.found:
        assert str(found) in one.printed
        assert "±" in str(found)
    assert one.printed.endswith(f"figure: {name}.png\n")
    assert one.figure.startswith(b"\x89PNG")
    assert len(one.figure) > 20_000
    assert one.script.__doc__ is not None
    assert f"{name}.py" in one.script.__doc__


def test_the_log_gaussian_law_is_nearer_at_a_moderate_depth_alone(ran):
    a = ran["a_log_gaussian"]
    assert log_gaussian_is_nearer(a.found)
    assert "the log-Gaussian law is" in a.printed
    shallow = resmc.simulate(width=10_000, depth=1, alpha=0.6, lam=0.8, n_out=10, networks=1000)
    found = a.script.findings(shallow)
    assert not log_gaussian_is_nearer(found)
    assert "the infinite-width law is" in a.script.sentence(shallow, a.found[::-1])


def test_fewer_than_half_fire_in_vanilla_networks_alone(ran):
    b = ran["b_hypoactivation"]
    assert fewer_than_half_fire(b.found)
    assert "fewer than half" in b.printed
    sim = b.script.simulate(few(0.05), "balanced")
    found = b.script.findings(sim)
    assert not fewer_than_half_fire(found)
    assert "not clearly different from half" in b.script.sentence(sim, found)
    assert not fewer_than_half_fire([replace(one, value=1.3 * one.value) for one in b.found])


def test_layers_correlate_in_vanilla_networks_alone(ran):
    c = ran["c_interlayer"]
    assert layers_correlate(c.found)
    assert "it decays" in c.printed
    sims = c.script.simulate(few(0.05), "balanced")
    # what a balanced network is held against here is the limit of vanilla ones
    found = [
        replace(one, reference=limit.reference) for one, limit in zip(c.script.findings(sims), c.found, strict=True)
    ]
    assert not layers_correlate(found)
    assert "no clear decay" in c.script.sentence(sims, found)
    other = [replace(one, reference=float(resmc.theory.J(0.75**k)) / 3.0)
             for k, one in zip(c.script.LAGS, c.found, strict=True)]  # fmt: skip
    assert not layers_correlate(other)


def test_the_variance_grows_in_vanilla_networks_alone(ran):
    found = ran["d_growth"].found
    vanilla, balanced = found[:3], found[3:]
    assert variance_grows(vanilla)
    assert nothing_of_it(balanced)
    swapped = [replace(b, reference=v.reference) for v, b in zip(vanilla, balanced, strict=True)]
    assert not variance_grows(swapped)
    assert not nothing_of_it([replace(v, reference=0.0) for v in vanilla])
    assert ran["d_growth"].printed.count("it grows") == 3
    assert ran["d_growth"].printed.count("no clear growth") == 3


def test_balanced_networks_have_the_exact_values_and_vanilla_ones_do_not(ran):
    found = ran["e_balanced"].found
    vanilla, balanced = found[:3], found[3:]
    assert nothing_of_it(balanced)
    assert not any(agrees(one) for one in vanilla)


def test_extrapolated_values_have_the_limits_and_those_of_one_width_do_not(ran):
    f = ran["f_corrections"]
    values, corrections = f.found[::2], f.found[1::2]
    assert nothing_of_it(values)
    assert corrections[-1].value > CLEAR * corrections[-1].stderr  # there is something to extrapolate
    sim = resmc.simulate(width=192, depth=192, alpha=0.5**0.5, lam=0.5**0.5, networks=5000)
    alone = sim.interlayer_correlations().by_lag[1]
    assert not agrees(replace(values[-1], value=float(alone.value), stderr=float(alone.stderr)))


@pytest.mark.cpu
def test_the_whole_gallery_runs_from_anywhere(tmp_path):
    command = [sys.executable, GALLERY, "--networks=0.01", "--seed=3", "--output=pictures"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [f"{name}.png" for name in NETWORKS]


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("a_log_gaussian.py", ["--seed=-1"], "seed=-1"),
        ("f_corrections.py", ["--networks=0.0001"], "no standard error"),
        ("__main__.py", ["--record", "--networks=0.5"], "leave --networks away"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, script, arguments, words):
    command = [sys.executable, GALLERY / script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# --------------------------------------------------------------------------------------------------------------- README


def test_the_table_in_readme_is_what_was_recorded(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    text = runner.README.read_text(encoding="utf-8")
    inside = text.split(runner.BEGIN)[1].split(runner.END)[0]
    assert inside == f"\n{runner.readme_table(recorded)}\n"


def test_what_was_recorded_is_what_the_scripts_find(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    assert [entry["script"] for entry in recorded["results"]] == list(runner.SCRIPTS) == list(NETWORKS)
    assert not recorded["commit"].endswith("+")
    for entry in recorded["results"]:
        one = ran[entry["script"]]
        assert entry["claim"] == one.script.CLAIM
        for then, now in zip(entry["findings"], one.found, strict=True):
            assert then["name"] == now.name
            assert then["stderr"] < now.stderr
            # not independent: the recorded networks begin with these; a KS distance exceeds the true one by its noise
            noise = now.reference if now.kind == "noise" else 0.0
            assert abs(then["value"] - now.value) < CLEAR * (then["stderr"] + now.stderr) + noise
