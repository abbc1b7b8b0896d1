"""The benchmark of generators of normals: what it asks, what it refuses, and its table."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import generators as bench
from bench.harness import spread
from bench.peers import mkl

pytestmark = pytest.mark.cpu


def row(name: str, ratio: float) -> dict[str, object]:
    """A row of the report whose rates are of the best of MKL's times a ratio."""
    return {"name": name, "per_s": spread([ratio]), "cycles": spread([2.0]), "over_mkl": spread([ratio])}


def test_normals_are_checked_before_they_are_timed():
    bench.check("NumPy", bench.numpy_normals())
    right = bench.numpy_normals()
    for wrong in (lambda count: right(count) + 0.05, lambda count: 1.02 * right(count), lambda count: right(count) * 0):
        with pytest.raises(RuntimeError, match="is off by"):
            bench.check("negative control", wrong)


@pytest.mark.parametrize(("width", "depth"), [(192, 200), (1024, 256), (3, 7)])
def test_rates_count_the_normals_that_are_drawn(width, depth, monkeypatch):
    simulated = []
    monkeypatch.setattr(bench.ours, "simulate", lambda problem, networks: simulated.append(networks))
    problem = bench.Problem(width, depth)
    for asked in (1, 1 << 22, 1 << 25):
        count = bench.whole_packs(problem, asked)
        assert asked <= count < asked + width * depth * bench.ours.unit("projected", 1)
        bench.simulation_of(problem)(count)
        assert simulated[-1] * width * depth == count


def test_what_is_asked_of_the_generator_and_of_whole_simulations_is_told_apart():
    for name, target in (("resmc's generator, 8 x 2", bench.GENERATOR), ("resmc, 8 x 2", bench.WHOLE)):
        assert bench.line_of(row(name, target)).reached
        assert not bench.line_of(row(name, 0.99 * target)).reached


def test_the_table_has_every_row_and_says_what_is_not_reached():
    rows = [row("resmc's generator, 8 x 2", 2.0), row("MKL ARS5, Box-Muller, 1024 a call", 1.0)]
    report = {
        "command": "python -m bench.generators", "commit": "abc", "date": "today", "cpu": "a processor", "cpus": 2,
        "load": 0.5, "version": "1", "instruction_set": "avx2", "clock": spread([3e9]), "rows": rows,
        "lines": [vars(bench.line_of(rows[0]))], "best": "MKL ARS5, Box-Muller, 1024 a call",
        "tried": {"MKL ARS5, Box-Muller, 1024 a call": 5e8, "MKL ARS5, Box-Muller, 4096 a call": 7e8},
        "instructions": {"resmc": 9.1, "mkl": "no valgrind"},
    }  # fmt: skip
    text = bench.markdown(report)
    assert "| 2.00 | NOT reached |" in text
    assert "9.1, MKL ARS5, Box-Muller, 1024 a call no valgrind" in text
    assert "| ARS5 | Box-Muller | 700 |" in text


def test_without_mkl_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(mkl.sys, "prefix", str(tmp_path))
    mkl.load.cache_clear()
    with pytest.raises(ImportError, match="there is no MKL here: pip install mkl"):
        mkl.Normals("ARS5", "Box-Muller", 64).source()
    mkl.load.cache_clear()


@pytest.mark.skipif(mkl.path() is None, reason="needs the package mkl, which the extra bench has")
def test_mkl_s_normals_are_normal_by_every_generator_and_method_that_it_has():
    refused = 0
    for normals in (one for one in mkl.every() if one.block == 4096):
        try:
            draw = normals.source()
        except ValueError:
            refused += 1
            continue
        bench.check(str(normals), draw, normals.block, 64)
    assert refused < len(mkl.GENERATORS)
    assert math.isfinite(bench.our_instructions())
