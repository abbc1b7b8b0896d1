// The part of CUDA's runtime that nvcc's host code and csrc/cuda call, with the machine as its only device. What a
// kernel does wrong is the error of its launch, which cudaGetErrorString tells in full. A call that is not here
// makes loading the module fail, and is named.
#pragma once

#include <cuda_runtime_api.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "machine.hpp"

namespace ptx {

struct Runtime {
    std::map<const void*, std::string> names;  // of kernels, by their host stubs
    cudaError_t last = cudaSuccess;
    std::string why;  // of the last error
};

inline Runtime& runtime() {
    static Runtime one;
    return one;
}

inline cudaError_t failed(cudaError_t error, const std::string& why) {
    runtime().why = why;
    return runtime().last = error;
}

template <class Call>
cudaError_t attempt(Call call) {
    try {
        call();
        return cudaSuccess;
    } catch (const Refusal& refusal) {
        constexpr cudaError_t errors[] = {cudaErrorInvalidConfiguration, cudaErrorInvalidValue,
                                          cudaErrorLaunchOutOfResources, cudaErrorInvalidDeviceFunction};
        return failed(errors[refusal.kind], refusal.what());
    } catch (const std::exception& fault) {
        return failed(cudaErrorLaunchFailure, fault.what());
    }
}

inline cudaError_t launch(const void* stub, dim3 grid, dim3 block, void** arguments, size_t shared) {
    return attempt([&] {
        if (grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1)
            throw Refusal(Refusal::CONFIGURATION, "this machine knows launches in one dimension alone");
        const std::string& name = runtime().names.at(stub);
        const Program& program = machine().program(name);
        std::string parameters(program.parameter_bytes, '\0');
        for (uint32_t i = 0; i < program.n_parameters; ++i)
            std::memcpy(&parameters[program.parameters[i].offset], arguments[i], program.parameters[i].bytes);
        machine().launch(name, grid.x, block.x, shared, parameters);
    });
}

struct Configuration {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
};
inline thread_local Configuration pushed;

}  // namespace ptx

extern "C" {

void** __cudaRegisterFatBinary(void*) {
    static void* handle = nullptr;
    return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* stub, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
    ptx::runtime().names[stub] = name;
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
    ptx::pushed = {grid, block, shared, stream};
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
    *grid = ptx::pushed.grid, *block = ptx::pushed.block, *shared = ptx::pushed.shared;
    *static_cast<cudaStream_t*>(stream) = ptx::pushed.stream;
    return cudaSuccess;
}

// Stubs made by CUDA 13 launch by the second, those before it by the third.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
    *kernel = static_cast<cudaKernel_t>(const_cast<void*>(stub));
    return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t) {
    return ptx::launch(kernel, grid, block, arguments, shared);
}
cudaError_t cudaLaunchKernel(const void* stub, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t) {
    return ptx::launch(stub, grid, block, arguments, shared);
}

cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute what, int value) {
    if (what != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0)
        return ptx::failed(cudaErrorInvalidValue, "the machine does not know this attribute");
    return ptx::attempt([&] { ptx::machine().opt_in(ptx::runtime().names.at(stub), static_cast<uint64_t>(value)); });
}
cudaError_t cudaGetLastError() {
    const cudaError_t error = ptx::runtime().last;
    ptx::runtime().last = cudaSuccess;
    return error;
}
const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "cudaSuccess";
        case cudaErrorInvalidValue:
            return "cudaErrorInvalidValue";
        case cudaErrorInvalidDevice:
            return "cudaErrorInvalidDevice";
        case cudaErrorInvalidConfiguration:
            return "cudaErrorInvalidConfiguration";
        case cudaErrorInvalidDeviceFunction:
            return "cudaErrorInvalidDeviceFunction";
        case cudaErrorLaunchOutOfResources:
            return "cudaErrorLaunchOutOfResources";
        default:
            return "cudaErrorLaunchFailure";
    }
}
const char* cudaGetErrorString(cudaError_t) { return ptx::runtime().why.c_str(); }
cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : ptx::failed(cudaErrorInvalidDevice, "there is one device, number 0");
}
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
    *p = cudaDeviceProp{};
    std::strcpy(p->name, "PTX on a CPU");
    p->major = 9, p->minor = 0, p->multiProcessorCount = 2, p->totalGlobalMem = size_t{1} << 32;
    p->sharedMemPerBlockOptin = ptx::SHARED_MOST, p->sharedMemPerMultiprocessor = 233472;
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }

}  // extern "C"
