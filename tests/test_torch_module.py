"""The torch module is the dense reference, network by network."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from resmc.models.resnet import ResNet
from resmc.reference import simulate

HALF_ROOT = math.sqrt(0.5)


@pytest.mark.parametrize("variant", ["vanilla", "balanced", "balanced-half"])
@pytest.mark.parametrize("network", [0, 5, 2**47 + 3])
def test_torch_module_is_the_dense_reference_network_by_network(variant, network):
    torch = pytest.importorskip("torch")
    model = ResNet(6, 9, -0.8, 0.6, variant, n_out=3, input_norm=1.7)
    paths = simulate(model, 1, seed=71, first_network=network, method="dense")
    module = model.to_torch(seed=71, network=network)
    with torch.no_grad():
        z_out, zs = module(return_layers=True)
        phis = [module.phi(layer, z) for layer, z in enumerate(zs)]
        assert torch.equal(module(), z_out)
    assert z_out.dtype == torch.float64
    z, phi = torch.cat(zs).numpy(), torch.cat(phis).numpy()
    squares = np.sum(z**2, axis=1)
    np.testing.assert_allclose(np.log(squares / 6), paths.log_norm[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(2 * np.sum(phi**2, axis=1) / squares - 1, paths.asymmetry[0], rtol=0, atol=1e-10)
    np.testing.assert_array_equal(np.mean(phi > 0, axis=1), paths.active_fraction[0])
    np.testing.assert_allclose(z_out.numpy(), paths.output, rtol=1e-10)


def test_torch_module_has_parameters_for_all_weights_and_takes_batches():
    torch = pytest.importorskip("torch")
    module = ResNet(4, 3, 0.8, 0.6, "balanced", n_out=2).to_torch(seed=1)
    assert [tuple(p.shape) for p in module.parameters()] == [(4, 1), (2, 4), (4, 4), (4, 4), (4, 4)]
    assert tuple(module.s.shape) == (4, 4)
    x = torch.tensor([[1.0], [2.0], [0.5]], dtype=torch.float64)
    out = module(x)
    torch.testing.assert_close(out, x * module(), rtol=1e-12, atol=0)  # positively homogeneous
    out.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize(("argument", "value"), [("seed", 2**64), ("network", 2**48), ("network", -1)])
def test_torch_module_refuses_bad_arguments_by_name(argument, value):
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=argument):
        ResNet(4, 3, 0.8, 0.6).to_torch(**{argument: value})


def test_torch_module_refuses_a_width_beyond_its_counters():
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match="width"):
        ResNet(2**17 + 1, 1, 0.8, 0.6).to_torch()


def test_without_torch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "resmc.torch_module", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install resmc\[torch\]"):
        ResNet(4, 3, 0.8, 0.6).to_torch()
