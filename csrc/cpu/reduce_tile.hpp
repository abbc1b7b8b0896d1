// From the records of a tile to statistics.
#pragma once

#include "reduce_products.hpp"
#include "whole_tile.hpp"

RESMC_NAMESPACE_BEGIN

static bool all_count_at(const float* square, uint32_t slot) {
    bool all = true;
    for (size_t i = slot; i < slot + SIDE_BY_SIDE; ++i) all &= all_count(square + i * TILE);
    return all;
}

static void reduce_layers(const Network& net, const Records& records, uint32_t n_layers, int begin, int end,
                          const Statistics& s) {
    if (GO_WHOLE && begin == 0 && end == TILE && all_count(records.start_square)) {
        const WholeStart start(net, records);
        uint32_t slot = 0;
        while (slot < n_layers) {
            if (slot + SIDE_BY_SIDE <= n_layers && all_count_at(records.square, slot)) {
                reduce_whole(net, records, start, slot, s);
                slot += SIDE_BY_SIDE;
            } else {
                reduce_layer(net, records, start, slot++, begin, end, s);
            }
        }
    } else {
        const StartOfTile start(net, records, begin, end);
        for (uint32_t slot = 0; slot < n_layers; ++slot) reduce_layer(net, records, start, slot, begin, end, s);
    }
}

static void reduce(const Network& net, const Recording& recording, const Records& records, int begin, int end,
                   const Statistics& s) {
    reduce_layers(net, records, recording.n_layers, begin, end, s);
    if (s.products != nullptr) reduce_products(recording, records, begin, end, s);
    if (s.histogram == nullptr) return;
    const size_t last = static_cast<size_t>(recording.n_layers - 1) * TILE;
    const double log_width = __builtin_log(static_cast<double>(net.width));
    for (int t = begin; t < end; ++t) {
        const size_t at = last + static_cast<size_t>(t);
        if (records.square[at] <= 0.0f) continue;
        const double final_log = log_norm(records.square[at], records.exponent[at], log_width);
        const double bin = __builtin_floor((final_log - recording.bin_low) / recording.bin_width);
        const uint32_t b = bin < 0.0                 ? 0
                           : bin >= recording.n_bins ? recording.n_bins + 1
                                                     : 1 + static_cast<uint32_t>(bin);
        ++s.histogram[b];
    }
}

RESMC_NAMESPACE_END
