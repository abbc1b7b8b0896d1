"""How the weights of different layers depend on each other: one record for each kind of dependence.

Every entry of a layer's matrix, and of its bias, is a path over the layers, independent of all other entries; a process
is the law of such a path. The records describe, and draw nothing: `resmc.theory.processes` has their covariances and
series, `resmc.engine.weights` draws.

Sources: Marion, Fermanian, Biau, Vert (arXiv 2206.06929), section 4, for fractional noise and smooth processes; Cont,
Rossier, Xu (arXiv 2212.08199), hypothesis 2.1, for a trend with noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._system import checks
from .._system.plain import Plain
from .._system.words import brief, brief_repr
from .scaling import power_in_words, power_of_depth

Floats = NDArray[np.float64]

VERSIONS = ("values", "increments")
SHORTEST = 1e-3  # the shortest correlation length: a series of more terms would cost more than independent weights
LONGEST = 1e6  # and the longest: a path is a straight line long before that, and far beyond it what it changes is 0
MAX_COVARIANCE = 1024  # layers that a covariance matrix may have: files hold all of its entries
MOST_VALUES = 4096  # values of H, or of another exponent, that an experiment may have
NEGLIGIBLE = 1e-9  # negative eigenvalues up to this part of the largest are taken for rounding errors, and set to 0


@dataclass(frozen=True)
class FractionalNoise:
    """Fractional Gaussian noise: stationary, of variance 1, with the increments of fractional Brownian motion.

    .. code-block:: text

        E X_j X_{j+k} = (|k + 1|^{2H} + |k - 1|^{2H} - 2 |k|^{2H}) / 2

    Layers are independent for H = 1/2, persistent above, anti-persistent below.

    Parameters
    ----------
    hurst : float
        H, above 0 and below 1.

    Raises
    ------
    ValueError
        For any other H.
    """

    hurst: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "hurst", checks.real("hurst", self.hurst))
        if not 0.0 < self.hurst < 1.0:
            raise ValueError(f"hurst={self.hurst!r} is out of range: it must be above 0 and below 1")

    @property
    def words(self) -> str:
        """The process in a few words."""
        return f"fractional noise (H = {self.hurst:.6g})"

    def to_dict(self) -> Plain:
        """Return the process as plain values."""
        return {"process": "fractional_noise", "hurst": self.hurst}


def hurst_exponents(given: Any) -> tuple[float, ...]:
    """Return the values of H that an experiment takes, in increasing order.

    Raises
    ------
    ValueError
        For anything but a list of different numbers above 0 and below 1.
    """
    return tuple(FractionalNoise(hurst).hurst for hurst in checks.increasing("hurst", given, MOST_VALUES))


@dataclass(frozen=True)
class SmoothProcess:
    """A smooth Gaussian process X on [0, 1] of variance 1, of which layer k of L sees one place.

    .. code-block:: text

        E X(s) X(t) = exp(-(s - t)^2 / (2 length^2))

        values        layer k has X(k/L)
        increments    layer k has (X((k + 1)/L) - X(k/L)) / sd,    sd^2 = 2 - 2 exp(-1/(2 L^2 length^2))

    The path X belongs to the network: networks of one seed and number have the same X whatever their depth.

    Parameters
    ----------
    length : float
        The correlation length, in units of the whole depth: from 0.001 to 10^6.
    version : {"values", "increments"}

    Raises
    ------
    ValueError
        For any other argument.
    """

    length: float = 0.1
    version: str = "values"

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", checks.real("length", self.length, positive=True))
        if not SHORTEST <= self.length <= LONGEST:
            raise ValueError(f"length={self.length!r} is out of range: it must be from {SHORTEST} to {LONGEST:.0f}")
        checks.choice("version", self.version, VERSIONS)

    @property
    def words(self) -> str:
        """The process in a few words."""
        increments = " increments" if self.version == "increments" else ""
        return f"smooth{increments} (length {self.length:.6g})"

    def to_dict(self) -> Plain:
        """Return the process as plain values."""
        return {"process": "smooth", "length": self.length, "version": self.version}


@dataclass(frozen=True)
class Mixture:
    """A smooth trend and noise, each scaled by a power of the depth L of its own.

    .. code-block:: text

        layer k of L has    c_1 L^{-b_1} M(k/L) + c_2 L^{-b_2} X_k

    with M the trend and X the noise, both of variance 1 and independent. At b = (1, 1/2), with independent noise, the
    network tends to a stochastic equation with a drift. A mixture carries its own scaling: a network has
    ``scaling=DepthScaling(0)`` with it, for the block phi-in, or for phi-out with ``inside=True``.

    Parameters
    ----------
    trend : SmoothProcess
    noise : FractionalNoise
        ``FractionalNoise(0.5)`` is independent noise.
    betas : (float, float)
        b_1 and b_2.
    cs : (float, float)
        c_1 and c_2, not both 0.

    Raises
    ------
    ValueError
        For any other argument.
    """

    trend: SmoothProcess
    noise: FractionalNoise
    betas: tuple[float, float] = (1.0, 0.5)
    cs: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not isinstance(self.trend, SmoothProcess):
            raise ValueError(f"trend={brief(self.trend)} is not allowed: it must be a SmoothProcess")
        if not isinstance(self.noise, FractionalNoise):
            raise ValueError(
                f"noise={brief(self.noise)} is not allowed: it must be a FractionalNoise; that of H 0.5 is independent"
            )
        for name in ("betas", "cs"):
            object.__setattr__(self, name, _pair(name, getattr(self, name)))
        if self.cs == (0.0, 0.0):
            raise ValueError("cs=(0.0, 0.0) is not allowed: all weights would be 0")

    def factors(self, depth: int) -> tuple[float, float]:
        """Return c_1 depth^{-b_1} and c_2 depth^{-b_2}, infinite beyond the largest float."""
        trend, noise = (power_of_depth(c, b, depth) for c, b in zip(self.cs, self.betas, strict=True))
        return trend, noise

    @property
    def words(self) -> str:
        """The process in a few words."""
        (c1, c2), (b1, b2) = self.cs, self.betas
        sign = "-" if c2 < 0.0 else "+"
        return f"{power_in_words(c1, b1)} {self.trend.words} {sign} {power_in_words(abs(c2), b2)} {self.noise.words}"

    def to_dict(self) -> Plain:
        """Return the process as plain values."""
        return {
            "process": "mixture",
            "trend": self.trend.to_dict(),
            "noise": self.noise.to_dict(),
            "betas": list(self.betas),
            "cs": list(self.cs),
        }


@dataclass(frozen=True, eq=False)
class Covariance:
    """A Gaussian path over the layers with a given covariance matrix C: E X_j X_k = C_jk.

    Parameters
    ----------
    matrix : array of float, shape (depth, depth)
        Symmetric up to rounding, without an eigenvalue below -1e-9 times the largest. At most 1024 layers.

    Attributes
    ----------
    clipped : float
        The size of the most negative eigenvalue, divided by the largest one: it counts as 0, and so are all others
        below 0. It is 0 where there is none.

    Raises
    ------
    ValueError
        For any other matrix; the message says which entry or eigenvalue is not allowed.
    """

    __repr__ = brief_repr

    matrix: Floats

    def __post_init__(self) -> None:
        try:
            if np.iscomplexobj(self.matrix):  # NumPy would leave out the imaginary parts with a warning
                raise TypeError
            matrix = np.array(self.matrix, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"depth={brief(self.matrix)} is not allowed: it must be a matrix of real numbers"
            ) from None
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not 1 <= len(matrix) <= MAX_COVARIANCE:
            raise ValueError(
                f"a covariance of shape {matrix.shape} is not allowed: it must be a square matrix with a row for each "
                f"layer, {MAX_COVARIANCE} at most"
            )
        if not np.isfinite(matrix).all():
            j, k = (int(x[0]) for x in np.nonzero(~np.isfinite(matrix)))
            raise ValueError(f"the covariance of layers {j} and {k} is {matrix[j, k]}: it must be finite")
        size = float(np.abs(matrix).max())
        apart = np.abs(matrix - matrix.T)
        if float(apart.max()) > NEGLIGIBLE * size:
            j, k = (int(x) for x in np.unravel_index(int(apart.argmax()), apart.shape))
            raise ValueError(
                f"the covariance is not symmetric: that of layers {j} and {k} is {matrix[j, k]:.17g}, and that of "
                f"layers {k} and {j} is {matrix[k, j]:.17g}"
            )
        matrix = 0.5 * (matrix + matrix.T) + 0.0  # no -0, which equals 0 and would have another hash
        matrix.setflags(write=False)
        object.__setattr__(self, "matrix", matrix)
        values = self._decomposed[0]
        if values[-1] < 0.0:
            raise ValueError(f"the covariance is not positive: its largest eigenvalue is {values[-1]:g}, below 0")
        if values[-1] == 0.0:
            raise ValueError(f"the covariance's largest eigenvalue is {values[-1]:g}: all weights would be 0")
        if values[0] < -NEGLIGIBLE * values[-1]:
            raise ValueError(
                f"the covariance is not positive: its smallest eigenvalue is {values[0]:g}, in size "
                f"{-values[0] / values[-1]:.3g} times the largest, and {NEGLIGIBLE:g} at most is allowed; its vector "
                f"is largest at layer {int(np.abs(self._decomposed[1][:, 0]).argmax())}"
            )

    @cached_property
    def _decomposed(self) -> tuple[Floats, Floats]:
        values, vectors = np.linalg.eigh(self.matrix)
        return values, vectors

    @property
    def clipped(self) -> float:
        """The size of the most negative eigenvalue, which counts as 0, divided by the largest."""
        values = self._decomposed[0]
        return max(0.0, float(-values[0] / values[-1]))

    @cached_property
    def root(self) -> Floats:
        """The symmetric root R of C, R R = C, (depth, depth): X = R g with standard normals g.

        Eigenvectors are known up to their signs, or less, and libraries choose them; the symmetric root is unique.
        """
        values, vectors = self._decomposed
        return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)

    @property
    def words(self) -> str:
        """The process in a few words."""
        return f"covariance matrix ({len(self.matrix)} layers)"

    def to_dict(self) -> Plain:
        """Return the process as plain values."""
        return {"process": "covariance", "matrix": self.matrix.tolist()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Covariance) and np.array_equal(self.matrix, other.matrix)

    def __hash__(self) -> int:
        return hash(self.matrix.tobytes())


Process = FractionalNoise | SmoothProcess | Mixture | Covariance

NAMES: dict[str, type[Process]] = {
    "fractional_noise": FractionalNoise,
    "smooth": SmoothProcess,
    "mixture": Mixture,
    "covariance": Covariance,
}


def process_of(described: Mapping[str, Any]) -> Process:
    """Return the process that its ``to_dict`` described.

    Raises
    ------
    ValueError
        For a name that is not known, or a value that is not allowed.
    """
    given = dict(described)
    if "process" not in given:
        raise ValueError(f"depth={brief(given)} is not allowed: process is missing, one of {', '.join(NAMES)}")
    name = checks.choice("process", given.pop("process"), tuple(NAMES))
    kind = NAMES[name]
    for f in fields(kind):
        if f.default is MISSING and f.name not in given:
            raise ValueError(f"{f.name} is missing: process={name!r} needs it")
    names = [f.name for f in fields(kind)]
    for name in given:
        if name not in names:
            raise ValueError(f"{name!r} is not a field of {kind.__name__}: they are {', '.join(names)}")
    for part in ("trend", "noise"):
        if isinstance(given.get(part), Mapping):
            given[part] = process_of(given[part])
    return kind(**given)


def _pair(name: str, given: Any) -> tuple[float, float]:
    if isinstance(given, str | bytes | Mapping):
        raise ValueError(f"{name}={brief(given)} is not allowed: it must be two numbers, of the trend and of the noise")
    try:
        first, second = given
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}={brief(given)} is not allowed: it must be two numbers, of the trend and of the noise"
        ) from None
    return checks.real(name, first), checks.real(name, second)
