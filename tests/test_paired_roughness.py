"""Roughness before and after: pairs of networks make differences that are known better than either exponent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import resmc
from resmc.analyses import RoughnessChange, roughness_change
from resmc.theory.roughness import PATHS

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("error")]
TIMES = np.arange(100) / 100.0


def noise(seed: int = 0, networks: int = 32, entries: int = 8) -> np.ndarray:
    """Independent weights, (networks, 100 layers, entries)."""
    return np.random.default_rng(seed).standard_normal((networks, 100, entries))


def trend(seed: int = 1, networks: int = 32, entries: int = 8) -> np.ndarray:
    """Smooth weights of the same shape, with a phase of their own."""
    phase = np.random.default_rng(seed).uniform(0.0, 6.0, (networks, 1, entries))
    return np.sqrt(2.0) * np.cos(4.0 * TIMES[:, None] + phase)


def change(before: np.ndarray, after: np.ndarray, **options: Any) -> RoughnessChange:
    return roughness_change(before, after, **{"axis": 1, "members": 0} | options)


@pytest.mark.parametrize("path", PATHS)
def test_exponents_are_those_of_each_by_itself_and_their_difference_is_that_of_pairs(path):
    before, after = noise(), noise() + trend()
    found = change(before, after, path=path)
    for one, weights in ((found.before, before), (found.after, after), (found.learnt, after - before)):
        alone = resmc.roughness_exponent(weights, path=path, axis=1, members=0).exponent
        assert [float(one), float(one.stderr)] == pytest.approx(
            [float(alone), float(alone.stderr)], rel=1e-9, abs=1e-12
        )
    assert float(found.difference) == pytest.approx(float(found.after) - float(found.before), abs=1e-12)
    squares = resmc.roughness_exponent(after, path=path, axis=1, members=0).mean_square
    assert found.mean_square_after.value == pytest.approx(squares.value)


def test_the_error_of_a_difference_is_smaller_than_those_it_is_made_of_where_little_has_changed():
    found = change(noise(), noise() + 0.05 * trend())
    assert float(found.difference.stderr) < 0.5 * float(found.before.stderr)
    unpaired = change(noise(), noise(2) + 0.1 * trend())
    assert float(unpaired.difference.stderr) > float(unpaired.before.stderr)
    assert np.isnan((found.after - found.before).stderr)  # Networks in common, in a way that this does not know.


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (noise(), noise() + 0.02 * trend(), "kept"),
        (noise(), noise() + trend(), "smoother"),
        (trend(), trend() + noise(), "rougher"),
        (noise(networks=31), noise(networks=31), "undecided"),
    ],
)
def test_a_verdict_is_what_the_interval_of_the_difference_says(before, after, verdict):
    assert change(before, after).verdict() == verdict


def test_a_verdict_is_undecided_where_the_interval_crosses_the_tolerance():
    found = change(noise(), noise() + 0.3 * trend())
    at = float(found.difference)
    assert found.verdict(at) == "undecided"
    assert found.verdict(at + 4.0 * float(found.difference.stderr)) == "kept"
    assert found.verdict(at - 4.0 * float(found.difference.stderr)) == "smoother"


def test_smooth_weights_lose_their_own_exponent_to_a_little_noise_that_sums_do_not_feel():
    after = trend() + 0.02 * noise()
    assert change(trend(), after, path="weights").verdict() == "rougher"
    assert change(trend(), after, path="sums").verdict() == "kept"


def test_how_far_weights_have_moved_is_relative_to_their_size():
    before = noise()
    found = change(before, 1.25 * before)
    assert float(found.moved) == pytest.approx(0.25, rel=1e-12)
    assert float(found.learnt) == pytest.approx(float(found.before), rel=1e-9)
    assert float(change(before, before).moved) == 0.0
    assert np.isnan(change(before, before).learnt.value)
    assert np.isinf(change(0.0 * before, before).moved.value)


def test_intervals_of_the_difference_cover():
    """Before: independent. After: each network has a trend of its own, whose size is known on average alone."""
    exact = 0.5 * np.polyfit(np.log([1, 2, 4]), np.log([1 + 0.25 * m for m in (1, 2, 4)]), 1)[0]
    rng, covered = np.random.default_rng(3), 0
    for _ in range(300):
        before = rng.standard_normal((32, 40, 8))
        after = before + 0.5 * rng.standard_normal((32, 1, 8))
        low, high = change(before, after, lags=(1, 2, 4)).difference.interval()
        covered += low <= exact <= high
    assert 266 <= covered <= 297  # 1e-3 on either side, of 0.94 to 0.95: the logarithm bends


@pytest.mark.parametrize(
    ("before", "after", "options", "message"),
    [
        (noise(), noise()[:, :50], {}, r"after of shape \(32, 50, 8\) is not allowed with before of shape \(32, 100"),
        (noise(), noise()[..., None], {}, "after of shape"),
        (np.full((32, 5, 1), np.nan), noise()[:, :5, :1], {}, "before of 32 of 32 networks are not all finite"),
        (noise(), np.inf * np.ones_like(noise()), {"members": None}, "after are not all finite"),
        (noise(), noise(), {"path": "both"}, "path='both' is not allowed"),
        (noise(), "weights", {}, "after='weights' is not allowed"),
    ],
)
def test_what_is_not_allowed_is_said_in_a_sentence(before, after, options, message):
    with pytest.raises(ValueError, match=message):
        change(before, after, **options)


def test_a_verdict_takes_a_tolerance_above_0():
    with pytest.raises(ValueError, match=r"tolerance=0\.0 is not allowed: it must be a finite number above 0"):
        change(noise(), noise()).verdict(0.0)
