// The interpreter's lock, for code that computes without it. While the interpreter goes away, Python ends every thread
// but the main one as soon as it asks for the lock: by pthread_exit, which unwinds the stack as an exception does that
// nobody may catch. In a destructor that is std::terminate, and so it is where a thread of ours is still to be joined.
// Such a thread therefore waits here for the end of the process, as all do from Python 3.14 on.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace resmc {

// What `call` returns. If Python ends the thread in there, `ending` is called, and nothing returns.
template <class Call, class Ending>
auto unless_ended(const Call& call, const Ending& ending) {
#ifdef __GLIBCXX__
    try {
        return call();
    } catch (abi::__forced_unwind&) {  // to leave this block would be to go on unwinding
        ending();
        for (;;) pause();
    }
#else
    return call();
#endif
}

// Holds the lock released for as long as it lives, but where a `Taken` lives within.
class Released {
   public:
    Released() : state_(PyEval_SaveThread()) {}
    ~Released() {
        unless_ended([this] { PyEval_RestoreThread(state_); }, [] {});
    }
    Released(const Released&) = delete;
    Released& operator=(const Released&) = delete;

   private:
    friend class Taken;
    PyThreadState* state_;
};

// Holds the lock for as long as it lives.
class Taken {
   public:
    template <class Ending>
    Taken(Released& released, const Ending& ending) : released_(released) {
        unless_ended([this] { PyEval_RestoreThread(released_.state_); }, ending);
    }
    ~Taken() { released_.state_ = PyEval_SaveThread(); }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;

   private:
    Released& released_;
};

}  // namespace resmc
