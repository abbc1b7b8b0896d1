// Words to standard normals and signs (Box and Muller 1958), over any real type.
//
//   (w0, w1) -> g0 = r cos t, g1 = r sin t     r = sqrt(-2 ln((w0 + 1/2) 2^-32)),   t from the top 30 bits of w1
//
// and (w2, w3) -> g2, g3 alike. The two low bits of w1 and w3 are left to the signs. The half added to w0 keeps the
// radius finite (6.764 at most); t is the centre of one of 2^30 cells, none of them on an axis: no normal is 0.
//
// A target supplies `Word` (32 bits) and `Real` (float), one or many slots of each, with
//   + - * on Real; + - & | ^ << >> on Word;  sar(w, n) arithmetic shift;  fma(a, b, c) with one rounding where the
//   target has it;  sqrt(x);  sqrt_normal(x) the same for 2^-40 < x < 2^10;  to_real(w) of the signed word;
//   as_real(w), as_word(x) the same bits;  select_negative(w, a, b) = a where w is negative as a signed word, else b;
//   select_zero(w, a, b) likewise
// Everything is correct to float32's last places: tests/test_native_draws.py states the worst errors.
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

// q(f) with f q(f) = -2 ln(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: -2 + f (1 + f Q(f)), Q of degree 5. It moves
// no radius by more than 1.1e-7 of itself and their mean square by 1e-10.
template <class Real>
RESMC_FN Real minus_two_log1p(Real f) {
    Real q = fma(f, Real(0.22156840562820435f), Real(-0.33123478293418884f));
    q = fma(f, q, Real(0.3408202826976776f));
    q = fma(f, q, Real(-0.39683032035827637f));
    q = fma(f, q, Real(0.49970272183418274f));
    q = fma(f, q, Real(-0.6667490005493164f));
    q = fma(f, q, Real(1.0f));
    return fma(f, q, Real(-2.0f));
}

// r = sqrt(-2 ln u), u = (w + 1/2) 2^-32.
//
// Above 1/2 the signed word is -(1 - u) with all its bits, so nothing cancels as u tends to 1; below, u itself is
// rounded to 24 bits, which the logarithm does not notice.
template <class Word>
RESMC_FN auto radius(Word w) {
    using Real = decltype(to_real(w));
    const Real x = fma(to_real(w), Real(0x1p-32f), Real(0x1p-33f));  // u, or u - 1 where the word is negative
    const Real one = as_real(sar(w, 31) & 0x3F800000u);              // what x lacks: 0, or 1
    // u = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)): 0x3F3504F3 are the bits of sqrt(1/2). e stays where a float
    // has its exponent.
    const Word e = (as_word(x + one) - 0x3F3504F3u) & 0xFF800000u;
    const Real scale = as_real(Word(0x3F800000u) - e);  // 2^-e
    const Real f = fma(scale, x, fma(scale, one, Real(-1.0f)));
    const Real whole = to_real(e) * Real(-1.3862943611198906f * 0x1p-23f);  // -2 ln 2 for every halving
    return sqrt_normal(fma(f, minus_two_log1p(f), whole));
}

// cos t and sin t of an angle from the top 30 bits of w. The first two choose one of four arcs, an eighth of a turn to
// either side of an axis; the others are s in (-1, 1), where on its arc t lies, for two short polynomials. They are
// even and odd in s, so the arcs around +x and -x differ in the sign of one, and those around +y and -y swap both.
template <class Word, class Real>
RESMC_FN void cos_sin(Word w, Real& cosine, Real& sine) {
    const Real s = fma(to_real((w | 3u) << 2), Real(0x1p-31f), Real(-0x1p-29f));
    const Real s2 = s * s;
    Real along = fma(s2, Real(-0.00031949023832567036f), Real(0.015850896015763283f));  // cos(pi/4 s)
    along = fma(s2, along, Real(-0.3084246814250946f));
    along = fma(s2, along, Real(1.0f));
    Real across = fma(s2, Real(-3.594672307372093e-05f), Real(0.0024899954441934824f));  // sin(pi/4 s)
    across = fma(s2, across, Real(-0.08074542880058289f));
    across = fma(s2, across, Real(0.7853981852531433f));
    across = across * s;
    along = as_real(as_word(along) ^ (w & 0x80000000u));
    const Word swapped = w << 1;
    cosine = select_negative(swapped, across, along);
    sine = select_negative(swapped, along, across);
}

template <class Word, class Real>
RESMC_FN void box_muller(Word w0, Word w1, Real& g0, Real& g1) {
    const Real r = radius(w0);
    Real c, s;
    cos_sin(w1, c, s);
    g0 = r * c;
    g1 = r * s;
}

RESMC_NAMESPACE_END
