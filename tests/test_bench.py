"""The benchmark's peers simulate the same networks, and the harness refuses one that does not. No timings here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import harness, peers  # noqa: E402
from bench.peers import Floats, Problem  # noqa: E402

REFERENCE_NETWORKS = 100_000


def run(peer: peers.Peer, problem: Problem, networks: int, **options: Any) -> Floats:
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        return peer(problem, networks, 7, **options)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


@pytest.mark.parametrize(
    ("peer", "variant", "networks", "options"),
    [
        (peers.module_loop, "vanilla", 400, {}),
        (peers.torch_projected, "vanilla", 20_001, {"batch": 128}),
        (peers.torch_projected, "balanced", 20_001, {"batch": 128}),
        (peers.numpy_projected, "vanilla", 20_001, {"batch": 128, "bit_generator": np.random.SFC64}),
        (peers.numpy_projected, "balanced", 20_001, {"batch": 128, "bit_generator": np.random.PCG64}),
    ],
)
@pytest.mark.parametrize(("alpha", "lam", "depth"), [(0.5**0.5, 0.5**0.5, 24), (0.3, 1.1, 47)])
def test_peers_agree_in_law(
    peer: peers.Peer, variant: str, networks: int, options: dict[str, Any], alpha: float, lam: float, depth: int
) -> None:
    problem = Problem(21, depth, alpha, lam, variant)
    reference = harness.reference_moments(problem, REFERENCE_NETWORKS)
    harness.check_answer(peer.__name__, run(peer, problem, networks, **options), reference, limit=5.0)


@pytest.mark.parametrize("peer", [peers.module_loop, peers.torch_projected, peers.numpy_projected])
@pytest.mark.parametrize("error", [0.95, 1.05])
def test_wrong_peer_is_refused(peer: peers.Peer, error: float) -> None:
    problem = Problem(24, 60)
    networks = 300 if peer is peers.module_loop else 4000
    reference = harness.reference_moments(problem, 50_000)
    wrong = run(peer, replace(problem, lam=error * problem.lam), networks)
    with pytest.raises(harness.WrongAnswer, match="not timed"):
        harness.check_answer("wrong", wrong, reference)


def test_not_a_number_is_refused() -> None:
    reference = harness.Moments(0.0, 0.01, 1.0, 0.01, 10_000)
    with pytest.raises(harness.WrongAnswer):
        harness.check_answer("broken", np.full(100, np.nan), reference)


def test_problem_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="it must be positive"):
        Problem(8, 8, alpha=-0.5)
    with pytest.raises(ValueError, match="variant='other'"):
        Problem(8, 8, variant="other")
