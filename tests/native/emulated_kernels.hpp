// csrc/cuda/kernels.hpp on a CPU: every launch runs at once, over host memory, in an emulated GPU's warps.
#pragma once

#include "emulated_warp.hpp"
//
#include "../../csrc/cuda/columns.hpp"
#include "../../csrc/cuda/draws.hpp"
#include "../../csrc/cuda/kernels.hpp"
#include "../../csrc/cuda/populations.hpp"
#include "../../csrc/cuda/raw.hpp"
#include "../../csrc/cuda/reduce.hpp"
#include "../../csrc/cuda/shape.hpp"

RESMC_NAMESPACE_BEGIN

template <class Activation, uint32_t ROUNDS = MAX_ROUNDS>
void in_registers(const SimulateArguments& a, uint32_t blocks, size_t floats) {
    if constexpr (ROUNDS > 1) {
        if (a.shape.rounds < ROUNDS) return in_registers<Activation, ROUNDS - 1>(a, blocks, floats);
    }
    launch(blocks, a.shape.block_threads, floats,
           [&](Warp& warp) { simulate_warp<Activation, METHOD_PROJECTED, ROUNDS>(warp, a, nullptr); });
}

template <class Activation, Method method>
void in_memory(const SimulateArguments& a, uint32_t blocks, uint32_t wanted, size_t floats) {
    const Shape& shape = a.shape;
    if (shape.memory == MEMORY_SHARED)
        return launch(wanted, shape.block_threads, floats,
                      [&](Warp& warp) { simulate_warp<Activation, method, 0>(warp, a, warp.shared + SHARED_WORDS); });
    launch(blocks, shape.block_threads, floats, [&](Warp& warp) {
        float* const memory = a.workspace + shape.block_floats * warp.block_number;
        for (; warp.block_number < wanted; warp.block_number += blocks) {
            simulate_warp<Activation, method, 0>(warp, a, memory);
            warp.sync_block();
        }
    });
}

template <class Activation>
void simulate_activation(const SimulateArguments& a, Method method, uint32_t blocks) {
    const uint32_t wanted = blocks_of(a);
    const size_t floats = shared_bytes(a.shape) / 4 - (planted::overrun ? 4 : 0);
    if (a.shape.memory == MEMORY_REGISTERS)
        in_registers<Activation>(a, wanted, floats);
    else if (method == METHOD_DENSE)
        in_memory<Activation, METHOD_DENSE>(a, blocks, wanted, floats);
    else
        in_memory<Activation, METHOD_PROJECTED>(a, blocks, wanted, floats);
}

inline void simulate(const SimulateArguments& a, Variant variant, Method method, uint32_t blocks, int, uint64_t) {
    if (variant == VARIANT_VANILLA) return simulate_activation<Relu>(a, method, blocks);
    if (variant == VARIANT_BALANCED) return simulate_activation<Balanced>(a, method, blocks);
    simulate_activation<BalancedHalf>(a, method, blocks);
}

template <Block block, Method method>
void residual_in_device(const ResidualArguments& a, uint32_t blocks) {
    const Shape& shape = a.run.shape;
    const uint32_t wanted = blocks_of(a.run);
    launch(blocks < wanted ? blocks : wanted, shape.block_threads, shared_bytes(shape) / 4, [&](Warp& warp) {
        float* const memory = a.run.workspace + shape.block_floats * warp.block_number;
        for (const uint32_t launched = blocks < wanted ? blocks : wanted; warp.block_number < wanted;
             warp.block_number += launched) {
            simulate_residual_warp<block, method>(warp, a, memory);
            warp.sync_block();
        }
    });
}

template <Method method>
void residual_of_block(const ResidualArguments& a, uint32_t blocks) {
    with_block(a.residual.block, [&](auto block) { residual_in_device<block.value, method>(a, blocks); });
}

inline void simulate_residual(const ResidualArguments& a, Method method, uint32_t blocks, int, uint64_t) {
    if (method == METHOD_DENSE) return residual_of_block<METHOD_DENSE>(a, blocks);
    residual_of_block<METHOD_PROJECTED>(a, blocks);
}

inline void columns(const ColumnArguments& a, int, uint64_t) {
    const SimulateArguments& run = a.residual.run;
    with_block(a.residual.residual.block, [&](auto block) {
        launch(blocks_of(run), run.shape.block_threads, shared_bytes(run.shape) / 4, [&](Warp& warp) {
            simulate_columns_warp<block.value>(warp, a, run.workspace + run.shape.block_floats * warp.block_number);
        });
    });
}

template <class Body>
void advance_all(const PopulationArguments& a, Body body) {
    launch(blocks_of(a.run), a.run.shape.block_threads, shared_bytes(a.run.shape) / 4,
           [&](Warp& warp) { body(warp, a.run.workspace + a.run.shape.block_floats * warp.block_number); });
}

inline void populations(const PopulationArguments& a, Variant variant, int, uint64_t) {
    const auto of = [&]<class Activation>(Activation) {
        advance_all(a, [&](Warp& warp, float* memory) { advance_population_warp<Activation>(warp, a, memory); });
    };
    if (variant == VARIANT_VANILLA) return of(Relu{});
    if (variant == VARIANT_BALANCED) return of(Balanced{});
    of(BalancedHalf{});
}

inline void residual_populations(const PopulationArguments& a, int, uint64_t) {
    with_block(a.residual.block, [&](auto block) {
        advance_all(a,
                    [&](Warp& warp, float* memory) { advance_residual_population_warp<block.value>(warp, a, memory); });
    });
}

inline void resample(const ResampleArguments& a, int, uint64_t) {
    SharedTops tops;
    launch(a.populations, RESAMPLE_THREADS, 0, [&](Warp& warp) { resample_population(warp, a, tops); });
}

inline void move(const MoveArguments& a, int, uint64_t) {
    constexpr uint32_t each = MOVE_THREADS / WARP;
    launch((a.columns + each - 1) / each, MOVE_THREADS, 0, [&](Warp& warp) { move_network(warp, a); });
}

inline void reduce(const ReduceArguments& a, int, uint64_t) {
    SharedSums sums;
    launch(a.columns / a.batch * a.n_layers, REDUCE_THREADS, 0, [&](Warp& warp) { reduce_batch(warp, a, sums); });
}

inline void fold_into_groups(const ReduceArguments& a, int, uint64_t) {
    const uint32_t threads = GROUPS * a.n_layers;
    launch((threads + REDUCE_THREADS - 1) / REDUCE_THREADS, REDUCE_THREADS, 0,
           [&](Warp& warp) { fold_batches(warp, a); });
}

inline void raw(const RawArguments& a, int, uint64_t) {
    const uint32_t networks = a.samples > a.paths ? a.samples : a.paths;
    launch((networks + REDUCE_THREADS - 1) / REDUCE_THREADS, REDUCE_THREADS, 0, [&](Warp& warp) { copy_raw(warp, a); });
}

inline void quotient(const QuotientArguments& a, int, uint64_t) {
    const uint32_t networks = a.end - a.begin;
    launch((networks + REDUCE_THREADS - 1) / REDUCE_THREADS, REDUCE_THREADS, 0,
           [&](Warp& warp) { copy_quotient(warp, a); });
}

inline void words(uint64_t seed, uint32_t word1, uint32_t word2, uint32_t word3, uint32_t quad, uint32_t* out, int,
                  uint64_t) {
    const PhiloxKeys keys = philox_keys(seed);
    launch(1, WARP, 0, [&](Warp& warp) { draw_words(warp, keys, word1, word2, word3, quad, out); });
}

inline void normals(const uint32_t* from, uint32_t n, float* out, int, uint64_t) {
    const float* const words = reinterpret_cast<const float*>(from);
    launch((n + BLOCK_THREADS - 1) / BLOCK_THREADS, BLOCK_THREADS, 0,
           [&](Warp& warp) { make_normals(warp, words, n, out); });
}

inline void roots(const float* from, uint32_t n, float* out, int, uint64_t) {
    launch((n + BLOCK_THREADS - 1) / BLOCK_THREADS, BLOCK_THREADS, 0,
           [&](Warp& warp) { make_roots(warp, from, n, out); });
}

inline void draw(const DrawArguments& a, uint64_t threads, int, uint64_t) {
    launch(static_cast<uint32_t>((threads + BLOCK_THREADS - 1) / BLOCK_THREADS), BLOCK_THREADS, 0,
           [&](Warp& warp) { draw_and_forget(warp, a); });
}

RESMC_NAMESPACE_END

namespace resmc {

// The shared memory is that of compute capability 9.0.
inline const Kernels& emulated_kernels() {
    namespace here = RESMC_TARGET;
    static const Kernels kernels{
        "emulated",
        [] { return Driver{13000, 13000, 1, ""}; },
        [](int) { return DeviceProperties{"emulated warps", 9, 0, 2, 1ull << 32, {232448, 233472}}; },
        here::choose_shape,
        here::choose_residual_shape,
        here::choose_population_shape,
        here::simulate,
        here::simulate_residual,
        here::columns,
        here::populations,
        here::residual_populations,
        here::resample,
        here::move,
        here::reduce,
        here::fold_into_groups,
        here::raw,
        here::quotient,
        here::words,
        here::normals,
        here::roots,
        here::draw,
        [](int) { return std::string(); },
    };
    return kernels;
}

}  // namespace resmc
