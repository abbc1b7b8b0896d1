"""The gallery: every script runs and says what it found, and its recorded numbers are those it finds.

What the scripts claim, and that it fails for networks that do not obey it, is tested by topic: `test_gallery_resnets`,
`test_gallery_depth`, `test_gallery_training` and `test_gallery_joint`.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from gallery_scripts import CLEAR, EACH, GALLERY, NETWORKS

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("name", EACH)
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


@pytest.mark.cpu
@pytest.mark.long
def test_the_whole_gallery_runs_from_anywhere(tmp_path):
    command = [sys.executable, GALLERY, "--networks=0.01", "--small", "--seed=3", "--output=pictures"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [f"{name}.png" for name in NETWORKS]


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("a_log_gaussian.py", ["--seed=-1"], "seed=-1"),
        pytest.param("f_corrections.py", ["--networks=0.0001"], "no standard error", marks=pytest.mark.long),
        pytest.param(
            "__main__.py", ["--record", "--networks=0.5"], "leave --networks and --small away", marks=pytest.mark.long
        ),
        ("__main__.py", ["z_nothing"], "NAME='z_nothing' is not allowed"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, script, arguments, words):
    command = [sys.executable, GALLERY / script, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------------------------------- the documentation


def test_the_table_in_the_documentation_is_what_was_recorded(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    text = runner.PAGE.read_text(encoding="utf-8")
    inside = text.split(runner.BEGIN)[1].split(runner.END)[0]
    assert inside == f"\n{runner.page_table(recorded)}\n"


def test_scripts_that_are_recorded_alone_leave_the_others_as_they_were(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    new = recorded[1] | {"claim": "new", "made": recorded[1]["made"] | {"commit": "0123456789ab"}}
    both = runner.merged(recorded, [new])
    assert both == [recorded[0], new, *recorded[2:]]
    assert "\nb: Seed 0, commit 0123456789ab" in runner.page_table(both)
    assert runner.merged([], [recorded[2], recorded[0]]) == [recorded[0], recorded[2]]


def test_every_script_was_recorded_from_a_commit(ran):
    runner = ran["__main__"].script
    recorded = json.loads(runner.RESULTS.read_text(encoding="utf-8"))
    assert [entry["script"] for entry in recorded] == list(runner.SCRIPTS) == list(NETWORKS)
    assert not any(entry["made"]["commit"].endswith("+") for entry in recorded)


@pytest.mark.parametrize("name", EACH)
def test_what_was_recorded_is_what_a_script_finds(ran, name):
    recorded = json.loads(ran["__main__"].script.RESULTS.read_text(encoding="utf-8"))
    (entry,) = (one for one in recorded if one["script"] == name)
    one = ran[name]
    assert entry["claim"] == one.script.CLAIM
    for then, now in zip(entry["findings"], one.found, strict=True):
        assert then["name"] == now.name
        assert then["stderr"] <= now.stderr  # equal where a script compares a fixed number of networks
        # not independent: the recorded networks begin with these; a KS distance exceeds the true one by its noise
        noise = now.reference if now.kind == "noise" else 0.0
        assert abs(then["value"] - now.value) < CLEAR * (then["stderr"] + now.stderr) + noise
