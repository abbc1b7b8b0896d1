"""Weights put into modules: from counters or any other source, from a generator of torch's, or from arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.nn import Parameter

from .._system import checks
from .._system.words import brief
from ..models.network import Network
from ..models.residual_network import ResidualNetwork
from ..models.resnet import ResNet
from ..reference.sources import Source, counters_of
from ..reference.vectors import Floats
from .adjoint import TOLERANCE
from .generated import Generated
from .residual import ExplicitResidualNetwork
from .resnet import ExplicitResNet


def explicit(
    model: Network,
    seed: int = 0,
    network: int | range = 0,
    *,
    scheme: str | None = None,
    backward: str = "autograd",
    checkpoint_every: int | None = None,
    tolerance: float = TOLERANCE,
) -> ExplicitResNet | ExplicitResidualNetwork:
    """Return network number ``network`` of ``seed``, or several of them in one module, with explicit weights, float64.

    Parameters
    ----------
    model : ResNet or ResidualNetwork
        Width at most 2^17; a matrix takes 8 n^2 bytes, and every layer has one or two.
    seed : int
        0 to 2^64 - 1.
    network : int or range
        0 to 2^48 - 1. A range of P numbers gives one module with P networks side by side, of a `ResidualNetwork` alone.
    scheme, backward, checkpoint_every, tolerance
        As `ExplicitResidualNetwork` has them. With a scheme there are depth + 1 sets of weights: of smooth weights that
        of layer k is theta(k/depth), so that the last is theta(1); tied layers have the same again, independent ones
        another of the same counters. The first ``depth`` are those of the network without a scheme, which is Euler's
        method.

    Raises
    ------
    ValueError
        For an argument out of range, or weights that do not fit into memory; the message names it, its value and what
        is allowed.
    """
    source = counters_of(model, seed, network if isinstance(network, range) else [network])
    module: ExplicitResNet | ExplicitResidualNetwork
    if isinstance(model, ResNet):
        for name, value, only in (
            ("network", network, not isinstance(network, range)),
            ("scheme", scheme, scheme is None),
            ("backward", backward, backward == "autograd"),
            ("checkpoint_every", checkpoint_every, checkpoint_every is None),
            ("tolerance", tolerance, tolerance == TOLERANCE),
        ):
            if not only:
                raise ValueError(
                    f"{name}={brief(value)} is not allowed with a ResNet: spell the network as a resmc.ResidualNetwork"
                )
        module = ExplicitResNet(model)
    else:
        assert isinstance(model, ResidualNetwork)
        networks = len(network) if isinstance(network, range) else None
        module = ExplicitResidualNetwork(model, networks, scheme, backward, checkpoint_every, tolerance)
    fill(module, source)
    return module


def fill(module: ExplicitResNet | ExplicitResidualNetwork, source: Source) -> None:
    """Give a module the weights, signs and masks of a source's networks, as many as the module has, from the first on.

    Raises
    ------
    ValueError
        If the source has fewer networks.
    """
    with torch.no_grad():
        if isinstance(module, ExplicitResNet):
            _fill_resnet(module, source)
        else:
            _fill_residual(module, source)


def fill_from_generator(module: ExplicitResNet | ExplicitResidualNetwork, generator: torch.Generator) -> None:
    """Give a module weights, signs and masks of its model's law from a generator of torch's, processes in depth too.

    They are drawn in float64 where the generator is, so that the same state of the generator gives the same
    networks whatever the module's device and dtype.
    """
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator={brief(generator)} is not allowed: it must be a torch.Generator")
    networks, sets = 1, module.model.depth + 1
    if isinstance(module, ExplicitResidualNetwork):
        networks, sets = module.networks[0] if module.networks else 1, module.sets
    fill(module, Generated(module.model, networks, sets, generator))


def fill_from_arrays(
    module: ExplicitResidualNetwork,
    *,
    V: ArrayLike | None = None,
    W: ArrayLike | None = None,
    b: ArrayLike | None = None,
    A: ArrayLike | None = None,
    W_out: ArrayLike | None = None,
    signs: ArrayLike | None = None,
) -> None:
    """Give a module weights from arrays or tensors of the shapes that its own have; those not given stay as they are.

    Parameters
    ----------
    module : ExplicitResidualNetwork
    V, W, b, A, W_out, signs : array or tensor, optional
        Of the shapes of the module's attributes of these names, all numbers finite; signs are +1 and -1. With widths
        by layer, V, W, b and signs are lists with an array for each layer. No factor is applied: V and W are the
        matrices themselves, of variance 1/n at initialisation.

    Raises
    ------
    ValueError
        For a module of another kind, another shape, numbers that are not finite, signs of another size, for what the
        module lacks, and for nothing.
    """
    if not isinstance(module, ExplicitResidualNetwork):
        raise ValueError(
            f"module={brief(module)} is not allowed: it must be an ExplicitResidualNetwork, as to_torch() of a "
            "resmc.ResidualNetwork returns it"
        )
    given = {"V": V, "W": W, "b": b, "A": A, "W_out": W_out, "signs": signs}
    checked = {name: _checked(module, name, entries) for name, entries in given.items() if entries is not None}
    if not checked:
        raise ValueError(f"no arrays are given: give some of {', '.join(given)}")
    with torch.no_grad():
        for name, entries in checked.items():
            own = getattr(module, name)
            if isinstance(entries, torch.Tensor):
                own.copy_(entries)
                continue
            for tensor, one in zip(own, entries, strict=True):
                tensor.copy_(one)


def module_from_arrays(
    model: ResidualNetwork, networks: int, features: int, outputs: int, weights: Mapping[str, torch.Tensor]
) -> ExplicitResidualNetwork:
    """Return networks of a model side by side for inputs of any length, with weights as `fill_from_arrays` takes them.

    Scale factors "s" (N, P) stand in place of the model's, if they are given.
    """
    model = replace(model, n_out=outputs, n_in=None, input=None, input_norm=1.0)
    module = ExplicitResidualNetwork(model, networks)
    module.A = Parameter(torch.zeros(networks, model.width, features, dtype=torch.float64))
    module.x = torch.ones(1, features, dtype=torch.float64)
    if "s" in weights:
        module.s = Parameter(weights["s"].to(torch.float64, copy=True))
    fill_from_arrays(module, **{name: one for name, one in weights.items() if name != "s"})
    return module


def _checked(module: ExplicitResidualNetwork, name: str, entries: Any) -> torch.Tensor | list[torch.Tensor]:
    own = getattr(module, name)
    if module.model.widths is not None and own is not None and not isinstance(own, torch.Tensor):
        if not isinstance(entries, list | tuple) or len(entries) != len(own):
            raise ValueError(f"{name} is not allowed: it must be a list of {len(own)} arrays, one for each layer")
        return [
            _checked_entries(f"{name} of layer {k}", one, tensor)
            for k, (one, tensor) in enumerate(zip(entries, own, strict=True))
        ]
    if own is None:
        raise ValueError(
            f"{name} is not allowed: block={module.model.block!r} with bias={module.model.bias!r} and activation="
            f"{module.model.activation!r} has none"
        )
    return _checked_entries(name, entries, own)


def _checked_entries(name: str, entries: ArrayLike, own: torch.Tensor) -> torch.Tensor:
    if isinstance(entries, torch.Tensor) and not entries.is_complex():
        found = entries.detach()
    else:
        found = torch.from_numpy(checks.numbers(name, entries, "it must be an array of numbers, all real"))
    if found.shape != own.shape:
        raise ValueError(f"{name} of shape {tuple(found.shape)} is not allowed: it must have {tuple(own.shape)}")
    if not bool(torch.isfinite(found).all()):
        raise ValueError(f"{name} is not allowed to hold infinite numbers or NaN")
    if name.startswith("signs") and not bool((found.abs() == 1.0).all()):
        raise ValueError("signs are not allowed to be anything but +1 and -1")
    return found


def _fill_resnet(module: ExplicitResNet, source: Source) -> None:
    _put(module.W_in, source.first_layer())
    for layer, W in enumerate(module.W):
        _put(W, source.matrix("outer", layer))
    _put(module.W_out, source.readout(module.model.n_out))
    if module.s is not None:
        for layer, s in enumerate(module.s):
            _put(s, source.signs(layer))


def _fill_residual(module: ExplicitResidualNetwork, source: Source) -> None:
    model = module.model
    _put(module.A, source.first_layer() / np.sqrt(len(model.inputs.x)))
    for matrices, place in ((module.V, model.residual_block.V), (module.W, model.residual_block.W)):
        if matrices is not None and place is not None:
            for layer, matrix in enumerate(matrices):
                _put(matrix, source.matrix(place, layer) / np.sqrt(model.matrix_shape(place, layer)[1]))
    if module.b is not None:
        for layer, b in enumerate(module.b):
            _put(b, model.bias * source.bias(layer))
    _put(module.W_out, source.readout(model.n_out) / np.sqrt(model.width_of(model.depth)))
    if module.signs is not None:
        for layer, signs in enumerate(module.signs):
            _put(signs, source.signs(layer))
    if module.kept is not None:
        for layer, kept in enumerate(module.kept):
            _put(kept, source.kept(layer))


def _put(tensor: torch.Tensor, entries: Floats) -> None:
    """Copy the ``entries`` of the first networks, whose number is what the tensor has room for."""
    networks = tensor.numel() // entries[0].size
    if len(entries) < networks:
        raise ValueError(f"a source of {len(entries)} networks is not allowed: the module has {networks}")
    tensor.copy_(torch.from_numpy(entries[:networks]).reshape(tensor.shape))
