// A pack of doubles, one slot per network, in the order of a pack of floats: what sums of products over neurons are
// kept in where their digits are subtracted later on.
#pragma once

#include "pack.hpp"

RESMC_NAMESPACE_BEGIN

typedef double DoubleRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));
typedef int64_t LongIntRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));
typedef float HalfFloatRegister __attribute__((vector_size(RESMC_REGISTER_BYTES / 2)));
typedef int32_t HalfIntRegister __attribute__((vector_size(RESMC_REGISTER_BYTES / 2)));

constexpr int DOUBLE_REGISTERS = 2 * REGISTERS;
constexpr int DOUBLE_LANES = REGISTER_LANES / 2;

// ---- one register -------------------------------------------------------------------------------------------------

RESMC_FN DoubleRegister register_fma(DoubleRegister a, DoubleRegister b, DoubleRegister c) {
#if defined(__AVX512F__)
    return (DoubleRegister)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__)
    return (DoubleRegister)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;  // the same, where a and b have been floats: then their product is exact
#endif
}

RESMC_FN DoubleRegister register_sqrt(DoubleRegister a) {
#if defined(__AVX512F__)
    return (DoubleRegister)_mm512_sqrt_pd((__m512d)a);
#elif defined(__AVX2__)
    return (DoubleRegister)_mm256_sqrt_pd((__m256d)a);
#elif defined(__SSE2__)
    return (DoubleRegister)_mm_sqrt_pd((__m128d)a);
#else
    for (int i = 0; i < DOUBLE_LANES; ++i) a[i] = __builtin_sqrt(a[i]);
    return a;
#endif
}

// The first and the second half of a register's floats.
RESMC_FN void register_widen(FloatRegister x, DoubleRegister& low, DoubleRegister& high) {
#if defined(__AVX512F__)
    low = (DoubleRegister)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x));
    high = (DoubleRegister)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1));
#elif defined(__AVX2__)
    low = (DoubleRegister)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x));
    high = (DoubleRegister)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1));
#elif defined(__SSE2__)
    low = (DoubleRegister)_mm_cvtps_pd((__m128)x);
    high = (DoubleRegister)_mm_cvtps_pd(_mm_movehl_ps((__m128)x, (__m128)x));
#else
    for (int i = 0; i < DOUBLE_LANES; ++i) {
        low[i] = static_cast<double>(x[i]);
        high[i] = static_cast<double>(x[i + DOUBLE_LANES]);
    }
#endif
}

// ---- a pack of registers ------------------------------------------------------------------------------------------

#define RESMC_EACH _Pragma("GCC unroll 8") for (int r = 0; r < DOUBLE_REGISTERS; ++r)

struct Double {
    using Part = DoubleRegister;
    static constexpr uint32_t parts = DOUBLE_REGISTERS;
#ifdef __AVX512F__
    static constexpr uint32_t tile = 4;
#else
    static constexpr uint32_t tile = 2;  // of 16 registers
#endif
    DoubleRegister v[DOUBLE_REGISTERS];
    Double() = default;
    RESMC_FN explicit Double(double x) { RESMC_EACH v[r] = DoubleRegister{} + x; }
    static RESMC_FN Part fused(Part a, Part b, Part c) { return register_fma(a, b, c); }
    static RESMC_FN Part widened(const Real& x, uint32_t part) {
        HalfFloatRegister half;
        __builtin_memcpy(&half, reinterpret_cast<const char*>(x.v) + part * sizeof half, sizeof half);
#ifdef __AVX512F__
        return (Part)_mm512_cvtps_pd((__m256)half);  // which GCC 12 makes of two halves
#else
        return __builtin_convertvector(half, Part);
#endif
    }
};

#define RESMC_DOUBLE_OPERATOR(op)                                   \
    RESMC_FN Double operator op(const Double& a, const Double& b) { \
        Double c;                                                   \
        RESMC_EACH c.v[r] = a.v[r] op b.v[r];                       \
        return c;                                                   \
    }
RESMC_DOUBLE_OPERATOR(+)
RESMC_DOUBLE_OPERATOR(-)
RESMC_DOUBLE_OPERATOR(*)
RESMC_DOUBLE_OPERATOR(/)
#undef RESMC_DOUBLE_OPERATOR

RESMC_FN Double fma(const Double& a, const Double& b, const Double& c) {
    Double d;
    RESMC_EACH d.v[r] = register_fma(a.v[r], b.v[r], c.v[r]);
    return d;
}
RESMC_FN Double sqrt(const Double& a) {
    Double c;
    RESMC_EACH c.v[r] = register_sqrt(a.v[r]);
    return c;
}
// a where x < bound, else b.
RESMC_FN Double select_below(const Double& x, double bound, const Double& a, const Double& b) {
    Double c;
    RESMC_EACH c.v[r] = x.v[r] < bound ? a.v[r] : b.v[r];
    return c;
}

RESMC_FN Double to_double(const Real& x) {
    Double c;
    for (int r = 0; r < REGISTERS; ++r) register_widen(x.v[r], c.v[2 * r], c.v[2 * r + 1]);
    return c;
}
// The same of signed words.
RESMC_FN Double to_double(const Word& w) {
    Double c;
    RESMC_EACH {
        HalfIntRegister half;
        __builtin_memcpy(&half, reinterpret_cast<const char*>(w.v) + r * sizeof half, sizeof half);
        c.v[r] = __builtin_convertvector(half, DoubleRegister);
    }
    return c;
}
RESMC_FN Real to_single(const Double& x) {
    Real c;
    RESMC_EACH {
        const HalfFloatRegister half = __builtin_convertvector(x.v[r], HalfFloatRegister);
        __builtin_memcpy(reinterpret_cast<char*>(c.v) + r * sizeof half, &half, sizeof half);
    }
    return c;
}

// 2^e of a signed word, 2^1023 beyond that; 0 below 2^-1022.
RESMC_FN Double power_of_two_double(const Word& e) {
    Double c;
    RESMC_EACH {
        HalfIntRegister half;
        __builtin_memcpy(&half, reinterpret_cast<const char*>(e.v) + r * sizeof half, sizeof half);
        half = half > 1023 ? HalfIntRegister{} + 1023 : half;
        half = half < -1023 ? HalfIntRegister{} - 1023 : half;
        c.v[r] = (DoubleRegister)((__builtin_convertvector(half, LongIntRegister) + 1023) << 52);
    }
    return c;
}
// floor(log2 x) of x > 0; -1023 of 0.
RESMC_FN Word exponent_of(const Double& x) {
    Word c;
    RESMC_EACH {
        const LongIntRegister e = ((LongIntRegister)x.v[r] >> 52) - 1023;
        const HalfIntRegister half = __builtin_convertvector(e, HalfIntRegister);
        __builtin_memcpy(reinterpret_cast<char*>(c.v) + r * sizeof half, &half, sizeof half);
    }
    return c;
}

// ln x, -infinity of 0; slot by slot, for what is asked for once a layer.
static inline Double log(Double x) {
    RESMC_EACH for (int i = 0; i < DOUBLE_LANES; ++i) x.v[r][i] = __builtin_log(x.v[r][i]);
    return x;
}

#undef RESMC_EACH

RESMC_NAMESPACE_END
