// Elementary functions in float32, over any real type: what the smooth activations are made of.
//
// They ask of a target what normal.hpp asks, and / and max on Real. FMA is written, but nothing needs it to be exact:
// the baseline has none. Errors are relative, the worst over every third float of the range at least: what the
// polynomial leaves, then what comes out with FMA (AVX2 and AVX-512 alike, as every operation is correctly rounded),
// then without.
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

template <class Real>
RESMC_FN Real magnitude(Real x) {
    return as_real(as_word(x) & 0x7FFFFFFFu);
}

// x with the sign of `of`, for x >= 0.
template <class Real>
RESMC_FN Real with_sign(Real x, Real of) {
    return as_real(as_word(x) | (as_word(of) & 0x80000000u));
}

template <class Real>
RESMC_FN Real select_less(Real x, float bound, Real a, Real b) {  // a where x < bound, else b
    return select_negative(as_word(x - Real(bound)), a, b);
}

template <class Real>
RESMC_FN Real select_positive(Real x, Real a, Real b) {  // a where x > 0, else b; 0 - x has no sign where x is 0 or -0
    return select_negative(as_word(Real(0.0f) - x), a, b);
}

// P(r) with e^r = 1 + r + r^2 P(r) for |r| <= ln 2 / 2, of degree 4.
template <class Real>
RESMC_FN Real exp_near_zero(Real r) {
    Real p = fma(r, Real(0.001382073387503624f), Real(0.008368677459657192f));
    p = fma(r, p, Real(0.04166826605796814f));
    p = fma(r, p, Real(0.1666652113199234f));
    return fma(r, p, Real(0.4999999403953552f));
}

// e^(x + y) for x + y <= 0, -inf included; 0 below -87. y is what x was rounded by: at most 1/1000 of it, or 0.
//
// x + y = k ln 2 + r, |r| <= ln 2 / 2: k is rounded by an addition that leaves it in the lowest bits, and goes to the
// exponent from there. ln 2 is cut into 355/512, whose product with k is exact, and the rest.
// e^r = 1 + r + r^2 P(r): 4e-9, 8.4e-8, 8.1e-8.
template <class Real>
RESMC_FN Real exp_negative(Real x, Real y = Real(0.0f)) {
    const Real clamped = max(x, Real(-87.5f));
    const Real shifted = fma(clamped + y, Real(1.4426950408889634f), Real(0x1.8p23f));
    const Real k = shifted - Real(0x1.8p23f);
    const Real r = fma(k, Real(2.12194440e-4f), fma(k, Real(-0.693359375f), clamped)) + y;
    const Real small = fma(r * r, exp_near_zero(r), r) + Real(1.0f);
    return select_less(x + y, -87.0f, Real(0.0f), as_real(as_word(small) + (as_word(shifted) << 23)));
}
// The same in fewer steps where only 1 +- e^x is asked for: the same bits above -80, and no 0 below, but e^-80.
template <class Real>
RESMC_FN Real exp_beside_one(Real x) {
    const Real clamped = max(x, Real(-80.0f));
    const Real shifted = fma(clamped, Real(1.4426950408889634f), Real(0x1.8p23f));
    const Real k = shifted - Real(0x1.8p23f);
    const Real r = fma(k, Real(2.12194440e-4f), fma(k, Real(-0.693359375f), clamped));
    const Real small = fma(r * r, exp_near_zero(r), r) + Real(1.0f);
    return as_real(as_word(small) + (as_word(shifted) << 23));
}

// ln(1 + x) = x + x^2 Q(x) for 0 <= x <= 1, Q of degree 7: 4e-8, 1.3e-7, 1.6e-7.
template <class Real>
RESMC_FN Real log1p_unit(Real x) {
    Real q = fma(x, Real(0.005365422461181879f), Real(-0.030068300664424896f));
    q = fma(x, q, Real(0.07920882850885391f));
    q = fma(x, q, Real(-0.13754187524318695f));
    q = fma(x, q, Real(0.1915384829044342f));
    q = fma(x, q, Real(-0.24857217073440552f));
    q = fma(x, q, Real(0.33321329951286316f));
    q = fma(x, q, Real(-0.49999648332595825f));
    return fma(x * x, q, x);
}

// P(u^2) with tanh u = u + u^3 P(u^2) for |u| <= 1/2, of degree 3. Of tanh: 1.6e-8, 7.5e-8, 7.6e-8.
template <class Real>
RESMC_FN Real tanh_near_zero(Real square) {
    Real p = fma(square, Real(0.01724044419825077f), Real(-0.053044985979795456f));
    p = fma(square, p, Real(0.13325871527194977f));
    return fma(square, p, Real(-0.333331435918808f));
}

// P(u^2) with 2 ln cosh(u/2) = u^2 P(u^2) for |u| <= 1, of degree 3. It moves u + 2 ln cosh(u/2) by 1.6e-8.
template <class Real>
RESMC_FN Real log_cosh_near_zero(Real square) {
    Real p = fma(square, Real(-4.412281123222783e-05f), Real(0.0006881842273287475f));
    p = fma(square, p, Real(-0.010414925403892994f));
    return fma(square, p, Real(0.24999986588954926f));
}

// erf(u)/u = P(u^2) for |u| <= 1, of degree 6: 1.2e-9, 1.9e-7, 1.9e-7.
template <class Real>
RESMC_FN Real erf_near_zero(Real square) {
    Real p = fma(square, Real(7.853861461626366e-05f), Real(-0.0008010193705558777f));
    p = fma(square, p, Real(0.005188327748328447f));
    p = fma(square, p, Real(-0.026853812858462334f));
    p = fma(square, p, Real(0.1128358542919159f));
    p = fma(square, p, Real(-0.3761262595653534f));
    return fma(square, p, Real(1.1283791065216064f));
}

// e^(-a^2/2) for 0 <= a < 2^60, as exactly as a is: its leading 12 bits have an exact square: 9.6e-8.
template <class Real>
RESMC_FN Real exp_half_square(Real a) {
    const Real leading = as_real(as_word(a) & 0xFFFFF000u);
    const Real rest = a - leading;
    return exp_negative(Real(-0.5f) * leading * leading, Real(-0.5f) * rest * (a + leading));
}

// e^(a^2/2) (1 - Phi(a)) for 0 <= a <= 13.3, Phi the normal law's distribution function: 1/2 at 0, and 1/(a sqrt(2 pi))
// far out. A quotient of polynomials without a negative coefficient, so no term cancels another: 1.6e-8,
// 3.4e-7, 4.3e-7, near 0 less: the last term of either is exact.
template <class Real>
RESMC_FN Real scaled_normal_tail(Real a) {
    Real p = fma(a, Real(0.003994012717157602f), Real(0.03980866074562073f));
    p = fma(a, p, Real(0.18078511953353882f));
    p = fma(a, p, Real(0.43498021364212036f));
    p = fma(a, p, Real(0.5f));
    Real q = fma(a, Real(0.010011356323957443f), Real(0.09979314357042313f));
    q = fma(a, q, Real(0.46300289034843445f));
    q = fma(a, q, Real(1.192314624786377f));
    q = fma(a, q, Real(1.6678452491760254f));
    q = fma(a, q, Real(1.0f));
    return p / q;
}

RESMC_NAMESPACE_END
