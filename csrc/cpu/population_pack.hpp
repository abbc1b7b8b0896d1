// A pack of a population's networks, from rest to rest: between two calls all that goes on is in its state, the
// neurons' quads and one more that says what is known of the layer as a whole.
#pragma once

#include "team.hpp"

RESMC_NAMESPACE_BEGIN

// Nobody records the layers in between.
struct NoRecorder {
    template <class Sum>
    RESMC_FN void layer(uint32_t, const Sum&, const Word&) const {}
};

template <class Activation>
static bool advance_pack(const Network& net, const PhiloxKeys& keys, uint64_t network, const Stretch& stretch,
                         CpuTeam& team, Real* memory) {
    const Wide networks = widen(counting_from(static_cast<uint32_t>(network)));
    const uint32_t word3 = counter_word3(network, 0), behind = CpuTeam::rounds(net.width);
    CpuState state{memory};
    NoRecorder recorder;
    LayerState<Real, Word, Word> layer;
    Real known[4];
    if (stretch.begins) {
        layer = first_projected<Activation>(net, keys, team, networks, word3, state, recorder);
    } else {
        state.load(behind, known);
        from_quad(known, layer);
    }
    if (!advance_projected<Activation>(net, keys, team, networks, word3, stretch.from, stretch.to, state, layer,
                                       recorder))
        return false;
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
