// A simulation on the CPU's threads: ranges of networks are handed out, simulated and reduced in any order, and folded
// into the 32 groups in the order of the networks, so that neither the number of threads nor their timing changes a
// bit of the result.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "../include/resmc/layer_sums.hpp"
#include "backend.hpp"
#include "tasks.hpp"

namespace resmc {

// Records that are there already, of the networks of a job one after another: rows of `row` numbers for each layer.
struct GivenRecords {
    Records records;  // without scratch
    size_t row;
};

struct Job {
    Network network;
    const Residual* residual;     // null: the fast kernels of log-Gaussian networks
    const GivenRecords* records;  // null: networks are simulated; else these are summed
    Variant variant;
    Method method;
    uint64_t seed, first, count;
    uint64_t batch;  // a power of two up to 4096: networks i with the same i / batch are folded as one
    Recording recording;
    uint64_t keep_samples, keep_trajectories;  // of the first networks of the range
};

// Everything a run writes. Statistics are arrays over groups of what `Statistics` describes; a run adds to them.
struct Results {
    Statistics groups;
    Statistics quotients[QUOTIENTS];  // norms alone; nothing of those that are not followed
    Statistics mean_square;           // norms of h measured from 1: W_l = |h_l|^2/n; nothing unless wanted
    double* sample_log_norm;          // [keep_samples]; -infinity where the network is dead
    double* sample_output;            // [keep_samples][n_out], in units of 2^exponent
    int32_t* sample_exponent;         // [keep_samples]
    double* path_log_norm;            // [keep_trajectories][n_layers]; -infinity where the network is dead
    float* path_asymmetry;            // [keep_trajectories][n_layers]; NaN where the network is dead
    // Of a Residual: ln |v|^2/n, and -infinity where v = 0; final values of h_L, h_L - h_0, p_0 and p_0 - p_L, the
    // first of them less where growth is measured from.
    double* path_quotient[QUOTIENTS];       // [keep_trajectories][n_layers]
    float* path_overlap;                    // [keep_trajectories][n_layers]
    double* final_log_norm[1 + QUOTIENTS];  // [count]
};

// The instruction sets this machine can run, best first; the name "auto" means the first.
std::vector<const Backend*> backends();

// Bytes that a run takes for each of its threads.
size_t bytes_per_thread(const Backend&, const Job&);

class Run {
   public:
    Run(const Backend&, const Job&, const Results&, int threads);
    ~Run();  // stops
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    bool wait(double seconds) { return tasks_.wait(seconds); }
    double fraction() const;  // of the work, for a progress bar
    void stop();
    void finish() { tasks_.finish(); }

   private:
    struct Worker;
    bool work(Worker&, uint64_t task);
    void wake_up();
    void simulate_range(Worker&, uint64_t begin, uint64_t end);
    void simulate_tile(Worker&, uint64_t tile, int begin, int end);
    bool fill_records(Worker&, const Records&, uint64_t tile, int begin, int end);
    void keep_quotients(const Worker&, uint64_t from, int begin, int end);
    void reduce(Worker&, int begin, int end);
    bool wait_for_turn(uint64_t task);
    void fold(Worker&, uint64_t network);

    const Backend& backend_;
    const Job job_;
    const Results results_;
    uint64_t task_size_, first_task_, n_tasks_, pack_layers_;
    std::mutex mutex_;
    std::condition_variable turn_changed_;
    uint64_t turn_ = 0;
    std::vector<std::unique_ptr<Worker>> workers_;
    Tasks tasks_;  // the last: its threads end before what they use
};

}  // namespace resmc
