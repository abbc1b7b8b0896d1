"""Chunks of an ensemble with the weights that it begins with, drawn once for all members that share a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import Parameter

from ..models.residual_network import ResidualNetwork
from ..reference.sources import Counters, counters_of
from ..reference.vectors import Floats
from .chunks import BY_LAYER, Chunk, Shape
from .passes import Passes

Tensor = torch.Tensor


def chunks_at_start(
    shape: Shape,
    models: Sequence[ResidualNetwork],
    networks: Sequence[int],
    seed: int,
    parts: Sequence[range],
    dtype: torch.dtype,
    device: torch.device,
    start: float = 1.0,
) -> tuple[Chunk, ...]:
    """Return a chunk for each of the parts, with the weights of `weights_at_start`, V, W and b times ``start``."""
    stacked = weights_at_start(shape, models, networks, seed, dtype)
    for name in {"V", "W", "b"} & stacked.keys():
        stacked[name] *= start
    if shape.scales == "fixed":
        stacked["scales"] = _scales(models)
    stacked["carry"] = torch.tensor([model.carry for model in models], dtype=torch.float64)

    def chunk(part: range) -> Chunk:
        members = slice(part.start, part.stop)
        own = {
            name: (one[:, members] if name in (*BY_LAYER, "scales", "signs") else one[members])
            .to(device=device, dtype=dtype, copy=True)
            .contiguous()
            for name, one in stacked.items()
        }
        carry, signs, scales = own.pop("carry"), own.pop("signs", None), own.pop("scales", None)
        weights = {name: Parameter(one) if shape.trained(name) else one for name, one in own.items()}
        if scales is None:
            scales = weights["s"].detach().expand(shape.model.depth, -1)
        passes = Passes(
            shape.model,
            weights,
            {name: torch.zeros_like(one) for name, one in own.items() if shape.trained(name)},
            scales[:, :, None, None],
            None if bool((carry == 1.0).all()) else carry[:, None, None],
            None if signs is None else signs.unsqueeze(-1),
        )
        return Chunk(part, passes, torch.ones(len(part), dtype=torch.bool, device=device))

    return tuple(chunk(part) for part in parts)


def weights_at_start(
    shape: Shape, models: Sequence[ResidualNetwork], networks: Sequence[int], seed: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Return the weights of all members, padded, by name, and "signs" (N, P, m) where the activation has them.

    V, W, b and signs are those of `resmc.torch_module.explicit` (model, seed, network). A has entries N(0, 1/F) and
    W_out N(0, 1/n) whatever the weight law and the depth, so that networks of one number have the same; with identity
    ends both are the identity. "s" is the models' own s_0, or their s_k times independent N(0, 1) where layers have
    their own.
    """
    n, depth, block = shape.model.width, shape.model.depth, shape.model.residual_block
    found = {name: torch.zeros(size, dtype=dtype) for name, size in shape.sizes(len(models)).items()}
    if shape.model.sigma.signed:
        found["signs"] = torch.ones(depth, len(models), shape.padded, dtype=dtype)
    biases = np.array([[model.bias] for model in models])
    for source, members, places in _by_law(models, networks, seed):
        for name, place in (("V", block.V), ("W", block.W)):
            if place is not None:
                for layer in range(depth):
                    matrices = source.matrix(place, layer)[places] / np.sqrt(n)
                    found[name][layer, members, :n, :n] = torch.from_numpy(matrices).to(dtype)
        for layer in range(depth):
            if "b" in found:
                b = biases[members] * source.bias(layer)[places]
                found["b"][layer, members, :n] = torch.from_numpy(b).to(dtype)
            if "signs" in found:
                found["signs"][layer, members, :n] = torch.from_numpy(source.signs(layer)[places]).to(dtype)
        if shape.scales == "layers":
            # Rows of W_out are drawn as layer 0 of this stream, so that layer 1 is free.
            normals = source.normals("dense_output", 1, depth)[places]
            found["s"][:, members] = (_scales(models)[:, members] * torch.from_numpy(normals).mT).to(dtype)
        if shape.ends != "identity":
            A = source.normals("dense_input", 0, n * shape.features) / np.sqrt(shape.features)
            found["A"][members, :n] = torch.from_numpy(A.reshape(-1, n, shape.features)[places]).to(dtype)
            W_out = readout_rows(source, shape.outputs)[places]
            found["W_out"][members, :, :n] = torch.from_numpy(W_out).to(dtype)
    if shape.scales == "shared":
        found["s"][:] = _scales(models)[:1]
    if shape.ends == "identity":
        found["A"][:, :n] = found["W_out"][..., :n] = torch.eye(n, dtype=dtype)
    return found


def _scales(models: Sequence[ResidualNetwork]) -> Tensor:
    """Return the models' own scale factors, (N, P), in float64."""
    return torch.stack([torch.from_numpy(model.scales.copy()) for model in models], 1)


def fresh_row(models: Sequence[ResidualNetwork], networks: Sequence[int], seed: int, after: int) -> Tensor:
    """Return a row of variance 1/n for every member, (P, n), the one that follows ``after`` rows of W_out."""
    rows = torch.empty(len(models), models[0].width, dtype=torch.float64)
    for source, members, places in _by_law(models, networks, seed):
        rows[members] = torch.from_numpy(readout_rows(source, after + 1)[places, after])
    return rows


def readout_rows(source: Counters[ResidualNetwork], rows: int) -> Floats:
    """Return the first rows of the networks' W_out, (networks, rows, n)."""
    n = source.model.width
    drawn = source.normals("dense_output", 0, rows * n).reshape(-1, rows, n)
    return np.asarray(drawn / np.sqrt(n))


def _by_law(
    models: Sequence[ResidualNetwork], networks: Sequence[int], seed: int
) -> Iterator[tuple[Counters[ResidualNetwork], Tensor, Floats]]:
    """Yield, by law of the weights, the networks drawn, the members of this law, and their places among those drawn."""
    for law in dict.fromkeys(model.weights for model in models):
        members = np.flatnonzero([model.weights == law for model in models])
        numbers, places = np.unique(np.array(networks)[members], return_inverse=True)
        source = counters_of(models[members[0]], seed, numbers.tolist())
        assert isinstance(source.model, ResidualNetwork)
        yield source, torch.from_numpy(members), places  # type: ignore[misc]
