// The projected method for every block, forwards and backwards: exactly in law at cost n per layer.
//
// A matrix of independent Gaussians meets a vector in one direction only. With x~ = (x, sqrt(n) t) for a bias of
// standard deviation t, and X = |x~|^2,
//
//     W x + b  =  sqrt(X/n) g                                     g ~ N(0, I), fresh
//     W^T v    =  (1/sqrt n) [ x (g.v/sqrt X - |v| H/X) + |v| g' ],   H = x~ . g',   g' ~ N(0, I), fresh
//
// are exact, jointly: what g says of W is kept, and all else of it is independent. The second is the vector-Jacobian
// product, v being a function of g and of other matrices. Where X = 0, g says nothing and the term of x is left out.
// A matrix need not be square: n is the number of entries of x, and g has as many as W has rows.
//
// An orthogonal W, uniform among all such n x n matrices, makes of x a vector that is uniform on the sphere of radius
// |x|, and W^T sends what is across that one to a uniform direction across x, without changing its length. So the same
// lines hold with g' = sqrt(n) g/|g| for g, and with sqrt(n) |v'|/|g''| for |v|, where v' is what v has across g', and
// g'' what the fresh normals have across x. Without a bias, which would leave W x unknown.
//
// A norm asks for nothing more: N h is a function of h, and N of a branch one of what has been drawn.
#pragma once

#include "residual.hpp"
#include "residual_plain.hpp"

RESMC_NAMESPACE_BEGIN

// Where weights are orthogonal: with |g'|^2 = n, and the square of all n fresh normals.
template <class Real>
RESMC_FN Transposed<Real> transposed_orthogonal(Real n, Real gv, Real v_square, Real h, Real x_square,
                                                Real fresh_square) {
    const auto zero = as_word(x_square);
    const Real x = select_zero(zero, Real(1.0f), x_square), known = select_zero(zero, Real(0.0f), gv);
    const Real across = max(v_square - known * known / n, Real(0.0f)), fresh = fresh_square - h * h / x;
    const Real size = sqrt(n * across / max(fresh, Real(0x1p-100f)));
    return {known / sqrt(x) - size * (h / x), size};
}

template <Block block>
struct Projected {
    // True for orthogonal weights, which GPUs do not have.
    static RESMC_FN bool orthogonal(const Residual& net) { return ON_CPU && net.weight_law == WEIGHTS_ORTHOGONAL; }
    // |g|^2 of a layer's normals.
    template <class Run>
    static RESMC_FN typename Run::Real normals_square(Run& run, const PhiloxPrefix<typename Run::Wide>& draw) {
        using Square = SquareSum<typename Run::Real>;
        const auto body = [&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
            typename Run::Real g[4];
            run.normals(draw, round, whole, g);
            for (uint32_t k = 0; k < 4; ++k) sum.square = fma(g[k], g[k], sum.square);
        };
        return run.template each_round<Square>(body).square;
    }
    // What makes g of them uniform on the sphere of radius sqrt(n), where weights are orthogonal; else 1.
    template <class Run>
    static RESMC_FN typename Run::Real to_sphere(Run& run, const PhiloxPrefix<typename Run::Wide>& draw) {
        using Real = typename Run::Real;
        if (!orthogonal(run.net)) return Real(1.0f);
        return sqrt(Real(static_cast<float>(run.width())) / normals_square(run, draw));
    }
    // W^T v, of g.v of the normals `drawn` and H of those that are `fresh`.
    template <class Run>
    static RESMC_FN auto back(Run& run, const PhiloxPrefix<typename Run::Wide>& drawn,
                              const PhiloxPrefix<typename Run::Wide>& fresh, typename Run::Real gv,
                              typename Run::Real v_square, typename Run::Real h, typename Run::Real x_square) {
        using Real = typename Run::Real;
        if (!orthogonal(run.net)) return transposed(gv, v_square, h, x_square);
        return transposed_orthogonal(Real(static_cast<float>(run.width())), gv * to_sphere(run, drawn), v_square, h,
                                     x_square, normals_square(run, fresh));
    }

    // t^2 n_l in the units of layer l.
    template <class Run, class Real = typename Run::Real>
    static RESMC_FN Real bias_square(const Run& run, uint32_t l, const ActivationScale<Real>& scale) {
        return run.bias_square(l) * scale.inverse * scale.inverse;
    }

    // h_0 = size g.
    template <class Run>
    static RESMC_FN typename Run::Layer first(Run& run, uint32_t to) {
        return first_layer<block>(run, to, [](uint32_t, bool, typename Run::Real(&)[4]) RESMC_LAMBDA {});
    }

    // u = factor g of one quad of `neurons`, from the draw that also carries the signs.
    template <class Run, class Real, class Word>
    static RESMC_FN void pre_activation(const Run& run, const PhiloxPrefix<typename Run::Wide>& draw, Real factor,
                                        uint32_t round, bool whole, Real (&g)[4], Real (&u)[4], Word (&w)[4],
                                        uint32_t neurons) {
        run.normals(draw, round, whole, g, w, neurons);
        for (uint32_t k = 0; k < 4; ++k) u[k] = factor * g[k];
    }

    // u_l = factor g, of independent entries.
    template <class Run>
    static RESMC_FN typename Run::Real pre_activation_size(const Run& run, uint32_t l,
                                                           const Normaliser<typename Run::Real>& met,
                                                           const ActivationScale<typename Run::Real>& scale) {
        using Real = typename Run::Real;
        const Real size = sqrt(met.square + bias_square(run, l, scale)) * run.readout(l);
        return run.net.inside ? size * run.step(l) : size;
    }
    // And of any weights.
    template <class Run>
    static RESMC_FN typename Run::Real pre_activation_factor(Run& run, uint32_t l,
                                                             const Normaliser<typename Run::Real>& met,
                                                             const ActivationScale<typename Run::Real>& scale) {
        const auto size = pre_activation_size(run, l, met, scale);
        if (!orthogonal(run.net)) return size;
        return size * to_sphere(run, run.draw(block == BLOCK_V_PHI_W ? STREAM_INNER : STREAM_RESIDUAL, l));
    }

    // What a layer's branch is made with: it gives size y, y a quad of `values`.
    template <class Run>
    struct Made {
        PhiloxPrefix<typename Run::Wide> draw;
        ActivationScale<typename Run::Real> scale;
        typename Run::Real size, factor;
        uint32_t neurons;  // of the layer that it leads to

        RESMC_FN void values(const Run& run, uint32_t round, bool whole, typename Run::Real (&y)[4],
                             typename Run::Word (&w)[4]) const {
            using Real = typename Run::Real;
            run.normals(draw, round, whole, y, w, neurons);
            if (block == BLOCK_PHI_OUT) {
                Real u[4], slope[4];
                for (uint32_t k = 0; k < 4; ++k) u[k] = factor * y[k];
                run.activation(scale, u, w, round, whole, y, slope, neurons);
            }
        }
    };
    template <class Run>
    static RESMC_FN Made<Run> made(Run& run, uint32_t l, const typename Run::Layer& from,
                                   const Normaliser<typename Run::Real>& met) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        using Square = SquareSum<Real>;
        const Residual& net = run.net;
        const auto scale = activation_scale(net, from.exponent);
        Made<Run> branch{run.draw(STREAM_RESIDUAL, l), scale, Real(1.0f), Real(0.0f), run.width(l + 1)};
        if (block == BLOCK_PHI_IN)
            branch.size = net.bias_square > 0.0f ? sqrt(from.sums.active_square + bias_square(run, l, scale))
                                                 : sqrt(from.sums.active_square);
        else
            branch.factor = pre_activation_factor(run, l, met, scale);
        if (block == BLOCK_V_PHI_W) {  // |sigma(u)|
            const auto inner = run.draw(STREAM_INNER, l);
            const auto body = [&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
                Real g[4], u[4], value[4], slope[4];
                Word w[4];
                pre_activation(run, inner, branch.factor, round, whole, g, u, w, run.inner());
                run.activation(scale, u, w, round, whole, value, slope, run.inner());
                for (uint32_t k = 0; k < 4; ++k) sum.square = fma(value[k], value[k], sum.square);
            };
            branch.size = sqrt(run.template each_round<Square>(run.inner(), body).square);
        }
        if (block != BLOCK_PHI_OUT && orthogonal(net)) branch.size = branch.size * to_sphere(run, branch.draw);
        return branch;
    }

    template <class Run>
    static RESMC_FN typename Run::Layer forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                uint32_t to, bool follow,
                                                Size<typename Run::Real, typename Run::Word>& change) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        if constexpr (has_plain_layers<typename Run::Vectors>())
            if (is_plain(run.net)) return plain_layer_forward<block>(run, l, from, at, to, follow, change);
        const auto met = block == BLOCK_PHI_IN ? Normaliser<Real>{} : met_by_branch(run, at, from);  // in active_square
        const auto with = made(run, l, from, met);
        const auto branch = [&](uint32_t round, bool whole, Real(&y)[4], Word(&w)[4])
                                RESMC_LAMBDA { with.values(run, round, whole, y, w); };
        const auto drawn = [](uint32_t, Word(&)[4]) RESMC_LAMBDA {};
        return finish_forward<block, false>(run, l, from, with.size, at, to, follow, change, branch, drawn);
    }

    template <class Run, class Recorder>
    static RESMC_FN bool output(Run& run, const typename Run::Layer& last, uint32_t, Recorder& recorder) {
        using Real = typename Run::Real;
        const auto draw = run.draw(STREAM_OUTPUT, run.net.network.depth);
        const Real size = sqrt(last.sums.square) * run.readout(run.net.network.depth);
        for (uint32_t round = 0; round < run.team.rounds(run.net.network.n_out); ++round) {
            Real g[4];
            run.normals(draw, round, true, g);
            for (uint32_t k = 0; k < 4; ++k) recorder.output((run.team.quad(round) << 2) + k, size * g[k]);
        }
        return true;
    }

    // The sums of two loops over the neurons of two layers, in one where these have as many.
    template <class Sum, class Run, class First, class Second>
    static RESMC_FN Sum both(Run& run, uint32_t of_first, First first, uint32_t of_second, Second second) {
        if (run.has_widths()) {
            Sum sums = run.template each_round<Sum>(of_first, first);
            sums.fresh = run.template each_round<Sum>(of_second, second).fresh;
            return sums;
        }
        return run.template each_round<Sum>([&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
            first(round, whole, sum);
            second(round, whole, sum);
        });
    }

    // p_L = g / sqrt(n).
    template <class Run>
    static RESMC_FN auto first_gradient(Run& run, uint32_t at) {
        const uint32_t depth = run.net.network.depth, neurons = run.width(depth);
        const auto draw = run.draw(STREAM_GRADIENT, depth);
        return begin_gradient(run, at, [&](uint32_t round, bool whole, typename Run::Real(&p)[4]) RESMC_LAMBDA {
            run.normals(draw, round, whole, p, neurons);
        });
    }

    // From p_{l+1} to p_l; h_l is in vector `at`.
    template <class Run>
    static RESMC_FN void backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                  Gradient<typename Run::Real, typename Run::Word>& gradient) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        using Sum = TransposedSums<Real>;
        const Residual& net = run.net;
        if constexpr (has_plain_layers<typename Run::Vectors>())
            if (is_plain(net)) return plain_layer_backward<block>(run, l, here, at, gradient);
        const auto scale = activation_scale(net, here.exponent);
        const auto bias2 = bias_square(run, l, scale);
        const Real bias = run.bias(l) * scale.inverse;
        const uint32_t neurons = run.width(l);
        const auto residual = run.draw(STREAM_RESIDUAL, l), fresh = run.draw(STREAM_BACKWARD, l);
        const auto met = met_by_branch(run, at, here);
        Real p_square = gradient.p.square, s = run.step(l);
        uint32_t above = VECTOR_GRADIENT;
        if (net.norm_branch) {
            const auto with = made(run, l, here, met);
            const Real row = row_factor<block, Real>(net);
            const auto norm = branch_normaliser(run, here.exponent, with.size * row,
                                                [&](uint32_t round, bool whole, Real(&y)[4], Word(&w)[4])
                                                    RESMC_LAMBDA { with.values(run, round, whole, y, w); });
            above = pulled_vector(net);
            p_square = pull_branch(run, norm, here.exponent, above);
            s = s * row;
        }
        const Word exponent = gradient.p.exponent + here.exponent;

        if constexpr (block == BLOCK_PHI_IN) {
            // J^T p = s D V^T p with x = sigma(h), v = p; dropout is part of sigma, and so of D.
            const auto signs = run.signs(l);
            const auto from_above = [&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
                Real g[4], p[4];
                run.normals(residual, round, whole, g, run.width(l + 1));
                run.vectors.load(above, round, p);
                for (uint32_t k = 0; k < 4; ++k) sum.drawn = fma(g[k], p[k], sum.drawn);
            };
            const auto of_layer = [&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
                Real h[4], f[4], value[4], slope[4];
                Word w[4] = {};
                const Word kept = run.dropout_mask(l, round);
                if (run.has_signs()) run.words(signs, round, w);
                run.normals(fresh, round, whole, f, neurons);
                run.vectors.load(at, round, h);
                meet(run, met, round, whole, h);
                run.masked_activation(l, kept, scale, h, w, round, whole, value, slope);
                run.vectors.store(VECTOR_FRESH, round, f);
                for (uint32_t k = 0; k < 4; ++k) sum.fresh = fma(value[k], f[k], sum.fresh);
            };
            const Sum sums = both<Sum>(run, run.width(l + 1), from_above, neurons, of_layer);
            auto t = net.bias > 0.0f
                         ? transposed(sums.drawn, p_square, fma(bias, run.normal(fresh, neurons), sums.fresh),
                                      here.sums.active_square + bias2)
                         : back(run, residual, fresh, sums.drawn, p_square, sums.fresh, here.sums.active_square);
            run.goes_back(l, true, p_square, here.sums.active_square, exponent, t);
            const auto branch = [&](uint32_t round, bool whole, const Real(&h)[4], Real(&v)[4]) RESMC_LAMBDA {
                Real f[4], value[4], slope[4];
                Word w[4] = {};
                const Word kept = run.dropout_mask(l, round);
                if (run.has_signs()) run.words(signs, round, w);
                run.vectors.load(VECTOR_FRESH, round, f);
                run.masked_activation(l, kept, scale, h, w, round, whole, value, slope);
                for (uint32_t k = 0; k < 4; ++k) v[k] = s * slope[k] * fma(t.along, value[k], t.across * f[k]);
            };
            finish_backward<false>(run, l, here, met, at, gradient, branch);
        } else {
            // v = s D p (phi-out) or s D V^T p (v-phi-w), then J^T p = W^T v with x = h.
            const Real factor = pre_activation_factor(run, l, met, scale);
            const auto inner = block == BLOCK_V_PHI_W ? run.draw(STREAM_INNER, l) : residual;
            const auto inner_fresh = block == BLOCK_V_PHI_W ? run.draw(STREAM_BACKWARD_INNER, l) : fresh;
            const uint32_t activated = run.template activated<block>(l);
            Transposed<Real> outer{Real(0.0f), Real(0.0f)};
            const uint32_t kept = inner_vector(net);  // normals of the neurons that the activation acts on
            if constexpr (block == BLOCK_V_PHI_W) {   // V^T p with x = sigma(u), v = p
                const auto of_inner = [&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
                    Real g[4], u[4], f[4], value[4], slope[4];
                    Word w[4];
                    pre_activation(run, inner, factor, round, whole, g, u, w, activated);
                    run.activation(scale, u, w, round, whole, value, slope, activated);
                    run.normals(fresh, round, whole, f, w, activated);
                    run.vectors.store(kept, round, f);
                    for (uint32_t k = 0; k < 4; ++k) {
                        sum.fresh = fma(value[k], f[k], sum.fresh);
                        sum.x_square = fma(value[k], value[k], sum.x_square);
                    }
                };
                const auto of_layer = [&](uint32_t round, bool whole, SquareSum<Real>& sum) RESMC_LAMBDA {
                    Real g[4], p[4];
                    run.normals(residual, round, whole, g);
                    run.vectors.load(above, round, p);
                    for (uint32_t k = 0; k < 4; ++k) sum.square = fma(g[k], p[k], sum.square);
                };
                const Sum sums = run.template each_round<Sum>(activated, of_inner);
                const Real drawn = run.template each_round<SquareSum<Real>>(of_layer).square;
                outer = back(run, residual, fresh, drawn, p_square, sums.fresh, sums.x_square);
                run.goes_back(l, true, p_square, sums.x_square, exponent, outer);
            }
            const auto through_activation = [&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
                Real g[4], u[4], v[4], value[4], slope[4];
                Word w[4];
                pre_activation(run, inner, factor, round, whole, g, u, w, activated);
                run.activation(scale, u, w, round, whole, value, slope, activated);
                if constexpr (block == BLOCK_V_PHI_W) {
                    run.vectors.load(kept, round, v);
                    for (uint32_t k = 0; k < 4; ++k) v[k] = fma(outer.along, value[k], outer.across * v[k]);
                } else {
                    run.vectors.load(above, round, v);
                }
                for (uint32_t k = 0; k < 4; ++k) {
                    v[k] = s * slope[k] * v[k];
                    sum.drawn = fma(g[k], v[k], sum.drawn);
                    sum.v_square = fma(v[k], v[k], sum.v_square);
                }
            };
            const auto to_layer = [&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
                Real f[4], h[4];
                run.normals(inner_fresh, round, whole, f, neurons);
                run.vectors.load(at, round, h);
                meet(run, met, round, whole, h);
                run.vectors.store(VECTOR_FRESH, round, f);
                for (uint32_t k = 0; k < 4; ++k) sum.fresh = fma(h[k], f[k], sum.fresh);
            };
            Sum sums{};
            if constexpr (block == BLOCK_V_PHI_W) {
                sums = run.template each_round<Sum>(activated, through_activation);
                sums.fresh = run.template each_round<Sum>(to_layer).fresh;
            } else {
                sums = both<Sum>(run, activated, through_activation, neurons, to_layer);
            }
            auto t = net.bias > 0.0f
                         ? transposed(sums.drawn, sums.v_square,
                                      fma(bias, run.normal(inner_fresh, neurons), sums.fresh), met.square + bias2)
                         : back(run, inner, inner_fresh, sums.drawn, sums.v_square, sums.fresh, met.square);
            run.goes_back(l, false, sums.v_square, here.sums.square, exponent, t);
            const Real readout = run.readout(l);
            finish_backward<false>(run, l, here, met, at, gradient,
                                   [&](uint32_t round, bool, const Real(&h)[4], Real(&v)[4]) RESMC_LAMBDA {
                                       Real f[4];
                                       run.vectors.load(VECTOR_FRESH, round, f);
                                       for (uint32_t k = 0; k < 4; ++k)
                                           v[k] = readout * fma(t.along, h[k], t.across * f[k]);
                                   });
        }
    }
};

RESMC_NAMESPACE_END
