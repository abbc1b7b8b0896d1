// The sums and coefficients that carry a network from one layer to the next.
//
// The kernels keep z times a power of two of their own choosing and count that power in an integer: rescaling is
// exact, and no depth overflows.
#pragma once

#include "description.hpp"
#include "target.hpp"

RESMC_NAMESPACE_BEGIN

// |z|^2, |phi(z)|^2 and #{phi(z) > 0} of one layer, in the units of the stored z. Like all sums over neurons it can be
// gone through: each(f, a, b, ..) calls f with the same field of all, field after field.
template <class Real, class Count>
struct Sums {
    Real square, active_square;
    Count active;

    template <class F, class... S>
    static RESMC_FN void each(F f, S&... s) {
        f(s.square...);
        f(s.active_square...);
        f(s.active...);
    }
};

template <class Sum>
RESMC_FN void add(Sum& a, const Sum& b) {
    Sum::each([](auto& x, const auto& y) RESMC_LAMBDA { x = x + y; }, a, b);
}

// z_l, or h_l, as a whole: its sums, in units of 2^exponent. Those of sigma(h_l) are there for phi-in alone.
template <class Real, class Word, class Count>
struct LayerState {
    Sums<Real, Count> sums;
    Word exponent;
    Real factor = Real(1.0f);  // of the N that has made h_l, where one has
};

// The same as a quad, which vectors keep behind their neurons', and back.
template <class Real, class Word, class Count>
RESMC_FN void to_quad(const LayerState<Real, Word, Count>& layer, Real (&x)[4]) {
    x[0] = layer.sums.square;
    x[1] = layer.sums.active_square;
    x[2] = as_real(layer.sums.active);
    x[3] = as_real(layer.exponent);
}
template <class Real, class Word, class Count>
RESMC_FN void from_quad(const Real (&x)[4], LayerState<Real, Word, Count>& layer) {
    layer = {{x[0], x[1], as_word(x[2])}, as_word(x[3])};
}

// z_{l+1} = carry z_l + step (what the branch gives), in new units: stored z times 2^exponent is the true z.
template <class Real>
struct Coefficients {
    Real carry, step;
};

// How far the units go so that a stored square lies in [1, 4): floor(log2 square) / 2 from the float's exponent. A
// square of 0 keeps its units.
template <class Word, class Real>
RESMC_FN Word shift_of(Real square) {
    const Word half = sar((as_word(square) >> 23) - Word(127u), 1);
    return select_zero(as_word(square), Word(0u), half);
}

// 2^-shift, for shifts that floats allow.
template <class Word>
RESMC_FN auto down(Word shift) {
    return as_real((Word(127u) - shift) << 23);
}

// Chooses the next units so that the stored |z|^2 lies in [1, 4) before the step, and the coefficients that go there.
// `branch` multiplies step: |phi(z)| for the projected method, 1 for explicit weights.
template <class Real, class Word, class Count>
RESMC_FN Coefficients<Real> next_coefficients(const Network& net, const Sums<Real, Count>& sums, Real branch,
                                              Word& exponent) {
    const Word shift = shift_of<Word>(sums.square);
    const Real scale = down(shift);
    const Word inactive = as_word(sums.active_square);  // 0 exactly when no neuron fires
    const Real carry = select_zero(inactive, Real(net.carry_mantissa), Real(net.carry));
    exponent = exponent + shift + select_zero(inactive, Word(static_cast<uint32_t>(net.carry_exponent)), Word(0u));
    return {carry * scale, Real(net.step) * branch * scale};
}

RESMC_NAMESPACE_END
