// The same as population_pack.hpp for any residual network, by the projected method.
#pragma once

#include "../include/resmc/residual_projected.hpp"
#include "residual_team.hpp"

RESMC_NAMESPACE_BEGIN

// h_l alone: a population follows nothing else.
struct CpuLayer {
    static constexpr bool in_memory = true;
    Real* first;

    RESMC_FN void load(uint32_t, uint32_t round, Real (&x)[4]) const {
        for (uint32_t k = 0; k < 4; ++k) x[k] = first[4 * round + k];
    }
    RESMC_FN void store(uint32_t, uint32_t round, const Real (&x)[4]) const {
        for (uint32_t k = 0; k < 4; ++k) first[4 * round + k] = x[k];
    }
};

bool advance_residual(const Residual& net, uint64_t seed, uint64_t network, const Stretch& stretch, float* memory,
                      const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuTeam team{control};
    CpuLayer vector{reinterpret_cast<Real*>(memory)};
    ResidualRun<CpuTeam, CpuLayer, CpuVector, DrawnWeights> run{
        net, keys, team, vector, {}, widen(counting_from(static_cast<uint32_t>(network))), counter_word3(network, 0),
        {}};
    return with_block(net.block, [&](auto block) {
        using Branch = Projected<block.value>;
        const auto layer = stretch.begins ? Branch::first(run, VECTOR_FIRST) : run.kept(VECTOR_FIRST);
        ForwardState<decltype(run)> state{layer, VECTOR_FIRST, {Real(0.0f), layer.exponent}};
        if (!advance<Branch>(run, state, stretch.from, stretch.to, false, [](uint32_t) RESMC_LAMBDA {})) return false;
        run.keep(VECTOR_FIRST, state.layer);
        return true;
    });
}

RESMC_NAMESPACE_END
