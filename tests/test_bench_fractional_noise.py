"""The benchmark of weights in depth: it says what it must, and times nothing that has another covariance."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import fractional_noise
from bench.harness import WrongAnswer
from resmc.models.processes import FractionalNoise
from resmc.theory.processes import covariance_by_lag, fractional_noise_embedding

pytestmark = pytest.mark.cpu
SMALL = ["--width", "24", "--depth", "20", "--rounds", "2"]


def test_both_are_timed_and_the_table_has_a_row_for_each_h(tmp_path, capsys):
    assert fractional_noise.main([*SMALL, "--hurst", "0.2,0.8", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert [line[:6] for line in printed.splitlines() if line.startswith("| 0.")] == ["| 0.2 ", "| 0.8 "]
    (found,) = tmp_path.glob("*.json")
    report = json.loads(found.read_text())
    for row in report["fractional_noise"]:
        for name in ("ratio", "processor_ratio", "resmc_seconds", "numpy_seconds"):
            assert 0.0 < row[name]["min"] <= row[name]["median"] <= row[name]["max"]
    assert set(report["other_weights"]) == {"independent", "tied", "smooth"}


def test_arguments_that_are_not_allowed_end_with_a_sentence(capsys):
    assert fractional_noise.main(["--hurst", "1.5"]) == 2
    assert "hurst=1.5 is out of range" in capsys.readouterr().err


@pytest.mark.parametrize("hurst", [0.05, 0.5, 0.95])
def test_numpy_s_fractional_noise_has_the_covariance_and_that_of_another_h_is_refused(hurst):
    amplitudes = fractional_noise_embedding(hurst, 50).amplitudes
    paths = fractional_noise.by_numpy(amplitudes, 4000, 300, np.random.default_rng(1))
    assert paths.shape == (4000, 50)
    fractional_noise.check("NumPy", paths, covariance_by_lag(FractionalNoise(hurst), 50))
    with pytest.raises(WrongAnswer, match="the covariance at lag"):
        fractional_noise.check("NumPy", paths, covariance_by_lag(FractionalNoise(abs(hurst - 0.04)), 50))
