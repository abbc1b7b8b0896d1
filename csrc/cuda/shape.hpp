// How many threads share a network, and where they keep it: by counted instructions, as long as a multiprocessor's
// memory holds enough threads to hide latencies.
#pragma once

#include <stdexcept>

#include "populations.hpp"
#include "residual.hpp"

RESMC_NAMESPACE_BEGIN

// Instructions of one thread per quad and per layer, read from the machine code (tests/data/device_code.json).
constexpr uint64_t PER_QUAD_REGISTERS = 173, PER_QUAD_MEMORY = 189, PER_LAYER = 130, PER_STEP = 12;
constexpr uint64_t ENOUGH_THREADS = 768;  // of a multiprocessor; shared memory must not leave fewer

inline Shape shape_of(const Network& net, Method method, uint32_t threads, Memory memory) {
    const uint32_t quads = (net.width + 3) / 4;
    Shape s{};
    s.threads = threads;
    while ((1u << s.log2_threads) < threads) ++s.log2_threads;
    s.rounds = (quads + threads - 1) / threads;
    s.memory = memory;
    s.block_threads = threads <= WARP ? BLOCK_THREADS : threads;
    s.block_networks = s.block_threads / threads;
    s.block_floats = memory == MEMORY_REGISTERS ? 0 : 4 * static_cast<uint64_t>(s.rounds) * s.block_threads;
    if (method == METHOD_DENSE) s.block_floats += 2 * s.block_networks * vector_floats(net.width);
    return s;
}

// Blocks that a launch takes.
inline uint32_t blocks_of(const SimulateArguments& a) {
    const uint32_t each = a.shape.block_networks;
    return (a.end + each - 1) / each - a.begin / each;
}

inline uint64_t shared_bytes(const Shape& s) {
    return 4 * (SHARED_WORDS + (s.memory == MEMORY_SHARED ? s.block_floats : 0));
}

inline bool fits(const Shape& s, Method method, const DeviceLimits& limits) {
    if (s.memory == MEMORY_REGISTERS)
        return method == METHOD_PROJECTED && s.rounds <= MAX_ROUNDS && s.threads <= BLOCK_THREADS;
    return s.memory == MEMORY_DEVICE || shared_bytes(s) <= limits.shared_block;
}

inline uint64_t instructions(const Shape& s, const Network& net, Method method) {  // per network and layer
    const uint64_t per_quad = s.memory == MEMORY_REGISTERS ? PER_QUAD_REGISTERS : PER_QUAD_MEMORY;
    const uint64_t quads = method == METHOD_DENSE ? net.width + 4ull : 1;  // drawn for every four neurons
    return s.threads * (s.rounds * per_quad * quads + PER_LAYER + PER_STEP * s.log2_threads);
}

// The shape of fewest instructions; for the dense method, whose networks are few, the most threads that cost 15% more.
//
// It must not depend on how many networks are wanted: sums in another order would be other sums.
inline Shape best_shape(const Network& net, Method method, const DeviceLimits& limits) {
    constexpr uint32_t MOST = WARP * MAX_WARPS;
    Shape best = shape_of(net, method, MOST, MEMORY_DEVICE);
    uint64_t least = ~0ull;
    for (const Memory memory : {MEMORY_REGISTERS, MEMORY_SHARED}) {
        for (uint32_t threads = 1; threads <= MOST; threads *= 2) {
            const Shape s = shape_of(net, method, threads, memory);
            if (!fits(s, method, limits)) continue;
            const uint64_t resident = limits.shared_multiprocessor / (shared_bytes(s) + 1024) * s.block_threads;
            // With the most threads there are, fewer than enough have to do.
            if (memory == MEMORY_SHARED && resident < ENOUGH_THREADS && threads < MOST) continue;
            const uint64_t cost = instructions(s, net, method);
            const bool better = method == METHOD_DENSE ? least == ~0ull || 100 * cost <= 115 * least : cost < least;
            if (better) best = s;
            if (cost < least) least = cost;
        }
    }
    return best;
}

// The best shape, or the one asked for; threads < 0 asks for none.
inline Shape choose_shape(const Network& net, Method method, const DeviceLimits& limits, int threads, int memory) {
    if (threads < 0) return best_shape(net, method, limits);
    const Shape shape = shape_of(net, method, static_cast<uint32_t>(threads), static_cast<Memory>(memory));
    if (!fits(shape, method, limits)) throw std::invalid_argument("no such shape for this width");
    return shape;
}

// Any residual network; its vectors are in device memory whatever their number. Instructions per quad and per layer
// forwards and backwards, about: of all its loops, of which tests/data/device_code.json has the longest.
constexpr uint64_t PER_RESIDUAL_QUAD = 1500, PER_RESIDUAL_LAYER = 1000;

inline Shape residual_shape_of(const Residual& net, Method method, uint32_t threads) {
    Shape s = shape_of(net.network, METHOD_PROJECTED, threads, MEMORY_DEVICE);
    s.block_floats = own_floats(net, s);
    if (method == METHOD_DENSE)
        s.block_floats += s.block_networks * (2 * vector_floats(net.network.width) + vector_floats(net.inner));
    return s;
}

// The most threads that cost 15% more instructions than the fewest: what the threads of a multiprocessor keep is then
// less, and more of it in its caches. Like best_shape it must not depend on how many networks are wanted.
inline Shape choose_residual_shape(const Residual& net, Method method, int threads) {
    if (threads > static_cast<int>(MAX_RESIDUAL_THREADS)) throw std::invalid_argument("no such shape for this network");
    if (threads >= 0) return residual_shape_of(net, method, static_cast<uint32_t>(threads));
    const uint64_t quads = method == METHOD_DENSE ? net.network.width + 4ull : 1;
    Shape best{};
    uint64_t least = ~0ull;
    for (uint32_t n = 1; n <= MAX_RESIDUAL_THREADS; n *= 2) {
        const Shape s = residual_shape_of(net, method, n);
        const uint64_t cost =
            n * (s.rounds * PER_RESIDUAL_QUAD * quads + PER_RESIDUAL_LAYER + PER_STEP * s.log2_threads);
        if (least == ~0ull || 100 * cost <= 115 * least) best = s;
        if (cost < least) least = cost;
    }
    return best;
}

// The teams that simulate the same networks, for networks that rest in device memory.
inline Shape choose_population_shape(const Network& net, const Residual* residual, const DeviceLimits& limits,
                                     int threads) {
    if (threads < 0) {
        const Shape best = residual != nullptr ? choose_residual_shape(*residual, METHOD_PROJECTED, -1)
                                               : best_shape(net, METHOD_PROJECTED, limits);
        threads = static_cast<int>(best.threads);
    }
    Shape s = shape_of(net, METHOD_PROJECTED, static_cast<uint32_t>(threads), MEMORY_DEVICE);
    s.block_floats = resting_floats(s);
    return s;
}

RESMC_NAMESPACE_END
