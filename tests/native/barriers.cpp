// Four warps of an emulated block pass three barriers each, but for warp SKIPS, which passes two: `barriers SKIPS`.
#define RESMC_TARGET emulated
#define RESMC_FIBERS
#include "emulated_warp.hpp"
//
#include <cstdio>
#include <cstdlib>

int main(int, char** arguments) {
    const int skips = std::atoi(arguments[1]);
    int ended = 0;
    resmc::emulated::Fibers block(4);
    block.run([&](uint32_t warp) {
        for (int i = static_cast<int>(warp) == skips ? 1 : 0; i < 3; ++i) block.arrive_and_wait();
        ++ended;
    });
    std::printf("%d warps have ended\n", ended);
}
