"""Weights written out on a GPU, by torch: the same counters, so the same weights up to rounding.

The words of `resmc.reference.philox` are made with integers of 64 bits, of which products wrap around: their high and
low halves are right all the same. Normals are made in float64 and rounded.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

from ...models.weight_law import SQRT3, WEIGHTS
from ...reference.philox import MULTIPLIERS, ROUNDS, STREAMS, WEYL
from ..weights import GAUSSIAN, Amplitudes

LOW = 0xFFFFFFFF
UNIFORM = WEIGHTS["uniform"].number


class Tensors:
    """Numbers made by torch on one device: the `resmc.engine.weights.Machine` of a GPU.

    The sums of `combine` are made in float64, and rounded once. A block is a launch of some kernels: the larger the
    better, while it fits. A number takes 60 bytes at most while it is drawn and transformed, so a block takes 1 GB.
    """

    grain, most_numbers = 64, 1 << 24

    def __init__(self, torch: ModuleType, device: Any) -> None:
        self.torch, self.device = torch, device

    def empty(self, *shape: int) -> Any:
        """Return a tensor of float32 that holds anything."""
        return self.torch.empty(shape, dtype=self.torch.float32, device=self.device)

    def entries(
        self, seed: int, stream: str, network: int, first: int, layers: int, quad: int, quads: int, law: int
    ) -> Any:
        """Return entries of variance 1, (layers, 4 quads)."""
        w = self.words(seed, stream, network, first, layers, quad, quads)
        if law == GAUSSIAN:
            pairs = [number for k in (0, 2) for number in self._normals(w[k], w[k + 1])]
        elif law == UNIFORM:
            pairs = [SQRT3 * (2.0 * _signed(word).double() + 1.0) * 2.0**-32 for word in w]
        else:
            pairs = [1.0 - 2.0 * (word >> 31).double() for word in w]
        return self.torch.stack(pairs, dim=-1).float().reshape(layers, 4 * quads)

    def combine(self, coefficients: Amplitudes, x: Any, out: Any) -> None:
        """Put coefficients (layers, terms) times x (terms, columns or more) into out (layers, columns)."""
        out[:] = self._tensor(coefficients) @ x[:, : out.shape[1]].double()

    def path(
        self, seed: int, stream: str, network: int, real: int, imaginary: int, quads: int, amplitudes: Amplitudes
    ) -> Any:
        """Return the inverse real Fourier transform, of length 2 depth and without a factor, of normals' waves."""
        parts = (
            self.entries(seed, stream, network, 0, len(amplitudes), quad, quads, GAUSSIAN) for quad in (real, imaginary)
        )
        factors = self._tensor(amplitudes).float()
        waves = self.torch.complex(*(part * factors[:, p : p + 1] for p, part in enumerate(parts)))
        return self.torch.fft.irfft(waves, 2 * len(amplitudes) - 2, dim=0, norm="forward")

    def words(
        self, seed: int, stream: str, network: int, first: int, layers: int, quad: int, quads: int
    ) -> tuple[Any, Any, Any, Any]:
        """Return the four random words of every counter, int64 (layers, quads)."""

        def counting(begin: int, count: int) -> Any:
            return self.torch.arange(begin, begin + count, dtype=self.torch.int64, device=self.device)

        shape, zero = (layers, quads), counting(0, 1)
        c0 = counting(quad, quads).expand(shape)
        c1 = (counting(first, layers) | STREAMS[stream] << 20)[:, None].expand(shape)
        c2, c3 = ((zero | part).expand(shape) for part in (network & LOW, network >> 32))
        k0, k1 = seed & LOW, seed >> 32
        for _ in range(ROUNDS):
            p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
            c0, c1, c2, c3 = (p1 >> 32 & LOW) ^ c1 ^ k0, p1 & LOW, (p0 >> 32 & LOW) ^ c3 ^ k1, p0 & LOW
            k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
        return c0, c1, c2, c3

    def _normals(self, w0: Any, w1: Any) -> tuple[Any, Any]:
        """Return two normals, float64, from two words as `resmc.reference.normals` does."""
        torch = self.torch
        radius = torch.sqrt(-2.0 * torch.log((w0.double() + 0.5) * 2.0**-32))
        cell = (w1 << 2 & LOW) >> 4  # 28 bits with a sign
        cell = cell - (cell >> 27 << 28)
        angle = (2.0 * cell.double() + 1.0) * (math.pi / 4.0 * 2.0**-28)
        along, across = torch.cos(angle), torch.sin(angle)
        along = torch.where(w1 >> 31 != 0, -along, along)
        swapped = w1 >> 30 & 1 != 0
        return radius * torch.where(swapped, across, along), radius * torch.where(swapped, along, across)

    def _tensor(self, array: Amplitudes) -> Any:
        return self.torch.from_numpy(array).to(self.device)


def _signed(word: Any) -> Any:
    """Return a word as a number in two's complement."""
    return word - (word >> 31 << 32)
