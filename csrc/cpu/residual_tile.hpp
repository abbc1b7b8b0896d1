// The CPU's loop over the networks of a tile for any residual network: packs of them, each a team of one.
#pragma once

#include "../include/resmc/residual_projected.hpp"
#include "residual_team.hpp"

RESMC_NAMESPACE_BEGIN

size_t residual_workspace_bytes(const Residual& net, Method method) {
    const size_t quads = CpuTeam::rounds(net.network.width);
    const size_t layer = vector_quads(net.network.width), inner = vector_quads(net.inner);
    if (method == METHOD_PROJECTED) return sizeof(Real) * 4 * vectors_with_normals(net) * (quads + 1);
    return sizeof(Real) * 4 * (residual_vectors(net) * (quads + 1) + 2 * layer + inner);
}

template <template <Block> class Branch>
static bool simulate_residual_pack(const Residual& net, const PhiloxKeys& keys, uint64_t network, CpuTeam& team,
                                   CpuResidualRecorder<TileRow>& recorder, Real* workspace) {
    const size_t stride = 4 * (CpuTeam::rounds(net.network.width) + size_t{1});
    const size_t quads = 4 * vector_quads(net.network.width);
    CpuVectors vectors{workspace, stride};
    Real* const shared = workspace + residual_vectors(net) * stride;
    ResidualRun<CpuTeam, CpuVectors, CpuVector, DrawnWeights> run{net,
                                                                  keys,
                                                                  team,
                                                                  vectors,
                                                                  {{shared}, {shared + quads}, {shared + 2 * quads}},
                                                                  widen(counting_from(static_cast<uint32_t>(network))),
                                                                  counter_word3(network, 0),
                                                                  {}};
    return with_block(net.block, [&](auto block) { return simulate_residual<Branch<block.value>>(run, recorder); });
}

bool simulate_residual_tile(const Residual& net, Method method, uint64_t seed, uint64_t first, int begin, int end,
                            const Recording& recording, const Records& records, void* workspace,
                            const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuTeam team{control};
    Real* const memory = static_cast<Real*>(workspace);
    for (int lane = begin / LANES * LANES; lane < end; lane += LANES) {
        CpuResidualRecorder<TileRow> recorder{{recording, records, {lane}, net.network.n_out}, recording.n_layers - 1};
        const uint64_t network = first + static_cast<uint64_t>(lane);
        const bool done = method == METHOD_DENSE
                              ? simulate_residual_pack<Dense>(net, keys, network, team, recorder, memory)
                              : simulate_residual_pack<Projected>(net, keys, network, team, recorder, memory);
        if (!done) return false;
    }
    return true;
}

RESMC_NAMESPACE_END
