"""`SingularValues`, those of networks' Jacobians: means over networks, quantiles, and what is known of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.words import brief_repr, counted
from ..engine.lowering import lower
from ..models.residual_network import ResidualNetwork
from ..results.arithmetic import share_networks
from ..results.estimates import MIN_NETWORKS, Estimate, Floats
from ..results.groups import jackknifed
from ..results.layer_estimates import Rule
from ..results.propagation import Networks
from ..results.reliability import VARIANCE, least_networks
from ..tables import Column, Shown, Table
from ..tables.table import few
from ..theory.determinants import log_determinant, no_log_determinant
from ..theory.facts import facts
from ..theory.lyapunov import lyapunov_exponents, no_lyapunov_exponents

if TYPE_CHECKING:
    import xarray

MOST_VALUES = 12  # values that a table has
NAMES = {"states": "dh_L/dh_0", "network": "dh_out/dx"}


@dataclass(frozen=True, eq=False)
class SingularValues(Shown):
    """Singular values s_1 >= .. >= s_k of Jacobians, as `jacobian_singular_values` returns them. ln is natural.

    Attributes
    ----------
    model : ResidualNetwork
    of : {"states", "network"}
        J = dh_L/dh_0, or dh_out/dx.
    seed, first_network : int
    log_values : ndarray, shape (networks, k)
        ln s_j of every network; -infinity where it is 0.
    rank : ndarray of int, shape (networks,)
        How many are not 0.
    mean, variance : Estimate, shape (k,)
        Of ln s_j, over the networks in which it is not 0.
    nonzero : ndarray of int, shape (k,)
        How many these are.
    log_stretch : Estimate, shape (k,)
        Means of ln R_jj, J Q_0 = Q R, Q_0 being orthonormal vectors in random directions, or with ``of="network"``
        those that the first layer makes: L times the Lyapunov exponents, as `Simulation.lyapunov` has the first.
    exact_log_stretch : ndarray, shape (k,)
        Exact values where they are known, else NaN: `resmc.theory.lyapunov_exponents`.
    log_determinant : Estimate
        Mean of the sum of all ln s_j, which is ln |det J| where J is square, over networks in which none is 0.
    exact_log_determinant : float
        Exact value where it is known, else NaN: `resmc.theory.log_determinant`.
    mean_square : Estimate
        Mean of the sum of s_j^2 over k, zeros included. Rare networks rule it where networks are deep: then it has no
        error.
    exact_mean_square : float
        Exact value where it is known, else NaN: of dh_L/dh_0 it is E |p_0|^2/|p_L|^2 (`resmc.theory.facts`).
    """

    __repr__ = brief_repr

    model: ResidualNetwork
    of: str
    seed: int
    first_network: int
    log_values: Floats
    rank: NDArray[np.int64]
    mean: Estimate
    variance: Estimate
    nonzero: NDArray[np.int64]
    log_stretch: Estimate
    exact_log_stretch: Floats
    log_determinant: Estimate
    exact_log_determinant: float
    mean_square: Estimate
    exact_mean_square: float

    @property
    def networks(self) -> int:
        """How many networks there are."""
        return len(self.log_values)

    @property
    def drawn(self) -> Networks:
        """Networks behind the values: estimates that share them are dependent."""
        return Networks.of(self.seed, [(self.first_network, self.first_network + self.networks)])

    def quantile(self, p: ArrayLike) -> Estimate:
        """Return quantiles of ln s_j over all networks, those with s_j = 0 included as -infinity.

        Parameters
        ----------
        p : float or array of float
            Probabilities, 0 < p < 1; an array puts its shape before (k,). Errors are half the distance of the quantiles
            at p -+ sqrt(p (1 - p)/networks), whatever the law is; there is none where these are beyond all networks.

        Raises
        ------
        ValueError
            If a probability is not strictly between 0 and 1.
        """
        wanted = checks.numbers("p", p)
        if not ((wanted > 0.0) & (wanted < 1.0)).all():
            raise ValueError("p is out of range: probabilities must lie strictly between 0 and 1")
        ordered = np.sort(self.log_values, axis=0)
        half = np.sqrt(wanted * (1.0 - wanted) / self.networks)
        value, low, high = (_between(ordered, at) for at in (wanted, wanted - half, wanted + half))
        there = (wanted - half >= 0.5 / self.networks) & (wanted + half <= 1.0 - 0.5 / self.networks)
        with np.errstate(invalid="ignore"):
            error = 0.5 * (high - low)
        known = np.isfinite(error) & there[..., None] & (self.networks >= MIN_NETWORKS)
        found = Estimate(value, np.where(known, error, np.nan), np.asarray(self.networks))
        return share_networks(found, self.drawn)

    def summary(self) -> Table:
        """Return a table of the values, and what they add up to below it."""
        return self._table()

    def __str__(self) -> str:
        return str(self.summary())

    def _table(self) -> Table:
        return self._rows(MOST_VALUES)

    def _rows(self, most: int) -> Table:
        count = len(self.nonzero)
        chosen = few(count, most)
        median = self.quantile(0.5)
        z = self.log_stretch.z_score(self.exact_log_stretch)
        columns = [
            Column("j", "value", width=4),
            Column("ln s_j", "log_value"),
            Column("median", "median"),
            Column("variance", "variance"),
            Column("not 0 in", "nonzero"),
            Column("ln R_jj", "log_stretch"),
        ]
        known = np.isfinite(self.exact_log_stretch).any()
        columns += [Column("exact", "exact_log_stretch"), Column("z", "z_score", digits=3)] * bool(known)
        rows: list[list[Any]] = []
        for j in chosen:
            row = [j + 1, self.mean[j], median[j], self.variance[j], int(self.nonzero[j]), self.log_stretch[j]]
            rows.append(row + [float(self.exact_log_stretch[j]), float(z[j])] * bool(known))
        title = f"singular values of {NAMES[self.of]}: {self.model.title}"
        lines = [f"{counted(self.networks, 'network')} from number {self.first_network}, seed {self.seed}"]
        complete = None if len(chosen) == count else lambda: self._rows(count)
        return Table("singular_values", title, columns, rows, lines, self._notes(), complete=complete)

    def _notes(self) -> list[str]:
        notes = []
        if (self.rank == self.log_values.shape[1]).any():
            notes.append("sum of ln s_j, where none is 0: " + _beside(self.log_determinant, self.exact_log_determinant))
        notes.append("mean of s_j^2: " + _beside(self.mean_square, self.exact_mean_square))
        zeros = int((self.rank < self.log_values.shape[1]).sum())
        if zeros:
            least = int(self.rank.min())
            notes.append(
                f"{counted(zeros, 'network')} with values 0, which means leave out; the rank is at least {least}"
            )
        return notes

    def to_xarray(self) -> xarray.Dataset:
        """Return estimates with errors, theory and the values of all networks (needs ``resmc[xarray]``).

        Dimensions are ``value``, 1 to k, and ``network``.

        Raises
        ------
        ImportError
            If xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("to_xarray needs xarray: install resmc[xarray]") from None
        data: dict[str, tuple[str | tuple[str, ...], NDArray[Any]]] = {}
        for name in ("mean", "variance", "log_stretch", "log_determinant", "mean_square"):
            found: Estimate = getattr(self, name)
            dims = ("value",) if found.shape else ()
            called = f"log_value_{name}" if name in ("mean", "variance") else name
            data[called], data[f"{called}_stderr"] = (dims, found.value), (dims, found.stderr)
        for name in ("log_stretch", "log_determinant", "mean_square"):
            exact = np.asarray(getattr(self, f"exact_{name}"))
            data[f"{name}_exact"] = ("value",) if exact.ndim else (), exact
        data["nonzero"] = "value", self.nonzero
        data["log_value"] = ("network", "value"), self.log_values
        data["rank"] = "network", self.rank
        numbers = self.first_network + np.arange(self.networks)
        coordinates = {"value": np.arange(len(self.nonzero)) + 1, "network": numbers}
        about = {"model": self.model.title, "of": self.of, "seed": str(self.seed)}
        return xarray.Dataset(data, coordinates, about)


def estimated(model: ResidualNetwork, of: str, seed: int, first: int, logs: Floats, stretch: Floats) -> SingularValues:
    """Return the estimates from logarithms of the singular values and of the stretching, (networks, k) each."""
    k = logs.shape[1]
    there = np.isfinite(logs)
    nonzero = there.sum(axis=0)
    whole = there.all(axis=1)
    exact_stretch, exact_log = np.full(k, np.nan), np.nan
    exact_square = np.nan
    if of == "states":
        if no_lyapunov_exponents(model) is None:
            exact_stretch = model.depth * lyapunov_exponents(model, k)
        if no_log_determinant(model) is None:
            exact_log = log_determinant(model)
        exact_square = math.exp(float(facts(model).second_moment("gradient", np.array([0]))[0]))
    variance = jackknifed(logs.T, lambda part: _variances(part.T))
    enough = nonzero >= least_networks(VARIANCE, lower(model))
    return SingularValues(
        model=model,
        of=of,
        seed=seed,
        first_network=first,
        log_values=logs,
        rank=there.sum(axis=1),
        mean=_means(logs),
        variance=Estimate(variance.value, np.where(enough, variance.stderr, np.nan), nonzero, variance.df),
        nonzero=nonzero,
        log_stretch=_means(stretch),
        exact_log_stretch=exact_stretch,
        log_determinant=_means(np.where(whole, logs.sum(axis=1), -np.inf)[:, None])[0],
        exact_log_determinant=exact_log,
        mean_square=_mean_square(logs),
        exact_mean_square=exact_square,
    )


def _means(logs: Floats) -> Estimate:
    """Return means of the finite entries of every column."""
    there = np.isfinite(logs)
    n = there.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, logs, 0.0).sum(axis=0) / n
        error = np.sqrt(_variances(logs) / n)
    return Estimate(mean, np.where(n >= MIN_NETWORKS, error, np.nan), n, np.maximum(n - 1.0, 1.0))


def _variances(logs: Floats) -> Floats:
    """Return variances (unbiased) of the finite entries of every column."""
    there = np.isfinite(logs)
    n = there.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(there, logs, 0.0).sum(axis=0) / n
        squares = np.where(there, logs - mean, 0.0) ** 2
        return np.asarray(np.where(n > 1, squares.sum(axis=0) / (n - 1.0), np.nan))


def _mean_square(logs: Floats) -> Estimate:
    """Return the mean of the sum of s_j^2 over k, with an error where rare networks do not rule it."""
    count, k = logs.shape
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        top = logs.max(axis=1, initial=-np.inf)
        safe = np.where(np.isneginf(top), 0.0, top)
        log_square = 2.0 * safe + np.log(np.exp(2.0 * (logs - safe[:, None])).sum(axis=1) / k)
        alive = np.isfinite(log_square)
        highest = float(log_square[alive].max()) if alive.any() else 0.0
        shares = np.exp(log_square - highest)
        mean = shares.mean()
        effective = count * mean**2 / np.mean(shares**2)
        variance = float(log_square[alive].var(ddof=1)) if alive.sum() > 1 else 0.0
        error = shares.std(ddof=1) / math.sqrt(count) if count > 1 else np.nan
        scale = float(np.exp(highest))
    rule = Rule.of(np.array(count), np.array(int(alive.sum())), np.array(variance), np.array(effective))
    trusted = count >= MIN_NETWORKS and bool(rule.reliable)
    error = max(float(error), float(rule.expected) * float(mean)) if trusted else np.nan
    return Estimate(np.asarray(mean * scale), np.asarray(error * scale), np.asarray(count), max(count - 1.0, 1.0))


def _between(ordered: Floats, p: Floats) -> Floats:
    """Return quantiles (.., k) of sorted columns (networks, k), place i + 1/2 of N being p N."""
    count = len(ordered)
    at = np.clip(p * count - 0.5, 0.0, count - 1.0)
    low = np.floor(at).astype(np.int64)
    high, share = np.minimum(low + 1, count - 1), (at - low)[..., None]
    with np.errstate(invalid="ignore"):
        between = ordered[low] + share * (ordered[high] - ordered[low])
    return np.where((share == 0.0) | np.isneginf(ordered[low]), ordered[low], between)


def _beside(found: Estimate, exact: float) -> str:
    if not np.isfinite(exact):
        return str(found)
    z = float(found.z_score(exact))
    return f"{found}, exact {exact:.6g}" + (f", z = {z:+.2f}" if np.isfinite(z) else "")
