"""Products of many matrices, kept as Q diag(d) U, so that singular values far below the largest one keep their digits.

Multiplied out, a product has its singular values to 2^-52 of the largest alone, and those of deep networks range over
hundreds of powers of ten. So a product J_L .. J_1 T is kept as

.. code-block:: text

    Q diag(exp(log)) U        Q orthonormal columns, rows of U of length 1
    J Q = Q' R                next;   R diag(exp(log)) U = diag(exp(log')) U'

R is triangular, so that diag(d) passes through it to the left, entry (i, j) becoming R_ij d_j/d_i. Where T is generic,
such as orthonormal vectors of all directions, the d_i come out nearly sorted, and U well-conditioned: the singular
values of diag(d) U are then those of the product to relative errors near 2^-52 times U's condition (Demmel, Veselic
1992). A one-sided Jacobi method finds them (LAPACK's gejsv; Drmac, Veselic 2008), which works on graded matrices.

A product of rank k maps the first k generic vectors to independent ones and no more. So its rank is the number of
vectors before the first that is a combination of those before it, to 1e-12 of its length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..reference.vectors import Floats

Integers = NDArray[np.int64]

DEPENDENT = 1e-12  # share of a vector's length that is left across those before it, below which it depends on them
RANGE = 600.0  # logarithm of the quotient of rows that a matrix of float64 holds without underflow
COUPLED = 2.0**-60  # entries beside rows of length 1 below which blocks are as good as apart
SWEEPS = 1000


@dataclass(frozen=True)
class Product:
    """Products Q diag(exp(log)) U of N networks; rows from ``rank`` on are 0, and their log -infinity.

    Attributes
    ----------
    q : ndarray (N, n, k)
    log : ndarray (N, k)
    u : ndarray (N, k, c)
    rank : ndarray of int (N,)
    stretch : ndarray (N, k)
        ln |R_jj| of the product's triangular factor: by how much vector j is longer across those before it.
    """

    q: Floats
    log: Floats
    u: Floats
    rank: Integers
    stretch: Floats

    @staticmethod
    def of(matrices: Floats) -> Product:
        """Return matrices (N, n, c) as they are."""
        count, _, c = matrices.shape
        whole = np.broadcast_to(np.eye(c), (count, c, c))
        zeros = np.zeros((count, c))
        return Product(matrices, zeros, whole, np.full(count, c), zeros).settled()

    def multiplied(self, by: Callable[[Floats], Floats]) -> Product:
        """Return the product with one more matrix on its left; ``by`` multiplies (N, n, k) by it."""
        return Product(by(self.q), self.log, self.u, self.rank, self.stretch).settled()

    def settled(self) -> Product:
        """Return it with orthonormal columns in Q."""
        largest = np.max(np.abs(self.q), axis=1, keepdims=True)
        scaled = self.q / np.where(largest > 0.0, largest, 1.0)
        length = np.linalg.norm(scaled, axis=1)
        q, r = np.linalg.qr(scaled)
        rows, columns = r.shape[1:]
        across = np.abs(np.diagonal(r, axis1=1, axis2=2))
        lost = ~(across > DEPENDENT * length[:, :rows])
        rank = np.minimum(self.rank, np.where(lost.any(axis=1), np.argmax(lost, axis=1), rows))
        there = np.arange(rows) < rank[:, None]
        with np.errstate(divide="ignore"):
            size = self.log + np.log(largest[:, 0])  # the columns' sizes, which R meets
            stretch = self.stretch[:, :rows] + np.log(largest[:, 0, :rows]) + np.log(across)
        size = np.where(np.arange(columns) < self.rank[:, None], size, -np.inf)
        top = np.maximum.accumulate(size[:, ::-1], axis=1)[:, ::-1][:, :rows]  # the largest from the diagonal on
        top = np.where(np.isneginf(top), 0.0, top)
        u = (r * np.exp(np.minimum(size[:, None] - top[:, :, None], 0.0))) @ self.u
        row = np.linalg.norm(u, axis=2)
        with np.errstate(divide="ignore"):
            log = np.where(there, top + np.log(row), -np.inf)
        u /= np.where(row > 0.0, row, 1.0)[:, :, None]
        return Product(q, log, u, rank, np.where(there, stretch, -np.inf))

    @cached_property
    def log_singular_values(self) -> Floats:
        """Logarithms of the singular values, (N, k), decreasing; -infinity for 0."""
        found = np.full(self.log.shape, -np.inf)
        for one, (log, u, rank) in enumerate(zip(self.log, self.u, self.rank, strict=True)):
            if rank:
                found[one, :rank] = graded_singular_values(log[:rank], u[:rank])
        return found


def graded_singular_values(log: Floats, u: Floats) -> Floats:
    """Return logarithms of the singular values of diag(exp(log)) u, (k,), decreasing.

    Parameters
    ----------
    log : ndarray (k,)
    u : ndarray (k, c), c >= k, of full rank
    """
    found: list[Floats] = []
    for rows, block in _blocks(log, u):
        middle = 0.5 * (rows.max() + rows.min())
        found.append(middle + _jacobi(np.exp(rows - middle)[:, None] * block))
    return np.sort(np.concatenate(found))[::-1]


def _blocks(log: Floats, u: Floats) -> list[tuple[Floats, Floats]]:
    """Return diag(exp(log)) u as it is where float64 holds it, or else as blocks that have its singular values.

    With sorted rows, the triangular factor of u^T, T, makes T diag(exp(log)), whose transpose has the same singular
    values, diag(exp(log)) u' with u'_ij = T_ij exp(log_j - log_i): what lies between rows of different sizes vanishes
    in a few turns, as in the QR algorithm.
    """
    for _ in range(SWEEPS):
        order = np.argsort(-log, kind="stable")
        log, u = log[order], u[order]
        if log[0] - log[-1] <= RANGE:
            return [(log, u)]
        r: Floats = np.asarray(np.linalg.qr(u.T, mode="r"))
        u = r * np.exp(np.minimum(log - log[:, None], 0.0))
        row = np.linalg.norm(u, axis=1)
        log, u = log + np.log(row), u / row[:, None]
        reach = np.maximum.accumulate(np.where(np.abs(u) > COUPLED, np.arange(len(log)), 0).max(axis=1))
        ends = np.flatnonzero(reach <= np.arange(len(log))) + 1
        parts = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        if all(np.ptp(log[part]) <= RANGE for part in parts):
            return [(log[part], u[part, part]) for part in parts]
    raise AssertionError("singular values have not come apart")  # each turn squares what couples them


def _jacobi(matrix: Floats) -> Floats:
    """Return logarithms of the singular values of a matrix whose rows differ in size, to their own relative digits."""
    from scipy.linalg.lapack import dgejsv

    # The columns of the transpose differ in size: joba=2 is for such, and with jobr=0 no small one counts as 0.
    values, _, _, work, _, info = dgejsv(matrix.T, joba=2, jobu=3, jobv=3, jobr=0, jobt=0, jobp=0)
    if info:
        raise ArithmeticError(f"LAPACK's gejsv has ended with info={info}")
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values) + np.log(work[0] / work[1]))
