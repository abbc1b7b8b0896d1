"""Estimates from `JointSums`, in the model's own units: of pairs of inputs, of the tangent kernel and of tangents.

Matrices over inputs are symmetric, (m, m); errors are those of the delete-one-group jackknife.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system.words import brief_repr
from ..engine.joint_sums import JointSums, pairs_of
from ..engine.lowering import Lowered
from ..engine.moments import leave_one_out
from .estimates import Estimate, Floats, jackknife
from .layer_estimates import Rule
from .reliability import VARIANCE, least_networks

Integers = NDArray[np.int64]

FOURTH = 4.0  # variance of ln K^2 over that of ln K


@dataclass(frozen=True, eq=False)
class JointEstimates:
    """Estimates from sums of one simulation; ``layers`` (R,) are those that were recorded."""

    __repr__ = brief_repr

    sums: JointSums
    lowered: Lowered
    layers: Integers

    # -- units

    @cached_property
    def sizes(self) -> Floats:
        """Factors (m,) of the states of all inputs: their norms, where the kernels know unit inputs."""
        inputs = self.sums.recording.inputs
        return inputs.sizes if self.lowered.homogeneous else np.ones(inputs.count)

    @cached_property
    def offsets(self) -> Floats:
        """Logarithms (R,) of the factors of squared norms of an input of size 1."""
        g = self.lowered
        own = 2.0 * math.log(g.model.inputs.size) if g.homogeneous else 0.0
        return np.asarray(g.offsets(self.layers) - own)

    @cached_property
    def scales(self) -> Floats:
        """Factors (R, P) of the inner products of every pair's states."""
        a, b = self.sums.pairs
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self.offsets)[:, None] * (self.sizes[a] * self.sizes[b]))

    # -- pairs of inputs

    @cached_property
    def alive(self) -> Integers:
        """Networks where both states are not 0, (R, m, m)."""
        return self.matrix(self.sums.alive.sum(axis=0))

    @cached_property
    def separated(self) -> Integers:
        """Networks where two states are not on one line, (R, m, m)."""
        return self.matrix(self.sums.separated.sum(axis=0))

    @cached_property
    def together(self) -> Integers:
        """Networks where two states have one direction, (R, m, m), as the inputs have or by the network."""
        same = self._on_one_line() & (self.sums.recording.inputs.directions == 1)
        return np.where(same, self.alive - self.separated, self.matrix(self.sums.together.sum(axis=0)))

    @cached_property
    def unresolved(self) -> Integers:
        """Networks where rounding may have made all of the angle of two states, which need not be on one line.

        They are those that are not separated, nor known to have one direction, where the inputs do not say that all
        states are on one line.
        """
        left = self.matrix((self.sums.alive - self.sums.separated - self.sums.together).sum(axis=0))
        return np.where(self._on_one_line(), 0, left)

    def _on_one_line(self) -> NDArray[np.bool_]:
        """Say where the states of two inputs are on one line in all networks, (R, m, m)."""
        inputs, network = self.sums.recording.inputs, self.lowered.general
        directions = inputs.directions
        if self.lowered.homogeneous:
            stay = (directions == 1) | ((directions == -1) & (network.activation == "linear"))
        else:
            odd = network.sigma.odd and network.bias == 0.0
            stay = (directions == 1) | ((directions == -1) & odd)
            stay &= np.isclose(inputs.sizes[:, None], inputs.sizes, rtol=1e-12, atol=0.0)
        first = (self.layers == 0)[:, None, None] & (directions != 0)
        return np.asarray(first | stay | (network.width == 1))

    def cosine(self) -> Estimate:
        """Return the mean of cos(angle) over networks where both states are not 0, (R, m, m)."""
        found = self._mean(self.sums.cosine[..., 0], self.sums.alive)
        return self.estimate(found, self.alive)

    def log_sine_squared(self) -> Estimate:
        """Return the mean of ln sin^2(angle) over the separated networks, (R, m, m).

        Networks that are unresolved have smaller angles than these. From the first recorded layer on where there is
        one, there are no errors: what rounding has made of its angle stays in it, even if it grows again.
        """
        found = self.estimate(self._mean(self.sums.log_sine[..., 0], self.sums.separated), self.separated)
        return _known(found, self._resolved)

    @cached_property
    def _resolved(self) -> NDArray[np.bool_]:
        """Where no network has been unresolved up to a layer, (R, m, m)."""
        return np.asarray(np.cumsum(self.unresolved, axis=0) == 0)

    def variance(self, name: str) -> Estimate:
        """Return the variance (unbiased) of "cosine" or "log_sine", (R, m, m)."""
        counts = self.sums.alive if name == "cosine" else self.sums.separated
        n, total, square = (leave_one_out(array) for array in (counts, *np.moveaxis(getattr(self.sums, name), -1, 0)))
        found = self.estimate(_covariance(n, total, total, square), self.matrix(counts.sum(axis=0)))
        return self._with_enough(found if name == "cosine" else _known(found, self._resolved))

    def log_norms(self) -> tuple[Estimate, Estimate]:
        """Return means of L^a (R, m), and covariances of L^a and L^b over networks where both are finite, (R, m, m)."""
        n = leave_one_out(self.sums.alive)
        first, second, product = (leave_one_out(array) for array in np.moveaxis(self.sums.log_norm, -1, 0))
        own = self.sums.own
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (first / n)[..., own]
        found = jackknife(mean, self.sums.networks, self.sums.alive.sum(axis=0)[:, own])
        shifted = replace(found, value=found.value + self.offsets[:, None] + 2.0 * np.log(self.sizes))
        return shifted, self._with_enough(self.estimate(_covariance(n, first, second, product), self.alive))

    def covariance(self) -> tuple[Estimate, NDArray[np.bool_]]:
        """Return E h^a . h^b/n, (R, m, m), and where it has an error.

        Rare networks rule it as they do a mean square: there is an error where those of both inputs' own are reliable.
        """
        total = leave_one_out(self.sums.covariance)
        networks = leave_one_out(self.sums.networks)
        with np.errstate(invalid="ignore", over="ignore"):
            values = total / networks[:, None, None] * self.scales
        own, n = self.sums.own, int(self.sums.networks.sum())
        alive, first, _, product = self._log_moments()
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            variance = np.where(alive > 1, (product - first**2 / alive) / (alive - 1.0), 0.0)
            effective = total[0][:, own] ** 2 / self.sums.square.sum(axis=0)
        rule = Rule.of(np.full(alive.shape, n), alive, variance, np.where(np.isfinite(effective), effective, 0.0))
        found = self.estimate(values, n)
        return self._ruled(found, rule)

    def _log_moments(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Networks, and sums of L, L and L^2, of every input, (R, m) each."""
        own = self.sums.own
        sums = self.sums.log_norm.sum(axis=0)[:, own]
        return self.sums.alive.sum(axis=0)[:, own].astype(float), sums[..., 0], sums[..., 1], sums[..., 2]

    # -- the tangent kernel

    @cached_property
    def kernel_scale(self) -> Floats:
        """Factors (P,) of every pair's kernel."""
        return np.asarray(self.scales[-1])

    def kernel_parts(self) -> dict[str, Estimate]:
        """Return means (m, m) of the kernel's parts, "residual", "readout" and "first_layer", and of their "total"."""
        s = self.sums
        parts = {"residual": s.residual[:, 0], "readout": s.readout, "first_layer": s.first_layer}
        parts["total"] = parts["residual"] + parts["readout"] + parts["first_layer"]
        return {name: self._kernel_mean(total) for name, total in parts.items()}

    def kernel_by_layer(self) -> Estimate:
        """Return means (R - 1, m, m) of what the layers from one recorded layer to the next add to the kernel."""
        tails = self.sums.residual
        return self._kernel_mean(tails[:, :-1] - tails[:, 1:])

    def _kernel_mean(self, total: Floats) -> Estimate:
        networks = leave_one_out(self.sums.networks)
        with np.errstate(invalid="ignore", over="ignore"):
            values = leave_one_out(total) / networks.reshape((-1,) + (1,) * (total.ndim - 1)) * self.kernel_scale
        found = self.estimate(values, int(self.sums.networks.sum()))
        return self._ruled(found, self._kernel_rule(1.0))[0]

    def kernel_moments(self) -> tuple[Estimate, Estimate]:
        """Return covariances of the whole kernel's entries, (m, m, m, m), and E K^2/(E K)^2 of each, (m, m).

        K^2 has rarer networks yet: there is an error where ln K^2 varies little enough for the networks that there are.
        """
        s, scale = self.sums, self.kernel_scale
        n = leave_one_out(s.networks).astype(float)[:, None]
        total = leave_one_out(s.residual[:, 0] + s.readout + s.first_layer)
        products = leave_one_out(s.products)
        p, q = pairs_of(s.recording.pairs)
        a, b = s.pairs
        rule = self._kernel_rule(FOURTH)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            covariance = (products - total[:, p] * total[:, q] / n) / (n - 1.0) * (scale[p] * scale[q])
            quotient = products[:, p == q] * n / total**2
        networks, m = int(s.networks.sum()), s.recording.count
        index = np.zeros((m, m), np.int64)
        index[a, b] = index[b, a] = np.arange(len(a))
        high, low = np.maximum.outer(index, index), np.minimum.outer(index, index)
        four = jackknife(covariance[:, high * (high + 1) // 2 + low], s.networks, networks)
        both = rule.reliable[:, None] & rule.reliable
        known = both[:, :, None, None] & both
        return _known(four, known), self._ruled(self.estimate(quotient, networks), rule, expected=False)[0]

    def kernel_reliable(self) -> NDArray[np.bool_]:
        """Say of every entry (m, m) whether rare networks leave its mean an error."""
        own = self._kernel_rule(1.0).reliable
        return own[:, None] & own

    def _kernel_rule(self, times: float) -> Rule:
        """Return the rule for means of K^aa, or of powers of it whose logarithm's variance is ``times`` as large."""
        s, own = self.sums, self.sums.own
        n, total, square = np.moveaxis(s.log_kernel.sum(axis=0), -1, 0)
        networks = np.full(n.shape, int(s.networks.sum()))
        mean = (s.residual[:, 0] + s.readout + s.first_layer).sum(axis=0)[own]
        squares = s.products.sum(axis=0)[own * (own + 1) // 2 + own]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            variance = np.where(n > 1, (square - total**2 / n) / (n - 1.0), 0.0) * times
            scatter = np.exp(variance) * networks / n - 1.0 if times > 1.0 else networks * squares / mean**2 - 1.0
            effective = networks / (scatter + 1.0)
        return Rule.of(networks, n, variance, np.where(np.isfinite(effective), effective, 0.0))

    # -- tangents

    def stretch(self) -> tuple[Estimate, Integers]:
        """Return means (R, k) of the logarithm of how much a tangent has grown across those before it, and n."""
        counts = self.sums.stretched
        found = jackknife(self._mean(self.sums.stretch[..., 0], counts), self.sums.networks, counts.sum(axis=0))
        growth = 0.5 * self.lowered.quotient_offsets(self.layers)["growth"]
        first = (self.layers == 0)[:, None]  # where tangents are orthonormal, but for rounding
        value = np.where(first, 0.0, found.value + growth[:, None])
        stderr = np.where(first & np.isfinite(found.stderr), 0.0, found.stderr)
        return replace(found, value=value, stderr=stderr), counts.sum(axis=0)

    def stretch_variance(self) -> Estimate:
        """Return the variances (R, k) of the same (unbiased)."""
        s = self.sums
        n, total, square = (leave_one_out(array) for array in (s.stretched, *np.moveaxis(s.stretch, -1, 0)))
        found = jackknife(_covariance(n, total, total, square), s.networks, s.stretched.sum(axis=0))
        return self._with_enough(found)

    # -- helpers

    def matrix(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of pairs (.., P) as symmetric matrices (.., m, m)."""
        m = self.sums.recording.count
        a, b = self.sums.pairs
        out = np.zeros((*values.shape[:-1], m, m), values.dtype)
        out[..., a, b] = values
        out[..., b, a] = values
        return out

    def estimate(self, values: Floats, n: Any) -> Estimate:
        """Return the estimate from values (33, .., P), of all networks and without each group, as matrices."""
        return jackknife(self.matrix(values), self.sums.networks, n)

    @staticmethod
    def _mean(total: Floats, counts: Integers) -> Floats:
        n = leave_one_out(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(n > 0, leave_one_out(total) / n, np.nan))

    def _with_enough(self, found: Estimate) -> Estimate:
        """Return variances without the errors that take more networks."""
        return _known(found, found.n >= least_networks(VARIANCE, self.lowered))

    @staticmethod
    def _ruled(found: Estimate, rule: Rule, expected: bool = True) -> tuple[Estimate, NDArray[np.bool_]]:
        """Return matrices with errors where a rule of each input, (.., m), allows them, and where that is.

        On the diagonal they are at least as large as ``expected``.
        """
        m = rule.reliable.shape[-1]
        reliable = rule.reliable[..., :, None] & rule.reliable[..., None, :]
        reliable = np.broadcast_to(reliable, found.shape) & np.isfinite(found.value)
        stderr = found.stderr.copy()
        if expected:
            i = np.arange(m)
            with np.errstate(invalid="ignore", over="ignore"):
                least = np.broadcast_to(rule.expected, found.shape[:-1]) * np.abs(found.value[..., i, i])
            stderr[..., i, i] = np.maximum(stderr[..., i, i], least)
        return _known(replace(found, stderr=stderr), reliable), reliable


def _known(found: Estimate, where: NDArray[np.bool_]) -> Estimate:
    return replace(found, stderr=np.where(where, found.stderr, np.nan))


def _covariance(n: NDArray[Any], first: Floats, second: Floats, product: Floats) -> Floats:
    """Covariances (unbiased) from sums."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(n > 1, (product - first * second / n) / (n - 1.0), np.nan))
