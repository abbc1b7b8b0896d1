// The CPU's loop over the networks of a tile for any residual network: packs of them, each a team of one.
#pragma once

#include "../include/resmc/residual_dense.hpp"
#include "../include/resmc/residual_projected.hpp"
#include "team.hpp"

RESMC_NAMESPACE_BEGIN

struct CpuVectors {
    Real* first;
    size_t stride;  // of a vector: its neurons and one quad more
    RESMC_FN Real* at(uint32_t vector, uint32_t round) const { return first + vector * stride + 4 * round; }
    RESMC_FN void load(uint32_t vector, uint32_t round, Real (&x)[4]) const {
        const Real* const from = at(vector, round);
        for (uint32_t k = 0; k < 4; ++k) x[k] = from[k];
    }
    RESMC_FN void store(uint32_t vector, uint32_t round, const Real (&x)[4]) const {
        Real* const to = at(vector, round);
        for (uint32_t k = 0; k < 4; ++k) to[k] = x[k];
    }
};

// Records of a tile, one row of TILE networks for each recorded layer; those of the backward pass from the last row up.
struct CpuResidualRecorder {
    CpuRecorder forward;
    uint32_t back;  // the row that the backward pass fills next

    RESMC_FN void put(const Quotient& quotient, uint32_t slot, const Size<Real, Word>& size) const {
        const size_t at = static_cast<size_t>(slot) * TILE + static_cast<size_t>(forward.lane);
        store(quotient.square + at, size.square);
        store(quotient.exponent + at, size.exponent);
    }
    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, const Word& exponent,
                        const Size<Real, Word>& change) {
        const uint32_t slot = forward.slot;
        if (l != forward.recording.layers[slot]) return;
        put(forward.records.quotients[QUOTIENT_DISPLACEMENT], slot, change);
        forward.layer(l, sums, exponent);
    }
    RESMC_FN void gradient(uint32_t l, const Gradient<Real, Word>& gradient, const Sums<Real, Word>& sums) {
        if (l != forward.recording.layers[back]) return;
        const Records& records = forward.records;
        put(records.quotients[QUOTIENT_GRADIENT], back, gradient.p);
        put(records.quotients[QUOTIENT_GRADIENT_DISPLACEMENT], back, gradient.change);
        const Real size = sqrt(gradient.p.square * sums.square);
        store(records.overlap + static_cast<size_t>(back) * TILE + static_cast<size_t>(forward.lane),
              select_zero(as_word(size), Real(0.0f), gradient.overlap / size));
        if (back > 0) --back;
    }
    RESMC_FN bool wants_output() const { return forward.wants_output(); }
    RESMC_FN void output(uint32_t k, const Real& value) { forward.output(k, value); }
};

size_t residual_workspace_bytes(const Residual& net, Method method) {
    const size_t quads = CpuTeam::rounds(net.network.width);
    const size_t shared = method == METHOD_DENSE ? 3 * vector_quads(net.network.width) : 0;
    return sizeof(Real) * 4 * (residual_vectors(net) * (quads + 1) + shared);
}

template <template <Block> class Branch>
static bool simulate_residual_pack(const Residual& net, const PhiloxKeys& keys, uint64_t network, CpuTeam& team,
                                   CpuResidualRecorder& recorder, Real* workspace) {
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

// ln(|v|^2/n) of every record; what is 0 has none, and any finite number serves.
static void log_norms(const float* square, const int32_t* exponent, size_t n, double log_width, double* to) {
    for (size_t i = 0; i < n; ++i) to[i] = log_norm(square[i], exponent[i], log_width);
}

bool simulate_residual_tile(const Residual& net, Method method, uint64_t seed, uint64_t first, int begin, int end,
                            const Recording& recording, const Records& records, void* workspace,
                            const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuTeam team{control};
    Real* const memory = static_cast<Real*>(workspace);
    for (int lane = begin / LANES * LANES; lane < end; lane += LANES) {
        CpuResidualRecorder recorder{{recording, records, lane, net.network.n_out}, recording.n_layers - 1};
        const uint64_t network = first + static_cast<uint64_t>(lane);
        const bool done = method == METHOD_DENSE
                              ? simulate_residual_pack<Dense>(net, keys, network, team, recorder, memory)
                              : simulate_residual_pack<Projected>(net, keys, network, team, recorder, memory);
        if (!done) return false;
    }
    const size_t n = static_cast<size_t>(recording.n_layers) * TILE;
    const double log_width = __builtin_log(static_cast<double>(net.network.width));
    log_norms(records.square, records.exponent, n, log_width, records.log_norm);
    for (int q = 0; q < (net.gradients ? QUOTIENTS : 1); ++q)
        log_norms(records.quotients[q].square, records.quotients[q].exponent, n, log_width,
                  records.quotients[q].log_norm);
    return true;
}

RESMC_NAMESPACE_END
