// Numbers of a tile's networks as registers of doubles: how they are read, and their totals, in a fixed order.
#pragma once

#include "backend.hpp"
#include "double_pack.hpp"

RESMC_NAMESPACE_BEGIN

template <class Register, class T>
RESMC_FN Register load_register(const T* from) {
    Register x;
    __builtin_memcpy(&x, from, sizeof x);
    return x;
}
RESMC_FN DoubleRegister load_doubles(const double* from) { return load_register<DoubleRegister>(from); }

// As many floats, or integers, as a register has doubles, widened: GCC 12 would make that of two halves.
RESMC_FN DoubleRegister load_floats(const float* from) {
#ifdef __AVX512F__
    return (DoubleRegister)_mm512_cvtps_pd(_mm256_loadu_ps(from));
#elif defined(__AVX2__)
    return (DoubleRegister)_mm256_cvtps_pd(_mm_loadu_ps(from));
#else
    return __builtin_convertvector(load_register<HalfFloatRegister>(from), DoubleRegister);
#endif
}
RESMC_FN DoubleRegister load_ints(const int32_t* from) {
#ifdef __AVX512F__
    return (DoubleRegister)_mm512_cvtepi32_pd((__m256i)load_register<HalfIntRegister>(from));
#elif defined(__AVX2__)
    return (DoubleRegister)_mm256_cvtepi32_pd((__m128i)load_register<HalfIntRegister>(from));
#else
    return __builtin_convertvector(load_register<HalfIntRegister>(from), DoubleRegister);
#endif
}
RESMC_FN LongIntRegister widened(HalfIntRegister x) {
#ifdef __AVX512F__
    return (LongIntRegister)_mm512_cvtepi32_epi64((__m256i)x);
#elif defined(__AVX2__)
    return (LongIntRegister)_mm256_cvtepi32_epi64((__m128i)x);
#else
    return __builtin_convertvector(x, LongIntRegister);
#endif
}

// Written out: `DoubleRegister{} + x` would add a zero first, for the sake of -0.
RESMC_FN DoubleRegister every_lane(double x) {
    DoubleRegister y;
    for (int i = 0; i < DOUBLE_LANES; ++i) y[i] = x;
    return y;
}
RESMC_FN double total(DoubleRegister x) {
    double sum = 0.0;
    for (int i = 0; i < DOUBLE_LANES; ++i) sum += x[i];
    return sum;
}

// In a fixed order, DOUBLE_LANES chains at a time: one chain would wait for every addition.
RESMC_FN double tile_total(const double* x) {
    DoubleRegister sum{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) sum += load_doubles(x + t);
    return total(sum);
}
RESMC_FN double tile_total_square(const double* x) {
    DoubleRegister sum{};
    for (int t = 0; t < TILE; t += DOUBLE_LANES) sum = register_fma(load_doubles(x + t), load_doubles(x + t), sum);
    return total(sum);
}

RESMC_NAMESPACE_END
