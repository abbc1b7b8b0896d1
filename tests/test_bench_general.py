"""The benchmark of the general kernels: its peers' answers, and what it says where a number is missed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import general as bench
from bench.peers.problem import Problem

pytestmark = pytest.mark.cpu

SMALL = replace(bench.QUICK, width=8, depth=4, short=((8, 4),), long=(), updates=1 << 14, checked=4096, seconds=1e-4)


@pytest.fixture
def eager_alone(monkeypatch):
    """Without torch.compile, which takes a minute."""
    pytest.importorskip("torch")
    tuned = {"compiled": False, "batch": 512}
    monkeypatch.setattr(bench, "autotune", lambda *_: (tuned, []))


@pytest.mark.parametrize("inner", [False, True])
def test_the_trick_and_autograd_have_the_same_gradients_in_law(inner):
    pytest.importorskip("torch")
    from bench.peers import torch_residual

    problem = Problem(8, 3)
    trick = torch_residual.projected(problem, 8192, 1, inner=inner, gradients=True, batch=1024)
    written = torch_residual.explicit(problem, 8192, 2, inner=inner, batch=2048)
    error = np.sqrt((trick.var(ddof=1) + written.var(ddof=1)) / 8192)
    assert abs(trick.mean() - written.mean()) < 4.0 * error  # false alarm 6e-5
    other = torch_residual.projected(Problem(8, 3, alpha=0.75), 8192, 1, inner=inner, gradients=True, batch=1024)
    assert abs(other.mean() - written.mean()) > 4.0 * error  # a negative control


def test_all_answers_of_peers_are_right(eager_alone):
    lines = bench.peers(SMALL)
    checked = [line for line in lines if line.what.endswith(", z")]
    assert len(checked) == 6
    assert all(line.reached for line in checked)


def test_a_run_of_kernels_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "QUICK", SMALL)
    bench.main(["--quick", "--parts", "kernels", "--output", str(tmp_path)])
    (found,) = tmp_path.glob("general-kernels-quick-*.json")
    lines = json.loads(found.read_text())["lines"]
    assert [line["asked"] for line in lines].count("0 to 2.6") == 3
    assert all(line["value"] > 0.0 for line in lines)


def test_an_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--parts", "kernel"])
    assert "--parts=kernel is not allowed" in capsys.readouterr().err
