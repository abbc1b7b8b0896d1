"""Norms of the columns of several inputs: of each input by itself, or over the inputs of each neuron.

With P x = x - mean x (rms: x) and f_a = 1/sqrt(|P x_a|^2/n + eps), x_0, columns c_a = x_a - x_0 and tangents t become

::

    f_0 P x_0         f_a P c_a + (f_a - f_0) P x_0         f_0 P t - f_0^3 (P x_0 . P t)/n P x_0

A batch norm y_a = f (x_a - mean_b x_b) of a neuron's m numbers has the symmetric Jacobian

::

    (J v)_a = f (v_a - mean_b v_b - y_a mean_b(y_b v_b))          f = 1/sqrt(var_b x_b + eps)

For m = 2 all of v less its mean is along y, whose mean square is 1 - eps f^2: there (J v)_a = eps f^3 (v_a - mean v).
"""

from __future__ import annotations

import numpy as np

from ..models.normalisation import Norm
from .columns import LEAST_NORM, Columns, raw
from .vectors import Floats


def normalised(x: Columns, inputs: int, norm: Norm, eps: float) -> Columns:
    """Return N of the columns, column 0 written out (log = 0), the others in units that they had."""
    if norm.over_inputs:
        return _over_inputs(x, eps)
    first = norm.around(np.exp(x.log[:, 0]) * x.v[:, 0])
    start = np.mean(first**2, axis=1, keepdims=True) + eps
    f0, found = _inverse_root(start), []
    for a in range(1, x.count):
        moved, unit = norm.around(x.v[:, a]), np.exp(x.log[:, a])
        along, square = (np.mean(moved * one, axis=1, keepdims=True) for one in (first, moved))
        if a >= inputs:
            found.append(f0 * moved - f0**3 * along * first)
            continue
        grown = 2.0 * along + unit * square
        size = start + unit * grown
        f = _inverse_root(np.where(size > LEAST_NORM * (start + unit * (unit * square)), size, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            slow = np.where(f > 0.0, -grown * (f0 * f) ** 2 / (f0 + f), -f0 / unit)
        found.append(f * moved + slow * first)
    return Columns(np.stack([f0 * first, *found], axis=1), np.concatenate([0.0 * x.log[:, :1], x.log[:, 1:]], axis=1))


def pulled(x: Columns, p: Columns, norm: Norm, eps: float) -> Columns:
    """Return J p of every input, J being the symmetric Jacobian of N at its vector, without tangents."""
    if norm.over_inputs:
        return _pulled_over_inputs(x.part(0, p.count), p, eps)
    inputs = raw(x.part(0, p.count))
    return Columns(norm.pulled(np.exp(inputs.log) * inputs.v, p.v, eps), p.log)


def _over_inputs(x: Columns, eps: float) -> Columns:
    """Return (x_a - mean_b x_b)/sqrt(var_b x_b + eps) of every neuron, where x_0 drops out; 0 for 0/0."""
    away, factor, top = _away(x, eps)
    log = np.concatenate([np.zeros_like(top), np.broadcast_to(x.log[:, 1:] - top, x.log[:, 1:].shape)], axis=1)
    return Columns(factor * np.concatenate([away[:, :1], x.v[:, 1:]], axis=1), log)


def _pulled_over_inputs(x: Columns, p: Columns, eps: float) -> Columns:
    """Return J p of all inputs together, in common units."""
    away, factor, top = _away(x, eps)
    largest = np.max(p.log, axis=1, keepdims=True)
    largest = np.where(np.isneginf(largest), 0.0, largest)
    v = np.exp(p.log - largest) * p.v
    v = v - np.mean(v, axis=1, keepdims=True)
    if x.count == 2:
        v = eps * np.exp(-2.0 * top) * factor**2 * v
    else:
        y = factor * away
        v = v - y * np.mean(y * v, axis=1, keepdims=True)
    return Columns(factor * v, np.broadcast_to(largest - top, p.log.shape))


def _away(x: Columns, eps: float) -> tuple[Floats, Floats, Floats]:
    """Return x_a - mean_b x_b, (N, m, n), 1/sqrt(var_b x_b + eps), (N, 1, n), and ln of the units of x, (N, 1, 1)."""
    top = np.max(x.log[:, 1:], axis=1, keepdims=True)
    top = np.where(np.isneginf(top), 0.0, top)
    moved = np.exp(x.log[:, 1:] - top) * x.v[:, 1:]
    middle = np.sum(moved, axis=1, keepdims=True) / x.count
    square = (middle**2 + np.sum((moved - middle) ** 2, axis=1, keepdims=True)) / x.count
    return np.concatenate([-middle, moved - middle], axis=1), _inverse_root(square + eps * np.exp(-2.0 * top)), top


def _inverse_root(x: Floats) -> Floats:
    return np.where(x > 0.0, 1.0 / np.sqrt(np.where(x > 0.0, x, 1.0)), 0.0)
