// The smallest device there is: one slot per word, one thread per network. It instantiates the shared mathematics where
// no packs of vectors help or hide anything: by g++ in scalar_team.cpp, by nvcc in ../cuda/headers.cu.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../../csrc/include/resmc/dense.hpp"

RESMC_NAMESPACE_BEGIN

struct Word {
    uint32_t v;
    Word() = default;
    RESMC_FN explicit Word(uint32_t x) : v(x) {}
};

struct Real {
    float v;
    Real() = default;
    RESMC_FN explicit Real(float x) : v(x) {}
};

// ---- what philox.hpp asks for ---------------------------------------------------------------------------------------

struct Wide {
    uint32_t v;
};

RESMC_FN void multiply(uint32_t m, Wide x, Wide& hi, Wide& lo) {
    const uint64_t product = static_cast<uint64_t>(m) * x.v;
    hi.v = static_cast<uint32_t>(product >> 32);
    lo.v = static_cast<uint32_t>(product);
}
RESMC_FN Wide operator^(Wide a, Wide b) { return {a.v ^ b.v}; }
RESMC_FN Wide operator^(Wide a, uint32_t b) { return {a.v ^ b}; }
RESMC_FN Wide widen(Word w) { return {w.v}; }
RESMC_FN Word narrow(Wide x) { return Word(x.v); }

// ---- what normal.hpp asks for ---------------------------------------------------------------------------------------

#define RESMC_WORD_OPERATOR(op)                                            \
    RESMC_FN Word operator op(Word a, Word b) { return Word(a.v op b.v); } \
    RESMC_FN Word operator op(Word a, uint32_t b) { return Word(a.v op b); }
RESMC_WORD_OPERATOR(+)
RESMC_WORD_OPERATOR(-)
RESMC_WORD_OPERATOR(&)
RESMC_WORD_OPERATOR(|)
RESMC_WORD_OPERATOR(^)
#undef RESMC_WORD_OPERATOR
RESMC_FN Word operator<<(Word a, int n) { return Word(a.v << n); }
RESMC_FN Word operator>>(Word a, int n) { return Word(a.v >> n); }
RESMC_FN Word sar(Word a, int n) { return Word(static_cast<uint32_t>(static_cast<int32_t>(a.v) >> n)); }

RESMC_FN Real operator+(Real a, Real b) { return Real(a.v + b.v); }
RESMC_FN Real operator-(Real a, Real b) { return Real(a.v - b.v); }
RESMC_FN Real operator*(Real a, Real b) { return Real(a.v * b.v); }

#ifdef __CUDA_ARCH__
RESMC_FN Real fma(Real a, Real b, Real c) { return Real(__fmaf_rn(a.v, b.v, c.v)); }
RESMC_FN Real sqrt(Real a) { return Real(__fsqrt_rn(a.v)); }
RESMC_FN Real to_real(Word w) { return Real(__int2float_rn(static_cast<int32_t>(w.v))); }
RESMC_FN Real as_real(Word w) { return Real(__uint_as_float(w.v)); }
RESMC_FN Word as_word(Real x) { return Word(__float_as_uint(x.v)); }
#else
RESMC_FN Real fma(Real a, Real b, Real c) { return Real(__builtin_fmaf(a.v, b.v, c.v)); }
RESMC_FN Real sqrt(Real a) { return Real(__builtin_sqrtf(a.v)); }
RESMC_FN Real to_real(Word w) { return Real(static_cast<float>(static_cast<int32_t>(w.v))); }
RESMC_FN Real as_real(Word w) {
    Real x;
    __builtin_memcpy(&x.v, &w.v, 4);
    return x;
}
RESMC_FN Word as_word(Real x) {
    Word w;
    __builtin_memcpy(&w.v, &x.v, 4);
    return w;
}
#endif

RESMC_FN Real max(Real a, Real b) { return a.v > b.v ? a : b; }
RESMC_FN Real select_negative(Word w, Real a, Real b) { return static_cast<int32_t>(w.v) < 0 ? a : b; }
RESMC_FN Word select_zero(Word w, Word a, Word b) { return w.v == 0 ? a : b; }
RESMC_FN Real select_zero(Word w, Real a, Real b) { return w.v == 0 ? a : b; }
RESMC_FN void count_positive(Word& n, Real x) { n.v += x.v > 0.0f ? 1u : 0u; }

// ---- one thread per network -----------------------------------------------------------------------------------------

struct ScalarTeam {
    using Real = RESMC_TARGET::Real;
    using Word = RESMC_TARGET::Word;
    using Wide = RESMC_TARGET::Wide;
    using Count = RESMC_TARGET::Word;

    static RESMC_FN uint32_t first() { return 0; }
    static RESMC_FN uint32_t stride() { return 1; }
    static RESMC_FN bool owns(uint32_t) { return true; }
    template <class Sum>
    static RESMC_FN Sum reduce(const Sum& sums) {
        return sums;
    }
    static RESMC_FN bool stopped() { return false; }
    static RESMC_FN bool proceed() { return true; }
};

// Neuron i of neighbouring networks in neighbouring words.
struct ScalarState {
    float* z;
    size_t networks;
    RESMC_FN Real load(uint32_t i) const { return Real(z[i * networks]); }
    RESMC_FN void store(uint32_t i, Real x) { z[i * networks] = x.v; }
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
    RESMC_FN void layer(uint32_t l, const Sums<Real, Word>& sums, Word exponent) {
        layers[l] = {sums.square.v, sums.active_square.v, static_cast<int32_t>(exponent.v), sums.active.v};
    }
    RESMC_FN bool wants_output() const { return true; }
    RESMC_FN void output(uint32_t k, Real value, Word) { outputs[k] = value.v; }
};

// Floats of workspace that one network needs.
RESMC_FN size_t workspace_floats(const Network& net) { return 3 * static_cast<size_t>(net.width); }

// Network first + index of a batch. `workspace` is the batch's; `layers` and `outputs` are of the whole batch too, one
// network after another.
template <class Activation, Method method>
RESMC_FN bool simulate_scalar(const Network& net, uint64_t seed, uint64_t first, size_t index, size_t networks,
                              float* workspace, LayerRecord* layers, float* outputs) {
    const PhiloxKeys keys = philox_keys(seed);
    const uint64_t network = first + index;
    const Word word2(static_cast<uint32_t>(network));
    const uint32_t word3 = counter_word3(network, 0);
    const size_t state_floats = networks * net.width;
    ScalarTeam team;
    ScalarState state{workspace + index, networks};
    ScalarRecorder recorder{layers + index * (static_cast<size_t>(net.depth) + 1), outputs + index * net.n_out};
    if constexpr (method == METHOD_PROJECTED) {
        return simulate_projected<Activation>(net, keys, team, word2, word3, state, recorder);
    } else {
        ScalarState phi{state.z + state_floats, networks}, phi_next{state.z + 2 * state_floats, networks};
        return simulate_dense<Activation>(net, keys, team, word2, word3, state, phi, phi_next, recorder);
    }
}

RESMC_NAMESPACE_END
