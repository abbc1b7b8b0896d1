// A GPU's warp on a CPU: 32 threads in one pack, warps of a block as threads of the host with a barrier between them.
// It offers what csrc/cuda/device.hpp does, so that the kernels' own bodies run here, at their true width, under the
// sanitizers: a warp that reads what another has not yet written is a race between two threads of the host.
//
// With RESMC_FIBERS one thread runs all warps of a block in turn, each from one barrier to the next: the same numbers,
// and no waiting for the host's scheduler at every barrier, which takes minutes where other programs run as well.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <vector>
#ifdef RESMC_FIBERS
#include <ucontext.h>
#else
#include <barrier>
#include <thread>
#endif

#ifdef __AVX512F__
#define RESMC_REGISTERS 2
#elif defined(__AVX2__)
#define RESMC_REGISTERS 4
#else
#define RESMC_REGISTERS 8
#endif
#include "../../csrc/cpu/pack.hpp"
#include "../../csrc/cuda/arguments.hpp"
#include "planted.hpp"

RESMC_NAMESPACE_BEGIN

static_assert(LANES == WARP, "a pack is a warp");

RESMC_FN uint32_t slot_of(const Word& x, uint32_t lane) { return x.v[lane / REGISTER_LANES][lane % REGISTER_LANES]; }
RESMC_FN float slot_of(const Real& x, uint32_t lane) { return x.v[lane / REGISTER_LANES][lane % REGISTER_LANES]; }
RESMC_FN void set_slot(Word& x, uint32_t lane, uint32_t to) { x.v[lane / REGISTER_LANES][lane % REGISTER_LANES] = to; }
RESMC_FN void set_slot(Real& x, uint32_t lane, float to) { x.v[lane / REGISTER_LANES][lane % REGISTER_LANES] = to; }

RESMC_FN Word operator~(const Word& a) { return a ^ 0xFFFFFFFFu; }
RESMC_FN Word times(const Word& a, uint32_t b) {
    Word c(0u);
    for (uint32_t i = 0; i < WARP; ++i) set_slot(c, i, slot_of(a, i) * b);
    return c;
}
RESMC_FN Word divided(const Word& a, uint32_t b) {
    Word c(0u);
    for (uint32_t i = 0; i < WARP; ++i) set_slot(c, i, slot_of(a, i) / b);
    return c;
}
RESMC_FN Real gather(const float* from, const Word& at) {
    Real x(0.0f);
    for (uint32_t i = 0; i < WARP; ++i) set_slot(x, i, from[slot_of(at, i)]);
    return x;
}

#ifdef RESMC_FIBERS
class Fibers {  // the warps of a block, and its barrier
   public:
    explicit Fibers(uint32_t warps) : fibers(warps) {}

    void arrive_and_wait() { leave(number + 1 == fibers.size() ? 0 : number + 1); }

    // Every warp passes the same barriers, so when the first has ended, all others are behind the last one: they end in
    // turn, and the last one returns to the caller.
    void run(const std::function<void(uint32_t)>& of_warp) {
        work = &of_warp;
        running = this;
        for (Fiber& fiber : fibers) {
            fiber.ended = false;
            getcontext(&fiber.context);
            fiber.context.uc_stack.ss_sp = fiber.stack.get();
            fiber.context.uc_stack.ss_size = STACK;
            fiber.context.uc_link = &fiber == &fibers.back() ? &caller : &(&fiber + 1)->context;
            makecontext(&fiber.context, enter, 0);
        }
        number = 0;
        swapcontext(&caller, &fibers[0].context);
        for (const Fiber& fiber : fibers) check(fiber.ended);
    }

   private:
    static constexpr size_t STACK = 1 << 20;
    struct Fiber {
        ucontext_t context;
        std::unique_ptr<char[]> stack{new char[STACK]};
        bool ended = false;
    };

    static void check(bool alike) {
        if (alike) return;
        std::fputs("warps of a block have passed different numbers of barriers\n", stderr);
        std::abort();
    }

    static void enter() {
        Fibers& block = *running;
        (*block.work)(block.number);
        block.fibers[block.number].ended = true;
        ++block.number;  // that of the one behind uc_link
        check(block.number == block.fibers.size() || !block.fibers[block.number].ended);
    }
    void leave(uint32_t to) {
        const uint32_t from = number;
        number = to;
        check(!fibers[to].ended);
        if (from != to) swapcontext(&fibers[from].context, &fibers[to].context);
    }

    static inline thread_local Fibers* running = nullptr;
    const std::function<void(uint32_t)>* work = nullptr;
    std::vector<Fiber> fibers;
    ucontext_t caller;
    uint32_t number = 0;
};
using Barrier = Fibers;
#else
using Barrier = std::barrier<>;
#endif

struct Warp {
    float* shared;
    uint32_t block_number, threads_of_block, number;
    Barrier* barrier;
    size_t shared_floats;
    mutable uint32_t barriers = 0;  // passed so far: counted where one is left out

    uint32_t block() const { return block_number; }
    uint32_t block_threads() const { return threads_of_block; }
    uint32_t index() const { return number; }
    Word lane() const { return counting_from(0); }
    Word lane_is_0() const { return select_zero(lane(), Word(1u), Word(0u)); }
    void sync() const {}
    void sync_block() const {
        if (planted::race && ++barriers == 2) return;
        barrier->arrive_and_wait();
    }
    Word same_but_unknown(const Word& x) const { return x; }

    template <class T>
    T shuffle_xor(const T& x, uint32_t mask) const {
        T y = x;
        for (uint32_t i = 0; i < WARP; ++i) set_slot(y, i, slot_of(x, i ^ mask));
        return y;
    }
    Real load(const float* from, const Word& offset) const { return gather(from, offset); }
    void load(const float* from, const Word& offset, Real (&x)[4]) const {
        for (uint32_t i = 0; i < WARP; ++i)
            for (uint32_t k = 0; k < 4; ++k) set_slot(x[k], i, from[slot_of(offset, i) + k]);
    }
    void store(float* to, const Word& offset, const Real (&x)[4]) const { store_if(Word(1u), to, offset, x); }
    void store_once(float* to, const Real (&x)[4]) const { store_if(lane_is_0(), to, Word(0u), x); }
    void store_if(const Word& condition, float* to, const Word& offset, const Real (&x)[4]) const {
        for (uint32_t i = 0; i < WARP; ++i)
            for (uint32_t k = 0; k < 4; ++k)
                if (slot_of(condition, i) != 0) to[slot_of(offset, i) + k] = slot_of(x[k], i);
    }
    template <class T, class U>
    void store_if(const Word& condition, T* to, const Word& row, uint64_t stride, const Word& column,
                  const U& x) const {
        for (uint32_t i = 0; i < WARP; ++i)
            if (slot_of(condition, i) != 0) to[slot_of(row, i) * stride + slot_of(column, i)] = slot_of(x, i);
    }
    void count(int64_t* at) const { __atomic_fetch_add(at, 1, __ATOMIC_RELAXED); }
    template <class Body>
    void each_lane(Body body) const {
        for (uint32_t i = 0; i < WARP; ++i) body(WARP * number + i);
    }
    // The host's memory changes at any time, the block's own never while it is read: to that the thread sanitizer sees.
    bool is_shared(const uint32_t* at) const {
        const auto start = reinterpret_cast<uintptr_t>(shared), address = reinterpret_cast<uintptr_t>(at);
        return address >= start && address < start + shared_floats * sizeof(float);
    }
    static inline uint64_t looks = 0;  // by any warp at the host's memory, which on a GPU takes a microsecond each
    uint32_t look(const uint32_t* at) const {
        if (!is_shared(at)) {
            __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED);
            return __atomic_load_n(at, __ATOMIC_RELAXED);
        }
        uint32_t seen;
        std::memcpy(&seen, at, sizeof seen);
        return seen;
    }
    void tell(uint32_t* at, uint32_t x) const {
        if (is_shared(at))
            std::memcpy(at, &x, sizeof x);
        else
            __atomic_store_n(at, x, __ATOMIC_RELAXED);
    }
};

// kernel<<<blocks, threads, shared_floats>>>: one block after another. Each finds its shared memory full of NaN.
template <class Kernel>
void launch(uint32_t blocks, uint32_t threads, size_t shared_floats, Kernel kernel) {
    const uint32_t warps = threads / WARP;
    std::vector<float> shared(shared_floats);
    Barrier barrier(warps);
    auto work = [&](uint32_t number) {
        for (uint32_t block = 0; block < blocks; ++block) {
            if (number == 0) shared.assign(shared_floats, std::numeric_limits<float>::quiet_NaN());
            barrier.arrive_and_wait();
            Warp warp{shared.data(), block, threads, number, &barrier, shared_floats};
            kernel(warp);
            barrier.arrive_and_wait();
        }
    };
#ifdef RESMC_FIBERS
    barrier.run(work);
#else
    std::vector<std::thread> others;
    for (uint32_t number = 1; number < warps; ++number) others.emplace_back(work, number);
    work(0);
    for (std::thread& thread : others) thread.join();
#endif
}

RESMC_NAMESPACE_END
