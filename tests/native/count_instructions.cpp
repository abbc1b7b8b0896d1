// A small fixed simulation, or the normals alone, on one thread: something for a counter of instructions to run.
//
//     count_instructions INSTRUCTION_SET METHOD VARIANT WIDTH DEPTH LAYERS NETWORKS
//
// METHOD: projected, dense, or draw (the generator alone); VARIANT: vanilla, balanced or balanced-half, by the kernels
// of log-Gaussian networks, or BLOCK:ACTIVATION, by those of any network, and BLOCK:ACTIVATION:gradients, there and
// back; LAYERS: ends or all. Without arguments it prints the compiler. What a network costs is the difference of two
// counts: the start, the memory and the fold of the one batch of 4096 networks, of which NETWORKS must not be more, are
// the same in both.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

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

// A network of any kind, as resmc/engine/lowering.py makes it with carry 1 and branches of size 1/sqrt(depth).
struct General {
    Residual net{};
    std::vector<float> steps;
    std::vector<float> input = std::vector<float>(12, 0.0f);  // none: the first layer is Gaussian

    General(const std::string& words, uint32_t width, uint32_t depth) {
        const size_t first = words.find(':'), second = words.find(':', first + 1);
        const std::string block = words.substr(0, first), sigma = words.substr(first + 1, second - first - 1);
        if (second != std::string::npos && words.substr(second) != ":gradients") throw std::invalid_argument(words);
        net.network = network_of(width, depth);
        net.network.carry = net.network.carry_mantissa = 1.0f;
        net.network.step = 0.0f;
        net.block = static_cast<Block>(find(block.c_str(), {"phi-in", "phi-out", "v-phi-w"}));
        net.inner = width;
        net.activation.kind =
            find(sigma.c_str(), {"relu", "balanced", "balanced-half", "leaky_relu", "tanh", "sigmoid", "gelu",
                                 "centred_softplus", "linear", "silu", "elu", "selu", "mish", "erf", "hard_tanh",
                                 "gelu_tanh", "softplus"});  // in the order of ActivationKind
        const bool positive = net.activation.kind <= ACTIVATION_LEAKY_RELU || net.activation.kind == ACTIVATION_LINEAR;
        net.activation.above = 1.0f;
        net.activation.below = net.activation.kind == ACTIVATION_LEAKY_RELU ? 0.01f : 1.0f;
        net.weight_law = WEIGHTS_GAUSSIAN;
        net.bias_law = WEIGHTS_GAUSSIAN;
        net.homogeneous = positive;
        net.grounded = net.activation.kind == ACTIVATION_SIGMOID || net.activation.kind == ACTIVATION_SOFTPLUS;
        net.gradients = second != std::string::npos;
        net.keep = net.size = net.kept_factor = 1.0f;
        // Gradients' layers are kept in parts of about sqrt(depth), as in networks that are deeper.
        net.segment = net.gradients ? static_cast<uint32_t>(std::sqrt(depth)) + 1 : depth;
        const double outer = net.block == BLOCK_PHI_OUT ? 1.0 : 1.0 / std::sqrt(width);
        steps.assign(depth, static_cast<float>(outer / std::sqrt(depth)));
        net.steps = steps.data();
        net.input = input.data();
    }
};

// The mean log-norm at the end, so that somebody can see that it ran.
double simulate(const Backend& backend, Job job, bool all_layers) {
    std::vector<uint32_t> layers{0};
    for (uint32_t l = all_layers ? 1 : job.network.depth; l <= job.network.depth; ++l) layers.push_back(l);
    const size_t n = layers.size(), triangle = n * (n + 1) / 2;
    job.seed = 1;
    job.batch = BATCH;
    const bool general = job.residual != nullptr;  // these have no A that is summed here
    job.recording = {layers.data(), static_cast<uint32_t>(n), false, !general, !general, false, 0.25, -8.0, N_BINS};
    std::vector<NormSums> norms(GROUPS * n), quotients[QUOTIENTS];
    std::vector<ActivitySums> activity(GROUPS * n);
    std::vector<double> products(GROUPS * triangle);
    std::vector<int64_t> histogram(GROUPS * (N_BINS + 2));
    Results results{};
    results.groups = {norms.data(), nullptr, nullptr, nullptr, nullptr, histogram.data()};
    if (!general) {
        results.groups.activity = activity.data();
        results.groups.products = products.data();
    }
    std::vector<double> last(general ? (1 + QUOTIENTS) * job.count : 0);
    for (size_t q = 0; general && q < QUOTIENTS; ++q) {
        quotients[q].resize(GROUPS * n);
        results.quotients[q].norms = quotients[q].data();
    }
    for (size_t q = 0; general && q <= QUOTIENTS; ++q) results.final_log_norm[q] = last.data() + q * job.count;
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
    const auto width = static_cast<uint32_t>(std::atoi(arguments[4])),
               depth = static_cast<uint32_t>(std::atoi(arguments[5]));
    std::optional<General> general;
    if (std::strchr(arguments[3], ':') != nullptr) {
        general.emplace(arguments[3], width, depth);
        job.residual = &general->net;
        job.network = general->net.network;
    } else {
        job.variant = static_cast<Variant>(find(arguments[3], {"vanilla", "balanced", "balanced-half"}));
        job.network = network_of(width, depth);
    }
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
