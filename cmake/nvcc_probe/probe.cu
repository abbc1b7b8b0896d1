// The least that the kernels ask of nvcc and its host compiler: C++20, the runtime's headers, a kernel and its launch.
#include <concepts>

__global__ void kernel(int* out) { *out = 1; }

template <std::integral T>
int launch(T blocks) {
    kernel<<<static_cast<unsigned>(blocks), 1>>>(nullptr);
    return cudaGetLastError() == cudaSuccess ? 0 : 1;
}

int probe() { return launch(1); }
