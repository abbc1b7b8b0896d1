// Any residual network, layer by layer, and the gradient of one output back through it:
//
//     phi-in      h_{l+1} = carry h_l + s_l (V_l sigma(h_l) + b_l)          dropout: mask sigma(h_l)/sqrt(keep)
//     phi-out     h_{l+1} = carry h_l + s_l sigma(u_l)           u_l = W_l h_l + b_l
//                 h_{l+1} = carry h_l + sigma(s_l u_l)           scaling inside
//     v-phi-w     h_{l+1} = carry h_l + s_l V_l sigma(u_l)       u_l = W_l h_l + b_l
//     p_l = (dh_{l+1}/dh_l)^T p_{l+1},   p_L a row of the readout
//
// With a norm (normalisation.hpp) N h_l stands for h_l in the branch, s_l N(..) for s_l times what the branch gives, or
// h_{l+1} is N of the sum: norm_before, norm_branch, norm_after.
//
// Here are the parts that do not depend on how weights are drawn: what is recorded, how every layer begins and ends,
// and the two passes; units and steps are in residual_step.hpp. A Branch (residual_projected.hpp, residual_dense.hpp)
// makes one layer of either.
//
// h - h_0 and p - p_L are added up as the layers go, in units of their own: where the network is nearly the identity
// they are far smaller than what they are the difference of.
//
// The backward pass wants every h_l again. They are kept for `segment` layers at a time; of the segments before the
// last one only the first layer, from which they are computed once more. The forward pass's random numbers are drawn
// again.
#pragma once

#include "activation.hpp"
#include "network.hpp"
#include "normal.hpp"
#include "normalisation.hpp"
#include "philox.hpp"
#include "projected.hpp"
#include "residual_step.hpp"
#include "segments.hpp"

RESMC_NAMESPACE_BEGIN

// The normals of a quad, and its words. Drawn at so many places that one function serves them all.
template <class Real, class Word, class Wide, class Index>
RESMC_OUTLINE_FN void quad_normals(const PhiloxKeys& keys, const PhiloxPrefix<Wide>& prefix, Index quad, Real (&g)[4],
                                   Word (&w)[4]) {
    quad_words(keys, prefix, quad, w);
    box_muller(w[0], w[1], g[0], g[1]);
    box_muller(w[2], w[3], g[2], g[3]);
}

// Weights +-1 make sums that cancel exactly: equal numbers of both signs, multiples of one number. In floats some of
// these leave a rounding error, dust, and its logarithm, about -37, would be recorded for that of 0; a relu that meets
// it is switched on or off by it. Where weights are +-1, a sum below 2^-17 of the size of its terms is therefore 0.
//
// Dust stays below: a sum of n terms in runs leaves about 2^-26 sqrt(n) of their norm, and the errors that the terms
// bring along from other layers are a few 2^-24 of them, or 100 times that where leaky_relu has left of a sum that
// cancels its lesser slope alone. Of 800 000 vectors of small networks that are 0 in integers 3 are missed, and 20 000
// without this; 1600 others, of leaky networks that come back to within 2^-17 of where they were, are taken for 0. What
// is that small without being 0 is as rare elsewhere: a sum of many terms is nearly normal, and within 2^-17 of its
// standard deviation of 0 with probability 6e-6. Other laws' sums have densities: they are never 0 by chance.
constexpr float DUST = 0x1p-17f;

// x, or 0 where it is dust beside `size`. Sizes are compared as words: an infinite one is not above itself.
template <class Real>
RESMC_FN Real without_dust(Real x, Real size) {
    return select_negative(as_word(magnitude(x)) - as_word(Real(DUST) * size), Real(0.0f), x);
}

// Negative, as a signed word, where w < bound as unsigned words: the borrow of w - bound.
template <class Word>
RESMC_FN Word below(Word w, Word bound) {
    const Word other = w ^ 0xFFFFFFFFu;
    return (other & bound) | ((other ^ bound) & (w - bound));
}

// A simulation of some networks at once: what every part of it needs. Vectors has load(vector, round, x[4]) and
// store(vector, round, x[4]). Weights says where explicit weights come from, and what a slot's layers have of its own
// (residual_dense.hpp: DrawnWeights).
template <class Team_, class Vectors_, class Shared_, class Weights_>
struct ResidualRun {
    using Team = Team_;
    using Vectors = Vectors_;
    using Shared = Shared_;  // vectors that the whole team sees, for explicit weights
    using Weights = Weights_;
    using Real = typename Team::Real;
    using Word = typename Team::Word;
    using Wide = typename Team::Wide;
    using Count = typename Team::Count;
    using Index = typename Team::Index;
    using Forward = ForwardSums<Real, Count>;
    using Backward = BackwardSums<Real>;
    using Layer = LayerState<Real, Word, Count>;

    const Residual& net;
    const PhiloxKeys& keys;
    Team& team;
    Vectors& vectors;
    Shared shared[3];
    Wide networks;
    uint32_t word3;
    Weights weights;

    RESMC_FN uint32_t width() const { return net.network.width; }
    RESMC_FN uint32_t inner() const { return net.inner; }
    RESMC_FN uint32_t rounds(uint32_t neurons) const { return team.state_rounds(neurons); }
    RESMC_FN uint32_t rounds() const { return rounds(width()); }
    RESMC_FN bool has_signs() const { return is_signed(net.activation); }
    RESMC_FN bool has_dust() const { return net.weight_law == WEIGHTS_RADEMACHER; }
    // s_l, or over the root of a row's entries where a matrix ends the branch.
    RESMC_FN Real step(uint32_t l) const { return weights.step(Real(net.steps[l])); }

    RESMC_FN PhiloxPrefix<Wide> draw(uint32_t stream, uint32_t layer) const {
        return philox_prefix(keys, counter_word1(stream, layer), networks, word3);
    }
    // The draw whose words carry the signs of layer l's activation.
    RESMC_FN PhiloxPrefix<Wide> signs(uint32_t l) const {
        if (net.block == BLOCK_V_PHI_W) return draw(STREAM_INNER, l);
        if (net.block == BLOCK_PHI_OUT) return draw(STREAM_RESIDUAL, l);
        return l == 0 ? draw(STREAM_FIRST_LAYER, 0) : draw(STREAM_RESIDUAL, l - 1);
    }
    // x[k], or 0 where there is no such neuron, of as many as a layer has, or of `neurons`.
    RESMC_FN void mask(uint32_t round, bool whole, Real (&x)[4], uint32_t neurons) const {
        if (whole) return;
        const Index first = team.quad(round) << 2;
        for (uint32_t k = 0; k < 4; ++k)
            x[k] = team.outside(first + k, neurons) ? Real(0.0f) : team.inside(first + k, neurons, x[k]);
    }
    RESMC_FN void mask(uint32_t round, bool whole, Real (&x)[4]) const { mask(round, whole, x, width()); }
    RESMC_FN void words(const PhiloxPrefix<Wide>& prefix, uint32_t round, Word (&w)[4]) const {
        quad_words(keys, prefix, team.quad(round), w);
    }
    RESMC_FN void normals(const PhiloxPrefix<Wide>& prefix, uint32_t round, bool whole, Real (&g)[4], Word (&w)[4],
                          uint32_t neurons) const {
        quad_normals(keys, prefix, team.quad(round), g, w);
        mask(round, whole, g, neurons);
    }
    RESMC_FN void normals(const PhiloxPrefix<Wide>& prefix, uint32_t round, bool whole, Real (&g)[4],
                          Word (&w)[4]) const {
        normals(prefix, round, whole, g, w, width());
    }
    RESMC_FN void normals(const PhiloxPrefix<Wide>& prefix, uint32_t round, bool whole, Real (&g)[4]) const {
        Word w[4];
        normals(prefix, round, whole, g, w);
    }
    // Normal number i of a draw, the same for all members.
    RESMC_FN Real normal(const PhiloxPrefix<Wide>& prefix, uint32_t i) const {
        Word w[4];
        Real g[4];
        quad_normals(keys, prefix, Index(i / 4), g, w);
        return i % 4 < 2 ? (i % 4 == 0 ? g[0] : g[1]) : (i % 4 == 2 ? g[2] : g[3]);
    }
    // sigma and its slope, 0 where there is no neuron. w: of the draw that carries the signs.
    RESMC_FN void activation(const ActivationScale<Real>& scale, const Real (&x)[4], const Word (&w)[4], uint32_t round,
                             bool whole, Real (&value)[4], Real (&slope)[4], uint32_t neurons) const {
        activate(net.activation, scale.c, scale.inverse, x, w[1], w[3], value, slope);
        mask(round, whole, value, neurons);
    }
    RESMC_FN void activation(const ActivationScale<Real>& scale, const Real (&x)[4], const Word (&w)[4], uint32_t round,
                             bool whole, Real (&value)[4], Real (&slope)[4]) const {
        activation(scale, x, w, round, whole, value, slope, width());
    }
    // For dropout in phi-in: bit k says if neuron k of a quad of layer l is kept. Without dropout nothing is drawn.
    // Masks are drawn before all that is needed with them, as registers are scarce on a GPU.
    RESMC_FN Word dropout_mask(uint32_t l, uint32_t round) const {
        Word bits(0u);
        if (net.kept_below == 0) return bits;
        Word drawn[4];
        words(draw(STREAM_DROPOUT, l), round, drawn);
        for (uint32_t k = 0; k < 4; ++k)
            bits = bits | ((below(drawn[k], Word(net.kept_below)) >> 31) << static_cast<int>(k));
        return bits;
    }
    // sigma(h_l) and its slope with what dropout leaves of them.
    RESMC_FN void masked_activation(const Word& mask_bits, const ActivationScale<Real>& scale, const Real (&h)[4],
                                    const Word (&w)[4], uint32_t round, bool whole, Real (&value)[4],
                                    Real (&slope)[4]) const {
        activation(scale, h, w, round, whole, value, slope);
        if (net.kept_below == 0) return;
        for (uint32_t k = 0; k < 4; ++k) {
            const Word is_kept = mask_bits << static_cast<int>(31 - k);
            const Real factor = select_negative(is_kept, Real(net.kept_factor), Real(0.0f));
            value[k] = factor * value[k];
            slope[k] = factor * slope[k];
        }
    }

    // For phi-in: adds |sigma(h_l)|^2 and the active neurons of one quad.
    template <Block block>
    RESMC_FN void add_activated(uint32_t l, const ActivationScale<Real>& scale, const Real (&h)[4], const Word (&w)[4],
                                uint32_t round, bool whole, Forward& sum) const {
        if (block != BLOCK_PHI_IN || net.norm_before || net.norm_after) return;
        add_values(l, scale, h, w, round, whole, sum);
    }
    RESMC_FN void add_values(uint32_t l, const ActivationScale<Real>& scale, const Real (&h)[4], const Word (&w)[4],
                             uint32_t round, bool whole, Forward& sum) const {
        Real value[4], slope[4];
        masked_activation(dropout_mask(l, round), scale, h, w, round, whole, value, slope);
        for (uint32_t k = 0; k < 4; ++k) {
            sum.active_square = fma(value[k], value[k], sum.active_square);
            count_positive(sum.active, value[k]);
        }
    }

    // The same in a pass of its own, where an N has to know all of the layer first.
    template <Block block>
    RESMC_FN void add_normalised(uint32_t l, uint32_t vector, Layer& layer) {
        if (block != BLOCK_PHI_IN || !(net.norm_before || net.norm_after)) return;
        const auto met = met_by_branch(*this, vector, layer);
        const auto scale = activation_scale(net, layer.exponent);
        const auto drawn = signs(l);
        const Forward sums = each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
            Real h[4];
            Word w[4] = {};
            vectors.load(vector, round, h);
            meet(*this, met, round, whole, h);
            if (has_signs()) words(drawn, round, w);
            add_values(l, scale, h, w, round, whole, sum);
        });
        layer.sums.active_square = sums.active_square;
        layer.sums.active = sums.active;
    }

    // body(round, whole, sum) for every round of a layer's neurons, or of `neurons`, and the sums of all: floats are
    // summed in runs of SUM_RUN quads, and what is left over behind the whole quads joins the total by itself, as in
    // projected.hpp.
    template <class Sum, class Body>
    RESMC_FN Sum each_round(Body body) {
        return each_round<Sum>(width(), body);
    }
    template <class Sum, class Body>
    RESMC_FN Sum each_round(uint32_t neurons, Body body) {
        const uint32_t all = rounds(neurons), whole = team.whole_rounds(neurons);
        Sum total{}, run{};
        RESMC_UNROLL_DEVICE(1)
        for (uint32_t round = 0; round < all; ++round) {
            if (round % SUM_RUN == 0 || round == whole) {
                if (team.stopped()) break;  // what is left unfinished here is abandoned by whoever said stop
                add(total, run);
                run = Sum{};
                if (round == whole) {
                    run = total;
                    total = Sum{};
                }
            }
            body(round, round < whole, run);
        }
        add(total, run);
        return team.reduce(total);
    }

    // Told of each matrix as the projected method takes gradients back through it: |v|^2 and |x|^2 of what has come to
    // it from behind and of what it has met, in units of 2^(2 exponent), and W^T v's coefficients. A matrix that is the
    // branch's last has the step s_l. Runs that want more than gradients have one of their own.
    template <class Coefficients>
    RESMC_FN void goes_back(uint32_t, bool, const Real&, const Real&, const Word&, Coefficients&) const {}

    // ---- a layer kept in memory, with what is known of it
    // ------------------------------------------------------------

    RESMC_FN void keep(uint32_t vector, const Layer& layer) {
        Real x[4];
        to_quad(layer, x);
        if (net.norm_after) x[2] = layer.factor;  // the active neurons have been recorded
        vectors.store(vector, rounds(), x);
    }
    RESMC_FN Layer kept(uint32_t vector) const {
        Real x[4];
        Layer layer;
        vectors.load(vector, rounds(), x);
        from_quad(x, layer);
        if (net.norm_after) layer.factor = x[2];
        return layer;
    }
    RESMC_FN void copy(uint32_t from, uint32_t to) {
        RESMC_UNROLL_DEVICE(1)
        for (uint32_t round = 0; round <= rounds(); ++round) {
            Real x[4];
            vectors.load(from, round, x);
            vectors.store(to, round, x);
        }
    }

    // ---- how every layer begins and ends
    // ------------------------------------------------------------------------------

    // h_0: normals times the size, or what replace(round, whole, h) makes of a quad of them.
    template <Block block, class Replace>
    RESMC_FN Layer first_layer(uint32_t to, Replace replace) {
        const auto drawn = draw(STREAM_FIRST_LAYER, 0);
        const auto scale = activation_scale(net, Word(0u));
        const Forward sums = each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
            Real h[4];
            Word w[4];
            normals(drawn, round, whole, h, w);
            for (uint32_t k = 0; k < 4; ++k) h[k] = Real(net.size) * h[k];
            replace(round, whole, h);
            for (uint32_t k = 0; k < 4; ++k) sum.square = fma(h[k], h[k], sum.square);
            vectors.store(to, round, h);
            add_activated<block>(0, scale, h, w, round, whole, sum);
        });
        Layer layer{{sums.square, sums.active_square, sums.active}, Word(0u)};
        add_normalised<block>(0, to, layer);
        return layer;
    }

    // An entry of h_{l+1} - h_0 or p_l - p_L, from that of the layer before, the entry x there and the branch's y.
    template <bool written_out>
    RESMC_FN Real changed(const Step<Real>& s, const Real& d, const Real& x, const Real& y) const {
        const Real sum = fma(s.change_step, y, fma(s.change_carry, x, s.keep * d));
        if (!written_out || !has_dust()) return sum;
        return without_dust(sum, magnitude(s.change_step * y) + magnitude(s.change_carry * x) + magnitude(s.keep * d));
    }

    // h_{l+1} in vector `to` from h_l in vector `at` and the branch: branch(round, whole, y, w) gives a quad of it and,
    // if it has drawn them, the words that carry the signs of h_{l+1}; else signs(round, w) does. `size` multiplies the
    // layer's step. How far h went is followed, or left alone. Weights that are `written_out` may leave dust.
    template <Block block, bool written_out, class Branch, class Signs>
    RESMC_FN Layer finish_forward(uint32_t l, const Layer& from, Real size, uint32_t at, uint32_t to, bool follow,
                                  Size<Real, Word>& change, Branch branch, Signs signs) {
        Word exponent;
        Normaliser<Real> norm{};
        Real scaling = net.inside ? Real(1.0f) : step(l);
        if (net.norm_branch) {
            norm = branch_normaliser(*this, from.exponent, size * row_factor<block, Real>(net), branch);
            size = Real(1.0f);
        }
        if (net.norm_before || net.norm_branch)  // what the branch gives has no units
            scaling = scaling * power_of_two_real(Word(0u) - from.exponent);
        const Step<Real> s = forward_step(net, scaling, from, size, exponent, change);
        const auto scale = activation_scale(net, exponent);
        const Forward sums = each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
            Real y[4], h[4], next[4];
            Word w[4] = {};
            if (net.norm_branch) {
                vectors.load(VECTOR_FRESH, round, y);
                norm.apply(y);
                mask(round, whole, y);
                if (!written_out && block == BLOCK_PHI_IN && has_signs()) words(draw(STREAM_RESIDUAL, l), round, w);
            } else {
                branch(round, whole, y, w);
            }
            vectors.load(at, round, h);
            for (uint32_t k = 0; k < 4; ++k) {
                next[k] = fma(s.step, y[k], s.carry * h[k]);
                if (written_out && has_dust())
                    next[k] = without_dust(next[k], magnitude(s.step * y[k]) + magnitude(s.carry * h[k]));
                sum.square = fma(next[k], next[k], sum.square);
            }
            vectors.store(to, round, next);
            if (follow) {
                Real d[4];
                vectors.load(VECTOR_CHANGE, round, d);
                for (uint32_t k = 0; k < 4; ++k) {
                    d[k] = changed<written_out>(s, d[k], h[k], y[k]);
                    sum.change_square = fma(d[k], d[k], sum.change_square);
                }
                vectors.store(VECTOR_CHANGE, round, d);
            }
            signs(round, w);
            add_activated<block>(l + 1, scale, next, w, round, whole, sum);
        });
        if (follow) change.square = sums.change_square;
        Layer layer{{seen_square(net, sums.square), sums.active_square, sums.active}, exponent};
        if (net.norm_after) normalise_layer(*this, to, follow, layer, change);
        add_normalised<block>(l + 1, to, layer);
        return layer;
    }

    // Once p_l has been recorded: p through the N that has made h_l, which is in `vector`.
    RESMC_FN void pull_through_norm(const Layer& layer, uint32_t vector, Gradient<Real, Word>& gradient) {
        if (net.norm_after) pull_layer(*this, layer, vector, gradient);
    }

    // p_L = row / sqrt(n), whose quads row(round, whole, p) gives; h_L is in vector `at`.
    template <class Row>
    RESMC_FN Gradient<Real, Word> first_gradient(uint32_t at, Row row) {
        const Backward sums = each_round<Backward>([&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
            Real p[4], h[4];
            row(round, whole, p);
            vectors.load(at, round, h);
            for (uint32_t k = 0; k < 4; ++k) {
                p[k] = p[k] * Real(net.network.readout);
                sum.square = fma(p[k], p[k], sum.square);
                sum.overlap = fma(p[k], h[k], sum.overlap);
            }
            vectors.store(VECTOR_GRADIENT, round, p);
        });
        return {{sums.square, Word(0u)}, {Real(0.0f), Word(0u)}, sums.overlap};
    }

    // From p_{l+1} to p_l; h_l, of which `here` is known, is in vector `at`, and branch(round, whole, h, v) gives a
    // quad of what comes back through the branch to what it has `met`, h or N h.
    template <bool written_out, class Branch>
    RESMC_FN void finish_backward(const Layer& here, const Normaliser<Real>& met, uint32_t at,
                                  Gradient<Real, Word>& gradient, Branch branch) {
        const Step<Real> s = backward_step(net, here, gradient);
        PulledNorm<Real> pulled{};
        if (net.norm_before) {
            using Sums = NormaliserSums<Real>;
            const Sums sums = each_round<Sums>([&](uint32_t round, bool whole, Sums& sum) RESMC_LAMBDA {
                Real h[4], v[4];
                vectors.load(at, round, h);
                meet(*this, met, round, whole, h);
                branch(round, whole, h, v);
                mask(round, whole, v);
                for (uint32_t k = 0; k < 4; ++k) {
                    sum.sum = sum.sum + v[k];
                    sum.square = fma(h[k], v[k], sum.square);
                }
                vectors.store(VECTOR_FRESH, round, v);
            });
            pulled = pulled_norm(net, met.factor * power_of_two_real(Word(0u) - here.exponent), sums);
        }
        const Backward sums = each_round<Backward>([&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
            Real h[4], v[4], p[4], d[4];
            vectors.load(at, round, h);
            if (net.norm_before) {
                Real y[4] = {h[0], h[1], h[2], h[3]};
                met.apply(y);
                vectors.load(VECTOR_FRESH, round, v);
                for (uint32_t k = 0; k < 4; ++k) v[k] = pulled(v[k], y[k]);
            } else {
                branch(round, whole, h, v);
            }
            mask(round, whole, v);
            vectors.load(VECTOR_GRADIENT, round, p);
            vectors.load(VECTOR_GRADIENT_CHANGE, round, d);
            for (uint32_t k = 0; k < 4; ++k) {
                d[k] = changed<written_out>(s, d[k], p[k], v[k]);
                const Real stepped = fma(s.step, v[k], s.carry * p[k]);
                p[k] = written_out && has_dust()
                           ? without_dust(stepped, magnitude(s.step * v[k]) + magnitude(s.carry * p[k]))
                           : stepped;
                sum.square = fma(p[k], p[k], sum.square);
                sum.change_square = fma(d[k], d[k], sum.change_square);
                sum.overlap = fma(p[k], h[k], sum.overlap);
            }
            vectors.store(VECTOR_GRADIENT, round, p);
            vectors.store(VECTOR_GRADIENT_CHANGE, round, d);
        });
        gradient.p.square = sums.square;
        gradient.change.square = sums.change_square;
        gradient.overlap = sums.overlap;
    }
};

// Where a forward pass is: h of a layer, the vector that holds it, and how far it is from h_0.
template <class Run>
struct ForwardState {
    typename Run::Layer layer;
    uint32_t vector;
    Size<typename Run::Real, typename Run::Word> change;
};

// The steps of the passes, on a CPU one function each, however many places there are that take them: inlined into each
// other they are what compilers are slow at, and a call costs nothing beside a layer.
template <class Branch, class Run>
RESMC_OUTLINE_FN typename Run::Layer layer_first(Run& run, uint32_t to) {
    return Branch::first(run, to);
}
template <class Run>
RESMC_OUTLINE_FN void layer_copy(Run& run, uint32_t from, uint32_t to) {
    run.copy(from, to);
}
template <class Branch, class Run>
RESMC_OUTLINE_FN auto layer_last(Run& run, uint32_t at) {
    return Branch::first_gradient(run, at);
}
template <class Branch, class Run>
RESMC_OUTLINE_FN typename Run::Layer layer_forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                   uint32_t to, bool follow,
                                                   Size<typename Run::Real, typename Run::Word>& change) {
    return Branch::forward(run, l, from, at, to, follow, change);
}
template <class Branch, class Run>
RESMC_OUTLINE_FN void layer_backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                     Gradient<typename Run::Real, typename Run::Word>& gradient) {
    Branch::backward(run, l, here, at, gradient);
}

// Takes `state` from layer `from` to layer `to`, and calls told(l) at every layer that it comes to. With gradients
// every layer has a vector of its own, behind that of the one before. Returns false if the team was told to stop.
template <class Branch, class Run, class Told>
RESMC_FN bool advance(Run& run, ForwardState<Run>& state, uint32_t from, uint32_t to, bool follow, Told told) {
    for (uint32_t l = from; l < to; ++l) {
        if (!run.team.proceed()) return false;
        const uint32_t next = run.net.gradients ? state.vector + 1 : state.vector;
        state.layer = layer_forward<Branch>(run, l, state.layer, state.vector, next, follow, state.change);
        if (run.net.gradients) run.keep(next, state.layer);
        state.vector = next;
        told(l + 1);
    }
    return true;
}

// A Recorder is told of every layer, recorder.layer(l, sums, exponent, change), in the backward pass of
// recorder.gradient(l, gradient, sums of h_l), and of outputs. These parts make a simulation, one after another; each
// returns false if the team was told to stop.

// Layer 0.
template <class Branch, class Run, class Recorder>
RESMC_FN ForwardState<Run> begin_forward(Run& run, Recorder& recorder) {
    using Real = typename Run::Real;
    ForwardState<Run> state{layer_first<Branch>(run, VECTOR_FIRST), VECTOR_FIRST, {}};
    state.change = {Real(0.0f), state.layer.exponent};
    const Real zeros[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
    for (uint32_t round = 0; round < run.rounds(); ++round) {
        run.vectors.store(VECTOR_CHANGE, round, zeros);
        run.vectors.store(VECTOR_GRADIENT_CHANGE, round, zeros);
    }
    if (run.net.gradients) run.keep(VECTOR_FIRST, state.layer);
    recorder.layer(0, state.layer.sums, state.layer.exponent, state.change);
    return state;
}

// From layer `from`, where `state` is, to layer `to`.
template <class Branch, class Run, class Recorder>
RESMC_FN bool forward_part(Run& run, ForwardState<Run>& state, uint32_t from, uint32_t to, Recorder& recorder) {
    const Residual& net = run.net;
    const uint32_t saved = VECTOR_FIRST + net.segment + 1;
    const auto reached = [&](uint32_t l) RESMC_LAMBDA {
        recorder.layer(l, state.layer.sums, state.layer.exponent, state.change);
        if (!net.gradients || l == net.network.depth || l % net.segment != 0) return;
        layer_copy(run, VECTOR_FIRST, saved + l / net.segment - 1);  // a segment leaves its first layer
        layer_copy(run, state.vector, VECTOR_FIRST);                 // and its last one is the next one's first
        state.vector = VECTOR_FIRST;
    };
    return advance<Branch>(run, state, from, to, true, reached);
}

// The gradient at the last layer, where `state` is.
template <class Branch, class Run, class Recorder>
RESMC_FN auto begin_backward(Run& run, const ForwardState<Run>& state, Recorder& recorder) {
    auto gradient = layer_last<Branch>(run, state.vector);
    recorder.gradient(run.net.network.depth, gradient, state.layer.sums);
    run.pull_through_norm(state.layer, state.vector, gradient);
    return gradient;
}

// The gradient from layer `to`, where it is, to layer `from`. A segment is computed once more at its end: the layers of
// all segments that end in here, but for the last of the network, are computed again from their beginning.
template <class Branch, class Run, class Recorder>
RESMC_FN bool backward_part(Run& run, Gradient<typename Run::Real, typename Run::Word>& gradient, uint32_t from,
                            uint32_t to, Recorder& recorder) {
    using Layer = typename Run::Layer;
    const Residual& net = run.net;
    const uint32_t depth = net.network.depth, parts = segments(net), saved = VECTOR_FIRST + net.segment + 1;
    for (uint32_t part = (to + net.segment - 1) / net.segment; part-- > from / net.segment;) {
        const uint32_t begin = part * net.segment;
        const uint32_t end = depth - begin < net.segment ? depth : begin + net.segment;
        const uint32_t first = begin < from ? from : begin, last = end < to ? end : to;
        if (last == end && part + 1 < parts) {
            layer_copy(run, saved + part, VECTOR_FIRST);
            ForwardState<Run> again{run.kept(VECTOR_FIRST), VECTOR_FIRST, {}};
            if (!advance<Branch>(run, again, begin, end - 1, false, [](uint32_t) RESMC_LAMBDA {})) return false;
        }
        for (uint32_t l = last; l-- > first;) {
            if (!run.team.proceed()) return false;
            const uint32_t vector = VECTOR_FIRST + (l - begin);
            const Layer here = run.kept(vector);
            layer_backward<Branch>(run, l, here, vector, gradient);
            recorder.gradient(l, gradient, here.sums);
            if (l > 0) run.pull_through_norm(here, vector, gradient);
        }
    }
    return true;
}

// Networks `word2` (low 32 bits) of one `word3` forwards and, if wanted, backwards. Returns false if the team was told
// to stop.
template <class Branch, class Run, class Recorder>
RESMC_FN bool simulate_residual(Run& run, Recorder& recorder) {
    const uint32_t depth = run.net.network.depth;
    auto state = begin_forward<Branch>(run, recorder);
    if (!forward_part<Branch>(run, state, 0, depth, recorder)) return false;
    if (recorder.wants_output() && !Branch::output(run, state.layer, state.vector, recorder)) return false;
    if (!run.net.gradients) return true;
    auto gradient = begin_backward<Branch>(run, state, recorder);
    return backward_part<Branch>(run, gradient, 0, depth, recorder);
}

RESMC_NAMESPACE_END
