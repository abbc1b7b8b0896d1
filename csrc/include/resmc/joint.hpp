// Several inputs through one network at once, and tangents along the first of them.
//
// A network's state is a matrix of columns: column 0 is h of input 0, column a its difference to h of input a, carried
// along by itself, and then come tangents, which are differences that are infinitely small:
//
//     c_0 = h^0    c_a = h^a - h^0    t_j = dh^0/de_j        each in units of its own, powers of two
//     sigma:  sigma(c_0), sigma(c_0 + c_a) - sigma(c_0), sigma'(c_0) t_j
//     W:      W Phi = G C^T/sqrt(n),  C C^T = Phi^T Phi,  G with a column of independent normals for each of Phi's
//
// (exact in law: Y. M. Lu, "Householder Dice", arXiv 2101.07464). So inputs that come close to each other lose no
// digits, and input 0 is simulated as it is alone: the operations on column 0 are those of residual.hpp in their order,
// and its bits are the same. Column a draws with input index a, tangent j with 256 + j; the signs are column 0's. In
// homogeneous networks other inputs are kept without a factor, so that norms stay together too (levels.hpp).
//
// A layer's vector has these columns, and behind them what is known of it: units, scales, and Gram matrices in double
// of h's columns and for phi-in of sigma(h)'s. Vectors here have load(vector, column, round, x[4]), store(..), and
// gram(vector), active_gram(vector), exponents(vector), scales(vector) and scale_units(vector), all but the first two
// without use of number 0, and factors(vector), those of the norm that has made it; load(vector, round, x) and
// store(..) are those of column 0. A Team has besides Double and total(x), the sum of a Double over its members.
#pragma once

#include "activation_difference.hpp"
#include "joint_norm.hpp"
#include "joint_steps.hpp"
#include "residual.hpp"

RESMC_NAMESPACE_BEGIN

constexpr uint32_t TANGENT_INPUT = 256;
constexpr double LOG2 = 0.6931471805599453;

// Gradients of one output with respect to h of all inputs, as a whole.
template <class Double, class Word, uint32_t limit>
struct JointGradients {
    Double gram[pairs_of(limit)];    // p^a . p^b, in units of both
    Double kernel[pairs_of(limit)];  // tangent kernel of the layers behind
    Word exponents[limit];
};

// JointRun::column_normals but for the mask, of which there is one. All words are drawn before normals are made of
// them, in the same places: what a processor sees ahead is then the next column, as in each_quad.
template <class Run, class Draw>
RESMC_OUTLINE_FN void column_normals_of(const Run& run, Draw& draw, uint32_t n, uint32_t round, typename Run::Quads& g,
                                        typename Run::Word (&w)[4]) {
    const auto shared = philox_quad(draw.prefix, widen(run.team.quad(round)));
    for (uint32_t c = 0; c < n; ++c) {
        typename Run::Word words[4];
        state_words(philox(run.keys, run.of_column(draw, c), shared), words);
        for (uint32_t k = 0; k < 4; ++k) g[c][k] = as_real(words[k]);
    }
    for (uint32_t k = 0; k < 4; ++k) w[k] = as_word(g[0][k]);
    for (uint32_t c = 0; c < n; ++c) {
        const typename Run::Word words[4] = {as_word(g[c][0]), as_word(g[c][1]), as_word(g[c][2]), as_word(g[c][3])};
        box_muller(words[0], words[1], g[c][0], g[c][1]);
        box_muller(words[2], words[3], g[c][2], g[c][3]);
    }
}

// JointRun::activate_columns, of which there is one.
template <class Run>
RESMC_OUTLINE_FN void activate_columns_of(const Run& run, const typename Run::Scales& scales,
                                          const typename Run::Quads& x, const typename Run::Word (&w)[4],
                                          uint32_t round, bool whole, typename Run::Quads& f,
                                          typename Run::Quads& slope) {
    run.activation(scales.first, x[0], w, round, whole, f[0], slope[0]);
    for (uint32_t a = 1; a < run.inputs(); ++a)
        activate_difference(run.net.activation, scales.others[a], x[0], f[0], slope[0], x[a], w[1], w[3], f[a],
                            slope[a]);
    for (uint32_t c = run.inputs(); c < run.columns(); ++c)
        for (uint32_t k = 0; k < 4; ++k) f[c][k] = slope[0][k] * x[c][k];
}

// The columns of some networks: `fixed` inputs without tangents, or 0 for what `joint` says.
template <class Team_, class Vectors_, class Shared_, class Weights_, uint32_t fixed>
struct JointRun : ResidualRun<Team_, Vectors_, Shared_, Weights_> {
    using Base = ResidualRun<Team_, Vectors_, Shared_, Weights_>;
    using Double = typename Team_::Double;
    using typename Base::Forward, typename Base::Layer, typename Base::Real, typename Base::Wide, typename Base::Word;
    static constexpr uint32_t limit = fixed > 0 ? fixed : MAX_COLUMNS;
    using Factor = CholeskyFactor<Double, limit>;
    using Quads = Real[limit][4];  // one quad of all columns

    const Joint& joint;
    uint32_t here;      // the vector of the last layer that was made
    uint32_t recorded;  // the next layer that is recorded
    JointGradients<Double, Word, limit> gradients;
    Double stretched[limit];  // ln R_jj of the tangents' factors so far

    RESMC_FN uint32_t inputs() const { return fixed > 0 ? fixed : joint.inputs; }
    RESMC_FN uint32_t tangents() const { return fixed > 0 ? 0 : joint.tangents; }
    RESMC_FN uint32_t columns() const { return inputs() + tangents(); }
    // Kernels for a fixed number of inputs have no norm.
    static constexpr bool may_norm = fixed == 0;
    RESMC_FN bool norm_before() const { return fixed == 0 && this->net.norm_before; }
    RESMC_FN bool norm_branch() const { return fixed == 0 && this->net.norm_branch; }
    RESMC_FN bool norm_after() const { return fixed == 0 && this->net.norm_after; }

    // ---- what is drawn

    // A draw of which every column has its own.
    struct ColumnDraw {
        PhiloxPrefix<Wide> prefix;
        uint32_t first;  // of column 0
    };
    RESMC_FN ColumnDraw column_draw(uint32_t stream, uint32_t l) const {
        const auto prefix = this->draw(stream, l);
        return {prefix, prefix.word3_k1};
    }
    RESMC_FN const PhiloxPrefix<Wide>& of_column(ColumnDraw& draw, uint32_t c) const {
        const uint32_t input = c < inputs() ? c : TANGENT_INPUT + (c - inputs());
        draw.prefix.word3_k1 = draw.first ^ input << 16;  // where input 0 has no bits in word 3
        return draw.prefix;
    }
    // Normals of columns 0 .. n - 1, and the words of column 0's.
    RESMC_FN void column_normals(ColumnDraw& draw, uint32_t n, uint32_t round, bool whole, Quads& g,
                                 Word (&w)[4]) const {
        column_normals_of(*this, draw, n, round, g, w);
        for (uint32_t c = 0; c < n; ++c) this->mask(round, whole, g[c]);
    }
    RESMC_FN void load(uint32_t vector, uint32_t n, uint32_t round, Quads& x) const {
        for (uint32_t c = 0; c < n; ++c) this->vectors.load(vector, c, round, x[c]);
    }

    // ---- activations of columns

    struct Scales {
        ActivationScale<Real> first;
        DifferenceScale<Real> others[limit];
    };
    // Of columns whose units are 2^exponent and, but for column 0, 2^exponents.
    RESMC_FN void find_scales(Word exponent, const Word* exponents, Scales& scales) const {
        scales.first = activation_scale(this->net, exponent);
        for (uint32_t a = 1; a < inputs(); ++a) scales.others[a] = difference_scale(this->net, exponent, exponents[a]);
    }
    // Units of the columns that a branch meets of the layer in vector `at`, and of column 0, which is in 2^exponent: of
    // h, or of N h, which has none in column 0.
    RESMC_FN Word met_exponents(uint32_t at, const Word& exponent, Word (&exponents)[limit]) const {
        const Word gone = norm_before() ? exponent : Word(0u);
        for (uint32_t a = 1; a < columns(); ++a) exponents[a] = this->vectors.exponents(at)[a] - gone;
        return exponent - gone;
    }
    // Gram matrix of what the first matrix of phi-out and v-phi-w meets.
    RESMC_FN const Double* met_gram(uint32_t at) const {
        return norm_before() ? this->vectors.active_gram(at) : this->vectors.gram(at);
    }
    // sigma of columns x, and its slopes at all inputs. w: of the draw that carries the signs.
    RESMC_FN void activate_columns(const Scales& scales, const Quads& x, const Word (&w)[4], uint32_t round, bool whole,
                                   Quads& f, Quads& slope) const {
        activate_columns_of(*this, scales, x, w, round, whole, f, slope);
    }
    // sigma of layer l's columns and its slopes with what dropout leaves of them: the mask is the network's, for all.
    RESMC_FN void drop_out(uint32_t l, uint32_t round, Quads& f, Quads& slope) const {
        if (this->net.kept_below == 0) return;
        const Word mask_bits = this->dropout_mask(l, round);
        for (uint32_t k = 0; k < 4; ++k) {
            const Word is_kept = mask_bits << static_cast<int>(31 - k);
            const Real factor = select_negative(is_kept, Real(this->net.kept_factor), Real(0.0f));
            for (uint32_t c = 0; c < columns(); ++c) f[c][k] = factor * f[c][k];
            for (uint32_t a = 0; a < inputs(); ++a) slope[a][k] = factor * slope[a][k];
        }
    }

    // ---- Gram matrices

    // Quads of sigma(h)'s columns are gathered and summed a few at a time: their sums fill much of the nearest cache.
    static constexpr uint32_t gathered = fixed > 0 ? 1 : 4;
    struct Grams {
        Double h[pairs_of(limit)], active[pairs_of(limit)];
        Quads f[gathered];
        uint32_t waiting = 0;  // of f
    };
    RESMC_FN void clear(Double* sums, uint32_t n) const {
        for (uint32_t i = 0; i < n; ++i) sums[i] = Double(0.0);
    }
    // Whether all of h_l's Gram matrix is wanted. No matrix of phi-in meets h, and what the next layer's units need is
    // in column 0 and the diagonal: of other layers than those recorded, the rest is left 0.
    template <Block block>
    RESMC_FN bool wants_gram(uint32_t l) const {
        return block != BLOCK_PHI_IN || limit <= 2 || tangents() > 0 || l == recorded || norm_before() || norm_after();
    }
    // The Gram matrices of one quad of layer l; for phi-in also |sigma(h^0)|^2 and its active neurons. Where N acts on
    // layers, measure_met has to know all of one before it can tell of sigma.
    template <Block block>
    RESMC_FN void measure(uint32_t l, const Scales& scales, const Quads& h, const Word (&w)[4], uint32_t round,
                          bool whole, bool all_of_h, Forward& sum, Grams& grams) const {
        if (all_of_h)
            add_gram<limit>(h, columns(), grams.h);
        else if constexpr (block == BLOCK_PHI_IN && limit > 2)
            add_gram_edges<limit>(h, columns(), grams.h);
        if (block != BLOCK_PHI_IN || norm_before() || norm_after()) return;
        find_active(l, scales, h, w, round, whole, sum, grams.f[grams.waiting]);
        if (++grams.waiting == gathered) add_waiting(grams);
    }
    // f <- sigma of columns, with what is counted of column 0.
    RESMC_FN void find_active(uint32_t l, const Scales& scales, const Quads& h, const Word (&w)[4], uint32_t round,
                              bool whole, Forward& sum, Quads& f) const {
        Quads slope;
        activate_columns(scales, h, w, round, whole, f, slope);
        drop_out(l, round, f, slope);
        for (uint32_t k = 0; k < 4; ++k) {
            sum.active_square = fma(f[0][k], f[0][k], sum.active_square);
            count_positive(sum.active, f[0][k]);
        }
    }
    RESMC_FN void add_waiting(Grams& grams) const {
        add_grams<limit>(grams.f, grams.waiting, columns(), grams.active);
        grams.waiting = 0;
    }
    template <Block block>
    RESMC_FN void keep_grams(uint32_t vector, Grams& grams) {
        if constexpr (block == BLOCK_PHI_IN && gathered > 1)
            if (grams.waiting > 0) add_waiting(grams);
        for (uint32_t i = 0; i < pairs_of(columns()); ++i) {
            this->vectors.gram(vector)[i] = this->team.total(grams.h[i]);
            if (block == BLOCK_PHI_IN) this->vectors.active_gram(vector)[i] = this->team.total(grams.active[i]);
        }
    }
    // The factor of what a matrix meets: a Gram matrix and the bias' square, which column 0 alone has.
    template <class Square>
    RESMC_FN void factorise_met(const Double* gram, const Square& bias_square, Factor& factor) const {
        Double met[pairs_of(limit)];
        for (uint32_t i = 0; i < pairs_of(columns()); ++i) met[i] = gram[i];
        if (this->net.bias_square > 0.0f) met[0] = met[0] + to_double(bias_square);
        factorise<limit>(met, columns(), factor);
    }
    // What is said of other columns in terms of column 0 when that has been given this size, in float, by the rules of
    // one input: multiples of it stay multiples of it.
    RESMC_FN void follow_first(const Real& size, Factor& factor) const {
        const Double ratio = to_double(size) * factor.inverse[0];
        for (uint32_t a = 1; a < columns(); ++a) factor.c[pair_index(a, 0)] = factor.c[pair_index(a, 0)] * ratio;
    }
    // Rows 1, .. n - 1 of a factor, each times its part of `scale`, as they multiply normals.
    RESMC_FN void combine(const Real (&mix)[pairs_of(limit)], uint32_t n, const Quads& g, Quads& x) const {
        if constexpr (limit > 2)
            combine_outlined<Double>(mix, n, g, x);
        else
            combine_inline<Double>(mix, n, g, x);
    }

    // ---- a layer kept in memory: hides what residual.hpp does with one column

    RESMC_FN void keep(uint32_t vector, const Layer& layer) {
        Real x[4];
        to_quad(layer, x);
        this->vectors.store(vector, 0, this->rounds(), x);
    }
    RESMC_FN Layer kept(uint32_t vector) const {
        Real x[4];
        Layer layer;
        this->vectors.load(vector, 0, this->rounds(), x);
        from_quad(x, layer);
        return layer;
    }
    RESMC_FN void copy(uint32_t from, uint32_t to) {
        for (uint32_t c = 0; c < columns(); ++c)
            for (uint32_t round = 0; round <= this->rounds(); ++round) {
                Real x[4];
                this->vectors.load(from, c, round, x);
                this->vectors.store(to, c, round, x);
            }
        for (uint32_t c = 0; c < columns(); ++c) {
            this->vectors.exponents(to)[c] = this->vectors.exponents(from)[c];
            this->vectors.scales(to)[c] = this->vectors.scales(from)[c];
            this->vectors.scale_units(to)[c] = this->vectors.scale_units(from)[c];
            this->vectors.factors(to)[c] = this->vectors.factors(from)[c];
        }
        for (uint32_t i = 0; i < pairs_of(columns()); ++i) {
            this->vectors.gram(to)[i] = this->vectors.gram(from)[i];
            this->vectors.active_gram(to)[i] = this->vectors.active_gram(from)[i];
        }
    }

    // ---- how every layer begins and ends

    // h_0: the rows of `start` times normals, column 0 as it is alone; tangents are normals made orthonormal.
    template <Block block>
    RESMC_FN Layer first_layer(uint32_t to) {
        return made_first_layer<block, false>(to, 0);
    }
    // Or, `drawn_out`, of entries that are drawn: multiply(a, round, y) gives a quad of A x^0/sqrt(n_in), and for a > 0
    // of A times the direction of x^a - x^0.
    template <Block block, bool drawn_out, class Multiply>
    RESMC_FN Layer made_first_layer(uint32_t to, Multiply multiply) {
        auto drawn = column_draw(STREAM_FIRST_LAYER, 0);
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
        find_scales(Word(0u), exponents, scales);
        Grams grams;
        clear(grams.h, pairs_of(columns()));
        clear(grams.active, pairs_of(columns()));
        const auto body = [&](uint32_t round, bool whole, Forward& sum) RESMC_LAMBDA {
            Quads g, h;
            Word w[4];
            column_normals(drawn, columns(), round, whole, g, w);
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
                combine(mix, inputs(), g, h);
            }
            for (uint32_t c = 0; c < columns(); ++c) this->vectors.store(to, c, round, h[c]);
            measure<block>(0, scales, h, w, round, whole, true, sum, grams);
        };
        const Forward sums = this->template each_round<Forward>(body);
        keep_grams<block>(to, grams);
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
        find_scales(layer.exponent, exponents, scales);
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
            measure<block>(l, scales, h, w, round, whole, true, sum, grams);
        });
        keep_grams<block>(at, grams);
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
        find_scales(exponent, this->vectors.exponents(to), scales);
        const bool dust = written_out && this->has_dust(), mixed = met != nullptr, levelled = levels();
        const bool all_of_h = wants_gram<block>(l + 1);
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
                measure<block>(l + 1, scales, next, w, round, whole, all_of_h, sum, grams);
            });
        keep_grams<block>(to, grams);
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
