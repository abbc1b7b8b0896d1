// What every launch of a GPU's kernels needs.
#pragma once

#include "device.hpp"
#include "kernels.hpp"

RESMC_NAMESPACE_BEGIN

extern __shared__ float4 shared_memory[];

static __device__ Warp this_warp() { return {reinterpret_cast<float*>(shared_memory), blockIdx.x}; }

static void check(cudaError_t error, const char* kernel) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // or the next launch would be blamed for it
    throw KernelError(std::string("kernel '") + kernel + "': " + cudaGetErrorName(error) + ", " +
                      cudaGetErrorString(error));
}

// Launches belong to the thread's current device. Whoever calls has made it this one, and puts back what was before:
// doing so here would make a context on a device that nobody asked for.
static void use(int device, const char* kernel) { check(cudaSetDevice(device), kernel); }

static cudaStream_t stream_of(uint64_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// residual.cu
void launch_residual(const ResidualArguments& a, Method method, uint32_t blocks, int device, uint64_t stream);
// columns.cu
void launch_columns(const ColumnArguments& a, int device, uint64_t stream);
// populations.cu
void launch_populations(const PopulationArguments& a, Variant variant, int device, uint64_t stream);
void launch_residual_populations(const PopulationArguments& a, int device, uint64_t stream);
void launch_resample(const ResampleArguments& a, int device, uint64_t stream);
void launch_move(const MoveArguments& a, int device, uint64_t stream);

RESMC_NAMESPACE_END
