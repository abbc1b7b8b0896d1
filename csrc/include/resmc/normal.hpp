// Words to standard normals and signs (Box and Muller 1958), over any real type.
//
//   (w0, w1) -> g0 = r cos t, g1 = r sin t     r = sqrt(-2 ln((w0 + 1/2) 2^-32)),   t = 2 pi ((w1 & ~3) + 2) 2^-32
//
// and (w2, w3) -> g2, g3 alike. The two low bits of w1 and w3 are left to the signs. The half added to either number
// keeps the radius finite (6.764 at most) and every normal different from 0.
//
// A target supplies `Word` (32 bits) and `Real` (float), one or many slots of each, with
//   + - * on Real; + - & | ^ << >> on Word;  sar(w, n) arithmetic shift;  fma(a, b, c) with one rounding where the
//   target has it;  sqrt(x);  sqrt_normal(x) the same for 2^-40 < x < 2^10;  to_real(w) of the signed word;
//   as_real(w), as_word(x) the same bits;  select_negative(w, a, b) = a where w is negative as a signed word, else b;
//   select_zero(w, a, b) likewise
// Everything is correct to float32's last places: tests/test_normals.py states the worst errors.
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

// -2 ln(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: f (-2 + f (1 + f Q(f))), Q of degree 6, relative error 4e-8.
template <class Real>
RESMC_FN Real minus_two_log1p(Real f) {
    Real q = fma(f, Real(-0.17835742235183716f), Real(0.2870040237903595f));
    q = fma(f, q, Real(-0.29753920435905457f));
    q = fma(f, q, Real(0.3313126862049103f));
    q = fma(f, q, Real(-0.3993079662322998f));
    q = fma(f, q, Real(0.5000349283218384f));
    q = fma(f, q, Real(-0.6666771769523621f));
    q = fma(f, q, Real(1.0f));
    q = fma(f, q, Real(-2.0f));
    return f * q;
}

// r = sqrt(-2 ln u), u = (w + 1/2) 2^-32.
//
// Above 1/2 the signed word is -(1 - u) with all its bits, so nothing cancels as u tends to 1; below, u itself is
// rounded to 24 bits, which the logarithm does not notice.
template <class Word>
RESMC_FN auto radius(Word w) {
    using Real = decltype(to_real(w));
    const Real x = fma(to_real(w), Real(0x1p-32f), Real(0x1p-33f));  // u, or u - 1 where the word is negative
    const Real u = x + as_real(sar(w, 31) & 0x3F800000u);
    // u = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)): 0x3F3504F3 are the bits of sqrt(1/2).
    const Word above = as_word(u) - 0x3F3504F3u;
    const Word e = sar(above, 23);
    const Real f = select_zero(e, x, as_real(as_word(u) - (e << 23)) - Real(1.0f));
    const Real whole = to_real(e) * Real(-1.3862943611198906f);  // -2 ln 2
    return sqrt_normal(whole + minus_two_log1p(f));
}

// cos t and sin t of the angle in the top 30 bits of w: a quarter turn nearest to t, found in integers, and a signed
// remainder s = (t - quarter turns) / (pi/4) in (-1, 1) for two short polynomials (errors 3e-8 and 3e-9).
template <class Word, class Real>
RESMC_FN void cos_sin(Word w, Real& cosine, Real& sine) {
    const Real s = to_real(((w << 2) & 0xFFFFFFF0u) | 8u) * Real(0x1p-31f);
    const Real s2 = s * s;
    Real c = fma(s2, Real(-0.0003188805130776018f), Real(0.015849914401769638f));
    c = fma(s2, c, Real(-0.3084242641925812f));
    c = fma(s2, c, Real(1.0f));
    Real d = fma(s2, Real(-3.595450834836811e-05f), Real(0.002490007085725665f));
    d = fma(s2, d, Real(-0.08074543625116348f));
    d = fma(s2, d, Real(0.7853981852531433f));
    d = d * s;
    const Word quarter = w + 0x20000000u;  // top two bits: quarter turns; odd ones swap cosine and sine
    const Word odd = quarter << 1;
    const Word flip_cosine = (quarter ^ odd) & 0x80000000u;
    const Word flip_sine = quarter & 0x80000000u;
    cosine = as_real(as_word(select_negative(odd, d, c)) ^ flip_cosine);
    sine = as_real(as_word(select_negative(odd, c, d)) ^ flip_sine);
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
