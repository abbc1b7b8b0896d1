"""The benchmark of the adjoint: all of its tables, small, and no time is taken of another network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

torch = pytest.importorskip("torch")
from bench import adjoint  # noqa: E402

pytestmark = pytest.mark.cpu


def test_the_loop_that_is_timed_is_the_module():
    for block in ("phi-in", "phi-out", "v-phi-w"):
        model = adjoint.ResidualNetwork(6, 5, block, "tanh", scaling=adjoint.ONCE, weights=adjoint.SMOOTH)
        module, x = model.to_torch(scheme="euler"), torch.ones(3, 1, dtype=torch.float64)
        torch.testing.assert_close(adjoint.plain(module, x), module(x), rtol=1e-13, atol=0)


def test_turns_are_by_turns_and_the_first_is_not_counted():
    order: list[str] = []
    taken = adjoint.turns({name: lambda name=name: order.append(name) for name in "ab"}, 3)
    assert order == ["a", "b"] * 4
    assert [len(values) for values in taken.values()] == [3, 3]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::resmc.ode.AdjointWarning")  # so few steps are not near an equation's
def test_errors_and_tables_are_written_quickly(tmp_path, capsys):
    pytest.importorskip("torchdiffeq")
    assert adjoint.main(["--quick", "--parts", ",".join(adjoint.PARTS), "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    (found,) = tmp_path.glob("*.json")
    report = json.loads(found.read_text())
    assert set(report["by_depth"]) == set(report["deep"]["cases"]) == set(adjoint.CASES)
    assert {row["who"] for row in report["peer"]} == {"resmc", "torchdiffeq"}
    for row in report["peer"]:
        assert 1e-6 < row["error"] < 0.5
    for row in report["times"]:
        assert 0.0 < row["over_loop"]["min"] <= row["over_loop"]["median"] <= row["over_loop"]["max"]
    autograd, ours = (row["MiB"] for row in report["memory"])
    assert autograd > 100.0  # 256 layers of 2048 x 32 floats, some of them several times
    assert ours < 0.1 * autograd
    assert printed.count("| v-phi-w |") >= 4
    assert "Gradient error at N = 64" in printed


def test_parts_that_are_not_there_end_with_a_sentence(capsys):
    assert adjoint.main(["--parts", "times,other"]) == 2
    assert "--parts=times,other is not allowed: they are claims, memory" in capsys.readouterr().err


def test_without_torchdiffeq_a_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    assert adjoint.main(["--quick"]) == 1
    assert "torchdiffeq is missing: pip install resmc[bench]" in capsys.readouterr().err
