"""The check of the normals' law itself: what it must pass, what it must refuse, and what its errors are.

Each sample here has 10^7 draws or so. There a line is refused beyond 4.2 standard errors, with probability 1e-3 for any
of them by mere chance; the faults are so large that each moves its line by 6.7 standard errors or more, and would so be
missed in less than 1 of 100 runs. At the 10^10 draws of the bench faults thirty times smaller are seen as well.
"""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from resmc import _native

sys.path.append(str(Path(__file__).resolve().parents[1]))  # bench is not installed; last: resmc stays what it is

from bench import normal_errors, normal_law, normal_sums
from bench.normal_sums import Sums, lines, verdict

pytestmark = pytest.mark.cpu
LAYERS, SHAPE = 40, (256, 1024)
DRAWS = LAYERS * math.prod(SHAPE)
INSTRUCTION_SETS = [name for name, _ in _native.instruction_sets()]
Layers = list[NDArray[np.float32]]


@pytest.fixture(scope="module")
def right() -> Layers:
    """NumPy's normals: a right sample that owes nothing to resmc."""
    rng = np.random.default_rng(20)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(LAYERS)]


def sums_of(sample: Layers) -> Sums:
    sums, before = Sums(), None
    for block in sample:
        before = sums.add_layer(block, before)
    return sums


def scores(sums: Sums) -> dict[str, float]:
    return {line.quantity: line.z for line in lines(sums)}


def passes(sums: Sums) -> bool:
    return verdict(list(lines(sums)), sums.draws).passed


# ------------------------------------------------------------------------------------------------------------- the sums


def test_sums_are_those_of_their_definitions(right: Layers) -> None:
    sample = [block[:5, :12] for block in right[:3]]
    sums, g = sums_of(sample), np.stack(sample).astype(np.float64)
    assert sums.draws == g.size
    np.testing.assert_allclose(sums.powers, [(g**k).sum() for k in range(1, 9)], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(sums.above, [(g > s).sum() for s in range(1, 7)])
    np.testing.assert_array_equal(sums.below, [(g < -s).sum() for s in range(1, 7)])
    quads = g.reshape(3, 5, 3, 4)
    pairs = [
        (quads[..., 0::2], quads[..., 1::2]),
        (quads[..., :2], quads[..., 2:]),
        (quads[:, :, :-1], quads[:, :, 1:]),
        (g[:, :-1], g[:, 1:]),
        (g[:-1], g[1:]),
    ]
    np.testing.assert_array_equal(sums.pairs, [x.size for x, _ in pairs])
    np.testing.assert_allclose(sums.products, [(x * y).sum() for x, y in pairs], rtol=1e-12)
    np.testing.assert_allclose(sums.squares, [((x**2 - 1) * (y**2 - 1)).sum() for x, y in pairs], rtol=1e-12)


def test_moments_and_counts_are_exact() -> None:
    assert [normal_sums.moment(k) for k in range(1, 9)] == [0, 1, 0, 3, 0, 15, 0, 105]
    assert normal_sums.moment(16) == 2027025
    empty = normal_sums._count("none of a hundredth", 10**7, 1e-9, 0)
    assert (empty.expected, empty.z) == (pytest.approx(0.01), 0.0)
    none_of_twenty = normal_sums._count("none of twenty", 10**10, 2e-9, 0)  # probability exp(-20)
    assert none_of_twenty.z == pytest.approx(-norm.isf(math.exp(-20.0)), abs=1e-3)
    many = normal_sums._count("far above", 10**10, 0.1, 10**9 + 60_000)
    assert many.z == pytest.approx(2.0, abs=1e-3)


def test_z_scores_are_standard() -> None:
    """Over 400 small samples each line's z-score has mean 0 and variance 1; counts of few, which are discrete, apart.

    False alarm: 14 lines times two, each beyond 5 standard errors: 2e-5. Higher powers have tails so long that the
    variance of their variance says little.
    """
    rng = np.random.default_rng(21)
    found = [scores(sums_of(list(rng.standard_normal((4, 32, 128), dtype=np.float32)))) for _ in range(400)]
    for name in found[0]:
        if name.startswith("correlation") or name in ("mean of g^1", "mean of g^2", "above +1 sigma", "below -1 sigma"):
            z = np.array([one[name] for one in found])
            assert abs(z.mean()) < 5.0 / math.sqrt(400), name
            assert abs(z.var() - 1.0) < 5.0 * math.sqrt(2.5 / 400), name


# ------------------------------------------------------------------------------------------------- what passes, and not


def test_a_right_sample_passes(right: Layers) -> None:
    found = verdict(list(lines(sums_of(right))), DRAWS)
    assert found.passed
    assert str(found).startswith("PASSED")
    assert found.bound == pytest.approx(4.19, abs=0.01)


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_the_normals_of_resmc_pass(name: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        sums = normal_law.law(pool, name, 22, 10**7, quiet=True)
        assert sums.draws == 10 * normal_law.TASK
        assert passes(sums)
        one = Sums()
        for task in range(10):
            one.add(normal_law.task_sums(name, 22, task))
        assert scores(one) == scores(sums)


def variance(block: NDArray[np.float32]) -> NDArray[np.float32]:
    return block * np.float32(math.sqrt(1.0035))  # 8 standard errors of the variance


def clipped_tail(block: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(block, -4.0, 4.0)  # 332 a side are expected beyond


def swapped_sign(block: NDArray[np.float32]) -> NDArray[np.float32]:
    faulty = block.copy()
    faulty[:, 2::256] = np.abs(faulty[:, 2::256])  # of 1 normal in 256: shifts the mean by 0.8 / 256
    return faulty


def correlated_draw(block: NDArray[np.float32]) -> NDArray[np.float32]:
    faulty = block.copy()
    faulty[:, 1::2] = np.sqrt(np.float32(1 - 0.004**2)) * block[:, 1::2] + np.float32(0.004) * block[:, 0::2]
    return faulty


def common_radius(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """The two draws of 1 quad in 128 have the same radius: uncorrelated normals whose squares are not."""
    faulty = block.copy().reshape(len(block), -1, 4)
    first, second = faulty[:, ::128, :2], faulty[:, ::128, 2:]
    second *= np.sqrt((first**2).sum(-1, keepdims=True) / (second**2).sum(-1, keepdims=True))
    return faulty.reshape(block.shape)


@pytest.mark.parametrize(
    ("fault", "quantity"),
    [
        (variance, "mean of g^2"),
        (clipped_tail, "above +4 sigma"),
        (swapped_sign, "mean of g^1"),
        (correlated_draw, "correlation, cosine and sine of a draw"),
        (common_radius, "correlation of squares, both draws of a quad"),
    ],
)
def test_a_planted_fault_is_refused(right: Layers, fault, quantity: str) -> None:
    sums = sums_of([fault(block) for block in right])
    assert not passes(sums)
    assert abs(scores(sums)[quantity]) > verdict(list(lines(sums)), DRAWS).bound


def test_counters_used_twice_are_refused() -> None:
    """Negative control of the serial structure: layers, networks or quads that are drawn twice are seen as such."""
    blocks = [_native.drawn("auto", 23, 1, layer, 0, 64, 64) for layer in range(4)]
    found = scores(sums_of(blocks))
    assert max(map(abs, found.values())) < 4.2
    assert scores(sums_of(blocks[:1] * 4))["correlation, neighbouring layers"] > 100
    networks, quads = [block.copy() for block in blocks], [block.copy().reshape(64, -1, 4) for block in blocks]
    for block, other in zip(networks, quads, strict=True):
        block[1::2] = block[0::2]
        other[:, 1::2] = other[:, 0::2]
    assert scores(sums_of(networks))["correlation, neighbouring networks"] > 100
    assert scores(sums_of([block.reshape(64, -1) for block in quads]))["correlation, neighbouring quads"] > 100


def test_the_power_is_as_stated(right: Layers) -> None:
    """At 10^10 draws a variance that is 1.0003 is 21 standard errors off, and a tail without its last sigma is seen."""
    sums = sums_of(right)
    n = 10**10
    exact = Sums(
        draws=n,
        powers=np.array([normal_sums.moment(k) * n for k in range(1, 9)]),
        above=np.round([n * math.erfc(s / math.sqrt(2.0)) / 2.0 for s in range(1, 7)]),
        below=np.round([n * math.erfc(s / math.sqrt(2.0)) / 2.0 for s in range(1, 7)]),
        pairs=sums.pairs * (n / DRAWS),
    )
    found = verdict(list(lines(exact)), n)
    assert found.passed
    assert abs(found.worst.z) < 0.2
    assert found.variance_seen == pytest.approx(9.2e-5, rel=0.01)
    wrong = Sums(**vars(exact))
    wrong.powers = exact.powers * 1.0003 ** (np.arange(1, 9) / 2)
    assert scores(wrong)["mean of g^2"] == pytest.approx(3e-4 / math.sqrt(2.0 / n), rel=1e-6)
    assert not passes(wrong)
    clipped = Sums(**vars(exact))
    clipped.above, clipped.below = exact.above * (1, 1, 1, 1, 1, 0), exact.below * (1, 1, 1, 1, 1, 0)
    assert not passes(clipped)


def test_what_is_not_a_number_is_refused(right: Layers) -> None:
    broken = [right[0], right[1].copy()]
    broken[1][3, 7] = np.nan
    assert not passes(sums_of(broken))


# ----------------------------------------------------------------------------------------------- errors over all inputs


@pytest.mark.parametrize(  # tests/test_native_draws.py holds the normals of all sets against exact ones
    "name", [INSTRUCTION_SETS[0], *(pytest.param(one, marks=pytest.mark.long) for one in INSTRUCTION_SETS[1:])]
)
def test_a_part_of_all_inputs_is_as_exact_as_stated(name: str) -> None:
    unit = normal_errors.unit_radius(name)
    angle, _ = normal_errors._angles(name, unit, 200)
    radius, excess, bounds = normal_errors._radii(name, angle.absolute, 0)
    assert 2e-8 < angle.absolute < 1.5e-7
    assert 2e-7 < radius.absolute < 8e-7
    assert radius.absolute < bounds[0] < 1.75e-6
    assert bounds[1] < 3.8e-7
    assert abs(excess) / (2**32 / normal_errors.TASKS) < 1e-6


def test_errors_are_found_where_they_are() -> None:
    """Negative control: one error among many is the worst, and the word is named."""
    words, exact = np.arange(100, 200, dtype=np.uint32), np.linspace(1.0, 2.0, 100)
    error = np.full(100, 1e-8)
    error[30] = -3e-7
    worst = normal_errors.Worst()
    worst.see(words, error, exact)
    worst.see(words + 1000, np.full(100, 1e-8), exact)
    assert (worst.absolute, worst.absolute_word, worst.relative_word) == (3e-7, 130, 130)


# ---------------------------------------------------------------------------------------------------------- the command


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--draws", "1", "--threads", "2", "--no-exhaustive", "--output", str(tmp_path)]
    assert normal_law.main(arguments) == 0
    written = sorted(tmp_path.iterdir())
    assert [path.suffix for path in written] == [".json", ".md"]
    table = written[1].read_text(encoding="utf-8")
    assert table in capsys.readouterr().out
    assert "PASSED" in table
    assert "| beyond +-6 sigma |" in table


def test_wrong_options_are_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, value in (("--draws", "0"), ("--draws", "many"), ("--seed", "-1"), ("--instruction-set", "mmx")):
        assert normal_law.main([option, value, "--output", str(tmp_path)]) == 2
        assert f"bench.normal_law: {option}=" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> Sums:
        raise KeyboardInterrupt

    monkeypatch.setattr(normal_law, "task_sums", interrupt)
    assert normal_law.main(["--draws", "1e8", "--output", str(tmp_path)]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
