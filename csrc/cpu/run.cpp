#include "run.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../include/resmc/log_norm.hpp"
#include "../include/resmc/segments.hpp"
#include "aligned.hpp"
#include "statistics.hpp"

namespace resmc {

std::vector<const Backend*> backends() {
    std::vector<const Backend*> found;
#ifdef RESMC_HAS_avx512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        found.push_back(&backend_avx512());
#endif
#ifdef RESMC_HAS_avx2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&backend_avx2());
#endif
#ifdef RESMC_HAS_baseline
    found.push_back(&backend_baseline());
#endif
    return found;
}

namespace {

constexpr uint64_t LARGEST_PACK = 32;  // slots of the widest instruction set's pack: a task never divides one

// Of a tile's A; where networks can die, also of who is alive and of A^2.
size_t scratch_doubles(const Recording& recording) {
    if (!recording.correlations) return 0;
    return (recording.deaths_possible ? 3 : 1) * TILE * padded_slots(recording.n_layers);
}

// How many quotients are followed besides h: none, how far h went, or the gradient's too.
size_t quotients_of(const Job& job) {
    if (job.residual == nullptr) return 0;
    return job.residual->gradients ? QUOTIENTS : 1;
}

size_t workspace_bytes(const Backend& backend, const Job& job) {
    if (job.records != nullptr) return 0;
    return job.residual != nullptr ? backend.residual_workspace_bytes(*job.residual, job.method)
                                   : backend.workspace_bytes(job.network, job.method);
}

// Layers that a pack goes through.
uint64_t steps_of(const Job& job) {
    return job.residual != nullptr ? host::residual_steps(*job.residual) : job.network.depth;
}

// ln(|v|^2/n) of a record; -infinity where v = 0.
struct LogNorm {
    double log_width;
    explicit LogNorm(const Network& net) : log_width(std::log(static_cast<double>(net.width))) {}
    double operator()(const float* square, const int32_t* exponent, size_t at) const {
        if (!(square[at] > 0.0f)) return -std::numeric_limits<double>::infinity();
        return host::log_norm(square[at], exponent[at], log_width);
    }
};

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
        scratch = aligned_array<double>(scratch_doubles(recording));
        records = {square.get(), exponent.get(), asymmetry.get(), active.get(),  nullptr, scratch.get(),
                   {},           nullptr,        square.get(),    exponent.get()};
        n_quotients = quotients_of(job);
        if (n_quotients > 0) {
            quotient_floats = aligned_array<float>((n_quotients + 1) * tile);
            quotient_exponents = aligned_array<int32_t>(n_quotients * tile);
            for (size_t q = 0; q < n_quotients; ++q)
                records.quotients[q] = {quotient_floats.get() + q * tile, quotient_exponents.get() + q * tile};
            records.overlap = quotient_floats.get() + n_quotients * tile;
        }
        if (recording.mean_square) {
            one_square = aligned_array<float>(TILE);
            one_exponent = aligned_array<int32_t>(TILE);
            std::fill_n(one_square.get(), TILE, static_cast<float>(job.network.width));
        }
        const Sizes sizes(recording);
        norms.resize((1 + n_quotients + (recording.mean_square ? 1 : 0)) * n);
        if (recording.activity) activity.resize(n);
        pairs.resize(sizes.products + 2 * sizes.partial);
        histogram.resize(sizes.histogram);
        const auto part = [&](size_t offset, size_t size) { return size > 0 ? pairs.data() + offset : nullptr; };
        batch = {norms.data(),
                 recording.activity ? activity.data() : nullptr,
                 part(0, sizes.products),
                 part(sizes.products, sizes.partial),
                 part(sizes.products + sizes.partial, sizes.partial),
                 histogram.data()};
        for (size_t q = 0; q < n_quotients; ++q) quotients[q].norms = norms.data() + (1 + q) * n;
        if (recording.mean_square) mean_square.norms = norms.data() + (1 + n_quotients) * n;
        control = {stop, &done};
    }
    void clear_batch() {
        std::fill(norms.begin(), norms.end(), NormSums{});
        std::fill(activity.begin(), activity.end(), ActivitySums{});
        std::fill(pairs.begin(), pairs.end(), 0.0);
        std::fill(histogram.begin(), histogram.end(), 0);
    }

    // The records as if quotient q were the log-norm, growing from where it is compared with.
    Records as_log_norm(const Recording& recording, size_t q) const {
        const size_t last = (static_cast<size_t>(recording.n_layers) - 1) * TILE;
        Records out = records;
        out.square = records.quotients[q].square;
        out.exponent = records.quotients[q].exponent;
        if (q != QUOTIENT_DISPLACEMENT) {
            out.start_square = records.quotients[QUOTIENT_GRADIENT].square + last;
            out.start_exponent = records.quotients[QUOTIENT_GRADIENT].exponent + last;
        }
        return out;
    }

    // The records of h, growing from a vector whose |v|^2/n is 1.
    Records from_one() const {
        Records out = records;
        out.start_square = one_square.get();
        out.start_exponent = one_exponent.get();
        return out;
    }

    std::unique_ptr<char[], Free> workspace;
    std::unique_ptr<float[], Free> square, asymmetry, output, quotient_floats, one_square;
    std::unique_ptr<int32_t[], Free> exponent, quotient_exponents, one_exponent;
    std::unique_ptr<uint32_t[], Free> active;
    std::unique_ptr<double[], Free> scratch;
    std::vector<NormSums> norms;  // of h, then of each quotient, then of h from one
    std::vector<ActivitySums> activity;
    std::vector<double> pairs;  // products, partial sums, partial squares
    std::vector<int64_t> histogram;
    Records records{};
    Statistics batch{}, quotients[QUOTIENTS]{}, mean_square{};  // views of these
    size_t n_quotients;
    Control control{};
    alignas(64) uint64_t done = 0;
};

size_t bytes_per_thread(const Backend& backend, const Job& job) {
    const size_t n = job.recording.n_layers, quotients = quotients_of(job);
    const Sizes sizes(job.recording);
    const size_t records = n * TILE * (16 + 8 * quotients + (quotients > 0 ? 4 : 0));
    const size_t one = job.recording.mean_square ? 1 : 0;
    const size_t by_layer =
        sizeof(NormSums) * (1 + quotients + one) + (job.recording.activity ? sizeof(ActivitySums) : 0);
    return workspace_bytes(backend, job) + records + 8 * TILE * one + n * by_layer +
           8 * (sizes.products + 2 * sizes.partial + sizes.histogram + scratch_doubles(job.recording)) +
           (job.keep_samples > 0 ? 4 * TILE * static_cast<size_t>(job.network.n_out) : 0);
}

Run::Run(const Backend& backend, const Job& job, const Results& results, int threads)
    : backend_(backend),
      job_(job),
      results_(results),
      tasks_([this](size_t thread, uint64_t task) { return work(*workers_[thread], task); }, [this] { wake_up(); }) {
    task_size_ = std::max(job.batch, LARGEST_PACK);
    first_task_ = job.first / task_size_;
    n_tasks_ = (job.first + job.count - 1) / task_size_ - first_task_ + 1;
    const uint64_t lanes = static_cast<uint64_t>(backend.lanes);
    pack_layers_ = job.records != nullptr
                       ? job.count
                       : ((job.first + job.count - 1) / lanes - job.first / lanes + 1) * steps_of(job);
    const size_t n = std::min<uint64_t>(static_cast<uint64_t>(threads), n_tasks_);
    for (size_t i = 0; i < n; ++i) workers_.push_back(std::make_unique<Worker>(backend, job, tasks_.stop_flag()));
    tasks_.start(static_cast<size_t>(threads), n_tasks_);
}

Run::~Run() { stop(); }

void Run::stop() { tasks_.stop(); }

double Run::fraction() const {
    uint64_t done = 0;
    for (const auto& worker : workers_) done += __atomic_load_n(&worker->done, __ATOMIC_RELAXED);
    return std::min(1.0, static_cast<double>(done) / static_cast<double>(pack_layers_));
}

void Run::wake_up() {
    {
        std::lock_guard lock(mutex_);
    }  // or a thread about to wait for its turn might miss it
    turn_changed_.notify_all();
}

bool Run::work(Worker& worker, uint64_t task) {
    const uint64_t start = (first_task_ + task) * task_size_;
    const uint64_t begin = std::max(start, job_.first);
    const uint64_t end = std::min(start + task_size_, job_.first + job_.count);
    if (job_.batch >= TILE) {  // the task is one batch: reduce tile by tile, wait only to fold
        worker.clear_batch();
        simulate_range(worker, begin, end);
        if (!wait_for_turn(task)) return false;
        fold(worker, begin);
    } else {  // the task is a few packs of one tile, and holds several batches or a part of the tile
        const uint64_t tile = begin / TILE * TILE;
        simulate_tile(worker, tile, static_cast<int>(begin - tile), static_cast<int>(end - tile));
        if (!wait_for_turn(task)) return false;
        for (uint64_t from = begin, to; from < end; from = to) {
            to = std::min((from / job_.batch + 1) * job_.batch, end);
            worker.clear_batch();
            reduce(worker, static_cast<int>(from - tile), static_cast<int>(to - tile));
            fold(worker, from);
        }
    }
    {
        std::lock_guard lock(mutex_);
        ++turn_;
    }
    turn_changed_.notify_all();
    return true;
}

bool Run::wait_for_turn(uint64_t task) {
    std::unique_lock lock(mutex_);
    turn_changed_.wait(lock, [&] { return turn_ == task || tasks_.stopped(); });
    return !tasks_.stopped();
}

void Run::fold(Worker& worker, uint64_t network) {
    const size_t group = network / job_.batch % GROUPS;
    fold_statistics(job_.recording, worker.batch, group_of(job_.recording, results_.groups, group));
    for (size_t q = 0; q < worker.n_quotients; ++q)
        fold_statistics(job_.recording, worker.quotients[q], group_of(job_.recording, results_.quotients[q], group));
    if (job_.recording.mean_square)
        fold_statistics(job_.recording, worker.mean_square, group_of(job_.recording, results_.mean_square, group));
}

void Run::simulate_range(Worker& worker, uint64_t begin, uint64_t end) {
    for (uint64_t tile = begin / TILE * TILE; tile < end; tile += TILE) {
        const int from = static_cast<int>(std::max(begin, tile) - tile);
        const int to = static_cast<int>(std::min(end - tile, static_cast<uint64_t>(TILE)));
        simulate_tile(worker, tile, from, to);
        if (tasks_.stopped()) return;
        reduce(worker, from, to);
    }
}

// Adds networks begin .. end - 1 of the worker's tile to its batch.
void Run::reduce(Worker& worker, int begin, int end) {
    backend_.reduce(job_.network, job_.recording, worker.records, begin, end, worker.batch);
    for (size_t q = 0; q < worker.n_quotients; ++q)
        backend_.reduce(job_.network, job_.recording, worker.as_log_norm(job_.recording, q), begin, end,
                        worker.quotients[q]);
    if (job_.recording.mean_square)
        backend_.reduce(job_.network, job_.recording, worker.from_one(), begin, end, worker.mean_square);
}

// Some rows of a tile from those that are given.
template <class T>
static void copy_rows(T* tile, const T* given, size_t row, size_t rows, int begin, int end) {
    for (size_t i = 0; tile != nullptr && i < rows; ++i)
        std::copy_n(given + i * row, end - begin, tile + i * TILE + begin);
}

// Records of networks tile + begin .. tile + end - 1: simulated, or taken from where they are.
bool Run::fill_records(Worker& worker, const Records& records, uint64_t tile, int begin, int end) {
    if (job_.records == nullptr)
        return job_.residual != nullptr
                   ? backend_.simulate_residual(*job_.residual, job_.method, job_.seed, tile, begin, end,
                                                job_.recording, records, worker.workspace.get(), worker.control)
                   : backend_.simulate(job_.network, job_.variant, job_.method, job_.seed, tile, begin, end,
                                       job_.recording, records, worker.workspace.get(), worker.control);
    const Records& given = job_.records->records;
    const size_t row = job_.records->row, n = job_.recording.n_layers;
    const size_t at = tile + static_cast<size_t>(begin) - job_.first;
    copy_rows(records.square, given.square + at, row, n, begin, end);
    copy_rows(records.exponent, given.exponent + at, row, n, begin, end);
    copy_rows(records.asymmetry, given.asymmetry + at, row, n, begin, end);
    copy_rows(records.active, given.active + at, row, n, begin, end);
    if (given.output != nullptr) copy_rows(records.output, given.output + at, row, job_.network.n_out, begin, end);
    for (size_t q = 0; q < worker.n_quotients; ++q) {
        const Quotient& quotient = records.quotients[q];
        copy_rows(quotient.square, given.quotients[q].square + at, row, n, begin, end);
        copy_rows(quotient.exponent, given.quotients[q].exponent + at, row, n, begin, end);
    }
    if (given.overlap != nullptr) copy_rows(records.overlap, given.overlap + at, row, n, begin, end);
    __atomic_store_n(worker.control.done, *worker.control.done + static_cast<uint64_t>(end - begin), __ATOMIC_RELAXED);
    return !tasks_.stopped();
}

// Fills in networks tile + begin .. tile + end - 1 and copies out what is kept raw.
void Run::simulate_tile(Worker& worker, uint64_t tile, int begin, int end) {
    const uint64_t from = tile + static_cast<uint64_t>(begin) - job_.first;  // index within the range
    Records records = worker.records;
    records.output = from < job_.keep_samples ? worker.output.get() : nullptr;
    if (!fill_records(worker, records, tile, begin, end)) return;
    if (worker.n_quotients > 0) keep_quotients(worker, from, begin, end);
    const size_t n = job_.recording.n_layers, last = (n - 1) * TILE, n_out = job_.network.n_out;
    const LogNorm log_norm(job_.network);
    for (int t = begin; t < end; ++t) {
        const uint64_t i = from + static_cast<uint64_t>(t - begin);
        const size_t lane = static_cast<size_t>(t);
        if (i < job_.keep_samples) {
            results_.sample_log_norm[i] = log_norm(records.square, records.exponent, last + lane);
            results_.sample_exponent[i] = records.exponent[last + lane];
            for (size_t k = 0; k < n_out; ++k)
                results_.sample_output[i * n_out + k] = static_cast<double>(records.output[k * TILE + lane]);
        }
        if (i < job_.keep_trajectories) {
            for (size_t slot = 0; slot < n; ++slot) {
                const size_t at = slot * TILE + lane;
                results_.path_log_norm[i * n + slot] = log_norm(records.square, records.exponent, at);
                results_.path_asymmetry[i * n + slot] = records.square[at] > 0.0f ? records.asymmetry[at] : NAN;
            }
        }
    }
}

// Copies out what is kept raw of the quotients: paths of the first networks, and final values of all.
void Run::keep_quotients(const Worker& worker, uint64_t from, int begin, int end) {
    const Recording& recording = job_.recording;
    const size_t n = recording.n_layers, last = (n - 1) * TILE;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const LogNorm log_norm(job_.network);
    for (size_t q = 0; q <= worker.n_quotients; ++q) {  // 0: h itself
        const Records records = q == 0 ? worker.records : worker.as_log_norm(recording, q - 1);
        const size_t where = q == 1 + QUOTIENT_GRADIENT || q == 1 + QUOTIENT_GRADIENT_DISPLACEMENT ? 0 : last;
        for (size_t t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) {
            const uint64_t i = from + (t - static_cast<size_t>(begin));
            results_.final_log_norm[q][i] = records.start_square[t] <= 0.0f
                                                ? infinity
                                                : log_norm(records.square, records.exponent, where + t) -
                                                      log_norm(records.start_square, records.start_exponent, t);
            if (q == 0 || i >= job_.keep_trajectories) continue;
            for (size_t slot = 0; slot < n; ++slot)
                results_.path_quotient[q - 1][i * n + slot] =
                    log_norm(records.square, records.exponent, slot * TILE + t);
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
