// The kernels of populations that are resampled.
#include "launch.hpp"
//
#include "populations.hpp"
#include "shape.hpp"

RESMC_NAMESPACE_BEGIN

// A block has its own memory, from one launch to the next.
template <class Activation>
__global__ void __launch_bounds__(WARP* MAX_WARPS, 1)
    simulate_population_kernel(const __grid_constant__ PopulationArguments a) {
    Warp warp = this_warp();
    advance_population_warp<Activation>(warp, a, a.run.workspace + a.run.shape.block_floats * blockIdx.x);
}

template <Block block>
__global__ void __launch_bounds__(WARP* MAX_WARPS, 1)
    simulate_residual_population_kernel(const __grid_constant__ PopulationArguments a) {
    Warp warp = this_warp();
    advance_residual_population_warp<block>(warp, a, a.run.workspace + a.run.shape.block_floats * blockIdx.x);
}

static __global__ void __launch_bounds__(RESAMPLE_THREADS)
    resample_kernel(const __grid_constant__ ResampleArguments a) {
    __shared__ SharedTops tops;
    Warp warp = this_warp();
    resample_population(warp, a, tops);
}

static __global__ void __launch_bounds__(MOVE_THREADS) move_kernel(const __grid_constant__ MoveArguments a) {
    Warp warp = this_warp();
    move_network(warp, a);
}

static void launch_advance(const PopulationArguments& a, void (*kernel)(PopulationArguments), int device,
                           uint64_t stream) {
    use(device, "populations");
    kernel<<<blocks_of(a.run), a.run.shape.block_threads, shared_bytes(a.run.shape), stream_of(stream)>>>(a);
    check(cudaGetLastError(), "populations");
}

void launch_populations(const PopulationArguments& a, Variant variant, int device, uint64_t stream) {
    const auto kernel = variant == VARIANT_VANILLA    ? simulate_population_kernel<Relu>
                        : variant == VARIANT_BALANCED ? simulate_population_kernel<Balanced>
                                                      : simulate_population_kernel<BalancedHalf>;
    launch_advance(a, kernel, device, stream);
}

void launch_residual_populations(const PopulationArguments& a, int device, uint64_t stream) {
    const auto kernel = with_block(a.residual.block, [](auto one) -> void (*)(PopulationArguments) {
        return simulate_residual_population_kernel<decltype(one)::value>;
    });
    launch_advance(a, kernel, device, stream);
}

void launch_resample(const ResampleArguments& a, int device, uint64_t stream) {
    use(device, "resample");
    resample_kernel<<<a.populations, RESAMPLE_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "resample");
}

void launch_move(const MoveArguments& a, int device, uint64_t stream) {
    use(device, "move");
    constexpr uint32_t each = MOVE_THREADS / WARP;
    move_kernel<<<(a.columns + each - 1) / each, MOVE_THREADS, 0, stream_of(stream)>>>(a);
    check(cudaGetLastError(), "move");
}

RESMC_NAMESPACE_END
