// Every block with explicit weights, forwards and backwards: the ground truth, and for weights that are not Gaussian.
// Cost n^2 per layer. A Run's Weights say where they come from (`DrawnWeights` says what they must have): here each
// matrix is drawn where it is used, by rows for W x and by columns for W^T v, and forgotten; in residual_given.hpp
// matrices are handed in.
//
// Streams: DENSE_WEIGHTS holds V of phi-in and v-phi-w, and W of phi-out; DENSE_INNER W of v-phi-w. All entries have
// variance 1 there; one over the root of a row's entries stands in the coefficients.
#pragma once

#include "dense.hpp"
#include "residual.hpp"

RESMC_NAMESPACE_BEGIN

// sum_i W[i, j] v_i over all `rows` i for the four columns j of a quad, of `width` columns. Rows begin anywhere in a
// quad, all of a row's quads alike: a row takes one draw, or two.
template <class Team, class Vector>
RESMC_OUTLINE_FN void column_products(const PhiloxKeys& keys, const PhiloxPrefix<typename Team::Wide>& prefix,
                                      uint32_t rows, uint32_t width, Team& team, typename Team::Index quad,
                                      const Vector& v, MatrixWeights weights, typename Team::Real (&out)[4]) {
    using Real = typename Team::Real;
    using Word = typename Team::Word;
    using Index = typename Team::Index;
    Real run[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
    for (uint32_t k = 0; k < 4; ++k) out[k] = Real(0.0f);
    for (uint32_t i = 0; i < rows; ++i) {
        if (i % (4 * SUM_RUN) == 0) {
            if (team.stopped()) return;
            for (uint32_t k = 0; k < 4; ++k) {
                out[k] = out[k] + run[k];
                run[k] = Real(0.0f);
            }
        }
        const uint64_t flat = static_cast<uint64_t>(i) * width;
        const uint32_t before = static_cast<uint32_t>(flat & 3u);
        const Index first = quad + static_cast<uint32_t>(flat >> 2);
        Word w[4];
        Real g[8];
        Real half[4];
        quad_words(keys, prefix, first, w);
        weights(w, half);
        for (uint32_t k = 0; k < 4; ++k) g[k] = half[k];
        if (before != 0) {
            quad_words(keys, prefix, first + 1u, w);
            weights(w, half);
        }
        for (uint32_t k = 0; k < 4; ++k) g[4 + k] = half[k];
        const Real x = v.load(Index(i));
        for (uint32_t k = 0; k < 4; ++k) {
            const Real column = before == 0   ? g[k]
                                : before == 1 ? g[k + 1]
                                : before == 2 ? g[k + 2]
                                              : g[k + 3 < 8 ? k + 3 : 7];
            run[k] = fma(column, x, run[k]);
        }
    }
    for (uint32_t k = 0; k < 4; ++k) out[k] = out[k] + run[k];
}

// The law of a network's matrices.
RESMC_FN MatrixWeights weights_of(const Residual& net) { return {net.weight_law, net.weight_table}; }

// row_product of weights of any law.
template <class Team, class Vector>
RESMC_OUTLINE_FN auto row_of_law(const PhiloxKeys& keys, const PhiloxPrefix<typename Team::Wide>& prefix,
                                 uint32_t width, const Team& team, typename Team::Index row, const Vector& x,
                                 MatrixWeights weights) {
    return row_product(keys, prefix, width, team, row, x, weights);
}

// |x| of n numbers that all of a team see. They are divided by the largest: squares might leave the range of floats.
template <class Index, class Real, class Vector>
RESMC_OUTLINE_FN Real length_of(uint32_t n, const Vector& x) {
    Real largest(0x1p-126f);
    RESMC_UNROLL_DEVICE(1)
    for (uint32_t j = 0; j < n; ++j) largest = max(largest, magnitude(x.load(Index(j))));
    const Real inverse = Real(1.0f) / largest;
    Real square(0.0f);
    RESMC_UNROLL_DEVICE(1)
    for (uint32_t j = 0; j < n; ++j) {
        const Real part = inverse * x.load(Index(j));
        square = fma(part, part, square);
    }
    return largest * sqrt(square);
}

// The input, the same for all networks: x / sqrt(n_in) between zeros.
template <class Real>
struct InputVector {
    const float* padded;
    RESMC_FN Real load(uint32_t j) const { return Real(padded[static_cast<uint32_t>(j + 4u)]); }
    template <class Index>
    RESMC_FN Real load(Index j) const {
        return gather(padded, j + 4u);
    }
};

// x[k] = value, for a k that a loop counts: a GPU's registers have no index.
template <class Real>
RESMC_FN void put(Real (&x)[4], uint32_t k, const Real& value) {
    x[0] = k == 0 ? value : x[0];
    x[1] = k == 1 ? value : x[1];
    x[2] = k == 2 ? value : x[2];
    x[3] = k == 3 ? value : x[3];
}

// The matrices of a layer, by where they stand: V of phi-in and v-phi-w and W of phi-out; W of v-phi-w.
enum MatrixPlace : int { MATRIX_OUTER = 0, MATRIX_INNER = 1 };

struct MatrixShape {
    uint32_t rows, columns;
};
// Of layer l. W of v-phi-w leads to the neurons within the branch, and V back from there; all others lead from a layer
// to the next.
template <class Run>
RESMC_FN MatrixShape shape_of(const Run& run, MatrixPlace place, uint32_t l) {
    if (run.has_widths()) return {run.width(l + 1), run.width(l)};
    return place == MATRIX_INNER ? MatrixShape{run.inner(), run.width()} : MatrixShape{run.width(), run.inner()};
}

// A matrix that is drawn.
template <class Wide>
struct DrawnMatrix {
    PhiloxPrefix<Wide> draw;
    MatrixShape shape;

    // Four rows of W x, x the shared vector `which`.
    template <class Run>
    RESMC_FN void rows(Run& run, uint32_t which, uint32_t round, typename Run::Real (&y)[4]) const {
        rows_of(run, run.shared[which], round, y);
    }
    template <class Run, class Vector>
    RESMC_FN void rows_of(Run& run, const Vector& x, uint32_t round, typename Run::Real (&y)[4]) const {
        using Real = typename Run::Real;
        const auto first = run.team.quad(round) << 2;
        RESMC_UNROLL_DEVICE(1)
        for (uint32_t k = 0; k < 4; ++k) {
            Real row(0.0f);
            if (!run.team.stopped() && !run.team.outside(first + k, shape.rows))
                row = row_of_law(run.keys, draw, shape.columns, run.team, first + k, x, weights_of(run.net));
            put(y, k, row);
        }
    }
    // Four columns of W, times v, the shared vector `which`.
    template <class Run>
    RESMC_FN void columns(Run& run, uint32_t which, uint32_t round, typename Run::Real (&y)[4]) const {
        column_products(run.keys, draw, shape.rows, shape.columns, run.team, run.team.quad(round), run.shared[which],
                        weights_of(run.net), y);
    }
};

// Weights that are drawn where they are used: every slot is a network with matrices of its own.
struct DrawnWeights {
    template <class Run>
    static RESMC_FN auto matrix(const Run& run, MatrixPlace place, uint32_t l) {
        return DrawnMatrix<typename Run::Wide>{
            run.draw(place == MATRIX_INNER ? STREAM_DENSE_INNER : STREAM_DENSE_WEIGHTS, l), shape_of(run, place, l)};
    }
    // Four entries of b_l, of variance 1.
    template <class Run>
    static RESMC_FN void bias(Run& run, uint32_t l, uint32_t round, bool whole, typename Run::Real (&b)[4]) {
        typename Run::Word w[4];
        run.words(run.draw(STREAM_BIAS, l), round, w);
        WeightsOfLaw{run.net.bias_law}(w, b);
        run.mask(round, whole, b, run.has_widths() ? run.width(l + 1) : run.inner());
    }
    // A slot's step, from that of all.
    template <class Real>
    static RESMC_FN Real step(const Real& s) {
        return s;
    }
    // A quad of h_0, where it is not the one that the counters have drawn.
    template <class Run>
    static RESMC_FN void start(Run&, uint32_t, typename Run::Real (&)[4]) {}
};

template <Block block>
struct Dense {
    // Shared vectors 0 and 1 hold what a layer has, 2 what the neurons within a branch have.
    template <class Run>
    static RESMC_FN void clear_edges(Run& run) {
        for (uint32_t k = 0; k < 3; ++k)
            run.shared[k].clear_edges(run.team, ((k < 2 ? run.width() : run.inner()) + 3) / 4);
    }
    // Anew before a vector is shared that is not as long as the last one may have been.
    template <class Run>
    static RESMC_FN void clear_edges(Run& run, uint32_t which, uint32_t neurons) {
        if (run.has_widths()) run.shared[which].clear_edges(run.team, (neurons + 3) / 4);
    }

    // A vector of layer l, seen by all of the team: h_l as its branch has `met` it, or any other as it is.
    template <class Run>
    static RESMC_FN void share(Run& run, uint32_t l, uint32_t which, uint32_t vector,
                               const Normaliser<typename Run::Real>* met = nullptr) {
        using Real = typename Run::Real;
        const uint32_t neurons = run.width(l);
        clear_edges(run, which, neurons);
        for (uint32_t round = 0; round < run.rounds(neurons); ++round) {
            Real x[4];
            run.vectors.load(vector, round, x);
            const bool whole = round < run.team.whole_rounds(neurons);
            if (met != nullptr) meet(run, *met, round, whole, x);
            run.mask(round, whole, x, neurons);
            run.shared[which].store(run.team.quad(round), x);
        }
    }

    // Sums of n weights +-1 times the numbers of x, without dust.
    template <class Run, class Vector>
    static RESMC_FN void remove_dust(Run& run, uint32_t n, const Vector& x, typename Run::Real (&y)[4]) {
        using Real = typename Run::Real;
        if (!run.has_dust()) return;
        const Real size = length_of<typename Run::Index, Real>(n, x);
        for (uint32_t k = 0; k < 4; ++k) y[k] = without_dust(y[k], size);
    }

    // Four rows of W x, x the shared vector `which`, without dust.
    template <class Run, class Matrix>
    static RESMC_FN void rows(Run& run, const Matrix& matrix, uint32_t which, uint32_t round, bool whole,
                              typename Run::Real (&y)[4]) {
        matrix.rows(run, which, round, y);
        remove_dust(run, matrix.shape.columns, run.shared[which], y);
        run.mask(round, whole, y, matrix.shape.rows);
    }

    // Four columns of W, times v, the shared vector `which`, without dust.
    template <class Run, class Matrix>
    static RESMC_FN void columns(Run& run, const Matrix& matrix, uint32_t which, uint32_t round,
                                 typename Run::Real (&y)[4]) {
        matrix.columns(run, which, round, y);
        remove_dust(run, matrix.shape.rows, run.shared[which], y);
    }

    // Adds sqrt(n) b_l, in the layer's units.
    template <class Run>
    static RESMC_FN void add_bias(Run& run, uint32_t l, const ActivationScale<typename Run::Real>& scale,
                                  uint32_t round, bool whole, typename Run::Real (&y)[4]) {
        using Real = typename Run::Real;
        if (run.net.bias <= 0.0f) return;
        Real b[4];
        run.weights.bias(run, l, round, whole, b);
        for (uint32_t k = 0; k < 4; ++k) y[k] = fma(run.bias(l) * scale.inverse, b[k], y[k]);
    }

    // h_0: as the projected method's, or from the input, or what the weights say.
    template <class Run>
    static RESMC_FN typename Run::Layer first(Run& run, uint32_t to) {
        using Real = typename Run::Real;
        const Residual& net = run.net;
        clear_edges(run);
        const auto weights = run.draw(STREAM_DENSE_INPUT, 0);
        const uint32_t neurons = run.width(0);
        return first_layer<block>(run, to, [&](uint32_t round, bool whole, Real(&h)[4]) RESMC_LAMBDA {
            const auto row = run.team.quad(round) << 2;
            RESMC_UNROLL_DEVICE(1)
            for (uint32_t k = 0; k < 4 && net.n_in > 0; ++k) {
                if (run.team.outside(row + k, neurons)) break;
                put(h, k,
                    row_of_law(run.keys, weights, net.n_in, run.team, row + k, InputVector<Real>{net.input},
                               weights_of(net)));
            }
            if (net.n_in > 0) remove_dust(run, net.n_in, InputVector<Real>{net.input}, h);
            run.weights.start(run, round, h);
            run.mask(round, whole, h, neurons);
        });
    }

    // sigma(u_l) and its slope for one quad of the neurons it acts on, u_l from the shared vector 0 that holds h_l.
    template <class Run, class Matrix>
    static RESMC_FN void pre_activated(Run& run, uint32_t l, const ActivationScale<typename Run::Real>& scale,
                                       const Matrix& matrix, const PhiloxPrefix<typename Run::Wide>& signs,
                                       uint32_t round, bool whole, typename Run::Real (&value)[4],
                                       typename Run::Real (&slope)[4]) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        const Residual& net = run.net;
        Real u[4];
        Word w[4] = {};
        rows(run, matrix, 0, round, whole, u);
        add_bias(run, l, scale, round, whole, u);
        const Real factor = net.inside ? run.readout(l) * run.step(l) : run.readout(l);
        for (uint32_t k = 0; k < 4; ++k) u[k] = u[k] * factor;
        if (run.has_signs()) run.words(signs, round, w);
        run.activation(scale, u, w, round, whole, value, slope, run.template activated<block>(l));
    }

    // Leaves in shared vectors what a layer's branch is made from.
    template <class Run>
    static RESMC_FN void prepare(Run& run, uint32_t l, uint32_t at, const Normaliser<typename Run::Real>& met,
                                 const ActivationScale<typename Run::Real>& scale,
                                 const PhiloxPrefix<typename Run::Wide>& signs) {
        using Real = typename Run::Real;
        run.team.sync();  // nobody reads what was shared before
        if (block == BLOCK_PHI_IN) {
            share_activated(run, l, 1, at, met, scale, signs);
        } else {
            share(run, l, 0, at, &met);
        }
        run.team.sync();
        if (block == BLOCK_V_PHI_W) {
            const auto inner = run.weights.matrix(run, MATRIX_INNER, l);
            for (uint32_t round = 0; round < run.rounds(run.inner()); ++round) {
                Real value[4], slope[4];
                const bool whole = round < run.team.whole_rounds(run.inner());
                pre_activated(run, l, scale, inner, signs, round, whole, value, slope);
                run.shared[2].store(run.team.quad(round), value);
            }
            run.team.sync();
        }
    }
    // A quad of it.
    template <class Run, class Matrix>
    static RESMC_FN void values(Run& run, uint32_t l, const ActivationScale<typename Run::Real>& scale,
                                const Matrix& outer, const PhiloxPrefix<typename Run::Wide>& signs, uint32_t round,
                                bool whole, typename Run::Real (&y)[4]) {
        using Real = typename Run::Real;
        if (block == BLOCK_PHI_OUT) {
            Real slope[4];
            pre_activated(run, l, scale, outer, signs, round, whole, y, slope);
        } else {
            rows(run, outer, block == BLOCK_V_PHI_W ? 2 : 1, round, whole, y);
            if (block == BLOCK_PHI_IN) add_bias(run, l, scale, round, whole, y);
        }
    }

    template <class Run>
    static RESMC_FN typename Run::Layer forward(Run& run, uint32_t l, const typename Run::Layer& from, uint32_t at,
                                                uint32_t to, bool follow,
                                                Size<typename Run::Real, typename Run::Word>& change) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        const auto scale = activation_scale(run.net, from.exponent);
        const auto outer = run.weights.matrix(run, MATRIX_OUTER, l);
        const auto signs = run.signs(l), next_signs = run.draw(STREAM_RESIDUAL, l);
        prepare(run, l, at, met_by_branch(run, at, from), scale, signs);
        const auto branch = [&](uint32_t round, bool whole, Real(&y)[4], Word(&)[4])
                                RESMC_LAMBDA { values(run, l, scale, outer, signs, round, whole, y); };
        const auto words = [&](uint32_t round, Word(&w)[4]) RESMC_LAMBDA {
            if (block == BLOCK_PHI_IN && run.has_signs()) run.words(next_signs, round, w);
        };
        return finish_forward<block, true>(run, l, from, Real(1.0f), at, to, follow, change, branch, words);
    }

    template <class Run>
    static RESMC_FN void share_activated(Run& run, uint32_t l, uint32_t which, uint32_t vector,
                                         const Normaliser<typename Run::Real>& met,
                                         const ActivationScale<typename Run::Real>& scale,
                                         const PhiloxPrefix<typename Run::Wide>& signs) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        const uint32_t neurons = run.width(l);
        clear_edges(run, which, neurons);
        for (uint32_t round = 0; round < run.rounds(neurons); ++round) {
            Real h[4], value[4], slope[4];
            Word w[4] = {};
            const bool whole = round < run.team.whole_rounds(neurons);
            run.vectors.load(vector, round, h);
            meet(run, met, round, whole, h);
            if (run.has_signs()) run.words(signs, round, w);
            run.masked_activation(l, run.dropout_mask(l, round), scale, h, w, round, whole, value, slope);
            run.shared[which].store(run.team.quad(round), value);
        }
    }

    template <class Run, class Recorder>
    static RESMC_FN bool output(Run& run, const typename Run::Layer&, uint32_t at, Recorder& recorder) {
        using Real = typename Run::Real;
        using Index = typename Run::Index;
        const Residual& net = run.net;
        const uint32_t depth = net.network.depth, neurons = run.width(depth);
        const auto weights = run.draw(STREAM_DENSE_OUTPUT, depth);
        run.team.sync();
        share(run, depth, 0, at);
        run.team.sync();
        for (uint32_t round = 0; round < run.team.rounds(net.network.n_out); ++round) {
            const auto first = run.team.quad(round) << 2;
            for (uint32_t k = 0; k < 4; ++k) {
                if (run.team.stopped()) return false;
                if (run.team.outside(first + k, net.network.n_out)) break;
                auto y = row_of_law(run.keys, weights, neurons, run.team, first + k, run.shared[0], weights_of(net));
                if (run.has_dust()) y = without_dust(y, length_of<Index, Real>(neurons, run.shared[0]));
                recorder.output(first + k, y * run.readout(depth));
            }
        }
        return true;
    }

    // p_L: row 0 of W_out / sqrt(n).
    template <class Run>
    static RESMC_FN auto first_gradient(Run& run, uint32_t at) {
        const uint32_t depth = run.net.network.depth, neurons = run.width(depth);
        const auto draw = run.draw(STREAM_DENSE_OUTPUT, depth);
        return begin_gradient(run, at, [&](uint32_t round, bool whole, typename Run::Real(&p)[4]) RESMC_LAMBDA {
            typename Run::Word w[4];
            run.words(draw, round, w);
            weights_of(run.net)(w, p);
            run.mask(round, whole, p, neurons);
        });
    }

    // From p_{l+1} to p_l; h_l is in vector `at`. Shared vector 1 holds p_{l+1}, 2 what comes back through sigma.
    template <class Run>
    static RESMC_FN void backward(Run& run, uint32_t l, const typename Run::Layer& here, uint32_t at,
                                  Gradient<typename Run::Real, typename Run::Word>& gradient) {
        using Real = typename Run::Real;
        using Word = typename Run::Word;
        const Residual& net = run.net;
        const auto scale = activation_scale(net, here.exponent);
        const auto outer = run.weights.matrix(run, MATRIX_OUTER, l);
        const auto signs = run.signs(l);
        const auto met = met_by_branch(run, at, here);
        Real s = run.step(l);
        uint32_t above = VECTOR_GRADIENT;
        if (net.norm_branch) {
            prepare(run, l, at, met, scale, signs);
            const Real row = row_factor<block, Real>(net);
            const auto norm = branch_normaliser(run, here.exponent, row,
                                                [&](uint32_t round, bool whole, Real(&y)[4], Word(&)[4]) RESMC_LAMBDA {
                                                    values(run, l, scale, outer, signs, round, whole, y);
                                                });
            above = pulled_vector(net);
            pull_branch(run, norm, here.exponent, above);
            s = s * row;
        }
        run.team.sync();
        if (block != BLOCK_PHI_IN) share(run, l, 0, at, &met);
        if (block != BLOCK_PHI_OUT) share(run, l + 1, 1, above);
        run.team.sync();
        const auto inner = block == BLOCK_V_PHI_W ? run.weights.matrix(run, MATRIX_INNER, l) : outer;
        if (block != BLOCK_PHI_IN) {
            const uint32_t activated = run.template activated<block>(l);
            for (uint32_t round = 0; round < run.rounds(activated); ++round) {
                const bool whole = round < run.team.whole_rounds(activated);
                Real v[4], value[4], slope[4];
                pre_activated(run, l, scale, inner, signs, round, whole, value, slope);
                if (block == BLOCK_PHI_OUT)
                    run.vectors.load(above, round, v);
                else
                    columns(run, outer, 1, round, v);
                for (uint32_t k = 0; k < 4; ++k) v[k] = s * slope[k] * v[k];
                run.mask(round, whole, v, activated);
                run.shared[2].store(run.team.quad(round), v);
            }
            run.team.sync();
        }
        const Real readout = run.readout(l);
        const auto branch = [&](uint32_t round, bool whole, const Real(&h)[4], Real(&out)[4]) RESMC_LAMBDA {
            columns(run, inner, block == BLOCK_PHI_IN ? 1 : 2, round, out);
            if (block == BLOCK_PHI_IN) {
                Real value[4], slope[4];
                Word w[4] = {};
                if (run.has_signs()) run.words(signs, round, w);
                run.masked_activation(l, run.dropout_mask(l, round), scale, h, w, round, whole, value, slope);
                for (uint32_t k = 0; k < 4; ++k) out[k] = s * slope[k] * out[k];
            } else {
                for (uint32_t k = 0; k < 4; ++k) out[k] = readout * out[k];
            }
        };
        finish_backward<true>(run, l, here, met, at, gradient, branch);
    }
};

RESMC_NAMESPACE_END
