#include "run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "../include/resmc/layer_sums.hpp"
#include "../include/resmc/segments.hpp"

namespace resmc {

std::vector<const Backend*> backends() {
    std::vector<const Backend*> found;
#ifdef RESMC_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        found.push_back(&backend_avx512());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&backend_avx2());
#endif
    found.push_back(&backend_baseline());
    return found;
}

namespace {

constexpr uint64_t LARGEST_PACK = 32;  // slots of the widest instruction set's pack: a task never divides one

struct Free {
    void operator()(void* p) const { std::free(p); }
};

// Memory aligned for any register, zeroed unless that would only cost time.
template <class T>
std::unique_ptr<T[], Free> aligned_array(size_t n, bool zeroed = true) {
    const size_t bytes = std::max<size_t>((n * sizeof(T) + 63) / 64 * 64, 64);
    void* const p = std::aligned_alloc(64, bytes);
    if (p == nullptr) throw std::bad_alloc();
    if (zeroed) std::fill_n(static_cast<char*>(p), bytes, 0);
    return std::unique_ptr<T[], Free>(static_cast<T*>(p));
}

size_t packed(size_t n) { return n * (n + 1) / 2; }

// Of a tile's A; where networks can die, also of who is alive and of A^2.
size_t scratch_doubles(const Recording& recording) {
    if (!recording.correlations) return 0;
    return (recording.deaths_possible ? 3 : 1) * TILE * padded_slots(recording.n_layers);
}

// Calls visit(member pointer, number of entries of one group) for every array of Statistics that has layers.
template <class Integers, class Doubles>
void each_layer_array(const Recording& recording, Integers integers, Doubles doubles) {
    const size_t n = recording.n_layers;
    integers(&Statistics::alive, n);
    integers(&Statistics::inactive, n);
    doubles(&Statistics::log_norm, 4 * n);
    doubles(&Statistics::growth_log, 2 * n);
    doubles(&Statistics::growth, 2 * n);
    integers(&Statistics::growth_exponent, n);
    doubles(&Statistics::asymmetry, n);
    doubles(&Statistics::asymmetry_square, n);
    integers(&Statistics::active, n);
    doubles(&Statistics::active_square, n);
}

// The same for all of its arrays.
template <class Integers, class Doubles>
void each_array(const Recording& recording, Integers integers, Doubles doubles) {
    const size_t n = recording.n_layers, pairs = recording.correlations ? packed(n) : 0;
    const size_t deaths = recording.deaths_possible ? pairs : 0;
    each_layer_array(recording, integers, doubles);
    doubles(&Statistics::products, pairs);
    doubles(&Statistics::partial_sums, deaths);
    doubles(&Statistics::partial_squares, deaths);
    integers(&Statistics::histogram, static_cast<size_t>(recording.n_bins) + 2);
}

Statistics group_of(const Recording& recording, Statistics s, uint64_t group) {
    auto advance = [&](auto member, size_t n) {
        if (s.*member != nullptr) s.*member += group * n;
    };
    each_array(recording, advance, advance);
    return s;
}

// Those of layer slot i, out of n.
LayerSums layer_sums(const Statistics& s, size_t n, size_t i) {
    return {s.alive[i],
            s.inactive[i],
            s.active[i],
            s.growth_exponent[i],
            {s.log_norm[i], s.log_norm[n + i], s.log_norm[2 * n + i], s.log_norm[3 * n + i]},
            {s.growth_log[i], s.growth_log[n + i]},
            {s.growth[i], s.growth[n + i]},
            s.asymmetry[i],
            s.asymmetry_square[i],
            s.active_square[i]};
}

// Adds the statistics of a block to those of its group.
void fold_statistics(const Recording& recording, const Statistics& block, const Statistics& group) {
    const size_t n = recording.n_layers;
    for (size_t i = 0; i < n; ++i) {
        LayerSums sums = layer_sums(group, n, i);
        host::fold(sums, layer_sums(block, n, i));
        group.alive[i] = sums.alive;
        group.inactive[i] = sums.inactive;
        group.active[i] = sums.active;
        group.growth_exponent[i] = sums.growth_exponent;
        for (size_t k = 0; k < 4; ++k) group.log_norm[k * n + i] = sums.log_norm[k];
        for (size_t k = 0; k < 2; ++k) group.growth_log[k * n + i] = sums.growth_log[k];
        for (size_t k = 0; k < 2; ++k) group.growth[k * n + i] = sums.growth[k];
        group.asymmetry[i] = sums.asymmetry;
        group.asymmetry_square[i] = sums.asymmetry_square;
        group.active_square[i] = sums.active_square;
    }
    auto add = [&](auto member, size_t size) {
        if (member != nullptr && group.*member != nullptr)
            for (size_t i = 0; i < size; ++i) (group.*member)[i] += (block.*member)[i];
    };
    if (group.histogram == nullptr) return;
    add(&Statistics::products, packed(n));
    add(&Statistics::partial_sums, packed(n));
    add(&Statistics::partial_squares, packed(n));
    add(&Statistics::histogram, static_cast<size_t>(recording.n_bins) + 2);
}

// What is followed besides h: nothing, how far h went, or the way back too.
size_t ratios_of(const Job& job) {
    if (job.residual == nullptr) return 0;
    return job.residual->gradients ? RATIOS : 1;
}

size_t workspace_bytes(const Backend& backend, const Job& job) {
    return job.residual != nullptr ? backend.residual_workspace_bytes(*job.residual, job.method)
                                   : backend.workspace_bytes(job.network, job.method);
}

// Layers that a pack goes through.
uint64_t steps_of(const Job& job) {
    return job.residual != nullptr ? host::residual_steps(*job.residual) : job.network.depth;
}

}  // namespace

// A thread and its memory.
struct Run::Worker {
    Worker(const Backend& backend, const Job& job, const bool* stop) {
        const Recording& recording = job.recording;
        const size_t n = recording.n_layers, tile = n * TILE;
        // Every kernel writes its z before it reads it; zeroing gigabytes here could not be interrupted.
        workspace = aligned_array<char>(workspace_bytes(backend, job), false);
        square = aligned_array<float>(tile);
        exponent = aligned_array<int32_t>(tile);
        asymmetry = aligned_array<float>(tile);
        active = aligned_array<uint32_t>(tile);
        if (job.keep_samples > 0) output = aligned_array<float>(static_cast<size_t>(job.network.n_out) * TILE);
        log_norm = aligned_array<double>(tile);
        scratch = aligned_array<double>(scratch_doubles(recording));
        records = {square.get(), exponent.get(), asymmetry.get(), active.get(),
                   nullptr,      log_norm.get(), scratch.get(),   {},
                   nullptr,      square.get(),   exponent.get(),  log_norm.get()};
        n_ratios = ratios_of(job);
        if (n_ratios > 0) {
            ratio_floats = aligned_array<float>((n_ratios + 1) * tile);
            ratio_exponents = aligned_array<int32_t>(n_ratios * tile);
            ratio_log_norms = aligned_array<double>(n_ratios * tile);
            for (size_t r = 0; r < n_ratios; ++r)
                records.ratios[r] = {ratio_floats.get() + r * tile, ratio_exponents.get() + r * tile,
                                     ratio_log_norms.get() + r * tile};
            records.overlap = ratio_floats.get() + n_ratios * tile;
        }
        size_t n_integers = 0, n_doubles = 0;
        const auto count_integers = [&](auto, size_t size) { n_integers += size; };
        const auto count_doubles = [&](auto, size_t size) { n_doubles += size; };
        each_array(recording, count_integers, count_doubles);
        for (size_t r = 0; r < n_ratios; ++r) each_layer_array(recording, count_integers, count_doubles);
        integers = aligned_array<int64_t>(n_integers);
        doubles = aligned_array<double>(n_doubles);
        block_bytes[0] = n_integers * sizeof(int64_t);
        block_bytes[1] = n_doubles * sizeof(double);
        int64_t* next_integer = integers.get();
        double* next_double = doubles.get();
        Statistics* to = &block;
        const auto place_integers = [&](auto member, size_t size) {
            to->*member = size > 0 ? next_integer : nullptr;
            next_integer += size;
        };
        const auto place_doubles = [&](auto member, size_t size) {
            to->*member = size > 0 ? next_double : nullptr;
            next_double += size;
        };
        each_array(recording, place_integers, place_doubles);
        for (size_t r = 0; r < n_ratios; ++r) {
            to = &ratios[r];
            each_layer_array(recording, place_integers, place_doubles);
        }
        control = {stop, &done};
    }
    void clear_block() {
        std::fill_n(reinterpret_cast<char*>(integers.get()), block_bytes[0], 0);
        std::fill_n(reinterpret_cast<char*>(doubles.get()), block_bytes[1], 0);
    }

    // The records as if ratio r were the log-norm, growing from where it is compared with.
    Records as_log_norm(const Recording& recording, size_t r) const {
        const size_t last = (static_cast<size_t>(recording.n_layers) - 1) * TILE;
        Records out = records;
        out.square = records.ratios[r].square;
        out.exponent = records.ratios[r].exponent;
        out.log_norm = records.ratios[r].log_norm;
        if (r != RATIO_DISPLACEMENT) {
            out.start_square = records.ratios[RATIO_GRADIENT].square + last;
            out.start_exponent = records.ratios[RATIO_GRADIENT].exponent + last;
            out.start_log_norm = records.ratios[RATIO_GRADIENT].log_norm + last;
        }
        return out;
    }

    std::unique_ptr<char[], Free> workspace;
    std::unique_ptr<float[], Free> square, asymmetry, output, ratio_floats;
    std::unique_ptr<int32_t[], Free> exponent, ratio_exponents;
    std::unique_ptr<uint32_t[], Free> active;
    std::unique_ptr<double[], Free> log_norm, scratch, doubles, ratio_log_norms;
    std::unique_ptr<int64_t[], Free> integers;
    size_t block_bytes[2];
    Records records{};
    Statistics block{}, ratios[RATIOS]{};
    size_t n_ratios;
    Control control{};
    alignas(64) uint64_t done = 0;
};

size_t bytes_per_thread(const Backend& backend, const Job& job) {
    const size_t n = job.recording.n_layers;
    size_t block = 0;
    auto count = [&](auto, size_t size) { block += 8 * size; };
    each_array(job.recording, count, count);
    const size_t ratios = ratios_of(job);
    for (size_t r = 0; r < ratios; ++r) each_layer_array(job.recording, count, count);
    return workspace_bytes(backend, job) + n * TILE * (24 + 16 * ratios + (ratios > 0 ? 4 : 0)) + block +
           (job.keep_samples > 0 ? 4 * TILE * static_cast<size_t>(job.network.n_out) : 0) +
           8 * scratch_doubles(job.recording);
}

Run::Run(const Backend& backend, const Job& job, const Results& results, int threads)
    : backend_(backend), job_(job), results_(results) {
    task_size_ = std::max(job.block, LARGEST_PACK);
    first_task_ = job.first / task_size_;
    n_tasks_ = (job.first + job.count - 1) / task_size_ - first_task_ + 1;
    const uint64_t lanes = static_cast<uint64_t>(backend.lanes);
    pack_layers_ = ((job.first + job.count - 1) / lanes - job.first / lanes + 1) * steps_of(job);
    const int n = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(threads), n_tasks_));
    for (int i = 0; i < n; ++i) workers_.push_back(std::make_unique<Worker>(backend, job, &stop_));
    running_ = n;
    try {
        for (auto& worker : workers_) threads_.emplace_back([this, &worker] { work(*worker); });
    } catch (...) {  // a thread could not be started: stop those that were
        stop_and_join();
        throw;
    }
}

Run::~Run() { stop_and_join(); }

void Run::stop_and_join() {
    {  // under the lock, or a thread about to wait for its turn might miss it
        std::lock_guard lock(mutex_);
        __atomic_store_n(&stop_, true, __ATOMIC_RELAXED);
    }
    turn_changed_.notify_all();
    for (auto& thread : threads_)
        if (thread.joinable()) thread.join();
}

bool Run::wait(double seconds) {
    std::unique_lock lock(mutex_);
    return worker_finished_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return running_ == 0; });
}

double Run::fraction() const {
    uint64_t done = 0;
    for (const auto& worker : workers_) done += __atomic_load_n(&worker->done, __ATOMIC_RELAXED);
    return std::min(1.0, static_cast<double>(done) / static_cast<double>(pack_layers_));
}

void Run::finish() {
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    if (error_) std::rethrow_exception(error_);
}

void Run::work(Worker& worker) {
    try {
        for (uint64_t task; (task = next_task_.fetch_add(1)) < n_tasks_;) {
            const uint64_t start = (first_task_ + task) * task_size_;
            const uint64_t begin = std::max(start, job_.first);
            const uint64_t end = std::min(start + task_size_, job_.first + job_.count);
            if (job_.block >= TILE) {  // the task is one block: reduce tile by tile, wait only to fold
                worker.clear_block();
                simulate_range(worker, begin, end);
                if (!wait_for_turn(task)) break;
                fold(worker, begin);
            } else {  // the task is a few packs of one tile, and holds several blocks or a part of the tile
                const uint64_t tile = begin / TILE * TILE;
                simulate_tile(worker, tile, static_cast<int>(begin - tile), static_cast<int>(end - tile));
                if (!wait_for_turn(task)) break;
                for (uint64_t from = begin, to; from < end; from = to) {
                    to = std::min((from / job_.block + 1) * job_.block, end);
                    worker.clear_block();
                    reduce(worker, static_cast<int>(from - tile), static_cast<int>(to - tile));
                    fold(worker, from);
                }
            }
            {
                std::lock_guard lock(mutex_);
                ++turn_;
            }
            turn_changed_.notify_all();
        }
    } catch (...) {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        __atomic_store_n(&stop_, true, __ATOMIC_RELAXED);
        turn_changed_.notify_all();
    }
    std::lock_guard lock(mutex_);
    --running_;
    worker_finished_.notify_all();
}

bool Run::wait_for_turn(uint64_t task) {
    std::unique_lock lock(mutex_);
    turn_changed_.wait(lock, [&] { return turn_ == task || __atomic_load_n(&stop_, __ATOMIC_RELAXED); });
    return !__atomic_load_n(&stop_, __ATOMIC_RELAXED);
}

void Run::fold(Worker& worker, uint64_t network) {
    const uint64_t group = network / job_.block % GROUPS;
    fold_statistics(job_.recording, worker.block, group_of(job_.recording, results_.groups, group));
    for (size_t r = 0; r < worker.n_ratios; ++r)
        fold_statistics(job_.recording, worker.ratios[r], group_of(job_.recording, results_.ratios[r], group));
}

void Run::simulate_range(Worker& worker, uint64_t begin, uint64_t end) {
    for (uint64_t tile = begin / TILE * TILE; tile < end; tile += TILE) {
        const int from = static_cast<int>(std::max(begin, tile) - tile);
        const int to = static_cast<int>(std::min(end - tile, static_cast<uint64_t>(TILE)));
        simulate_tile(worker, tile, from, to);
        if (__atomic_load_n(&stop_, __ATOMIC_RELAXED)) return;
        reduce(worker, from, to);
    }
}

// Adds networks begin .. end - 1 of the worker's tile to its block.
void Run::reduce(Worker& worker, int begin, int end) {
    backend_.reduce(job_.network, job_.recording, worker.records, begin, end, worker.block);
    for (size_t r = 0; r < worker.n_ratios; ++r)
        backend_.reduce_layers(job_.network, job_.recording, worker.as_log_norm(job_.recording, r), begin, end,
                               worker.ratios[r]);
}

// Simulates networks tile + begin .. tile + end - 1 and copies out what is kept raw.
void Run::simulate_tile(Worker& worker, uint64_t tile, int begin, int end) {
    const uint64_t from = tile + static_cast<uint64_t>(begin) - job_.first;  // index within the range
    Records records = worker.records;
    records.output = from < job_.keep_samples ? worker.output.get() : nullptr;
    const bool done = job_.residual != nullptr
                          ? backend_.simulate_residual(*job_.residual, job_.method, job_.seed, tile, begin, end,
                                                       job_.recording, records, worker.workspace.get(), worker.control)
                          : backend_.simulate(job_.network, job_.variant, job_.method, job_.seed, tile, begin, end,
                                              job_.recording, records, worker.workspace.get(), worker.control);
    if (!done) return;
    if (worker.n_ratios > 0) keep_ratios(worker, from, begin, end);
    const size_t n = job_.recording.n_layers, last = (n - 1) * TILE, n_out = job_.network.n_out;
    constexpr double minus_infinity = -std::numeric_limits<double>::infinity();
    for (int t = begin; t < end; ++t) {
        const uint64_t i = from + static_cast<uint64_t>(t - begin);
        const size_t lane = static_cast<size_t>(t);
        if (i < job_.keep_samples) {
            results_.sample_log_norm[i] =
                records.square[last + lane] > 0.0f ? records.log_norm[last + lane] : minus_infinity;
            results_.sample_exponent[i] = records.exponent[last + lane];
            for (size_t k = 0; k < n_out; ++k)
                results_.sample_output[i * n_out + k] = static_cast<double>(records.output[k * TILE + lane]);
        }
        if (i < job_.keep_trajectories) {
            for (size_t slot = 0; slot < n; ++slot) {
                const size_t at = slot * TILE + lane;
                const bool alive = records.square[at] > 0.0f;
                results_.path_log_norm[i * n + slot] = alive ? records.log_norm[at] : minus_infinity;
                results_.path_asymmetry[i * n + slot] = alive ? records.asymmetry[at] : NAN;
            }
        }
    }
}

// Copies out what is kept raw of the ratios: paths of the first networks, and the ends of all.
void Run::keep_ratios(const Worker& worker, uint64_t from, int begin, int end) {
    const Recording& recording = job_.recording;
    const size_t n = recording.n_layers, last = (n - 1) * TILE;
    constexpr double minus_infinity = -std::numeric_limits<double>::infinity();
    for (size_t r = 0; r <= worker.n_ratios; ++r) {  // 0: h itself
        const Records records = r == 0 ? worker.records : worker.as_log_norm(recording, r - 1);
        const size_t where = r == 1 + RATIO_GRADIENT || r == 1 + RATIO_GRADIENT_DISPLACEMENT ? 0 : last;
        for (size_t t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) {
            const uint64_t i = from + (t - static_cast<size_t>(begin));
            const bool there = records.square[where + t] > 0.0f && records.start_square[t] > 0.0f;
            results_.final_log_norm[r][i] =
                there ? records.log_norm[where + t] - records.start_log_norm[t] : minus_infinity;
            if (r == 0 || i >= job_.keep_trajectories) continue;
            for (size_t slot = 0; slot < n; ++slot)
                results_.path_ratio[r - 1][i * n + slot] =
                    records.square[slot * TILE + t] > 0.0f ? records.log_norm[slot * TILE + t] : minus_infinity;
        }
    }
    for (size_t t = static_cast<size_t>(begin); results_.path_overlap != nullptr && t < static_cast<size_t>(end); ++t) {
        const uint64_t i = from + (t - static_cast<size_t>(begin));
        if (i >= job_.keep_trajectories) break;
        for (size_t slot = 0; slot < n; ++slot)
            results_.path_overlap[i * n + slot] = worker.records.overlap[slot * TILE + t];
    }
}

}  // namespace resmc
