// Memory for the kernels.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

namespace resmc {

struct Free {
    void operator()(void* p) const { std::free(p); }
};

// Memory aligned for any register, zeroed unless that would only cost time.
template <class T>
std::unique_ptr<T[], Free> aligned_array(size_t n, bool zeroed = true) {
    const size_t bytes = std::max<size_t>((n * sizeof(T) + 63) / 64 * 64, 64);
    void* const p = std::aligned_alloc(64, bytes);
    if (p == nullptr) throw std::bad_alloc();
    if (zeroed) std::fill_n(static_cast<char*>(p), bytes, 0);
    return std::unique_ptr<T[], Free>(static_cast<T*>(p));
}

}  // namespace resmc
