// What a GPU offers to the bindings: launches over plain numbers and device pointers. Nothing here waits for the GPU.
// kernels.cu, residual.cu, columns.cu and populations.cu implement it; tests/native/emulated_kernels.hpp does on a CPU.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "arguments.hpp"

namespace resmc {

// A kernel that could not be launched or that failed: its name, the error's name, and what the driver says of it.
struct KernelError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct DeviceProperties {
    std::string name;
    int major, minor;  // compute capability
    int multiprocessors;
    uint64_t memory;
    DeviceLimits limits;
};

// What the driver says of itself: versions as 1000 major + 10 minor, and why there is no device.
struct Driver {
    int version, runtime;
    int devices;
    std::string error;  // empty if all is well
};

struct Kernels {
    const char* architectures;  // what was built, as "80 90 90-virtual"
    Driver (*driver)();
    DeviceProperties (*properties)(int device);
    Shape (*shape)(const Network&, Method, const DeviceLimits&, int threads, int memory);  // -1: chosen
    Shape (*residual_shape)(const Residual&, Method, int threads);                         // -1: chosen
    // Of networks that rest in device memory; null: the log-Gaussian ones that have kernels of their own.
    Shape (*population_shape)(const Network&, const Residual*, const DeviceLimits&, int threads);

    // Each on a stream of a device, which becomes the thread's current one.
    void (*simulate)(const SimulateArguments&, Variant, Method, uint32_t blocks, int device, uint64_t stream);
    void (*simulate_residual)(const ResidualArguments&, Method, uint32_t blocks, int device, uint64_t stream);
    void (*columns)(const ColumnArguments&, int device, uint64_t stream);
    void (*populations)(const PopulationArguments&, Variant, int device, uint64_t stream);
    void (*residual_populations)(const PopulationArguments&, int device, uint64_t stream);
    void (*resample)(const ResampleArguments&, int device, uint64_t stream);
    void (*move)(const MoveArguments&, int device, uint64_t stream);
    void (*reduce)(const ReduceArguments&, int device, uint64_t stream);
    void (*fold)(const ReduceArguments&, int device, uint64_t stream);
    void (*raw)(const RawArguments&, int device, uint64_t stream);
    void (*quotient)(const QuotientArguments&, int device, uint64_t stream);
    void (*words)(uint64_t seed, uint32_t word1, uint32_t word2, uint32_t word3, uint32_t quad, uint32_t* out,
                  int device, uint64_t stream);
    void (*normals)(const uint32_t* words, uint32_t n, float* out, int device, uint64_t stream);
    void (*roots)(const float* from, uint32_t n, float* out, int device, uint64_t stream);
    void (*draw)(const DrawArguments&, uint64_t threads, int device, uint64_t stream);
    // Empty, or the error that the context is left with.
    std::string (*failure)(int device);
};

#ifdef RESMC_HAS_CUDA
const Kernels& cuda_kernels();
#endif

}  // namespace resmc
