// Differences of activations, sigma(x + d) - sigma(x), with the digits of d however small that is beside x, and the
// slopes at x + d.
//
// x and d each have units of their own, powers of two; the difference has those of d.
#pragma once

#include "activation.hpp"
#include "residual_step.hpp"

RESMC_NAMESPACE_BEGIN

// How x, in units of 2^e, and d, in units of 2^f, meet. `near` = 2^(e - f) brings x to d's units, for what is piecewise
// linear. Smooth functions see both in the larger one of the units, c and inverse being its scale (activation_scale):
// x_in and d_in bring them there, and `back` what comes out to d's units.
template <class Real>
struct DifferenceScale {
    Real near, x_in, d_in, back;
    ActivationScale<Real> scale;
};

template <class Word>
RESMC_FN auto difference_scale(const Residual& net, Word x_exponent, Word d_exponent) {
    using Real = decltype(as_real(x_exponent));
    const Word apart = d_exponent - x_exponent;
    const Word larger = as_word(select_negative(apart, as_real(x_exponent), as_real(d_exponent)));
    DifferenceScale<Real> s;
    s.near = power_of_two_real(x_exponent - d_exponent);
    s.x_in = power_of_two_real(x_exponent - larger);
    s.d_in = power_of_two_real(d_exponent - larger);
    s.back = power_of_two_real(larger - d_exponent);
    s.scale = activation_scale(net, larger);
    return s;
}

// ---- one neuron -----------------------------------------------------------------------------------------------------

// Of slope 1 above 0 and `leak` below. x is seen in d's units as `near`; there it may be infinite, and nothing is made
// of it then.
template <class Real>
RESMC_FN void kinked_difference(Real leak, Real x, Real near, Real d, Real& difference, Real& slope) {
    const Real one(1.0f), there = fma(x, near, d);
    const Real before = select_positive(x, one, leak);
    slope = select_positive(there, one, leak);
    difference = select_zero(as_word(before) ^ as_word(slope), slope * d, slope * there - before * (x * near));
}

// A rectifier whose neuron has the sign bit `flip`.
template <class Real, class Word>
RESMC_FN void rectified_difference(Word flip, Real x, Real near, Real d, Real& difference, Real& slope) {
    kinked_difference(Real(0.0f), as_real(as_word(x) ^ flip), near, as_real(as_word(d) ^ flip), difference, slope);
    slope = as_real(as_word(slope) ^ flip);
}

template <class Policy, class Real, class Word>
RESMC_FN void rectified_differences(const Real (&x)[4], Real near, const Real (&d)[4], Word w1, Word w3,
                                    Real (&difference)[4], Real (&slope)[4]) {
    rectified_difference(Policy::template flip<0>(w1), x[0], near, d[0], difference[0], slope[0]);
    rectified_difference(Policy::template flip<1>(w1), x[1], near, d[1], difference[1], slope[1]);
    rectified_difference(Policy::template flip<2>(w3), x[2], near, d[2], difference[2], slope[2]);
    rectified_difference(Policy::template flip<3>(w3), x[3], near, d[3], difference[3], slope[3]);
}

// Points of a smooth activation that are closer than this are subtracted by the mean of its slope between them, by
// Simpson's rule: its error is 16 |d|^4/2880 of the difference at most, that of a subtraction 4e-7/|d| of it.
constexpr float NEAR_POINTS = 0.125f;

template <class Real, class Word>
RESMC_FN void smooth_differences(int kind, const DifferenceScale<Real>& s, const Real (&x)[4], const Real (&value)[4],
                                 const Real (&slope)[4], const Real (&d)[4], Word w1, Word w3, Real (&difference)[4],
                                 Real (&slope_there)[4]) {
    Real half[4], there[4], value_there[4], slope_half[4];
    for (int k = 0; k < 4; ++k) {
        const Real at = x[k] * s.x_in;
        half[k] = fma(d[k], Real(0.5f) * s.d_in, at);
        there[k] = fma(d[k], s.d_in, at);
    }
    activate(kind, s.scale.c, s.scale.inverse, half, w1, w3, value_there, slope_half);
    activate(kind, s.scale.c, s.scale.inverse, there, w1, w3, value_there, slope_there);
    for (int k = 0; k < 4; ++k) {
        const Real mean = (slope[k] + Real(4.0f) * slope_half[k] + slope_there[k]) * Real(1.0f / 6.0f);
        const Real apart = magnitude(d[k] * s.d_in * s.scale.c);
        difference[k] = select_less(apart, NEAR_POINTS, d[k] * mean, (value_there[k] - value[k] * s.x_in) * s.back);
    }
}

// ---- a quad ---------------------------------------------------------------------------------------------------------

// Of the four neurons of a quad with entries x, where the activation has `value` and `slope`; other arguments as
// `activate` has them.
template <class Real, class Word>
RESMC_OUTLINE_FN void activate_difference(int kind, const DifferenceScale<Real>& s, const Real (&x)[4],
                                          const Real (&value)[4], const Real (&slope)[4], const Real (&d)[4], Word w1,
                                          Word w3, Real (&difference)[4], Real (&slope_there)[4]) {
    switch (kind) {
        case ACTIVATION_RELU:
            rectified_differences<Relu>(x, s.near, d, w1, w3, difference, slope_there);
            break;
        case ACTIVATION_BALANCED:
            rectified_differences<Balanced>(x, s.near, d, w1, w3, difference, slope_there);
            break;
        case ACTIVATION_BALANCED_HALF:
            rectified_differences<BalancedHalf>(x, s.near, d, w1, w3, difference, slope_there);
            break;
        case ACTIVATION_LEAKY_RELU:
            for (int k = 0; k < 4; ++k)
                kinked_difference(Real(0.01f), x[k], s.near, d[k], difference[k], slope_there[k]);
            break;
        case ACTIVATION_LINEAR:
            for (int k = 0; k < 4; ++k) difference[k] = d[k], slope_there[k] = Real(1.0f);
            break;
        default:
            smooth_differences(kind, s, x, value, slope, d, w1, w3, difference, slope_there);
    }
}

RESMC_NAMESPACE_END
