// Threads that take numbered tasks in turn, until there are none, one fails, or somebody says stop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace resmc {

class Tasks {
   public:
    // Does a task on one of the threads; false where it was abandoned, and its thread with it.
    using Work = std::function<bool(size_t thread, uint64_t task)>;

    // `stopping` is called after a stop has been said, for tasks that wait for something.
    Tasks(Work work, std::function<void()> stopping) : work_(std::move(work)), stopping_(std::move(stopping)) {}
    ~Tasks() { stop(); }
    Tasks(const Tasks&) = delete;
    Tasks& operator=(const Tasks&) = delete;

    void start(size_t threads, uint64_t tasks);  // no more threads than tasks
    bool wait(double seconds);                   // true once every thread has finished
    void stop();                                 // abandons the rest and joins; a second time nothing
    void finish();                               // joins; rethrows what stopped a thread

    bool stopped() const { return __atomic_load_n(&stop_, __ATOMIC_RELAXED); }
    const bool* stop_flag() const { return &stop_; }  // read by kernels through relaxed atomic builtins

   private:
    void take(size_t thread);
    void say_stop();

    const Work work_;
    const std::function<void()> stopping_;
    uint64_t n_tasks_ = 0;
    std::atomic<uint64_t> next_task_{0};
    bool stop_ = false;
    std::mutex mutex_;
    std::condition_variable finished_;
    size_t running_ = 0;
    std::exception_ptr error_;
    std::vector<std::thread> threads_;
};

}  // namespace resmc
