// What the checks of the emulated kernels share: the current case, buffers that are poisoned, counts.
#pragma once

#include "emulated_kernels.hpp"
//
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "scalar_networks.hpp"

namespace resmc {

inline const Kernels& kernels = emulated_kernels();
constexpr uint64_t SEED = 0x9E3779B97F4A7C15u;
inline std::string current;  // the case
inline uint64_t networks_compared = 0, launches_compared = 0;

inline std::string text(const char* format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return line;
}

inline void expect(bool holds, const char* what, uint64_t layer = 0, uint64_t column = 0) {
    if (holds) return;
    std::printf("FAILED: %s (layer or slot %llu, column %llu)\n  %s\n", what, static_cast<unsigned long long>(layer),
                static_cast<unsigned long long>(column), current.c_str());
    std::exit(1);
}

template <class T>
std::vector<T> poisoned(size_t n) {
    std::vector<T> x(n);
    if (n != 0) std::memset(x.data(), 0xA5, n * sizeof(T));
    return x;
}

template <class T>
bool is_poison(const T& x) {
    T poison;
    std::memset(&poison, 0xA5, sizeof poison);
    return std::memcmp(&x, &poison, sizeof x) == 0;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Of a chunk, by layer slot and column.
struct Records {
    std::vector<float> square, active_square, output;
    std::vector<uint32_t> exponent, active;

    Records(size_t size, size_t outputs)
        : square(poisoned<float>(size)),
          active_square(poisoned<float>(size)),
          output(poisoned<float>(outputs)),
          exponent(poisoned<uint32_t>(size)),
          active(poisoned<uint32_t>(size)) {}
    ChunkRecords pointers() {
        return {square.data(), active_square.data(), exponent.data(), active.data(), output.data()};
    }
    bool equal(const Records& other) const {
        return same_bits(square, other.square) && same_bits(active_square, other.active_square) &&
               same_bits(output, other.output) && same_bits(exponent, other.exponent) &&
               same_bits(active, other.active);
    }
};

}  // namespace resmc
