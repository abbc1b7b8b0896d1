"""Several inputs through `resmc.simulate` against the chain of their Gram matrices, and exact moments of the kernel.

Estimates pass within 4.5 standard errors at fixed seeds.
"""

from __future__ import annotations

import numpy as np
import pytest

import resmc
from resmc.engine import native

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(native._native, "joint"), reason="the extension was built without several inputs"),
]
GRAM = [[1.0, 0.4], [0.4, 1.5]]


def test_simulations_have_the_norms_and_angles_of_the_chain_of_gram_matrices():
    """20 neurons and 40 layers: means and variances of both log-norms, of the cosine and of log sin^2."""
    model, networks = resmc.ResidualNetwork(20, 40, "v-phi-w"), 10_000
    sim = resmc.simulate(model, networks=networks, gram=GRAM, layers=[0, 40], seed=12)
    chain = resmc.gram_chain(model, GRAM, 20_000, seed=13)
    angles, norms = sim.angles(), sim.joint_log_norms()
    pairs = [
        (angles.cosine[1, 0, 1], angles.cosine_variance[1, 0, 1], chain.cosine[1, 0]),
        (angles.log_sine_squared[1, 0, 1], angles.log_sine_squared_variance[1, 0, 1], chain.log_sine_squared[1, 0]),
        *((norms.mean[1, a], norms.covariance[1, a, a], chain.log_norm[1, a]) for a in range(2)),
    ]
    for mean, variance, drawn in pairs:
        squares = (drawn - drawn.mean()) ** 2
        for found, samples in ((mean, drawn), (variance, squares)):
            error = np.hypot(float(found.stderr), samples.std() / np.sqrt(samples.size))
            assert abs(float(found.value) - samples.mean()) < 4.5 * error
            assert error < 0.1 * abs(samples.mean()) + 0.01
    together = np.cov(chain.log_norm[1])[0, 1]
    assert abs(float(norms.covariance[1, 0, 1].value) - together) < 6.0 * float(norms.covariance[1, 0, 1].stderr)


@pytest.mark.parametrize(
    ("model", "independent"),
    [
        (resmc.ResNet(32, 4, 0.0, 1.0), False),
        (resmc.ResNet(32, 4, 0.0, 1.0), True),
        (resmc.ResidualNetwork(16, 6, "v-phi-w"), False),
        (resmc.ResidualNetwork(16, 6, "v-phi-w", "linear", 0.9, (0.4, 0.3, 0.2, 0.1, 0.0, 0.5)), False),
    ],
)
def test_tangent_kernels_have_their_exact_mean_and_second_moment(model, independent):
    sim = resmc.simulate(model, networks=20_000, tangent_kernel=True, independent_backward=independent, seed=14)
    kernel = sim.tangent_kernel()
    for found, exact in (
        (kernel.total[0, 0], kernel.exact[0, 0]),
        (kernel.second_moment_ratio[0, 0], kernel.exact_second_moment_ratio[0, 0]),
    ):
        assert abs(float(found.z_score(exact))) < 4.5
        assert float(found.stderr) < 0.02 * exact
