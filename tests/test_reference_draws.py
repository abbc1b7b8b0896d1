"""The reference's words are those of Philox, and its normals and signs those of the words, with their laws.

Statistical tests use fixed seeds and `BOUND` standard errors; each has a negative control that must fail.
"""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from resmc.reference import STREAMS, normals, philox4x32, signs, words

DATA = Path(__file__).parent / "data"
BOUND = 5.0  # standard errors
CONTROL = 10.0  # what a negative control must exceed


def randomgen_words(seed: int, network: int, stream: int, layer: int, quad: int, input_index: int) -> list[int]:
    """The four words from the package randomgen, an independent Philox that increments its counter before use."""
    randomgen = pytest.importorskip("randomgen")
    counter = (
        quad | (stream << 20 | layer) << 32 | (network & 0xFFFFFFFF) << 64 | (network >> 32 | input_index << 16) << 96
    )
    source = randomgen.Philox(counter=(counter - 1) % 2**128, key=seed, number=4, width=32)
    return [int(word) for word in source.random_raw(4)]


# ---------------------------------------------------------------------------------------------------------------- words


def test_philox_gives_the_known_answers_of_random123():
    lines = [line.split() for line in (DATA / "philox4x32_10_kat.txt").read_text().splitlines() if line[0] != "#"]
    assert len(lines) == 3
    for name, rounds, *fields in lines:
        assert (name, rounds) == ("philox4x32", "10")
        numbers = np.array([int(field, 16) for field in fields], np.uint32)
        np.testing.assert_array_equal(philox4x32(numbers[:4], numbers[4:6]), numbers[6:])


def test_philox_of_many_counters_is_philox_of_each():
    counters = np.random.default_rng(0).integers(0, 2**32, (3, 5, 4), dtype=np.uint32)
    together = philox4x32(counters, [7, 11])
    assert together.shape == (3, 5, 4)
    assert together.dtype == np.uint32
    for i, j in np.ndindex(3, 5):
        np.testing.assert_array_equal(together[i, j], philox4x32(counters[i, j], [7, 11]))


def test_stored_words_are_those_of_this_package_and_of_randomgen():
    vectors = json.loads((DATA / "resmc_words.json").read_text())["vectors"]
    assert len(vectors) >= 40
    for v in vectors:
        seed, network = int(v["seed"]), int(v["network"])
        expected = [int(word, 16) for word in v["words"]]
        ours = words(seed, [network], v["stream"], v["layer"], [v["quad"]], v["input"])
        assert ours.tolist() == [[expected]]
        assert randomgen_words(seed, network, v["stream"], v["layer"], v["quad"], v["input"]) == expected


def test_words_at_random_indices_are_those_of_randomgen():
    rng = np.random.default_rng(1)
    for _ in range(200):
        seed = int(rng.integers(0, 2**64, dtype=np.uint64))
        networks, quads = rng.integers(0, 2**48, 2), rng.integers(0, 2**32, 3)
        stream, layer, input_index = str(rng.choice(list(STREAMS))), int(rng.integers(2**20)), int(rng.integers(2**16))
        ours = words(seed, networks, stream, layer, quads, input_index)
        for i, j in np.ndindex(2, 3):
            theirs = randomgen_words(seed, int(networks[i]), STREAMS[stream], layer, int(quads[j]), input_index)
            assert ours[i, j].tolist() == theirs


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed", -1),
        ("seed", 2**64),
        ("networks", [2**48]),
        ("networks", [-1]),
        ("networks", [0.5]),
        ("stream", "noise"),
        ("stream", 2**12),
        ("layer", 2**20),
        ("quads", [2**32]),
        ("input_index", 2**16),
    ],
)
def test_words_refuse_an_index_that_would_wrap(argument, value):
    good = {"seed": 0, "networks": [0], "stream": "output", "layer": 0, "quads": [0], "input_index": 0}
    with pytest.raises(ValueError, match=argument):
        words(**{**good, argument: value})


# -------------------------------------------------------------------------------------------------------------- normals


def fake_words(monkeypatch, w: list[int]) -> None:
    """Let the four words of every quad be ``w``."""
    module = importlib.import_module("resmc.reference.normals")
    monkeypatch.setattr(module, "words", lambda *_: np.array([[w]], np.uint32))


def test_normals_and_signs_follow_the_formula_neuron_by_neuron():
    seed, network, layer, count = 3, 2**40 + 5, 17, 11
    g = normals(seed, [1, network], "residual", layer, count)
    s = signs(seed, [1, network], "residual", layer, count)
    half = signs(seed, [1, network], "residual", layer, 10, half=True)
    assert g.shape == s.shape == (2, count)
    for i in range(count):
        w = words(seed, [network], "residual", layer, [i // 4])[0, 0].tolist()
        u, v = (w[0], w[1]) if i % 4 < 2 else (w[2], w[3])
        k = (v >> 2 & 0xFFFFFFF) - (2**28 if v >> 29 & 1 else 0)
        c, d = math.cos(math.pi / 4 * (2 * k + 1) / 2**28), math.sin(math.pi / 4 * (2 * k + 1) / 2**28)
        turned = [(c, d), (d, c), (-c, d), (d, -c)][v >> 30][i % 2]
        assert g[1, i] == pytest.approx(math.sqrt(-2 * math.log((u + 0.5) / 2**32)) * turned, rel=1e-12)
        assert s[1, i] == 1 - 2 * (v >> (i % 2) & 1)
        if i < 10:
            assert half[1, i] == (1 - 2 * (v & 1)) * (1 if i % 2 == 0 else -1)


def test_normals_do_not_depend_on_how_many_are_asked_for():
    np.testing.assert_array_equal(normals(1, [4], "output", 0, 10)[:, :7], normals(1, [4], "output", 0, 7))
    assert normals(1, [4], "output", 0, 0).shape == (1, 0)


def test_largest_normal_is_6_76(monkeypatch):
    fake_words(monkeypatch, [0, 0, 0, 2**31])  # the least w0 allows the largest radius: sqrt(66 ln 2)
    largest = normals(0, [0], "output", 0, 4)[0]
    assert largest[0] == pytest.approx(math.sqrt(66 * math.log(2)), rel=1e-15)
    assert largest[2] == -largest[0]
    assert f"{largest[0]:.2f}" == "6.76"


@pytest.mark.parametrize("quarter", [0, 2**30, 2**31, 3 * 2**30])
def test_no_normal_is_zero_even_at_a_quarter_turn(monkeypatch, quarter):
    for offset in range(-4, 5):
        fake_words(monkeypatch, [2**32 - 1, (quarter + offset) % 2**32] * 2)  # the smallest radius
        g = normals(0, [0], "output", 0, 4)
        assert np.min(np.abs(g)) > 1e-15


def test_moments_1_to_8_are_those_of_a_standard_normal():
    g = normals(5, np.arange(1000), "residual", 9, 4000).ravel()
    for k in range(1, 9):
        exact, square = (0 if j % 2 else math.prod(range(1, j, 2)) for j in (k, 2 * k))
        error = math.sqrt((square - exact**2) / g.size)
        assert abs(np.mean(g**k) - exact) < BOUND * error, k
    # negative control: a scale wrong by half a percent shows in the second moment
    assert abs(np.mean((1.005 * g) ** 2) - 1) > CONTROL * math.sqrt(2 / g.size)


def test_normals_of_neighbouring_neurons_layers_networks_and_streams_are_uncorrelated():
    networks = np.arange(2000)
    g = normals(6, networks, "residual", 3, 400)
    others = {
        "neuron": np.roll(g, 1, axis=1),
        "pair": np.roll(g, 2, axis=1),
        "network": np.roll(g, 1, axis=0),
        "layer": normals(6, networks, "residual", 4, 400),
        "stream": normals(6, networks, "output", 3, 400),
        "seed": normals(7, networks, "residual", 3, 400),
    }
    for name, other in others.items():
        for a, b, variance in ((g, other, 1.0), (g**2 - 1, other**2 - 1, 4.0)):
            assert abs(np.mean(a * b)) < BOUND * math.sqrt(variance / g.size), name


@pytest.mark.parametrize("half", [False, True])
def test_signs_are_fair_and_independent_of_the_normals(half):
    networks, n = np.arange(1000), 2000
    s, g = signs(8, networks, "residual", 2, n, half), normals(8, networks, "residual", 2, n)
    assert set(np.unique(s)) == {-1.0, 1.0}
    error = 1 / math.sqrt(s[:, ::2].size)
    for first in range(4):
        assert abs(np.mean(s[:, first::4])) < BOUND * math.sqrt(2) * error
    for product in (s * g, s * (g**2 - 1) / math.sqrt(2), s * np.roll(s, 2, axis=1)):
        assert abs(np.mean(product[:, ::2])) < BOUND * error
        assert abs(np.mean(product[:, 1::2])) < BOUND * error
    if not half:
        assert abs(np.mean(s[:, ::2] * s[:, 1::2])) < BOUND * error


def test_half_signs_have_exactly_half_plus_one_in_each_pair():
    s = signs(8, np.arange(50), "first_layer", 0, 26, half=True)
    np.testing.assert_array_equal(s[:, ::2], -s[:, 1::2])
    np.testing.assert_array_equal(np.sum(s > 0, axis=1), 13)
    with pytest.raises(ValueError, match="even"):
        signs(8, [0], "first_layer", 0, 5, half=True)
