"""The benchmark of training: its loop trains the same networks, and nothing that is frozen is timed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

torch = pytest.importorskip("torch")
from bench import training  # noqa: E402
from bench.training import Case  # noqa: E402
from resmc.torch_module.ensemble import Ensemble  # noqa: E402

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("block", ["phi-in", "phi-out", "v-phi-w"])
@pytest.mark.parametrize("activation", training.FUNCTIONS)
def test_a_step_of_the_loop_is_a_step_of_the_ensemble(block: str, activation: str) -> None:
    case = Case(block, activation, 6, 5, 8, 1)
    single, (x, y) = training.Single(case), training.examples(case)
    ensemble = Ensemble([case.model], [0], features=training.FEATURES, outputs=training.CLASSES)
    loss = torch.nn.functional.cross_entropy(single(x), y)
    loss.backward()
    torch.testing.assert_close(ensemble.gradients(x, y, "cross_entropy")[0], loss.double(), rtol=1e-6, atol=0.0)
    found = ensemble.chunks[0].parameters
    for name, stack in single.stacks.items():
        mine = ensemble.shape.unpadded(name, found[name].grad)[:, 0]
        torch.testing.assert_close(mine, stack.grad.mT, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["A"].grad[0, :6], single.A.grad.T, rtol=1e-4, atol=1e-6)


def test_operations_are_those_of_the_products() -> None:
    """Two matrices to a layer, each in three products of 2 x 5 x 6 x 6 operations, in 10 layers."""
    assert Case("v-phi-w", "relu", 6, 10, 5, 1).operations == 2 * 3 * 2 * 5 * 6 * 6 * 10
    assert Case("phi-in", "relu", 6, 10, 5, 1).operations == 3 * 2 * 5 * 6 * 6 * 10


def test_frozen_members_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("phi-in", "relu", 6, 5, 8, 2)
    steps = training.ensemble_steps(case, 1)
    steps["sgd"]()
    monkeypatch.setattr(training, "examples", lambda *_: (torch.full((2, 8, 64), 1e38), torch.zeros(2, 8).long()))
    with pytest.raises(RuntimeError, match="frozen"):
        training.ensemble_steps(case, 1)["gradient"]()


@pytest.mark.long
def test_the_table_is_written_quickly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    assert training.main(["--quick", "--output", str(tmp_path)]) == 0
    assert torch.get_num_threads() == threads
    (found,) = tmp_path.glob("*.json")
    report = json.loads(found.read_text())
    assert [row["width"] for row in report["rows"]] == [case.width for case in training.QUICK.cases]
    for row in report["rows"]:
        assert 0.0 < row["times_as_fast"]["min"] <= row["times_as_fast"]["median"] <= row["times_as_fast"]["max"]
        assert row["share"]["min"] > 0.0
    assert "at least 10 times as fast as the loop" in capsys.readouterr().out
