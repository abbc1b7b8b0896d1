"""The benchmark of distances to ordinary equations: its table says what is reached, and sees a number that is not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import ode_distance as bench
from bench.asked import near

pytestmark = pytest.mark.cpu


def test_a_quick_run_is_written_and_reaches_what_is_asked(tmp_path, capsys):
    only = "examples; smooth, phi-out, tanh, tied"
    assert bench.main(["--quick", "--processes", "1", "--only", only, "--output", str(tmp_path)]) == 0
    (found,) = tmp_path.glob("ode-distance-quick-*.json")
    report = json.loads(found.read_text())
    by_name = {line["what"]: line for line in report["lines"]}
    assert len(by_name) == 12
    assert abs(by_name["phi-out, tanh, tied: order of Euler"]["value"] - 1.0) < 0.05
    assert abs(by_name["phi-out, tanh, tied: order of Heun"]["value"] - 2.0) < 0.05
    assert 0.0 < by_name["phi-out, tanh, tied: largest distance over bound"]["value"] < 1.0
    assert by_name["dx/dt = 2t: bound over distance"]["value"] == pytest.approx(1.0, abs=1e-3)
    table = capsys.readouterr().out
    assert "12 numbers, 0 of them not reached" in table
    assert "python -m bench.ode_distance --quick --only 'examples; smooth, phi-out, tanh, tied'" in table
    assert len(list(tmp_path.glob("*.md"))) == 1


def test_every_job_measures_a_kind_of_weights_and_no_distance_is_above_its_bound():
    scale = bench.Scale(2, (64, 128), 2, 2)
    found = {name: job(scale) for name, job in bench.jobs().items() if "increments" not in name}
    assert {name.partition(",")[0] for name in found} == {"examples", "smooth", "critical", "rough"}
    for name, lines in found.items():
        bounded = [line for line in lines if line.what.endswith("largest distance over bound")]
        assert name == "examples" or len(bounded) == 1
        assert all(line.reached for line in bounded), lines


def test_slopes_of_independent_layers_miss_what_is_asked_of_smooth_ones():
    """A negative control."""
    lines = bench.rough(bench.Scale(4, (64, 256), 2, 32), "v-phi-w, tanh", "independent", "linear")
    order = next(line for line in lines if line.what.endswith("order of Euler"))
    found = bench.Estimate(np.asarray(order.value), np.asarray(order.stderr), 32)
    assert not near("order", found, 1.0, 0.05).reached
    assert abs(order.value - 1.0) > 4.0 * order.stderr
