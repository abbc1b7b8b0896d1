// Populations that are resampled: by teams of several threads against a team of one, from layer to layer, in memory of
// exactly the size that the shape names.
#pragma once

#include <cmath>

#include "check_residual.hpp"

namespace resmc {

struct PopulationCase {
    ResidualCase network;  // whose h alone is followed
    bool residual;         // else a log-Gaussian network of its width
    uint32_t size, populations;
    std::vector<uint32_t> layers{0, 2, 3, 7};
};

// What a run leaves: numbers by population and layer, and norms and ancestors by column.
struct PopulationOutcome {
    std::vector<double> top, mean, effective, growth, reached;
    std::vector<uint32_t> parent;
};

inline PopulationOutcome run_populations(const PopulationCase& c, uint32_t threads) {
    const uint32_t stride = static_cast<uint32_t>(population_stride(c.size)), columns = c.populations * stride;
    const uint32_t n_layers = static_cast<uint32_t>(c.layers.size());
    PopulationArguments a{};
    a.residual = c.network.net;
    a.residual.gradients = false;
    a.residual.steps = c.network.steps.data();
    a.residual.input = c.network.input.data();
    a.run.network = a.residual.network;
    a.run.network.step = 0.7f * a.run.network.readout;
    a.run.keys = emulated::philox_keys(SEED);
    a.run.first = (1ull << 32) - stride;
    a.run.columns = a.run.end = columns;
    a.run.shape =
        kernels.population_shape(a.run.network, c.residual ? &a.residual : nullptr, {}, static_cast<int>(threads));
    size_t floats = a.run.shape.block_floats * emulated::blocks_of(a.run);
    if (planted::overrun) floats -= 4;
    auto workspace = poisoned<float>(floats), square = poisoned<float>(columns);
    auto exponent = poisoned<uint32_t>(columns), offspring = poisoned<uint32_t>(columns);
    auto origin = poisoned<double>(columns), weight = poisoned<double>(columns);
    const size_t results = size_t{c.populations} * n_layers;
    PopulationOutcome out{poisoned<double>(results), poisoned<double>(results), poisoned<double>(results),
                          poisoned<double>(results), poisoned<double>(columns), poisoned<uint32_t>(columns)};
    std::vector<uint32_t> stop(1, 0), progress(1, 0);
    a.run.workspace = workspace.data();
    a.run.look_every = a.run.look_every_row = 1;
    a.run.stop = stop.data();
    a.run.progress = progress.data();
    a.run.records.square = square.data();
    a.run.records.exponent = exponent.data();
    for (uint32_t slot = 0; slot < n_layers; ++slot) {
        a.begins = slot == 0;
        a.from = slot == 0 ? 0 : c.layers[slot - 1];
        a.to = c.layers[slot];
        if (c.residual)
            kernels.residual_populations(a, 0, 0);
        else
            kernels.populations(a, VARIANT_BALANCED, 0, 0);
        kernels.resample({a.run.keys,
                          a.run.first,
                          c.populations,
                          c.size,
                          stride,
                          slot,
                          n_layers,
                          a.to,
                          slot > 0 && slot + 1 < n_layers,
                          1.0,
                          square.data(),
                          exponent.data(),
                          out.reached.data(),
                          origin.data(),
                          weight.data(),
                          offspring.data(),
                          out.parent.data(),
                          out.top.data(),
                          out.mean.data(),
                          out.effective.data(),
                          out.growth.data()},
                         0, 0);
        kernels.move({a.run.shape, columns, out.parent.data(), workspace.data()}, 0, 0);
        expect(progress[0] == a.to - a.from, "progress", slot);
        progress[0] = 0;
        launches_compared += 3;
    }
    return out;
}

inline void compare(const PopulationCase& c, const PopulationOutcome& got, const PopulationOutcome& expected) {
    const uint32_t stride = static_cast<uint32_t>(population_stride(c.size));
    const auto near = [](double x, double y) { return std::fabs(x - y) <= 1e-4; };
    for (size_t at = 0; at < got.top.size(); ++at) {
        const size_t slot = at % c.layers.size(), population = at / c.layers.size();
        expect(near(got.top[at], expected.top[at]) && near(got.mean[at], expected.mean[at]), "weights", slot,
               population);
        expect(near(got.effective[at], expected.effective[at]), "effective", slot, population);
        expect(near(got.growth[at], expected.growth[at]), "growth", slot, population);
    }
    for (uint32_t column = 0; column < got.parent.size(); ++column) {
        const bool is_one = column % stride < c.size;  // a network of a population
        expect(got.parent[column] == column, "all stay where they are in the end", 0, column);
        expect(is_poison(got.reached[column]) != is_one, "a norm", 0, column);
        if (is_one) expect(near(got.reached[column], expected.reached[column]), "the norm", 0, column);
    }
    networks_compared += c.populations * c.size;
}

inline void check_populations(bool quick) {
    const std::vector<uint32_t> teams = quick ? std::vector<uint32_t>{2, 64} : std::vector<uint32_t>{2, 8, 32, 64, 128};
    for (int kind = 0; kind <= BLOCKS; ++kind)
        for (const uint32_t width : {7u, 34u}) {
            const bool residual = kind < BLOCKS;
            const Block block = static_cast<Block>(residual ? kind : 0);
            const PopulationCase c{{block, METHOD_PROJECTED, ACTIVATION_TANH, width, 7, 1}, residual, 5, 3};
            current = text("populations: block %d, width %u, one thread", kind, width);
            const PopulationOutcome expected = run_populations(c, 1);
            compare(c, expected, expected);
            for (const uint32_t threads : teams) {
                current = text("populations: block %d, width %u, %u threads", kind, width, threads);
                compare(c, run_populations(c, threads), expected);
            }
        }
}

}  // namespace resmc
