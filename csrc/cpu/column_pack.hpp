// Columns of one network with weights that are handed in, a pack of them at a time, from layer to layer and back.
#pragma once

#include "../include/resmc/residual_given.hpp"
#include "residual_team.hpp"

RESMC_NAMESPACE_BEGIN

// Entries are the same for all slots.
template <>
struct GivenCursor<Real, uint32_t> {
    const float* at;
    RESMC_FN GivenCursor(const float* entries, uint32_t from) : at(entries + from) {}
    RESMC_FN Real next(uint32_t stride) {
        const float& x = *at;
        at += stride;
        return every_slot(x);
    }
};

// Where a pack of columns stands in records: some of its first slots, in rows of any length.
struct ColumnRow {
    size_t length, first;
    int slots;

    template <class T, class Pack>
    RESMC_FN void put(T* record, uint32_t slot, const Pack& x) const {
        T values[LANES];
        store(values, x);
        T* const to = record + slot * length + first;
        for (int i = 0; i < slots; ++i) to[i] = values[i];
    }
};

struct CpuSlots {
    Real factors;
    const Real* first;  // h_0, or null
    RESMC_FN const Real& factor() const { return factors; }
    RESMC_FN Real start(uint32_t i, const Real& h) const { return first == nullptr ? h : first[i]; }
};

// Slots without a column repeat the last one's, which costs nothing and is as far from the ends of floats as that is.
static Real load_columns(const float* from, uint32_t columns, uint32_t first) {
    Real x;
    for (uint32_t i = 0; i < LANES; ++i) {
        const uint32_t column = first + i < columns ? first + i : columns - 1;
        x.v[i / REGISTER_LANES][i % REGISTER_LANES] = from[column];
    }
    return x;
}

static size_t vector_reals(const Residual& net) { return 4 * (CpuTeam::rounds(net.network.width) + size_t{1}); }

size_t column_state_bytes(const Residual& net) { return sizeof(Real) * residual_vectors(net) * vector_reals(net); }

size_t column_scratch_bytes(const Residual& net) {
    return sizeof(Real) * (4 * (2 * vector_quads(net.network.width) + vector_quads(net.inner)) + net.network.width);
}

bool simulate_columns(const Residual& net, const ColumnChunk& chunk, bool backward, uint32_t network, uint32_t pack,
                      uint32_t from, uint32_t to, void* scratch, const Control& control) {
    const uint32_t width = net.network.width, first = pack * LANES;
    const uint32_t packs = (chunk.columns + LANES - 1) / LANES;
    const size_t index = static_cast<size_t>(network) * packs + pack, quads = 4 * vector_quads(width);
    Real* const memory = reinterpret_cast<Real*>(chunk.state + index * column_state_bytes(net));
    Real* const shared = static_cast<Real*>(scratch);
    Real* const start = shared + 2 * quads + 4 * vector_quads(net.inner);
    if (!backward && from == 0 && chunk.start != nullptr)
        for (size_t i = 0; i < width; ++i)
            start[i] = load_columns(chunk.start + (network * size_t{width} + i) * chunk.columns, chunk.columns, first);

    const auto layers = [&](const GivenArray& array) -> GivenLayers<uint32_t> {
        return {array.first + network * array.network_stride, array.layer_stride, chunk.begin, 0};
    };
    const CpuSlots slots{load_columns(chunk.factors, chunk.columns, first), chunk.start == nullptr ? nullptr : start};
    const PhiloxKeys keys = philox_keys(chunk.seed);
    const uint64_t number = chunk.first + network;
    CpuTeam team{control};
    CpuVectors vectors{memory, vector_reals(net)};
    ResidualRun<CpuTeam, CpuVectors, CpuVector, GivenWeights<uint32_t, CpuSlots>> run{
        net,
        keys,
        team,
        vectors,
        {{shared}, {shared + quads}, {shared + 2 * quads}},
        widen(Word(static_cast<uint32_t>(number))),
        counter_word3(number, 0),
        {layers(chunk.outer), layers(chunk.inner), layers(chunk.bias), slots}};

    const uint32_t columns = chunk.columns - first < LANES ? chunk.columns - first : LANES;
    const Recording& recording = chunk.recording;
    const ColumnRow row{chunk.row, chunk.row_first + static_cast<size_t>(network) * chunk.columns + first,
                        static_cast<int>(columns)};
    uint32_t slot = 0, back = recording.n_layers - 1;  // the first one to come, in either direction
    while (slot + 1 < recording.n_layers && recording.layers[slot] < from + (from > 0)) ++slot;
    while (back > 0 && recording.layers[back] >= to + (to == net.network.depth)) --back;
    CpuResidualRecorder<ColumnRow> recorder{{recording, chunk.records, row, net.network.n_out, slot}, back};
    return with_block(net.block, [&](auto block) {
        using Branch = Dense<block.value>;
        if (backward) return backward_from_rest<Branch>(run, from, to, recorder);
        Branch::clear_edges(run);
        return forward_from_rest<Branch>(run, from, to, recorder);
    });
}

RESMC_NAMESPACE_END
