// Inputs brought to the norm of input 0, where a network is homogeneous: there, the state of rho x is rho times that
// of x for any rho > 0.
//
// Norms of inputs whose directions have come together still drift apart, and c_a = h^a - h^0 would be (rho - 1) h^0 but
// for what is left of the angle, and that lost in its rounding. So state a is kept without its factor,
//
//     h^a = scale_a (c_0 + c_a)        scale_a a double times a power of two
//
// and whenever a layer is made, the ratio rho of |c_0 + c_a| to |c_0| in the layer before goes from the column into the
// scale: c_a <- (c_a - (rho - 1) c_0)/rho. In one layer norms part by the angle over sqrt(n) or so, and the difference
// keeps its digits. rho - 1 is made of products with c_a, which are as small as it is.
//
// The sum c_0 + c_a is never 0 where it would have been exactly: weights +-1, whose sums cancel, are left as they are.
#pragma once

#include "gram.hpp"

RESMC_NAMESPACE_BEGIN

// Below this share of both squares, |c_0 + c_a|^2 is what rounding leaves of 0.
constexpr double LEAST_NORM = 0x1p-40;

// c_a <- own c_a - first c_0 in the units of c_a, and rho.
template <class Double>
struct Level {
    Double own, first, rho;
};

template <class Double>
RESMC_FN Level<Double> no_level() {
    return {Double(1.0), Double(0.0), Double(1.0)};
}

// From |c_0|^2, c_a . c_0 and |c_a|^2, where c_a has 2^apart times the units of c_0.
//
// A c_a that is along c_0 to SMALLEST_PIVOT has no angle left. Without a `skip` it never will: a matrix has met
// multiples of one vector, as where a single neuron is active, and the states stay on one line, so that c_a is 0 then.
// With one it is left as it is; so is an input that is 0 where input 0 is not or the other way, and one that is its
// opposite.
template <class Double, class Word>
RESMC_FN Level<Double> find_level(const Double& start, const Double& along, const Double& square, const Word& apart,
                                  bool skip) {
    using Real = decltype(as_real(apart));
    const Word high = as_word(select_negative(Word(500u) - apart, as_real(Word(500u)), as_real(apart)));
    static_assert(sizeof(Real) == sizeof(Word));
    const Double zero(0.0), one(1.0), unit = power_of_two_double(high), own_square = unit * (unit * square);
    const Double grown = along + along + unit * square, norm = start + unit * grown, whole = start + own_square;
    Level<Double> level;
    level.rho = sqrt(norm / start);
    level.own = one / level.rho;
    level.first = grown / (start * level.rho * (one + level.rho));
    const auto leave_below = [&](const Double& x, double bound) RESMC_LAMBDA {
        level.own = select_below(x, bound, one, level.own);
        level.first = select_below(x, bound, zero, level.first);
        level.rho = select_below(x, bound, one, level.rho);
    };
    const Double across = start * square * Double(1.0 - SMALLEST_PIVOT) - along * along;
    if (skip) {
        leave_below(across, 0.0);
    } else {
        level.own = select_below(across, 0.0, zero, level.own);
        level.first = select_below(across, 0.0, zero, level.first);
        leave_below(select_below(across, 0.0, start + unit * along, one), 0.0);
    }
    leave_below(norm / whole, LEAST_NORM);
    leave_below(Double(0x1p900) - whole / start, 0.0);
    leave_below(start, 0x1p-1000);
    return level;
}

RESMC_NAMESPACE_END
