// The smallest device there is: one slot per word, one thread per network. It instantiates the shared mathematics where
// no packs of vectors and no teams of threads help or hide anything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../../csrc/cuda/device.hpp"
//
#include "../../csrc/include/resmc/dense.hpp"

RESMC_NAMESPACE_BEGIN

struct ScalarTeam {
    using Real = RESMC_TARGET::Real;
    using Word = RESMC_TARGET::Word;
    using Wide = RESMC_TARGET::Wide;
    using Count = RESMC_TARGET::Word;
    using Index = uint32_t;

    static constexpr uint32_t drawn_ahead = 3;  // divides no width: the last few are always a case of their own
    static RESMC_FN uint32_t rounds(uint32_t n) { return (n + 3) / 4; }
    static RESMC_FN uint32_t state_rounds(uint32_t n) { return (n + 3) / 4; }
    static RESMC_FN uint32_t whole_rounds(uint32_t n) { return n / 4; }
    static RESMC_FN uint32_t quad(uint32_t round) { return round; }
    static RESMC_FN bool outside(uint32_t i, uint32_t n) { return i >= n; }
    static RESMC_FN Real inside(uint32_t, uint32_t, Real x) { return x; }
    static RESMC_FN uint32_t row_quads(uint32_t n, uint32_t before) { return (before + n + 3) / 4; }
    template <class Sum>
    static RESMC_FN Sum reduce(const Sum& sums) {
        return sums;
    }
    static RESMC_FN void sync() {}
    static RESMC_FN bool stopped() { return false; }
    static RESMC_FN bool proceed() { return true; }
};

struct ScalarState {
    float* z;
    RESMC_FN void load(uint32_t round, Real (&x)[4]) const {
        for (uint32_t k = 0; k < 4; ++k) x[k].v = z[4 * round + k];
    }
    RESMC_FN void store(uint32_t round, const Real (&x)[4]) {
        for (uint32_t k = 0; k < 4; ++k) z[4 * round + k] = x[k].v;
    }
};

struct ScalarVector {
    float* first;  // of the quad of zeros before neuron 0
    RESMC_FN Real load(uint32_t j) const { return Real(first[static_cast<uint32_t>(j + 4)]); }
    RESMC_FN void store(uint32_t quad, const Real (&x)[4]) {
        for (uint32_t k = 0; k < 4; ++k) first[4 * quad + 4 + k] = x[k].v;
    }
    RESMC_FN void clear_edges(const ScalarTeam&, uint32_t quads) {
        for (uint32_t k = 0; k < 4; ++k) first[k] = 0.0f;
        for (uint32_t k = 0; k < 8; ++k) first[4 * quads + 4 + k] = 0.0f;
    }
};

// What is seen of one network at one layer: |z|^2 and |phi(z)|^2 in units of 2^(2 exponent).
struct LayerRecord {
    float square, active_square;
    int32_t exponent;
    uint32_t active;
};

struct ScalarRecorder {
    LayerRecord* layers;  // [depth + 1]
    float* outputs;       // [n_out], in units of 2^exponent of the last layer
    uint32_t n_out;
    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, Word exponent) {
        layers[l] = {sums.square.v, sums.active_square.v, static_cast<int32_t>(exponent.v), sums.active.v};
    }
    RESMC_FN bool wants_output() const { return true; }
    RESMC_FN void output(uint32_t k, Real value) {
        if (k < n_out) outputs[k] = value.v;
    }
};

// Floats of workspace that one network needs.
RESMC_FN size_t workspace_floats(const Network& net) {
    return 4 * (ScalarTeam::rounds(net.width) + 2 * vector_quads(net.width));
}

// Network first + index of a batch. `workspace`, `layers` and `outputs` are the batch's, one network after another.
template <class Activation, Method method>
RESMC_FN bool simulate_scalar(const Network& net, uint64_t seed, uint64_t first, size_t index, float* workspace,
                              LayerRecord* layers, float* outputs) {
    const PhiloxKeys keys = philox_keys(seed);
    const uint64_t network = first + index;
    const Word word2(static_cast<uint32_t>(network));
    const uint32_t word3 = counter_word3(network, 0);
    ScalarTeam team;
    ScalarState state{workspace + index * workspace_floats(net)};
    ScalarRecorder recorder{layers + index * (static_cast<size_t>(net.depth) + 1), outputs + index * net.n_out,
                            net.n_out};
    if constexpr (method == METHOD_PROJECTED) {
        return simulate_projected<Activation>(net, keys, team, word2, word3, state, recorder);
    } else {
        ScalarVector phi{state.z + 4 * ScalarTeam::rounds(net.width)};
        ScalarVector phi_next{phi.first + 4 * vector_quads(net.width)};
        return simulate_dense<Activation>(net, keys, team, word2, word3, state, phi, phi_next, recorder);
    }
}

RESMC_NAMESPACE_END
