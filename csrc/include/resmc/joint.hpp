// How the layers of several inputs begin and end: columns (joint_columns.hpp) of the first layer, of the next one from
// those of a layer and what a branch gives, tangents that are made orthonormal, and the passes through all of them.
#pragma once

#include "joint_columns.hpp"
#include "joint_norm.hpp"
#include "joint_steps.hpp"

RESMC_NAMESPACE_BEGIN

constexpr double LOG2 = 0.6931471805599453;

// Gradients of one output with respect to h of all inputs, as a whole.
template <class Double, class Word, uint32_t limit>
struct JointGradients {
    Double gram[pairs_of(limit)];    // p^a . p^b, in units of both
    Double kernel[pairs_of(limit)];  // tangent kernel of the layers behind
    Word exponents[limit];
};

// Some networks on their way through the layers.
template <class Team_, class Vectors_, class Shared_, class Weights_, uint32_t fixed>
struct JointRun : JointColumns<Team_, Vectors_, Shared_, Weights_, fixed> {
    using Base = JointColumns<Team_, Vectors_, Shared_, Weights_, fixed>;
    using Base::clear, Base::columns, Base::inputs, Base::joint, Base::limit, Base::load, Base::tangents;
    using Base::norm_after, Base::norm_before, Base::norm_branch;
    using typename Base::ColumnDraw, typename Base::Double, typename Base::Factor, typename Base::Forward;
    using typename Base::Grams, typename Base::Layer, typename Base::Quads, typename Base::Real, typename Base::Scales;
    using typename Base::Word;

    uint32_t here;  // the vector of the last layer that was made
    JointGradients<Double, Word, limit> gradients;
    Double stretched[limit];  // ln R_jj of the tangents' factors so far

    // h_0: the rows of `start` times normals, column 0 as it is alone; tangents are normals made orthonormal.
    template <Block block>
    RESMC_FN Layer first_layer(uint32_t to) {
        return made_first_layer<block, false>(to, 0);
    }
    // Or, `drawn_out`, of entries that are drawn: multiply(a, round, y) gives a quad of A x^0/sqrt(n_in), and for a > 0
    // of A times the direction of x^a - x^0.
    template <Block block, bool drawn_out, class Multiply>
    RESMC_FN Layer made_first_layer(uint32_t to, Multiply multiply) {
        auto drawn = this->column_draw(STREAM_FIRST_LAYER, 0);
        Word* const exponents = this->vectors.exponents(to);
        Real mix[pairs_of(limit)];
        for (uint32_t a = 1; a < columns(); ++a) {
            Double square(0.0);
            for (uint32_t j = 0; j <= a && a < inputs(); ++j) {
                const Double entry(joint.start[a * inputs() + j]);
                square = fma(entry, entry, square);
            }
            exponents[a] = half_exponent(square * Double(static_cast<double>(this->width())));
            this->vectors.scales(to)[a] = Double(1.0);
            this->vectors.scale_units(to)[a] = Word(0u);
            const Double scale = power_of_two_double(Word(0u) - exponents[a]);
            for (uint32_t j = 0; j <= a && a < inputs(); ++j)
                mix[pair_index(a, j)] = to_single(Double(joint.start[a * inputs() + j]) * scale);
            if (drawn_out && a < inputs()) mix[pair_index(a, 0)] = to_single(sqrt(square) * scale);
        }
        Scales scales;
        this->find_scales(Word(0u), exponents, scales);
        Grams grams;
        clear(grams.h, pairs_of(columns()));
        clear(grams.active, pairs_of(columns()));
        const auto body = [&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
            Quads g, h;
            Word w[4];
            this->column_normals(drawn, columns(), round, whole, g, w);
            for (uint32_t k = 0; k < 4; ++k) h[0][k] = Real(this->net.size) * g[0][k];
            if constexpr (drawn_out) multiply(0, round, h[0]);
            for (uint32_t k = 0; k < 4; ++k) sum.square = fma(h[0][k], h[0][k], sum.square);
            for (uint32_t c = inputs(); c < columns(); ++c)
                for (uint32_t k = 0; k < 4; ++k) h[c][k] = g[c][k];
            if constexpr (drawn_out) {
                for (uint32_t a = 1; a < inputs(); ++a) {
                    for (uint32_t k = 0; k < 4; ++k) h[a][k] = Real(0.0f);
                    multiply(a, round, h[a]);
                    for (uint32_t k = 0; k < 4; ++k) h[a][k] = mix[pair_index(a, 0)] * h[a][k];
                }
            } else {
                this->combine(mix, inputs(), g, h);
            }
            for (uint32_t c = 0; c < columns(); ++c) this->vectors.store(to, c, round, h[c]);
            this->template measure<block>(0, scales, h, w, round, whole, true, sum, grams);
        };
        const Forward sums = this->template each_round<Forward>(body);
        this->template keep_grams<block>(to, grams);
        clear(stretched, tangents());
        Layer layer{{sums.square, sums.active_square, sums.active}, Word(0u)};
        if constexpr (fixed == 0) {
            if (tangents() > 0) orthonormalise<block>(0, to, layer, false);
            if (norm_before() || norm_after()) measure_met<block>(*this, 0, to, layer);
        }
        here = to;
        return layer;
    }

    // The layer l in vector `at` with tangents Q for T = Q R; ln R_jj is added up if it `counts`.
    template <Block block>
    RESMC_FN void orthonormalise(uint32_t l, uint32_t at, const Layer& layer, bool counts) {
        const uint32_t m = inputs(), n = tangents();
        Word* const exponents = this->vectors.exponents(at);
        Factor factor;
        factorise_part<limit>(this->vectors.gram(at), m, n, factor);
        Real mix[pairs_of(limit)], inverse[limit];
        for (uint32_t j = 0; j < n; ++j) {
            for (uint32_t i = 0; i < j; ++i) mix[pair_index(j, i)] = to_single(Double(0.0) - factor(j, i));
            inverse[j] = to_single(factor.inverse[j]);
            if (counts) stretched[j] = stretched[j] + log_stretch(factor, j, exponents[m + j]);
            exponents[m + j] = Word(0u);
        }
        Scales scales;
        this->find_scales(layer.exponent, exponents, scales);
        Grams grams;
        clear(grams.h, pairs_of(columns()));
        clear(grams.active, pairs_of(columns()));
        const auto signs = this->signs(l);
        this->template each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
            Quads h;
            Word w[4] = {};
            load(at, columns(), round, h);
            for (uint32_t j = 0; j < n; ++j) {
                for (uint32_t i = 0; i < j; ++i)
                    for (uint32_t k = 0; k < 4; ++k) h[m + j][k] = fma(mix[pair_index(j, i)], h[m + i][k], h[m + j][k]);
                for (uint32_t k = 0; k < 4; ++k) h[m + j][k] = inverse[j] * h[m + j][k];
                this->vectors.store(at, m + j, round, h[m + j]);
            }
            if (block == BLOCK_PHI_IN && this->has_signs()) this->words(signs, round, w);
            this->template measure<block>(l, scales, h, w, round, whole, true, sum, grams);
        });
        this->template keep_grams<block>(at, grams);
    }
    // ln R_jj of a tangent in units of 2^exponent.
    RESMC_FN Double log_stretch(const Factor& factor, uint32_t j, const Word& exponent) const {
        return log(factor(j, j)) + to_double(exponent) * Double(LOG2);
    }
    // ln R_jj since layer 0 of the tangents in vector `at`, for j < tangents().
    RESMC_FN void find_stretch(uint32_t at, Double (&stretch)[limit]) const {
        Factor factor;
        factorise_part<limit>(this->vectors.gram(at), inputs(), tangents(), factor);
        for (uint32_t j = 0; j < tangents(); ++j)
            stretch[j] = stretched[j] + log_stretch(factor, j, this->vectors.exponents(at)[inputs() + j]);
    }

    // Whether inputs are brought to the norm of input 0.
    RESMC_FN bool levels() const { return this->net.homogeneous && !this->has_dust() && inputs() > 1; }
    // ln of the scale of input a > 0 in vector `at`.
    RESMC_FN Double log_scale(uint32_t at, uint32_t a) const {
        return log(this->vectors.scales(at)[a]) + to_double(this->vectors.scale_units(at)[a]) * Double(LOG2);
    }

    // Once p_l has been recorded: p of all inputs through the N that has made h_l, which is in `vector`.
    RESMC_FN void pull_through_norm(const Layer&, uint32_t vector, Gradient<Real, Word>& gradient) {
        if constexpr (fixed == 0)
            if (norm_after()) pull_layer_columns(*this, vector, gradient);
    }

    // All columns of h_{l+1} in vector `to` from those of h_l in vector `at`, as residual.hpp does it for one: branch(
    // round, whole, y, w) gives a quad of the branch's columns, or with `met` of the normals that these are made of.
    template <Block block, bool written_out, class Branch, class Signs>
    RESMC_FN Layer finish_forward(uint32_t l, const Layer& from, Real size, const Factor* met, uint32_t at, uint32_t to,
                                  bool follow, Size<Real, Word>& change, Branch branch, Signs signs) {
        const Residual& net = this->net;
        Word exponent;
        Real own_step = net.inside ? Real(1.0f) : this->step(l);
        ColumnNorm<JointRun> norm;
        if constexpr (fixed == 0) {
            if (norm_branch()) {
                find_branch_norm<block>(*this, from, size, met, at, branch, norm);
                size = Real(1.0f);
                met = nullptr;
            }
            if (norm_before() || norm_branch())  // what the branch gives has no units
                own_step = own_step * power_of_two_real(Word(0u) - from.exponent);
        }
        const Step<Real> s = forward_step(net, own_step, from, size, exponent, change);
        ColumnSteps<Real, limit> steps;
        find_steps<block>(*this, own_step, size, met, from.exponent, at, to, steps);
        Scales scales;
        this->find_scales(exponent, this->vectors.exponents(to), scales);
        const bool dust = written_out && this->has_dust(), mixed = met != nullptr, levelled = levels();
        const bool all_of_h = this->template wants_gram<block>(l + 1);
        Grams grams;
        clear(grams.h, pairs_of(columns()));
        clear(grams.active, pairs_of(columns()));
        const Forward sums =
            this->template each_round<Forward>([&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
                Quads y, next;
                Real h[4];
                Word w[4] = {};
                if (norm_branch()) {
                    load(VECTOR_FRESH, columns(), round, y);
                    norm.apply(*this, round, whole, y);
                    if (!written_out && block == BLOCK_PHI_IN && this->has_signs())
                        this->words(this->draw(STREAM_RESIDUAL, l), round, w);
                } else {
                    branch(round, whole, y, w);
                }
                this->vectors.load(at, 0, round, h);
                for (uint32_t k = 0; k < 4; ++k) {
                    next[0][k] = fma(s.step, y[0][k], s.carry * h[k]);
                    if (dust)
                        next[0][k] = without_dust(next[0][k], magnitude(s.step * y[0][k]) + magnitude(s.carry * h[k]));
                    sum.square = fma(next[0][k], next[0][k], sum.square);
                }
                if (follow) {
                    Real d[4];
                    this->vectors.load(VECTOR_CHANGE, 0, round, d);
                    for (uint32_t k = 0; k < 4; ++k) {
                        d[k] = changed<written_out>(*this, s, d[k], h[k], y[0][k]);
                        sum.change_square = fma(d[k], d[k], sum.change_square);
                    }
                    this->vectors.store(VECTOR_CHANGE, 0, round, d);
                }
                const auto carried = [&](uint32_t a, Real(&x)[4]) RESMC_LAMBDA {
                    this->vectors.load(at, a, round, x);
                    for (uint32_t k = 0; k < 4; ++k) {
                        x[k] = steps.carry[a] * x[k];
                        if (levelled) x[k] = x[k] - steps.first_carry[a] * h[k];
                    }
                };
                const auto made = [&](uint32_t a, const Real(&x)[4]) RESMC_LAMBDA {
                    for (uint32_t k = 0; k < 4; ++k) next[a][k] = x[k];
                    this->vectors.store(to, a, round, x);
                };
                this->vectors.store(to, 0, round, next[0]);
                if (mixed) each_combination<Double>(steps.mix, columns(), y, carried, made);
                for (uint32_t a = 1; a < columns() && !mixed; ++a) {
                    const Real mix = steps.mix[pair_index(a, a)];
                    Real x[4];
                    carried(a, x);
                    for (uint32_t k = 0; k < 4; ++k) {
                        if (levelled) x[k] = x[k] - steps.first_mix[a] * y[0][k];
                        const Real size_of_terms = magnitude(mix * y[a][k]) + magnitude(x[k]);
                        x[k] = fma(mix, y[a][k], x[k]);
                        if (dust) x[k] = without_dust(x[k], size_of_terms);
                    }
                    made(a, x);
                }
                signs(round, w);
                this->template measure<block>(l + 1, scales, next, w, round, whole, all_of_h, sum, grams);
            });
        this->template keep_grams<block>(to, grams);
        if (follow) change.square = sums.change_square;
        Layer layer{{seen_square(net, sums.square), sums.active_square, sums.active}, exponent};
        if constexpr (fixed == 0) {
            if (norm_after()) normalise_columns(*this, to, follow, layer, change);
            if (tangents() > 0 && (l + 1) % joint.reorthogonalise == 0) orthonormalise<block>(l + 1, to, layer, true);
            if (norm_before() || norm_after()) measure_met<block>(*this, l + 1, to, layer);
        }
        here = to;
        return layer;
    }
};

// Networks forwards and, if wanted, backwards, as simulate_residual takes one input there. A Recorder is told the same
// and looks at the run for all else. Returns false if the team was told to stop.
template <class Branch, class Run, class Recorder>
RESMC_FN bool simulate_joint(Run& run, Recorder& recorder) {
    using Real = typename Run::Real;
    const uint32_t depth = run.net.network.depth;
    ForwardState<Run> state{layer_first<Branch>(run, VECTOR_FIRST), VECTOR_FIRST, {}};
    state.change = {Real(0.0f), state.layer.exponent};
    const Real zeros[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
    for (uint32_t round = 0; round < run.rounds(); ++round) {
        run.vectors.store(VECTOR_CHANGE, 0, round, zeros);
        if (run.net.gradients) run.vectors.store(VECTOR_GRADIENT_CHANGE, 0, round, zeros);
    }
    if (run.net.gradients) run.keep(VECTOR_FIRST, state.layer);
    recorder.layer(0, state.layer.sums, state.layer.exponent, state.change);
    if (!forward_part<Branch>(run, state, 0, depth, recorder)) return false;
    if (!run.net.gradients) return true;
    auto gradient = begin_backward<Branch>(run, state, recorder);
    return backward_part<Branch>(run, gradient, 0, depth, recorder);
}

RESMC_NAMESPACE_END
