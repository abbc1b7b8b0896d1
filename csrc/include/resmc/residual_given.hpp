// Explicit weights that are handed in as arrays, one matrix for all slots: a slot is a column of one network, an input
// with a factor of its own on every layer's step. For weights whose layers depend on each other, and wherever many
// inputs or scales meet the same matrices. `Dense` makes the layers of all blocks from them.
//
// Entries have variance 1, row after row, as float32; one over the root of a row's entries stands in the coefficients.
#pragma once

#include "residual_dense.hpp"

RESMC_NAMESPACE_BEGIN

// Something of every layer from layer `begin` on; a stride of 0 gives all layers the same. Networks are `offset` apart.
template <class Index>
struct GivenLayers {
    const float* first;
    size_t stride;
    uint32_t begin;
    Index offset;

    RESMC_FN const float* at(uint32_t l) const { return first + static_cast<size_t>(l - begin) * stride; }
};

// An index, or the last one below n where there is no such.
RESMC_FN uint32_t index_below(uint32_t i, uint32_t n) { return i < n ? i : n - 1; }
template <class Index>
RESMC_FN Index index_below(Index i, uint32_t n) {
    return as_word(select_negative(i - n, as_real(i), as_real(Index(n - 1))));
}

RESMC_FN uint32_t times(uint32_t a, uint32_t b) { return a * b; }

// Reads entries that lie `stride` apart, one sequence for each thread. (A CPU has its own: one for all slots.)
template <class Real, class Index>
struct GivenCursor {
    const float* entries;
    Index at;
    RESMC_FN Real next(uint32_t stride) {
        const Real x = gather(entries, at);
        at = at + stride;
        return x;
    }
};
// sum_j m_j x_j over j < n for four sequences m: rows or columns of a matrix. Four at a time, as each x_j is loaded but
// once for all of them, and their sums do not wait for each other.
template <class Team, class Cursor, class Vector>
RESMC_OUTLINE_FN void given_products(Cursor c0, Cursor c1, Cursor c2, Cursor c3, uint32_t stride, uint32_t n,
                                     Team& team, const Vector& x, typename Team::Real (&out)[4]) {
    using Real = typename Team::Real;
    using Index = typename Team::Index;
    Real total[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
    for (uint32_t begin = 0; begin < n; begin += 4 * SUM_RUN) {
        if (team.stopped()) break;
        const uint32_t end = n - begin < 4 * SUM_RUN ? n : begin + 4 * SUM_RUN;
        Real run[4] = {Real(0.0f), Real(0.0f), Real(0.0f), Real(0.0f)};
        RESMC_UNROLL_DEVICE(4)
        for (uint32_t j = begin; j < end; ++j) {
            const auto& xj = x.load(Index(j));
            run[0] = fma(c0.next(stride), xj, run[0]);
            run[1] = fma(c1.next(stride), xj, run[1]);
            run[2] = fma(c2.next(stride), xj, run[2]);
            run[3] = fma(c3.next(stride), xj, run[3]);
        }
        for (uint32_t k = 0; k < 4; ++k) total[k] = total[k] + run[k];
    }
    for (uint32_t k = 0; k < 4; ++k) out[k] = total[k];
}

// A matrix that is handed in, all of it less than 2^32 from `entries`. Rows and columns beyond the last are the last
// one's.
template <class Index>
struct GivenMatrix {
    const float* entries;
    Index offset;
    MatrixShape shape;

    template <class Run>
    RESMC_FN void products(Run& run, uint32_t which, uint32_t round, uint32_t n, uint32_t apart, uint32_t terms,
                           uint32_t stride, typename Run::Real (&y)[4]) const {
        using Cursor = GivenCursor<typename Run::Real, Index>;
        const Index first = run.team.quad(round) << 2;
        const auto cursor = [&](uint32_t k) RESMC_LAMBDA {
            return Cursor{entries, offset + times(index_below(first + k, n), apart)};
        };
        given_products(cursor(0), cursor(1), cursor(2), cursor(3), stride, terms, run.team, run.shared[which], y);
    }
    // Four rows of W x, x the shared vector `which`.
    template <class Run>
    RESMC_FN void rows(Run& run, uint32_t which, uint32_t round, typename Run::Real (&y)[4]) const {
        products(run, which, round, shape.rows, shape.columns, shape.columns, 1, y);
    }
    // Four columns of W, times v, the shared vector `which`.
    template <class Run>
    RESMC_FN void columns(Run& run, uint32_t which, uint32_t round, typename Run::Real (&y)[4]) const {
        products(run, which, round, shape.columns, 1, shape.rows, shape.columns, y);
    }
};

// What a Run's Weights are here. Slots say what every slot has of its own: factor(), a multiple of all steps; and
// start(i, h), entry i of h_0, or h where the counters' own is to stay.
template <class Index, class Slots>
struct GivenWeights {
    GivenLayers<Index> outer, inner, biases;
    Slots slots;

    template <class Run>
    RESMC_FN GivenMatrix<Index> matrix(const Run& run, MatrixPlace place, uint32_t l) const {
        const GivenLayers<Index>& layers = place == MATRIX_INNER ? inner : outer;
        return {layers.at(l), layers.offset, shape_of(run, place, l)};
    }
    template <class Run>
    RESMC_FN void bias(Run& run, uint32_t l, uint32_t round, bool whole, typename Run::Real (&b)[4]) const {
        using Cursor = GivenCursor<typename Run::Real, Index>;
        const Index first = run.team.quad(round) << 2;
        for (uint32_t k = 0; k < 4; ++k)
            b[k] = Cursor{biases.at(l), biases.offset + index_below(first + k, run.inner())}.next(0);
        run.mask(round, whole, b, run.inner());
    }
    template <class Real>
    RESMC_FN Real step(const Real& s) const {
        return s * slots.factor();
    }
    template <class Run>
    RESMC_FN void start(Run& run, uint32_t round, typename Run::Real (&h)[4]) const {
        const auto first = run.team.quad(round) << 2;
        for (uint32_t k = 0; k < 4; ++k) h[k] = slots.start(index_below(first + k, run.width()), h[k]);
    }
};

// ---- a simulation at rest between two of its parts
// ----------------------------------------------------------------
//
// All that goes on is in its vectors: what is known of one as a whole stands in its last quad.

// The vector of h_l once layer l has been reached.
RESMC_FN constexpr uint32_t vector_of_layer(const Residual& net, uint32_t l) {
    if (!net.gradients) return VECTOR_FIRST;
    return VECTOR_FIRST + (l > 0 && l == net.network.depth ? l - (segments(net) - 1) * net.segment : l % net.segment);
}

template <class Run>
RESMC_FN void keep(Run& run, const ForwardState<Run>& state) {
    using Real = typename Run::Real;
    const Real change[4] = {state.change.square, as_real(state.change.exponent), Real(0.0f), Real(0.0f)};
    run.keep(state.vector, state.layer);
    run.vectors.store(VECTOR_CHANGE, run.rounds(), change);
}
template <class Run>
RESMC_FN ForwardState<Run> kept_forward(const Run& run, uint32_t l) {
    typename Run::Real change[4];
    const uint32_t vector = vector_of_layer(run.net, l);
    run.vectors.load(VECTOR_CHANGE, run.rounds(), change);
    return {run.kept(vector), vector, {change[0], as_word(change[1])}};
}

template <class Run>
RESMC_FN void keep(Run& run, const Gradient<typename Run::Real, typename Run::Word>& gradient) {
    using Real = typename Run::Real;
    const Real p[4] = {gradient.p.square, as_real(gradient.p.exponent), gradient.overlap, Real(0.0f)};
    const Real change[4] = {gradient.change.square, as_real(gradient.change.exponent), Real(0.0f), Real(0.0f)};
    run.vectors.store(VECTOR_GRADIENT, run.rounds(), p);
    run.vectors.store(VECTOR_GRADIENT_CHANGE, run.rounds(), change);
}
template <class Run>
RESMC_FN auto kept_gradient(const Run& run) {
    typename Run::Real p[4], change[4];
    run.vectors.load(VECTOR_GRADIENT, run.rounds(), p);
    run.vectors.load(VECTOR_GRADIENT_CHANGE, run.rounds(), change);
    return Gradient<typename Run::Real, typename Run::Word>{
        {p[0], as_word(p[1])}, {change[0], as_word(change[1])}, p[2]};
}

// Layers `from` to `to`, from the beginning or from where the last part has left off.
template <class Branch, class Run, class Recorder>
RESMC_FN bool forward_from_rest(Run& run, uint32_t from, uint32_t to, Recorder& recorder) {
    ForwardState<Run> state = from == 0 ? begin_forward<Branch>(run, recorder) : kept_forward(run, from);
    if (!forward_part<Branch>(run, state, from, to, recorder)) return false;
    if (to == run.net.network.depth && recorder.wants_output() &&
        !Branch::output(run, state.layer, state.vector, recorder))
        return false;
    keep(run, state);
    return true;
}

// And back from layer `to` to layer `from`.
template <class Branch, class Run, class Recorder>
RESMC_FN bool backward_from_rest(Run& run, uint32_t from, uint32_t to, Recorder& recorder) {
    auto gradient =
        to == run.net.network.depth ? begin_backward<Branch>(run, kept_forward(run, to), recorder) : kept_gradient(run);
    if (!backward_part<Branch>(run, gradient, from, to, recorder)) return false;
    keep(run, gradient);
    return true;
}

RESMC_NAMESPACE_END
