// Networks with several inputs on the CPU's threads: records of all of them, which are summed elsewhere.
#pragma once

#include <memory>
#include <vector>

#include "aligned.hpp"
#include "backend.hpp"
#include "tasks.hpp"

namespace resmc {

struct JointJob {
    Residual network;  // with gradients if these are wanted
    Joint joint;
    Method method;
    uint64_t seed, first, networks;
    Recording recording;  // its layers alone
    JointRecords records;
    size_t row_first;  // place of the first network in a row of records
};

// Bytes that a run takes for each of its threads.
size_t joint_bytes_per_thread(const Backend&, const Residual&, const Joint&);

class JointSimulation {
   public:
    JointSimulation(const Backend&, const JointJob&, int threads);

    bool wait(double seconds) { return tasks_.wait(seconds); }
    double fraction() const;  // of the work, for a progress bar
    void stop() { tasks_.stop(); }
    void finish() { tasks_.finish(); }

   private:
    struct Worker {
        std::unique_ptr<char[], Free> workspace;
        alignas(64) uint64_t done = 0;
    };
    bool work(Worker&, uint64_t pack);

    const Backend& backend_;
    const JointJob job_;
    uint64_t first_pack_, packs_;  // of as many networks as the instruction set has slots
    std::vector<std::unique_ptr<Worker>> workers_;
    Tasks tasks_;  // the last: its threads end before what they use
};

}  // namespace resmc
