"""Laws of final values counted where they are: the host would sort for longer than a GPU simulates narrow networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..finals import BIN_WIDTH, FinalCounts, Tally
from .device import Accelerator, faults_in_words

MOST_BINS = 1 << 22  # bins that wait on the device: 64 MB


class DeviceTally:
    """`Tally` for values on a device: the same bins and counts. What is joined leaves it when it grows large."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.torch = accelerator.torch
        limits = accelerator.torch.iinfo(accelerator.torch.int64)
        self.nothing, self.everything, self.none = limits.min, limits.max, limits.max - 1  # bins of -+infinity and NaN
        self.host = Tally()
        self.waiting: list[tuple[Any, Any]] = []
        self.bins = 0  # bins in ``waiting``

    def add(self, values: Any) -> None:
        """Counts a tensor of float64, infinite ones among its values.

        Raises
        ------
        DeviceError
            If the device has too little memory or fails.
        ValueError
            Here or in `counts`, if a value is NaN: as `Tally` does.
        """
        torch = self.torch
        with faults_in_words(self.accelerator):
            finite = torch.isfinite(values)
            bins = torch.floor(torch.where(finite, values, 0.0) / BIN_WIDTH).to(torch.int64)
            beyond = torch.where(values > 0.0, self.everything, self.nothing)
            bins = torch.where(finite, bins, torch.where(torch.isnan(values), self.none, beyond))
            self.waiting.append(torch.unique(bins, sorted=True, return_counts=True))
            self.bins += len(self.waiting[-1][0])
            if self.bins > MOST_BINS:
                self._to_host()

    def counts(self) -> FinalCounts:
        """All counts so far, on the host."""
        with faults_in_words(self.accelerator):
            self._to_host()
        return self.host.counts()

    def _to_host(self) -> None:
        if not self.waiting:
            return
        torch = self.torch
        bins, where = torch.unique(torch.cat([bins for bins, _ in self.waiting]), sorted=True, return_inverse=True)
        counts = torch.zeros_like(bins).index_add_(0, where, torch.cat([counts for _, counts in self.waiting]))
        self.waiting, self.bins = [], 0
        if strange := int(counts[bins == self.none].sum().item()):
            raise ValueError(f"values holds {strange} NaN: a law has numbers and infinities alone")
        first, last = int(bins[0].item() == self.nothing), len(bins) - int(bins[-1].item() == self.everything)
        zeros = int(counts[0].item()) if first else 0
        exploded = int(counts[-1].item()) if last < len(bins) else 0
        here = [tensor[first:last].cpu().numpy().astype(np.int64) for tensor in (bins, counts)]
        self.host.add_counts(FinalCounts(here[0], here[1], zeros, exploded))
