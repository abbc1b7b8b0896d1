// Where the shared mathematics is compiled for: names, qualifiers and the version of the numbers it produces.
//
// Every header of this folder is compiled once per target (an instruction set, a GPU). All of it lives in a namespace
// of that target, so that no function compiled for one instruction set can be linked into the code of another.
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef RESMC_TARGET
#error "define RESMC_TARGET (baseline, avx2, avx512, cuda, ...) before including the shared mathematics"
#endif

#define RESMC_NAMESPACE_BEGIN \
    namespace resmc {         \
    namespace RESMC_TARGET {
#define RESMC_NAMESPACE_END \
    }                       \
    }

// RESMC_FN is compiled for every target, RESMC_KERNEL_FN for the threads of a GPU (and their emulation) alone.
// RESMC_OUTLINE_FN is a RESMC_FN that is long and called in many places: on a CPU there is one of it per target, as the
// call costs little beside it; on a GPU its arguments would go through memory, so it is inlined there all the same.
// RESMC_LAMBDA stands behind a lambda's parameters; a lambda that is called four times must still be inlined.
// RESMC_UNROLL(n) stands before a loop; RESMC_UNROLL_DEVICE(n) says it to GPUs alone, where n may depend on a
// template's argument and loops over registers must vanish.
#define RESMC_PRAGMA(text) _Pragma(#text)
#ifdef __CUDACC__
#define RESMC_FN __host__ __device__ __forceinline__
#define RESMC_OUTLINE_FN RESMC_FN
#define RESMC_KERNEL_FN __device__ __forceinline__
#define RESMC_LAMBDA
#ifdef __CUDA_ARCH__
#define RESMC_UNROLL(n) RESMC_PRAGMA(unroll n)
#define RESMC_UNROLL_DEVICE(n) RESMC_PRAGMA(unroll n)
#else  // nvcc knows no GCC unroll, and the host compiler behind it no unroll
#define RESMC_UNROLL(n)
#define RESMC_UNROLL_DEVICE(n)
#endif
#else
#ifndef RESMC_INLINE
#define RESMC_INLINE __attribute__((always_inline))
#endif
#define RESMC_FN inline RESMC_INLINE
#define RESMC_OUTLINE_FN static __attribute__((noinline))
#define RESMC_KERNEL_FN RESMC_FN
#define RESMC_LAMBDA RESMC_INLINE
#define RESMC_UNROLL(n) RESMC_PRAGMA(GCC unroll n)
#define RESMC_UNROLL_DEVICE(n)
#endif

namespace resmc {
// What is simulated on CPUs alone is left out of a GPU's kernels.
#ifdef __CUDACC__
constexpr bool ON_CPU = false;
#else
constexpr bool ON_CPU = true;
#endif
}  // namespace resmc
