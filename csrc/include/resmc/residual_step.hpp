// What one layer of a residual network is made with: sums over its neurons, units, and the step to the next layer, in
// either direction. residual.hpp goes through the layers.
#pragma once

#include "activation.hpp"
#include "network.hpp"

RESMC_NAMESPACE_BEGIN

// Whether neurons have random signs.
RESMC_FN constexpr bool is_signed(const Sigma& activation) {
    return activation.kind == ACTIVATION_BALANCED || activation.kind == ACTIVATION_BALANCED_HALF;
}

// Sums over neurons of the end of a layer of the forward pass.
template <class Real, class Count>
struct ForwardSums {
    Real square, active_square;  // |h|^2; for phi-in |sigma(h)|^2
    Real change_square;          // |h - h_0|^2 where it is followed, in its units
    Count active;                // for phi-in #{sigma(h) > 0}

    template <class F, class... S>
    static RESMC_FN void each(F f, S&... s) {
        f(s.square...);
        f(s.active_square...);
        f(s.change_square...);
        f(s.active...);
    }
};

// Of the backward pass.
template <class Real>
struct BackwardSums {
    Real square, change_square;  // |p|^2, |p - p_L|^2
    Real overlap;                // p . h

    template <class F, class... S>
    static RESMC_FN void each(F f, S&... s) {
        f(s.square...);
        f(s.change_square...);
        f(s.overlap...);
    }
};

// |x|^2 of any vector.
template <class Real>
struct SquareSum {
    Real square;

    template <class F, class... S>
    static RESMC_FN void each(F f, S&... s) {
        f(s.square...);
    }
};

// |v|^2 in units of 2^(2 exponent).
template <class Real, class Word>
struct Size {
    Real square;
    Word exponent;
};

// min(max(e, -126), 127) of a signed word, as 2^e; and 0 below.
template <class Word>
RESMC_FN auto power_of_two_real(Word e) {
    using Real = decltype(as_real(e));
    const Word high = as_word(select_negative(Word(127u) - e, as_real(Word(127u)), as_real(e)));
    return select_negative(high + 126u, Real(0.0f), as_real((high + 127u) << 23));
}

// The scale in which activations see what is kept in units of 2^exponent, and one over it. Beyond 2^60 every activation
// is as good as its asymptote. N h has no units.
template <class Real>
struct ActivationScale {
    Real c, inverse;
};

template <class Word>
RESMC_FN auto scale_of_unit(Word exponent) {
    using Real = decltype(as_real(exponent));
    const Word high = as_word(select_negative(Word(60u) - exponent, as_real(Word(60u)), as_real(exponent)));
    const Word low = as_word(select_negative(high + 60u, as_real(Word(0u) - Word(60u)), as_real(high)));
    return ActivationScale<Real>{as_real((low + 127u) << 23), as_real((Word(127u) - low) << 23)};
}

template <class Word>
RESMC_FN auto activation_scale(const Residual& net, Word exponent) {
    using Real = decltype(as_real(exponent));
    if (net.homogeneous || net.norm_before) return ActivationScale<Real>{Real(1.0f), Real(1.0f)};
    return scale_of_unit(exponent);
}

// New units for h, where these leave the network what it is: homogeneous ones change theirs in every layer, others when
// floats would not hold them. Units below 1 would make a bias or sigma(0) large: networks that have one never go there.
template <class Word, class Real>
RESMC_FN Word next_shift(const Residual& net, Real square, Word exponent) {
    const Word shift = shift_of<Word>(square);
    if (net.homogeneous) return shift;
    const Word within = (shift + 20u) | (Word(20u) - shift);  // negative beyond +-20
    const Word wanted = as_word(select_negative(within, as_real(shift), as_real(Word(0u))));
    if (!net.grounded) return wanted;
    return as_word(select_negative(exponent + wanted, as_real(Word(0u) - exponent), as_real(wanted)));
}

// |h|^2, or 0 where a network that keeps its units has an h so small that its square loses digits, below 2^-55.
template <class Real>
RESMC_FN Real seen_square(const Residual& net, Real square) {
    if (!net.grounded) return square;
    return select_negative(as_word(square - Real(0x1p-110f)), Real(0.0f), square);
}

// How a layer is made: h' = carry h + step branch in new units; the change of h in its own ones,
// change' = keep change + change_carry h + change_step branch.
template <class Real>
struct Step {
    Real carry, step, keep, change_carry, change_step;
};

// `size` multiplies the layer's step: the branch's norm for the projected method, 1 for explicit weights.
template <class Real, class Word, class Count>
RESMC_FN Step<Real> forward_step(const Residual& net, Real step, const LayerState<Real, Word, Count>& from, Real size,
                                 Word& exponent, Size<Real, Word>& change) {
    Network layer = net.network;
    layer.step = 1.0f;
    Step<Real> s;
    exponent = from.exponent;
    if (net.homogeneous) {
        const auto c = next_coefficients(layer, from.sums, step * size, exponent);
        s.carry = c.carry;
        s.step = c.step;
    } else {
        const Word shift = next_shift<Word>(net, from.sums.square, from.exponent);
        exponent = exponent + shift;
        s.carry = Real(layer.carry) * down(shift);
        s.step = step * size * down(shift);
    }
    // As long as nothing has changed, the unit is that of the first change to come: about step |h|.
    const Word none = as_word(change.square), shift = shift_of<Word>(change.square);
    const Word first = from.exponent + shift_of<Word>(from.sums.square) + shift_of<Word>(step * step);
    change.exponent = select_zero(none, first, change.exponent + shift);
    const Real unit = power_of_two_real(from.exponent - change.exponent);
    s.keep = select_zero(none, Real(0.0f), Real(net.keep) * down(shift));
    s.change_carry = Real(layer.carry - net.keep) * unit;
    s.change_step = step * size * unit;
    return s;
}

// The same for p' = carry p + (what the branch gives), in units that p has whatever the activation.
template <class Real, class Word>
struct Gradient {
    Size<Real, Word> p, change;
    Real overlap;  // p . h, in the units of both
};

// `here`: of the layer that the step leads to. Where it is inactive, carry alone counts, as in the forward pass.
template <class Real, class Word, class Count>
RESMC_FN Step<Real> backward_step(const Residual& net, const LayerState<Real, Word, Count>& here,
                                  Gradient<Real, Word>& gradient) {
    Step<Real> s;
    const Word shift = shift_of<Word>(gradient.p.square), change_shift = shift_of<Word>(gradient.change.square);
    const Word before = gradient.p.exponent;
    const Word inactive = as_word(here.sums.active_square);
    const Word carried = select_zero(inactive, Word(static_cast<uint32_t>(net.network.carry_exponent)), Word(0u));
    gradient.p.exponent = before + shift + carried;
    gradient.change.exponent = gradient.change.exponent + change_shift;
    s.step = down(shift);
    s.carry = select_zero(inactive, Real(net.network.carry_mantissa), Real(net.network.carry)) * s.step;
    const Real unit = power_of_two_real(before - gradient.change.exponent);
    s.keep = Real(net.keep) * down(change_shift);
    s.change_carry = Real(net.network.carry - net.keep) * unit;
    s.change_step = unit;
    return s;
}

// ---- a matrix of the projected method, backwards (residual_projected.hpp)
// --------------------------------------------

// The coefficients of W^T v sqrt(n) = x along + g' across.
template <class Real>
struct Transposed {
    Real along, across;
};

// What a pass over the neurons leaves of these four, each of which some pass makes.
template <class Real>
struct TransposedSums {
    Real drawn;     // g . v
    Real v_square;  // |v|^2
    Real fresh;     // x . g', H but for the bias
    Real x_square;  // |x|^2, X but for the bias

    template <class F, class... S>
    static RESMC_FN void each(F f, S&... s) {
        f(s.drawn...);
        f(s.v_square...);
        f(s.fresh...);
        f(s.x_square...);
    }
};

// With g.v, |v|^2, H and X.
template <class Real>
RESMC_FN Transposed<Real> transposed(Real gv, Real v_square, Real h, Real x_square) {
    const Real size = sqrt(v_square);
    // X = 0 would be 0/0: any other number serves, for x is 0 then.
    const Real x = select_zero(as_word(x_square), Real(1.0f), x_square);
    const Real along = gv / sqrt(x) - size * (h / x);
    return {select_zero(as_word(x_square), Real(0.0f), along), size};
}

RESMC_NAMESPACE_END
