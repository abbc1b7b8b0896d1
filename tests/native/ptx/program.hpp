// What a kernel that translate.py has made of PTX is written in: the thread that runs it, and the instructions that no
// operator of C++ says. Sections are those of NVIDIA's "PTX ISA". Included by the translation and by the machine.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace ptx {

// State spaces. A generic address is one of global memory, or of another space's window.
enum class Space { PARAM, SHARED, GLOBAL, GENERIC };
constexpr uint64_t SHARED_WINDOW = 0x0100000000000000u, PARAM_WINDOW = 0x0200000000000000u, WINDOW_BYTES = 1u << 24;

// How lanes choose whom they read from.
enum class Shuffle { IDX, BFLY, UP, DOWN };

// An instruction that can fail, by its index in the program: where it stands, and its text.
struct Site {
    uint32_t line;
    const char* text;
};

// One thread of a launch, as the program sees it. Virtual, so that a program is linked to nothing. What is against the
// rules ends the launch by an exception.
class Thread {
   public:
    uint32_t tid = 0, ctaid = 0, ntid = 0, nctaid = 0;

    // Where the bytes of an address are on the host, if the thread may use them now.
    virtual const char* read(Space space, uint64_t address, uint32_t bytes, uint32_t site) = 0;
    virtual char* write(Space space, uint64_t address, uint32_t bytes, uint32_t site) = 0;
    virtual char* atomic(Space space, uint64_t address, uint32_t bytes, uint32_t site) = 0;
    virtual void barrier(uint32_t site) = 0;
    virtual void warp_barrier(uint32_t mask, uint32_t site) = 0;
    // Another lane's x; whether there is such a lane within the segment.
    virtual bool shuffle(Shuffle kind, uint32_t& x, uint32_t b, uint32_t c, uint32_t mask, uint32_t site) = 0;
    virtual float rsqrt_approx(float x) = 0;
    [[noreturn]] virtual void fail(const char* why, uint32_t site) = 0;

   protected:
    ~Thread() = default;
};

struct Parameter {
    uint32_t offset, bytes;
};

struct Program {
    const char* name;
    const char* file;
    void (*run)(Thread&);
    uint32_t most_threads;  // of a block, by .maxntid; 0: it has none
    uint32_t shared_bytes;  // of its own, before those of the launch
    uint32_t parameter_bytes, n_parameters;
    const Parameter* parameters;
    const Site* sites;
};

// Numbers and their bits.
inline float as_float(uint32_t x) { return std::bit_cast<float>(x); }
inline double as_double(uint64_t x) { return std::bit_cast<double>(x); }
inline uint32_t as_bits(float x) { return std::bit_cast<uint32_t>(x); }
inline uint64_t as_bits(double x) { return std::bit_cast<uint64_t>(x); }

template <class T>
inline T get(const char* from) {
    T x;
    std::memcpy(&x, from, sizeof x);
    return x;
}
template <class T>
inline void put(char* to, T x) {
    std::memcpy(to, &x, sizeof x);
}

// 9.7.8: amounts above the width are clamped to it.
template <class T>
inline T shift_left(T x, uint32_t n) {
    return n >= 8 * sizeof(T) ? T(0) : static_cast<T>(x << n);
}
template <class T>
inline T shift_right(T x, uint32_t n) {
    if (n >= 8 * sizeof(T)) return x < T(0) ? static_cast<T>(-1) : T(0);
    return static_cast<T>(x >> n);
}

// 9.7.1: the lowest `n` bits of x in the place of those of y from bit `at` on, as far as y reaches; both are bytes.
template <class T>
inline T insert_bits(T x, T y, uint32_t at, uint32_t n) {
    const T ones = static_cast<T>(shift_left(T(1), n & 0xFFu) - T(1)), place = shift_left(ones, at & 0xFFu);
    return static_cast<T>((shift_left(x, at & 0xFFu) & place) | (y & ~place));
}

// 9.7.1, 9.7.3: of a number and NaN the number; +0 is above -0.
template <class T>
inline T minimum(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
        if (x != x) return y;
        if (x == y) return std::signbit(x) ? x : y;
    }
    return y < x ? y : x;
}
template <class T>
inline T maximum(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
        if (x != x) return y;
        if (x == y) return std::signbit(x) ? y : x;
    }
    return y > x ? y : x;
}

// 9.7.9, cvt.rzi: what does not fit is clamped; NaN is 0, or from or to 64 bits the highest bit alone.
template <class To, class From>
inline To to_integer(From x) {
    constexpr auto least = std::numeric_limits<To>::min(), most = std::numeric_limits<To>::max();
    if (x != x) {
        if (sizeof(To) < 8 && sizeof(From) < 8) return 0;
        return std::is_signed_v<To> ? least : static_cast<To>(most / 2 + 1);
    }
    if (x <= static_cast<From>(least)) return least;
    if (x >= static_cast<From>(most)) return most;
    return static_cast<To>(x);
}

// 9.7.1: dividing by zero gives anything, so no kernel may; the least number by -1 wraps.
template <class T>
inline T divide(Thread& t, T x, T y, uint32_t site) {
    if (y == 0) t.fail("divides by zero", site);
    if (std::is_signed_v<T> && y == static_cast<T>(-1)) return static_cast<T>(-x);
    return static_cast<T>(x / y);
}
template <class T>
inline T remainder(Thread& t, T x, T y, uint32_t site) {
    if (y == 0) t.fail("divides by zero", site);
    if (std::is_signed_v<T> && y == static_cast<T>(-1)) return 0;
    return static_cast<T>(x % y);
}

}  // namespace ptx
