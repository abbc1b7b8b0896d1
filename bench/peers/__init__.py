"""The same networks without resmc: as published, and as good as torch, JAX, NumPy and Numba allow.

A peer is a function ``peer(problem, networks, seed, *, threads=1, **options)`` returning the log-norms
L_d = log(|z_d|^2/n) of independent networks. `table` lists them; each is imported only when it is its turn.
"""

from __future__ import annotations

from .problem import Floats, Peer, Problem

__all__ = ["Floats", "Peer", "Problem"]
