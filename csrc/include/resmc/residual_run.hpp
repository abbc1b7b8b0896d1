// Any residual network as it is simulated: what is drawn, activations, loops over neurons, and layers kept in memory.
// What is said here is the same however weights are drawn, and in either direction.
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

    // Neurons of a layer, of the widest one where layers have widths of their own, which those of GPUs have not; and of
    // layer l.
    RESMC_FN uint32_t width() const { return net.network.width; }
    RESMC_FN uint32_t width(uint32_t l) const { return has_widths() ? net.widths[l] : width(); }
    RESMC_FN bool has_widths() const { return ON_CPU && net.widths != nullptr; }
    // Neurons that the activation of layer l's branch acts on, where that has met a matrix.
    template <Block block>
    RESMC_FN uint32_t activated(uint32_t l) const {
        return block == BLOCK_PHI_OUT ? width(l + 1) : net.inner;
    }
    RESMC_FN uint32_t inner() const { return net.inner; }
    // 1/sqrt(n_l); t sqrt(n_l) and t^2 n_l, t the standard deviation of a bias.
    RESMC_FN Real readout(uint32_t l) const {
        return has_widths() ? Real(1.0f) / sqrt(Real(static_cast<float>(width(l)))) : Real(net.network.readout);
    }
    RESMC_FN Real bias(uint32_t l) const {
        return has_widths() ? Real(net.bias) * sqrt(Real(share_of_width(l))) : Real(net.bias);
    }
    RESMC_FN Real bias_square(uint32_t l) const {
        return has_widths() ? Real(net.bias_square) * Real(share_of_width(l)) : Real(net.bias_square);
    }
    RESMC_FN float share_of_width(uint32_t l) const {
        return static_cast<float>(width(l)) / static_cast<float>(width());
    }
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
    RESMC_FN void normals(const PhiloxPrefix<Wide>& prefix, uint32_t round, bool whole, Real (&g)[4],
                          uint32_t neurons) const {
        Word w[4];
        normals(prefix, round, whole, g, w, neurons);
    }
    RESMC_FN void normals(const PhiloxPrefix<Wide>& prefix, uint32_t round, bool whole, Real (&g)[4]) const {
        normals(prefix, round, whole, g, width());
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
    RESMC_FN void masked_activation(uint32_t l, const Word& mask_bits, const ActivationScale<Real>& scale,
                                    const Real (&h)[4], const Word (&w)[4], uint32_t round, bool whole,
                                    Real (&value)[4], Real (&slope)[4]) const {
        activation(scale, h, w, round, whole, value, slope, width(l));
        if (net.kept_below == 0) return;
        for (uint32_t k = 0; k < 4; ++k) {
            const Word is_kept = mask_bits << static_cast<int>(31 - k);
            const Real factor = select_negative(is_kept, Real(net.kept_factor), Real(0.0f));
            value[k] = factor * value[k];
            slope[k] = factor * slope[k];
        }
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

    // Once p_l has been recorded: p through the N that has made h_l, which is in `vector`.
    RESMC_FN void pull_through_norm(const Layer& layer, uint32_t vector, Gradient<Real, Word>& gradient) {
        if (net.norm_after) pull_layer(*this, layer, vector, gradient);
    }
};

RESMC_NAMESPACE_END
