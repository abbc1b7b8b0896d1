"""The next order in 1/n of the log-Gaussian theory: coefficients of 1/n^2, derived, with nothing fitted.

Coordinates of z_{l+1} given z_l are independent Gaussians. With x = z/sqrt(|z_0|^2/n) averaged over the first layer
and B = (1/n) sum_i (2 phi(x_i)^2 - 1), one layer is x' = alpha x + lam sqrt(1 + B) g, where alpha^2 + lam^2 = 1. Let
He_k be Hermite's polynomials and p_k = (1/n) sum_i He_k(x_i)/sqrt(k!), modes of size n^{-1/2} that are independent at
layer 0. Two exact facts make equations of them:

.. code-block:: text

    E[He_k(x'_i) | x] = sum_m k!/(m! (k - 2m)! 2^m) (lam^2 B)^m alpha^{k - 2m} He_{k - 2m}(x_i)
    He_j He_k         = sum_r r! C(j, r) C(k, r) He_{j + k - 2r}

By the first the mean of p_k given the layer before is a polynomial of modes; by the second so is n times the covariance
of p_j and p_k. B is linear: sqrt(2) p_2 + sum_{k odd} b_k p_k, b_k = E[X|X| He_k(X)]/sqrt(k!), sum_k b_k^2 = 3.
To order n^{-2} the moments of modes close:

.. code-block:: text

    E[p_j] to 1/n^2,   E[p_j p_k] to 1/n^2,   E[p_j p_k p_m] at 1/n^2,   and fourth moments, which are Gaussian there

and from one layer to the next they follow a linear recursion. |z_l|^2/n = 1 + sqrt(2) p_2, A = (B - sqrt(2) p_2)/(1 +
sqrt(2) p_2) and F - 1/2 = sum_{k odd} c_k p_k, c_k = E[sign(X) He_k(X)]/(2 sqrt(k!)), so that their cumulants to order
n^{-2} are sums of these moments. L_0 is independent of what comes after, and its cumulants are subtracted.

Of the even modes, those beyond 4 do not reach what is asked for. In balanced networks the odd ones are replaced by one,
(1/n) sum_i s_i x_i^2, which random signs draw anew in each layer; balanced-half differs at n^{-3} alone.

Every cumulant of the log-norm is a sum over layers, and the correlations along them decay like alpha^k. Once these are
gone, its coefficients grow linearly in l at every order, and those of A and F are constant: the expansion is uniform in
d/n, and the recursion ends after `relaxed` layers, which moves coefficients by some 0.2%. Odd modes are cut off beyond
degree 31, so that B is no longer homogeneous in z and coefficients drift: by 1% or less for |alpha| <= 0.9 (E[F]: 18%),
4% at 0.98 (E[F]: 36%), where the coefficients of the log-norm are small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from .kernels import Floats

Integers = NDArray[np.int64]

HIGHEST = 31  # the last odd degree
_GONE = 10.0  # correlations below exp(-10) are taken for 0; more layers would add to the drift of what is cut off


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of 1/n^2 by layer, from 0 on: each an array of one length.

    ``mean`` and ``variance`` are those of log(|z_l|^2/|z_0|^2), ``second_moment`` is of log(E|z_l|^2/|z_0|^2),
    ``asymmetry`` of E[A_l] and ``active_fraction`` of E[F_l], all with alpha^2 + lam^2 = 1.
    """

    mean: Floats
    variance: Floats
    second_moment: Floats
    asymmetry: Floats
    active_fraction: Floats


@dataclass(frozen=True, eq=False)
class _Step:
    """One layer, by modes: ``b`` is B, ``norm`` is |z|^2/n - 1 and ``fired`` is F - 1/2.

    The mean of p_k given the layer before is (linear + B quadratic + B^2 cubic + B^3 quartic) p, and n times the
    covariance of p_j and p_k is noise + noise1 p + B noise2 p; n^2 times the third cumulant is ``third``. ``triple`` is
    E[h_j h_k h_m] with h = He/sqrt(k!). linear is diag(decay), but for the row of p_2, the first: there stands
    ``rise`` b besides.
    """

    b: Floats
    norm: Floats
    fired: Floats
    decay: Floats
    rise: float
    linear: Floats
    quadratic: Floats
    cubic: Floats
    quartic: Floats
    noise: Floats
    noise1: Floats
    noise2: Floats
    third: Floats
    triple: Floats


@dataclass(frozen=True, eq=False)
class _Tags:
    """Moments of modes at one layer times A_l of T earlier ones, without E[A_l]'s own part of them.

    ``first`` (T, modes) is at 1/n; ``second`` (T, modes) and ``pairs`` (T, modes, modes), with one mode and with two,
    at 1/n^2. ``asymmetry`` (T,) is E[A_l] at 1/n.
    """

    asymmetry: Floats
    first: Floats
    second: Floats
    pairs: Floats

    def beside(self, other: _Tags) -> _Tags:
        """Return these and others after them."""
        return _Tags(*map(np.concatenate, zip(self._parts, other._parts, strict=True)))

    def chosen(self, kept: NDArray[np.bool_]) -> _Tags:
        """Return those that are ``kept``."""
        return self if kept.all() else _Tags(*(part[kept] for part in self._parts))

    def pairs_with(self, form: Floats) -> Floats:
        """Return the moments with a mode and a linear form, (T, modes); one product is faster than T of them."""
        return np.asarray((self.pairs.reshape(-1, len(form)) @ form).reshape(self.first.shape))

    @property
    def _parts(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.asymmetry, self.first, self.second, self.pairs


@dataclass(frozen=True, eq=False)
class _Moments:
    """Moments of modes at one layer: coefficients of 1/n (``mean``, ``pairs``) and of 1/n^2 (all others)."""

    mean: Floats
    mean2: Floats
    pairs: Floats
    pairs2: Floats
    triples: Floats


def relaxed(decay: float) -> int:
    """Return the number of layers after which coefficients are linear in l, for -log|alpha| = ``decay``."""
    return math.ceil(min(_GONE / decay, 1e9)) + 2


def coefficients(alpha: float, lam: float, signed: bool, depth: int, decay: float) -> Coefficients:
    """Return the coefficients at layers 0 .. ``depth``, or more; alpha^2 + lam^2 = 1, decay = -log|alpha|."""
    last = relaxed(decay)
    count = depth if depth <= last else last
    found = _recursion(alpha, lam, signed, min(last, max(64, 1 << max(count - 1, 0).bit_length())))
    more = depth + 1 - found.shape[1]
    if more > 0:
        slope = found[:, -1] - found[:, -2]
        slope[3:] = 0.0  # the law of z_l/|z_l| has become stationary
        found = np.hstack([found, found[:, -1:] + slope[:, None] * np.arange(1.0, more + 1.0)])
    return Coefficients(*found)


@lru_cache(maxsize=1024)
def _recursion(alpha: float, lam: float, signed: bool, count: int, highest: int = HIGHEST) -> Floats:
    step = _step(alpha, lam, signed, highest)
    rows = np.array([_cumulants(step, m) for m in islice(_layers(step), count + 1)]).T
    rows[:3] -= rows[:3, :1]
    rows.setflags(write=False)
    return rows


def correlation(alpha: float, lam: float, decay: float, layers: Integers, lags: Integers) -> Floats:
    """Return the coefficient of 1/n in the logarithm of Corr(A_l, A_{l+k}), l in ``layers``, k in ``lags``, (P,).

    It is that of the covariance less half of those of both variances; not of balanced networks.
    """
    longest = int(lags.max(initial=0)) + 1
    distinct, which = np.unique(np.minimum(layers, relaxed(decay)) * longest + lags, return_inverse=True)
    return _correlation(alpha, lam, decay, np.stack(np.divmod(distinct, longest)).tobytes())[which]


@lru_cache(maxsize=16)
def _correlation(alpha: float, lam: float, decay: float, pairs: bytes) -> Floats:
    step = _step(alpha, lam, False)
    starts, lags = np.frombuffer(pairs, np.int64).reshape(2, -1)
    tagged, place = np.unique(starts, return_inverse=True)
    until = np.zeros(tagged.shape, np.int64)
    np.maximum.at(until, place, starts + lags)
    end = int(until.max(initial=0))
    own, covariance = np.full(end + 1, np.nan), np.full((len(tagged), end + 1), np.nan)
    live, tags = np.zeros(0, np.int64), _no_tags(len(step.b))
    for layer, now in enumerate(islice(_layers(step), end + 1)):
        tag = _tag(step, now)
        own[layer] = _tagged_covariance(step, now, tag)[0]
        if layer in tagged:
            live, tags = np.append(live, np.searchsorted(tagged, layer)), tags.beside(tag)
        covariance[live, layer] = _tagged_covariance(step, now, tags)
        kept = until[live] > layer
        live, tags = live[kept], _tags_after(step, now, tags.chosen(kept))
    return np.asarray(covariance[place, starts + lags] - 0.5 * (own[starts] + own[starts + lags]))


def _wick(pairs: Floats, *forms: Floats) -> float:
    """Return E[u v w x] of four linear forms of Gaussian modes."""
    c = np.array(forms) @ pairs @ np.array(forms).T
    return float(c[0, 1] * c[2, 3] + c[0, 2] * c[1, 3] + c[0, 3] * c[1, 2])


def _cumulants(step: _Step, m: _Moments) -> tuple[float, float, float, float, float]:
    """Return the rows of `Coefficients` at one layer, the first layer's cumulants included."""
    p, o = step.norm, step.b - step.norm
    squares, cubes = float(p @ m.pairs @ p), float(m.triples @ p @ p @ p)
    mean = float(p @ m.mean) - squares / 2.0
    return (
        float(p @ m.mean2 - p @ m.pairs2 @ p / 2.0) + cubes / 3.0 - 0.75 * squares**2,
        float(p @ m.pairs2 @ p) - cubes + 2.75 * squares**2 - mean**2,
        float(p @ m.mean2) - float(p @ m.mean) ** 2 / 2.0,
        float(o @ m.mean2 - o @ m.pairs2 @ p + m.triples @ p @ p @ o) - _wick(m.pairs, o, p, p, p),
        float(step.fired @ m.mean2),
    )


def _no_tags(size: int) -> _Tags:
    none = np.zeros((0, size))
    return _Tags(np.zeros(0), none, none, np.zeros((0, size, size)))


def _tag(step: _Step, m: _Moments) -> _Tags:
    """Return the moments of modes times A at the layer of ``m``: A = O - O P + O P^2, O = B - P, P = |z|^2/n - 1."""
    p, o = step.norm, step.b - step.norm
    op, pp, c_o, c_p = float(o @ m.pairs @ p), float(p @ m.pairs @ p), m.pairs @ o, m.pairs @ p
    second = m.pairs2 @ o - m.triples @ p @ o + c_o * pp + 2.0 * op * c_p
    pairs = m.triples @ o - op * m.pairs - np.outer(c_o, c_p) - np.outer(c_p, c_o)
    return _Tags(np.array([float(o @ m.mean) - op]), c_o[None], second[None], pairs[None])


def _tagged_covariance(step: _Step, m: _Moments, tags: _Tags) -> Floats:
    """Return the coefficients of 1/n in Cov(A_l, A_m) over its leading order, (T,)."""
    p, o = step.norm, step.b - step.norm
    op, pp = float(o @ m.pairs @ p), float(p @ m.pairs @ p)
    leading = tags.first @ o
    second = tags.second @ o - tags.pairs_with(p) @ o + leading * pp + 2.0 * op * (tags.first @ p)
    asymmetry = float(o @ m.mean) - op
    return np.asarray((second - tags.asymmetry * asymmetry) / leading)


def _tags_after(step: _Step, m: _Moments, tags: _Tags) -> _Tags:
    """Return the tagged moments one layer later; ``m`` is at the layer of ``tags``."""
    c_b, of_b, pairs_b = m.pairs @ step.b, tags.first @ step.b, tags.pairs_with(step.b)
    second = (
        tags.second @ step.linear.T
        + pairs_b @ step.quadratic.T
        + (float(step.b @ c_b) * tags.first + 2.0 * of_b[:, None] * c_b) @ step.cubic.T
    )
    # All but the pairs' own part is linear in ``first`` and E[A_l], and that part is linear.T pairs linear.
    given = np.column_stack([tags.first, tags.asymmetry])
    pairs = tags.pairs * (step.decay[:, None] * step.decay)
    pairs += (given @ _pairs_of_first(step, m)).reshape(pairs.shape)
    risen = step.rise * (pairs_b * step.decay)
    risen[:, 0] += 0.5 * step.rise**2 * (pairs_b @ step.b)
    pairs[:, 0] += risen
    pairs[:, :, 0] += risen
    return _Tags(tags.asymmetry, tags.first @ step.linear.T, second, pairs)


def _pairs_of_first(step: _Step, m: _Moments) -> Floats:
    """Return what each mode's ``first`` and E[A_l] add to the tagged pairs one layer later, (modes + 1, modes^2)."""
    lin, quad, c_b = step.linear, step.quadratic, m.pairs @ step.b
    half = lin.T[:, :, None] * (quad @ c_b) + step.b[:, None, None] * (lin @ m.pairs @ quad.T)
    half += (lin @ c_b)[:, None] * quad.T[:, None, :]
    whole = half + half.swapaxes(1, 2) + np.moveaxis(step.noise1, 2, 0)
    return np.concatenate([whole, step.noise[None]]).reshape(len(whole) + 1, -1)


def _layers(step: _Step) -> Iterator[_Moments]:
    """Yield the moments at layers 0, 1, .. of a network whose first layer is Gaussian."""
    size = len(step.b)
    none = np.zeros(size)
    now = _Moments(none, none, np.eye(size), np.zeros((size, size)), step.triple)
    while True:
        yield now
        now = _after(step, now)


def _after(step: _Step, m: _Moments) -> _Moments:
    """Return the moments one layer later."""
    lin, quad = step.linear, step.quadratic
    c_b = m.pairs @ step.b
    b_b, lin_b, quad_b = float(step.b @ c_b), lin @ c_b, quad @ c_b
    lin_lin, lin_quad = lin @ m.pairs @ lin.T, lin @ m.pairs @ quad.T
    triples_b = m.triples @ step.b
    mean = lin @ m.mean + quad_b
    mean2 = lin @ m.mean2 + quad @ (m.pairs2 @ step.b) + step.cubic @ (triples_b @ step.b)
    mean2 += 3.0 * b_b * (step.quartic @ c_b)
    one_sided = (
        lin @ triples_b @ quad.T + b_b * (lin @ m.pairs @ step.cubic.T) + 2.0 * np.outer(lin_b, step.cubic @ c_b)
    )
    pairs2 = lin @ m.pairs2 @ lin.T + one_sided + one_sided.T
    pairs2 += b_b * (quad @ m.pairs @ quad.T) + 2.0 * np.outer(quad_b, quad_b)
    pairs2 += step.noise1 @ m.mean + step.noise2 @ c_b
    by_pair = lin_lin[:, :, None] * quad_b + lin_b[:, None, None] * lin_quad + lin_b[:, None] * lin_quad[:, None, :]
    by_pair += step.noise[:, :, None] * mean + step.noise1 @ (m.pairs @ lin.T)
    triples = np.tensordot(lin, np.tensordot(m.triples @ lin.T, lin, (1, 1)).swapaxes(1, 2), 1)
    triples += by_pair + by_pair.transpose(0, 2, 1) + by_pair.transpose(2, 1, 0) + step.third
    return _Moments(mean, mean2, lin_lin + step.noise, pairs2, triples)


@lru_cache(maxsize=64)
def _step(alpha: float, lam: float, signed: bool, highest: int = HIGHEST) -> _Step:
    """Return one layer: by the modes of degrees 2 and 4, and after them those that are odd."""
    odd = np.arange(1, highest + 1, 2)
    degrees = np.array([2, 4]) if signed else np.concatenate([[2, 4], odd])
    size = len(degrees) + signed
    b, norm, fired, decay = (np.zeros(size) for _ in range(4))
    norm[0] = b[0] = math.sqrt(2.0)
    decay[: len(degrees)] = alpha**degrees  # a mode that is drawn anew keeps 0
    triple = np.zeros((size, size, size))
    triple[: len(degrees), : len(degrees), : len(degrees)] = _triple(*np.meshgrid(*3 * [degrees], indexing="ij"))
    if signed:
        b[2] = math.sqrt(3.0)
        # With signs s the mode is sum_i s_i x_i^2/(sqrt(3) n), and x^4/3 = 1 + 2 sqrt(2) h_2 + (sqrt(24)/3) h_4.
        for k, value in enumerate((2.0 * math.sqrt(2.0), math.sqrt(24.0) / 3.0)):
            triple[2, 2, k] = triple[2, k, 2] = triple[k, 2, 2] = value
    else:
        b[2:], fired[2:] = _odd_coefficients(odd)
    place = {int(k): i for i, k in enumerate(degrees)}

    def shift(m: int) -> Floats:
        """Return the modes' means at B^m: He_{k - 2m}, and from k = 2 (m + 1) one B of B^{m + 1}."""
        matrix = np.zeros((size, size))
        for k, i in place.items():
            if k - 2 * m in place:
                matrix[i, place[k - 2 * m]] = _share(alpha, lam, k, m)
            if k == 2 * (m + 1):
                matrix[i] += _share(alpha, lam, k, m + 1) * b
        return matrix

    linear, quadratic, cubic, quartic = (shift(m) for m in range(4))
    both = decay[:, None] * decay
    # Products of means at one coordinate: those of order B^0, and of order B with and without a mode beside B.
    beside, beside_b = np.zeros((size, size, size)), np.zeros((size, size))
    squared = np.zeros((size, size))
    for k, i in place.items():
        once, twice = _share(alpha, lam, k, 1), _share(alpha, lam, k, 2)
        if k == 2:
            beside[i] += once * np.diag(decay)
        elif k - 2 in place:
            beside[i] += once * decay[:, None] * triple[place[k - 2]]
            beside_b[i, place[k - 2]] += once * decay[place[k - 2]]
        if k >= 2:
            squared[i, i] += once**2 / 2.0
        if k > 4 and k - 4 in place:
            squared[i, place[k - 4]] += twice * decay[place[k - 4]]
    noise1 = triple @ linear - both[:, :, None] * triple - (beside_b + beside_b.T)[:, :, None] * b
    noise2 = triple @ quadratic - beside - beside.swapaxes(0, 1) - (squared + squared.T)[:, :, None] * b
    one, two, three = (decay.reshape(shape) for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)))
    third = triple * (1.0 - one**2 - two**2 - three**2 + 2.0 * one * two * three)
    noise = np.diag(1.0 - decay**2)
    rise = _share(alpha, lam, 2, 1)
    return _Step(b, norm, fired, decay, rise, linear, quadratic, cubic, quartic, noise, noise1, noise2, third, triple)


def _share(alpha: float, lam: float, degree: int, m: int) -> float:
    """Return the weight of B^m h_{degree - 2m} in the mean of h_degree, h_k = He_k/sqrt(k!)."""
    rest = degree - 2 * m
    if rest < 0:
        return 0.0
    ways = math.sqrt(math.factorial(degree) / math.factorial(rest)) / (math.factorial(m) * 2.0**m)
    return lam ** (2 * m) * alpha**rest * ways


def _triple(j: NDArray[np.int64], k: NDArray[np.int64], m: NDArray[np.int64]) -> Floats:
    """Return E[h_j h_k h_m] = sqrt(j! k! m!)/((s - j)! (s - k)! (s - m)!), s = (j + k + m)/2."""
    s = (j + k + m) // 2
    there = ((j + k + m) % 2 == 0) & (s >= j) & (s >= k) & (s >= m)
    log = sum(gammaln(i + 1.0) / 2.0 - gammaln(np.maximum(s - i, 0) + 1.0) for i in (j, k, m))
    return np.where(there, np.exp(log), 0.0)


def _odd_coefficients(k: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return E[X|X| h_k(X)] and E[sign(X) h_k(X)]/2 for odd k, by partial integration."""
    # The third derivative of X|X| is 4 delta and the first of sign(X) is 2 delta, and E[delta He_k] = He_k(0)/root.
    root = math.sqrt(2.0 * math.pi)
    squares = 4.0 / root * np.where(k == 1, 1.0, _at_zero(np.maximum(k - 3, 0), k))
    return squares, _at_zero(k - 1, k) / root


def _at_zero(degree: NDArray[np.int64], k: NDArray[np.int64]) -> Floats:
    """Return He_degree(0)/sqrt(k!) for even ``degree``."""
    half = degree // 2
    sign = np.where(half % 2 == 0, 1.0, -1.0)
    log = gammaln(degree + 1.0) - half * math.log(2.0) - gammaln(half + 1.0) - gammaln(k + 1.0) / 2.0
    return np.asarray(sign * np.exp(log), np.float64)
