// The bodies of the kernels of populations that are resampled: networks advance and rest in their block's memory, a
// block of threads weighs a population, and a warp moves a network. Weights, their sums and offspring are made by the
// functions and in the order of a CPU (resampling.hpp), so that the same norms give the same numbers there and here.
#pragma once

#include "../include/resmc/resampling.hpp"
#include "residual.hpp"

RESMC_NAMESPACE_BEGIN

// Floats of a block's networks at rest: their neurons, and a quad of every thread's that says what is known of the
// layer.
RESMC_FN constexpr uint64_t resting_floats(const Shape& shape) {
    return 4 * (shape.rounds + uint64_t{1}) * shape.block_threads;
}

RESMC_KERNEL_FN void record(Warp& warp, const SimulateArguments& a, const Place& place,
                            const LayerState<Real, Word, Word>& layer) {
    warp.store_if(place.leader, a.records.square, Word(0u), 0, place.column, layer.sums.square);
    warp.store_if(place.leader, a.records.exponent, Word(0u), 0, place.column, layer.exponent);
}

// Log-Gaussian networks.
template <class Activation>
RESMC_KERNEL_FN void advance_population_warp(Warp& warp, const PopulationArguments& a, float* memory) {
    const SimulateArguments& run = a.run;
    const Place place = place_of(warp, run);
    if (!place.works) return;  // all warps of a team alike
    GpuTeam<0, false> team{warp, run, place.rank, place.reports};
    MemoryState state{warp, memory, place.thread};
    LayerState<Real, Word, Word> layer;
    Real known[4];
    if (a.begins) {
        const auto prefix =
            philox_prefix(run.keys, counter_word1(STREAM_FIRST_LAYER, 0), widen(place.word2), place.word3);
        layer = {projected_layer<Activation, true>(run.network, run.keys, team, prefix, Coefficients<Real>{}, state),
                 Word(0u)};
    } else {
        state.load(run.shape.rounds, known);
        from_quad(known, layer);
    }
    for (uint32_t l = a.from; l < a.to; ++l) {
        if (!team.proceed()) return;
        next_projected_layer<Activation>(run.network, run.keys, team, widen(place.word2), place.word3, l, state,
                                         layer.sums, layer.exponent);
    }
    to_quad(layer, known);
    state.store(run.shape.rounds, known);
    record(warp, run, place, layer);
}

// Any residual network, of which h_l alone is followed: all vectors are one.
template <Block block>
RESMC_KERNEL_FN void advance_residual_population_warp(Warp& warp, const PopulationArguments& a, float* memory) {
    using Branch = Projected<block>;
    const Place place = place_of(warp, a.run);
    if (!place.works) return;
    ResidualTeam team{{warp, a.run, place.rank, place.reports}};
    MemoryVectors vectors{warp, memory, place.thread << 2, 4 * static_cast<uint64_t>(a.run.shape.block_threads), 0};
    ResidualRun<ResidualTeam, MemoryVectors, MemoryVector, DrawnWeights> run{
        a.residual, a.run.keys, team, vectors, {}, widen(place.word2), place.word3, {}};
    const auto layer = a.begins ? layer_first<Branch>(run, VECTOR_FIRST) : run.kept(VECTOR_FIRST);
    ForwardState<decltype(run)> state{layer, VECTOR_FIRST, {Real(0.0f), layer.exponent}};
    if (!advance<Branch>(run, state, a.from, a.to, false, [](uint32_t) RESMC_LAMBDA {})) return;
    run.keep(VECTOR_FIRST, state.layer);
    record(warp, a.run, place, state.layer);
}

// The largest weight that each thread has seen, and that of all, in shared memory.
struct SharedTops {
    double of_threads[RESAMPLE_THREADS];
    double top;
};

// One block of threads: a population is weighed, and where it is resampled it is said who goes on with whose network.
template <class Warp>
RESMC_KERNEL_FN void resample_population(Warp& warp, const ResampleArguments& a, SharedTops& shared) {
    const uint32_t population = warp.block(), start = population * a.stride;
    double* const reached = a.reached + start;
    double* const origin = a.origin + start;
    double* const weight = a.weight + start;
    uint32_t* const offspring = a.offspring + start;
    uint32_t* const parent = a.parent + start;
    const uint64_t result = static_cast<uint64_t>(population) * a.n_layers + a.slot;
    warp.each_lane([&](uint32_t t) {
        double top = -__builtin_huge_val();
        for (uint32_t i = t; i < a.stride; i += RESAMPLE_THREADS) {
            parent[i] = start + i;
            if (i >= a.size) continue;
            const double now = log_square(a.square[start + i], static_cast<int32_t>(a.exponent[start + i]));
            const double log = a.slot > 0 ? log_weight(a.power, now, reached[i]) : 0.0;
            reached[i] = now;
            if (a.slot == 0) origin[i] = now;
            weight[i] = log;
            if (log > top) top = log;
        }
        shared.of_threads[t] = top;
    });
    warp.sync_block();
    if (a.slot == 0) {
        warp.each_lane([&](uint32_t t) {
            if (t != 0) return;
            a.top[result] = a.growth[result] = 0.0;
            a.mean[result] = a.effective[result] = 1.0;
        });
        return;
    }
    warp.each_lane([&](uint32_t t) {
        if (t != 0) return;
        double top = shared.of_threads[0];
        for (uint32_t i = 1; i < RESAMPLE_THREADS; ++i)
            if (shared.of_threads[i] > top) top = shared.of_threads[i];
        shared.top = top;
    });
    warp.sync_block();
    warp.each_lane([&](uint32_t t) {
        const double top = shared.top;
        for (uint32_t i = t; i < a.size; i += RESAMPLE_THREADS) weight[i] = exp_of_negative(weight[i] - top);
    });
    warp.sync_block();
    warp.each_lane([&](uint32_t t) {
        if (t != 0) return;
        const Weighed found = weighed(weight, reached, origin, a.size);
        const bool alive = found.mean > 0.0;  // else all are dead, and stay so
        a.top[result] = alive ? shared.top : 0.0;
        a.mean[result] = found.mean;
        a.effective[result] = found.effective;
        a.growth[result] = alive ? found.growth : 0.0;
        if (!alive || !a.resamples) return;
        const uint64_t first = a.first + start;
        systematic_offspring(weight, a.size, resampling_uniform(a.keys, first, a.layer), offspring);
        fill_free_places(offspring, a.size, [&](uint32_t from, uint32_t to) RESMC_LAMBDA {
            parent[to] = start + from;
            reached[to] = reached[from];
            origin[to] = origin[from];
        });
    });
}

// One warp: the state of a column becomes that of its parent, which stays as it is.
RESMC_KERNEL_FN void move_network(Warp& warp, const MoveArguments& a) {
    const uint32_t to = warp.block() * (MOVE_THREADS / WARP) + warp.index();
    if (to >= a.columns) return;
    const uint32_t from = a.parent[to];
    if (from == to) return;
    const Shape& shape = a.shape;
    const auto memory_of = [&](uint32_t column) {
        const uint64_t block = column / shape.block_networks, member = column % shape.block_networks;
        return a.workspace + block * shape.block_floats + member * (4 * shape.threads);
    };
    const float* const source = memory_of(from);
    float* const target = memory_of(to);
    const uint32_t quads = (shape.rounds + 1) * shape.threads;  // of a network
    for (uint32_t first = 0; first < quads; first += WARP) {
        const Word quad = warp.lane() + first;
        const Word is_one = (quad - quads) >> 31;
        const Word wanted = select_zero(is_one, Word(quads - 1), quad);
        const Word round = wanted >> static_cast<int>(shape.log2_threads), rank = wanted & (shape.threads - 1);
        const Word offset = (times(round, shape.block_threads) + rank) << 2;
        Real x[4];
        warp.load(source, offset, x);
        warp.store_if(is_one, target, offset, x);
    }
}

RESMC_NAMESPACE_END
