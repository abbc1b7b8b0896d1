// The CPU's loop over the networks of a tile: packs of them, one after another, each a team of one.
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

    const Control& control;

    static constexpr uint32_t first() { return 0; }
    static constexpr uint32_t stride() { return 1; }
    static constexpr bool owns(uint32_t) { return true; }
    template <class Sum>
    RESMC_FN Sum reduce(const Sum& sums) const {
        return sums;
    }
    RESMC_FN bool stopped() const { return __atomic_load_n(control.stop, __ATOMIC_RELAXED); }
    RESMC_FN bool proceed() const {
        __atomic_store_n(control.done, *control.done + 1, __ATOMIC_RELAXED);
        return !stopped();
    }
};

struct CpuState {
    Real* z;
    RESMC_FN Real load(uint32_t i) const { return z[i]; }
    RESMC_FN void store(uint32_t i, const Real& x) { z[i] = x; }
};

struct CpuRecorder {
    const Recording& recording;
    const Records& records;
    int lane;  // of the pack's first network within the tile
    uint32_t slot = 0;

    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, const Word& exponent) {
        if (l != recording.layers[slot]) return;
        const size_t at = static_cast<size_t>(slot) * TILE + static_cast<size_t>(lane);
        const Real two_active = sums.active_square + sums.active_square;
        store(records.square + at, sums.square);
        store(records.exponent + at, exponent);
        // A dead network (0/0) is left out of every statistic of A; any finite number serves.
        store(records.asymmetry + at,
              select_zero(as_word(sums.square), Real(0.0f), two_active / sums.square - Real(1.0f)));
        store(records.active + at, sums.active);
        if (slot + 1 < recording.n_layers) ++slot;
    }
    RESMC_FN bool wants_output() const { return records.output != nullptr; }
    RESMC_FN void output(uint32_t k, const Real& value, const Word&) {
        store(records.output + static_cast<size_t>(k) * TILE + lane, value);
    }
};

template <class Activation>
static bool simulate_pack(const Network& net, Method method, const PhiloxKeys& keys, uint64_t network, CpuTeam& team,
                          CpuRecorder& recorder, Real* workspace) {
    const Word word2 = counting_from(static_cast<uint32_t>(network));
    const uint32_t word3 = counter_word3(network, 0);
    CpuState state{workspace};
    if (method == METHOD_PROJECTED)
        return simulate_projected<Activation>(net, keys, team, word2, word3, state, recorder);
    CpuState phi{workspace + net.width}, phi_next{workspace + 2 * static_cast<size_t>(net.width)};
    return simulate_dense<Activation>(net, keys, team, word2, word3, state, phi, phi_next, recorder);
}

static size_t workspace_bytes(const Network& net, Method method) {
    return sizeof(Real) * net.width * (method == METHOD_DENSE ? 3 : 1);
}

// L = ln(|z|^2 / n) from the stored |z|^2 and its exponent; the float's own exponent and a mantissa in
// [sqrt(1/2), sqrt(2)), the latter by the polynomial of the normals. The error is below 3e-8.
static void log_norms(const Network& net, const float* square, const int32_t* exponent, double* out) {
    const double log_width = __builtin_log(static_cast<double>(net.width));
    for (int t = 0; t < TILE; ++t) {
        int32_t bits;
        __builtin_memcpy(&bits, square + t, 4);
        const int32_t e = (bits - 0x3F3504F3) >> 23;
        const int32_t mantissa_bits = bits - e * (1 << 23);
        float mantissa;
        __builtin_memcpy(&mantissa, &mantissa_bits, 4);
        const double f = static_cast<double>(mantissa) - 1.0;
        double q = -0.17835742235183716 * f + 0.2870040237903595;
        q = q * f - 0.29753920435905457;
        q = q * f + 0.3313126862049103;
        q = q * f - 0.3993079662322998;
        q = q * f + 0.5000349283218384;
        q = q * f - 0.6666771769523621;
        q = (q * f + 1.0) * f - 2.0;
        out[t] = (e + 2.0 * exponent[t]) * 0.6931471805599453 - 0.5 * f * q - log_width;
    }
}

static bool simulate(const Network& net, Variant variant, Method method, uint64_t seed, uint64_t first, int begin,
                     int end, const Recording& recording, const Records& records, void* workspace,
                     const Control& control) {
    const PhiloxKeys keys = philox_keys(seed);
    CpuTeam team{control};
    Real* const z = static_cast<Real*>(workspace);
    for (int lane = begin / LANES * LANES; lane < end; lane += LANES) {
        CpuRecorder recorder{recording, records, lane};
        const uint64_t network = first + static_cast<uint64_t>(lane);
        const bool done =
            variant == VARIANT_VANILLA    ? simulate_pack<Relu>(net, method, keys, network, team, recorder, z)
            : variant == VARIANT_BALANCED ? simulate_pack<Balanced>(net, method, keys, network, team, recorder, z)
                                          : simulate_pack<BalancedHalf>(net, method, keys, network, team, recorder, z);
        if (!done) return false;
    }
    for (uint32_t slot = 0; slot < recording.n_layers; ++slot)
        log_norms(net, records.square + slot * TILE, records.exponent + slot * TILE, records.log_norm + slot * TILE);
    return true;
}

RESMC_NAMESPACE_END
