"""How many threads torch gets for many products of small matrices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

NARROW = 64  # width up to which threads wait for each other longer than they work


@contextmanager
def threads_for(width: int) -> Iterator[None]:
    """Let torch use one thread meanwhile if networks are narrow: two take many times as long on a busy machine."""
    with one_thread() if width <= NARROW else nullcontext():
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread meanwhile, here and in threads that first use torch then."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
