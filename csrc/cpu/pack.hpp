// A pack: one slot per network, held in a few vector registers. This is the CPU's Real and Word for the shared
// mathematics. Written with the compiler's vector types, and with intrinsics where these have no word for it.
//
// Two registers per pack hide the latency of Philox's multiplications; GCC's own wider-than-register vectors would
// spill instead.
#pragma once

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "../include/resmc/target.hpp"

#if defined(__AVX512F__)
#define RESMC_REGISTER_BYTES 64
#elif defined(__AVX2__)
#define RESMC_REGISTER_BYTES 32
#else
#define RESMC_REGISTER_BYTES 16
#endif

RESMC_NAMESPACE_BEGIN

typedef float FloatRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));
typedef int32_t IntRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));
typedef uint32_t WordRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));
typedef uint64_t LongRegister __attribute__((vector_size(RESMC_REGISTER_BYTES)));

#ifndef RESMC_REGISTERS  // per pack
#define RESMC_REGISTERS 2
#endif
constexpr int REGISTERS = RESMC_REGISTERS;
constexpr int REGISTER_LANES = RESMC_REGISTER_BYTES / 4;
constexpr int LANES = REGISTERS * REGISTER_LANES;

// ---- one register -------------------------------------------------------------------------------------------------

RESMC_FN FloatRegister register_fma(FloatRegister a, FloatRegister b, FloatRegister c) {
#if defined(__AVX512F__)
    return (FloatRegister)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (FloatRegister)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;  // the baseline has no fused multiply-add; a library call per slot would be the whole cost
#endif
}

RESMC_FN FloatRegister register_sqrt(FloatRegister a) {
#if defined(__AVX512F__)
    return (FloatRegister)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
    return (FloatRegister)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
    return (FloatRegister)_mm_sqrt_ps((__m128)a);
#else
    for (int i = 0; i < REGISTER_LANES; ++i) a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

RESMC_FN FloatRegister register_max(FloatRegister a, FloatRegister b) {
#if defined(__AVX512F__)
    return (FloatRegister)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (FloatRegister)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (FloatRegister)_mm_max_ps((__m128)a, (__m128)b);
#else
    return a > b ? a : b;
#endif
}

// a where w is negative as a signed word, else b.
RESMC_FN FloatRegister register_select_negative(WordRegister w, FloatRegister a, FloatRegister b) {
#if defined(__AVX512F__)
    return (FloatRegister)_mm512_mask_mov_ps((__m512)b, _mm512_movepi32_mask((__m512i)w), (__m512)a);
#elif defined(__AVX2__)
    return (FloatRegister)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)w);
#else
    const IntRegister mask = (IntRegister)w >> 31;
    return (FloatRegister)((mask & (IntRegister)a) | (~mask & (IntRegister)b));
#endif
}

RESMC_FN WordRegister register_select_zero(WordRegister w, WordRegister a, WordRegister b) {
#if defined(__AVX512F__)
    return (WordRegister)_mm512_mask_mov_epi32((__m512i)b, _mm512_testn_epi32_mask((__m512i)w, (__m512i)w), (__m512i)a);
#else
    const WordRegister mask = (WordRegister)(w == 0);
    return (mask & a) | (~mask & b);
#endif
}

RESMC_FN WordRegister register_count_positive(WordRegister n, FloatRegister x) {
#if defined(__AVX512F__)
    const __mmask16 positive = _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_GT_OQ);
    return (WordRegister)_mm512_mask_add_epi32((__m512i)n, positive, (__m512i)n, _mm512_set1_epi32(1));
#else
    return n - (WordRegister)(x > 0.0f);
#endif
}

// x^2 is added to `square` where x > 0, and so is 1 to n.
RESMC_FN void register_add_positive(FloatRegister x, FloatRegister& square, WordRegister& n) {
#if defined(__AVX512F__)
    const __mmask16 positive = _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_GT_OQ);
    square = (FloatRegister)_mm512_mask3_fmadd_ps((__m512)x, (__m512)x, (__m512)square, positive);
    n = (WordRegister)_mm512_mask_add_epi32((__m512i)n, positive, (__m512i)n, _mm512_set1_epi32(1));
#else
    const FloatRegister active = register_max(x, FloatRegister{});
    square = register_fma(active, active, square);
    n = register_count_positive(n, active);
#endif
}

// The 64-bit products of m with the low word of each 64-bit slot.
RESMC_FN LongRegister register_multiply(uint32_t m, LongRegister x) {
#if defined(__AVX512F__)
    return (LongRegister)_mm512_mul_epu32(_mm512_set1_epi64(m), (__m512i)x);
#elif defined(__AVX2__)
    return (LongRegister)_mm256_mul_epu32(_mm256_set1_epi64x(m), (__m256i)x);
#elif defined(__SSE2__)
    return (LongRegister)_mm_mul_epu32(_mm_set1_epi64x(m), (__m128i)x);
#else
    return (x & 0xFFFFFFFFu) * static_cast<uint64_t>(m);
#endif
}

// The low words of `even` in the even slots, those of `odd` in the odd ones.
RESMC_FN WordRegister register_interleave(LongRegister even, LongRegister odd) {
#if defined(__AVX512F__)
    return (WordRegister)_mm512_mask_blend_epi32(0xAAAA, (__m512i)even, _mm512_slli_epi64((__m512i)odd, 32));
#elif defined(__AVX2__)
    return (WordRegister)_mm256_blend_epi32((__m256i)even, _mm256_slli_epi64((__m256i)odd, 32), 0xAA);
#else
    return (WordRegister)((even & 0xFFFFFFFFu) | odd << 32);
#endif
}

// The four floats of each slot's cell, cell after cell in memory: loaded as they lie, then transposed.
RESMC_FN void register_load_cells(const float* cells, WordRegister number, FloatRegister (&a)[4]) {
#if defined(__AVX512F__)
    alignas(64) uint32_t at[16];
    _mm512_store_si512(at, (__m512i)number);
    __m512 row[4];
    for (int i = 0; i < 4; ++i) {  // lane j of row i has the cell of slot 4 j + i
        row[i] = _mm512_castps128_ps512(_mm_loadu_ps(cells + 4 * static_cast<size_t>(at[i])));
        for (int j = 1; j < 4; ++j)
            row[i] = _mm512_mask_broadcast_f32x4(row[i], static_cast<__mmask16>(0xF << (4 * j)),
                                                 _mm_loadu_ps(cells + 4 * static_cast<size_t>(at[4 * j + i])));
    }
    const __m512d low01 = (__m512d)_mm512_unpacklo_ps(row[0], row[1]),
                  low23 = (__m512d)_mm512_unpacklo_ps(row[2], row[3]);
    const __m512d high01 = (__m512d)_mm512_unpackhi_ps(row[0], row[1]),
                  high23 = (__m512d)_mm512_unpackhi_ps(row[2], row[3]);
    a[0] = (FloatRegister)_mm512_unpacklo_pd(low01, low23);
    a[1] = (FloatRegister)_mm512_unpackhi_pd(low01, low23);
    a[2] = (FloatRegister)_mm512_unpacklo_pd(high01, high23);
    a[3] = (FloatRegister)_mm512_unpackhi_pd(high01, high23);
#elif defined(__AVX2__)
    alignas(32) uint32_t at[8];
    _mm256_store_si256((__m256i*)at, (__m256i)number);
    __m256 row[4];
    for (int i = 0; i < 4; ++i)
        row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(cells + 4 * static_cast<size_t>(at[i]))),
                                      _mm_loadu_ps(cells + 4 * static_cast<size_t>(at[4 + i])), 1);
    const __m256d low01 = (__m256d)_mm256_unpacklo_ps(row[0], row[1]),
                  low23 = (__m256d)_mm256_unpacklo_ps(row[2], row[3]);
    const __m256d high01 = (__m256d)_mm256_unpackhi_ps(row[0], row[1]),
                  high23 = (__m256d)_mm256_unpackhi_ps(row[2], row[3]);
    a[0] = (FloatRegister)_mm256_unpacklo_pd(low01, low23);
    a[1] = (FloatRegister)_mm256_unpackhi_pd(low01, low23);
    a[2] = (FloatRegister)_mm256_unpacklo_pd(high01, high23);
    a[3] = (FloatRegister)_mm256_unpackhi_pd(high01, high23);
#else
    for (int k = 0; k < 4; ++k) {
        float column[REGISTER_LANES];
        for (int i = 0; i < REGISTER_LANES; ++i) column[i] = cells[4 * static_cast<size_t>(number[i]) + k];
        __builtin_memcpy(&a[k], column, sizeof column);
    }
#endif
}

// ---- a pack of registers ------------------------------------------------------------------------------------------

#define RESMC_EACH _Pragma("GCC unroll 4") for (int r = 0; r < REGISTERS; ++r)

struct Word {
    WordRegister v[REGISTERS];
    Word() = default;
    RESMC_FN explicit Word(uint32_t x) { RESMC_EACH v[r] = WordRegister{} + x; }
};

struct Real {
    FloatRegister v[REGISTERS];
    Real() = default;
    RESMC_FN explicit Real(float x) { RESMC_EACH v[r] = FloatRegister{} + x; }
};

// A word in the form in which products are widest: the low words of 64-bit slots, even and odd networks apart, with
// anything above them. Philox stays in this form for all its rounds.
struct Wide {
    LongRegister even[REGISTERS], odd[REGISTERS];
};

#define RESMC_WORD_OPERATOR(op)                               \
    RESMC_FN Word operator op(const Word& a, const Word& b) { \
        Word c;                                               \
        RESMC_EACH c.v[r] = a.v[r] op b.v[r];                 \
        return c;                                             \
    }                                                         \
    RESMC_FN Word operator op(const Word& a, uint32_t b) {    \
        Word c;                                               \
        RESMC_EACH c.v[r] = a.v[r] op b;                      \
        return c;                                             \
    }
RESMC_WORD_OPERATOR(+)
RESMC_WORD_OPERATOR(-)
RESMC_WORD_OPERATOR(&)
RESMC_WORD_OPERATOR(|)
RESMC_WORD_OPERATOR(^)
#undef RESMC_WORD_OPERATOR

RESMC_FN Word operator<<(const Word& a, int n) {
    Word c;
    RESMC_EACH c.v[r] = a.v[r] << n;
    return c;
}
RESMC_FN Word operator>>(const Word& a, int n) {
    Word c;
    RESMC_EACH c.v[r] = a.v[r] >> n;
    return c;
}
RESMC_FN Word sar(const Word& a, int n) {
    Word c;
    RESMC_EACH c.v[r] = (WordRegister)((IntRegister)a.v[r] >> n);
    return c;
}

#define RESMC_REAL_OPERATOR(op)                               \
    RESMC_FN Real operator op(const Real& a, const Real& b) { \
        Real c;                                               \
        RESMC_EACH c.v[r] = a.v[r] op b.v[r];                 \
        return c;                                             \
    }
RESMC_REAL_OPERATOR(+)
RESMC_REAL_OPERATOR(-)
RESMC_REAL_OPERATOR(*)
RESMC_REAL_OPERATOR(/)
#undef RESMC_REAL_OPERATOR

// x in all slots, straight from memory: to add it to zeros would change the sign of -0, and is not left out.
RESMC_FN Real every_slot(const float& x) {
    Real c;
    RESMC_EACH c.v[r] = x - FloatRegister{};
    return c;
}

RESMC_FN Real fma(const Real& a, const Real& b, const Real& c) {
    Real d;
    RESMC_EACH d.v[r] = register_fma(a.v[r], b.v[r], c.v[r]);
    return d;
}
RESMC_FN Real sqrt(const Real& a) {
    Real c;
    RESMC_EACH c.v[r] = register_sqrt(a.v[r]);
    return c;
}
RESMC_FN Real sqrt_normal(const Real& a) { return sqrt(a); }
RESMC_FN Real max(const Real& a, const Real& b) {
    Real c;
    RESMC_EACH c.v[r] = register_max(a.v[r], b.v[r]);
    return c;
}
RESMC_FN Real to_real(const Word& w) {
    Real c;
    RESMC_EACH c.v[r] = __builtin_convertvector((IntRegister)w.v[r], FloatRegister);
    return c;
}
RESMC_FN Real as_real(const Word& w) {
    Real c;
    RESMC_EACH c.v[r] = (FloatRegister)w.v[r];
    return c;
}
RESMC_FN Word as_word(const Real& x) {
    Word c;
    RESMC_EACH c.v[r] = (WordRegister)x.v[r];
    return c;
}
RESMC_FN Real select_negative(const Word& w, const Real& a, const Real& b) {
    Real c;
    RESMC_EACH c.v[r] = register_select_negative(w.v[r], a.v[r], b.v[r]);
    return c;
}
RESMC_FN Word select_zero(const Word& w, const Word& a, const Word& b) {
    Word c;
    RESMC_EACH c.v[r] = register_select_zero(w.v[r], a.v[r], b.v[r]);
    return c;
}
RESMC_FN Real select_zero(const Word& w, const Real& a, const Real& b) {
    return as_real(select_zero(w, as_word(a), as_word(b)));
}
RESMC_FN void load_cells(const float* cells, const Word& number, Real (&a)[4]) {
    RESMC_EACH {
        FloatRegister of_register[4];
        register_load_cells(cells, number.v[r], of_register);
        for (int k = 0; k < 4; ++k) a[k].v[r] = of_register[k];
    }
}
RESMC_FN void count_positive(Word& n, const Real& x) { RESMC_EACH n.v[r] = register_count_positive(n.v[r], x.v[r]); }
RESMC_FN void add_positive(const Real& x, Real& square, Word& n) {
    RESMC_EACH register_add_positive(x.v[r], square.v[r], n.v[r]);
}

RESMC_FN void multiply(uint32_t m, const Wide& x, Wide& hi, Wide& lo) {
    RESMC_EACH {
        lo.even[r] = register_multiply(m, x.even[r]);
        lo.odd[r] = register_multiply(m, x.odd[r]);
        hi.even[r] = lo.even[r] >> 32;
        hi.odd[r] = lo.odd[r] >> 32;
    }
}
RESMC_FN Wide operator^(const Wide& a, const Wide& b) {
    Wide c;
    RESMC_EACH {
        c.even[r] = a.even[r] ^ b.even[r];
        c.odd[r] = a.odd[r] ^ b.odd[r];
    }
    return c;
}
RESMC_FN Wide operator^(const Wide& a, uint32_t b) {
    const LongRegister all = (LongRegister)(WordRegister{} + b);
    Wide c;
    RESMC_EACH {
        c.even[r] = a.even[r] ^ all;
        c.odd[r] = a.odd[r] ^ all;
    }
    return c;
}
RESMC_FN Wide widen(const Word& w) {
    Wide c;
    RESMC_EACH {
        c.even[r] = (LongRegister)w.v[r];
        c.odd[r] = (LongRegister)w.v[r] >> 32;
    }
    return c;
}
RESMC_FN Word narrow(const Wide& x) {
    Word c;
    RESMC_EACH c.v[r] = register_interleave(x.even[r], x.odd[r]);
    return c;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

template <class T>
RESMC_FN void store(void* to, const T& x) {
    __builtin_memcpy(to, x.v, sizeof x.v);
}
// The words first, first + 1, ... in the slots.
RESMC_FN Word counting_from(uint32_t first) {
    Word c;
    RESMC_EACH for (int i = 0; i < REGISTER_LANES; ++i) c.v[r][i] =
        first + static_cast<uint32_t>(r * REGISTER_LANES + i);
    return c;
}

#undef RESMC_EACH

RESMC_NAMESPACE_END
