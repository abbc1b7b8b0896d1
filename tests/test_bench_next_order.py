"""The benchmark of the next order: which cases are judged, what is missed, and what its page counts."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from resmc import ResNet

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # bench is not installed; last: resmc stays what it is

from bench import next_order  # noqa: E402
from bench.next_order import Case  # noqa: E402

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize(
    ("value", "stderr", "second", "verdict"),
    [
        (1.1, 0.03, 1.1, "not judged"),
        (1.1, 0.001, 1.09, ""),
        (1.1, 0.001, 1.2, "MISSED"),
        (1.1, 0.001, 1.05, "MISSED"),
        (1.1, 0.02, 1.06, "missed, within 2 s.e."),
    ],
)
def test_a_case_is_judged_by_the_share_that_is_removed_and_its_error(value, stderr, second, verdict):
    assert Case("E A", value, stderr, 1.0, second).verdict == verdict


def test_the_page_counts_what_is_judged_and_other_networks_are_kept(tmp_path, monkeypatch, capsys):
    models = {"n = 8": (ResNet(16, 8, 0.5, math.sqrt(0.75)), 64), "n = 40": (ResNet(40, 8, 0.5, math.sqrt(0.75)), 64)}
    monkeypatch.setattr(next_order, "jobs", lambda: models)
    good, bad = Case("E A", -1.1, 0.001, -1.0, -1.1), Case("mean of L", -1.1, 0.001, -1.0, -1.0)
    monkeypatch.setattr(next_order, "cases", lambda model, *given: [good] if model.width == 16 else [good, bad])
    assert next_order.main(["--output", str(tmp_path)]) == 1
    page = (tmp_path / "next-order.md").read_text()
    assert "| E A | 1 of 1 | 1 of 1 |" in page
    assert "| mean of L | 0 of 1 | 0 of 0 |" in page
    assert "| all | 1 of 2 | 1 of 1 |" in page
    assert next_order.main(["--output", str(tmp_path), "--only", "n = 8"]) == 0
    assert list(json.loads((tmp_path / "next-order.json").read_text())) == ["n = 8", "n = 40"]
    assert "0% removed  MISSED" in capsys.readouterr().out


def test_every_network_has_four_cases_with_both_orders():
    (model, _), *_ = next_order.jobs().values()
    assert (model.width, model.depth) == (512, 1024)
    found = next_order.cases(ResNet(8, 8, 0.5, math.sqrt(0.75)), 4096, 0)
    assert [case.quantity for case in found] == list(next_order.QUANTITIES)
    assert all(case.limit != case.second_order for case in found)
    assert all(math.isfinite(case.value) and case.stderr > 0.0 for case in found)
