// Moments about the mean that merge, and sums in units of a power of two: what every device folds into statistics.
#pragma once

#include "target.hpp"

RESMC_NAMESPACE_BEGIN

// n, mean, and sums of the 2nd, 3rd, 4th powers of the distance from the mean.
struct Moments {
    double n, mean, m2, m3, m4;
};

// The moments of two sets together (Chan, Golub, LeVeque 1983 for m2; Pebay 2008 for m3 and m4).
RESMC_FN Moments merged(const Moments& a, const Moments& b) {
    if (a.n == 0.0) return b;
    if (b.n == 0.0) return a;
    const double n = a.n + b.n, d = b.mean - a.mean, dn = d / n, cross = d * dn * a.n * b.n;
    Moments m;
    m.n = n;
    m.mean = a.mean + dn * b.n;
    m.m2 = a.m2 + b.m2 + cross;
    m.m3 = a.m3 + b.m3 + cross * dn * (a.n - b.n) + 3.0 * dn * (a.n * b.m2 - b.n * a.m2);
    m.m4 = a.m4 + b.m4 + cross * dn * dn * (a.n * a.n - a.n * b.n + b.n * b.n) +
           6.0 * dn * dn * (a.n * a.n * b.m2 + b.n * b.n * a.m2) + 4.0 * dn * (a.n * b.m3 - b.n * a.m3);
    return m;
}

// 2^e for e <= 1023; 0 where that is below the smallest normal number.
RESMC_FN double power_of_two(int64_t e) {
    const uint64_t bits = e < -1022 ? 0 : static_cast<uint64_t>(e + 1023) << 52;
    double x;
    __builtin_memcpy(&x, &bits, 8);
    return x;
}

// Sums of positive numbers W and of W^2 that no double could hold: W in units of 2^unit, W^2 of 2^(2 unit).
struct ScaledSums {
    double sum, sum2;
    int64_t unit;
};

// The same sums in units of at least 2^unit.
RESMC_FN ScaledSums in_units(const ScaledSums& a, int64_t unit) {
    if (a.sum == 0.0) return {0.0, 0.0, unit};
    if (a.unit >= unit) return a;
    return {a.sum * power_of_two(a.unit - unit), a.sum2 * power_of_two(2 * (a.unit - unit)), unit};
}

RESMC_FN ScaledSums added(const ScaledSums& a, const ScaledSums& b) {
    if (b.sum == 0.0) return a;
    const ScaledSums x = in_units(a, b.unit), y = in_units(b, x.unit);
    return {x.sum + y.sum, x.sum2 + y.sum2, x.unit};
}

RESMC_NAMESPACE_END
