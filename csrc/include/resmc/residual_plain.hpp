// Layers of plain networks by the projected method, as CPUs make them: residual_projected.hpp's numbers in every bit,
// and most of the time that any network takes. Plain are networks without a norm, dropout or orthogonal weights.
//
// Three things make the difference. Words are drawn some quads ahead (projected.hpp: each_quad), and normals are made
// of them in place. A ReLU, whose pass is as short as a draw, is compiled into its passes, while other activations are
// a call for every quad. And the normals that have made a layer are kept beside it for the backward pass, where its
// segment has room (segments.hpp: keeps_normals): so a draw less is needed.
#pragma once

#include "residual_step.hpp"
#include "segments.hpp"

RESMC_NAMESPACE_BEGIN

// True for vectors in memory of which there are as many as wanted, one after another: those of CPUs.
template <class Vectors>
RESMC_FN constexpr bool has_plain_layers() {
    return ON_CPU && requires { Vectors::in_memory; };
}

// ---- how sigma is compiled ------------------------------------------------------------------------------------------
//
// values(run, scale, x, w, value) gives sigma of a quad whose draw gave w, both(..) its slope too;
// is_signed(net) says if they look at w. In the last quad of a layer x may be 0 behind its end, where at_zero(net) says
// if sigma is not.

struct PlainRelu {
    static RESMC_FN bool is_signed(const Residual&) { return false; }
    static RESMC_FN bool at_zero(const Residual&) { return false; }
    template <class Real, class Word>
    static RESMC_FN void values(const Residual&, const ActivationScale<Real>&, const Real (&x)[4], const Word (&)[4],
                                Real (&value)[4]) {
        for (int k = 0; k < 4; ++k) value[k] = max(x[k], Real(0.0f));
    }
    template <class Real, class Word>
    static RESMC_FN void both(const Residual& net, const ActivationScale<Real>& scale, const Real (&x)[4],
                              const Word (&w)[4], Real (&value)[4], Real (&slope)[4]) {
        values(net, scale, x, w, value);
        for (int k = 0; k < 4; ++k) slope[k] = select_positive(x[k], Real(1.0f), Real(0.0f));
    }
};

struct PlainSigma {
    static RESMC_FN bool is_signed(const Residual& net) { return RESMC_TARGET::is_signed(net.activation); }
    static RESMC_FN bool at_zero(const Residual&) { return true; }
    template <class Real, class Word>
    static RESMC_FN void values(const Residual& net, const ActivationScale<Real>& scale, const Real (&x)[4],
                                const Word (&w)[4], Real (&value)[4]) {
        activate_values(net.activation, scale.c, scale.inverse, x, w[1], w[3], value);
    }
    template <class Real, class Word>
    static RESMC_FN void both(const Residual& net, const ActivationScale<Real>& scale, const Real (&x)[4],
                              const Word (&w)[4], Real (&value)[4], Real (&slope)[4]) {
        activate(net.activation, scale.c, scale.inverse, x, w[1], w[3], value, slope);
    }
};

template <Block block, class Sigma, class Run>
struct Plain {
    using Team = typename Run::Team;
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Prefix = PhiloxPrefix<typename Run::Wide>;
    using Layer = typename Run::Layer;
    using Forward = typename Run::Forward;
    using Backward = typename Run::Backward;
    using Scale = ActivationScale<Real>;
    using Sum = TransposedSums<Real>;
    using Square = SquareSum<Real>;

    Run& run;
    const Residual& net;
    uint32_t l;
    Scale scale;
    Real bias_square;  // t^2 n in the layer's units
    uint32_t kept;     // the vector of the normals that make layer l + 1, and those of inner neurons behind them
    bool is_kept;      // whether they are there

    // Of layer l, whose h is in vector `at`.
    static RESMC_FN Plain of(Run& run, uint32_t l, const Word& exponent, uint32_t at) {
        const Residual& net = run.net;
        const auto scale = activation_scale(net, exponent);
        // A segment that is computed once more ends before the step that leads out of it.
        const bool is_kept = keeps_normals(net) && ((l + 1) % net.segment != 0 || l + 1 == net.network.depth);
        return {run,    net, l, scale, Real(net.bias_square) * scale.inverse * scale.inverse, normals_vector(net, at),
                is_kept};
    }

    // body(round, whole, w, g, sum) with the words and normals of every quad of `neurons`, and the sums of all, in the
    // order of ResidualRun::each_round.
    template <class Sums, class Body>
    RESMC_FN Sums each_drawn(const Prefix& drawn, uint32_t neurons, Body body) const {
        constexpr uint32_t ahead = Team::drawn_ahead;
        static_assert(SUM_RUN % ahead == 0);
        const uint32_t all = run.rounds(neurons), whole = run.team.whole_rounds(neurons);
        Sums total{}, sums{};
        uint32_t n;
        for (uint32_t begin = 0; begin < all; begin += n) {
            if (begin % SUM_RUN == 0 || begin == whole) {
                if (run.team.stopped()) break;  // what is left unfinished here is abandoned by whoever said stop
                add(total, sums);
                sums = Sums{};
                if (begin == whole) {  // what is left over behind the whole quads joins the total by itself
                    sums = total;
                    total = Sums{};
                }
            }
            n = (begin < whole ? whole : all) - begin;
            n = n < ahead ? n : ahead;
            Word w[ahead][4];
            for (uint32_t i = 0; i < n; ++i) run.words(drawn, begin + i, w[i]);
            for (uint32_t i = 0; i < n; ++i) {
                Real g[4];
                box_muller(w[i][0], w[i][1], g[0], g[1]);
                box_muller(w[i][2], w[i][3], g[2], g[3]);
                run.mask(begin + i, begin < whole, g, neurons);
                body(begin + i, begin < whole, w[i], g, sums);
            }
        }
        add(total, sums);
        return run.team.reduce(total);
    }

    RESMC_FN void values(const Real (&x)[4], const Word (&w)[4], uint32_t round, bool whole, uint32_t neurons,
                         Real (&value)[4]) const {
        Sigma::values(net, scale, x, w, value);
        if (!whole && Sigma::at_zero(net)) run.mask(round, false, value, neurons);
    }
    RESMC_FN void both(const Real (&x)[4], const Word (&w)[4], uint32_t round, bool whole, uint32_t neurons,
                       Real (&value)[4], Real (&slope)[4]) const {
        Sigma::both(net, scale, x, w, value, slope);
        if (!whole && Sigma::at_zero(net)) run.mask(round, false, value, neurons);
    }
    // The words that carry the signs of a quad, where they are looked at.
    RESMC_FN void signs(const Prefix& drawn, uint32_t round, Word (&w)[4]) const {
        if (Sigma::is_signed(net)) run.words(drawn, round, w);
    }
    // u_l = factor g.
    RESMC_FN Real pre_activation_factor(const Real& square) const {
        const Real size = sqrt(square + bias_square) * Real(net.network.readout);
        return net.inside ? size * run.step(l) : size;
    }

    template <bool follow, bool keep>
    RESMC_FN Layer forward(const Layer& from, uint32_t at, uint32_t to, Size<Real, Word>& change) const {
        Real size(1.0f), factor(0.0f);
        if constexpr (block == BLOCK_PHI_IN)
            size = net.bias_square > 0.0f ? sqrt(from.sums.active_square + bias_square) : sqrt(from.sums.active_square);
        else
            factor = pre_activation_factor(from.sums.square);
        if constexpr (block == BLOCK_V_PHI_W) {  // |sigma(u)|
            const auto body = [&](uint32_t round, bool whole, const Word(&w)[4], const Real(&g)[4], Square& sum)
                                  RESMC_LAMBDA {
                                      Real u[4], value[4];
                                      for (uint32_t k = 0; k < 4; ++k) u[k] = factor * g[k];
                                      if constexpr (keep) run.vectors.store(kept + 1, round, g);
                                      values(u, w, round, whole, net.inner, value);
                                      for (uint32_t k = 0; k < 4; ++k) sum.square = fma(value[k], value[k], sum.square);
                                  };
            size = sqrt(each_drawn<Square>(run.draw(STREAM_INNER, l), net.inner, body).square);
        }
        Word exponent;
        const Step<Real> s = forward_step(net, net.inside ? Real(1.0f) : run.step(l), from, size, exponent, change);
        const Plain next_layer = of(run, l + 1, exponent, at);
        const auto body = [&](uint32_t round, bool whole, const Word(&w)[4], const Real(&g)[4], Forward& sum)
                              RESMC_LAMBDA {
                                  Real h[4], y[4] = {g[0], g[1], g[2], g[3]}, next[4];
                                  run.vectors.load(at, round, h);
                                  if constexpr (keep) run.vectors.store(kept, round, g);
                                  if constexpr (block == BLOCK_PHI_OUT) {
                                      Real u[4];
                                      for (uint32_t k = 0; k < 4; ++k) u[k] = factor * g[k];
                                      values(u, w, round, whole, run.width(), y);
                                  }
                                  for (uint32_t k = 0; k < 4; ++k) {
                                      next[k] = fma(s.step, y[k], s.carry * h[k]);
                                      sum.square = fma(next[k], next[k], sum.square);
                                  }
                                  run.vectors.store(to, round, next);
                                  if constexpr (follow) {
                                      Real d[4];
                                      run.vectors.load(VECTOR_CHANGE, round, d);
                                      for (uint32_t k = 0; k < 4; ++k) {
                                          d[k] = fma(s.change_step, y[k], fma(s.change_carry, h[k], s.keep * d[k]));
                                          sum.change_square = fma(d[k], d[k], sum.change_square);
                                      }
                                      run.vectors.store(VECTOR_CHANGE, round, d);
                                  }
                                  if constexpr (block == BLOCK_PHI_IN) {
                                      Real value[4];
                                      next_layer.values(next, w, round, whole, run.width(), value);
                                      for (uint32_t k = 0; k < 4; ++k) {
                                          sum.active_square = fma(value[k], value[k], sum.active_square);
                                          count_positive(sum.active, value[k]);
                                      }
                                  }
                              };
        const Forward sums = each_drawn<Forward>(run.draw(STREAM_RESIDUAL, l), run.width(), body);
        if (follow) change.square = sums.change_square;
        return {{seen_square(net, sums.square), sums.active_square, sums.active}, exponent};
    }

    // Where fresh normals are kept: in place of those that they are drawn beside, whose memory is near.
    RESMC_FN uint32_t fresh_vector() const { return is_kept ? kept : static_cast<uint32_t>(VECTOR_FRESH); }
    // A quad of the normals that have made layer l + 1, or those within its branch: kept in `vector`, or `drawn` again.
    RESMC_FN void past(const Prefix& drawn, uint32_t vector, uint32_t round, bool whole, uint32_t neurons,
                       Real (&g)[4]) const {
        if (is_kept)
            run.vectors.load(vector, round, g);
        else {
            Word w[4];
            run.normals(drawn, round, whole, g, w, neurons);
        }
    }

    // p_l, of what branch(round, h, v) gives back to h.
    template <class Branch>
    RESMC_FN void finish(const Layer& here, uint32_t at, Gradient<Real, Word>& gradient, Branch branch) const {
        const Step<Real> s = backward_step(net, here, gradient);
        const auto body = [&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
            Real h[4], v[4], p[4], d[4];
            run.vectors.load(at, round, h);
            branch(round, whole, h, v);
            run.mask(round, whole, v);
            run.vectors.load(VECTOR_GRADIENT, round, p);
            run.vectors.load(VECTOR_GRADIENT_CHANGE, round, d);
            for (uint32_t k = 0; k < 4; ++k) {
                d[k] = fma(s.change_step, v[k], fma(s.change_carry, p[k], s.keep * d[k]));
                p[k] = fma(s.step, v[k], s.carry * p[k]);
                sum.square = fma(p[k], p[k], sum.square);
                sum.change_square = fma(d[k], d[k], sum.change_square);
                sum.overlap = fma(p[k], h[k], sum.overlap);
            }
            run.vectors.store(VECTOR_GRADIENT, round, p);
            run.vectors.store(VECTOR_GRADIENT_CHANGE, round, d);
        };
        const Backward sums = run.template each_round<Backward>(body);
        gradient.p.square = sums.square;
        gradient.change.square = sums.change_square;
        gradient.overlap = sums.overlap;
    }

    RESMC_FN void backward(const Layer& here, uint32_t at, Gradient<Real, Word>& gradient) const {
        const Real bias = Real(net.bias) * scale.inverse, s = run.step(l), p_square = gradient.p.square;
        const Word exponent = gradient.p.exponent + here.exponent;
        const auto residual = run.draw(STREAM_RESIDUAL, l), fresh = run.draw(STREAM_BACKWARD, l);
        const uint32_t width = run.width();
        // H of a bias, whose normal stands behind those of the neurons.
        const auto with_bias = [&](const Prefix& draw, const Real& sum) {
            return net.bias > 0.0f ? fma(bias, run.normal(draw, width), sum) : sum;
        };
        if constexpr (block == BLOCK_PHI_IN) {
            // J^T p = s D V^T p with x = sigma(h), v = p.
            const auto signed_by = run.signs(l);
            const uint32_t of_fresh = fresh_vector();
            const auto body = [&](uint32_t round, bool whole, const Word(&)[4], const Real(&f)[4], Sum& sum)
                                  RESMC_LAMBDA {
                                      Real g[4], p[4], h[4], value[4];
                                      Word w[4] = {};
                                      signs(signed_by, round, w);
                                      past(residual, kept, round, whole, width, g);
                                      run.vectors.load(VECTOR_GRADIENT, round, p);
                                      run.vectors.load(at, round, h);
                                      values(h, w, round, whole, width, value);
                                      run.vectors.store(of_fresh, round, f);
                                      for (uint32_t k = 0; k < 4; ++k) {
                                          sum.drawn = fma(g[k], p[k], sum.drawn);
                                          sum.fresh = fma(value[k], f[k], sum.fresh);
                                      }
                                  };
            const Sum sums = each_drawn<Sum>(fresh, width, body);
            auto t = transposed(sums.drawn, p_square, with_bias(fresh, sums.fresh),
                                net.bias > 0.0f ? here.sums.active_square + bias_square : here.sums.active_square);
            run.goes_back(l, true, p_square, here.sums.active_square, exponent, t);
            const auto branch = [&](uint32_t round, bool whole, const Real(&h)[4], Real(&v)[4]) RESMC_LAMBDA {
                Real f[4], value[4], slope[4];
                Word w[4] = {};
                signs(signed_by, round, w);
                run.vectors.load(of_fresh, round, f);
                both(h, w, round, whole, width, value, slope);
                for (uint32_t k = 0; k < 4; ++k) v[k] = s * slope[k] * fma(t.along, value[k], t.across * f[k]);
            };
            finish(here, at, gradient, branch);
        } else {
            // v = s D p (phi-out) or s D V^T p (v-phi-w), then J^T p = W^T v with x = h.
            const Real factor = pre_activation_factor(here.sums.square);
            const auto inner = block == BLOCK_V_PHI_W ? run.draw(STREAM_INNER, l) : residual;
            const auto inner_fresh = block == BLOCK_V_PHI_W ? run.draw(STREAM_BACKWARD_INNER, l) : fresh;
            const uint32_t activated = block == BLOCK_V_PHI_W ? net.inner : width;
            const uint32_t activated_kept = block == BLOCK_V_PHI_W ? kept + 1 : kept;
            const uint32_t of_inner = inner_vector(net);
            const uint32_t of_fresh = block == BLOCK_V_PHI_W ? static_cast<uint32_t>(VECTOR_FRESH) : fresh_vector();
            Transposed<Real> outer{Real(0.0f), Real(0.0f)};
            // u of a quad, its normals g, and the words of its signs.
            const auto met = [&](uint32_t round, bool whole, Real(&g)[4], Real(&u)[4], Word(&w)[4]) RESMC_LAMBDA {
                past(inner, activated_kept, round, whole, activated, g);
                signs(inner, round, w);
                for (uint32_t k = 0; k < 4; ++k) u[k] = factor * g[k];
            };
            if constexpr (block == BLOCK_V_PHI_W) {  // V^T p with x = sigma(u), v = p
                const auto body = [&](uint32_t round, bool whole, const Word(&)[4], const Real(&f)[4], Sum& sum)
                                      RESMC_LAMBDA {
                                          Real g[4], u[4], value[4];
                                          Word w[4] = {};
                                          met(round, whole, g, u, w);
                                          values(u, w, round, whole, activated, value);
                                          run.vectors.store(of_inner, round, f);
                                          for (uint32_t k = 0; k < 4; ++k) {
                                              sum.fresh = fma(value[k], f[k], sum.fresh);
                                              sum.x_square = fma(value[k], value[k], sum.x_square);
                                          }
                                      };
                const auto of_layer = [&](uint32_t round, bool whole, Square& sum) RESMC_LAMBDA {
                    Real g[4], p[4];
                    past(residual, kept, round, whole, width, g);
                    run.vectors.load(VECTOR_GRADIENT, round, p);
                    for (uint32_t k = 0; k < 4; ++k) sum.square = fma(g[k], p[k], sum.square);
                };
                const Sum sums = each_drawn<Sum>(fresh, activated, body);
                const Real drawn = run.template each_round<Square>(of_layer).square;
                outer = transposed(drawn, p_square, sums.fresh, sums.x_square);
                run.goes_back(l, true, p_square, sums.x_square, exponent, outer);
            }
            const auto through_activation = [&](uint32_t round, bool whole, Sum& sum) RESMC_LAMBDA {
                Real g[4], u[4], v[4], value[4], slope[4];
                Word w[4] = {};
                met(round, whole, g, u, w);
                both(u, w, round, whole, activated, value, slope);
                if constexpr (block == BLOCK_V_PHI_W) {
                    run.vectors.load(of_inner, round, v);
                    for (uint32_t k = 0; k < 4; ++k) v[k] = fma(outer.along, value[k], outer.across * v[k]);
                } else {
                    run.vectors.load(VECTOR_GRADIENT, round, v);
                }
                for (uint32_t k = 0; k < 4; ++k) {
                    v[k] = s * slope[k] * v[k];
                    sum.drawn = fma(g[k], v[k], sum.drawn);
                    sum.v_square = fma(v[k], v[k], sum.v_square);
                }
            };
            Sum sums{};
            if constexpr (block == BLOCK_V_PHI_W) sums = run.template each_round<Sum>(activated, through_activation);
            const auto to_layer = [&](uint32_t round, bool whole, const Word(&)[4], const Real(&f)[4], Sum& sum)
                                      RESMC_LAMBDA {
                                          Real h[4];
                                          if constexpr (block == BLOCK_PHI_OUT) through_activation(round, whole, sum);
                                          run.vectors.load(at, round, h);
                                          run.vectors.store(of_fresh, round, f);
                                          for (uint32_t k = 0; k < 4; ++k) sum.fresh = fma(h[k], f[k], sum.fresh);
                                      };
            const Sum fresh_sums = each_drawn<Sum>(inner_fresh, width, to_layer);
            if constexpr (block == BLOCK_PHI_OUT)
                sums = fresh_sums;
            else
                sums.fresh = fresh_sums.fresh;
            const Real x_square = here.sums.square;
            auto t = transposed(sums.drawn, sums.v_square, with_bias(inner_fresh, sums.fresh),
                                net.bias > 0.0f ? x_square + bias_square : x_square);
            run.goes_back(l, false, sums.v_square, x_square, exponent, t);
            const Real readout(net.network.readout);
            const auto branch = [&](uint32_t round, bool, const Real(&h)[4], Real(&v)[4]) RESMC_LAMBDA {
                Real f[4];
                run.vectors.load(of_fresh, round, f);
                for (uint32_t k = 0; k < 4; ++k) v[k] = readout * fma(t.along, h[k], t.across * f[k]);
            };
            finish(here, at, gradient, branch);
        }
    }
};

// The steps of residual.hpp's passes, chosen once per layer.

template <Block block, class Sigma, class Run>
RESMC_OUTLINE_FN typename Run::Layer plain_forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                   uint32_t to, bool follow,
                                                   Size<typename Run::Real, typename Run::Word>& change) {
    const auto layer = Plain<block, Sigma, Run>::of(run, l, from.exponent, at);
    // A segment that is computed once more keeps its normals then.
    const bool keep = keeps_normals(run.net) && (!follow || l / run.net.segment + 1 == segments(run.net));
    if (keep)
        return follow ? layer.template forward<true, true>(from, at, to, change)
                      : layer.template forward<false, true>(from, at, to, change);
    return follow ? layer.template forward<true, false>(from, at, to, change)
                  : layer.template forward<false, false>(from, at, to, change);
}
template <Block block, class Sigma, class Run>
RESMC_OUTLINE_FN void plain_backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                     Gradient<typename Run::Real, typename Run::Word>& gradient) {
    Plain<block, Sigma, Run>::of(run, l, here.exponent, at).backward(here, at, gradient);
}

template <Block block, class Run>
RESMC_FN typename Run::Layer plain_layer_forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                 uint32_t to, bool follow,
                                                 Size<typename Run::Real, typename Run::Word>& change) {
    return run.net.activation.kind == ACTIVATION_RELU
               ? plain_forward<block, PlainRelu>(run, l, from, at, to, follow, change)
               : plain_forward<block, PlainSigma>(run, l, from, at, to, follow, change);
}
template <Block block, class Run>
RESMC_FN void plain_layer_backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                   Gradient<typename Run::Real, typename Run::Word>& gradient) {
    if (run.net.activation.kind == ACTIVATION_RELU)
        plain_backward<block, PlainRelu>(run, l, here, at, gradient);
    else
        plain_backward<block, PlainSigma>(run, l, here, at, gradient);
}

RESMC_NAMESPACE_END
