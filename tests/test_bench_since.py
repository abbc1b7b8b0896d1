"""What the benchmark says of the last run of the same machine: which ratios have moved by more than their noise."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import __main__ as program
from bench import plan, report
from bench import since as since_then
from bench.harness import Spread
from bench.job import Effort, Job
from bench.peers.problem import Problem

MACHINE = {"cpu": "A processor (family 1, model 2)", "cores": 2, "instruction_set": "avx2", "torch": "2.13.0"}
MAIN = Problem(192, 200)


def entry(rates: np.ndarray, others: np.ndarray, part: str = "peers", task: str = "compare", **given: Any) -> dict:
    """A comparison whose rounds had these rates of resmc's, and of the other side."""
    job = Job(part, task, given.pop("problem", MAIN), Effort(rounds=len(rates)), **given)
    spreads = [vars(Spread.of([float(x) for x in values])) for values in (rates, others, rates / others)]
    names = ("resmc_per_s", since_then.OTHER.get(task, "nothing"), "ratio")
    result = dict(zip(names, spreads, strict=True))
    return {"title": job.title, "job": json.loads(json.dumps(job.to_json())), "status": "done", "result": result}


def run(entries: list[dict], date: str = "2026-11-01", scale: str = "quick", **machine: Any) -> dict[str, Any]:
    return {"date": date, "commit": "0123456789ab", "machine": MACHINE | machine, "options": {"scale": scale},
            "results": entries}  # fmt: skip


def rounds(seed: int, level: float = 1.0, n: int = 5) -> np.ndarray:
    return level * np.exp(0.03 * np.random.default_rng(seed).standard_normal(n))


def test_a_planted_slowdown_is_found_with_its_size_noise_and_side() -> None:
    old = [entry(rounds(i, 4.0), rounds(10 + i), peer=peer) for i, peer in enumerate(plan.SMART)]
    new = [entry(rounds(20 + i, 4.0), rounds(30 + i), peer=peer) for i, peer in enumerate(plan.SMART)]
    new[1] = entry(rounds(21, 3.0), rounds(31), peer=plan.SMART[1])  # resmc at 75% of its rate
    before = run(old)
    said = since_then.since(run(new, "2026-12-01"), (Path("cpu-a-avx2-quick.json"), before))
    assert said[0].startswith(f"1 of {len(old)} ratios moved by more than their noise since the last run recorded")
    assert "cpu-a-avx2-quick.json, commit 0123456789ab, 2026-11-01" in said[0]
    assert f"{len(old) * 2 / 252:.1g} would be expected" in said[0]
    assert len(said) == 2
    assert said[1].startswith(new[1]["title"])
    ratios = [Spread(**one["result"]["ratio"]) for one in (old[1], new[1])]
    assert f"{ratios[1].median / ratios[0].median - 1.0:+.1%} (noise {since_then.noise(*ratios):.1%})" in said[1]
    change = new[1]["result"]["resmc_per_s"]["median"] / old[1]["result"]["resmc_per_s"]["median"] - 1.0
    assert f"networks/s of resmc {change:+.1%}" in said[1]
    # the other way round it is a gain, and found as well
    assert "1 of" in since_then.since(run(old, "2026-12-01"), (Path("x"), run(new)))[0]


def test_a_machine_that_is_slower_on_another_day_has_moved_nothing() -> None:
    """Both sides at 60%: the negative control."""
    old = [entry(rounds(i, 4.0), rounds(10 + i), peer=peer) for i, peer in enumerate(plan.SMART)]
    new = [entry(rounds(20 + i, 2.4), rounds(30 + i, 0.6), peer=peer) for i, peer in enumerate(plan.SMART)]
    said = since_then.since(run(new, "2026-12-01"), (Path("x"), run(old)))
    assert said[0].startswith(f"None of {len(old)} ratios moved")
    assert len(said) == 1


@pytest.mark.parametrize(("a", "b"), [(5, 5), (7, 5)])
def test_rounds_of_one_law_lie_apart_as_often_as_is_said(a: int, b: int) -> None:
    """20,000 pairs of heavy-tailed rounds, within 5 standard errors of the count; 5% faster ones in most pairs."""
    n, p = 20_000, since_then.chance(a, b)
    random = np.random.default_rng(a)
    old, new = (1.0 + 0.01 * np.abs(random.standard_t(3, (n, size))) for size in (a, b))
    assert p == pytest.approx(2.0 * math.factorial(a) * math.factorial(b) / math.factorial(a + b))

    def moved(then: np.ndarray, now: np.ndarray) -> int:
        return int(((now.min(axis=1) > then.max(axis=1)) | (now.max(axis=1) < then.min(axis=1))).sum())

    assert abs(moved(old, new) - n * p) < 5.0 * math.sqrt(n * p)
    assert moved(old, 1.05 * new) > n / 2
    pair = [entry(one, np.ones(len(one))) for one in (old[0], 2.0 * new[0])]
    assert "1 of 1" in since_then.since(run(pair[1:]), (Path("x"), run(pair[:1])))[0]


def test_noise_is_how_far_medians_in_the_middle_differ_at_most_while_rounds_overlap() -> None:
    old, new = Spread(1.0, 0.9, 1.0 / 0.9), Spread(1.2, 1.08, 1.2 / 0.9)
    assert since_then.noise(old, new) == pytest.approx(1.0 / 0.81 - 1.0)


def test_the_last_complete_run_of_the_same_machine_is_taken(tmp_path: Path) -> None:
    one = [entry(rounds(1), rounds(2), peer="NumPy")]
    files = {
        "cpu-a-avx2": run(one, "2026-11-02"),
        "cpu-a-avx2-quick": run(one, "2026-11-01"),
        "cpu-a-avx2-smoke": run(one, "2026-11-05", "smoke"),
        "cpu-a-avx2-quick-unfinished": run(one, "2026-11-06"),
        "cpu-a-avx512": run(one, "2026-11-07", instruction_set="avx512"),
        "cpu-a-avx2-one-thread": run(one, "2026-11-08", cores=1),
        "cpu-b-avx2": run(one, "2026-11-09", cpu="Another"),
        "heat-map-a-avx2": {"none": "of these"},
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    path, found = since_then.last_recorded(MACHINE, [tmp_path, tmp_path])
    assert (path.name, found["date"]) == ("cpu-a-avx2.json", "2026-11-02")
    assert since_then.last_recorded(MACHINE | {"cores": 3}, [tmp_path]) is None
    said = since_then.since(run(one, cores=3), None)
    assert said == [
        "No run of this machine (A processor (family 1, model 2), 3 cores, avx2) is recorded: there is nothing to "
        "compare with."
    ]


def test_what_was_not_measured_twice_is_not_compared_and_versions_that_differ_are_named() -> None:
    numpy, threads = (entry(rounds(1), rounds(2), peer="NumPy", threads=n) for n in (1, 2))
    failed = {**entry(rounds(3), rounds(4), peer="NumPy"), "status": "failed", "reason": "made up"}
    for then in (threads, failed):
        assert "has measured nothing that this one has" in since_then.since(run([numpy]), (Path("x"), run([then])))[0]
    recording = entry(rounds(5), rounds(6), "recording", "recording")
    slower = entry(rounds(5, 0.5), rounds(6), "recording", "recording")
    said = since_then.since(run([recording, numpy]), (Path("x"), run([slower], torch="2.12.0")))
    assert said[0].startswith("1 of 1 ratios")
    assert "networks/s" not in said[1]  # two times of resmc's own
    assert said[2] == "Other versions: torch 2.12.0 then, 2.13.0 now."


def test_a_quick_run_says_what_has_moved_since_the_one_whose_file_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = []

    def measured(job: Job, reference: Any) -> dict[str, Any]:
        one = entry(rounds(1, levels[-1]), rounds(2), "limit", "limit")
        return {"status": "done", "result": {**one["result"], "networks": 1000}}

    monkeypatch.setattr(program, "run", measured)
    monkeypatch.setattr(program, "RESULTS", tmp_path / "none")
    monkeypatch.setattr(report, "cpu_model", lambda: "A processor")
    words = ["--quick", "--parts", "limit", "--sizes", "192x200", "--output", str(tmp_path)]
    for now, sentence in ((1.0, "No run of this machine"), (1.0, "None of 2 ratios"), (0.8, "2 of 2 ratios")):
        levels.append(now)
        assert program.main(words) == 0
        assert "## Since the last run" in (said := capsys.readouterr().out)
        assert f"- {sentence}" in said
        (written,) = tmp_path.glob("*.json")
        assert json.loads(written.read_text())["since"][0].startswith(sentence)
    assert program.main(["--smoke", *words[1:3], "--output", str(tmp_path)]) == 0
    assert "## Since the last run" not in capsys.readouterr().out
