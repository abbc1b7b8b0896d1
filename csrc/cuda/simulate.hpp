// The body of the simulation kernels: one warp's part of a chunk.
#pragma once

#include "team.hpp"

RESMC_NAMESPACE_BEGIN

// Records of the networks of a warp, each by the first thread of its team.
struct GpuRecorder {
    Warp& warp;
    const SimulateArguments& arguments;
    Word leader;      // 1 for a thread that records
    Word column;      // of its network
    Word output_row;  // of its network
    Word keeps;       // 1 for all threads of a network whose output is kept
    bool some_keep;   // of the warp
    uint32_t slot = 0, next = 0;

    template <class Sum>
    RESMC_KERNEL_FN void layer(uint32_t l, const Sum& sums, Word exponent) {
        if (l != next) return;
        const ChunkRecords& records = arguments.records;
        const uint64_t row = static_cast<uint64_t>(slot) * arguments.columns;
        const Word none(0u);
        warp.store_if(leader, records.square + row, none, 0, column, sums.square);
        warp.store_if(leader, records.active_square + row, none, 0, column, sums.active_square);
        warp.store_if(leader, records.exponent + row, none, 0, column, exponent);
        warp.store_if(leader, records.active + row, none, 0, column, sums.active);
        next = ++slot < arguments.n_layers ? arguments.layers[slot] : 0xFFFFFFFFu;
    }
    RESMC_KERNEL_FN bool wants_output() const { return some_keep; }
    RESMC_KERNEL_FN void output(Word k, Real value) {
        const uint32_t n_out = arguments.network.n_out;
        warp.store_if(keeps & ((k - n_out) >> 31), arguments.records.output, output_row, n_out, k, value);
    }
};

// 1 where begin <= i < end, all of them below 2^31.
RESMC_KERNEL_FN Word within(Word i, uint32_t begin, uint32_t end) { return ((i - end) & ~(i - begin)) >> 31; }

// Floats that a team's vector takes: an odd number of quads, so that neighbouring teams meet in no bank.
RESMC_FN constexpr uint64_t vector_floats(uint64_t width) { return 4 * (vector_quads(width) | 1); }

template <class Activation, Method method, uint32_t ROUNDS>
RESMC_KERNEL_FN void simulate_warp(Warp& warp, const SimulateArguments& a, float* memory) {
    const Shape& shape = a.shape;
    const uint32_t teams = shape.threads < WARP ? WARP >> shape.log2_threads : 1;  // of a warp
    const uint32_t warps = warp.block_threads() / WARP;
    const uint32_t block =
        warp.block() + a.begin / shape.block_networks;  // of the chunk; a launch begins where it must
    const uint32_t team = shape.threads <= WARP ? (block * warps + warp.index()) * teams : block;
    if (team >= a.end || team + teams <= a.begin) return;  // all warps of a team alike
    const Word thread = warp.lane() + WARP * warp.index();
    const Word rank = shape.threads > WARP ? thread : warp.lane() & (shape.threads - 1);
    const Word member = shape.threads < WARP ? warp.lane() >> static_cast<int>(shape.log2_threads) : Word(0u);
    const Word column = member + team;
    const Word wanted = within(column, a.begin, a.end);
    const uint64_t network = a.first + team;  // the warp's others differ in their low bits only
    const Word word2 = member + static_cast<uint32_t>(network);
    const uint32_t word3 = counter_word3(network, 0);

    const Word leader = wanted & select_zero(rank, Word(1u), Word(0u));
    const Word keeps = wanted & within(column, a.output_begin, a.output_end);
    const bool some_keep = team < a.output_end && team + teams > a.output_begin;
    GpuRecorder recorder{warp, a, leader, column, column - a.output_begin, keeps, some_keep};
    GpuTeam<ROUNDS, method == METHOD_DENSE> simulated{warp, a, rank,
                                                      team <= a.begin && (shape.threads <= WARP || warp.index() == 0)};
    if constexpr (ROUNDS > 0) {
        RegisterState<ROUNDS> state;
        simulate_projected<Activation>(a.network, a.keys, simulated, word2, word3, state, recorder);
    } else {
        MemoryState state{warp, memory, thread};
        if constexpr (method == METHOD_PROJECTED) {
            simulate_projected<Activation>(a.network, a.keys, simulated, word2, word3, state, recorder);
        } else {
            const uint32_t quads = (a.network.width + 3) / 4;
            const uint32_t floats = static_cast<uint32_t>(vector_floats(a.network.width));
            const uint32_t before = shape.threads <= WARP ? warp.index() * teams : 0;
            float* const vectors = memory + 4 * static_cast<uint64_t>(shape.rounds) * warp.block_threads();
            const Word start = times(member + before, floats);
            MemoryVector phi{&warp, vectors, start, quads};
            MemoryVector phi_next{&warp, vectors + static_cast<uint64_t>(shape.block_networks) * floats, start, quads};
            simulate_dense<Activation>(a.network, a.keys, simulated, word2, word3, state, phi, phi_next, recorder);
        }
    }
}

RESMC_NAMESPACE_END
