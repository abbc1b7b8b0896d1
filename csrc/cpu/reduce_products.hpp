// The covariance of A between layers: a small matrix product for every tile, in double, in a fixed order.
#pragma once

#include "tile_doubles.hpp"

RESMC_NAMESPACE_BEGIN

// Numbers of all layers by network are kept in panels of a few layers, [panel][network][layer of the panel]: what a
// block of products reads lies side by side, and fits the first cache. Rows of all layers would lie at multiples of a
// power of two, of which such a cache holds few.
constexpr int PANEL = 8;
constexpr int PANEL_SIZE = PANEL * TILE;

// Adds to the packed upper triangle `to` the products sum_t p[t][l] q[t][m] of rows l = first_row .. first_row + ROWS
// - 1 and columns m = first_column .. first_column + REGISTERS_OF_COLUMNS DOUBLE_LANES - 1, m >= l. The sums are kept
// in registers over all networks: enough at a time to hide how long each addition takes.
template <int ROWS, int COLUMN_REGISTERS>
RESMC_FN void add_block(const double* p, const double* q, int n_networks, int first_row, int first_column, int n_slots,
                        double* to) {
    constexpr int COLUMNS = COLUMN_REGISTERS * DOUBLE_LANES;
    const double* const left = p + first_row / PANEL * PANEL_SIZE + first_row % PANEL;
    const double* right[COLUMN_REGISTERS];
    for (int c = 0; c < COLUMN_REGISTERS; ++c) {
        const int m = first_column + c * DOUBLE_LANES;
        right[c] = q + m / PANEL * PANEL_SIZE + m % PANEL;
    }
    DoubleRegister sum[ROWS][COLUMN_REGISTERS] = {};
    for (int at = 0; at < n_networks * PANEL; at += PANEL) {
        DoubleRegister b[COLUMN_REGISTERS];
#pragma GCC unroll 2
        for (int c = 0; c < COLUMN_REGISTERS; ++c) b[c] = load_doubles(right[c] + at);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; ++i) {
            const DoubleRegister a = every_lane(left[at + i]);
#pragma GCC unroll 2
            for (int c = 0; c < COLUMN_REGISTERS; ++c) sum[i][c] = register_fma(a, b[c], sum[i][c]);
        }
    }
    for (int i = 0; i < ROWS && first_row + i < n_slots; ++i) {
        const int r = first_row + i;
        double* const row = to + (static_cast<int64_t>(r) * n_slots - static_cast<int64_t>(r) * (r - 1) / 2) - r;
        if (first_column >= r && first_column + COLUMNS <= n_slots) {
            for (int c = 0; c < COLUMN_REGISTERS; ++c) {
                double* const some = row + first_column + c * DOUBLE_LANES;
                const DoubleRegister more = load_doubles(some) + sum[i][c];
                __builtin_memcpy(some, &more, sizeof more);
            }
        } else {
            for (int j = 0; j < COLUMNS; ++j)
                if (first_column + j >= r && first_column + j < n_slots)
                    row[first_column + j] += sum[i][j / DOUBLE_LANES][j % DOUBLE_LANES];
        }
    }
}

// Adds the products of two tiles, sum_t p[t][l] q[t][m] with m >= l.
RESMC_OUTLINE_FN void add_products(const double* p, const double* q, int n_networks, int n_slots, double* to) {
    constexpr int ROWS = DOUBLE_LANES == 8 ? 8 : 4, COLUMNS = 2 * DOUBLE_LANES;
    for (int l = 0; l < n_slots; l += ROWS) {
        int m = l / DOUBLE_LANES * DOUBLE_LANES;
        for (; m + COLUMNS - DOUBLE_LANES < n_slots; m += COLUMNS)
            add_block<ROWS, 2>(p, q, n_networks, l, m, n_slots, to);
        if (m < n_slots) add_block<ROWS, 1>(p, q, n_networks, l, m, n_slots, to);
    }
}

// Puts value(slot, t) into panels, of networks t = 0 .. n - 1.
template <class Value>
RESMC_FN void fill_panels(double* panels, int n_slots, int n, const Value& value) {
    for (int slot = 0; slot < n_slots; ++slot) {
        double* const to = panels + slot / PANEL * PANEL_SIZE + slot % PANEL;
        for (int t = 0; t < n; ++t) to[t * PANEL] = value(slot, t);
    }
}

static void reduce_products(const Recording& recording, const Records& records, int begin, int end,
                            const Statistics& s) {
    const int n_slots = static_cast<int>(recording.n_layers), n = end - begin;
    const size_t matrix = padded_slots(recording.n_layers) * TILE;
    double *const a = records.scratch, *const alive = a + matrix, *const square = alive + matrix;
    const float *const asymmetries = records.asymmetry + begin, *const squares = records.square + begin;
    fill_panels(a, n_slots, n, [=](int slot, int t) { return static_cast<double>(asymmetries[slot * TILE + t]); });
    add_products(a, a, n, n_slots, s.products);
    if (!recording.deaths_possible) return;
    fill_panels(alive, n_slots, n, [=](int slot, int t) { return squares[slot * TILE + t] > 0.0f ? 1.0 : 0.0; });
    for (size_t i = 0; i < matrix; ++i) square[i] = a[i] * a[i];
    add_products(a, alive, n, n_slots, s.partial_sums);
    add_products(square, alive, n, n_slots, s.partial_squares);
}

RESMC_NAMESPACE_END
