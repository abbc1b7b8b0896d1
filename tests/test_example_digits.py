"""The convolutional example: its adjoint's gradient is autograd's, nearly, and its memory does not grow with N."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

EXAMPLE = Path(__file__).parents[1] / "examples" / "digits.py"
pytestmark = pytest.mark.cpu


@pytest.fixture(scope="module")
def digits() -> Any:
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trained(depth: int, backward: str) -> dict[str, Any]:
    """What a process of its own says that has measured its memory and trained for no epoch."""
    words = [sys.executable, str(EXAMPLE), "--one", backward, "--depths", str(depth), "--epochs", "0"]
    return dict(json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout))


@pytest.mark.long
def test_memory_grows_with_the_depth_for_autograd_alone():
    """Autograd keeps at least four states of 256 KiB a step; the adjoint a few, however many steps there are.

    Memory as the operating system counts it varies by some MiB from process to process: the least of five counts.
    """
    steps, state = 64, 128 * 8 * 64 * 4 / 2**20
    assert trained(steps, "autograd")["peak"] > 3.0 * steps * state
    assert min(trained(steps, "adjoint")["peak"] for _ in range(5)) < 16.0 * state


def test_both_ways_start_from_one_gradient(digits):
    x, y = digits.data(0)
    gradients = []
    for backward in ("autograd", "adjoint"):
        net = digits.network(16, backward, 0)
        torch.nn.functional.cross_entropy(net(x[:16]), y[:16]).backward()
        gradients.append(torch.cat([one.grad.flatten() for one in net.parameters()]))
    exact, recovered = gradients
    assert 0.0 < (recovered - exact).norm() < 1e-3 * exact.norm()


def test_a_table_and_a_figure_come_out(digits, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    made = {"peak": 1.0, "loss": 0.5, "accuracy": 0.9, "seconds": 2.0}
    monkeypatch.setattr(digits, "apart", lambda depth, backward, *_: made | {"depth": depth, "backward": backward})
    monkeypatch.setattr(sys, "argv", ["digits.py", "--depths", "2", "4", f"--output={tmp_path / 'digits.png'}"])
    digits.main()
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:5]] == [
        [depth, backward] for depth in "24" for backward in ("autograd", "adjoint")
    ]
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_training_lowers_the_loss(digits):
    threads = torch.get_num_threads()
    start, end = (digits.train(16, "adjoint", epochs, 1)["loss"] for epochs in (0, 1))
    torch.set_num_threads(threads)
    assert end < 0.95 * start
