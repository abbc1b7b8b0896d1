// Any residual network, forwards and backwards, by teams of several threads against a team of one: every record of
// every column that is wanted, and nothing else, in memory of exactly the size that the shape names.
#pragma once

#include <atomic>
#include <cmath>

#include "checks.hpp"

namespace resmc {

struct ResidualCase {
    Residual net;
    Method method;
    std::vector<float> steps, input;
    std::vector<uint32_t> layers;

    ResidualCase(Block block, Method m, int activation, uint32_t width, uint32_t depth, uint32_t segment,
                 uint32_t inner = 0)
        : net{}, method(m), input(4 + 5 + 8, 0.0f) {
        net.network.width = width;
        net.network.depth = depth;
        net.network.n_out = 6;
        net.network.carry = net.network.carry_mantissa = 0.9f;
        net.network.readout = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)));
        net.block = block;
        net.inner = inner > 0 ? inner : width;
        net.activation.kind = activation;
        net.weight_law = method == METHOD_DENSE && width % 2 == 1 ? WEIGHTS_UNIFORM : WEIGHTS_GAUSSIAN;
        net.inside = block == BLOCK_PHI_OUT && width % 2 == 1;
        net.gradients = true;
        net.keep = net.size = 1.0f;
        net.bias_square = 0.1f * static_cast<float>(width);
        net.bias = std::sqrt(net.bias_square);
        net.bias_law = method == METHOD_DENSE && width % 2 == 0 ? WEIGHTS_UNIFORM : WEIGHTS_GAUSSIAN;
        net.kept_below = block == BLOCK_PHI_IN && segment % 2 == 0 ? 0xB0000000u : 0;  // dropout in some cases
        net.kept_factor = 1.2f;
        net.norm = static_cast<Norm>((width + depth) % NORMS);  // a norm in some cases, in all places by turns
        net.norm_before = net.norm != NORM_NONE && segment % 3 != 0;
        net.norm_branch = net.norm != NORM_NONE && segment % 3 != 1;
        net.norm_after = net.norm != NORM_NONE && segment % 2 == 1;
        net.norm_eps = 1e-3f;
        net.grounded = net.norm != NORM_NONE;
        net.segment = segment;
        net.n_in = net.weight_law == WEIGHTS_UNIFORM ? 5 : 0;
        const bool whole = block == BLOCK_PHI_OUT || net.norm_branch;
        const float outer = whole ? 1.0f : static_cast<float>(1.0 / std::sqrt(static_cast<double>(net.inner)));
        for (uint32_t l = 0; l < depth; ++l) steps.push_back((0.6f - 0.1f * static_cast<float>(l % 4)) * outer);
        for (uint32_t j = 0; j < 5; ++j) input[4 + j] = 0.3f - 0.2f * static_cast<float>(j);
        for (uint32_t l = 0; l <= depth; ++l)
            if (l == 0 || l == depth || l % 3 != 1) layers.push_back(l);
    }
};

// Records of h, then of the quotients, [slot][column] each, and the overlap.
struct ResidualRecords {
    Records h;
    std::vector<float> square, overlap;
    std::vector<uint32_t> exponent;

    ResidualRecords(size_t size, size_t outputs)
        : h(size, outputs),
          square(poisoned<float>(QUOTIENTS * size)),
          overlap(poisoned<float>(size)),
          exponent(poisoned<uint32_t>(QUOTIENTS * size)) {}
};

constexpr uint32_t RESIDUAL_COLUMNS = 64;
enum ResidualStop { RESIDUAL_NEVER, RESIDUAL_BEFORE, RESIDUAL_DURING };

// Columns begin .. end - 1 by teams of so many threads, at most `blocks` blocks at a time.
inline ResidualRecords simulate_residual(const ResidualCase& c, uint32_t threads, uint32_t blocks, uint32_t begin,
                                         uint32_t end, ResidualStop when = RESIDUAL_NEVER) {
    const size_t n = c.layers.size() * RESIDUAL_COLUMNS;
    ResidualRecords records(n, size_t{RESIDUAL_COLUMNS} * c.net.network.n_out);
    ResidualArguments a{};
    a.residual = c.net;
    a.residual.steps = c.steps.data();
    a.residual.input = c.input.data();
    a.run.network = c.net.network;
    a.run.keys = emulated::philox_keys(SEED);
    a.run.first = (1ull << 32) - 32;
    a.run.columns = RESIDUAL_COLUMNS;
    a.run.begin = begin;
    a.run.end = end;
    a.run.layers = c.layers.data();
    a.run.n_layers = static_cast<uint32_t>(c.layers.size());
    a.run.records = records.h.pointers();
    a.run.output_end = RESIDUAL_COLUMNS;
    a.run.shape = kernels.residual_shape(c.net, c.method, static_cast<int>(threads));
    const uint32_t wanted = emulated::blocks_of(a.run);
    size_t floats = a.run.shape.block_floats * (blocks < wanted ? blocks : wanted);
    if (planted::overrun) floats -= 4;
    std::vector<float> workspace = poisoned<float>(floats);
    a.run.workspace = workspace.data();
    a.run.look_every = a.run.look_every_row = 1;
    std::vector<uint32_t> stop(1, when == RESIDUAL_BEFORE ? 1 : 0), progress(1, 0);
    a.run.stop = stop.data();
    a.run.progress = progress.data();
    for (size_t r = 0; r < QUOTIENTS; ++r)
        a.quotients[r] = {records.square.data() + r * n, records.exponent.data() + r * n};
    a.overlap = records.overlap.data();
    std::atomic<bool> over = false;
    std::thread host;
    if (when == RESIDUAL_DURING)
        host = std::thread([&] {
            while (__atomic_load_n(progress.data(), __ATOMIC_RELAXED) < 3 && !over) std::this_thread::yield();
            __atomic_store_n(stop.data(), 1u, __ATOMIC_RELAXED);
        });
    kernels.simulate_residual(a, c.method, blocks, 0, 0);
    over = true;
    if (host.joinable()) host.join();
    if (when == RESIDUAL_NEVER) expect(progress[0] == emulated::residual_steps(c.net), "progress");
    ++launches_compared;
    return records;
}

inline double logarithm(float square, uint32_t exponent) {
    return std::log(static_cast<double>(square)) + 2.0 * std::log(2.0) * static_cast<int32_t>(exponent);
}

inline void compare(const ResidualCase& c, const ResidualRecords& got, const ResidualRecords& expected, uint32_t begin,
                    uint32_t end) {
    const size_t n = c.layers.size() * RESIDUAL_COLUMNS;
    for (size_t at = 0; at < n; ++at) {
        const size_t slot = at / RESIDUAL_COLUMNS, column = at % RESIDUAL_COLUMNS;
        const bool wanted = column >= begin && column < end;
        expect(is_poison(got.h.square[at]) != wanted && is_poison(got.overlap[at]) != wanted, "wanted", slot, column);
        for (size_t r = 0; r < QUOTIENTS; ++r)
            expect(is_poison(got.square[r * n + at]) != wanted && is_poison(got.exponent[r * n + at]) != wanted,
                   "a wanted quotient", slot, column);
        if (!wanted) continue;
        const auto near = [&](float square, uint32_t exponent, float other, uint32_t other_exponent) {
            if (square == 0.0f || other == 0.0f) return square == other;
            return std::fabs(logarithm(square, exponent) - logarithm(other, other_exponent)) <= 1e-4;
        };
        expect(near(got.h.square[at], got.h.exponent[at], expected.h.square[at], expected.h.exponent[at]), "h", slot,
               column);
        for (size_t i = at; i < QUOTIENTS * n; i += n)
            expect(near(got.square[i], got.exponent[i], expected.square[i], expected.exponent[i]), "a quotient", slot,
                   column);
        expect(std::fabs(got.overlap[at] - expected.overlap[at]) <= 1e-4f, "overlap", slot, column);
    }
    networks_compared += end - begin;
}

// Widths, and with two matrices more or fewer neurons between them.
inline std::vector<std::pair<uint32_t, uint32_t>> shapes_of(Block block, const std::vector<uint32_t>& widths) {
    std::vector<std::pair<uint32_t, uint32_t>> shapes;
    for (const uint32_t width : widths) {
        shapes.emplace_back(width, width);
        if (block != BLOCK_V_PHI_W) continue;
        shapes.emplace_back(width, 2 * width + 3);
        shapes.emplace_back(width, (width + 1) / 2);
    }
    return shapes;
}

inline void check_residual(bool quick) {
    const std::vector<uint32_t> widths = quick ? std::vector<uint32_t>{7} : std::vector<uint32_t>{4, 7, 33};
    const std::vector<uint32_t> teams = quick ? std::vector<uint32_t>{2, 64} : std::vector<uint32_t>{2, 8, 32, 64, 128};
    uint32_t number = 0;
    for (const Method method : {METHOD_PROJECTED, METHOD_DENSE})
        for (int kind = 0; kind < BLOCKS; ++kind)
            for (const auto& [width, inner] : shapes_of(static_cast<Block>(kind), widths)) {
                const int activation = number % 2 == 0 ? ACTIVATION_TANH : ACTIVATION_BALANCED;
                const Block block = static_cast<Block>(kind);
                const ResidualCase c(block, method, activation, width, 7, 1 + number % 4, inner);
                current = text("residual: block %d, method %d, width %u (%u), one thread", block, method, width, inner);
                const ResidualRecords expected = simulate_residual(c, 1, 1, 0, RESIDUAL_COLUMNS);
                compare(c, expected, expected, 0, RESIDUAL_COLUMNS);
                for (const uint32_t threads : teams) {
                    const uint32_t begin = 3 + number % 5, end = threads > WARP ? begin + 2 : 61 - number % 7;
                    current = text("residual: block %d, method %d, width %u (%u), %u threads, columns %u to %u", block,
                                   method, width, inner, threads, begin, end);
                    compare(c, simulate_residual(c, threads, 1 + number++ % 2, begin, end), expected, begin, end);
                }
                // Stopped before it began a network has its first layer; in between, it ends all the same.
                current = text("residual, stopped: block %d, method %d, width %u", block, method, width);
                const ResidualRecords stopped = simulate_residual(c, 64, 1, 5, 6, RESIDUAL_BEFORE);
                expect(!is_poison(stopped.h.square[5]), "the first layer");
                expect(is_poison(stopped.h.square[2 * RESIDUAL_COLUMNS + 5]), "no layer beyond the second");
                expect(is_poison(stopped.overlap[5]), "nothing of the backward pass");
                simulate_residual(c, 64, 1, 5, 6, RESIDUAL_DURING);
            }
}

}  // namespace resmc
