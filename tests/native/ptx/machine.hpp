// The one machine of a process: programs by name, memory, and launches, which run at once, one after the other.
#pragma once

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "block.hpp"

namespace ptx {

// Of compute capability 9.0.
constexpr uint64_t SHARED_WITHOUT_OPT_IN = 48u << 10, SHARED_MOST = 232448;
constexpr uint32_t REGISTERS = 65536, REGISTERS_OF_A_THREAD = 255;

// A launch that CUDA would not begin.
struct Refusal : std::runtime_error {
    enum Kind { CONFIGURATION, SHARED_MEMORY, RESOURCES, UNKNOWN } kind;
    Refusal(Kind kind, const std::string& why) : std::runtime_error(why), kind(kind) {}
};

class Machine {
   public:
    // Adds the programs of a shared library that translate.py's output was compiled to; of two with the same name the
    // one that came last runs.
    void load(const std::string& path) {
        void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) throw std::runtime_error(dlerror());
        const auto* const begin = static_cast<const Program*>(dlsym(library, "ptx_programs"));
        const auto* const count = static_cast<const uint32_t*>(dlsym(library, "ptx_program_count"));
        if (begin == nullptr || count == nullptr) throw std::runtime_error(path + " has no programs");
        const std::lock_guard lock(mutex);
        for (const Program* p = begin; p != begin + *count; ++p) programs[p->name] = p;
    }

    void add(Allocation& a) {
        const std::lock_guard lock(mutex);
        memory.add(a);
    }
    void remove(Allocation& a) {
        const std::lock_guard lock(mutex);
        memory.remove(a);
    }

    // cudaFuncSetAttribute of cudaFuncAttributeMaxDynamicSharedMemorySize.
    void opt_in(const std::string& name, uint64_t bytes) {
        const std::lock_guard lock(mutex);
        if (ignore_opt_in) return;
        if (program(name).shared_bytes + bytes > SHARED_MOST)
            throw Refusal(Refusal::SHARED_MEMORY, demangled(name.c_str()) + " cannot have " + std::to_string(bytes) +
                                                      " bytes of shared memory: there are " +
                                                      std::to_string(SHARED_MOST));
        opted_in[name] = bytes;
    }

    const Program& program(const std::string& name) const {
        const auto found = programs.find(name);
        if (found == programs.end())
            throw Refusal(Refusal::UNKNOWN, "no PTX of " + demangled(name.c_str()) + " has been loaded");
        return *found->second;
    }

    // kernel<<<blocks, threads, shared_bytes>>>, its parameters as the kernel sees them.
    void launch(const std::string& name, uint32_t blocks, uint32_t threads, uint64_t shared_bytes,
                const std::string& parameters) {
        const std::lock_guard lock(mutex);
        const Program& p = program(name);
        check(p, blocks, threads, shared_bytes);
        if (parameters.size() != p.parameter_bytes)
            throw Refusal(Refusal::CONFIGURATION, "the parameters of " + demangled(p.name) + " have " +
                                                      std::to_string(p.parameter_bytes) + " bytes, not " +
                                                      std::to_string(parameters.size()));
        ran.insert(name);
        const uint64_t all_shared = (p.shared_bytes + 15) / 16 * 16 + shared_bytes;
        Block block(p, threads, blocks, all_shared, parameters.data(), memory, fibers, counters, settings, next);
        std::vector<uint32_t> order(blocks);
        for (uint32_t i = 0; i < blocks; ++i) order[i] = i;
        if (settings.order != 0) std::shuffle(order.begin(), order.end(), std::mt19937_64(settings.order));
        try {
            for (const uint32_t i : order) block.run(i, next++);
        } catch (...) {
            fibers.abandon();
            throw;
        }
    }

    Settings settings;
    Counters counters{};
    std::set<std::string> ran;  // names of programs

    // A planted fault: as if nobody asked for more shared memory, now or before.
    void forget_opt_in(bool from_now_on) {
        const std::lock_guard lock(mutex);
        ignore_opt_in = from_now_on;
        if (from_now_on) opted_in.clear();
    }

   private:
    void check(const Program& p, uint32_t blocks, uint32_t threads, uint64_t shared_bytes) const {
        const std::string name = demangled(p.name);
        if (blocks == 0 || blocks > 0x7FFFFFFFu || threads == 0 || threads > MOST_THREADS)
            throw Refusal(Refusal::CONFIGURATION, name + " cannot be launched with " + std::to_string(blocks) +
                                                      " blocks of " + std::to_string(threads) + " threads");
        if (p.most_threads != 0 && threads > p.most_threads)
            throw Refusal(Refusal::CONFIGURATION, name + " is launched with " + std::to_string(threads) +
                                                      " threads, its launch bounds allow " +
                                                      std::to_string(p.most_threads));
        // With launch bounds ptxas keeps to what they leave; without, it may give every thread all there are.
        if (p.most_threads == 0 && threads * (REGISTERS_OF_A_THREAD + 1) > REGISTERS)
            throw Refusal(Refusal::RESOURCES, name + " has no launch bounds, so that " + std::to_string(threads) +
                                                  " threads may need more registers than there are");
        const auto found = opted_in.find(p.name);
        const uint64_t most = found != opted_in.end() && found->second + p.shared_bytes > SHARED_WITHOUT_OPT_IN
                                  ? found->second
                                  : SHARED_WITHOUT_OPT_IN - std::min<uint64_t>(p.shared_bytes, SHARED_WITHOUT_OPT_IN);
        if (shared_bytes > most)
            throw Refusal(Refusal::SHARED_MEMORY, name + " is launched with " + std::to_string(shared_bytes) +
                                                      " bytes of shared memory, of which it may have " +
                                                      std::to_string(most) +
                                                      ": cudaFuncSetAttribute has not asked for more");
    }

    std::mutex mutex;
    Memory memory;
    std::map<std::string, const Program*> programs;
    std::map<std::string, uint64_t> opted_in;
    bool ignore_opt_in = false;
    Fibers fibers{MOST_THREADS};
    uint32_t next = 1;  // number of the next block
};

inline Machine& machine() {
    static Machine one;
    return one;
}

}  // namespace ptx
