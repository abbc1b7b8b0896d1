#include "tasks.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>

namespace resmc {

void Tasks::start(size_t threads, uint64_t tasks) {
    const size_t needed = std::min<uint64_t>(threads, tasks);
    n_tasks_ = tasks;
    running_ = needed;
    threads_.reserve(needed);
    try {
        for (size_t i = 0; i < needed; ++i) threads_.emplace_back([this, i] { take(i); });
    } catch (const std::exception& error) {  // a thread could not be started: stop those that were
        stop();
        throw std::runtime_error("threads=" + std::to_string(threads) + ": the system lets only " +
                                 std::to_string(threads_.size()) + " of them start (" + error.what() +
                                 "); ask for fewer, or raise the limit of processes (ulimit -u) or of memory");
    }
}

void Tasks::take(size_t thread) {
    try {
        for (uint64_t task; !stopped() && (task = next_task_.fetch_add(1)) < n_tasks_;)
            if (!work_(thread, task)) break;
    } catch (...) {
        {
            std::lock_guard lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
        say_stop();
    }
    std::lock_guard lock(mutex_);
    --running_;
    finished_.notify_all();
}

void Tasks::say_stop() {
    __atomic_store_n(&stop_, true, __ATOMIC_RELAXED);
    stopping_();
}

void Tasks::stop() {
    say_stop();
    for (auto& thread : threads_)
        if (thread.joinable()) thread.join();
}

bool Tasks::wait(double seconds) {
    std::unique_lock lock(mutex_);
    return finished_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return running_ == 0; });
}

void Tasks::finish() {
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    if (error_) std::rethrow_exception(error_);
}

}  // namespace resmc
