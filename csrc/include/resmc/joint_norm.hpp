// Norms of several inputs' columns: layer norm and rms norm of each input by itself, and batch norm over the inputs.
//
// With f_a = 1/sqrt(|P x_a|^2/n + eps), P x = x - mean x (rms: x), N of the columns c_0 = x_0, c_a = x_a - x_0 and t is
//
//     N x_0 = f_0 P c_0      N x_a - N x_0 = f_a P c_a + (f_a - f_0) P c_0
//     J t = f_0 P t - f_0^3 (P c_0 . P t)/n P c_0
//
// a combination of columns, and f_a - f_0 = -d f_0^2 f_a^2/(f_0 + f_a) has the digits of d = 1/f_a^2 - 1/f_0^2, which
// is made of products with c_a. Column 0 is normalised by normalisation.hpp, so that input 0 has its bits. Batch norm
// acts on each neuron i alone, over its m numbers:
//
//     y_a = (x_a - x)/sqrt(v + eps)      x = sum_b x_b/m,  v = sum_b (x_b - x)^2/m
//
// where x_0 drops out: with x = sum_b c_b/m + c_0, y_0 = -(x - c_0)/sqrt(..) and y_a - y_0 = c_a/sqrt(..).
#pragma once

#include "gram.hpp"
#include "levels.hpp"
#include "normalisation.hpp"

RESMC_NAMESPACE_BEGIN

template <class Run>
struct ColumnNorm;
template <class Run>
RESMC_OUTLINE_FN void normalise_quads(const Run& run, const ColumnNorm<Run>& norm, uint32_t round, bool whole,
                                      typename Run::Quads& x, typename Run::Real (&factors)[4]);

// N of the columns of a vector. Column 0 has no units afterwards, the others those of `exponents`.
template <class Run>
struct ColumnNorm {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    static constexpr uint32_t limit = Run::limit;

    Normaliser<Real> first;                      // layer and rms norm: of column 0,
    Real own[limit], along[limit], mean[limit];  // and own P x_a + along P x_0 of all others
    Real unit[limit], eps, back;                 // batch norm: units of columns beside the largest, and back to theirs
    Word largest;
    Word exponents[limit];

    RESMC_FN void apply(const Run& run, uint32_t round, bool whole, Real (&x)[limit][4]) const {
        Real factors[4];
        normalise_quads(run, *this, round, whole, x, factors);
    }
    // With the factors of the neurons by a batch norm, in units of 2^-largest.
    RESMC_FN void apply(const Run& run, uint32_t round, bool whole, Real (&x)[limit][4], Real (&factors)[4]) const {
        normalise_quads(run, *this, round, whole, x, factors);
    }
    RESMC_FN void apply_inline(const Run& run, uint32_t round, bool whole, Real (&x)[limit][4],
                               Real (&factors)[4]) const {
        if (run.net.norm == NORM_BATCH) {
            over_inputs(run, x, factors);
            return;
        }
        for (uint32_t k = 0; k < 4; ++k) {
            const Real centred = x[0][k] - first.mean;
            for (uint32_t a = 1; a < run.columns(); ++a) x[a][k] = fma(own[a], x[a][k] - mean[a], along[a] * centred);
        }
        first.apply(x[0]);
        for (uint32_t a = 0; a < run.columns(); ++a) run.mask(round, whole, x[a]);
    }
    // Where all inputs are equal and eps is 0, they become 0.
    RESMC_FN void over_inputs(const Run& run, Real (&x)[limit][4], Real (&factors)[4]) const {
        const uint32_t m = run.inputs();
        const Real share(1.0f / static_cast<float>(m));
        for (uint32_t k = 0; k < 4; ++k) {
            Real middle(0.0f);
            for (uint32_t a = 1; a < m; ++a) middle = fma(unit[a], x[a][k], middle);
            middle = middle * share;
            Real square = middle * middle;
            for (uint32_t a = 1; a < m; ++a) {
                const Real away = fma(unit[a], x[a][k], Real(0.0f) - middle);
                square = fma(away, away, square);
            }
            const Real size = fma(square, share, eps);
            const Real factor = select_zero(as_word(size), Real(0.0f), Real(1.0f) / sqrt(size));
            factors[k] = factor;
            x[0][k] = Real(0.0f) - middle * factor;
            for (uint32_t a = 1; a < m; ++a) x[a][k] = back * (factor * x[a][k]);
        }
    }
};

template <class Run>
RESMC_OUTLINE_FN void normalise_quads(const Run& run, const ColumnNorm<Run>& norm, uint32_t round, bool whole,
                                      typename Run::Quads& x, typename Run::Real (&factors)[4]) {
    norm.apply_inline(run, round, whole, x, factors);
}

// Of layer and rms norm, from the columns' Gram matrix. 2^exponent is the unit of column 0.
template <class Run>
RESMC_OUTLINE_FN void find_column_factors(Run& run, uint32_t vector, const typename Run::Double* gram,
                                          const typename Run::Word& exponent, ColumnNorm<Run>& norm) {
    using Real = typename Run::Real;
    using Double = typename Run::Double;
    constexpr uint32_t limit = Run::limit;
    const uint32_t m = run.inputs(), n = run.columns();
    const Double zero(0.0), one(1.0), share(1.0 / run.width());
    Double sum[limit];
    run.clear(sum, n);
    if (run.net.norm == NORM_LAYER) {
        using Square = SquareSum<Real>;
        run.template each_round<Square>([&](uint32_t round, bool, Square&) RESMC_LAMBDA {
            typename Run::Quads x;
            run.load(vector, n, round, x);
            for (uint32_t a = 0; a < n; ++a)
                for (uint32_t k = 0; k < 4; ++k) sum[a] = sum[a] + to_double(x[a][k]);
        });
        for (uint32_t a = 0; a < n; ++a) sum[a] = run.team.total(sum[a]);
    }
    const auto around = [&](uint32_t a, uint32_t b)
                            RESMC_LAMBDA { return gram[pair_index(a, b)] - sum[a] * sum[b] * share; };
    const auto inverse_root = [&](const Double& x, const Double& least) RESMC_LAMBDA {
        const Double seen = select_below(x - least, 0.0, one, x);
        return select_below(x - least, 0.0, zero, one / sqrt(seen));
    };
    const Double eps = Double(static_cast<double>(run.net.norm_eps)) *
                       power_of_two_double(typename Run::Word(0u) - exponent - exponent);
    const Double least(0x1p-1000), start = select_below(around(0, 0), 0.0, zero, around(0, 0)) * share + eps;
    const Double f0 = inverse_root(start, least);
    for (uint32_t a = 1; a < n; ++a) {
        norm.mean[a] = to_single(sum[a] * share);
        if (a >= m) {  // a tangent
            norm.own[a] = to_single(f0);
            norm.along[a] = to_single(zero - f0 * f0 * f0 * (around(a, 0) * share));
            continue;
        }
        const Double unit = power_of_two_double(norm.exponents[a]), square = unit * around(a, a);
        const Double grown = (around(a, 0) + around(a, 0) + square) * share, size = start + unit * grown;
        const Double f = inverse_root(size, Double(LEAST_NORM) * (start + unit * square * share) + least);
        const Double both = f0 * f,
                     slow = zero - grown * (both * (both / select_below(f0 + f, 0x1p-1000, one, f0 + f)));
        norm.own[a] = to_single(f);
        norm.along[a] = to_single(select_below(f, 0x1p-1000, zero - f0 / unit, slow));
    }
}

// Of the columns of a vector, whose |x_0|^2 is `square`, and of its Gram matrix, in these units.
template <class Run>
RESMC_OUTLINE_FN void find_column_norm(Run& run, uint32_t vector, const typename Run::Double* gram,
                                       const typename Run::Real& square, const typename Run::Word& exponent,
                                       const typename Run::Word* exponents, ColumnNorm<Run>& norm) {
    using Word = typename Run::Word;
    for (uint32_t a = 1; a < run.columns(); ++a) norm.exponents[a] = exponents[a] - exponent;
    if (run.net.norm != NORM_BATCH) {
        norm.first = normaliser_of(run, vector, square, exponent);
        find_column_factors(run, vector, gram, exponent, norm);
        return;
    }
    Word largest = exponents[1];
    for (uint32_t a = 2; a < run.inputs(); ++a)
        largest = as_word(select_negative(largest - exponents[a], as_real(exponents[a]), as_real(largest)));
    for (uint32_t a = 1; a < run.inputs(); ++a) norm.unit[a] = power_of_two_real(exponents[a] - largest);
    norm.largest = largest;
    norm.eps = eps_in_units(run.net, largest);
    norm.back = power_of_two_real(exponent - largest);
}

// ---- the three places

// Column 0 of what a branch meets of h, as met_by_branch has it for one input.
template <Block block, class Run>
RESMC_FN auto first_met(Run& run, uint32_t at, const typename Run::Layer& layer) {
    using Real = typename Run::Real;
    if (run.norm_before() && run.net.norm == NORM_BATCH && block != BLOCK_PHI_IN)
        return Normaliser<Real>{Real(0.0f), Real(1.0f), to_single(run.vectors.active_gram(at)[0])};
    if (!run.norm_before()) return Normaliser<Real>{Real(0.0f), Real(1.0f), layer.sums.square};
    return normaliser_of(run, at, layer.sums.square, layer.exponent);
}

// N of the layer in `vector`, if its branch meets that.
template <class Run>
RESMC_FN void find_met(Run& run, uint32_t vector, const typename Run::Layer& layer, ColumnNorm<Run>& norm) {
    if (run.norm_before())
        find_column_norm(run, vector, run.vectors.gram(vector), layer.sums.square, layer.exponent,
                         run.vectors.exponents(vector), norm);
}

// What is known of layer l besides, once all of it is there: the Gram matrix of what its first matrix meets, sigma(N h)
// of phi-in or N h, and for phi-in |sigma|^2 and the active neurons of input 0.
template <Block block, class Run>
RESMC_OUTLINE_FN void measure_met(Run& run, uint32_t l, uint32_t vector, typename Run::Layer& layer) {
    using Word = typename Run::Word;
    using Forward = typename Run::Forward;
    using Double = typename Run::Double;
    if (block != BLOCK_PHI_IN && !run.norm_before()) return;
    ColumnNorm<Run> norm;
    find_met(run, vector, layer, norm);
    typename Run::Scales scales;
    Word exponents[Run::limit];
    const Word exponent = run.met_exponents(vector, layer.exponent, exponents);
    run.find_scales(exponent, exponents, scales);
    Double gram[pairs_of(Run::limit)];
    run.clear(gram, pairs_of(run.columns()));
    const auto signs = run.signs(l);
    const Forward sums = run.template each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
        typename Run::Quads h;
        run.load(vector, run.columns(), round, h);
        if (run.norm_before()) norm.apply(run, round, whole, h);
        if (block != BLOCK_PHI_IN) {
            add_gram<Run::limit>(h, run.columns(), gram);
            return;
        }
        Word w[4] = {};
        if (run.has_signs()) run.words(signs, round, w);
        typename Run::Quads f;
        run.find_active(l, scales, h, w, round, whole, sum, f);
        add_gram<Run::limit>(f, run.columns(), gram);
    });
    for (uint32_t i = 0; i < pairs_of(run.columns()); ++i) run.vectors.active_gram(vector)[i] = run.team.total(gram[i]);
    layer.sums.active_square = sums.active_square;
    layer.sums.active = sums.active;
}

// VECTOR_FRESH <- the columns that a branch gives, and N of them: branch(round, whole, y, w) gives a quad of them, or
// with `met` of the normals that they are made of, by this factor and for column 0 by `size`.
template <Block block, class Run, class Branch>
RESMC_OUTLINE_FN void find_branch_norm(Run& run, const typename Run::Layer& from, const typename Run::Real& size,
                                       const typename Run::Factor* met, uint32_t at, Branch branch,
                                       ColumnNorm<Run>& norm) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Double = typename Run::Double;
    using Square = SquareSum<Real>;
    const Real row = row_factor<block, Real>(run.net), first = size * row;
    Word exponents[Run::limit];
    const Word exponent = run.met_exponents(at, from.exponent, exponents);
    Real mix[pairs_of(Run::limit)];
    for (uint32_t a = 1; a < run.columns() && met != nullptr; ++a)
        for (uint32_t j = 0; j <= a; ++j) mix[pair_index(a, j)] = to_single(to_double(row) * (*met)(a, j));
    Double gram[pairs_of(Run::limit)];
    run.clear(gram, pairs_of(run.columns()));
    const Square sums = run.template each_round<Square>([&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
        typename Run::Quads y, made;
        Word w[4] = {};
        branch(round, whole, y, w);
        for (uint32_t k = 0; k < 4; ++k) {
            made[0][k] = first * y[0][k];
            sum.square = fma(made[0][k], made[0][k], sum.square);
        }
        if (met != nullptr) run.combine(mix, run.columns(), y, made);
        for (uint32_t a = 1; a < run.columns() && met == nullptr; ++a)
            for (uint32_t k = 0; k < 4; ++k) made[a][k] = row * y[a][k];
        for (uint32_t a = 0; a < run.columns(); ++a) run.vectors.store(VECTOR_FRESH, a, round, made[a]);
        add_gram<Run::limit>(made, run.columns(), gram);
    });
    for (uint32_t i = 0; i < pairs_of(run.columns()); ++i) gram[i] = run.team.total(gram[i]);
    find_column_norm(run, VECTOR_FRESH, gram, sums.square, exponent, exponents, norm);
}

// h = N v for the columns v in `vector`, of which `layer` is known, with their Gram matrix.
template <class Run>
RESMC_OUTLINE_FN void normalise_columns(Run& run, uint32_t vector, bool follow, typename Run::Layer& layer,
                                        Size<typename Run::Real, typename Run::Word>& change) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Double = typename Run::Double;
    using Forward = typename Run::Forward;
    const bool batch = run.net.norm == NORM_BATCH;
    ColumnNorm<Run> norm;
    find_column_norm(run, vector, run.vectors.gram(vector), layer.sums.square, layer.exponent,
                     run.vectors.exponents(vector), norm);
    const Real after = power_of_two_real(Word(0u) - change.exponent);
    const Real before = power_of_two_real(layer.exponent - change.exponent);
    Double gram[pairs_of(Run::limit)];
    run.clear(gram, pairs_of(run.columns()));
    const Forward sums = run.template each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
        typename Run::Quads x;
        run.load(vector, run.columns(), round, x);
        Real v[4];
        run.vectors.load(vector, 0, round, v);
        Real factors[4];
        norm.apply(run, round, whole, x, factors);
        add_gram<Run::limit>(x, run.columns(), gram);
        for (uint32_t a = batch ? 0 : 1; a < run.columns(); ++a) run.vectors.store(vector, a, round, x[a]);
        if (!batch) return;
        if (run.keeps_factors()) run.vectors.store(vector, run.columns(), round, factors);
        Real d[4];
        run.vectors.load(VECTOR_CHANGE, round, d);
        for (uint32_t k = 0; k < 4; ++k) {
            sum.square = fma(x[0][k], x[0][k], sum.square);
            d[k] = fma(after, x[0][k], fma(Real(0.0f) - before, v[k], d[k]));
            sum.change_square = fma(d[k], d[k], sum.change_square);
        }
        if (follow) run.vectors.store(VECTOR_CHANGE, round, d);
    });
    for (uint32_t i = 0; i < pairs_of(run.columns()); ++i) run.vectors.gram(vector)[i] = run.team.total(gram[i]);
    for (uint32_t a = 1; a < run.columns(); ++a) run.vectors.exponents(vector)[a] = norm.exponents[a];
    if (!batch) {
        const Double unit = power_of_two_double(Word(0u) - layer.exponent);
        normalise_layer(run, vector, follow, layer, change);
        run.vectors.factors(vector)[0] = to_double(layer.factor);
        for (uint32_t a = 1; a < run.inputs(); ++a) run.vectors.factors(vector)[a] = to_double(norm.own[a]) * unit;
        return;
    }
    const Double unit = power_of_two_double(Word(0u) - norm.largest);
    for (uint32_t a = 0; a < run.inputs(); ++a) run.vectors.factors(vector)[a] = unit;
    layer.sums.square = sums.square;
    layer.exponent = Word(0u);
    if (follow) change.square = sums.change_square;
}

RESMC_NAMESPACE_END
