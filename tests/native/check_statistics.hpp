// Statistics and raw values from records that are made up, against a direct computation in long double.
#pragma once

#include <array>
#include <cmath>
#include <random>

#include "checks.hpp"

namespace resmc {

inline bool near(long double a, long double b, long double scale) { return std::fabs(a - b) <= 1e-10L * scale; }

// Networks of any size, with inactive and dead ones; those that are not wanted look like the others.
inline Records made_up(uint32_t columns, uint32_t slots, uint32_t width, bool die, std::mt19937_64& random) {
    Records records(size_t{slots} * columns, 0);
    for (size_t at = 0; at < size_t{slots} * columns; ++at) {
        const auto dice = [&](uint64_t n) { return random() % n; };
        const uint32_t slot = static_cast<uint32_t>(at / columns);
        const bool dead = die && slot > 0 && dice(5) == 0;
        records.square[at] = dead ? 0.0f : std::ldexp(1.0f + 1e-6f * static_cast<float>(dice(1000000)), dice(4) - 1);
        records.active[at] = dead || dice(6) == 0 ? 0 : 1 + static_cast<uint32_t>(dice(width));
        records.active_square[at] = records.active[at] == 0 ? 0.0f : records.square[at] * 0.1f * (1.0f + dice(9));
        records.exponent[at] = static_cast<uint32_t>(static_cast<int32_t>(dice(1 + 400 * slot)) - 200 * int(slot));
    }
    return records;
}

struct Chunk {
    uint64_t first;
    uint32_t columns, begin, end;
};

inline void check_folds(uint32_t batch, bool die, uint32_t slots, const std::vector<Chunk>& chunks) {
    constexpr uint32_t width = 40, bins = 50;
    current = text("statistics: batch %u, first %llu, %u columns, %u slots, %s", batch,
                   static_cast<unsigned long long>(chunks[0].first), chunks[0].columns, slots, die ? "some die" : "");
    std::mt19937_64 random(batch + slots);
    std::vector<NormSums> groups(size_t{GROUPS} * slots, NormSums{});
    std::vector<ActivitySums> activity(groups.size(), ActivitySums{});
    std::vector<int64_t> histogram(size_t{GROUPS} * (bins + 2), 0), counts = histogram;
    struct One {
        long double log_norm, change, growth;
        double asymmetry;
        uint32_t active;
    };
    std::vector<std::vector<One>> members(groups.size());
    for (const Chunk& c : chunks) {
        Records records = made_up(c.columns, slots, width, die, random);
        const size_t size = size_t{slots} * c.columns;
        auto asymmetry = poisoned<double>(size), alive = poisoned<double>(die ? size : 0);
        auto batches = poisoned<NormSums>(size / batch);
        auto activity_batches = poisoned<ActivitySums>(size / batch);
        ReduceArguments a{width,
                          std::log(double{width}),
                          c.first,
                          c.columns,
                          c.begin,
                          c.end,
                          batch,
                          slots,
                          records.pointers(),
                          records.square.data(),
                          records.exponent.data(),
                          1.5,
                          -40.0,
                          bins,
                          asymmetry.data(),
                          nullptr,
                          batches.data(),
                          groups.data(),
                          activity_batches.data(),
                          activity.data(),
                          histogram.data()};
        if (die) a.alive = alive.data();
        kernels.reduce(a, 0, 0);
        kernels.fold(a, 0, 0);
        for (size_t at = 0; at < size; ++at) {
            const uint32_t slot = static_cast<uint32_t>(at / c.columns), column = static_cast<uint32_t>(at % c.columns);
            const bool seen = column >= c.begin && column < c.end && records.square[at] > 0.0f;
            const float square = records.square[at], doubled = records.active_square[at] + records.active_square[at];
            const double of_one = seen ? doubled / square - 1.0f : 0.0f;
            const size_t there = (size_t{column / batch} * slots + slot) * batch + column % batch;
            expect(asymmetry[there] == of_one, "asymmetry", slot, column);
            if (die) expect(alive[there] == (seen ? 1.0 : 0.0), "alive", slot, column);
            if (!seen) continue;
            const int32_t exponent = static_cast<int32_t>(records.exponent[at]);
            const double l = emulated::log_norm(square, exponent, a.log_width);
            const double l0 =
                emulated::log_norm(records.square[column], static_cast<int32_t>(records.exponent[column]), a.log_width);
            const long double direct = std::log(static_cast<long double>(square)) + 2.0L * exponent * std::log(2.0L);
            expect(std::fabs(l + std::log(double{width}) - direct) < 1e-7L, "log_norm", slot, column);
            const uint64_t group = (c.first + column) / batch % GROUPS;
            const long double growth = std::ldexp(static_cast<long double>(square) / records.square[column],
                                                  2 * (exponent - static_cast<int32_t>(records.exponent[column])));
            members[group * slots + slot].push_back({l, l - l0, growth, of_one, records.active[at]});
            const double bin = (l - a.bin_low) / a.bin_width;
            const uint32_t b = bin < 0.0 ? 0 : bin >= bins ? bins + 1 : 1 + static_cast<uint32_t>(bin);
            counts[group * (bins + 2) + b] += slot + 1 == slots;
        }
        networks_compared += c.end - c.begin;
    }
    expect(histogram == counts, "histogram");
    for (size_t i = 0; i < groups.size(); ++i) {
        const NormSums& sums = groups[i];
        const ActivitySums& firing = activity[i];
        const std::vector<One>& of = members[i];
        const size_t slot = i % slots, group = i / slots;
        long double mean = 0, mean_change = 0, asymmetry = 0, asymmetry_square = 0, spread = 0, growth = 0, growth2 = 0,
                    from_half = 0;
        int64_t inactive = 0, active = 0;
        for (const One& one : of) {
            mean += one.log_norm / of.size();
            mean_change += one.change / of.size();
            growth += one.growth;
            growth2 += one.growth * one.growth;
            asymmetry += one.asymmetry;
            asymmetry_square += one.asymmetry * one.asymmetry;
            inactive += one.active == 0;
            active += one.active;
            from_half += (one.active - 0.5L * width) * (one.active - 0.5L * width);
        }
        expect(sums.alive == static_cast<int64_t>(of.size()) && firing.inactive == inactive && firing.active == active,
               "integers", slot, group);
        long double powers[5] = {}, scale[5] = {}, change2 = 0;
        for (const One& one : of) {
            const long double d = one.log_norm - mean;
            for (int k = 2; k <= 4; ++k) powers[k] += std::pow(d, k);
            for (int k = 2; k <= 4; ++k) scale[k] += std::pow(std::fabs(d) + 1.0L, k);
            change2 += (one.change - mean_change) * (one.change - mean_change);
            spread += (std::fabs(one.change - mean_change) + 1.0L) * (std::fabs(one.change - mean_change) + 1.0L);
        }
        const int unit = static_cast<int>(sums.growth_exponent);
        expect(near(sums.log_norm[0], mean, 1.0L + std::fabs(mean)) &&
                   near(sums.growth_log[0], mean_change, 1.0L + std::fabs(mean_change)),
               "means", slot, group);
        for (int k = 2; k <= 4; ++k) expect(near(sums.log_norm[k - 1], powers[k], scale[k]), "powers", slot, group);
        expect(near(sums.growth_log[1], change2, spread), "growth_log", slot, group);
        expect(near(std::ldexp(static_cast<long double>(sums.growth[0]), unit), growth, growth), "W", slot, group);
        expect(near(std::ldexp(static_cast<long double>(sums.growth[1]), 2 * unit), growth2, growth2), "W^2", slot,
               group);
        expect(near(firing.asymmetry, asymmetry, 1.0L + of.size()), "A", slot, group);
        expect(near(firing.asymmetry_square, asymmetry_square, asymmetry_square), "A^2", slot, group);
        expect(near(firing.active_square, from_half, from_half), "active_square", slot, group);
    }
    ++launches_compared;
}

inline void check_raw(uint32_t begin, uint32_t samples, uint32_t paths) {
    constexpr uint32_t columns = 384, slots = 3;
    current = text("raw: from %u, %u samples, %u paths", begin, samples, paths);
    std::mt19937_64 random(begin + samples);
    Records records = made_up(columns, slots, 40, true, random);
    auto sample_log_norm = poisoned<double>(samples), path_log_norm = poisoned<double>(size_t{paths} * slots);
    auto sample_exponent = poisoned<int32_t>(samples);
    auto path_asymmetry = poisoned<float>(size_t{paths} * slots);
    kernels.raw({std::log(40.0), columns, begin, slots, records.pointers(), samples, paths, sample_log_norm.data(),
                 sample_exponent.data(), path_log_norm.data(), path_asymmetry.data()},
                0, 0);
    const auto right = [&](size_t at, double log_norm) {
        const double exponent = static_cast<int32_t>(records.exponent[at]);
        const double direct = std::log(records.square[at] / 40.0) + 2.0 * std::log(2.0) * exponent;
        return records.square[at] > 0.0f ? std::fabs(log_norm - direct) < 1e-7 : log_norm == direct;
    };
    for (uint32_t i = 0; i < samples; ++i) {
        const size_t at = size_t{slots - 1} * columns + begin + i;
        expect(right(at, sample_log_norm[i]), "a sample", i);
        expect(sample_exponent[i] == static_cast<int32_t>(records.exponent[at]), "a sample's exponent", i);
    }
    for (uint32_t i = 0; i < paths * slots; ++i) {
        const size_t at = size_t{i % slots} * columns + begin + i / slots;
        const double a = 2.0 * records.active_square[at] / records.square[at] - 1.0, path = path_asymmetry[i];
        expect(right(at, path_log_norm[i]), "a path", i);
        expect(records.square[at] > 0.0f ? std::fabs(path - a) < 1e-6 : std::isnan(path), "a path's asymmetry", i);
    }
    ++launches_compared;
}

inline void check_statistics() {
    for (const bool die : {false, true}) {
        check_folds(1, die, 1, {{32 * 5, 64, 3, 61}, {32 * 7, 64, 0, 64}});
        check_folds(16, die, 3, {{32 * 5, 96, 3, 90}, {32 * 8, 96, 0, 96}});
        check_folds(64, die, 3, {{64 * 31, 192, 70, 71}, {64 * 34, 192, 0, 192}});
        check_folds(4096, die, 2, {{4096 * 29, 4096 * 2, 100, 8100}, {(1ull << 32) - 4096, 4096, 0, 4096}});
    }
    for (const auto& [begin, samples, paths] : {std::array{0u, 5u, 2u}, {37u, 0u, 130u}, {128u, 256u, 0u}})
        check_raw(begin, samples, paths);
}

}  // namespace resmc
