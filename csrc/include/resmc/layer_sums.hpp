// What a set of networks leaves of one recorded layer, and how two sets fold into one: the same on every device, in
// Python (resmc/engine/sums.py) and in files.
#pragma once

#include "moments.hpp"

namespace resmc {

constexpr int GROUPS = 32;  // network i belongs to group (i div batch) mod 32

// Of |v_l|^2 over the networks where it is not 0, v being h or what else is followed. Moments are about the mean: mean,
// and sums of powers of the distance from it.
struct NormSums {
    int64_t alive;            // networks
    int64_t startless;        // networks, dead or alive, whose start is 0: nothing grows from there
    int64_t startless_alive;  // of these, those that are alive: in log_norm, but in neither growth
    int64_t growth_exponent;  // e
    double log_norm[4];       // of L_l = ln(|v_l|^2/n): mean, powers 2 to 4
    double growth_log[2];     // of L_l less where growth is measured from: mean, power 2
    double growth[2];         // sums of W = |v_l|^2/|start|^2 and W^2, in units of 2^e and 2^(2 e)
};

// Of the neurons that fire, over the networks alive at the layer.
struct ActivitySums {
    int64_t inactive;         // networks without an active neuron
    int64_t active;           // sum of active counts
    double asymmetry;         // sum of A_l
    double asymmetry_square;  // sum of A_l^2
    double active_square;     // sum of (active count - width/2)^2
};

}  // namespace resmc

RESMC_NAMESPACE_BEGIN

// Adds the networks of `more`.
RESMC_FN void fold(NormSums& sums, const NormSums& more) {
    const double n = static_cast<double>(sums.alive), m = static_cast<double>(more.alive);
    const Moments log_norm = merged({n, sums.log_norm[0], sums.log_norm[1], sums.log_norm[2], sums.log_norm[3]},
                                    {m, more.log_norm[0], more.log_norm[1], more.log_norm[2], more.log_norm[3]});
    const double grown = static_cast<double>(sums.alive - sums.startless_alive);
    const double more_grown = static_cast<double>(more.alive - more.startless_alive);
    const Moments growth_log = merged({grown, sums.growth_log[0], sums.growth_log[1], 0.0, 0.0},
                                      {more_grown, more.growth_log[0], more.growth_log[1], 0.0, 0.0});
    const ScaledSums growth = added({sums.growth[0], sums.growth[1], sums.growth_exponent},
                                    {more.growth[0], more.growth[1], more.growth_exponent});
    sums = {sums.alive + more.alive,
            sums.startless + more.startless,
            sums.startless_alive + more.startless_alive,
            growth.unit,
            {log_norm.mean, log_norm.m2, log_norm.m3, log_norm.m4},
            {growth_log.mean, growth_log.m2},
            {growth.sum, growth.sum2}};
}

RESMC_FN void fold(ActivitySums& sums, const ActivitySums& more) {
    sums.inactive += more.inactive;
    sums.active += more.active;
    sums.asymmetry += more.asymmetry;
    sums.asymmetry_square += more.asymmetry_square;
    sums.active_square += more.active_square;
}

RESMC_NAMESPACE_END
