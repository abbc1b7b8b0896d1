// Gradients of several inputs through layer and rms norm: each through the Jacobian of its own N (normalisation.hpp),
//
//     J_a v = f_a (v - mean v - y_a (y_a . v)/n)                 y_a = N x_a, rms: without mean v
//
// with y_a put together from the columns of N, y_0 and y_a - y_0; and through batch norm, whose J acts on the m numbers
// of a neuron and is symmetric too:
//
//     (J v)_a = f (v_a - v - y_a y.v/m)                          v = sum_b v_b/m,  f = 1/sqrt(var + eps)
//
// There p^a are the gradients of the output of input 0 with respect to the states of all inputs, in common units.
#pragma once

#include "joint.hpp"

RESMC_NAMESPACE_BEGIN

template <class Run>
struct PulledColumns;
template <class Run>
RESMC_OUTLINE_FN void pull_over_inputs(const Run& run, const PulledColumns<Run>& pulled, const typename Run::Quads& y,
                                       const typename Run::Real (&factors)[4], typename Run::Quads& v);

// J_a v^a of all inputs: sums over neurons, then J. A batch norm needs no sums, but its factors.
template <class Run>
struct PulledColumns {
    using Real = typename Run::Real;
    using Double = typename Run::Double;
    using Quads = typename Run::Quads;
    static constexpr uint32_t limit = Run::limit;

    Real factor[limit], unit[limit];  // f_a, or what a batch norm's are in units of; units of columns beside column 0
    Real mean[limit], along[limit];
    Double sum[limit], overlap[limit];  // of v and y.v

    // By an N of what has units of 2^exponent in column 0.
    RESMC_FN void begin(const Run& run, const ColumnNorm<Run>& norm, const typename Run::Word& exponent) {
        const bool batch = run.of_batch();
        const Real back = power_of_two_real(typename Run::Word(0u) - (batch ? norm.largest : exponent));
        for (uint32_t a = 0; a < run.inputs(); ++a)
            factor[a] = batch ? back : back * (a == 0 ? norm.first.factor : norm.own[a]);
        begin(run, norm.exponents);
    }
    RESMC_FN void begin(const Run& run, const typename Run::Word* exponents) {
        for (uint32_t a = 1; a < run.inputs(); ++a) unit[a] = power_of_two_real(exponents[a]);
        run.clear(sum, run.inputs());
        run.clear(overlap, run.inputs());
    }
    RESMC_FN Real entry(const Quads& y, uint32_t a, uint32_t k) const {
        return a == 0 ? y[0][k] : fma(unit[a], y[a][k], y[0][k]);
    }
    RESMC_FN void add(const Run& run, const Quads& y, const Quads& v) {
        if (run.of_batch()) return;
        for (uint32_t a = 0; a < run.inputs(); ++a)
            for (uint32_t k = 0; k < 4; ++k) {
                const Double wide = to_double(v[a][k]);
                sum[a] = sum[a] + wide;
                overlap[a] = fma(to_double(entry(y, a, k)), wide, overlap[a]);
            }
    }
    RESMC_FN void finish(const Run& run) {
        const Double share(1.0 / run.width());
        for (uint32_t a = 0; a < run.inputs(); ++a) {
            mean[a] = run.net.norm == NORM_LAYER ? to_single(run.team.total(sum[a]) * share) : Real(0.0f);
            along[a] = to_single(run.team.total(overlap[a]) * share);
        }
    }
    RESMC_FN void apply(const Run& run, const Quads& y, const Real (&factors)[4], Quads& v) const {
        if (run.of_batch()) {
            pull_over_inputs(run, *this, y, factors, v);
            return;
        }
        for (uint32_t a = 0; a < run.inputs(); ++a)
            for (uint32_t k = 0; k < 4; ++k) v[a][k] = factor[a] * (v[a][k] - mean[a] - along[a] * entry(y, a, k));
    }
};

// J v of the m numbers of each neuron. Of two, all that is left of v without its mean is along y, and 1 - y.y/2 of it
// stays, which is eps f^2.
template <class Run>
RESMC_OUTLINE_FN void pull_over_inputs(const Run& run, const PulledColumns<Run>& pulled, const typename Run::Quads& y,
                                       const typename Run::Real (&factors)[4], typename Run::Quads& v) {
    using Real = typename Run::Real;
    const uint32_t m = run.inputs();
    const Real share(1.0f / static_cast<float>(m)), eps(run.net.norm_eps);
    for (uint32_t k = 0; k < 4; ++k) {
        const Real factor = pulled.factor[0] * factors[k];
        Real mean = v[0][k];
        for (uint32_t a = 1; a < m; ++a) mean = mean + v[a][k];
        mean = mean * share;
        if (m == 2) {
            const Real left = eps * (factor * factor);
            for (uint32_t a = 0; a < m; ++a) v[a][k] = factor * (left * (v[a][k] - mean));
            continue;
        }
        Real along(0.0f);
        for (uint32_t a = 0; a < m; ++a) {
            v[a][k] = v[a][k] - mean;
            along = fma(pulled.entry(y, a, k), v[a][k], along);
        }
        along = along * share;
        for (uint32_t a = 0; a < m; ++a) v[a][k] = factor * (v[a][k] - along * pulled.entry(y, a, k));
    }
}

// What is recorded of p, of p - p_L and of p.h is that of all inputs' vectors as one: sums of those of input 0, and
// what other inputs add. h is in vector `at`, whose column 0 has units of 2^exponent.
template <class Run>
RESMC_OUTLINE_FN void gather_inputs(Run& run, uint32_t at, const typename Run::Word& exponent,
                                    Gradient<typename Run::Real, typename Run::Word>& gradient) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Double = typename Run::Double;
    using Square = SquareSum<Real>;
    const uint32_t m = run.inputs();
    const Double* const coming = run.gradients.gram;
    const Double* const gram = run.vectors.gram(at);
    const Double apart = power_of_two_double(gradient.p.exponent - gradient.change.exponent);
    Double others(0.0), states = gram[0];
    Real unit[Run::limit];
    for (uint32_t a = 1; a < m; ++a) {
        const Word own = run.vectors.exponents(at)[a] - exponent;
        const Double wide = power_of_two_double(own);
        unit[a] = power_of_two_real(own);
        others = others + coming[pair_index(a, a)];
        states =
            states + gram[0] + wide * (gram[pair_index(a, 0)] + gram[pair_index(a, 0)] + wide * gram[pair_index(a, a)]);
        run.gradients.exponents[a] = gradient.p.exponent;
    }
    const Square overlap = run.template each_round<Square>([&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
        typename Run::Quads h, p;
        run.load(at, m, round, h);
        run.load(VECTOR_GRADIENT, m, round, p);
        for (uint32_t a = 0; a < m; ++a) {
            run.mask(round, whole, p[a]);
            for (uint32_t k = 0; k < 4; ++k)
                sum.square = fma(p[a][k], a == 0 ? h[0][k] : fma(unit[a], h[a][k], h[0][k]), sum.square);
        }
    });
    gradient.p.square = to_single(coming[0] + others);
    gradient.change.square = gradient.change.square + to_single(apart * (apart * others));
    // Records divide by |h^0| what is to be divided by the size of all states.
    const Double share = select_below(states, 0x1p-1000, Double(0.0), gram[0] / states);
    gradient.overlap = overlap.square * to_single(sqrt(share));
}

// Behind the N of a branch, whose columns are in VECTOR_FRESH in units of 2^exponent: vector `to` <- J_a p^a, and their
// Gram matrix.
template <class Run>
RESMC_OUTLINE_FN void pull_branch_columns(Run& run, const ColumnNorm<Run>& norm, const typename Run::Word& exponent,
                                          uint32_t to, typename Run::Double* gram) {
    using Square = SquareSum<typename Run::Real>;
    using Quads = typename Run::Quads;
    typename Run::Double sums[pairs_of(Run::limit)];
    PulledColumns<Run> pulled;
    pulled.begin(run, norm, exponent);
    run.clear(sums, pairs_of(run.inputs()));
    typename Run::Real factors[4];
    const auto load = [&](uint32_t round, bool whole, Quads& y, Quads& p) RESMC_LAMBDA {
        run.load(VECTOR_FRESH, run.columns(), round, y);
        norm.apply(run, round, whole, y, factors);
        run.load(VECTOR_GRADIENT, run.inputs(), round, p);
        for (uint32_t a = 0; a < run.inputs(); ++a) run.mask(round, whole, p[a]);
    };
    run.template each_round<Square>([&](uint32_t round, bool whole, Square&) RESMC_LAMBDA {
        Quads y, p;
        load(round, whole, y, p);
        pulled.add(run, y, p);
    });
    pulled.finish(run);
    run.template each_round<Square>([&](uint32_t round, bool whole, Square&) RESMC_LAMBDA {
        Quads y, p;
        load(round, whole, y, p);
        pulled.apply(run, y, factors, p);
        for (uint32_t a = 0; a < run.inputs(); ++a) {
            run.mask(round, whole, p[a]);
            run.vectors.store(to, a, round, p[a]);
        }
        add_gram<Run::limit>(p, run.inputs(), sums);
    });
    for (uint32_t i = 0; i < pairs_of(run.inputs()); ++i) gram[i] = run.team.total(sums[i]);
}

// VECTOR_FRESH <- what comes back to N h^a through the branch, branch(round, whole, v), and the J_a that it has to
// pass.
template <class Run, class Branch>
RESMC_OUTLINE_FN void find_pulled(Run& run, const typename Run::Layer& here, uint32_t at, const ColumnNorm<Run>& met,
                                  Branch branch, PulledColumns<Run>& pulled) {
    using Square = SquareSum<typename Run::Real>;
    pulled.begin(run, met, here.exponent);
    run.template each_round<Square>([&](uint32_t round, bool whole, Square&) RESMC_LAMBDA {
        typename Run::Quads y, v;
        branch(round, whole, v);
        run.load(at, run.columns(), round, y);
        met.apply(run, round, whole, y);
        for (uint32_t a = 0; a < run.inputs(); ++a) {
            run.mask(round, whole, v[a]);
            run.vectors.store(VECTOR_FRESH, a, round, v[a]);
        }
        pulled.add(run, y, v);
    });
    pulled.finish(run);
}

// p^a = J_a p^a with the N that has made h_l, which is in `vector`, as pull_layer has it for one input.
template <class Run>
RESMC_OUTLINE_FN void pull_layer_columns(Run& run, uint32_t vector,
                                         Gradient<typename Run::Real, typename Run::Word>& gradient) {
    using Real = typename Run::Real;
    using Backward = typename Run::Backward;
    using Square = SquareSum<Real>;
    using Quads = typename Run::Quads;
    auto& known = run.gradients;
    const uint32_t m = run.inputs();
    PulledColumns<Run> pulled;
    for (uint32_t a = 0; a < m; ++a) pulled.factor[a] = to_single(run.vectors.factors(vector)[a]);
    pulled.begin(run, run.vectors.exponents(vector));
    Real factors[4];
    const auto load = [&](uint32_t round, bool whole, Quads& h, Quads& p) RESMC_LAMBDA {
        run.load(vector, m, round, h);
        if (run.of_batch()) run.vectors.load(vector, run.columns(), round, factors);
        run.load(VECTOR_GRADIENT, m, round, p);
        for (uint32_t a = 0; a < m; ++a) run.mask(round, whole, p[a]);
    };
    run.template each_round<Square>([&](uint32_t round, bool whole, Square&) RESMC_LAMBDA {
        Quads h, p;
        load(round, whole, h, p);
        pulled.add(run, h, p);
    });
    pulled.finish(run);
    const Real less = pulled.factor[0] - Real(1.0f), mean = pulled.factor[0] * pulled.mean[0];
    const Real along = pulled.factor[0] * pulled.along[0];
    const Real unit = power_of_two_real(gradient.p.exponent - gradient.change.exponent);
    run.clear(known.gram, pairs_of(m));
    const Backward after =
        run.template each_round<Backward>([&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
            Quads h, p;
            Real d[4];
            load(round, whole, h, p);
            run.vectors.load(VECTOR_GRADIENT_CHANGE, round, d);
            if (run.of_batch())
                for (uint32_t k = 0; k < 4; ++k) d[k] = fma(Real(0.0f) - unit, p[0][k], d[k]);
            else
                for (uint32_t k = 0; k < 4; ++k)
                    d[k] = fma(unit, fma(less, p[0][k], Real(0.0f) - fma(along, h[0][k], mean)), d[k]);
            pulled.apply(run, h, factors, p);
            if (run.of_batch())
                for (uint32_t k = 0; k < 4; ++k) d[k] = fma(unit, p[0][k], d[k]);
            run.mask(round, whole, d);
            for (uint32_t a = 0; a < m; ++a) {
                run.mask(round, whole, p[a]);
                run.vectors.store(VECTOR_GRADIENT, a, round, p[a]);
            }
            for (uint32_t k = 0; k < 4; ++k) {
                sum.square = fma(p[0][k], p[0][k], sum.square);
                sum.change_square = fma(d[k], d[k], sum.change_square);
                sum.overlap = fma(p[0][k], h[0][k], sum.overlap);
            }
            run.vectors.store(VECTOR_GRADIENT_CHANGE, round, d);
            add_gram<Run::limit>(p, m, known.gram);
        });
    for (uint32_t i = 0; i < pairs_of(m); ++i) known.gram[i] = run.team.total(known.gram[i]);
    gradient.p.square = after.square;
    gradient.change.square = after.change_square;
    gradient.overlap = after.overlap;
    if (run.of_batch()) gather_inputs(run, vector, typename Run::Word(0u), gradient);
}

RESMC_NAMESPACE_END
