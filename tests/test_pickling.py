"""Results go from process to process, as pools and clusters send them."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, Simulation

pytestmark = pytest.mark.cpu
MODELS = {
    "resnet": ResNet(8, 4, 0.6, 0.8),
    "v-phi-w": ResidualNetwork(8, 4, "v-phi-w", "tanh", scaling=DepthScaling(0.5)),
    "by layer": ResidualNetwork(8, 4, "phi-out", scaling=(0.1, 0.2, 0.3, 0.4)),
}


def asked(model: ResNet | ResidualNetwork) -> Simulation:
    """A simulation that has been asked for all that it works out once and keeps."""
    sim = resmc.simulate(model, networks=64, progress=False, gradients=True)
    sim.summary()
    _ = (
        sim.facts.depth_limit,
        sim.facts.second_moment("gradient", np.array([0])),
        sim.asymmetry_covariance if sim.has_asymmetry else None,
    )
    return sim


@pytest.mark.parametrize("name", MODELS)
def test_a_simulation_that_has_been_asked_says_the_same_after_pickling(name):
    sim = asked(MODELS[name])
    again = pickle.loads(pickle.dumps(sim))
    assert again.model == sim.model
    assert again.summary() == sim.summary()


def test_a_process_can_return_a_simulation_that_has_been_asked():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(asked, MODELS["v-phi-w"]).result()
    assert found.summary() == asked(MODELS["v-phi-w"]).summary()
