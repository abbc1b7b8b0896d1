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
    s.scale = net.homogeneous ? ActivationScale<Real>{Real(1.0f), Real(1.0f)} : scale_of_unit(larger);
    return s;
}

// ---- one neuron -----------------------------------------------------------------------------------------------------

// Of slopes `above` and `below` on either side of 0. x is seen in d's units as `near`; there it may be infinite, and
// nothing is made of it then.
template <class Real>
RESMC_FN void kinked_difference(Real above, Real below, Real x, Real near, Real d, Real& difference, Real& slope) {
    const Real there = fma(x, near, d);
    const Real before = select_positive(x, above, below);
    slope = select_positive(there, above, below);
    difference = select_zero(as_word(before) ^ as_word(slope), slope * d, slope * there - before * (x * near));
}

// A rectifier whose neuron has the sign bit `flip`.
template <class Real, class Word>
RESMC_FN void rectified_difference(Word flip, Real x, Real near, Real d, Real& difference, Real& slope) {
    kinked_difference(Real(1.0f), Real(0.0f), as_real(as_word(x) ^ flip), near, as_real(as_word(d) ^ flip), difference,
                      slope);
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

//
// With `kink` sigma(0) is 0 and sigma bends there: values on either side of it are subtracted however close they are,
// as a value of the size of d is.
template <class Real, class Word>
RESMC_FN void smooth_differences(const Sigma& sigma, bool kink, const DifferenceScale<Real>& s, const Real (&x)[4],
                                 const Real (&value)[4], const Real (&slope)[4], const Real (&d)[4], Word w1, Word w3,
                                 Real (&difference)[4], Real (&slope_there)[4]) {
    Real half[4], there[4], value_there[4], slope_half[4];
    for (int k = 0; k < 4; ++k) {
        const Real at = x[k] * s.x_in;
        half[k] = fma(d[k], Real(0.5f) * s.d_in, at);
        there[k] = fma(d[k], s.d_in, at);
    }
    activate(sigma, s.scale.c, s.scale.inverse, half, w1, w3, value_there, slope_half);
    activate(sigma, s.scale.c, s.scale.inverse, there, w1, w3, value_there, slope_there);
    for (int k = 0; k < 4; ++k) {
        const Real mean = (slope[k] + Real(4.0f) * slope_half[k] + slope_there[k]) * Real(1.0f / 6.0f);
        const Real apart = magnitude(d[k] * s.d_in * s.scale.c);
        const Real far = (value_there[k] - value[k] * s.x_in) * s.back;
        difference[k] = select_less(apart, NEAR_POINTS, d[k] * mean, far);
        if (kink) difference[k] = select_negative(as_word(x[k]) ^ as_word(there[k]), far, difference[k]);
    }
}

// Of x cut to +-1. With the cut x and what was cut off, x + d is (what was cut off) + d away from the cut x, and its
// own cut cannot leave +-1: nothing cancels, as what was cut off is 0 unless the cut x is an end.
template <class Real>
RESMC_FN void hard_tanh_difference(const DifferenceScale<Real>& s, Real x, Real d, Real& difference, Real& slope) {
    const Real zero(0.0f), one(1.0f), end = s.scale.inverse, from = x * s.x_in, size = magnitude(from);
    const Real cut = with_sign(select_negative(as_word(size - end), size, end), from);
    const Real moved = fma(from - cut, s.back, d);
    const Real up = (end - cut) * s.back, down = (end + cut) * s.back;  // room on either side
    difference = max(zero - max(zero - moved, zero - up), zero - down);
    slope = select_positive(moved + down, select_positive(moved - up, zero, one), zero);
}

// The slope of a table between two places of a cell, cell.d and `to`: of a cubic it is a polynomial of both.
template <class Real, class Word>
RESMC_FN Real slope_between(const TableCell<Real, Word>& cell, Real to) {
    const Real sum = cell.d + to;
    return fma(fma(sum, sum, Real(0.0f) - cell.d * to), cell.a[3], fma(sum, cell.a[2], cell.a[1]));
}

// Within a cell the difference is d times the slope between x and x + d. Where they are in two cells that are less than
// a cell's width apart, the way is cut at the place where these meet: at 0, at a kink, or at the node that is farther
// out. Else values are subtracted, by their parts.
template <class Real>
RESMC_FN void table_difference(const Table& table, const DifferenceScale<Real>& s, Real x, Real d, Real& difference,
                               Real& slope) {
    using Word = decltype(as_word(x));
    const Real c = s.scale.c, inverse = s.scale.inverse, plus(1.0f), minus(-1.0f);
    const Real from = x * s.x_in, way = d * s.d_in, there = from + way;
    const auto one = table_cell(table, c, inverse, from), other = table_cell(table, c, inverse, there);
    const Real outward = select_positive(from, plus, minus), outward_there = select_positive(there, plus, minus);
    const Real bend = fma(Real(3.0f) * other.d, other.a[3], Real(2.0f) * other.a[2]);
    slope = outward_there * fma(other.d, bend, other.a[1]);

    Real place = max(one.node, other.node);
    for (uint32_t k = 0; k < max_kinks(table); ++k) {
        const Real kink = select_positive(from, Real(table.at[k]), Real(table.at[MOST_KINKS + k]));
        const Word between = as_word(magnitude(c * from) - kink) ^ as_word(magnitude(c * there) - kink);
        place = select_negative(between, kink, place);
    }
    place = select_negative(as_word(outward) ^ as_word(outward_there), Real(0.0f), place);
    const Real p = place - one.node, q = place - other.node;
    const Real leaves = p * inverse - one.in_units_of_x;  // outwards
    const Real enters = outward_there * (way - outward * leaves);
    const Real cut = leaves * slope_between(one, p) + enters * slope_between(other, q);
    const Real parts = fma(other.in_units_of_x, secant_of_cell(other), (other.a[0] - one.a[0]) * inverse) -
                       one.in_units_of_x * secant_of_cell(one);
    const Real width = Real(1.0f / static_cast<float>(1u << table.fine));
    const Real apart = select_negative(as_word(magnitude(c * way) - width), cut, parts);
    difference = select_zero(one.number ^ other.number, d * outward * slope_between(one, other.d), apart * s.back);
}

// ---- a quad ---------------------------------------------------------------------------------------------------------

// Of the four neurons of a quad with entries x, where the activation has `value` and `slope`; other arguments as
// `activate` has them.
template <class Real, class Word>
RESMC_OUTLINE_FN void activate_difference(const Sigma& sigma, const DifferenceScale<Real>& s, const Real (&x)[4],
                                          const Real (&value)[4], const Real (&slope)[4], const Real (&d)[4], Word w1,
                                          Word w3, Real (&difference)[4], Real (&slope_there)[4]) {
    switch (sigma.kind) {
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
        case ACTIVATION_SHAPED_RELU:
            for (int k = 0; k < 4; ++k)
                kinked_difference(Real(sigma.above), Real(sigma.below), x[k], s.near, d[k], difference[k],
                                  slope_there[k]);
            break;
        case ACTIVATION_HARD_TANH:
            for (int k = 0; k < 4; ++k) hard_tanh_difference(s, x[k], d[k], difference[k], slope_there[k]);
            break;
        case ACTIVATION_TABLE:
            for (int k = 0; k < 4; ++k) table_difference(sigma.table, s, x[k], d[k], difference[k], slope_there[k]);
            break;
        case ACTIVATION_LINEAR:
            for (int k = 0; k < 4; ++k) difference[k] = d[k], slope_there[k] = Real(1.0f);
            break;
        default:
            smooth_differences(sigma, sigma.kind == ACTIVATION_ELU || sigma.kind == ACTIVATION_SELU, s, x, value, slope,
                               d, w1, w3, difference, slope_there);
    }
}

RESMC_NAMESPACE_END
