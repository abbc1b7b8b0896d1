"""A number with its error: what every analysis returns, and how the error is found."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief
from ..tables import Column, Shown, Table
from ..tables.cells import format_estimate as format_estimate
from ..tables.cells import plain
from ..tables.frames import frame
from ..tables.table import MOST_ROWS
from .arithmetic import Arithmetic

if TYPE_CHECKING:
    import pandas

Floats = NDArray[np.float64]

MIN_NETWORKS = 32  # below this there is no standard error
WORTH_SAYING = 10.0  # relative difference; a limit that is farther off is no help
RESOLVED = 2.0**-24  # half of float32's spacing at 1, and so what kernels resolve of a norm's logarithm
COARSEST = 0.1  # resolution of a distance between laws beyond which it has no value
NORMAL_95 = 1.959964  # quantile of 97.5% of the standard normal law
ROUNDING = 1e-4  # largest difference of a log-norm that rounding makes in the kernels


@dataclass(frozen=True, eq=False)
class Estimate(Arithmetic["Estimate"], Shown):
    """A Monte Carlo estimate, or an array of them: a number with its error, to compute with.

    ``float(e)`` is the value and ``f"{e:.3f}"`` value and error in that format; ``np.asarray(e)`` holds the values.
    Estimates take + - * / ** and NumPy's functions (``np.log(e)``) with numbers and with each other. Errors are carried
    to first order, which is good while they are small beside what the function bends over; degrees of freedom follow
    Welch and Satterthwaite, and ``n`` is the smaller one. Different estimates are taken for independent, as those of
    simulations with different seeds are. What is known to be dependent is not: e - e is 0 +- 0 and (a + b) - a is b,
    and two quantities of one simulation, or of two that share seed and networks, make a value without an error.
    ``<`` and its like compare values, and ``==`` asks whether two estimates are the same in all fields.

    Attributes
    ----------
    value : ndarray
        The estimate; NaN where no network contributes (``n == 0``).
    stderr : ndarray
        Standard error, same shape; NaN where there is none (fewer than 32 networks, or an estimate whose error cannot
        be trusted).
    n : ndarray
        Number of networks behind each value.
    df : float or ndarray
        Degrees of freedom of the standard error: infinite for means, at most 31 for the delete-one-group jackknife, and
        fewer where few groups rule it (`jackknife`). An array of the same shape where entries differ.
    """

    value: Floats
    stderr: Floats
    n: NDArray[np.int64]
    df: float | Floats = np.inf

    def __post_init__(self) -> None:
        value = np.asarray(self.value, np.float64)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "stderr", np.broadcast_to(np.asarray(self.stderr, np.float64), value.shape))
        object.__setattr__(self, "n", np.broadcast_to(np.asarray(self.n, np.int64), value.shape))
        df = np.asarray(self.df, np.float64)
        object.__setattr__(self, "df", float(df) if df.ndim == 0 else np.broadcast_to(df, value.shape))

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """The confidence interval value -+ t stderr, t the quantile of Student's law with ``df`` degrees.

        Raises
        ------
        ValueError
            If ``level`` is not strictly between 0 and 1.
        """
        level = checks.real("level", level)
        if not 0.0 < level < 1.0:
            raise ValueError(f"level={brief(level)} is not allowed: it must lie strictly between 0 and 1")
        from scipy.special import ndtri, stdtrit

        p = 0.5 + 0.5 * level
        kinds, which = np.unique(self.df, return_inverse=True)  # few, and the quantile is slow
        t = np.where(np.isinf(kinds), ndtri(p), stdtrit(kinds, p))[which].reshape(np.shape(self.df))
        return self.value - t * self.stderr, self.value + t * self.stderr

    def z_score(self, exact: ArrayLike) -> Floats:
        """(value - exact) / stderr. Only against exact values: a limit is not one (see `relative_difference`).

        NaN where the error is below what float32 resolves in a logarithm, 2^-24, and the difference at most 1e-4,
        which rounding may make (ARCHITECTURE.md, contract 3): where all networks agree, such as at a layer that is
        skipped, the two are equal as far as the kernels can tell.
        """
        exact = np.asarray(exact, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            away = self.value - exact
            known = (self.stderr > RESOLVED) | (np.abs(away) > ROUNDING)
            return np.asarray(np.where(known, away / self.stderr, np.nan))

    def relative_difference(self, limit: ArrayLike) -> Floats:
        """(value - limit) / limit, for a limit at leading order in 1/n; NaN where the limit is 0.

        So it is everywhere in resmc, (estimate - reference)/reference: what is 5% too small in size has -5%, whatever
        its sign.
        """
        limit = np.asarray(limit, np.float64)
        return np.asarray((self.value - limit) / np.where(np.abs(limit) < 1e-12, np.nan, limit))

    def __getitem__(self, index: Any) -> Estimate:
        df = self.df[index] if isinstance(self.df, np.ndarray) else self.df
        chosen = Estimate(self.value[index], self.stderr[index], self.n[index], df)
        return self._keeping(chosen, lambda array: array[index])

    def reshape(self, shape: tuple[int, ...]) -> Estimate:
        """Entries in another shape."""
        df = self.df.reshape(shape) if isinstance(self.df, np.ndarray) else self.df
        shaped = Estimate(self.value.reshape(shape), self.stderr.reshape(shape), self.n.reshape(shape), df)
        return self._keeping(shaped, lambda array: array.reshape(shape))

    def _new(self, value: Floats, stderr: Floats, n: NDArray[np.int64], df: float | Floats) -> Estimate:
        return Estimate(value, stderr, n, df)

    def __len__(self) -> int:
        return len(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``value``."""
        return self.value.shape

    def __str__(self) -> str:
        if self.value.ndim == 0:
            return format_estimate(float(self.value), float(self.stderr))
        shown = [format_estimate(float(v), float(e)) for v, e in zip(self.value.flat, self.stderr.flat, strict=True)]
        if len(shown) > 8:
            shown = [*shown[:3], "...", *shown[-3:]]
        return f"[{', '.join(shown)}] shape {self.value.shape}"

    def __repr__(self) -> str:
        n = int(self.n.flat[0]) if self.n.size and (self.n == self.n.flat[0]).all() else "by entry"
        return f"Estimate({self}, n={n})"

    def _numbers_(self) -> Plain:
        return {"value": self.value, "stderr": self.stderr, "n": self.n}

    def _plain_(self) -> Plain:
        return {name: plain(part) for name, part in self._numbers_().items()}

    def _table(self, most: int = MOST_ROWS) -> Table:
        """Value, error and sample size, for every entry or the first ones."""
        name, entries = type(self).__name__, self.reshape((-1,))
        shown = min(len(entries), most)
        columns = [Column("value +- standard error", "estimate"), Column("networks", "networks")]
        rows: list[list[Any]] = [[entries[i], int(entries.n[i])] for i in range(shown)]
        if not self.shape:
            return Table("estimate", name, columns, rows)
        places = [", ".join(map(str, place)) for place in islice(np.ndindex(self.shape), shown)]
        return Table(
            "estimate",
            f"{name} of shape {self.shape}",
            [Column("index", "index"), *columns],
            [[place, *row] for place, row in zip(places, rows, strict=True)],
            left_out=len(entries) - shown,
            unit="entries",
            complete=partial(self._table, len(entries)) if shown < len(entries) else None,
        )

    def to_dataframe(self) -> pandas.DataFrame:
        """Return a row for each entry: its place, value, error, networks and degrees of freedom.

        An ``Estimate`` of one dimension has the column ``index``, others ``index_0``, ``index_1`` and so on. Needs
        ``resmc[pandas]``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        places = np.unravel_index(np.arange(self.value.size), self.shape) if self.shape else ()
        names = ["index"] if len(places) == 1 else [f"index_{axis}" for axis in range(len(places))]
        numbers = {f.name: np.broadcast_to(getattr(self, f.name), self.shape).ravel() for f in fields(self)}
        return frame({**dict(zip(names, places, strict=True)), **numbers})


def mean_estimate(total: Floats, centred_squares: Floats, n: NDArray[np.int64]) -> Estimate:
    """Mean total/n with the error sqrt(centred_squares / (n (n - 1))) of independent networks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(n > 0, total / n, np.nan)
        stderr = np.where(n >= MIN_NETWORKS, np.sqrt(centred_squares / (n * (n - 1.0))), np.nan)
    return Estimate(value, stderr, n)


def jackknife(values: Floats, group_sizes: NDArray[np.int64], n: ArrayLike | None = None) -> Estimate:
    """The delete-one-group jackknife for groups of unequal size.

    Parameters
    ----------
    values : ndarray, shape (1 + G, ...)
        The estimate from all networks, then without group 1, .., without group G.
    group_sizes : ndarray of int, shape (G,) or (G, ...)
        Networks in each group, m_j, for every entry of a value or entry by entry; empty groups are left out. With
        N = sum m_j and h_j = N / m_j,

            variance = (1/G) sum_j (h_j theta - (h_j - 1) theta_j - theta_J)^2 / (h_j - 1),
            theta_J  = G theta - sum_j (1 - 1/h_j) theta_j,

        a mean of G squares s_j. Its degrees of freedom are 2 G/(k - 1), k = G sum s_j^2/(sum s_j)^2, at most G - 1: as
        many as a chi^2 law of its mean and variance has (Satterthwaite 1946), so few where few groups rule the error.

    n : array of int, optional
        Networks behind each value; N by default.

    An entry's result does not depend on the other entries.

    Source: Busing, Meijer, van der Leeden 1999, "Delete-m jackknife for unequal m", Statistics and Computing 9.
    """
    whole, without = values[0], values[1:]
    alike = group_sizes.ndim == 1
    if alike:
        used = np.flatnonzero(group_sizes > 0)
        without, group_sizes = without[used], group_sizes[used].reshape((-1,) + (1,) * whole.ndim)
    total = group_sizes.sum(axis=0)
    count = np.asarray(total if n is None else n)
    full = group_sizes > 0
    groups = full.sum(axis=0)

    def added(terms: Floats) -> Floats:
        return add_groups(terms if full.all() else np.where(full, terms, 0.0))

    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        h = total / group_sizes
        # written in differences from the whole, so that a common offset cancels before it is squared
        change = without - whole
        centre = -added((1.0 - 1.0 / h) * change)
        squares = (-(h - 1.0) * change - centre) ** 2 / (h - 1.0)
        stderr = np.sqrt(added(squares) / groups)
        unequal = groups * added(squares**2) / added(squares) ** 2  # 3 for squares of normals; at most G
        df = 2.0 * groups / np.maximum(unequal - 1.0, 2.0 * groups / np.maximum(groups - 1.0, 1.0))
    df = np.maximum(np.where(np.isfinite(df), df, groups - 1.0), 1.0)
    trusted = (total >= MIN_NETWORKS) & (groups >= MIN_NETWORKS // 2) & (count >= MIN_NETWORKS)
    return Estimate(whole, np.where(trusted, stderr, np.nan), count, df)


def add_groups(arrays: NDArray[Any]) -> NDArray[Any]:
    """The sum over axis 0 in its order: `np.sum` may choose another, which depends on the other axes."""
    total = np.zeros(arrays.shape[1:], arrays.dtype)
    for array in arrays:
        total += array
    return total


@dataclass(frozen=True, eq=False, repr=False)
class KSDistance(Estimate):
    """A Kolmogorov-Smirnov distance between the simulated law and another.

    Attributes
    ----------
    noise_floor : float
        The distance that sampling alone would show on average if the laws agreed; a value near it means 'no
        difference seen'. From the groups: the mean over j of sup |(F_j - G_j) - (F - G)|, where index j stands for
        all networks but group j, scaled to this sample size.
    resolution : float
        The true supremum may exceed ``value`` by as much as this, since laws are compared at the edges of bins alone.
        Where that is more than 0.1 there is no value.

    Notes
    -----
    The distance of two laws differs from ``value`` by at most the supremum of the sampling noise, whatever the laws are
    and however close. ``stderr`` is such that the interval of 95% has the 95% quantile of that supremum on either side,
    and ``resolution`` besides. The quantile is taken as the mean and two standard deviations of what the groups show:
    1.9 of them for Kolmogorov's law and for the absolute value of a normal, between which the noise of a smooth law
    lies. So intervals cover 95% or more: near the noise floor, where a distance can only be overestimated, and far
    from it.
    """

    noise_floor: float = np.nan
    resolution: float = np.nan

    @property
    def p_value(self) -> float:
        """The probability of such a distance or a larger one between ``n`` networks and their own law.

        It is Kolmogorov's, with Stephens's correction for finite n (1970, J. R. Stat. Soc. B 32), and holds for an
        exact law without a fitted number; it may be too large where ``resolution`` is not far below ``value``. NaN
        without a value.
        """
        from scipy.special import kolmogorov

        root = float(self.n) ** 0.5
        return float(kolmogorov((root + 0.12 + 0.11 / root) * float(self.value))) if root else float("nan")

    def __repr__(self) -> str:
        return f"KSDistance({self}, noise_floor={self.noise_floor:.2g}, resolution={self.resolution:.2g})"

    def _table(self, most: int = MOST_ROWS) -> Table:
        table = super()._table(most)
        more = [Column("noise floor", "noise_floor", digits=2), Column("resolution", "resolution", digits=2)]
        rows = [[*row, self.noise_floor, self.resolution] for row in table.rows]
        return replace(table, columns=[*table.columns, *more], rows=rows)


def ks_distance(differences: Floats, group_sizes: NDArray[np.int64], n: int, resolution: float) -> KSDistance:
    """From F - G on a grid, shape (1 + G, points): all networks, then without each group."""
    used = np.flatnonzero(group_sizes > 0)
    total = group_sizes.sum()
    value, stderr, floor = float(np.abs(differences[0]).max()), np.nan, np.nan
    if total >= MIN_NETWORKS and n >= MIN_NETWORKS and len(used) >= MIN_NETWORKS // 2:
        sizes = group_sizes[used]
        swing = np.abs(differences[1:][used] - differences[0]).max(axis=1)
        noise = swing * np.sqrt((total - sizes) / sizes)
        floor = float(np.mean(noise))
        stderr = (floor + 2.0 * float(np.std(noise)) + resolution) / NORMAL_95
    if not resolution <= COARSEST:
        value = stderr = np.nan
    return KSDistance(np.asarray(value), np.asarray(stderr), np.asarray(n), np.inf, floor, resolution)


def ks_resolution(differences: Floats, others: Floats) -> float:
    """Return by how much sup |F - G| over a line may exceed that over the edges of bins, F - G and G given there.

    Between two edges F and G lie between their values there, which bounds their difference. Where G has four bins or
    more, and both laws are smooth over a bin, F - G changes within one by no more than it does from edge to edge.
    """
    d = np.concatenate([[0.0], differences, [0.0]])
    step = np.diff(np.concatenate([[0.0], others, [1.0]]))
    bound = float(max((d[1:] + step).max(), (step - d[:-1]).max()) - np.abs(differences).max())
    smooth = float(np.abs(np.diff(d)).max()) if step.max() <= 0.25 else np.inf
    return max(min(bound, smooth), 0.0)
