// A small fixed simulation, or the normals alone, on one thread: something for a counter of instructions to run.
//
//     count_instructions INSTRUCTION_SET METHOD VARIANT WIDTH DEPTH LAYERS NETWORKS
//
// METHOD: projected, dense, or draw (the generator alone); VARIANT: vanilla, balanced or balanced-half; LAYERS: ends or
// all. Without arguments it prints the compiler. What a network costs is the difference of two counts: the start, the
// memory and the fold of the one batch of 4096 networks, of which NETWORKS must not be more, are the same in both.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "../../csrc/cpu/run.hpp"

namespace {

using namespace resmc;

constexpr uint32_t N_BINS = 64;
constexpr uint64_t BATCH = 4096;

const Backend& find_backend(const char* name) {
    for (const Backend* backend : backends())
        if (std::strcmp(name, backend->name) == 0) return *backend;
    throw std::invalid_argument("no such instruction set here");
}

int find(const char* name, std::initializer_list<const char*> names) {
    int i = 0;
    for (const char* other : names) {
        if (std::strcmp(name, other) == 0) return i;
        ++i;
    }
    throw std::invalid_argument(name);
}

Network network_of(uint32_t width, uint32_t depth) {  // alpha = 0.6, lambda = 0.8
    Network net{};
    net.width = width;
    net.depth = depth;
    net.n_out = 1;
    net.carry = net.carry_mantissa = 0.6f;
    net.step = static_cast<float>(0.8 * std::sqrt(2.0 / width));
    net.readout = static_cast<float>(1.0 / std::sqrt(width));
    return net;
}

// The mean log-norm at the end, so that somebody can see that it ran.
double simulate(const Backend& backend, Job job, bool all_layers) {
    std::vector<uint32_t> layers{0};
    for (uint32_t l = all_layers ? 1 : job.network.depth; l <= job.network.depth; ++l) layers.push_back(l);
    const size_t n = layers.size(), triangle = n * (n + 1) / 2;
    job.seed = 1;
    job.batch = BATCH;
    job.recording = {layers.data(), static_cast<uint32_t>(n), false, true, true, false, 0.25, -8.0, N_BINS};
    std::vector<NormSums> norms(GROUPS * n);
    std::vector<ActivitySums> activity(GROUPS * n);
    std::vector<double> products(GROUPS * triangle);
    std::vector<int64_t> histogram(GROUPS * (N_BINS + 2));
    Results results{};
    results.groups = {norms.data(), activity.data(), products.data(), nullptr, nullptr, histogram.data()};
    Run run(backend, job, results, 1);
    while (!run.wait(3600.0)) {
    }
    run.finish();
    return norms[n - 1].log_norm[0];
}

int count(const char* const* arguments) {
    const Backend& backend = find_backend(arguments[1]);
    const int method = find(arguments[2], {"projected", "dense", "draw"});
    Job job{};
    job.variant = static_cast<Variant>(find(arguments[3], {"vanilla", "balanced", "balanced-half"}));
    job.network =
        network_of(static_cast<uint32_t>(std::atoi(arguments[4])), static_cast<uint32_t>(std::atoi(arguments[5])));
    const bool all_layers = find(arguments[6], {"ends", "all"}) == 1;
    job.count = static_cast<uint64_t>(std::atoi(arguments[7]));
    if (job.count == 0 || job.count > BATCH) throw std::invalid_argument("NETWORKS must be 1 to 4096");
    if (method == 2) {
        std::printf("%s: sum %.9g\n", backend.name, backend.draw(job.network, 1, job.count));
    } else {
        job.method = static_cast<Method>(method);
        std::printf("%s: mean log-norm %.9g\n", backend.name, simulate(backend, job, all_layers));
    }
    return 0;
}

}  // namespace

int main(int n, char** arguments) {
    if (n == 1) {
        std::printf("g++ %s\n", __VERSION__);
        return 0;
    }
    try {
        if (n != 8) throw std::invalid_argument("wrong number of arguments");
        return count(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "count_instructions: %s\n", error.what());
        return 2;
    }
}
