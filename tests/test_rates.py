"""`rate_function`: growth of moments and its Legendre transform against exact ones, and what is refused.

Every z-score is bounded by 4.5, of t with 31 degrees of freedom: 8.9e-5 each, for the 13 of them 1.2e-3 in all.
"""

from __future__ import annotations

import numpy as np
import pytest
from populations import fully_connected

import resmc
from resmc import DepthScaling, ResidualNetwork, ResNet, moment_growth, rate_function

pytestmark = pytest.mark.cpu
HALF = 0.5**0.5
AGREE = 4.5
N, POWERS = 16, (0.25, 1.0, 2.0)


def exact_rates(n: int, powers: tuple[float, ...]) -> np.ndarray:
    """Return Lambda, Lambda' and q Lambda' - Lambda by q, (3, K), of a ReLU network without skip."""
    h, q = 1e-4, np.array(powers)
    whole = np.array([fully_connected(n, one) for one in powers])
    slope = np.array([(fully_connected(n, one + h) - fully_connected(n, one - h)) / (2.0 * h) for one in powers])
    return np.stack([whole, slope, q * slope - whole])


def test_a_network_without_a_skip_has_the_rate_function_of_its_chain():
    found = rate_function(ResNet(N, 64, 0.0, 1.0), POWERS, populations=32, size=1024, seed=1, threads=1)
    exact, other = exact_rates(N, POWERS), exact_rates(N + 2, POWERS)
    for estimate, values, wrong in zip((found.cumulant, found.growth, found.rate), exact, other, strict=True):
        assert np.abs(estimate.z_score(values)).max() < AGREE
        assert np.abs(estimate.z_score(wrong)).max() > AGREE
    assert found.exact == pytest.approx(exact[0], abs=1e-9)
    assert found.rate.value[1] > 0.0


def test_balanced_networks_stand_beside_what_is_exact():
    found = rate_function(ResNet(16, 64, HALF, HALF, "balanced"), (2, 0, 1), populations=32, size=512, threads=1)
    assert found.q.tolist() == [0.0, 1.0, 2.0]
    assert found.exact[1] == 0.0
    assert found.exact[2] > 0.1
    assert np.abs(found.z_score[1:]).max() < AGREE
    assert found.cumulant.value[0] == found.rate.value[0] + 0.0 == 0.0
    assert found.growth.value[0] < 0.0 < found.growth.value[1] < found.growth.value[2]
    shown = str(found)
    assert "x = Lambda'(q)" in shown
    assert "slopes from layer 32 to 64" in shown
    assert len(found.to_dataframe()) == 3


def test_every_power_has_populations_of_its_own():
    model = ResNet(9, 12, HALF, HALF)
    found = rate_function(model, (0.5, 1.0), populations=32, size=200, seed=2, threads=2)
    first, second = found.runs
    alone = moment_growth(model, 0.5, populations=32, size=200, seed=2, threads=1)
    assert first.log_product.tobytes() == alone.log_product.tobytes()
    both = moment_growth(model, 1.0, populations=64, size=200, seed=2, threads=1)
    assert second.log_product.tobytes() == both.log_product[32:].tobytes()
    assert np.isfinite((found.cumulant[0] - found.cumulant[1]).stderr)  # independent
    assert np.isnan((found.cumulant[0] - found.growth[0]).stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"q": ()}, "q has 0 values"),
        ({"q": (1.0, 1)}, r"q holds 1\.0 twice"),
        ({"q": (1.0, -3.0)}, "above -width/4"),
        ({"q": "1"}, "q='1'"),
        ({"model": ResNet(8, 1, HALF, HALF)}, "depth=1"),
        ({"model": ResidualNetwork(8, 8, "phi-out", "tanh")}, "not homogeneous"),
        ({"model": ResidualNetwork(8, 8, bias=0.1)}, "not homogeneous"),
        ({"model": ResidualNetwork(8, 3, scaling=(0.1, 0.2, 0.3))}, "scaling by layer"),
        ({"populations": 2**48 // 32 // 3 + 1, "size": 32}, "populations="),
        ({"device": "cuda:"}, "device='cuda:' is not allowed"),
    ],
)
def test_what_has_no_rate_function_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        rate_function(**{"model": ResNet(8, 8, HALF, HALF), "q": (0.5, 1.0, 2.0), "threads": 1, **arguments})


def test_progress_is_that_of_all_powers():
    seen: list[tuple[int, int]] = []
    model = ResidualNetwork(8, 16, "v-phi-w", scaling=DepthScaling(0.0, 0.3))
    rate_function(model, (0.5, 1.0), populations=2, size=50, threads=1, progress=lambda *at: seen.append(at))
    assert seen[-1] == (200, 200)
    assert all(isinstance(x, resmc.Estimate) for x in (rate_function(model, (1,), populations=32, size=50).rate,))
