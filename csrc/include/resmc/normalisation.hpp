// Layer norm and rms norm:
//
//     layer    N x = (x - mean x)/sqrt(var x + eps)         var x = |x - mean x|^2/n
//     rms      N x = x/sqrt(|x|^2/n + eps)
//
// and N 0 = 0 also where eps is 0. With y = N x, and the factor 1/sqrt(..), both have the symmetric Jacobian
//
//     J v = factor (v - mean v - y (y.v)/n)                 rms: without mean v
//
// Networks have it in up to three places (description.hpp); residual.hpp calls what is here. A Normaliser is what
// passes over the neurons leave of a vector: with it N is made wherever the vector is loaded.
#pragma once

#include "residual_step.hpp"
#include "segments.hpp"

RESMC_NAMESPACE_BEGIN

// N x = (x - mean) factor in the units of x, and |N x|^2.
template <class Real>
struct Normaliser {
    Real mean, factor, square;

    RESMC_FN void apply(Real (&x)[4]) const {
        for (uint32_t k = 0; k < 4; ++k) x[k] = (x[k] - mean) * factor;
    }
};

// J v = factor (v - mean - y along).
template <class Real>
struct PulledNorm {
    Real factor, mean, along;

    RESMC_FN Real operator()(const Real& v, const Real& y) const { return factor * (v - mean - y * along); }
};

template <class Real>
struct NormaliserSums {
    Real sum, square;  // of x, or of v and y.v

    template <class F, class... S>
    static RESMC_FN void each(F f, S&... s) {
        f(s.sum...);
        f(s.square...);
    }
};

// eps beside squares in units of 2^(2 exponent).
template <class Word>
RESMC_FN auto eps_in_units(const Residual& net, Word exponent) {
    using Real = decltype(as_real(exponent));
    return Real(net.norm_eps) * power_of_two_real(Word(0u) - exponent - exponent);
}

// N of the vector, whose |x|^2 is `square`, in units of 2^exponent. A mean that is large beside what is around it would
// take its digits, so it is made in two turns, the second one of what the first has left.
template <class Run>
RESMC_OUTLINE_FN auto normaliser_of(Run& run, uint32_t vector, const typename Run::Real& square,
                                    const typename Run::Word& exponent) {
    using Real = typename Run::Real;
    const Real share(1.0f / static_cast<float>(run.width()));
    Real mean(0.0f), around = square;
    for (uint32_t turn = 0; turn < 2 && run.net.norm == NORM_LAYER; ++turn) {
        using Sums = NormaliserSums<Real>;
        const Sums sums = run.template each_round<Sums>([&](uint32_t round, bool whole, Sums& sum) RESMC_LAMBDA {
            Real x[4];
            run.vectors.load(vector, round, x);
            for (uint32_t k = 0; k < 4; ++k) x[k] = x[k] - mean;
            run.mask(round, whole, x);
            for (uint32_t k = 0; k < 4; ++k) {
                sum.sum = sum.sum + x[k];
                sum.square = fma(x[k], x[k], sum.square);
            }
        });
        const Real rest = sums.sum * share;
        mean = mean + rest;
        around = max(fma(Real(0.0f) - rest, sums.sum, sums.square), Real(0.0f));
    }
    const Real size = fma(around, share, eps_in_units(run.net, exponent));
    const Real factor = select_zero(as_word(size), Real(0.0f), Real(1.0f) / sqrt(size));
    return Normaliser<Real>{mean, factor, around * factor * factor};
}

// J from the sums of v and of y.v, with a factor in no units.
template <class Real>
RESMC_FN PulledNorm<Real> pulled_norm(const Residual& net, const Real& factor, const NormaliserSums<Real>& sums) {
    const Real share(1.0f / static_cast<float>(net.network.width));
    return {factor, net.norm == NORM_LAYER ? sums.sum * share : Real(0.0f), sums.square * share};
}

// ---- the three places
// ----------------------------------------------------------------------------------------------

// What a branch meets of h, of which `layer` is known: N h, or h itself.
template <class Run>
RESMC_FN auto met_by_branch(Run& run, uint32_t vector, const typename Run::Layer& layer) {
    using Real = typename Run::Real;
    if (!run.net.norm_before) return Normaliser<Real>{Real(0.0f), Real(1.0f), layer.sums.square};
    return normaliser_of(run, vector, layer.sums.square, layer.exponent);
}
template <class Run>
RESMC_FN void meet(const Run& run, const Normaliser<typename Run::Real>& met, uint32_t round, bool whole,
                   typename Run::Real (&h)[4]) {
    if (!run.net.norm_before) return;
    met.apply(h);
    run.mask(round, whole, h);
}

// What a branch's sums over a row of its last matrix are multiplied by: with an N behind it, steps leave it out.
template <Block block, class Real>
RESMC_FN Real row_factor(const Residual& net) {
    if (block == BLOCK_PHI_OUT) return Real(1.0f);
    return block == BLOCK_V_PHI_W ? Real(1.0f) / sqrt(Real(static_cast<float>(net.inner))) : Real(net.network.readout);
}

// VECTOR_FRESH <- `unit` times what the branch gives, branch(round, whole, y, w), in the units of a layer, or in none
// behind an N; and its N.
template <class Run, class Branch>
RESMC_FN auto branch_normaliser(Run& run, const typename Run::Word& exponent, const typename Run::Real& unit,
                                Branch branch) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Square = SquareSum<Real>;
    const Square sums = run.template each_round<Square>([&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
        Real y[4];
        Word w[4] = {};
        branch(round, whole, y, w);
        for (uint32_t k = 0; k < 4; ++k) {
            y[k] = unit * y[k];
            sum.square = fma(y[k], y[k], sum.square);
        }
        run.vectors.store(VECTOR_FRESH, round, y);
    });
    return normaliser_of(run, VECTOR_FRESH, sums.square, run.net.norm_before ? Word(0u) : exponent);
}

// Vector `to` <- J p with the J of a branch that is in VECTOR_FRESH. Returns its square.
template <class Run>
RESMC_OUTLINE_FN typename Run::Real pull_branch(Run& run, const Normaliser<typename Run::Real>& norm,
                                                const typename Run::Word& exponent, uint32_t to) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Sums = NormaliserSums<Real>;
    using Square = SquareSum<Real>;
    const Sums sums = run.template each_round<Sums>([&](uint32_t round, bool whole, Sums& sum) RESMC_LAMBDA {
        Real y[4], p[4];
        run.vectors.load(VECTOR_FRESH, round, y);
        run.vectors.load(VECTOR_GRADIENT, round, p);
        norm.apply(y);
        run.mask(round, whole, p);
        for (uint32_t k = 0; k < 4; ++k) {
            sum.sum = sum.sum + p[k];
            sum.square = fma(y[k], p[k], sum.square);
        }
    });
    const Real units = run.net.norm_before ? Real(1.0f) : power_of_two_real(Word(0u) - exponent);
    const auto pulled = pulled_norm(run.net, norm.factor * units, sums);
    const auto body = [&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
        Real y[4], p[4];
        run.vectors.load(VECTOR_FRESH, round, y);
        run.vectors.load(VECTOR_GRADIENT, round, p);
        norm.apply(y);
        for (uint32_t k = 0; k < 4; ++k) p[k] = pulled(p[k], y[k]);
        run.mask(round, whole, p);
        for (uint32_t k = 0; k < 4; ++k) sum.square = fma(p[k], p[k], sum.square);
        run.vectors.store(to, round, p);
    };
    return run.template each_round<Square>(body).square;
}

// h = N v for the v that is in `vector`, of which `layer` is known, and how far that is from h_0.
template <class Run>
RESMC_OUTLINE_FN void normalise_layer(Run& run, uint32_t vector, bool follow, typename Run::Layer& layer,
                                      Size<typename Run::Real, typename Run::Word>& change) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Forward = typename Run::Forward;
    const auto norm = normaliser_of(run, vector, layer.sums.square, layer.exponent);
    // h - v in the units of v, in a form that keeps the digits of a small change.
    const Real factor = norm.factor * power_of_two_real(Word(0u) - layer.exponent);
    const Real less = factor - Real(1.0f), moved = factor * norm.mean;
    const Real unit = power_of_two_real(layer.exponent - change.exponent);
    const Forward sums = run.template each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
        Real v[4], d[4];
        run.vectors.load(vector, round, v);
        if (follow) {
            run.vectors.load(VECTOR_CHANGE, round, d);
            for (uint32_t k = 0; k < 4; ++k) d[k] = fma(unit, fma(less, v[k], Real(0.0f) - moved), d[k]);
            run.mask(round, whole, d);
            for (uint32_t k = 0; k < 4; ++k) sum.change_square = fma(d[k], d[k], sum.change_square);
            run.vectors.store(VECTOR_CHANGE, round, d);
        }
        norm.apply(v);
        run.mask(round, whole, v);
        for (uint32_t k = 0; k < 4; ++k) sum.square = fma(v[k], v[k], sum.square);
        run.vectors.store(vector, round, v);
    });
    layer.sums.square = sums.square;
    layer.exponent = Word(0u);
    layer.factor = factor;
    if (follow) change.square = sums.change_square;
}

// The same for the gradient: p = J p, by the h_l that is in `vector`, once p_l has been recorded. h_0 is made by no N.
template <class Run>
RESMC_OUTLINE_FN void pull_layer(Run& run, const typename Run::Layer& layer, uint32_t vector,
                                 Gradient<typename Run::Real, typename Run::Word>& gradient) {
    using Real = typename Run::Real;
    using Backward = typename Run::Backward;
    using Sums = NormaliserSums<Real>;
    const Sums sums = run.template each_round<Sums>([&](uint32_t round, bool whole, Sums& sum) RESMC_LAMBDA {
        Real h[4], p[4];
        run.vectors.load(vector, round, h);
        run.vectors.load(VECTOR_GRADIENT, round, p);
        run.mask(round, whole, p);
        for (uint32_t k = 0; k < 4; ++k) {
            sum.sum = sum.sum + p[k];
            sum.square = fma(h[k], p[k], sum.square);
        }
    });
    const auto pulled = pulled_norm(run.net, layer.factor, sums);
    const Real less = layer.factor - Real(1.0f), mean = layer.factor * pulled.mean;
    const Real along = layer.factor * pulled.along;
    const Real unit = power_of_two_real(gradient.p.exponent - gradient.change.exponent);
    const auto body = [&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
        Real h[4], p[4], d[4];
        run.vectors.load(vector, round, h);
        run.vectors.load(VECTOR_GRADIENT, round, p);
        run.vectors.load(VECTOR_GRADIENT_CHANGE, round, d);
        for (uint32_t k = 0; k < 4; ++k) {
            d[k] = fma(unit, fma(less, p[k], Real(0.0f) - fma(along, h[k], mean)), d[k]);
            p[k] = pulled(p[k], h[k]);
        }
        run.mask(round, whole, p);
        run.mask(round, whole, d);
        for (uint32_t k = 0; k < 4; ++k) {
            sum.square = fma(p[k], p[k], sum.square);
            sum.change_square = fma(d[k], d[k], sum.change_square);
            sum.overlap = fma(p[k], h[k], sum.overlap);
        }
        run.vectors.store(VECTOR_GRADIENT, round, p);
        run.vectors.store(VECTOR_GRADIENT_CHANGE, round, d);
    };
    const Backward after = run.template each_round<Backward>(body);
    gradient.p.square = after.square;
    gradient.change.square = after.change_square;
    gradient.overlap = after.overlap;
}

RESMC_NAMESPACE_END
