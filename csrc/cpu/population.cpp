#include "population.hpp"

#include <algorithm>

namespace resmc {

namespace {

constexpr size_t MOST_LANES = 32;  // of a pack

uint32_t packs_of(const Backend& backend, uint32_t size) {
    const uint32_t lanes = static_cast<uint32_t>(backend.lanes);
    return (size + lanes - 1) / lanes;
}

// Numbers that a pack keeps of each network: its neurons' quads, and one more.
size_t rows_of(uint32_t width) { return 4 * ((size_t{width} + 3) / 4 + 1); }

}  // namespace

size_t population_bytes(const Backend& backend, uint32_t width, uint32_t size) {
    const size_t slots = size_t{packs_of(backend, size)} * static_cast<size_t>(backend.lanes);
    return slots * rows_of(width) * sizeof(float) + size * (4 * sizeof(double) + sizeof(uint32_t));
}

// A thread, the population it has, and what is known of its networks.
struct PopulationRun::Worker {
    Worker(const Backend& backend, const PopulationJob& job, const bool* stop)
        : rows(rows_of(job.network.width)),
          lanes(static_cast<size_t>(backend.lanes)),
          shift(__builtin_ctzll(lanes)),
          size(job.size) {
        state = aligned_array<float>(packs_of(backend, size) * rows * lanes, false);
        for (auto* array : {&start, &origin, &reached, &weight}) *array = aligned_array<double>(size);
        offspring = aligned_array<uint32_t>(size);
        control = {stop, &done};
    }

    float* pack(size_t number) { return state.get() + number * rows * lanes; }
    float* network(size_t i) { return pack(i >> shift) + (i & (lanes - 1)); }

    // log |z|^2 of every network, -infinity of a dead one.
    void measure() {
        for (size_t first = 0; first < size; first += lanes) {
            const float* const square = pack(first >> shift) + (rows - 4) * lanes;
            const size_t count = std::min<size_t>(lanes, size - first);
            int32_t exponent[MOST_LANES];
            __builtin_memcpy(exponent, square + 3 * lanes, lanes * sizeof(int32_t));
            for (size_t i = 0; i < count; ++i) reached[first + i] = host::log_square(square[i], exponent[i]);
        }
    }

    // Weighs all networks by their growth since they were measured last; results are those of one layer.
    void weigh(double power, double& top, double& mean, double& effective, double& growth) {
        top = -__builtin_huge_val();
        for (size_t i = 0; i < size; ++i) {
            weight[i] = host::log_weight(power, reached[i], start[i]);
            if (weight[i] > top) top = weight[i];
        }
        for (size_t i = 0; i < size; ++i) weight[i] = host::exp_of_negative(weight[i] - top);
        const auto found = host::weighed(weight.get(), reached.get(), origin.get(), size);
        mean = found.mean;
        effective = found.effective;
        growth = found.growth;
    }

    void resample(double uniform) {
        host::systematic_offspring(weight.get(), size, uniform, offspring.get());
        host::fill_free_places(offspring.get(), size, [this](uint32_t from, uint32_t to) { copy(from, to); });
    }

    void copy(uint32_t from, uint32_t to) {
        const float* const source = network(from);
        float* const target = network(to);
        for (size_t row = 0; row < rows; ++row) target[row * lanes] = source[row * lanes];
        reached[to] = reached[from];
        origin[to] = origin[from];
    }

    const size_t rows, lanes;
    const int shift;  // lanes are 2^shift
    const uint32_t size;
    std::unique_ptr<float[], Free> state;  // [pack][row][lane]
    std::unique_ptr<double[], Free> start, origin, reached, weight;
    std::unique_ptr<uint32_t[], Free> offspring;
    Control control{};
    alignas(64) uint64_t done = 0;
};

PopulationRun::PopulationRun(const Backend& backend, const PopulationJob& job, const PopulationResults& results,
                             int threads)
    : backend_(backend),
      job_(job),
      results_(results),
      packs_(packs_of(backend, job.size)),
      tasks_([this](size_t thread, uint64_t task) { return work(*workers_[thread], task); }, [] {}) {
    const uint64_t n_threads = static_cast<uint64_t>(threads);
    for (uint64_t i = 0; i < std::min(n_threads, job.count); ++i)
        workers_.push_back(std::make_unique<Worker>(backend, job, tasks_.stop_flag()));
    tasks_.start(n_threads, job.count);
}

PopulationRun::~PopulationRun() { tasks_.stop(); }

double PopulationRun::fraction() const {
    const double all = static_cast<double>(job_.count) * packs_ * job_.network.depth;
    uint64_t done = 0;
    for (const auto& worker : workers_) done += __atomic_load_n(&worker->done, __ATOMIC_RELAXED);
    return all > 0.0 ? std::min(1.0, static_cast<double>(done) / all) : 1.0;
}

bool PopulationRun::advance(Worker& worker, uint64_t first_network, const Stretch& stretch) {
    for (uint32_t pack = 0; pack < packs_; ++pack) {
        const uint64_t network = first_network + pack * worker.lanes;
        const bool well = job_.residual != nullptr
                              ? backend_.advance_residual(*job_.residual, job_.seed, network, stretch,
                                                          worker.pack(pack), worker.control)
                              : backend_.advance(job_.network, job_.variant, job_.seed, network, stretch,
                                                 worker.pack(pack), worker.control);
        if (!well) return false;
    }
    worker.measure();
    return true;
}

// One population, from layer 0 to the last.
bool PopulationRun::work(Worker& worker, uint64_t task) {
    const PhiloxKeys keys = host::philox_keys(job_.seed);
    const uint64_t first_network = (job_.first + task) * population_stride(job_.size);
    const size_t row = task * job_.n_layers;
    if (!advance(worker, first_network, {true, 0, 0})) return false;
    std::copy_n(worker.reached.get(), job_.size, worker.origin.get());
    results_.top[row] = results_.growth[row] = 0.0;
    results_.mean[row] = results_.effective[row] = 1.0;
    for (uint32_t i = 1; i < job_.n_layers; ++i) {
        const size_t at = row + i;
        std::copy_n(worker.reached.get(), job_.size, worker.start.get());
        if (!advance(worker, first_network, {false, job_.layers[i - 1], job_.layers[i]})) return false;
        worker.weigh(job_.power, results_.top[at], results_.mean[at], results_.effective[at], results_.growth[at]);
        if (results_.mean[at] == 0.0) {  // all are dead, and stay so
            std::fill(results_.top + at, results_.top + row + job_.n_layers, 0.0);
            std::fill(results_.mean + at, results_.mean + row + job_.n_layers, 0.0);
            std::fill(results_.effective + at, results_.effective + row + job_.n_layers, 0.0);
            std::fill(results_.growth + at, results_.growth + row + job_.n_layers, 0.0);
            break;
        }
        if (i + 1 < job_.n_layers) worker.resample(host::resampling_uniform(keys, first_network, job_.layers[i]));
    }
    return true;
}

}  // namespace resmc
