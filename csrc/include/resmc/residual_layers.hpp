// How every layer of a residual network begins and ends, however weights are drawn: a Branch (residual_projected.hpp,
// residual_dense.hpp) makes what stands between.
//
// h - h_0 and p - p_L are added up as the layers go, in units of their own: where the network is nearly the identity
// they are far smaller than what they are the difference of. Where layers have widths of their own there is no such
// difference, nor a skip: vectors of other lengths are not loaded.
#pragma once

#include "residual_run.hpp"

RESMC_NAMESPACE_BEGIN

// ---- sums over sigma(h_l), which phi-in's branches are made with ----------------------------------------------------

// Adds |sigma(h_l)|^2 and the active neurons of one quad.
template <class Run, class Real = typename Run::Real>
RESMC_FN void add_values(const Run& run, uint32_t l, const ActivationScale<Real>& scale, const Real (&h)[4],
                         const typename Run::Word (&w)[4], uint32_t round, bool whole, typename Run::Forward& sum) {
    Real value[4], slope[4];
    run.masked_activation(l, run.dropout_mask(l, round), scale, h, w, round, whole, value, slope);
    for (uint32_t k = 0; k < 4; ++k) {
        sum.active_square = fma(value[k], value[k], sum.active_square);
        count_positive(sum.active, value[k]);
    }
}

// For phi-in, unless an N has to know all of the layer first.
template <Block block, class Run, class Real = typename Run::Real>
RESMC_FN void add_activated(const Run& run, uint32_t l, const ActivationScale<Real>& scale, const Real (&h)[4],
                            const typename Run::Word (&w)[4], uint32_t round, bool whole, typename Run::Forward& sum) {
    if (block != BLOCK_PHI_IN || run.net.norm_before || run.net.norm_after) return;
    add_values(run, l, scale, h, w, round, whole, sum);
}

// And where it has: in a pass of its own.
template <Block block, class Run>
RESMC_FN void add_normalised(Run& run, uint32_t l, uint32_t vector, typename Run::Layer& layer) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Forward = typename Run::Forward;
    if (block != BLOCK_PHI_IN || !(run.net.norm_before || run.net.norm_after)) return;
    const auto met = met_by_branch(run, vector, layer);
    const auto scale = activation_scale(run.net, layer.exponent);
    const auto drawn = run.signs(l);
    const auto body = [&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
        Real h[4];
        Word w[4] = {};
        run.vectors.load(vector, round, h);
        meet(run, met, round, whole, h);
        if (run.has_signs()) run.words(drawn, round, w);
        add_values(run, l, scale, h, w, round, whole, sum);
    };
    const Forward sums = run.template each_round<Forward>(body);
    layer.sums.active_square = sums.active_square;
    layer.sums.active = sums.active;
}

// ---- forwards
// ---------------------------------------------------------------------------------------------------------

// h_0: normals times the size, or what replace(round, whole, h) makes of a quad of them.
template <Block block, class Run, class Replace>
RESMC_FN typename Run::Layer first_layer(Run& run, uint32_t to, Replace replace) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Forward = typename Run::Forward;
    const uint32_t neurons = run.width(0);
    const auto drawn = run.draw(STREAM_FIRST_LAYER, 0);
    const auto scale = activation_scale(run.net, Word(0u));
    const auto body = [&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
        Real h[4];
        Word w[4];
        run.normals(drawn, round, whole, h, w, neurons);
        for (uint32_t k = 0; k < 4; ++k) h[k] = Real(run.net.size) * h[k];
        replace(round, whole, h);
        for (uint32_t k = 0; k < 4; ++k) sum.square = fma(h[k], h[k], sum.square);
        run.vectors.store(to, round, h);
        add_activated<block>(run, 0, scale, h, w, round, whole, sum);
    };
    const Forward sums = run.template each_round<Forward>(neurons, body);
    typename Run::Layer layer{{sums.square, sums.active_square, sums.active}, Word(0u)};
    add_normalised<block>(run, 0, to, layer);
    return layer;
}

// An entry of h_{l+1} - h_0 or p_l - p_L, from that of the layer before, the entry x there and the branch's y.
template <bool written_out, class Run, class Real = typename Run::Real>
RESMC_FN Real changed(const Run& run, const Step<Real>& s, const Real& d, const Real& x, const Real& y) {
    const Real sum = fma(s.change_step, y, fma(s.change_carry, x, s.keep * d));
    if (!written_out || !run.has_dust()) return sum;
    return without_dust(sum, magnitude(s.change_step * y) + magnitude(s.change_carry * x) + magnitude(s.keep * d));
}

// h_{l+1} in vector `to` from h_l in vector `at` and the branch: branch(round, whole, y, w) gives a quad of it and, if
// it has drawn them, the words that carry the signs of h_{l+1}; else signs(round, w) does. `size` multiplies the
// layer's step. How far h went is followed, or left alone. Weights that are `written_out` may leave dust.
template <Block block, bool written_out, class Run, class Real = typename Run::Real, class Branch, class Signs>
RESMC_FN typename Run::Layer finish_forward(Run& run, uint32_t l, const typename Run::Layer& from, Real size,
                                            uint32_t at, uint32_t to, bool follow,
                                            Size<Real, typename Run::Word>& change, Branch branch, Signs signs) {
    using Word = typename Run::Word;
    using Forward = typename Run::Forward;
    const Residual& net = run.net;
    const uint32_t neurons = run.width(l + 1);
    const bool alike = !run.has_widths();
    Word exponent;
    Normaliser<Real> norm{};
    Real scaling = net.inside ? Real(1.0f) : run.step(l);
    if (net.norm_branch) {
        norm = branch_normaliser(run, from.exponent, size * row_factor<block, Real>(net), branch);
        size = Real(1.0f);
    }
    if (net.norm_before || net.norm_branch)  // what the branch gives has no units
        scaling = scaling * power_of_two_real(Word(0u) - from.exponent);
    const Step<Real> s = forward_step(net, scaling, from, size, exponent, change);
    const auto scale = activation_scale(net, exponent);
    const auto body = [&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
        Real y[4], h[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)}, next[4];
        Word w[4] = {};
        if (net.norm_branch) {
            run.vectors.load(VECTOR_FRESH, round, y);
            norm.apply(y);
            run.mask(round, whole, y);
            if (!written_out && block == BLOCK_PHI_IN && run.has_signs())
                run.words(run.draw(STREAM_RESIDUAL, l), round, w);
        } else {
            branch(round, whole, y, w);
        }
        if (alike) run.vectors.load(at, round, h);
        for (uint32_t k = 0; k < 4; ++k) {
            next[k] = fma(s.step, y[k], s.carry * h[k]);
            if (written_out && run.has_dust())
                next[k] = without_dust(next[k], magnitude(s.step * y[k]) + magnitude(s.carry * h[k]));
            sum.square = fma(next[k], next[k], sum.square);
        }
        run.vectors.store(to, round, next);
        if (follow && alike) {
            Real d[4];
            run.vectors.load(VECTOR_CHANGE, round, d);
            for (uint32_t k = 0; k < 4; ++k) {
                d[k] = changed<written_out>(run, s, d[k], h[k], y[k]);
                sum.change_square = fma(d[k], d[k], sum.change_square);
            }
            run.vectors.store(VECTOR_CHANGE, round, d);
        }
        signs(round, w);
        add_activated<block>(run, l + 1, scale, next, w, round, whole, sum);
    };
    const Forward sums = run.template each_round<Forward>(neurons, body);
    if (follow) change.square = sums.change_square;
    typename Run::Layer layer{{seen_square(net, sums.square), sums.active_square, sums.active}, exponent};
    if (net.norm_after) normalise_layer(run, to, follow, layer, change);
    add_normalised<block>(run, l + 1, to, layer);
    return layer;
}

// ---- and back
// ---------------------------------------------------------------------------------------------------------

// p_L = row / sqrt(n), whose quads row(round, whole, p) gives; h_L is in vector `at`.
template <class Run, class Row>
RESMC_FN auto begin_gradient(Run& run, uint32_t at, Row row) {
    using Real = typename Run::Real;
    using Word = typename Run::Word;
    using Backward = typename Run::Backward;
    const uint32_t depth = run.net.network.depth;
    const Real readout = run.readout(depth);
    const auto body = [&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
        Real p[4], h[4];
        row(round, whole, p);
        run.vectors.load(at, round, h);
        for (uint32_t k = 0; k < 4; ++k) {
            p[k] = p[k] * readout;
            sum.square = fma(p[k], p[k], sum.square);
            sum.overlap = fma(p[k], h[k], sum.overlap);
        }
        run.vectors.store(VECTOR_GRADIENT, round, p);
    };
    const Backward sums = run.template each_round<Backward>(run.width(depth), body);
    return Gradient<Real, Word>{{sums.square, Word(0u)}, {Real(0.0f), Word(0u)}, sums.overlap};
}

// From p_{l+1} to p_l; h_l, of which `here` is known, is in vector `at`, and branch(round, whole, h, v) gives a quad of
// what comes back through the branch to what it has `met`, h or N h.
template <bool written_out, class Run, class Real = typename Run::Real, class Branch>
RESMC_FN void finish_backward(Run& run, uint32_t l, const typename Run::Layer& here, const Normaliser<Real>& met,
                              uint32_t at, Gradient<Real, typename Run::Word>& gradient, Branch branch) {
    using Word = typename Run::Word;
    using Backward = typename Run::Backward;
    const Residual& net = run.net;
    const uint32_t neurons = run.width(l);
    const bool alike = !run.has_widths();
    const Step<Real> s = backward_step(net, here, gradient);
    PulledNorm<Real> pulled{};
    if (net.norm_before) {
        using Sums = NormaliserSums<Real>;
        const Sums sums = run.template each_round<Sums>([&](uint32_t round, bool whole, Sums& sum) RESMC_LAMBDA {
            Real h[4], v[4];
            run.vectors.load(at, round, h);
            meet(run, met, round, whole, h);
            branch(round, whole, h, v);
            run.mask(round, whole, v);
            for (uint32_t k = 0; k < 4; ++k) {
                sum.sum = sum.sum + v[k];
                sum.square = fma(h[k], v[k], sum.square);
            }
            run.vectors.store(VECTOR_FRESH, round, v);
        });
        pulled = pulled_norm(net, met.factor * power_of_two_real(Word(0u) - here.exponent), sums);
    }
    const auto body = [&](uint32_t round, bool whole, Backward& sum) RESMC_LAMBDA {
        Real h[4], v[4], p[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)},
                         d[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
        run.vectors.load(at, round, h);
        if (net.norm_before) {
            Real y[4] = {h[0], h[1], h[2], h[3]};
            met.apply(y);
            run.vectors.load(VECTOR_FRESH, round, v);
            for (uint32_t k = 0; k < 4; ++k) v[k] = pulled(v[k], y[k]);
        } else {
            branch(round, whole, h, v);
        }
        run.mask(round, whole, v, neurons);
        if (alike) {
            run.vectors.load(VECTOR_GRADIENT, round, p);
            run.vectors.load(VECTOR_GRADIENT_CHANGE, round, d);
        }
        for (uint32_t k = 0; k < 4; ++k) {
            d[k] = changed<written_out>(run, s, d[k], p[k], v[k]);
            const Real stepped = fma(s.step, v[k], s.carry * p[k]);
            p[k] = written_out && run.has_dust()
                       ? without_dust(stepped, magnitude(s.step * v[k]) + magnitude(s.carry * p[k]))
                       : stepped;
            sum.square = fma(p[k], p[k], sum.square);
            sum.change_square = fma(d[k], d[k], sum.change_square);
            sum.overlap = fma(p[k], h[k], sum.overlap);
        }
        run.vectors.store(VECTOR_GRADIENT, round, p);
        run.vectors.store(VECTOR_GRADIENT_CHANGE, round, d);
    };
    const Backward sums = run.template each_round<Backward>(neurons, body);
    gradient.p.square = sums.square;
    gradient.change.square = sums.change_square;
    gradient.overlap = sums.overlap;
}

RESMC_NAMESPACE_END
