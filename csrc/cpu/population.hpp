// Populations of networks on the CPU's threads. A population advances a stretch of layers at a time; then its networks
// are weighted by |z|^(2 power) over what it was at the stretch's beginning, and resampled by these weights. The
// product of the weights' means is an unbiased estimate of E |z_l|^(2 power)/|z_0|^(2 power) (Del Moral 2004,
// "Feynman-Kac formulae", section 7.4): resampling by a fixed schedule keeps it so.
#pragma once

#include <memory>
#include <vector>

#include "../include/resmc/resampling.hpp"
#include "aligned.hpp"
#include "backend.hpp"
#include "tasks.hpp"

namespace resmc {

struct PopulationJob {
    Network network;
    const Residual* residual;  // null: the fast kernels of log-Gaussian networks
    Variant variant;
    uint64_t seed, first, count;  // populations first .. first + count - 1
    uint32_t size;                // networks of a population
    double power;
    const uint32_t* layers;  // from 0 to depth: where a population is weighted, and but for the ends resampled
    uint32_t n_layers;
};

// By [population][layer]. Of layer 0, where nothing has been weighted yet: 0, 1, 1 and 0.
struct PopulationResults {
    double* top;        // the largest logarithm of a weight,
    double* mean;       // and the mean of weights over the largest; 0 once all networks are dead
    double* effective;  // (sum w)^2/(n sum w^2)
    double* growth;     // mean of log |z_l|^2/|z_0|^2 by these weights
};

// Bytes that a run takes for each of its threads.
size_t population_bytes(const Backend&, uint32_t width, uint32_t size);

class PopulationRun {
   public:
    PopulationRun(const Backend&, const PopulationJob&, const PopulationResults&, int threads);
    ~PopulationRun();  // stops
    PopulationRun(const PopulationRun&) = delete;
    PopulationRun& operator=(const PopulationRun&) = delete;

    bool wait(double seconds) { return tasks_.wait(seconds); }
    double fraction() const;  // of the work, for a progress bar
    void stop() { tasks_.stop(); }
    void finish() { tasks_.finish(); }

   private:
    struct Worker;
    bool work(Worker&, uint64_t task);
    bool advance(Worker&, uint64_t first_network, const Stretch&);

    const Backend& backend_;
    const PopulationJob job_;
    const PopulationResults results_;
    const uint32_t packs_;  // of a population
    std::vector<std::unique_ptr<Worker>> workers_;
    Tasks tasks_;  // the last: its threads end before what they use
};

}  // namespace resmc
