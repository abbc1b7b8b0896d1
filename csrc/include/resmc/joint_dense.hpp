// Several inputs with explicit weights, forwards and backwards: the ground truth of joint_projected.hpp, and for
// weights that are not Gaussian. Cost n^2 per column: every matrix is drawn anew for each.
//
// Products go by way of VECTOR_FRESH, column after column; operations on input 0 are those of residual_dense.hpp in
// their order. Independent backward weights are those of the same streams with input index 1.
#pragma once

#include "joint_gradient.hpp"
#include "residual_dense.hpp"

RESMC_NAMESPACE_BEGIN

template <Block block>
struct JointDense {
    using Single = Dense<block>;

    // A column of a vector, seen by all of the team.
    template <class Run>
    static RESMC_FN void share(Run& run, uint32_t which, uint32_t vector, uint32_t column) {
        run.team.sync();  // nobody reads what was shared before
        for (uint32_t round = 0; round < run.rounds(); ++round) {
            typename Run::Real x[4];
            run.vectors.load(vector, column, round, x);
            run.mask(round, whole(run, round), x);
            run.shared[which].store(run.team.quad(round), x);
        }
        run.team.sync();
    }
    template <class Run>
    static RESMC_FN bool whole(const Run& run, uint32_t round) {
        return round < run.team.whole_rounds(run.width());
    }

    // VECTOR_FRESH <- W x for all columns x of a vector.
    template <class Run, class Matrix>
    static RESMC_FN void multiply(Run& run, const Matrix& matrix, uint32_t vector) {
        for (uint32_t c = 0; c < run.columns(); ++c) {
            share(run, 0, vector, c);
            for (uint32_t round = 0; round < run.rounds(); ++round) {
                typename Run::Real y[4];
                Single::rows(run, matrix, 0, round, whole(run, round), y);
                run.vectors.store(VECTOR_FRESH, c, round, y);
            }
        }
    }
    // The vector whose columns a branch meets: of h, or VECTOR_FRESH <- N h.
    template <class Run>
    static RESMC_FN uint32_t met_vector(Run& run, const ColumnNorm<Run>& met, uint32_t at) {
        if (!run.norm_before()) return at;
        for (uint32_t round = 0; round < run.rounds(); ++round) {
            typename Run::Quads x;
            run.load(at, run.columns(), round, x);
            met.apply(run, round, whole(run, round), x);
            for (uint32_t c = 0; c < run.columns(); ++c) run.vectors.store(VECTOR_FRESH, c, round, x[c]);
        }
        return VECTOR_FRESH;
    }
    // VECTOR_FRESH <- what take(a, round, y) makes of W^T x for the inputs' columns x of a vector.
    template <class Run, class Matrix, class Take>
    static RESMC_FN void multiply_transposed(Run& run, const Matrix& matrix, uint32_t vector, Take take) {
        for (uint32_t a = 0; a < run.inputs(); ++a) {
            share(run, 1, vector, a);
            for (uint32_t round = 0; round < run.rounds(); ++round) {
                typename Run::Real y[4];
                Single::columns(run, matrix, 1, round, y);
                take(a, round, y);
                run.vectors.store(VECTOR_FRESH, a, round, y);
            }
        }
    }
    // The matrix by which gradients go back.
    template <class Run>
    static RESMC_FN auto backward_matrix(const Run& run, MatrixPlace place, uint32_t l) {
        auto matrix = run.weights.matrix(run, place, l);
        if (run.joint.independent) matrix.draw.word3_k1 = matrix.draw.word3_k1 ^ 1u << 16;
        return matrix;
    }

    template <class Run>
    static RESMC_FN typename Run::Layer first(Run& run, uint32_t to) {
        using Real = typename Run::Real;
        for (auto& vector : run.shared) vector.clear_edges(run.team, (run.width() + 3) / 4);
        const uint32_t n_in = run.net.n_in;
        if (n_in == 0) return run.template first_layer<block>(to);
        const DrawnMatrix<typename Run::Wide> first{run.draw(STREAM_DENSE_INPUT, 0), {run.width(), n_in}};
        return run.template made_first_layer<block, true>(
            to, [&](uint32_t a, uint32_t round, Real(&y)[4]) RESMC_LAMBDA {
                const InputVector<Real> x{a == 0 ? run.net.input : run.joint.rows + size_t{a} * (n_in + 12)};
                first.rows_of(run, x, round, y);
                Single::remove_dust(run, n_in, x, y);
                run.mask(round, whole(run, round), y);
            });
    }

    // sigma of a layer's columns and its slopes, one quad: phi-in's h, from a vector; or u, from W h in VECTOR_FRESH.
    template <class Run>
    struct Activated {
        typename Run::Scales scales;
        ColumnNorm<Run> met;
        PhiloxPrefix<typename Run::Wide> signs;
        uint32_t l, vector;

        RESMC_FN void operator()(Run& run, uint32_t round, typename Run::Quads& f, typename Run::Quads& slope) const {
            typename Run::Quads x;
            typename Run::Word w[4] = {};
            run.load(vector, run.columns(), round, x);
            if (block == BLOCK_PHI_IN && run.norm_before()) met.apply(run, round, whole(run, round), x);
            if (block != BLOCK_PHI_IN) {
                using Real = typename Run::Real;
                const Residual& net = run.net;
                Single::add_bias(run, l, scales.first, round, whole(run, round), x[0]);
                const Real readout(net.network.readout), factor = net.inside ? readout * run.step(l) : readout;
                for (uint32_t c = 0; c < run.columns(); ++c)
                    for (uint32_t k = 0; k < 4; ++k) x[c][k] = x[c][k] * factor;
            }
            if (run.has_signs()) run.words(signs, round, w);
            run.activate_columns(scales, x, w, round, whole(run, round), f, slope);
            if (block == BLOCK_PHI_IN) run.drop_out(l, round, f, slope);
        }
    };
    template <class Run>
    static RESMC_FN auto activated(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at) {
        Activated<Run> sigma;
        typename Run::Word exponents[Run::limit];
        const auto exponent = run.met_exponents(at, from.exponent, exponents);
        run.find_scales(exponent, exponents, sigma.scales);
        find_met(run, at, from, sigma.met);
        sigma.signs = run.signs(l);
        sigma.l = l;
        sigma.vector = block == BLOCK_PHI_IN ? at : static_cast<uint32_t>(VECTOR_FRESH);
        return sigma;
    }

    // use(branch) of layer l's branch, as finish_forward takes it.
    template <class Run, class Use>
    static RESMC_FN auto with_branch(Run& run, uint32_t l, const Activated<Run>& sigma, uint32_t at, Use use) {
        using Word = typename Run::Word;
        using Quads = typename Run::Quads;
        const auto outer = run.weights.matrix(run, MATRIX_OUTER, l);
        if (block != BLOCK_PHI_IN)
            multiply(run, block == BLOCK_V_PHI_W ? run.weights.matrix(run, MATRIX_INNER, l) : outer,
                     met_vector(run, sigma.met, at));
        if (block != BLOCK_PHI_OUT) {
            for (uint32_t round = 0; round < run.rounds(); ++round) {
                Quads f, slope;
                sigma(run, round, f, slope);
                for (uint32_t c = 0; c < run.columns(); ++c) run.vectors.store(VECTOR_FRESH, c, round, f[c]);
            }
            multiply(run, outer, VECTOR_FRESH);
        }
        const auto branch = [&](uint32_t round, bool whole, Quads& y, Word(&)[4]) RESMC_LAMBDA {
            if (block == BLOCK_PHI_OUT) {
                Quads slope;
                sigma(run, round, y, slope);
            } else {
                run.load(VECTOR_FRESH, run.columns(), round, y);
                if (block == BLOCK_PHI_IN) Single::add_bias(run, l, sigma.scales.first, round, whole, y[0]);
            }
        };
        return use(branch);
    }

    template <class Run>
    static RESMC_FN typename Run::Layer forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                uint32_t to, bool follow,
                                                Size<typename Run::Real, typename Run::Word>& change) {
        using Word = typename Run::Word;
        const auto sigma = activated(run, l, from, at);
        const auto next_signs = run.draw(STREAM_RESIDUAL, l);
        const auto words = [&](uint32_t round, Word(&w)[4]) RESMC_LAMBDA {
            if (block == BLOCK_PHI_IN && run.has_signs()) run.words(next_signs, round, w);
        };
        return with_branch(run, l, sigma, at, [&](const auto& branch) RESMC_LAMBDA {
            return run.template finish_forward<block, true>(l, from, typename Run::Real(1.0f), nullptr, at, to, follow,
                                                            change, branch, words);
        });
    }

    // p_L: row 0 of W_out / sqrt(n).
    template <class Run>
    static RESMC_FN auto first_gradient(Run& run, uint32_t at) {
        const auto draw = run.draw(STREAM_DENSE_OUTPUT, run.net.network.depth);
        return first_joint_gradient(run, at, [&](uint32_t round, bool whole, typename Run::Real(&p)[4]) RESMC_LAMBDA {
            typename Run::Word w[4];
            run.words(draw, round, w);
            weights_of(run.net)(w, p);
            run.mask(round, whole, p);
        });
    }

    // From p_{l+1} to p_l of all inputs; h_l is in vector `at`.
    template <class Run>
    static RESMC_FN void backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                  Gradient<typename Run::Real, typename Run::Word>& gradient) {
        using Real = typename Run::Real;
        using Double = typename Run::Double;
        using Quads = typename Run::Quads;
        const uint32_t m = run.inputs();
        Real s = run.step(l);
        const Real readout(run.net.network.readout);
        const auto outer = backward_matrix(run, MATRIX_OUTER, l);
        const auto sigma = activated(run, l, here, at);
        uint32_t above = VECTOR_GRADIENT;
        Double pulled[pairs_of(Run::limit)];
        const Double* coming = run.gradients.gram;
        if (run.norm_branch()) {
            ColumnNorm<Run> norm;
            with_branch(run, l, sigma, at, [&](const auto& branch) RESMC_LAMBDA {
                find_branch_norm<block>(run, here, Real(1.0f), nullptr, at, branch, norm);
            });
            above = pulled_vector(run.net);
            pull_branch_columns(run, norm, run.norm_before() ? typename Run::Word(0u) : here.exponent, above, pulled);
            coming = pulled;
            s = s * row_factor<block, Real>(run.net);
        }
        const Double outer_kernel = to_double(s) * to_double(s);
        const auto leave = [](uint32_t, uint32_t, Real(&)[4]) RESMC_LAMBDA {};
        if constexpr (block == BLOCK_PHI_IN) {
            multiply_transposed(run, outer, above, leave);
            add_kernel(run, outer_kernel, coming, run.vectors.active_gram(at), here.exponent, at);
            const auto branch = [&](uint32_t round, bool, Quads& v) RESMC_LAMBDA {
                Quads f, slope;
                sigma(run, round, f, slope);
                run.load(VECTOR_FRESH, m, round, v);
                for (uint32_t a = 0; a < m; ++a)
                    for (uint32_t k = 0; k < 4; ++k) v[a][k] = s * slope[a][k] * v[a][k];
            };
            finish_joint_backward<true>(run, here, at, sigma.met, gradient, branch);
        } else {
            const auto place = block == BLOCK_V_PHI_W ? MATRIX_INNER : MATRIX_OUTER;
            multiply(run, run.weights.matrix(run, place, l), met_vector(run, sigma.met, at));
            Double gram[pairs_of(Run::limit)];
            run.clear(gram, pairs_of(run.columns()));
            // The slopes take the place of u, and v = s D p or s D V^T p theirs.
            for (uint32_t round = 0; round < run.rounds(); ++round) {
                Quads f, slope;
                sigma(run, round, f, slope);
                add_gram<Run::limit>(f, run.columns(), gram);
                for (uint32_t a = 0; a < m; ++a) run.vectors.store(VECTOR_FRESH, a, round, slope[a]);
            }
            const auto pull = [&](uint32_t a, uint32_t round, Real(&v)[4]) RESMC_LAMBDA {
                Real slope[4];
                run.vectors.load(VECTOR_FRESH, a, round, slope);
                for (uint32_t k = 0; k < 4; ++k) v[k] = s * slope[k] * v[k];
                run.mask(round, whole(run, round), v);
            };
            if constexpr (block == BLOCK_V_PHI_W) {
                for (uint32_t i = 0; i < pairs_of(run.columns()); ++i) gram[i] = run.team.total(gram[i]);
                add_kernel(run, outer_kernel, coming, gram, here.exponent, at);
                multiply_transposed(run, outer, above, pull);
            } else {
                for (uint32_t a = 0; a < m; ++a)
                    for (uint32_t round = 0; round < run.rounds(); ++round) {
                        Real v[4];
                        run.vectors.load(above, a, round, v);
                        pull(a, round, v);
                        run.vectors.store(VECTOR_FRESH, a, round, v);
                    }
            }
            run.clear(gram, pairs_of(m));
            for (uint32_t round = 0; round < run.rounds(); ++round) {
                Quads v;
                run.load(VECTOR_FRESH, m, round, v);
                add_gram<Run::limit>(v, m, gram);
            }
            for (uint32_t i = 0; i < pairs_of(m); ++i) gram[i] = run.team.total(gram[i]);
            add_kernel(run, Double(1.0 / run.width()), gram, run.met_gram(at), here.exponent, at);
            multiply_transposed(run, backward_matrix(run, place, l), VECTOR_FRESH, leave);
            const auto branch = [&](uint32_t round, bool, Quads& v) RESMC_LAMBDA {
                run.load(VECTOR_FRESH, m, round, v);
                for (uint32_t a = 0; a < m; ++a)
                    for (uint32_t k = 0; k < 4; ++k) v[a][k] = readout * v[a][k];
            };
            finish_joint_backward<true>(run, here, at, sigma.met, gradient, branch);
        }
    }
};

RESMC_NAMESPACE_END
