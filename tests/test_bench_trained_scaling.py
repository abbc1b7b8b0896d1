"""The benchmark of the scaling of trained weights says exponents and what is asked, and sees where they are missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

pytest.importorskip("torch")

from bench import trained_scaling as bench

pytestmark = pytest.mark.cpu


def test_a_quick_run_is_written_and_its_numbers_are_reached(tmp_path, capsys):
    status = bench.main(["--quick", "--only", "beta 0.8", "--output", str(tmp_path)])
    (found,) = tmp_path.glob("trained-scaling-quick-*.json")
    report = json.loads(found.read_text())
    (case,) = report["cases"]
    assert [line["what"].split(": ")[1] for line in case["lines"]] == [
        "before, largest layer",
        "before, sums of noise",
        "learnt, trend",
    ]
    assert status == int(not all(line["reached"] for line in case["lines"]))
    assert case["lines"][2]["reached"]
    assert report["depths"] == [8, 16, 32]
    assert len(case["loss"]) == 3
    table = capsys.readouterr().out
    assert "python -m bench.trained_scaling --quick --only 'beta 0.8'" in table
    assert table.count("\n| ") >= 3 + 8
    assert len(list(tmp_path.glob("*.md"))) == 1


def test_another_beta_misses_what_is_asked():
    """A negative control: of the same networks, what would have been asked with steps L^-0.3."""
    found = bench.trained(bench.Case("tanh", 0.8), bench.Scale((8, 16, 32), 2, 3))
    assert bench.lines("tanh", bench.Case("tanh", 0.8), found)[2].reached
    assert not bench.lines("tanh", bench.Case("tanh", 0.3), found)[2].reached


def test_trained_factors_stand_beside_the_powers_that_the_authors_take(capsys, monkeypatch):
    monkeypatch.setattr(bench, "QUICK", bench.Scale((8, 16, 32), 2, 3))
    bench.main(["--quick", "--only", "factor"])
    table = capsys.readouterr().out
    assert "take A_k to be of size L^-0.2" in table
    assert "take s_k A_k to be of size L^-0.5" in table
    assert table.count("| after, A_k alone | after, s_k |") == 2
    assert table.count("before, root of squares") == 2


def test_a_case_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "gelu"])
    assert "no case is called 'gelu'" in capsys.readouterr().err
