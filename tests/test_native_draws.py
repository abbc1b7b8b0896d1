"""The compiled kernels' words are the reference's, and their normals those of the words, on CPUs and GPUs.

The worst errors of the normals are known over all inputs (`python -m bench.normal_law`): no normal g = r cos t is off
by more than

    avx512 and avx2   |error| <= 1.51e-6    |error| <= 3.96e-7 r

and the bounds here are 1.15 times that, for a baseline without fused multiply-add. The words where radius and angle are
worst are among those tested.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_of, normals_of, words_of

import resmc
from resmc import _native, reference
from resmc._system.build import VARIABLE
from resmc.engine.lowering import KernelNetwork

DATA = Path(__file__).parent / "data"
HALF = math.sqrt(0.5)

BOUND_ABSOLUTE = 1.75e-6
BOUND_RELATIVE = 3.7e-7  # to the radius

# ---------------------------------------------------------------------------------------------------------------- words


def test_words_are_the_known_answers_of_random123(backend):
    lines = [line.split() for line in (DATA / "philox4x32_10_kat.txt").read_text().splitlines() if line[0] != "#"]
    assert len(lines) == 3
    for _, _, *numbers in lines:
        c0, c1, c2, c3, k0, k1, *expected = (int(number, 16) for number in numbers)
        words = words_of(backend, k1 << 32 | k0, c1 >> 20, c1 & 0xFFFFF, (c3 & 0xFFFF) << 32 | c2, c3 >> 16, c0)
        assert words.tolist() == expected


def test_words_are_the_stored_words(backend):
    vectors = json.loads((DATA / "resmc_words.json").read_text())["vectors"]
    assert len(vectors) >= 40
    for v in vectors:
        seed, network = int(v["seed"]), int(v["network"])
        words = words_of(backend, seed, v["stream"], v["layer"], network, v["input"], v["quad"])
        assert words.tolist() == [int(word, 16) for word in v["words"]]


def test_words_at_random_counters_are_those_of_the_reference(backend):
    rng = np.random.default_rng(0)
    for _ in range(1000):
        seed = int(rng.integers(2**64, dtype=np.uint64))
        stream, layer, quad = int(rng.integers(2**12)), int(rng.integers(2**20)), int(rng.integers(2**32))
        network, index = int(rng.integers(2**48)), int(rng.integers(2**16))
        words = words_of(backend, seed, stream, layer, network, index, quad)
        assert words.tolist() == reference.words(seed, [network], stream, layer, [quad], index)[0, 0].tolist()


def test_streams_are_those_of_the_reference():
    assert reference.STREAMS == _native.STREAMS


def test_an_instruction_set_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "mmx")
    with pytest.raises(ValueError, match=f"{VARIABLE}='mmx'"):
        resmc.simulate(width=2, depth=2, alpha=1, lam=1, networks=1, device="cpu")


# -------------------------------------------------------------------------------------------------------------- normals


def exact_normals(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals and radii of quads of words (n, 4), correct to about 1e-15: nothing cancels near r = 0 or g = 0."""
    w0, w1 = words[:, 0::2].astype(np.float64), words[:, 1::2]
    small = (2.0**32 - 0.5 - w0) * 2.0**-32  # 1 - u
    radius = np.sqrt(-2.0 * np.where(w0 < 2.0**31, np.log((w0 + 0.5) * 2.0**-32), np.log1p(-small)))
    within = ((w1 >> np.uint32(2)).astype(np.int64) + 2**27) % 2**28 - 2**27  # 28 bits with a sign
    angle = (2 * within + 1) * (np.pi / 4.0 * 2.0**-28)
    c, s = np.cos(angle), np.sin(angle)
    arc = w1 >> np.uint32(30)
    cosine, sine = np.choose(arc, [c, s, -c, s]), np.choose(arc, [s, c, s, -c])
    normals = np.stack([radius * cosine, radius * sine], axis=-1).reshape(len(words), 4)
    return normals, np.repeat(radius, 2, axis=1)


def around(centre: int, reach: int) -> np.ndarray:
    return (np.arange(centre - reach, centre + reach + 1) % 2**32).astype(np.uint32)


def extreme_words() -> np.ndarray:
    """Radii at both ends, where the exponent changes, and angles at the edges of the eighth turns; all pairs."""
    root_half = int(2**32 * HALF)
    w0 = [around(0, 60), around(2**31, 60), around(root_half, 60), around(root_half // 2, 60)]
    w0 += [around(2**k, 4) for k in range(7, 31)]
    w1 = [around(k * 2**29, 9) for k in range(8)]
    a, b = np.meshgrid(np.unique(np.concatenate(w0)), np.unique(np.concatenate(w1)), indexing="ij")
    return np.stack([a.ravel(), b.ravel()] * 2, axis=1)


def random_words() -> np.ndarray:
    """2^19 quads of uniform words, and as many whose w0 is spread over the logarithm of the distance to 0 or 2^32."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**32, (2**20, 4), dtype=np.uint32)
    spread = np.exp2(rng.uniform(0.0, 32.0, (2**19, 2))).astype(np.uint32)
    words[2**19 :, 0::2] = np.where(rng.random(spread.shape) < 0.5, spread, ~spread)
    return words


# Where the radius, and where the cosine or sine, is off most: absolutely, and relatively.
WORST_RADII = [67, 3187489856]
WORST_ANGLES = [537117100, 16780992]
WORST_WORDS = [(w0, w1) for w0 in WORST_RADII for w1 in WORST_ANGLES]


def worst_words() -> np.ndarray:
    return np.array([[a, b, a, b] for a, b in WORST_WORDS], np.uint32)


@pytest.mark.parametrize("words", [random_words, extreme_words, worst_words])
def test_normals_are_those_of_the_words_to_float32_accuracy(backend, words):
    w = words()
    got = normals_of(backend, w).astype(np.float64)
    exact, radius = exact_normals(w)
    error = np.abs(got - exact)
    assert np.all(np.isfinite(got))
    assert np.all(got != 0.0)
    np.testing.assert_array_equal(np.sign(got), np.sign(exact))
    assert error.max() < BOUND_ABSOLUTE
    assert (error / radius).max() < BOUND_RELATIVE


def test_reference_normals_are_the_exact_ones(monkeypatch):
    """What `exact_normals` calls exact is the published formula of the reference."""
    w = reference.words(3, [1, 2, 2**40], "residual", 7, np.arange(2000))
    exact, _ = exact_normals(w.reshape(-1, 4))
    ours = reference.normals(3, [1, 2, 2**40], "residual", 7, 8000)
    np.testing.assert_allclose(ours.reshape(-1, 4), exact, rtol=0, atol=1e-14)


def test_the_largest_normal_is_6_764(backend):
    largest = normals_of(backend, np.array([[0, 0, 0, 2**31]], np.uint32))[0]
    assert largest[0] == pytest.approx(math.sqrt(66.0 * math.log(2.0)), rel=1e-6)
    assert largest[2] == -largest[0]
    assert f"{largest[0]:.3f}" == "6.764"
    assert np.abs(normals_of(backend, extreme_words())).max() == largest[0]


def test_draw_adds_up_the_normals_of_the_residual_stream(backend):
    network = KernelNetwork(12, 5, 1, carry=0.5, carry_mantissa=0.5, carry_exponent=0, step=0.5, readout=0.5)
    count = 64  # a multiple of every pack
    total = sum(reference.normals(9, np.arange(count), "residual", layer, 12).sum() for layer in range(5))
    assert draw_of(backend, network, 9, count) == pytest.approx(total, abs=1e-3)


@pytest.mark.cpu
@pytest.mark.parametrize("name", [name for name, _ in _native.instruction_sets()])
@pytest.mark.parametrize(
    ("first", "networks", "quads"), [(0, 64, 9), (5, 3, 2), (31, 34, 3), (2**32 - 7, 50, 4), (2**48 - 1, 1, 1)]
)
def test_drawn_normals_are_those_of_the_words_and_of_the_reference(name, first, networks, quads):
    """Whatever part of a pack the range begins and ends in."""
    for stream, layer in ((0, 0), (1, 2**20 - 1), (4095, 77)):
        got = _native.drawn(name, 2**63 + 5, stream, layer, first, networks, quads)
        assert (got.shape, got.dtype) == ((networks, 4 * quads), np.float32)
        ids = [first + i for i in range(networks)]
        words = [[_native.words(name, 2**63 + 5, stream, layer, i, 0, q) for q in range(quads)] for i in ids]
        np.testing.assert_array_equal(got.reshape(-1, 4), _native.normals(name, np.reshape(words, (-1, 4))))
        assert np.abs(got - reference.normals(2**63 + 5, ids, stream, layer, 4 * quads)).max() < BOUND_ABSOLUTE


@pytest.mark.cpu
def test_drawn_normals_may_be_none_and_arguments_are_checked():
    assert _native.drawn("auto", 0, 0, 0, 0, 0, 3).shape == (0, 12)
    assert _native.drawn("auto", 0, 0, 0, 7, 3, 0).shape == (3, 0)
    refused = {
        "stream must be below 4096": (0, 4096, 0, 0, 1, 1),
        "layer must be below": (0, 0, 2**20, 0, 1, 1),
        "networks must end at": (0, 0, 0, 2**48, 1, 1),
        "too many normals": (0, 0, 0, 0, 2**40, 2**20),
    }
    for message, arguments in refused.items():
        with pytest.raises(ValueError, match=message):
            _native.drawn("auto", *arguments)
    with pytest.raises(ValueError, match="'mmx' is not available"):
        _native.drawn("mmx", 0, 0, 0, 0, 1, 1)
