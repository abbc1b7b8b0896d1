// One thread of a GPU: a float and a word per thread, and what its warp and its block offer. This is the GPU's Real and
// Word for the shared mathematics. tests/native/emulated_warp.hpp offers the same on a CPU, 32 threads in one pack.
#pragma once

#include "../include/resmc/target.hpp"

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

struct Wide {
    uint32_t v;
};

// ---- what philox.hpp asks for ---------------------------------------------------------------------------------------

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
RESMC_FN Word operator~(Word a) { return Word(~a.v); }
RESMC_FN Word times(Word a, uint32_t b) { return Word(a.v * b); }
RESMC_FN Word divided(Word a, uint32_t b) { return Word(a.v / b); }
RESMC_FN Word operator<<(Word a, int n) { return Word(a.v << n); }
RESMC_FN Word operator>>(Word a, int n) { return Word(a.v >> n); }
RESMC_FN Word sar(Word a, int n) { return Word(static_cast<uint32_t>(static_cast<int32_t>(a.v) >> n)); }

RESMC_FN Real operator+(Real a, Real b) { return Real(a.v + b.v); }
RESMC_FN Real operator-(Real a, Real b) { return Real(a.v - b.v); }
RESMC_FN Real operator*(Real a, Real b) { return Real(a.v * b.v); }

#ifdef __CUDA_ARCH__
RESMC_FN Real operator/(Real a, Real b) { return Real(__fdiv_rn(a.v, b.v)); }
RESMC_FN Real fma(Real a, Real b, Real c) { return Real(__fmaf_rn(a.v, b.v, c.v)); }
RESMC_FN Real sqrt(Real a) { return Real(__fsqrt_rn(a.v)); }
RESMC_FN Real to_real(Word w) { return Real(__int2float_rn(static_cast<int32_t>(w.v))); }
RESMC_FN Real as_real(Word w) { return Real(__uint_as_float(w.v)); }
RESMC_FN Word as_word(Real x) { return Word(__float_as_uint(x.v)); }
// The compiler's own sequence for a correctly rounded square root, less its test for tiny and huge arguments.
RESMC_FN Real sqrt_normal(Real a) {
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(a.v));
    const float root = a.v * y, half = y * 0.5f;
    return Real(__fmaf_rn(__fmaf_rn(-root, root, a.v), half, root));
}
RESMC_FN Real max(Real a, Real b) { return Real(fmaxf(a.v, b.v)); }
#else
RESMC_FN Real operator/(Real a, Real b) { return Real(a.v / b.v); }
RESMC_FN Real max(Real a, Real b) { return a.v > b.v ? a : b; }
RESMC_FN Real fma(Real a, Real b, Real c) { return Real(__builtin_fmaf(a.v, b.v, c.v)); }
RESMC_FN Real sqrt(Real a) { return Real(__builtin_sqrtf(a.v)); }
RESMC_FN Real sqrt_normal(Real a) { return sqrt(a); }
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

RESMC_FN Real select_negative(Word w, Real a, Real b) { return static_cast<int32_t>(w.v) < 0 ? a : b; }
RESMC_FN Word select_zero(Word w, Word a, Word b) { return w.v == 0 ? a : b; }
RESMC_FN Real select_zero(Word w, Real a, Real b) { return w.v == 0 ? a : b; }
RESMC_FN Real gather(const float* from, Word at) { return Real(from[at.v]); }
RESMC_FN void load_cells(const float* cells, Word number, Real (&a)[4]) {
#ifdef __CUDA_ARCH__
    const float4 cell = __ldg(reinterpret_cast<const float4*>(cells) + number.v);
    a[0] = Real(cell.x), a[1] = Real(cell.y), a[2] = Real(cell.z), a[3] = Real(cell.w);
#else
    for (size_t k = 0; k < 4; ++k) a[k] = Real(cells[4 * static_cast<size_t>(number.v) + k]);
#endif
}
RESMC_FN void count_positive(Word& n, Real x) { n.v += x.v > 0.0f ? 1u : 0u; }
RESMC_FN void add_positive(Real x, Real& square, Word& n) {
    if (x.v > 0.0f) {
        square = fma(x, x, square);
        ++n.v;
    }
}

#ifdef __CUDACC__
// ---- what the kernels ask of a warp ---------------------------------------------------------------------------------

// The warp a thread belongs to, within its block. Offsets and conditions are by thread, pointers the same for all.
struct Warp {
    float* shared;          // the block's memory
    uint32_t block_number;  // of the launch; a block of threads may do the work of several

    __device__ uint32_t block() const { return block_number; }
    static __device__ uint32_t block_threads() { return blockDim.x; }
    static __device__ uint32_t index() { return threadIdx.x >> 5; }
    static __device__ Word lane() { return Word(threadIdx.x & 31u); }
    static __device__ Word lane_is_0() { return Word((threadIdx.x & 31u) == 0 ? 1u : 0u); }
    static __device__ void sync() { __syncwarp(); }
    static __device__ void sync_block() { __syncthreads(); }

    // The compiler must not take what follows from x out of a loop: a few products by quad, kept in registers through
    // all layers, cost more than they save.
    static __device__ Word same_but_unknown(Word x) {
        asm volatile("" : "+r"(x.v));
        return x;
    }

    static __device__ Real shuffle_xor(Real x, uint32_t mask) {
        return Real(__shfl_xor_sync(0xFFFFFFFFu, x.v, static_cast<int>(mask)));
    }
    static __device__ Word shuffle_xor(Word x, uint32_t mask) {
        return Word(__shfl_xor_sync(0xFFFFFFFFu, x.v, static_cast<int>(mask)));
    }
    static __device__ Real load(const float* from, Word offset) { return Real(from[offset.v]); }
    static __device__ void load(const float* from, Word offset, Real (&x)[4]) {
        const float4 four = *reinterpret_cast<const float4*>(from + offset.v);
        x[0].v = four.x, x[1].v = four.y, x[2].v = four.z, x[3].v = four.w;
    }
    static __device__ void store(float* to, Word offset, const Real (&x)[4]) {
        *reinterpret_cast<float4*>(to + offset.v) = make_float4(x[0].v, x[1].v, x[2].v, x[3].v);
    }
    static __device__ void store_once(float* to, const Real (&x)[4]) { store_if(lane_is_0(), to, Word(0u), x); }
    // Where the condition, 0 or 1, holds.
    static __device__ void store_if(Word condition, float* to, Word offset, const Real (&x)[4]) {
        if (condition.v) store(to, offset, x);
    }
    // to[row stride + column] = x
    static __device__ void store_if(Word condition, float* to, Word row, uint64_t stride, Word column, Real x) {
        if (condition.v) to[row.v * stride + column.v] = x.v;
    }
    static __device__ void store_if(Word condition, uint32_t* to, Word row, uint64_t stride, Word column, Word x) {
        if (condition.v) to[row.v * stride + column.v] = x.v;
    }
    static __device__ void count(int64_t* at) { atomicAdd(reinterpret_cast<unsigned long long*>(at), 1ull); }
    template <class Body>
    static __device__ void each_lane(Body body) {
        body(threadIdx.x);
    }
    // A word that the host may change meanwhile, as the warp's first thread sees it.
    static __device__ uint32_t look(const uint32_t* at) {
        uint32_t seen = 0;
        if ((threadIdx.x & 31u) == 0) seen = *static_cast<const volatile uint32_t*>(at);
        return __shfl_sync(0xFFFFFFFFu, seen, 0);
    }
    static __device__ void tell(uint32_t* at, uint32_t x) {
        if ((threadIdx.x & 31u) == 0) *static_cast<volatile uint32_t*>(at) = x;
    }
};
#endif

RESMC_NAMESPACE_END
