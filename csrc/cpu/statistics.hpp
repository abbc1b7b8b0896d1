// Statistics of a batch and of the groups: how many numbers they are, and how one is added to the other, on the host.
#pragma once

#include <vector>

#include "../include/resmc/layer_sums.hpp"
#include "backend.hpp"

namespace resmc {

inline size_t packed(size_t n) { return n * (n + 1) / 2; }

// Entries of one group or batch besides what each layer has.
struct Sizes {
    size_t products, partial, histogram;
    explicit Sizes(const Recording& recording)
        : products(recording.correlations ? packed(recording.n_layers) : 0),
          partial(recording.deaths_possible ? products : 0),
          histogram(static_cast<size_t>(recording.n_bins) + 2) {}
};

template <class T>
T* from(T* array, size_t offset) {
    return array == nullptr ? nullptr : array + offset;
}

inline Statistics group_of(const Recording& recording, const Statistics& s, size_t group) {
    const Sizes sizes(recording);
    return {from(s.norms, group * recording.n_layers),      from(s.activity, group * recording.n_layers),
            from(s.products, group * sizes.products),       from(s.partial_sums, group * sizes.partial),
            from(s.partial_squares, group * sizes.partial), from(s.histogram, group * sizes.histogram)};
}

// Adds counts, most of which are 0: a group's memory to which zeros alone would be added is not touched, and so takes
// no page where nobody has written yet.
inline void add_counts(int64_t* to, const int64_t* more, size_t size) {
    constexpr size_t BLOCK = 64;
    for (size_t begin = 0; begin < size; begin += BLOCK) {
        const size_t end = begin + BLOCK < size ? begin + BLOCK : size;
        int64_t any = 0;
        for (size_t i = begin; i < end; ++i) any |= more[i];
        for (size_t i = begin; any != 0 && i < end; ++i) to[i] += more[i];
    }
}

// Columns first .. last - 1 of a histogram hold all counts of its bins; `bits` has every bit that one of these has.
struct Occupied {
    size_t first = 0, last = 0;
    int64_t bits = 0;
};

// Of rows of underflow, `bins` counts and overflow, whose counts of bins add up to `total`: where all are in the middle
// quarter, as of most laws, the megabytes beside it are not looked through.
inline Occupied occupied_bins(const int64_t* rows, size_t n_rows, size_t bins, int64_t total) {
    std::vector<int64_t> sums;
    Occupied found;
    for (const size_t margin : {bins / 8 * 3, size_t{0}}) {
        const size_t width = bins - 2 * margin;
        sums.assign(width, 0);
        int64_t bits = 0, all = 0;
        for (size_t r = 0; r < n_rows; ++r) {
            const int64_t* const row = rows + r * (bins + 2) + 1 + margin;
            for (size_t i = 0; i < width; ++i) {
                sums[i] += row[i];
                bits |= row[i];
            }
        }
        for (const int64_t sum : sums) all += sum;
        if (all != total && margin > 0) continue;
        size_t first = 0, last = width;
        while (first < width && sums[first] == 0) ++first;
        while (last > first && sums[last - 1] == 0) --last;
        if (first < last) found = {margin + first, margin + last, bits};
        break;
    }
    return found;
}

// Adds the statistics of a batch to those of its group.
inline void fold_statistics(const Recording& recording, const Statistics& batch, const Statistics& group) {
    const Sizes sizes(recording);
    for (size_t i = 0; i < recording.n_layers; ++i) host::fold(group.norms[i], batch.norms[i]);
    for (size_t i = 0; group.activity != nullptr && i < recording.n_layers; ++i)
        host::fold(group.activity[i], batch.activity[i]);
    const auto add = [](auto* to, const auto* more, size_t size) {
        for (size_t i = 0; to != nullptr && i < size; ++i) to[i] += more[i];
    };
    add(group.products, batch.products, sizes.products);
    add(group.partial_sums, batch.partial_sums, sizes.partial);
    add(group.partial_squares, batch.partial_squares, sizes.partial);
    if (group.histogram != nullptr) add_counts(group.histogram, batch.histogram, sizes.histogram);
}

}  // namespace resmc
