// One network to a slot, a team of one: what the shared mathematics asks of a CPU.
#pragma once

#include "../include/resmc/dense.hpp"
#include "backend.hpp"
#include "pack.hpp"

RESMC_NAMESPACE_BEGIN

struct CpuTeam {
    using Real = RESMC_TARGET::Real;
    using Word = RESMC_TARGET::Word;
    using Wide = RESMC_TARGET::Wide;
    using Count = RESMC_TARGET::Word;
    using Index = uint32_t;

    const Control& control;

#ifdef __AVX512F__
    static constexpr uint32_t drawn_ahead = 16;
#else
    static constexpr uint32_t drawn_ahead = 1;  // with half the registers, the second loop gains nothing
#endif
    static constexpr uint32_t rounds(uint32_t n) { return (n + 3) / 4; }
    static constexpr uint32_t state_rounds(uint32_t n) { return (n + 3) / 4; }
    static constexpr uint32_t whole_rounds(uint32_t n) { return n / 4; }
    static constexpr uint32_t quad(uint32_t round) { return round; }
    static constexpr bool outside(uint32_t i, uint32_t n) { return i >= n; }
    static RESMC_FN Real inside(uint32_t, uint32_t, const Real& x) { return x; }
    static constexpr uint32_t row_quads(uint32_t n, uint32_t before) {
        return static_cast<uint32_t>((before + static_cast<uint64_t>(n) + 3) / 4);
    }
    template <class Sum>
    RESMC_FN Sum reduce(const Sum& sums) const {
        return sums;
    }
    RESMC_FN void sync() const {}
    RESMC_FN bool stopped() const { return __atomic_load_n(control.stop, __ATOMIC_RELAXED); }
    RESMC_FN bool proceed() const {
        __atomic_store_n(control.done, *control.done + 1, __ATOMIC_RELAXED);
        return !stopped();
    }
};

struct CpuState {
    Real* z;
    RESMC_FN void load(uint32_t round, Real (&x)[4]) const {
        for (uint32_t k = 0; k < 4; ++k) x[k] = z[4 * round + k];
    }
    RESMC_FN void store(uint32_t round, const Real (&x)[4]) {
        for (uint32_t k = 0; k < 4; ++k) z[4 * round + k] = x[k];
    }
};

struct CpuVector {
    Real* first;  // of the quad of zeros before neuron 0
    RESMC_FN const Real& load(uint32_t j) const { return first[static_cast<uint32_t>(j + 4)]; }
    RESMC_FN void store(uint32_t quad, const Real (&x)[4]) {
        for (uint32_t k = 0; k < 4; ++k) first[4 * quad + 4 + k] = x[k];
    }
    RESMC_FN void clear_edges(const CpuTeam&, uint32_t quads) {
        for (uint32_t k = 0; k < 4; ++k) first[k] = Real(0.0f);
        for (uint32_t k = 0; k < 8; ++k) first[4 * quads + 4 + k] = Real(0.0f);
    }
};

// Where a pack stands in records: in rows of a tile, whole.
struct TileRow {
    int lane;  // of the pack's first network within the tile

    template <class T, class Pack>
    RESMC_FN void put(T* record, uint32_t slot, const Pack& x) const {
        RESMC_TARGET::store(record + static_cast<size_t>(slot) * TILE + static_cast<size_t>(lane), x);
    }
};

template <class Row>
struct CpuRecorder {
    const Recording& recording;
    const Records& records;
    Row row;
    uint32_t n_out;  // outputs of a network
    uint32_t slot = 0;

    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, const Word& exponent) {
        if (l != recording.layers[slot]) return;
        const Real two_active = sums.active_square + sums.active_square;
        row.put(records.square, slot, sums.square);
        row.put(records.exponent, slot, exponent);
        // A dead network (0/0) is left out of every statistic of A; any finite number serves.
        row.put(records.asymmetry, slot,
                select_zero(as_word(sums.square), Real(0.0f), two_active / sums.square - Real(1.0f)));
        row.put(records.active, slot, sums.active);
        if (slot + 1 < recording.n_layers) ++slot;
    }
    RESMC_FN bool wants_output() const { return records.output != nullptr; }
    RESMC_FN void output(uint32_t k, const Real& value) {
        if (k < n_out) row.put(records.output, k, value);
    }
};

RESMC_NAMESPACE_END
