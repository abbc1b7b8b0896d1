// The kernels themselves: the bodies of simulate.hpp, reduce.hpp, raw.hpp and draws.hpp over the threads of a GPU, and
// their launches; those of residual.hpp are in residual.cu, of columns.hpp in columns.cu, of populations.hpp in
// populations.cu.
#include "device.hpp"
//
#include "draws.hpp"
#include "kernels.hpp"
#include "launch.hpp"
#include "raw.hpp"
#include "reduce.hpp"
#include "shape.hpp"

RESMC_NAMESPACE_BEGIN

// Six blocks of 128 threads on a multiprocessor leave each thread 80 registers.
template <class Activation, uint32_t ROUNDS>
__global__ void __launch_bounds__(BLOCK_THREADS, 6) simulate_in_registers(const __grid_constant__ SimulateArguments a) {
    Warp warp = this_warp();
    simulate_warp<Activation, METHOD_PROJECTED, ROUNDS>(warp, a, nullptr);
}

template <class Activation, Method method>
__global__ void __launch_bounds__(WARP* MAX_WARPS, 1) simulate_in_shared(const __grid_constant__ SimulateArguments a) {
    Warp warp = this_warp();
    simulate_warp<Activation, method, 0>(warp, a, warp.shared + SHARED_WORDS);
}

// States in device memory: as many as blocks are launched, each doing the work of several.
template <class Activation, Method method>
__global__ void __launch_bounds__(WARP* MAX_WARPS, 1)
    simulate_in_device(const __grid_constant__ SimulateArguments a, uint32_t blocks) {
    Warp warp = this_warp();
    for (; warp.block_number < blocks; warp.block_number += gridDim.x) {
        simulate_warp<Activation, method, 0>(warp, a, a.workspace + a.shape.block_floats * blockIdx.x);
        __syncthreads();
    }
}

static __global__ void __launch_bounds__(REDUCE_THREADS) reduce_kernel(const __grid_constant__ ReduceArguments a) {
    __shared__ SharedSums sums;
    Warp warp = this_warp();
    reduce_batch(warp, a, sums);
}

static __global__ void __launch_bounds__(REDUCE_THREADS) fold_kernel(const __grid_constant__ ReduceArguments a) {
    Warp warp = this_warp();
    fold_batches(warp, a);
}

static __global__ void __launch_bounds__(REDUCE_THREADS) raw_kernel(const __grid_constant__ RawArguments a) {
    Warp warp = this_warp();
    copy_raw(warp, a);
}

static __global__ void __launch_bounds__(REDUCE_THREADS) quotient_kernel(const __grid_constant__ QuotientArguments a) {
    Warp warp = this_warp();
    copy_quotient(warp, a);
}

static __global__ void words_kernel(const __grid_constant__ PhiloxKeys keys, uint32_t word1, uint32_t word2,
                                    uint32_t word3, uint32_t quad, uint32_t* out) {
    Warp warp = this_warp();
    draw_words(warp, keys, word1, word2, word3, quad, out);
}

static __global__ void normals_kernel(const float* words, uint32_t n, float* out) {
    Warp warp = this_warp();
    make_normals(warp, words, n, out);
}

static __global__ void roots_kernel(const float* from, uint32_t n, float* out) {
    Warp warp = this_warp();
    make_roots(warp, from, n, out);
}

static __global__ void __launch_bounds__(BLOCK_THREADS) draw_kernel(const __grid_constant__ DrawArguments a) {
    Warp warp = this_warp();
    draw_and_forget(warp, a);
}

// ---- launches -------------------------------------------------------------------------------------------------------

using SimulateKernel = void (*)(SimulateArguments);
template <class Activation>
static SimulateKernel in_registers(uint32_t rounds) {
    static constexpr SimulateKernel kernels[] = {
        simulate_in_registers<Activation, 1>, simulate_in_registers<Activation, 2>,
        simulate_in_registers<Activation, 3>, simulate_in_registers<Activation, 4>,
        simulate_in_registers<Activation, 5>, simulate_in_registers<Activation, 6>,
        simulate_in_registers<Activation, 7>, simulate_in_registers<Activation, 8>,
    };
    static_assert(sizeof kernels / sizeof kernels[0] == MAX_ROUNDS);
    return kernels[rounds - 1];
}

template <class Activation>
static void simulate_activation(const SimulateArguments& a, Method method, uint32_t blocks, cudaStream_t stream) {
    const Shape& shape = a.shape;
    const uint32_t wanted = blocks_of(a);
    const int bytes = static_cast<int>(shared_bytes(shape));
    const bool dense = method == METHOD_DENSE;
    if (shape.memory == MEMORY_REGISTERS) {
        in_registers<Activation>(shape.rounds)<<<wanted, shape.block_threads, bytes, stream>>>(a);
    } else if (shape.memory == MEMORY_SHARED) {
        const SimulateKernel kernel =
            dense ? simulate_in_shared<Activation, METHOD_DENSE> : simulate_in_shared<Activation, METHOD_PROJECTED>;
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "simulate");
        kernel<<<wanted, shape.block_threads, bytes, stream>>>(a);
    } else {
        const auto kernel =
            dense ? simulate_in_device<Activation, METHOD_DENSE> : simulate_in_device<Activation, METHOD_PROJECTED>;
        const uint32_t launched = blocks < wanted ? blocks : wanted;
        kernel<<<launched, shape.block_threads, bytes, stream>>>(a, wanted);
    }
    check(cudaGetLastError(), "simulate");
}

static void launch_simulate(const SimulateArguments& a, Variant variant, Method method, uint32_t blocks, int device,
                            uint64_t stream) {
    use(device, "simulate");
    if (variant == VARIANT_VANILLA) return simulate_activation<Relu>(a, method, blocks, stream_of(stream));
    if (variant == VARIANT_BALANCED) return simulate_activation<Balanced>(a, method, blocks, stream_of(stream));
    simulate_activation<BalancedHalf>(a, method, blocks, stream_of(stream));
}

static void launch_reduce(const ReduceArguments& a, int device, uint64_t stream) {
    use(device, "reduce");
    reduce_kernel<<<a.columns / a.batch * a.n_layers, REDUCE_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "reduce");
}

static uint32_t blocks_for(uint64_t threads, uint32_t each) {
    return static_cast<uint32_t>((threads + each - 1) / each);
}

static void launch_fold(const ReduceArguments& a, int device, uint64_t stream) {
    use(device, "fold");
    const uint64_t threads = static_cast<uint64_t>(GROUPS) * a.n_layers;
    fold_kernel<<<blocks_for(threads, REDUCE_THREADS), REDUCE_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "fold");
}

static void launch_raw(const RawArguments& a, int device, uint64_t stream) {
    use(device, "raw");
    const uint32_t networks = a.samples > a.paths ? a.samples : a.paths;
    raw_kernel<<<blocks_for(networks, REDUCE_THREADS), REDUCE_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "raw");
}

static void launch_quotient(const QuotientArguments& a, int device, uint64_t stream) {
    use(device, "quotient");
    quotient_kernel<<<blocks_for(a.end - a.begin, REDUCE_THREADS), REDUCE_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "quotient");
}

static void launch_words(uint64_t seed, uint32_t word1, uint32_t word2, uint32_t word3, uint32_t quad, uint32_t* out,
                         int device, uint64_t stream) {
    use(device, "words");
    words_kernel<<<1, WARP, 0, stream_of(stream)>>>(philox_keys(seed), word1, word2, word3, quad, out);
    check(cudaGetLastError(), "words");
}

static void launch_normals(const uint32_t* from, uint32_t n, float* out, int device, uint64_t stream) {
    use(device, "normals");
    const uint32_t blocks = blocks_for(n, BLOCK_THREADS);
    normals_kernel<<<blocks, BLOCK_THREADS, 0, stream_of(stream)>>>(reinterpret_cast<const float*>(from), n, out);
    check(cudaGetLastError(), "normals");
}

static void launch_roots(const float* from, uint32_t n, float* out, int device, uint64_t stream) {
    use(device, "roots");
    roots_kernel<<<blocks_for(n, BLOCK_THREADS), BLOCK_THREADS, 0, stream_of(stream)>>>(from, n, out);
    check(cudaGetLastError(), "roots");
}

static void launch_draw(const DrawArguments& a, uint64_t threads, int device, uint64_t stream) {
    use(device, "draw");
    draw_kernel<<<blocks_for(threads, BLOCK_THREADS), BLOCK_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "draw");
}

// ---- what there is --------------------------------------------------------------------------------------------------

static Driver driver() {
    Driver d{};
    cudaDriverGetVersion(&d.version);
    cudaRuntimeGetVersion(&d.runtime);
    const cudaError_t error = cudaGetDeviceCount(&d.devices);
    if (error != cudaSuccess) {
        d.devices = 0;
        d.error = std::string(cudaGetErrorName(error)) + ", " + cudaGetErrorString(error);
        cudaGetLastError();  // or the next launch would report it
    }
    return d;
}

static DeviceProperties properties(int device) {  // makes no context
    cudaDeviceProp p;
    check(cudaGetDeviceProperties(&p, device), "properties");
    return {p.name,           p.major,
            p.minor,          p.multiProcessorCount,
            p.totalGlobalMem, {p.sharedMemPerBlockOptin, p.sharedMemPerMultiprocessor}};
}

// Every call returns an error that has cost us the context; this one does nothing else.
static std::string failure(int device) {
    cudaError_t error = cudaSetDevice(device);
    if (error == cudaSuccess) error = cudaStreamQuery(cudaStreamPerThread);
    cudaGetLastError();
    if (error == cudaSuccess || error == cudaErrorNotReady) return {};
    return std::string(cudaGetErrorName(error)) + ", " + cudaGetErrorString(error);
}

RESMC_NAMESPACE_END

namespace resmc {

const Kernels& cuda_kernels() {
    static const Kernels kernels{
        RESMC_CUDA_ARCHITECTURES,
        cuda::driver,
        cuda::properties,
        cuda::choose_shape,
        cuda::choose_residual_shape,
        cuda::choose_population_shape,
        cuda::launch_simulate,
        cuda::launch_residual,
        cuda::launch_columns,
        cuda::launch_populations,
        cuda::launch_residual_populations,
        cuda::launch_resample,
        cuda::launch_move,
        cuda::launch_reduce,
        cuda::launch_fold,
        cuda::launch_raw,
        cuda::launch_quotient,
        cuda::launch_words,
        cuda::launch_normals,
        cuda::launch_roots,
        cuda::launch_draw,
        cuda::failure,
    };
    return kernels;
}

}  // namespace resmc
