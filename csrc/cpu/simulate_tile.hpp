// The CPU's loop over the networks of a tile: packs of them, one after another, each a team of one.
#pragma once

#include "team.hpp"

RESMC_NAMESPACE_BEGIN

template <class Activation>
static bool simulate_pack(const Network& net, Method method, const PhiloxKeys& keys, uint64_t network, CpuTeam& team,
                          CpuRecorder<TileRow>& recorder, Real* workspace) {
    const Word word2 = counting_from(static_cast<uint32_t>(network));
    const uint32_t word3 = counter_word3(network, 0);
    CpuState state{workspace};
    if (method == METHOD_PROJECTED)
        return simulate_projected<Activation>(net, keys, team, word2, word3, state, recorder);
    const size_t vector = 4 * vector_quads(net.width);
    CpuVector phi{workspace + 4 * CpuTeam::rounds(net.width)}, phi_next{phi.first + vector};
    return simulate_dense<Activation>(net, keys, team, word2, word3, state, phi, phi_next, recorder);
}

static size_t workspace_bytes(const Network& net, Method method) {
    return sizeof(Real) * 4 * (CpuTeam::rounds(net.width) + (method == METHOD_DENSE ? 2 * vector_quads(net.width) : 0));
}

static bool simulate(const Network& net, Variant variant, Method method, uint64_t seed, uint64_t first, int begin,
                     int end, const Recording& recording, const Records& records, void* workspace,
                     const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuTeam team{control};
    Real* const z = static_cast<Real*>(workspace);
    for (int lane = begin / LANES * LANES; lane < end; lane += LANES) {
        CpuRecorder<TileRow> recorder{recording, records, {lane}, net.n_out};
        const uint64_t network = first + static_cast<uint64_t>(lane);
        const bool done =
            variant == VARIANT_VANILLA    ? simulate_pack<Relu>(net, method, keys, network, team, recorder, z)
            : variant == VARIANT_BALANCED ? simulate_pack<Balanced>(net, method, keys, network, team, recorder, z)
                                          : simulate_pack<BalancedHalf>(net, method, keys, network, team, recorder, z);
        if (!done) return false;
    }
    return true;
}

RESMC_NAMESPACE_END
