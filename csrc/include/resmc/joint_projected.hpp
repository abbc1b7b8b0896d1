// The projected method for several inputs, forwards and backwards: exactly in law at cost n m^2 per layer.
//
// With a row t sqrt(n) below Phi's column 0 for a bias of standard deviation t, C C^T = Phi^T Phi and D D^T = P^T P for
// the gradients P that come to a matrix W,
//
//     W Phi       =  G C^T/sqrt(n)                                           G independent normals
//     sqrt(n) W^T P  =  Q B + G' D^T    Q = Phi C^-T,  B = G^T P - (Q^T G') D^T      G' fresh
//
// are exact, jointly. Q B = Phi C^-T B: only sums over neurons and small matrices are needed. Without the first term
// and what it takes from the second, gradients go back through matrices that are independent of the forward ones.
#pragma once

#include "joint_gradient.hpp"
#include "residual_projected.hpp"

RESMC_NAMESPACE_BEGIN

// How u's columns are made of normals: u_0 = factor g_0, as residual_projected.hpp has it, and u_a = sum_j mix_aj g_j.
template <class Run>
struct JointPreActivation {
    using Real = typename Run::Real;
    typename Run::Factor met;  // of h's columns and the bias
    typename Run::Scales scales;
    Real factor, mix[pairs_of(Run::limit)];

    RESMC_FN void operator()(const Run& run, typename Run::ColumnDraw& draw, uint32_t round, bool whole,
                             typename Run::Quads& g, typename Run::Quads& u, typename Run::Word (&w)[4]) const {
        run.column_normals(draw, run.columns(), round, whole, g, w);
        for (uint32_t k = 0; k < 4; ++k) u[0][k] = factor * g[0][k];
        run.combine(mix, run.columns(), g, u);
    }
};

// body(round, whole) for every round, without sums of floats.
template <class Run, class Body>
RESMC_FN void each_quad_of(Run& run, Body body) {
    using Square = SquareSum<typename Run::Real>;
    run.template each_round<Square>([&](uint32_t round, bool whole, Square&) RESMC_LAMBDA { body(round, whole); });
}

template <class Run>
struct JointTransposition;
template <class Run>
RESMC_OUTLINE_FN void transposed_quad(const Run& run, const JointTransposition<Run>& back, uint32_t round,
                                      const typename Run::Quads& phi, typename Run::Quads& v);
template <class Run>
RESMC_OUTLINE_FN void solve_transposition(const Run& run, JointTransposition<Run>& back,
                                          typename Run::ColumnDraw& fresh, typename Run::Real bias);

// sqrt(n) W^T P = Phi along + G' across^T: sums over neurons, then coefficients. G' is kept in VECTOR_FRESH.
//
// Where columns are nearly combinations of each other, entries of `along` are large and cancel in Phi along: that is
// summed in double, in which Phi is exact.
template <class Run>
struct JointTransposition {
    using Real = typename Run::Real;
    using Double = typename Run::Double;
    using Quads = typename Run::Quads;
    static constexpr uint32_t limit = Run::limit;

    typename Run::Factor met, coming;                     // C and D
    Double drawn[limit][limit], met_fresh[limit][limit];  // G^T P, Phi^T G'
    Double along[limit][limit];
    Real across[pairs_of(limit)];

    RESMC_FN void clear(const Run& run) {
        for (uint32_t i = 0; i < run.columns(); ++i) {
            run.clear(drawn[i], run.inputs());
            run.clear(met_fresh[i], run.inputs());
        }
    }
    RESMC_FN void draw_fresh(Run& run, typename Run::ColumnDraw& fresh, uint32_t round, bool whole) const {
        Quads f;
        typename Run::Word w[4];
        run.column_normals(fresh, run.inputs(), round, whole, f, w);
        for (uint32_t a = 0; a < run.inputs(); ++a) run.vectors.store(VECTOR_FRESH, a, round, f[a]);
    }
    // One quad of the normals that W has drawn, of what comes to it, and of what it has met.
    RESMC_FN void add(const Run& run, uint32_t round, const Quads& g, const Quads& p, const Quads& phi) {
        Quads f;
        run.load(VECTOR_FRESH, run.inputs(), round, f);
        add_products<limit>(g, run.columns(), p, run.inputs(), drawn);
        add_products<limit>(phi, run.columns(), f, run.inputs(), met_fresh);
    }
    // From sums to coefficients, `met` and `coming` being known; `bias` is the last entry of Phi's column 0.
    RESMC_FN void solve(const Run& run, typename Run::ColumnDraw& fresh, Real bias) {
        solve_transposition(run, *this, fresh, bias);
    }
    RESMC_FN void solve_inline(const Run& run, typename Run::ColumnDraw& fresh, Real bias) {
        const uint32_t m = run.inputs(), n = run.columns();
        for (uint32_t i = 0; i < pairs_of(m); ++i) across[i] = to_single(coming.c[i]);
        if (run.joint.independent) return;
        for (uint32_t a = 0; a < m; ++a) {
            for (uint32_t i = 0; i < n; ++i) {
                drawn[i][a] = run.team.total(drawn[i][a]);
                met_fresh[i][a] = run.team.total(met_fresh[i][a]);
            }
            if (run.net.bias > 0.0f)
                met_fresh[0][a] =
                    fma(to_double(bias), to_double(run.normal(run.of_column(fresh, a), run.width())), met_fresh[0][a]);
        }
        met.solve(met_fresh, m);
        for (uint32_t i = 0; i < n; ++i)
            for (uint32_t a = 0; a < m; ++a)
                for (uint32_t j = 0; j <= a; ++j) drawn[i][a] = drawn[i][a] - met_fresh[i][j] * coming(a, j);
        met.solve_transposed(drawn, m);
        for (uint32_t i = 0; i < n; ++i)
            for (uint32_t a = 0; a < m; ++a) along[i][a] = drawn[i][a];
    }
    // One quad of sqrt(n) W^T P.
    RESMC_FN void operator()(const Run& run, uint32_t round, const Quads& phi, Quads& v) const {
        if constexpr (limit > 2)
            transposed_quad(run, *this, round, phi, v);
        else
            multiply(run, round, phi, v);
    }
    RESMC_FN void multiply(const Run& run, uint32_t round, const Quads& phi, Quads& v) const {
        Quads f;
        run.load(VECTOR_FRESH, run.inputs(), round, f);
        for (uint32_t a = 0; a < run.inputs(); ++a) {
            for (uint32_t k = 0; k < 4; ++k) v[a][k] = across[pair_index(a, 0)] * f[0][k];
            for (uint32_t j = 1; j <= a; ++j)
                for (uint32_t k = 0; k < 4; ++k) v[a][k] = fma(across[pair_index(a, j)], f[j][k], v[a][k]);
        }
        if (run.joint.independent) return;
        for (uint32_t k = 0; k < 4; ++k) {
            Double wide[limit];
            for (uint32_t i = 0; i < run.columns(); ++i) wide[i] = to_double(phi[i][k]);
            for (uint32_t a = 0; a < run.inputs(); ++a) {
                Double sum = along[0][a] * wide[0];
                for (uint32_t i = 1; i < run.columns(); ++i) sum = fma(along[i][a], wide[i], sum);
                v[a][k] = v[a][k] + to_single(sum);
            }
        }
    }
};

template <class Run>
RESMC_OUTLINE_FN void transposed_quad(const Run& run, const JointTransposition<Run>& back, uint32_t round,
                                      const typename Run::Quads& phi, typename Run::Quads& v) {
    back.multiply(run, round, phi, v);
}
template <class Run>
RESMC_OUTLINE_FN void solve_transposition(const Run& run, JointTransposition<Run>& back,
                                          typename Run::ColumnDraw& fresh, typename Run::Real bias) {
    back.solve_inline(run, fresh, bias);
}

// What makes u_l from h_l in vector `at`.
template <Block block, class Run>
RESMC_OUTLINE_FN void find_pre_activation(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                          JointPreActivation<Run>& u) {
    using Double = typename Run::Double;
    typename Run::Word exponents[Run::limit];
    const auto exponent = run.met_exponents(at, from.exponent, exponents);
    run.find_scales(exponent, exponents, u.scales);
    const auto h = first_met<block>(run, at, from);
    u.factor = Projected<block>::pre_activation_size(run, l, h, u.scales.first);
    const auto bias_square = Projected<block>::bias_square(run, l, u.scales.first);
    run.factorise_met(run.met_gram(at), bias_square, u.met);
    auto aligned = u.met;
    run.follow_first(sqrt(h.square + bias_square), aligned);
    Double scale(static_cast<double>(run.net.network.readout));
    if (run.net.inside) scale = scale * to_double(run.step(l));
    for (uint32_t a = 1; a < run.columns(); ++a)
        for (uint32_t j = 0; j <= a; ++j) u.mix[pair_index(a, j)] = to_single(scale * aligned(a, j));
}

template <Block block>
struct JointProjected {
    using Single = Projected<block>;

    template <class Run>
    static RESMC_FN typename Run::Layer first(Run& run, uint32_t to) {
        return run.template first_layer<block>(to);
    }

    // use(size, met, branch) of layer l's branch, as finish_forward takes these.
    template <class Run, class Use>
    static RESMC_FN auto with_branch(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at, Use use) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        using Quads = typename Run::Quads;
        const Residual& net = run.net;
        auto draw = run.column_draw(STREAM_RESIDUAL, l);
        if constexpr (block == BLOCK_PHI_OUT) {
            JointPreActivation<Run> pre;
            find_pre_activation<block>(run, l, from, at, pre);
            const auto branch = [&](uint32_t round, bool whole, Quads& y, Word(&w)[4]) RESMC_LAMBDA {
                Quads g, u, slope;
                pre(run, draw, round, whole, g, u, w);
                run.activate_columns(pre.scales, u, w, round, whole, y, slope);
            };
            return use(Real(1.0f), static_cast<const typename Run::Factor*>(nullptr), branch);
        } else {
            Real size;
            typename Run::Factor met;
            if constexpr (block == BLOCK_PHI_IN) {
                const auto bias_square = Single::bias_square(run, l, activation_scale(net, from.exponent));
                size = net.bias_square > 0.0f ? sqrt(from.sums.active_square + bias_square)
                                              : sqrt(from.sums.active_square);
                run.factorise_met(run.vectors.active_gram(at), bias_square, met);
            } else {
                JointPreActivation<Run> pre;
                find_pre_activation<block>(run, l, from, at, pre);
                size = sqrt(activated(run, l, pre, met).square);
            }
            run.follow_first(size, met);
            const auto branch = [&](uint32_t round, bool whole, Quads& y, Word(&w)[4])
                                    RESMC_LAMBDA { run.column_normals(draw, run.columns(), round, whole, y, w); };
            return use(size, static_cast<const typename Run::Factor*>(&met), branch);
        }
    }

    template <class Run>
    static RESMC_FN typename Run::Layer forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                uint32_t to, bool follow,
                                                Size<typename Run::Real, typename Run::Word>& change) {
        const auto drawn = [](uint32_t, typename Run::Word(&)[4]) RESMC_LAMBDA {};
        return with_branch(run, l, from, at,
                           [&](const typename Run::Real& size, const typename Run::Factor* met, const auto& branch)
                               RESMC_LAMBDA {
                                   return run.template finish_forward<block, false>(l, from, size, met, at, to, follow,
                                                                                    change, branch, drawn);
                               });
    }

    // Of v-phi-w: |sigma(u^0)|^2, and the factor of sigma(u)'s columns.
    template <class Run>
    static RESMC_FN auto activated(Run& run, uint32_t l, const JointPreActivation<Run>& pre,
                                   typename Run::Factor& met) {
        using Square = SquareSum<typename Run::Real>;
        using Quads = typename Run::Quads;
        auto inner = run.column_draw(STREAM_INNER, l);
        typename Run::Double gram[pairs_of(Run::limit)];
        run.clear(gram, pairs_of(run.columns()));
        const auto body = [&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
            Quads g, u, f, slope;
            typename Run::Word w[4];
            pre(run, inner, round, whole, g, u, w);
            run.activate_columns(pre.scales, u, w, round, whole, f, slope);
            for (uint32_t k = 0; k < 4; ++k) sum.square = fma(f[0][k], f[0][k], sum.square);
            add_gram<Run::limit>(f, run.columns(), gram);
        };
        const Square square = run.template each_round<Square>(body);
        for (uint32_t i = 0; i < pairs_of(run.columns()); ++i) gram[i] = run.team.total(gram[i]);
        factorise<Run::limit>(gram, run.columns(), met);
        return square;
    }

    template <class Run>
    static RESMC_FN auto first_gradient(Run& run, uint32_t at) {
        const auto draw = run.draw(STREAM_GRADIENT, run.net.network.depth);
        return first_joint_gradient(run, at, [&](uint32_t round, bool whole, typename Run::Real(&p)[4]) RESMC_LAMBDA {
            run.normals(draw, round, whole, p);
        });
    }

    // From p_{l+1} to p_l of all inputs; h_l is in vector `at`.
    template <class Run>
    static RESMC_FN void backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                  Gradient<typename Run::Real, typename Run::Word>& gradient) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        using Double = typename Run::Double;
        using Quads = typename Run::Quads;
        const Residual& net = run.net;
        const uint32_t m = run.inputs(), all = run.columns();
        Real s = run.step(l);
        ColumnNorm<Run> norm;
        uint32_t above = VECTOR_GRADIENT;
        Double pulled[pairs_of(Run::limit)];
        const Double* coming = run.gradients.gram;
        if constexpr (Run::may_norm) {
            if (run.norm_branch()) {
                with_branch(run, l, here, at,
                            [&](const Real& size, const typename Run::Factor* met, const auto& branch)
                                RESMC_LAMBDA { find_branch_norm<block>(run, here, size, met, at, branch, norm); });
                above = pulled_vector(net);
                pull_branch_columns(run, norm, run.norm_before() ? Word(0u) : here.exponent, above, pulled);
                coming = pulled;
                s = s * row_factor<block, Real>(net);
            }
            find_met(run, at, here, norm);
        }
        const Double step = to_double(s), outer_kernel = step * step;
        auto residual = run.column_draw(STREAM_RESIDUAL, l);
        JointTransposition<Run> back;           // of the matrix that comes last on the way back
        if constexpr (block == BLOCK_PHI_IN) {  // J^T p = s D V^T p, V having met sigma(h)
            typename Run::Scales scales;
            Word exponents[Run::limit];
            const Word exponent = run.met_exponents(at, here.exponent, exponents);
            run.find_scales(exponent, exponents, scales);
            const auto bias_square = Single::bias_square(run, l, scales.first);
            run.factorise_met(run.vectors.active_gram(at), bias_square, back.met);
            factorise<Run::limit>(coming, m, back.coming);
            auto fresh = run.column_draw(STREAM_BACKWARD, l);
            const auto signs = run.signs(l);
            // sigma(h), and where it has been.
            const auto active = [&](uint32_t round, bool whole, Quads& f, Quads& slope) RESMC_LAMBDA {
                Quads h;
                Word w[4] = {};
                if (run.has_signs()) run.words(signs, round, w);
                run.load(at, all, round, h);
                if (run.norm_before()) norm.apply(run, round, whole, h);
                run.activate_columns(scales, h, w, round, whole, f, slope);
                run.drop_out(l, round, f, slope);
            };
            back.clear(run);
            each_quad_of(run, [&](uint32_t round, bool whole) RESMC_LAMBDA {
                Quads g, p, f, slope;
                Word w[4];
                back.draw_fresh(run, fresh, round, whole);
                if (run.joint.independent) return;
                run.column_normals(residual, all, round, whole, g, w);
                run.load(above, m, round, p);
                active(round, whole, f, slope);
                back.add(run, round, g, p, f);
            });
            back.solve(run, fresh, Real(net.bias) * scales.first.inverse);
            add_kernel(run, outer_kernel, coming, run.vectors.active_gram(at), here.exponent, at);
            const auto branch = [&](uint32_t round, bool whole, Quads& v) RESMC_LAMBDA {
                Quads f, slope;
                active(round, whole, f, slope);
                back(run, round, f, v);
                for (uint32_t a = 0; a < m; ++a)
                    for (uint32_t k = 0; k < 4; ++k) v[a][k] = s * slope[a][k] * v[a][k];
            };
            finish_joint_backward<false>(run, here, at, norm, gradient, branch);
        } else {  // v = s D p (phi-out) or s D V^T p (v-phi-w), then J^T p = W^T v, W having met h
            JointPreActivation<Run> pre;
            find_pre_activation<block>(run, l, here, at, pre);
            auto inner = block == BLOCK_V_PHI_W ? run.column_draw(STREAM_INNER, l) : residual;
            JointTransposition<Run> outer;
            if constexpr (block == BLOCK_V_PHI_W) {  // V^T p, V having met sigma(u)
                Double gram[pairs_of(Run::limit)];
                run.clear(gram, pairs_of(all));
                factorise<Run::limit>(coming, m, outer.coming);
                auto fresh = run.column_draw(STREAM_BACKWARD, l);
                outer.clear(run);
                each_quad_of(run, [&](uint32_t round, bool whole) RESMC_LAMBDA {
                    Quads g, u, p, f, slope;
                    Word w[4];
                    outer.draw_fresh(run, fresh, round, whole);
                    pre(run, inner, round, whole, g, u, w);
                    run.activate_columns(pre.scales, u, w, round, whole, f, slope);
                    add_gram<Run::limit>(f, all, gram);
                    if (run.joint.independent) return;
                    run.column_normals(residual, all, round, whole, g, w);
                    run.load(above, m, round, p);
                    outer.add(run, round, g, p, f);
                });
                for (uint32_t i = 0; i < pairs_of(all); ++i) gram[i] = run.team.total(gram[i]);
                factorise<Run::limit>(gram, all, outer.met);
                outer.solve(run, fresh, Real(0.0f));
                add_kernel(run, outer_kernel, coming, gram, here.exponent, at);
            }
            Double gram[pairs_of(Run::limit)];
            run.clear(gram, pairs_of(m));
            back.met = pre.met;
            back.clear(run);
            auto fresh = run.column_draw(block == BLOCK_V_PHI_W ? STREAM_BACKWARD_INNER : STREAM_BACKWARD, l);
            each_quad_of(run, [&](uint32_t round, bool whole) RESMC_LAMBDA {
                Quads g, u, v, h, f, slope;
                Word w[4];
                pre(run, inner, round, whole, g, u, w);
                run.activate_columns(pre.scales, u, w, round, whole, f, slope);
                if constexpr (block == BLOCK_V_PHI_W)
                    outer(run, round, f, v);
                else
                    run.load(above, m, round, v);
                for (uint32_t a = 0; a < m; ++a) {
                    for (uint32_t k = 0; k < 4; ++k) v[a][k] = s * slope[a][k] * v[a][k];
                    run.mask(round, whole, v[a]);
                }
                back.draw_fresh(run, fresh, round, whole);
                add_gram<Run::limit>(v, m, gram);
                if (run.joint.independent) return;
                run.load(at, all, round, h);
                if (run.norm_before()) norm.apply(run, round, whole, h);
                back.add(run, round, g, v, h);
            });
            for (uint32_t i = 0; i < pairs_of(m); ++i) gram[i] = run.team.total(gram[i]);
            factorise<Run::limit>(gram, m, back.coming);
            back.solve(run, fresh, Real(net.bias) * pre.scales.first.inverse);
            add_kernel(run, Double(1.0 / run.width()), gram, run.met_gram(at), here.exponent, at);
            const Real readout(net.network.readout);
            const auto branch = [&](uint32_t round, bool whole, Quads& v) RESMC_LAMBDA {
                Quads h;
                run.load(at, all, round, h);
                if (run.norm_before()) norm.apply(run, round, whole, h);
                back(run, round, h, v);
                for (uint32_t a = 0; a < m; ++a)
                    for (uint32_t k = 0; k < 4; ++k) v[a][k] = readout * v[a][k];
            };
            finish_joint_backward<false>(run, here, at, norm, gradient, branch);
        }
    }
};

RESMC_NAMESPACE_END
