// The activations. Those of LNR's networks are compile-time policies: phi(z, word, k) of neuron k (0..3) of a quad
// whose draw gave `word` (w1 for neurons 0 and 1, w3 for 2 and 3), and the sign bit flip(word, k) that it turns in z.
//
//   Relu           phi(z) = max(z, 0)
//   Balanced       phi(z) = max(s z, 0), s = -1 where bit 0 (neurons 0, 2) or bit 1 (neurons 1, 3) of the word is set
//   BalancedHalf   the same with s of neurons 1, 3 opposite to that of 0, 2: exactly half of all signs are plus
//
// `activate` has all of resmc/models/activations.py, with their slopes, chosen while the kernel runs.
#pragma once

#include "activation_table.hpp"
#include "description.hpp"
#include "elementary.hpp"

RESMC_NAMESPACE_BEGIN

struct Relu {
    static constexpr bool has_signs = false;
    template <int k, class Word>
    static RESMC_FN Word flip(Word) {
        return Word(0u);
    }
    template <int k, class Real, class Word>
    static RESMC_FN Real phi(Real z, Word) {
        return max(z, Real(0.0f));
    }
};

struct Balanced {
    static constexpr bool has_signs = true;
    template <int k, class Word>
    static RESMC_FN Word flip(Word w) {
        return k % 2 == 0 ? w << 31 : (w << 30) & 0x80000000u;
    }
    template <int k, class Real, class Word>
    static RESMC_FN Real phi(Real z, Word w) {
        return max(as_real(as_word(z) ^ flip<k>(w)), Real(0.0f));
    }
};

struct BalancedHalf {
    static constexpr bool has_signs = true;
    template <int k, class Word>
    static RESMC_FN Word flip(Word w) {
        return k % 2 == 0 ? w << 31 : (w << 31) ^ 0x80000000u;
    }
    template <int k, class Real, class Word>
    static RESMC_FN Real phi(Real z, Word w) {
        return max(as_real(as_word(z) ^ flip<k>(w)), Real(0.0f));
    }
};

// ---- one neuron: value = sigma(c x) / c and slope = sigma'(c x) -----------------------------------------------------
//
// |c x| < 2^81, so its square may be infinite; what comes of that is not selected. sigma(c x) / c is made of x itself
// where it is near a multiple of x, so that nothing is lost where c x would be too small for a float.

// |c x|, or 2^-50 where it is less: for all of them as good as 0, and what would be subnormal is slow on CPUs.
template <class Real>
RESMC_FN Real size_of(Real u) {
    return max(magnitude(u), Real(0x1p-50f));
}

// tanh u = (1 - t) / (1 + t), t = e^(-2u); cosh^-2 u = 4t / (1 + t)^2
template <class Real>
RESMC_FN void activate_tanh(Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real size = size_of(c * x), square = size * size;
    const Real t = exp_negative(Real(-2.0f) * size);
    const Real q = Real(1.0f) / (Real(1.0f) + t);
    const Real far = (Real(1.0f) - t) * q * inverse_c;
    value = select_less(size, 0.5f, fma(x * square, tanh_near_zero(square), x), with_sign(far, x));
    slope = Real(4.0f) * t * q * q;
}

// The value alone, in the same bits.
template <class Real>
RESMC_FN Real tanh_value(Real c, Real inverse_c, Real x) {
    const Real size = size_of(c * x), square = size * size;
    const Real t = exp_beside_one(Real(-2.0f) * size);
    const Real far = (Real(1.0f) - t) * (Real(1.0f) / (Real(1.0f) + t)) * inverse_c;
    return select_less(size, 0.5f, fma(x * square, tanh_near_zero(square), x), with_sign(far, x));
}

// 1 / (1 + t), or t / (1 + t) below 0, t = e^-|u|; slope t / (1 + t)^2
template <class Real>
RESMC_FN void activate_sigmoid(Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real u = c * x;
    const Real t = exp_negative(Real(0.0f) - size_of(u));
    const Real q = Real(1.0f) / (Real(1.0f) + t);
    const Real tq = t * q;
    value = select_negative(as_word(u), tq, q) * inverse_c;
    slope = tq * q;
}

// u Phi(u); slope Phi(u) + u phi(u), phi the normal density. Beyond 14 the tail is 0.
template <class Real>
RESMC_FN void activate_gelu(Real c, Real x, Real& value, Real& slope) {
    const Real u = c * x, size = size_of(u);
    const Real a = select_less(size, 14.0f, size, Real(14.0f));
    const Real e = exp_half_square(a);
    const Real tail = e * scaled_normal_tail(a);
    const Real below = select_negative(as_word(u), tail, Real(1.0f) - tail);
    value = x * below;
    slope = fma(with_sign(a, u), e * Real(0.3989422804014327f), below);
}

// u sigmoid(u); slope sigmoid(u) + u sigmoid'(u)
template <class Real>
RESMC_FN void activate_silu(Real c, Real x, Real& value, Real& slope) {
    const Real u = c * x;
    const Real t = exp_negative(Real(0.0f) - size_of(u));
    const Real q = Real(1.0f) / (Real(1.0f) + t);
    const Real tq = t * q, sigmoid = select_negative(as_word(u), tq, q);
    value = x * sigmoid;
    slope = fma(u, tq * q, sigmoid);
}

// u + 2 ln cosh(u/2) near 0, else 2 max(u, 0) - 2 ln 2 + 2 ln(1 + t), t = e^-|u|; slope 2 sigmoid
template <class Real>
RESMC_FN void activate_softplus(Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real u = c * x, size = size_of(u), square = size * size;
    const Real t = exp_negative(Real(0.0f) - size);
    const Real q = Real(1.0f) / (Real(1.0f) + t);
    const Real rest = fma(Real(2.0f), log1p_unit(t), Real(-1.3862943611198906f));
    const Real far = fma(Real(2.0f), max(x, Real(0.0f)), rest * inverse_c);
    value = select_less(size, 1.0f, fma(size * magnitude(x), log_cosh_near_zero(square), x), far);
    slope = Real(2.0f) * select_negative(as_word(u), t * q, q);
}

// Of slopes `above` and `below` on either side of 0.
template <class Real>
RESMC_FN void activate_kinked(Real above, Real below, Real x, Real& value, Real& slope) {
    slope = select_positive(x, above, below);
    value = slope * x;
}

// above u for u > 0, else below (e^u - 1); slope above, or below e^u
template <class Real>
RESMC_FN void activate_elu(Real above, Real below, Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real size = size_of(c * x), u = Real(0.0f) - size;
    const Real t = exp_negative(u);
    const Real rest = select_less(size, 0.34f, fma(x * u, exp_near_zero(u), x), (t - Real(1.0f)) * inverse_c);
    value = select_positive(x, above * x, below * rest);
    slope = select_positive(x, above, below * t);
}

// u w, w = tanh ln(1 + e^u) = N/D: with t = e^-|u|, N = 1 + 2t and D = N + 2 t^2 above 0, else N = t (2 + t) and
// D = N + 2; slope w + u w', w' = 4 t (1 + t)/D^2, times t above 0
template <class Real>
RESMC_FN void activate_mish(Real c, Real x, Real& value, Real& slope) {
    const Real one(1.0f), two(2.0f), u = c * x;
    const Real t = exp_negative(Real(0.0f) - size_of(u));
    const Real n = select_negative(as_word(u), t * (two + t), one + two * t);
    const Real q = one / (n + two * select_negative(as_word(u), one, t * t));
    const Real w = n * q, tq = t * q;
    value = x * w;
    slope = fma(u, Real(4.0f) * tq * (one + t) * q * select_negative(as_word(u), one, t), w);
}

// Of slope 2/sqrt(pi) e^(-u^2). 1 - erf(u) = 2 (1 - Phi(a)), a = sqrt(2) u.
template <class Real>
RESMC_FN void activate_erf(Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real size = size_of(c * x), near = select_less(size, 1.0f, size, Real(1.0f));
    const Real root_two = Real(1.4142135623730951f);
    const Real a = select_less(size, 9.4f, size * root_two, Real(13.3f));
    const Real e = exp_half_square(a);
    const Real far = (Real(1.0f) - Real(2.0f) * e * scaled_normal_tail(a)) * inverse_c;
    value = select_less(size, 1.0f, x * erf_near_zero(near * near), with_sign(far, x));
    slope = Real(1.1283791670955126f) * e;
}

// Between -1 and 1 u itself, beyond them these.
template <class Real>
RESMC_FN void activate_hard_tanh(Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real zero(0.0f), one(1.0f), u = c * x;
    value = with_sign(select_less(magnitude(u), 1.0f, magnitude(x), inverse_c), x);
    slope = select_positive(u + one, select_positive(u - one, zero, one), zero);
}

// u/(1 + e^-z), z = 2 sqrt(2/pi) (u + 0.044715 u^3); slope 1/(1 + e^-z) + u z' e^-z/(1 + e^-z)^2. Beyond 14 e^-|z| is
// 0.
template <class Real>
RESMC_FN void activate_gelu_tanh(Real c, Real x, Real& value, Real& slope) {
    const Real one(1.0f), u = c * x, size = size_of(u);
    const Real a = select_less(size, 14.0f, size, Real(14.0f)), square = a * a;
    const Real z = a * fma(square, Real(0.07135481627159862f), Real(1.5957691216057308f));
    const Real t = exp_negative(Real(0.0f) - z);
    const Real q = one / (one + t), tq = t * q;
    const Real below = select_negative(as_word(u), tq, q);
    value = x * below;
    const Real rate = fma(square, Real(0.21406444881479585f), Real(1.5957691216057308f));
    slope = fma(with_sign(a, u) * rate, tq * q, below);
}

// max(u, 0) + ln(1 + t), t = e^-|u|; slope sigmoid
template <class Real>
RESMC_FN void activate_whole_softplus(Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    const Real u = c * x;
    const Real t = exp_negative(Real(0.0f) - size_of(u));
    const Real q = Real(1.0f) / (Real(1.0f) + t);
    value = fma(log1p_unit(t), inverse_c, max(x, Real(0.0f)));
    slope = select_negative(as_word(u), t * q, q);
}

// Those of which a GPU makes one neuron after another: side by side they would need more registers than there are.
template <class Real>
RESMC_FN void activate_one(const Sigma& sigma, Real c, Real inverse_c, Real x, Real& value, Real& slope) {
    switch (sigma.kind) {
        case ACTIVATION_ELU:
        case ACTIVATION_SELU:
            activate_elu(Real(sigma.above), Real(sigma.below), c, inverse_c, x, value, slope);
            break;
        case ACTIVATION_MISH:
            activate_mish(c, x, value, slope);
            break;
        case ACTIVATION_ERF:
            activate_erf(c, inverse_c, x, value, slope);
            break;
        case ACTIVATION_HARD_TANH:
            activate_hard_tanh(c, inverse_c, x, value, slope);
            break;
        case ACTIVATION_GELU_TANH:
            activate_gelu_tanh(c, x, value, slope);
            break;
        case ACTIVATION_SOFTPLUS:
            activate_whole_softplus(c, inverse_c, x, value, slope);
            break;
        default:  // ACTIVATION_TABLE
            activate_table(sigma.table, c, inverse_c, x, value, slope);
    }
}

// ---- a quad ---------------------------------------------------------------------------------------------------------

// A rectifier fires where its value is positive, and then its slope is the sign of x.
template <class Policy, class Real, class Word>
RESMC_FN void rectify(const Real (&x)[4], Word w1, Word w3, Real (&value)[4], Real (&slope)[4]) {
    value[0] = Policy::template phi<0>(x[0], w1);
    value[1] = Policy::template phi<1>(x[1], w1);
    value[2] = Policy::template phi<2>(x[2], w3);
    value[3] = Policy::template phi<3>(x[3], w3);
    RESMC_UNROLL_DEVICE(4)
    for (int k = 0; k < 4; ++k) slope[k] = select_positive(value[k], with_sign(Real(1.0f), x[k]), Real(0.0f));
}

// The four neurons of a quad whose draw gave w1 and w3: value[k] = sigma(c x[k]) / c, slope[k] = sigma'(c x[k]).
//
// `sigma` is the same for all networks. c is the scale in which a network that cannot be rescaled
// keeps its x, a power of two from 2^-60 to 2^60; inverse_c is 1/c; |x| is below 2^21. Homogeneous activations need
// neither. value and slope are other arrays than x. Errors against resmc/models/activations.py, which
// tests/test_activations.py holds: values by 4e-7 of themselves (gelu below -2 by 6e-7), where they are above 2e-38/c
// (silu, mish: 2e-38 |x|), of gelu_tanh below 0 by 4e-7 (1 + u^2), of a table as activation_table.py says; slopes by
// 5e-7 of the steepest one where that is above 1.
template <class Real, class Word>
RESMC_FN void activate_quad(const Sigma& sigma, Real c, Real inverse_c, const Real (&x)[4], Word w1, Word w3,
                            Real (&value)[4], Real (&slope)[4]) {
    const Real one(1.0f);
    switch (sigma.kind) {
        case ACTIVATION_RELU:
            rectify<Relu>(x, w1, w3, value, slope);
            break;
        case ACTIVATION_BALANCED:
            rectify<Balanced>(x, w1, w3, value, slope);
            break;
        case ACTIVATION_BALANCED_HALF:
            rectify<BalancedHalf>(x, w1, w3, value, slope);
            break;
        case ACTIVATION_LEAKY_RELU:
        case ACTIVATION_SHAPED_RELU:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_kinked(Real(sigma.above), Real(sigma.below), x[k], value[k], slope[k]);
            break;
        case ACTIVATION_TANH:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_tanh(c, inverse_c, x[k], value[k], slope[k]);
            break;
        case ACTIVATION_SIGMOID:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_sigmoid(c, inverse_c, x[k], value[k], slope[k]);
            break;
        case ACTIVATION_GELU:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_gelu(c, x[k], value[k], slope[k]);
            break;
        case ACTIVATION_CENTRED_SOFTPLUS:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_softplus(c, inverse_c, x[k], value[k], slope[k]);
            break;
        case ACTIVATION_SILU:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_silu(c, x[k], value[k], slope[k]);
            break;
        case ACTIVATION_LINEAR:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) value[k] = x[k], slope[k] = one;
            break;
        default:
            RESMC_UNROLL_DEVICE(4)
            for (int k = 0; k < 4; ++k) activate_one(sigma, c, inverse_c, x[k], value[k], slope[k]);
    }
}
template <class Real, class Word>
RESMC_OUTLINE_FN void activate(const Sigma& sigma, Real c, Real inverse_c, const Real (&x)[4], Word w1, Word w3,
                               Real (&value)[4], Real (&slope)[4]) {
    activate_quad(sigma, c, inverse_c, x, w1, w3, value, slope);
}
// The values alone.
template <class Real, class Word>
RESMC_OUTLINE_FN void activate_values(const Sigma& sigma, Real c, Real inverse_c, const Real (&x)[4], Word w1, Word w3,
                                      Real (&value)[4]) {
    if (sigma.kind == ACTIVATION_TANH) {
        for (int k = 0; k < 4; ++k) value[k] = tanh_value(c, inverse_c, x[k]);
        return;
    }
    Real slope[4];
    activate_quad(sigma, c, inverse_c, x, w1, w3, value, slope);
}

RESMC_NAMESPACE_END
