// A pack of a population's networks, from rest to rest: between two calls all that goes on is in its state, the
// neurons' quads and one more that says what is known of the layer as a whole.
#pragma once

#include "team.hpp"

RESMC_NAMESPACE_BEGIN

template <class Activation>
static bool advance_pack(const Network& net, const PhiloxKeys& keys, uint64_t network, const Stretch& stretch,
                         CpuTeam& team, Real* memory) {
    const Wide networks = widen(counting_from(static_cast<uint32_t>(network)));
    const uint32_t word3 = counter_word3(network, 0), behind = CpuTeam::rounds(net.width);
    CpuState state{memory};
    LayerState<Real, Word, Word> layer;
    Real known[4];
    if (stretch.begins) {
        const auto prefix = philox_prefix(keys, counter_word1(STREAM_FIRST_LAYER, 0), networks, word3);
        layer = {projected_layer<Activation, true>(net, keys, team, prefix, Coefficients<Real>{}, state), Word(0u)};
    } else {
        state.load(behind, known);
        from_quad(known, layer);
    }
    for (uint32_t l = stretch.from; l < stretch.to; ++l) {
        if (!team.proceed()) return false;
        next_projected_layer<Activation>(net, keys, team, networks, word3, l, state, layer.sums, layer.exponent);
    }
    to_quad(layer, known);
    state.store(behind, known);
    return true;
}

static bool advance(const Network& net, Variant variant, uint64_t seed, uint64_t network, const Stretch& stretch,
                    float* state, const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuTeam team{control};
    Real* const memory = reinterpret_cast<Real*>(state);
    switch (variant) {
        case VARIANT_VANILLA:
            return advance_pack<Relu>(net, keys, network, stretch, team, memory);
        case VARIANT_BALANCED:
            return advance_pack<Balanced>(net, keys, network, stretch, team, memory);
        default:
            return advance_pack<BalancedHalf>(net, keys, network, stretch, team, memory);
    }
}

RESMC_NAMESPACE_END
