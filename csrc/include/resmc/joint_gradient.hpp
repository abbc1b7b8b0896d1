// Gradients of one output with respect to h of all inputs of a network, and its tangent kernel: the parts that do not
// depend on how weights are drawn.
//
// p^a are vectors of their own, not differences, each in units of its own; the Gram matrix of them is kept in double.
// With q = df/d(M a/sqrt(n)) for a matrix M that meets a, entries of variance 1, the kernel sums
//
//     sum over M   (q^a . q^b)(a^a . a^b)/n         (Jacot, Gabriel, Hongler, arXiv 1806.07572, in its parametrisation)
//
// Operations on input 0 are those of residual.hpp in their order.
#pragma once

#include "joint_norm_gradient.hpp"

RESMC_NAMESPACE_BEGIN

// x 2^e, for e beyond a double's exponents too.
template <class Double, class Word>
RESMC_FN Double scaled(const Double& x, const Word& e) {
    const Word half = sar(e, 1);
    return x * power_of_two_double(half) * power_of_two_double(e - half);
}

// p_L = row / sqrt(n), whose quads row(round, whole, p) gives, the same for all inputs, or 0 of other inputs than the
// one whose output it is; h_L is in vector `at`.
template <class Run, class Row>
RESMC_FN auto first_joint_gradient(Run& run, uint32_t at, Row row) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Double = typename Run::Double;
    using Backward = typename Run::Backward;
    Double square[1] = {Double(0.0)};
    const Backward sums =
        run.template each_round<Backward>([&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
            Real p[1][4], h[4];
            row(round, whole, p[0]);
            run.vectors.load(at, 0, round, h);
            for (uint32_t k = 0; k < 4; ++k) {
                p[0][k] = p[0][k] * Real(run.net.network.readout);
                sum.square = fma(p[0][k], p[0][k], sum.square);
                sum.overlap = fma(p[0][k], h[k], sum.overlap);
            }
            add_gram<1>(p, 1, square);
            const Real zeros[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
            for (uint32_t a = 0; a < run.inputs(); ++a)
                run.vectors.store(VECTOR_GRADIENT, a, round, a > 0 && run.of_batch() ? zeros : p[0]);
        });
    for (uint32_t i = 0; i < pairs_of(run.inputs()); ++i) {
        run.gradients.gram[i] = i > 0 && run.of_batch() ? Double(0.0) : run.team.total(square[0]);
        run.gradients.kernel[i] = Double(0.0);
    }
    for (uint32_t a = 0; a < run.inputs(); ++a) run.gradients.exponents[a] = Word(0u);
    Gradient<Real, Word> gradient{{sums.square, Word(0u)}, {Real(0.0f), Word(0u)}, sums.overlap};
    if (run.of_batch()) gather_inputs(run, at, run.kept(at).exponent, gradient);
    return gradient;
}

// From p_{l+1} to p_l; h_l, of which `here` is known, is in vector `at`, and branch(round, whole, v) gives a quad of
// what comes back through the branch to what it has met of each input, h or by the norm `met` N h.
template <bool written_out, class Run, class Branch>
RESMC_FN void finish_joint_backward(Run& run, const typename Run::Layer& here, uint32_t at, const ColumnNorm<Run>& met,
                                    Gradient<typename Run::Real, typename Run::Word>& gradient, Branch branch) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Backward = typename Run::Backward;
    auto& known = run.gradients;
    const uint32_t m = run.inputs();
    const bool dust = written_out && run.has_dust();
    PulledColumns<Run> pulled;
    if (run.norm_before()) find_pulled(run, here, at, met, branch, pulled);
    const Step<Real> s = backward_step(run.net, here, gradient);
    Real carry[Run::limit], step[Run::limit];
    carry[0] = s.carry;
    step[0] = s.step;
    known.exponents[0] = gradient.p.exponent;
    for (uint32_t a = 1; a < m; ++a) {
        if (run.of_batch()) {
            carry[a] = s.carry;
            step[a] = s.step;
            continue;
        }
        const Word shift = half_exponent(known.gram[pair_index(a, a)]);
        step[a] = to_single(power_of_two_double(Word(0u) - shift));
        carry[a] = Real(run.net.network.carry) * step[a];
        known.exponents[a] = known.exponents[a] + shift;
    }
    run.clear(known.gram, pairs_of(m));
    const Backward sums =
        run.template each_round<Backward>([&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
            typename Run::Quads v, p;
            Real h[4], d[4];
            if (run.norm_before()) {
                typename Run::Quads y;
                run.load(VECTOR_FRESH, m, round, v);
                Real factors[4];
                run.load(at, run.columns(), round, y);
                met.apply(run, round, whole, y, factors);
                pulled.apply(run, y, factors, v);
            } else {
                branch(round, whole, v);
            }
            run.vectors.load(at, 0, round, h);
            run.load(VECTOR_GRADIENT, m, round, p);
            run.vectors.load(VECTOR_GRADIENT_CHANGE, 0, round, d);
            for (uint32_t a = 0; a < m; ++a) run.mask(round, whole, v[a]);
            for (uint32_t k = 0; k < 4; ++k) d[k] = changed<written_out>(run, s, d[k], p[0][k], v[0][k]);
            for (uint32_t a = 0; a < m; ++a) {
                for (uint32_t k = 0; k < 4; ++k) {
                    const Real stepped = fma(step[a], v[a][k], carry[a] * p[a][k]);
                    p[a][k] = dust ? without_dust(stepped, magnitude(step[a] * v[a][k]) + magnitude(carry[a] * p[a][k]))
                                   : stepped;
                }
                run.vectors.store(VECTOR_GRADIENT, a, round, p[a]);
            }
            for (uint32_t k = 0; k < 4; ++k) {
                sum.square = fma(p[0][k], p[0][k], sum.square);
                sum.change_square = fma(d[k], d[k], sum.change_square);
                sum.overlap = fma(p[0][k], h[k], sum.overlap);
            }
            run.vectors.store(VECTOR_GRADIENT_CHANGE, 0, round, d);
            add_gram<Run::limit>(p, m, known.gram);
        });
    for (uint32_t i = 0; i < pairs_of(m); ++i) known.gram[i] = run.team.total(known.gram[i]);
    gradient.p.square = sums.square;
    gradient.change.square = sums.change_square;
    gradient.overlap = sums.overlap;
    if (run.of_batch()) gather_inputs(run, at, here.exponent, gradient);
}

// Adds factor (q^a . q^b)(x^a . x^b) to the kernel: q's Gram matrix, in the units of the gradients, and that of the
// columns that a matrix has met, whose units and scales are those of h_l in vector `at`, and 2^exponent of column 0, or
// behind a norm those of N h_l.
template <class Run, class Double, class Word>
RESMC_OUTLINE_FN void add_kernel(Run& run, const Double& factor, const Double* q, const Double* met,
                                 const Word& exponent, uint32_t at) {
    if (run.of_batch()) return;  // every output depends on all inputs
    const uint32_t m = run.inputs();
    const Word* const scale_units = run.vectors.scale_units(at);
    Word exponents[Run::limit], units[Run::limit];
    const Word first = run.met_exponents(at, exponent, exponents);
    Word largest = first;
    for (uint32_t a = 1; a < m; ++a)
        largest = as_word(select_negative(largest - exponents[a], as_real(exponents[a]), as_real(largest)));
    Double unit[Run::limit], scale[Run::limit];
    for (uint32_t a = 0; a < m; ++a) {
        unit[a] = power_of_two_double((a == 0 ? first : exponents[a]) - largest);
        scale[a] = a == 0 ? Double(1.0) : run.vectors.scales(at)[a];
        units[a] = run.gradients.exponents[a] + largest;
        if (a > 0) units[a] = units[a] + scale_units[a];
    }
    const auto product = [&](uint32_t a, uint32_t b) RESMC_LAMBDA { return met[pair_index(a, b)] * unit[a] * unit[b]; };
    for (uint32_t a = 0; a < m; ++a)
        for (uint32_t b = 0; b <= a; ++b) {
            Double x = product(0, 0);
            if (a > 0) x = x + product(a, 0);
            if (b > 0) x = x + product(b, 0) + product(a, b);
            Double& sum = run.gradients.kernel[pair_index(a, b)];
            sum = sum + scaled(factor * q[pair_index(a, b)] * x * (scale[a] * scale[b]), units[a] + units[b]);
        }
}

RESMC_NAMESPACE_END
