// Functions of one thread of the host that stop in their middle and go on later: a fiber for each thread of a block.
#pragma once

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <new>
#include <vector>

namespace ptx {

// A pool: fiber i, once made, serves one block after another. ucontext gives it a stack; from then on setjmp changes
// between stacks, as swapcontext would ask the system for its mask of signals every time.
class Fibers {
   public:
    explicit Fibers(uint32_t most) : fibers(most) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        void* const stacks =
            mmap(nullptr, most * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED) throw std::bad_alloc();
        for (uint32_t i = 0; i < most; ++i) {
            fibers[i].stack = static_cast<char*>(stacks) + i * STACK;
            mprotect(fibers[i].stack, page, PROT_NONE);  // a stack that is too small ends the process at once
        }
    }
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    // Runs job(i) in fiber i from its beginning, or from where it has left; true when it has ended. The job throws
    // nothing.
    bool resume(uint32_t i, const std::function<void(uint32_t)>& job_) {
        job = &job_;
        current = i;
        if (_setjmp(caller) == 0) {
            if (fibers[i].made) _longjmp(fibers[i].here, 1);
            make(fibers[i]);
        }
        return fibers[i].idle;
    }

    // From within a fiber: back to whoever resumed it.
    void leave() {
        if (_setjmp(fibers[current].here) == 0) _longjmp(caller, 1);
    }

    // All fibers begin anew; what those have on their stacks that are in the middle is forgotten, undestroyed.
    void abandon() {
        for (Fiber& fiber : fibers)
            if (!fiber.idle) fiber.made = false, fiber.idle = true;
    }

   private:
    static constexpr size_t STACK = 512 << 10;
    struct Fiber {
        char* stack = nullptr;
        bool made = false, idle = true;
        jmp_buf here;
    };

    void make(Fiber& fiber) {
        fiber.made = true;
        making = this;
        ucontext_t context;
        getcontext(&context);
        context.uc_stack.ss_sp = fiber.stack;
        context.uc_stack.ss_size = STACK;
        context.uc_link = nullptr;
        makecontext(&context, enter, 0);
        setcontext(&context);
    }
    static void enter() {
        Fibers& pool = *making;
        for (;;) {
            const uint32_t i = pool.current;
            pool.fibers[i].idle = false;
            (*pool.job)(i);
            pool.fibers[i].idle = true;
            pool.leave();
        }
    }

    static inline thread_local Fibers* making = nullptr;
    std::vector<Fiber> fibers;
    const std::function<void(uint32_t)>* job = nullptr;
    uint32_t current = 0;
    jmp_buf caller;
};

}  // namespace ptx
