"""The prototype of a size-biased proposal: its coordinates have the law they should, and its products are unbiased.

z-scores are bounded by 4.5: 6.8e-6 each, for the 8 of them 5e-5 in all.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import size_biased as bench
from resmc import ResNet

pytestmark = pytest.mark.cpu
AGREE = 4.5


def far_off(sample: np.ndarray, exact: float) -> float:
    return abs(sample.mean() - exact) / (sample.std(ddof=1) / np.sqrt(len(sample)))


@pytest.mark.parametrize(("m", "s"), [(0.0, 1.0), (0.7, 0.5), (-2.0, 0.3)])
def test_a_size_biased_normal_has_the_moments_of_its_density(m, s):
    """Those of x^2 N(x; m, s^2): E x^(k+2)/E x^2 of a normal number."""
    x = bench.size_biased_normals(np.random.default_rng(1), np.full(200_000, m), np.full(200_000, s))
    normal = [1.0, m, m**2 + s**2, m**3 + 3 * m * s**2, m**4 + 6 * m**2 * s**2 + 3 * s**4]
    assert far_off(x, normal[3] / normal[2]) < AGREE
    assert far_off(x**2, normal[4] / normal[2]) < AGREE
    assert far_off(x**2, normal[2]) > AGREE


def test_without_noise_a_coordinate_stays_where_it_is():
    x = bench.size_biased_normals(np.random.default_rng(1), np.array([0.5, -0.25]), np.zeros(2))
    assert x.tolist() == [0.5, -0.25]


@pytest.mark.parametrize("biased", [False, True])
def test_products_of_both_proposals_are_unbiased(biased):
    """Balanced networks, whose second moment is 1; and as a control a weight that lacks a factor."""
    model = ResNet(8, 80, bench.HALF, bench.HALF, "balanced")
    products = np.exp(bench.log_products(np.random.default_rng(2), model, 64, biased)[0])  # d/n = 1
    assert far_off(products, 1.0) < AGREE
    assert far_off(products * 1.25, 1.0) > AGREE


def test_a_quick_run_is_written_with_a_verdict(tmp_path, capsys):
    assert bench.main(["--quick", "--output", str(tmp_path)]) == 0
    (found,) = tmp_path.glob("size-biased-quick-*.json")
    report = json.loads(found.read_text())
    assert len(report["lines"]) == 2 * len(bench.RATIOS)
    assert all(line["plain_variance"] > line["biased_variance"] * 0.5 for line in report["lines"])
    assert report["verdict"].startswith("It ")
    assert report["verdict"] in capsys.readouterr().out
