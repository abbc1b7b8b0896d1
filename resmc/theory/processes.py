"""Covariances of the processes that weights are over the layers, and the sums of independent normals that have them.

Every path over the layers is a sum of terms, each with two independent standard normals g_k0 and g_k1,

.. code-block:: text

    fractional noise    X_j  = sum_k amplitude_k (g_k0 cos(pi j k/M) - g_k1 sin(pi j k/M))         k = 0 .. M >= L
    smooth process      X(t) = sum_k amplitude_k (g_k0 cos(w_k t) + g_k1 sin(w_k t))               w_k = 2 pi k/period

the first by one Fourier transform of length 2 M for the whole path, the second at any t.

Sources: Davies and Harte 1987 (Biometrika 74) and Wood and Chan 1994 (J. Comp. Graph. Stat. 3) for the circulant
embedding; Craigmile 2003 (Journal of Time Series Analysis 24) for its being positive for fractional noise with H < 1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._system import checks
from ..models.processes import NEGLIGIBLE, Covariance, FractionalNoise, Mixture, Process, SmoothProcess

Floats = NDArray[np.float64]

SERIES_TERMS = 27  # a series in 1/lag^2, from lag 2 on, falls by at least a factor of 4 from term to term
MOST_FREQUENCIES = (1 << 20) - 1  # the counters of random numbers have so many layers, which frequencies are there
TAIL = 1e-16  # the terms that a smooth process's series lacks add at most this to its variance and its slope's


# -- fractional noise --------------------------------------------------------------------------------------------------


def fractional_noise_covariance(hurst: float, lags: ArrayLike) -> Floats:
    """Return the covariance of fractional Gaussian noise at any lags, to a relative error of about 1e-15.

    .. code-block:: text

        r(k) = (|k + 1|^{2H} + |k - 1|^{2H} - 2 |k|^{2H}) / 2
             = |k|^{2H} sum_{j >= 1} binom(2H, 2j) k^{-2j}           |k| >= 2
        r(0) = 1,     r(1) = 2^{2H - 1} - 1

    The difference loses digits as k grows, all of them in the end. The terms of the series have one sign.

    Parameters
    ----------
    hurst : float
        H, above 0 and below 1.
    lags : array of int

    Returns
    -------
    float64 array of the shape of ``lags``

    Raises
    ------
    ValueError
        For another H.

    Source: the definition is in Mandelbrot and Van Ness 1968 (SIAM Review 10).
    """
    power = 2.0 * FractionalNoise(hurst).hurst
    k = np.abs(np.asarray(lags, np.float64))
    far = np.maximum(k, 2.0)
    coefficients = [0.5 * power * (power - 1.0)]  # binom(2H, 2)
    for j in range(2, SERIES_TERMS + 1):
        coefficients.append(coefficients[-1] * (power - 2 * j + 2) * (power - 2 * j + 1) / (2 * j * (2 * j - 1)))
    x, total = far**-2.0, np.zeros_like(far)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return np.asarray(np.where(k == 0.0, 1.0, np.where(k == 1.0, _first_lag(power), total * far ** (power - 2.0))))


def _first_lag(power: float) -> float:
    return math.expm1((power - 1.0) * math.log(2.0))


@dataclass(frozen=True, eq=False)
class Embedding:
    """A stationary covariance r_0 .. r_L as one period of length 2 L, in its eigenvectors, which are waves.

    Attributes
    ----------
    eigenvalues : float64 array (L + 1,)
        Of frequencies 0 .. L; those of 1 .. L - 1 are double. None is below 0.
    clipped : float
        The size of the most negative one, which counts as 0, divided by the largest; 0 where there is none.
    """

    eigenvalues: Floats
    clipped: float

    @property
    def depth(self) -> int:
        """Layers L that a path may have."""
        return len(self.eigenvalues) - 1

    @property
    def amplitudes(self) -> Floats:
        """The factors of normals, (L + 1, 2): of the real and of the imaginary part of every frequency.

        A path is the inverse real Fourier transform of length 2 L without a factor, of amplitudes times normals. The
        imaginary parts of frequencies 0 and L are not seen, and 0.
        """
        size, last = 2 * self.depth, self.depth
        amplitudes = np.repeat(np.sqrt(self.eigenvalues / (2.0 * size))[:, None], 2, axis=1)
        for k in (0, last):
            amplitudes[k] = math.sqrt(self.eigenvalues[k] / size), 0.0
        return amplitudes


def embedding(covariances: ArrayLike) -> Embedding:
    """Embed a stationary covariance in a circulant one of twice the size.

    Parameters
    ----------
    covariances : array of float, shape (L + 1,)
        r_0 .. r_L, L >= 1.

    Raises
    ------
    ValueError
        If an eigenvalue is below -1e-9 times the largest: the message has its frequency and value. Smaller ones are
        rounding errors, and set to 0.

    Source: Wood and Chan 1994 (J. Comp. Graph. Stat. 3), section 2.
    """
    r = np.asarray(covariances, np.float64)
    values = np.fft.rfft(np.concatenate([r, r[-2:0:-1]])).real
    least, largest = int(values.argmin()), float(values.max())
    negative = max(0.0, -float(values[least]))
    if not negative <= NEGLIGIBLE * largest:
        raise ValueError(
            f"the circulant embedding of {len(r) - 1} layers is not positive: its eigenvalue at frequency {least} of "
            f"{2 * len(r) - 2} is {values[least]:.6g}, in size {negative / largest:.3g} times the largest, and "
            f"{NEGLIGIBLE:g} at most is allowed"
        )
    return Embedding(np.maximum(values, 0.0), negative / largest)


def fast_length(least: int) -> int:
    """Return the smallest number from ``least`` on that has no prime factor above 5.

    Networks depend on it, so it is not asked of a library, of which another version may have another answer.
    """
    found = 1 << (least - 1).bit_length()
    five = 1
    while five < found:
        odd = five
        while odd < found:
            found = min(found, odd << (-(-least // odd) - 1).bit_length())
            odd *= 3
        five *= 5
    return found


@lru_cache(maxsize=8)
def fractional_noise_embedding(hurst: float, depth: int) -> Embedding:
    """Return a circulant embedding of ``depth`` layers of fractional noise or more, which is positive for every H.

    It has as few more layers as let its Fourier transform be fast: one of a prime length takes several times as long.
    """
    layers = fast_length(depth)
    found = embedding(
        fractional_noise_covariance(hurst, np.arange((layers if layers <= MOST_FREQUENCIES else depth) + 1))
    )
    found.eigenvalues.setflags(write=False)
    return found


# -- smooth processes --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SmoothSeries:
    """The Fourier series of a process on [0, 1] with covariance exp(-(s - t)^2/(2 length^2)).

    .. code-block:: text

        X(t) = sum_k sqrt(v_k) (g_k0 cos(w_k t) + g_k1 sin(w_k t)),     w_k = 2 pi k/period,   period >= 1 + 8.5 length
        v_k  = (2 - [k = 0]) sqrt(2 pi) length/period exp(-(w_k length)^2/2)

    The sum over all k has the covariance repeated with the period; at a distance of 8.5 lengths it is below 2.1e-16.

    Attributes
    ----------
    length, period : float
    variances : float64 array (K + 1,)
        v_0 .. v_K.
    """

    length: float
    period: float
    variances: Floats

    @property
    def frequencies(self) -> Floats:
        """w_0 .. w_K."""
        return np.asarray(2.0 * np.pi / self.period * np.arange(len(self.variances)))

    def basis(self, t: ArrayLike) -> Floats:
        """Return what normals g_kp are multiplied by in X(t), (T, 2, K + 1), for t of shape (T,)."""
        return self._waves(t, np.sqrt(self.variances), 0.0)

    def derivative(self, t: ArrayLike) -> Floats:
        """Return what normals g_kp are multiplied by in dX/dt, (T, 2, K + 1)."""
        return self._waves(t, self.frequencies * np.sqrt(self.variances), 0.5 * np.pi)

    def increments(self, t: ArrayLike, step: float) -> Floats:
        """Return what normals are multiplied by in (X(t + step) - X(t))/sd, (T, 2, K + 1).

        The standard deviation sd is the exact one, sd^2 = 2 - 2 exp(-step^2/(2 length^2)).
        """
        middle = np.asarray(t, np.float64) + 0.5 * step
        return self._waves(middle, self.increment_amplitudes(step), 0.5 * np.pi)

    def increments_derivative(self, t: ArrayLike, step: float) -> Floats:
        """Return what normals are multiplied by in d/dt of (X(t + step) - X(t))/sd, (T, 2, K + 1)."""
        middle = np.asarray(t, np.float64) + 0.5 * step
        return -self._waves(middle, self.frequencies * self.increment_amplitudes(step), 0.0)

    def increment_amplitudes(self, step: float) -> Floats:
        """Return the amplitudes of the waves of (X(t + step) - X(t))/sd, (K + 1,)."""
        sd = math.sqrt(-2.0 * math.expm1(-0.5 * (step / self.length) ** 2))
        chords = 2.0 * np.sin(0.5 * step * self.frequencies)  # a difference of cosines would lose digits
        return np.asarray(chords / sd * np.sqrt(self.variances))

    def _waves(self, t: ArrayLike, amplitudes: Floats, shift: float) -> Floats:
        """Return amplitudes times cos(w t + shift) and sin(w t + shift), the shift 0 or a quarter turn."""
        angle = np.asarray(t, np.float64)[:, None] * self.frequencies
        cosine, sine = np.cos(angle), np.sin(angle)
        pair = [-sine, cosine] if shift else [cosine, sine]
        return np.stack(pair, axis=1) * amplitudes


@lru_cache(maxsize=8)
def smooth_series(length: float) -> SmoothSeries:
    """Return a smooth process's series; terms left out add below 1e-16 to the variances of X and of length dX/dt."""
    period = max(2.0, 1.0 + 8.5 * length)
    most = math.ceil(1.5 * period / length) + 2  # beyond it w length is above 3 pi, and v_k below 1e-19
    w = 2.0 * np.pi / period * np.arange(most + 1) * length
    variances = 2.0 * math.sqrt(2.0 * math.pi) * length / period * np.exp(-0.5 * w**2)
    variances[0] *= 0.5
    tails = np.cumsum((variances * (1.0 + w**2))[::-1])[::-1]  # from term k on
    variances = variances[: int(np.argmax(tails < TAIL))]
    variances.setflags(write=False)
    return SmoothSeries(length, period, variances)


def smooth_basis(process: SmoothProcess, depth: int, begin: int, end: int) -> Floats:
    """Return what normals g_kp are multiplied by in layers begin .. end - 1 of ``depth``, (layers, 2, K + 1)."""
    series, t = smooth_series(process.length), np.arange(begin, end) / depth
    return series.basis(t) if process.version == "values" else series.increments(t, 1.0 / depth)


# -- covariances -------------------------------------------------------------------------------------------------------


def covariance_by_lag(process: FractionalNoise | SmoothProcess | Mixture, depth: int) -> Floats:
    """Return the exact covariance E X_j X_{j+k} of layers of a network of ``depth``, (depth,), by the lag k.

    .. code-block:: text

        smooth values        exp(-a k^2),       a = 1/(2 depth^2 length^2)
        smooth increments    exp(-a k^2) - exp(-a (k - 1)^2) (1 - exp(-2 a k))^2/(2 - 2 exp(-a))
        mixture              f_1^2 r_trend(k) + f_2^2 r_noise(k),     f from `Mixture.factors`
    """
    lags = np.arange(depth, dtype=np.float64)
    if isinstance(process, FractionalNoise):
        return fractional_noise_covariance(process.hurst, lags)
    if isinstance(process, Mixture):
        trend, noise = process.factors(depth)
        return trend**2 * covariance_by_lag(process.trend, depth) + noise**2 * covariance_by_lag(process.noise, depth)
    a = 0.5 / (depth * process.length) ** 2
    values = np.exp(-a * lags**2)
    if process.version == "values":
        return values
    bend = np.exp(-a * (lags - 1.0) ** 2) * np.expm1(-2.0 * a * lags) ** 2
    return np.asarray(values + 0.5 * bend / math.expm1(-a))


def covariance(dependence: str | Process, depth: int) -> Floats:
    """Return the exact covariance E X_j X_k of one entry's layers, (depth, depth).

    Parameters
    ----------
    dependence : "iid", "tied", or a process
        As `resmc.ResidualNetwork.dependence` has it.
    depth : int

    Raises
    ------
    ValueError
        For a covariance matrix of another depth.
    """
    if isinstance(dependence, str):
        checks.choice("dependence", dependence, ("iid", "tied"))
        return np.eye(depth) if dependence == "iid" else np.ones((depth, depth))
    if isinstance(dependence, Covariance):
        if len(dependence.matrix) != depth:
            raise ValueError(f"depth={depth} is not allowed: the covariance has {len(dependence.matrix)} layers")
        return dependence.matrix
    lags = np.abs(np.subtract.outer(np.arange(depth), np.arange(depth)))
    return np.asarray(covariance_by_lag(dependence, depth)[lags])
