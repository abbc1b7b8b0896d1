// The tangent kernel of one input by the projected method: joint_gradient.hpp's for m = 1.
//
//     sum over matrices M   |q|^2 |x|^2/n        q = df/d(M x/sqrt(n)), x what M has met
//
// is made of sums that gradients need anyway, so that all else is residual.hpp's, in every bit.
#pragma once

#include "joint_gradient.hpp"
#include "residual_projected.hpp"

RESMC_NAMESPACE_BEGIN

template <class Team_, class Vectors_, class Shared_, class Weights_>
struct SingleKernelRun : ResidualRun<Team_, Vectors_, Shared_, Weights_> {
    using Base = ResidualRun<Team_, Vectors_, Shared_, Weights_>;
    using Double = typename Team_::Double;
    using typename Base::Real, typename Base::Word;

    bool independent;  // gradients go back through other matrices than the input has met
    Double kernel;     // of the layers behind

    template <class Coefficients>
    RESMC_FN void goes_back(uint32_t l, bool last, const Real& v_square, const Real& x_square, const Word& exponent,
                            Coefficients& coefficients) {
        const Double step = to_double(this->step(l));
        const Double factor = last ? step * step : Double(1.0 / this->width());
        const Double product = factor * to_double(v_square) * to_double(x_square);
        kernel = kernel + scaled(product, exponent + exponent);
        if (independent) coefficients.along = Real(0.0f);
    }
};

RESMC_NAMESPACE_END
