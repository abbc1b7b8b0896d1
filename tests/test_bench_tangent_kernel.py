"""The benchmark of the tangent kernel: its table, its peers' answers, and what it says where a number is missed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import tangent_kernel as bench
from bench.peers.problem import Problem

pytestmark = pytest.mark.cpu

SMALL = replace(bench.QUICK, networks={20: 1 << 14, 80: 1 << 12}, width=16, depth=4, count=1 << 12, dense=64)


def test_a_small_table_is_reached_but_for_its_error():
    lines = bench.table(SMALL)
    assert [line.what for line in lines if not line.reached] == ["its standard error over the table's"]


def test_another_input_misses_the_table(monkeypatch):
    """A negative control: an input that is 2% longer."""
    monkeypatch.setattr(bench, "INPUTS", (tuple(1.02 * x for x in bench.INPUTS[0]), bench.INPUTS[1]))
    missed = [line.what for line in bench.table(SMALL) if not line.reached]
    assert "infinite width, diagonal" in missed
    assert "diagonal at width 20" in missed


def test_a_peer_s_cholesky_factor_is_lapack_s():
    torch = pytest.importorskip("torch")
    from bench.peers import torch_joint

    x = torch.randn(5, 4, 9, generator=torch.Generator().manual_seed(1))
    gram = torch.bmm(x, x.mT)
    torch.testing.assert_close(torch_joint.cholesky(gram), torch.linalg.cholesky(gram), rtol=1e-5, atol=1e-5)


def test_peers_count_their_networks():
    pytest.importorskip("torch")
    from bench.peers import torch_joint

    factor, problem = torch_joint.start(bench.cosines(2)), Problem(8, 3)
    assert torch_joint.projected(problem, 200, 1, factor=factor).shape == (200,)
    found = torch_joint.explicit_kernels(problem, 6, 1, factor=factor)
    assert found.shape == (6, 2)
    assert (found[:, 0] > 0.0).all()


def test_a_quick_run_is_written_and_all_answers_are_right(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(bench, "QUICK", SMALL)
    bench.main(["--quick", "--output", str(tmp_path)])
    (found,) = tmp_path.glob("tangent-kernel-quick-*.json")
    lines = json.loads(found.read_text())["lines"]
    assert len({line["what"] for line in lines}) == len(lines) == 18
    assert all(line["reached"] for line in lines if line["what"].endswith(", z"))
    assert capsys.readouterr().out.count("\n| ") == 1 + len(lines)


def test_parts_that_are_not_there_end_with_a_sentence(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--parts", "costs,other"])
    assert "--parts=costs,other is not allowed: they are table, costs, peers" in capsys.readouterr().err
