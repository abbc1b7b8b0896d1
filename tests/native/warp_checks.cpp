// The warp and block algorithms of csrc/cuda in emulated warps, against one thread per network: a program for the
// sanitizers (tests/test_sanitizers.py), so every buffer has exactly its size and is poisoned first.
//
//   warp_checks LIST PART...
//
// LIST is `quick` or `full`; a PART is words, statistics, stop, residual, populations, or one of the places where
// states are kept: registers, shared, device. None: all of them. Prints how much was compared, or the first case that
// differs and exits with 1.
//
// RESMC_PLANT=race and RESMC_PLANT=overrun in the environment plant what the sanitizers must find (planted.hpp).
#define RESMC_TARGET emulated
#define RESMC_PLANTABLE
#include "check_populations.hpp"
#include "check_residual.hpp"
#include "check_statistics.hpp"
#include "check_words.hpp"
//
#include <algorithm>
#include <atomic>
#include <optional>
#include <random>

using namespace resmc;

namespace {

// ---- simulations ----------------------------------------------------------------------------------------------------

// As resmc/engine/lowering.py makes it.
Network network_of(uint32_t width, uint32_t depth, uint32_t n_out, double alpha, double lam) {
    const double size = std::hypot(alpha, lam);
    Network net{};
    net.width = width;
    net.depth = depth;
    net.n_out = n_out;
    net.carry = static_cast<float>(alpha / size);
    net.carry_mantissa = static_cast<float>(std::frexp(alpha / size, &net.carry_exponent));
    net.step = static_cast<float>(lam / size * std::sqrt(2.0 / width));
    net.readout = static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)));
    return net;
}

struct Model {
    Network net;
    Variant variant;
    Method method;
    uint64_t first;
    uint32_t columns;
    ScalarNetworks expected;

    Model(const Network& n, Variant v, Method m, uint64_t f, uint32_t c)
        : net(n), variant(v), method(m), first(f), columns(c), expected(scalar_networks(n, v, m, SEED, f, c)) {}
};

struct Launch {
    Shape shape;
    uint32_t blocks, begin, end, output_begin, output_end, look_every;
    std::vector<uint32_t> layers;
};

Records records_for(const Model& model, const Launch& launch) {
    return {launch.layers.size() * model.columns, size_t{launch.output_end - launch.output_begin} * model.net.n_out};
}

enum Stop { NEVER, BEFORE, DURING };  // when the host tells a launch to

// Columns begin .. end - 1 of a launch; returns the progress that it told of.
uint32_t simulate(const Model& model, const Launch& launch, uint32_t begin, uint32_t end, Records& records,
                  Stop when = NEVER) {
    const uint32_t wanted = (model.columns + launch.shape.block_networks - 1) / launch.shape.block_networks;
    const uint32_t blocks = std::min(launch.blocks, wanted);
    size_t floats = launch.shape.memory == MEMORY_DEVICE ? launch.shape.block_floats * blocks : 0;
    if (planted::overrun && floats > 0) floats -= 4;
    std::vector<float> workspace = poisoned<float>(floats);
    std::vector<uint32_t> stop(1, when == BEFORE ? 1 : 0), progress(1, 0);
    SimulateArguments a{};
    a.network = model.net;
    a.keys = emulated::philox_keys(SEED);
    a.first = model.first;
    a.columns = model.columns;
    a.begin = begin;
    a.end = end;
    a.layers = launch.layers.data();
    a.n_layers = static_cast<uint32_t>(launch.layers.size());
    a.output_begin = launch.output_begin;  // of all the launches of a chunk, as resmc/engine/cuda/runner.py has it
    a.output_end = launch.output_end;
    a.records = records.pointers();
    a.shape = launch.shape;
    a.workspace = workspace.data();
    a.look_every = a.look_every_row = launch.look_every;
    a.stop = stop.data();
    a.progress = progress.data();
    std::atomic<bool> over = false;
    const auto watch = [&] {  // says stop once it is told of some layers
        while (__atomic_load_n(progress.data(), __ATOMIC_RELAXED) < 3 && !over) std::this_thread::yield();
        __atomic_store_n(stop.data(), 1u, __ATOMIC_RELAXED);
    };
    std::thread host;
    if (when == DURING) host = std::thread(watch);
    kernels.simulate(a, model.variant, model.method, blocks, 0, 0);
    over = true;
    if (when == DURING) host.join();
    return progress[0];
}

// Log-norms and outputs within 1e-4, and the same active counts but for a neuron so near to 0 that rounding turns it:
// such a one is expected once in 10^6 records, so one difference of one is let pass in a launch. Without fused
// multiply-add the two round differently, and a narrow network that cancels may be far away (contract 3).
void compare(const Model& model, const Launch& launch, const Records& records, bool abandoned = false) {
    const Network& net = model.net;
    const ScalarNetworks& expected = model.expected;
    uint32_t near_zero = 0, far = 0;  // records, networks
    for (uint32_t column = 0; column < model.columns; ++column) {
        const bool wanted = column >= launch.begin && column < launch.end;
        bool ended = !wanted, is_far = false;
        for (uint32_t slot = 0; slot < launch.layers.size(); ++slot) {
            const size_t at = size_t{slot} * model.columns + column;
            ended = ended || (abandoned && is_poison(records.active[at]));
            if (ended) {
                expect(is_poison(records.square[at]) && is_poison(records.active_square[at]) &&
                           is_poison(records.exponent[at]) && is_poison(records.active[at]),
                       "written where nothing was wanted", slot, column);
                continue;
            }
            const size_t from = size_t{launch.layers[slot]} * model.columns + column;
            const double square = records.square[at], other = expected.square[from];
            expect((square > 0.0) == (other > 0.0) && square >= 0.0, "alive", slot, column);
            const auto exponent = static_cast<int32_t>(records.exponent[at]);
            if (square > 0.0) {
                const double d = std::log(square / other) + 2.0 * std::log(2.0) * (exponent - expected.exponent[from]);
                const double a = records.active_square[at] / square - expected.active_square[from] / other;
                is_far = is_far || !(std::fabs(d) <= 1e-4 && std::fabs(a) <= 1e-4);
            }
            const uint32_t active = records.active[at], count = expected.active[from];
            expect(active - count + 1 <= 2, "active count", slot, column);
            near_zero += active != count;
        }
        if (wanted) ++networks_compared;
        const bool kept = column >= launch.output_begin && column < launch.output_end;
        for (uint32_t k = 0; kept && k < net.n_out; ++k) {
            const float output = records.output[size_t{column - launch.output_begin} * net.n_out + k];
            const size_t last = size_t{net.depth} * model.columns + column;
            const uint32_t exponent = records.exponent[(launch.layers.size() - 1) * model.columns + column];
            if (ended) {
                expect(is_poison(output), "an output of an abandoned network", k, column);
                continue;
            }
            if (abandoned && is_poison(output)) continue;  // stopped between its last layer and its outputs
            const double scale = std::ldexp(1.0, static_cast<int32_t>(exponent) - expected.exponent[last]);
            const double size = std::sqrt(static_cast<double>(expected.square[last])) * net.readout;
            const double d = output * scale - expected.outputs[size_t{column} * net.n_out + k];
            is_far = is_far || !(std::fabs(d) <= 1e-4 * size);
        }
        far += is_far;
    }
#ifdef __FMA__
    const uint32_t far_allowed = 0;
#else
    const uint32_t far_allowed = net.width < 64 ? 1 + (launch.end - launch.begin) / 50 : 0;
#endif
    expect(far <= far_allowed, "log-norms, |phi|^2 or outputs of so many networks", 0, far);
    expect(near_zero <= 1, "active counts of so many records", 0, near_zero);
    ++launches_compared;
}

std::optional<Shape> shape_of(const Model& model, int threads, int memory) {
    try {
        return kernels.shape(model.net, model.method, kernels.properties(0).limits, threads, memory);
    } catch (const std::invalid_argument&) {
        return {};
    }
}

// What varies from launch to launch beside the shape: which columns, outputs and layers are wanted, how many blocks
// there is memory for, how often the launch looks at the host's word. A team that is a block costs more: fewer
// networks.
Launch varied(std::mt19937& random, const Model& model, const Shape& shape) {
    static constexpr uint32_t RANGES[][2] = {{0, 96}, {5, 93}, {33, 34}, {31, 65}, {62, 96}};
    static constexpr uint32_t FEW[][2] = {{0, 2}, {62, 66}, {93, 96}};
    const uint32_t (&range)[2] = shape.threads <= WARP ? RANGES[random() % 5] : FEW[random() % 3];
    const uint32_t begin = range[0], end = range[1], depth = model.net.depth;
    const uint32_t output_begin = begin + random() % (end - begin + 1);
    const uint32_t output_end = output_begin + random() % (end - output_begin + 1);
    const uint32_t blocks = 1 + random() % 3, look_every = 1u << random() % 3;
    Launch launch{shape, blocks, begin, end, output_begin, output_end, look_every, {0}};
    for (uint32_t l = 1; l < depth; ++l)
        if (random() % 2 == 0) launch.layers.push_back(l);
    launch.layers.push_back(depth);
    return launch;
}

void check_launch(uint32_t number, const Model& model, const Shape& shape) {
    std::mt19937 random(number);
    const Network& net = model.net;
    Launch launch = varied(random, model, shape);
    current = text(
        "launch %u: variant %d, method %d, width %u, depth %u, n_out %u, alpha %g, first %llu, %u threads, "
        "memory %d, %u per block, columns %u to %u, outputs %u to %u, %zu layers, at most %u blocks",
        number, model.variant, model.method, net.width, net.depth, net.n_out, net.carry,
        static_cast<unsigned long long>(model.first), shape.threads, shape.memory, shape.block_networks, launch.begin,
        launch.end, launch.output_begin, launch.output_end, launch.layers.size(), launch.blocks);
    Records whole = records_for(model, launch);
    const uint32_t progress = simulate(model, launch, launch.begin, launch.end, whole);
    compare(model, launch, whole);
    expect(progress == net.depth / launch.look_every * launch.look_every, "progress");
    if (random() % 3 == 0 && launch.end - launch.begin > 1) {
        current += ", in two launches";
        Records parts = records_for(model, launch);
        const uint32_t middle = launch.begin + 1 + random() % (launch.end - launch.begin - 1);
        simulate(model, launch, middle, launch.end, parts);
        simulate(model, launch, launch.begin, middle, parts);
        expect(parts.equal(whole), "the same records");
    }
    if (random() % 4 == 0) {
        current += ", stopped";
        launch.look_every = 1;
        Records stopped = records_for(model, launch);
        simulate(model, launch, launch.begin, launch.end, stopped, BEFORE);
        compare(model, launch, stopped, true);
        for (size_t at = 0; at < stopped.active.size(); ++at) {
            const size_t column = at % model.columns;
            const bool made = at < model.columns && column >= launch.begin && column < launch.end;
            expect(is_poison(stopped.active[at]) != made, "layer 0 alone is left", at / model.columns, column);
        }
    }
}

void check_shapes(bool quick, const bool (&memories)[3]) {
    static constexpr double SCALES[][2] = {{0.7, 0.7}, {0.0, 1.5}, {-0.9, 0.6}};
    const std::vector<uint32_t> few_projected = {1, 3, 7, 33, 40, 129, 516}, few_dense = {1, 3, 5, 33, 40};
    const std::vector<uint32_t> all_projected = {1,   2,   3,   4,   5,   7,   8,   33,  40,
                                                 126, 127, 128, 129, 130, 131, 190, 200, 516};
    const std::vector<uint32_t> all_dense = {1, 2, 3, 4, 5, 7, 8, 33, 40, 67, 70};
    uint32_t n = 0, models = 0;
    for (const Method method : {METHOD_PROJECTED, METHOD_DENSE}) {
        const bool dense = method == METHOD_DENSE;
        for (const uint32_t width : dense ? (quick ? few_dense : all_dense) : (quick ? few_projected : all_projected)) {
            for (int v = 0; v < 3; ++v, ++models) {
                if (quick && v != static_cast<int>(models / 3 % 3)) continue;
                const uint32_t m = quick ? models / 3 : models;
                const double (&scale)[2] = SCALES[m / 2 % 3];
                const Network net = network_of(width, 3 + m % 4, 1 + 5 * (m % 3), scale[0], scale[1]);
                const Model model(net, static_cast<Variant>(v), method, m % 2 == 0 ? (1ull << 32) - 64 : 32 * m, 96);
                const Shape best = *shape_of(model, -1, -1);
                if (memories[best.memory]) check_launch(n, model, best);
                for (int threads = 1; threads <= 512; threads *= 2) {
                    for (int memory = MEMORY_REGISTERS; memory <= MEMORY_DEVICE; ++memory, ++n) {
                        if (quick && threads > 32 && (n + m) % 2 == 0) continue;
                        const auto shape = shape_of(model, threads, memory);
                        if (shape && memories[memory]) check_launch(n, model, *shape);
                    }
                }
            }
        }
    }
}

// The host's word comes in the middle of a run: every network has a first part of its layers, and that is right.
void check_stop_in_between() {
    for (const Method method : {METHOD_PROJECTED, METHOD_DENSE}) {
        const Model model(network_of(33, 100, 2, 0.7, 0.7), VARIANT_BALANCED, method, 64, 32);
        for (const int threads : {2, 32, 64, 256}) {
            Launch launch{*shape_of(model, threads, MEMORY_SHARED), 1, 0, threads > 32 ? 2u : 32u, 0, 2, 1, {}};
            for (uint32_t l = 0; l <= model.net.depth; ++l) launch.layers.push_back(l);
            current = text("stopped in between: method %d, %d threads", method, threads);
            Records records = records_for(model, launch);
            simulate(model, launch, launch.begin, launch.end, records, DURING);
            compare(model, launch, records, true);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.empty() || (arguments[0] != "quick" && arguments[0] != "full")) {
        std::fprintf(stderr, "usage: warp_checks quick|full [PART ...]\n");
        return 2;
    }
    const auto wants = [&](const char* part) {
        return arguments.size() == 1 || std::find(arguments.begin() + 1, arguments.end(), part) != arguments.end();
    };
    if (wants("words")) check_words_and_normals();
    if (wants("statistics")) check_statistics();
    if (wants("stop")) check_stop_in_between();
    if (wants("residual")) check_residual(arguments[0] == "quick");
    if (wants("populations")) check_populations(arguments[0] == "quick");
    check_shapes(arguments[0] == "quick", {wants("registers"), wants("shared"), wants("device")});
    std::printf("%llu networks compared in %llu launches\n", static_cast<unsigned long long>(networks_compared),
                static_cast<unsigned long long>(launches_compared));
    return launches_compared == 0 ? 1 : 0;
}
