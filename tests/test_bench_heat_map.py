"""The benchmark of heat maps says how long a map took, and refuses what is none in a sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import heat_map

pytestmark = pytest.mark.cpu


def test_a_small_map_is_timed_and_written(tmp_path, capsys):
    arguments = ["--width", "4", "--depth", "5", "--networks", "1,2", "--output", str(tmp_path)]
    assert heat_map.main(arguments) == 0
    assert capsys.readouterr().out.count("\n| ") == 3
    (found,) = tmp_path.glob("heat-map-*.json")
    report = json.loads(found.read_text())
    assert [run["networks"] for run in report["runs"]] == [1, 2]
    assert all(run["seconds"] > 0.0 for run in report["runs"])
    assert len(list(tmp_path.glob("*.md"))) == 1


def test_arguments_that_are_not_allowed_end_with_a_sentence(capsys):
    assert heat_map.main(["--networks", "0"]) == 2
    assert "--networks=0 is out of range" in capsys.readouterr().err
