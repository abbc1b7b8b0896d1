"""What objects and messages show of themselves: short, in words that read well, and Python where that is possible."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Sweep
from resmc._system.words import brief, shortened
from resmc.analyses.summary import table

pytestmark = pytest.mark.cpu
LONG = ResidualNetwork(8, 100, "phi-out", scaling=np.linspace(0.1, 0.2, 100), input=np.arange(1.0, 100_001.0))


@pytest.mark.parametrize(
    "model",
    [ResNet(8, 3, 0.6, 0.8), ResidualNetwork(8, 100, scaling=[0.1] * 100), ResidualNetwork(8, 2, scaling=[0.1, 0.2]),
     ResidualNetwork(8, 3, "v-phi-w", input=[1, 2], scaling=DepthScaling(0.25, 2.0))],
)  # fmt: skip
def test_a_short_network_reads_as_python_and_equals_its_copies(model: ResNet | ResidualNetwork):
    assert eval(repr(model)) == model
    for same in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same == model
        assert hash(same) == hash(model)


def test_nothing_that_holds_a_long_network_is_long():
    assert repr(LONG).count("0.1") < 4
    assert "of 100000," in repr(LONG)
    sim = resmc.simulate(LONG, networks=40, displacement=True, keep_samples=40, progress=False)
    plan = Sweep([LONG], networks=40)
    for one in (LONG, sim, plan, plan.point(0, 40), sim.lowered, sim.facts, sim.ranges, LONG.inputs):
        assert len(repr(one)) < 700, type(one)
        assert len(str(one)) < 700, type(one)
    for one in (
        sim.statistics,
        sim.samples,
        sim.laws["growth"],
        sim.histogram,
        sim.entries,
        sim.ratios["displacement"],
    ):
        assert "\n" not in repr(one), type(one)
        assert len(repr(one)) < 4000, type(one)
    assert all(len(line) < 300 for line in str(sim.summary()).splitlines())
    # the negative control: what a dataclass writes of itself would be long
    assert len(str(LONG.to_dict())) > 100_000


def test_many_ranges_are_named_by_their_ends():
    parts = [
        resmc.simulate(width=2, depth=1, alpha=0.6, lam=0.8, networks=1, first_network=2 * i, correlations=False)
        for i in range(20)
    ]
    merged = resmc.merge(parts)
    assert len(repr(merged)) < 300
    assert "(0..0, 2..2, 4..4, .., 38..38 (20 in all))" in str(merged.summary())
    assert shortened(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [((0.5,) * 7, "(0.5,) * 7"), ([1] * 9, "[1] * 9"), ((1, 2), "(1, 2)"), (list(range(9)), "[0, 1, 2, .., 8] of 9"),
     ([1] * 8 + [True], "[1, 1, 1, .., True] of 9"), (np.zeros(2), "array([0., 0.])"), ("it's", '"it\'s"'),
     (np.arange(99), "array([ 0, 1, ..., 97, 98], shape=(99,))"), (None, "None")],
)  # fmt: skip
def test_values_are_written_briefly(value: Any, text: str):
    assert brief(value) == text


def test_an_integer_that_python_does_not_write_is_named_by_its_length():
    assert brief(10**5000) == "an integer of 16610 bits"


@pytest.mark.parametrize(
    "wrong",
    [lambda: ResidualNetwork(8, 3, scaling="x" * 10**5), lambda: ResidualNetwork(8, 3, input=["a"] * 10**5),
     lambda: ResNet(10**6000, 3, 1.0, 1.0), lambda: ResNet(8, 3, "x" * 10**4, 1.0),
     lambda: resmc.simulate(LONG, networks=10, layers=["a"] * 1000), lambda: resmc.theory.depth_limit([LONG] * 99),
     lambda: Sweep(width=list(range(1, 999)), depth=2, alpha=[range(9)] * 999, lam=1, networks=3),
     lambda: Sweep(["x"] * 1000, networks=3),
     lambda: Sweep(width=8, depth=2, beta=1, networks=3, scaling=[["x"] * 999]),
     lambda: resmc.simulate(width=2, depth=2, alpha=1, lam=1, networks=1, device="x" * 9999),
     lambda: resmc.extrapolate([LONG] * 3), lambda: resmc.merge([LONG] * 3)],
)  # fmt: skip
def test_a_message_is_short_however_long_the_value_is(wrong: Callable[[], Any]):
    with pytest.raises(ValueError, match=r"is not allowed|out of range|holds|must|single one") as caught:
        wrong()
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_help_shows_no_backslash():
    texts = []
    for found in pkgutil.walk_packages(resmc.__path__, "resmc."):
        if found.name == "resmc.__main__":
            continue
        module = importlib.import_module(found.name)
        own = [one for one in vars(module).values() if getattr(one, "__module__", "") == found.name]
        members = [member for one in own if inspect.isclass(one) for member in vars(one).values()]
        texts += [doc for doc in (getattr(one, "__doc__", None) for one in (module, *own, *members)) if doc]
    assert len(texts) > 1000
    assert [text for text in texts if "\\" in text] == []


def test_the_depth_is_a_number_beside_the_log_norm():
    sim = resmc.simulate(block="phi-in", width=4, depth=6, networks=40, gradients=True, scaling=DepthScaling(0.0, 0.5))
    text = str(sim.summary())
    assert "mean L_6" in text
    assert "mean log |p_0-p_6|^2/|p_6|^2" in text
    assert "p_L" not in text
    assert "L^" not in text
    assert "depth^" not in text
    assert "scaling 0.5  " in text


def test_a_relative_difference_is_of_the_reference_whatever_its_sign():
    for reference in (2.0, -2.0):
        small = resmc.Estimate(0.95 * reference, 0.01, 100)
        assert float(small.relative_difference(reference)) == pytest.approx(-0.05)
    sim = resmc.simulate(width=8, depth=8, alpha=0.6, lam=0.8, networks=400)
    for row in table(sim).records():
        if row["limit"]:
            assert row["relative_difference"] == pytest.approx((row["value"] - row["limit"]) / row["limit"])


def test_the_command_without_arguments_is_its_help():
    alone = subprocess.run([sys.executable, "-m", "resmc"], capture_output=True, text=True, check=False)
    assert alone.returncode == 0
    assert alone.stderr == ""
    assert alone.stdout.startswith("usage: resmc")
