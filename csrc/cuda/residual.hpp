// The body of the kernels of any residual network: one warp's part of a chunk. All vectors are in device memory, which
// caches hold as far as they can: the layers that the backward pass wants would fit nowhere else.
#pragma once

#include "../include/resmc/residual_dense.hpp"
#include "../include/resmc/residual_projected.hpp"
#include "simulate.hpp"

RESMC_NAMESPACE_BEGIN

// A GpuTeam that remembers that it was stopped: the loops of a residual layer go on where one of them was left.
struct ResidualTeam : GpuTeam<0, true> {
    bool ended = false;

    RESMC_KERNEL_FN bool stopped() {
        if (!ended) ended = GpuTeam::stopped();
        return ended;
    }
    RESMC_KERNEL_FN bool proceed() { return !ended && GpuTeam::proceed(); }
    // Of neurons within a branch there may be others than a layer has, of which the shape says the rounds.
    RESMC_KERNEL_FN uint32_t state_rounds(uint32_t n) const {
        return n == arguments.network.width ? arguments.shape.rounds : rounds(n);
    }
    RESMC_KERNEL_FN uint32_t whole_rounds(uint32_t n) const { return state_rounds(n) - 1; }
};

// [vector][round][thread of the block][4], with one round more than the neurons take.
struct MemoryVectors {
    Warp& warp;
    float* memory;
    Word offset;  // of the thread
    uint64_t round_floats, vector_floats;

    RESMC_KERNEL_FN float* at(uint32_t vector, uint32_t round) const {
        return memory + vector * vector_floats + round * round_floats;
    }
    RESMC_KERNEL_FN void load(uint32_t vector, uint32_t round, Real (&x)[4]) const {
        warp.load(at(vector, round), offset, x);
    }
    RESMC_KERNEL_FN void store(uint32_t vector, uint32_t round, const Real (&x)[4]) const {
        warp.store(at(vector, round), offset, x);
    }
};

// Records of h as GpuRecorder's, and of the quotients; those of the backward pass from the last layer up.
struct GpuResidualRecorder {
    GpuRecorder forward;
    const ResidualArguments& arguments;
    uint32_t back, next;  // the slot that the backward pass fills next, and its layer

    RESMC_KERNEL_FN void put(QuotientName name, uint32_t slot, const Size<Real, Word>& size) const {
        const QuotientRecords& quotient = arguments.quotients[name];
        const uint64_t row = static_cast<uint64_t>(slot) * arguments.run.columns;
        forward.warp.store_if(forward.leader, quotient.square + row, Word(0u), 0, forward.column, size.square);
        forward.warp.store_if(forward.leader, quotient.exponent + row, Word(0u), 0, forward.column, size.exponent);
    }
    template <class Sum>
    RESMC_KERNEL_FN void layer(uint32_t l, const Sum& sums, Word exponent, const Size<Real, Word>& change) {
        if (l != forward.next) return;
        put(QUOTIENT_DISPLACEMENT, forward.slot, change);
        forward.layer(l, sums, exponent);
    }
    template <class Sum>
    RESMC_KERNEL_FN void gradient(uint32_t l, const Gradient<Real, Word>& gradient, const Sum& sums) {
        if (l != next) return;
        put(QUOTIENT_GRADIENT, back, gradient.p);
        put(QUOTIENT_GRADIENT_DISPLACEMENT, back, gradient.change);
        const Real size = sqrt(gradient.p.square * sums.square);
        float* const row = arguments.overlap + static_cast<uint64_t>(back) * arguments.run.columns;
        forward.warp.store_if(forward.leader, row, Word(0u), 0, forward.column,
                              select_zero(as_word(size), Real(0.0f), gradient.overlap / size));
        if (back > 0) next = arguments.run.layers[--back];
    }
    RESMC_KERNEL_FN bool wants_output() const { return forward.wants_output(); }
    RESMC_KERNEL_FN void output(Word k, Real value) { forward.output(k, value); }
};

// Floats of the vectors of one block that each thread has to itself; those that a team shares come behind.
RESMC_FN constexpr uint64_t own_floats(const Residual& net, const Shape& shape) {
    const uint32_t quads = (net.inner + 3) / 4;
    const uint64_t behind = inner_rounds(net, (quads + shape.threads - 1) / shape.threads);
    return (residual_vectors(net) * (shape.rounds + uint64_t{1}) + behind) * 4 * shape.block_threads;
}

// What a thread of a launch works on: as in simulate_warp, which has it written out, as its registers would be others.
struct Place {
    bool works;    // false if all networks of its warp's part are out of the launch's range
    bool reports;  // how far it is
    bool some_keep;
    uint32_t word3;
    Word thread, rank;      // of the block, of its team
    Word in_block, column;  // its network, of the block's and of the chunk's
    Word word2;
    Word leader, keeps, output_row;  // as GpuRecorder has them
};

RESMC_KERNEL_FN Place place_of(Warp& warp, const SimulateArguments& a) {
    const Shape& shape = a.shape;
    const uint32_t teams = shape.threads < WARP ? WARP >> shape.log2_threads : 1;  // of a warp
    const uint32_t warps = warp.block_threads() / WARP;
    const uint32_t block =
        warp.block() + a.begin / shape.block_networks;  // of the chunk; a launch begins where it must
    const uint32_t team = shape.threads <= WARP ? (block * warps + warp.index()) * teams : block;
    Place p;
    p.works = team < a.end && team + teams > a.begin;
    p.reports = team <= a.begin && (shape.threads <= WARP || warp.index() == 0);
    p.some_keep = team < a.output_end && team + teams > a.output_begin;
    p.thread = warp.lane() + WARP * warp.index();
    p.rank = shape.threads > WARP ? p.thread : warp.lane() & (shape.threads - 1);
    const Word member = shape.threads < WARP ? warp.lane() >> static_cast<int>(shape.log2_threads) : Word(0u);
    p.in_block = member + (shape.threads <= WARP ? warp.index() * teams : 0);
    p.column = member + team;
    const Word wanted = within(p.column, a.begin, a.end);
    const uint64_t network = a.first + team;  // the warp's others differ in their low bits only
    p.word2 = member + static_cast<uint32_t>(network);
    p.word3 = counter_word3(network, 0);
    p.leader = wanted & select_zero(p.rank, Word(1u), Word(0u));
    p.keeps = wanted & within(p.column, a.output_begin, a.output_end);
    p.output_row = p.column - a.output_begin;
    return p;
}

RESMC_KERNEL_FN GpuRecorder recorder_of(Warp& warp, const SimulateArguments& a, const Place& place) {
    return {warp, a, place.leader, place.column, place.output_row, place.keeps, place.some_keep};
}

// The vectors of a thread and of its team, in the memory of their block.
RESMC_KERNEL_FN MemoryVectors own_vectors(Warp& warp, const Shape& shape, const Place& place, float* memory) {
    const uint64_t round_floats = 4 * static_cast<uint64_t>(shape.block_threads);
    return {warp, memory, place.thread << 2, round_floats, (shape.rounds + uint64_t{1}) * round_floats};
}
RESMC_KERNEL_FN MemoryVector shared_vector(Warp& warp, const Residual& net, const Shape& shape, const Place& place,
                                           float* memory, uint32_t which) {
    const uint32_t neurons = which < 2 ? net.network.width : net.inner;  // the third is the last one
    const uint64_t all = static_cast<uint64_t>(shape.block_networks) * vector_floats(net.network.width);
    return {&warp, memory + own_floats(net, shape) + which * all,
            times(place.in_block, static_cast<uint32_t>(vector_floats(neurons))), (neurons + 3) / 4};
}

template <Block block, Method method>
RESMC_KERNEL_FN void simulate_residual_warp(Warp& warp, const ResidualArguments& a, float* memory) {
    const Shape& shape = a.run.shape;
    const Place place = place_of(warp, a.run);
    if (!place.works) return;  // all warps of a team alike
    GpuResidualRecorder recorder{recorder_of(warp, a.run, place), a, a.run.n_layers - 1, a.residual.network.depth};
    ResidualTeam team{{warp, a.run, place.rank, place.reports}};
    MemoryVectors vectors = own_vectors(warp, shape, place, memory);
    const auto shared = [&](uint32_t which) { return shared_vector(warp, a.residual, shape, place, memory, which); };
    ResidualRun<ResidualTeam, MemoryVectors, MemoryVector, DrawnWeights> run{
        a.residual, a.run.keys, team, vectors, {shared(0), shared(1), shared(2)}, widen(place.word2), place.word3, {}};
    if constexpr (method == METHOD_DENSE)
        simulate_residual<Dense<block>>(run, recorder);
    else
        simulate_residual<Projected<block>>(run, recorder);
}

RESMC_NAMESPACE_END
