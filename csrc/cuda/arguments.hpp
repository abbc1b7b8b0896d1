// What the host tells the kernels: plain numbers and device pointers.
//
// A chunk is `columns` networks from number `first`, both multiples of 32 and of a batch. A launch
// simulates columns begin .. end - 1 of it. Records are [layer slot][column].
#pragma once

#include "../include/resmc/description.hpp"
#include "../include/resmc/layer_sums.hpp"
#include "../include/resmc/philox.hpp"

namespace resmc {

constexpr uint32_t WARP = 32;
constexpr uint32_t MAX_WARPS = 16;                        // of a block
constexpr uint32_t BLOCK_THREADS = 128;                   // of a block whose teams are parts of a warp
constexpr uint32_t MAX_RESIDUAL_THREADS = 256;            // of a team that has any residual network, or a column
constexpr uint32_t MAX_ROUNDS = 8;                        // with more, z is not kept in registers
constexpr uint32_t SHARED_WORDS = 4 * 2 * MAX_WARPS + 4;  // of shared memory, for the sums of a block; then come states

// Bytes of shared memory that a GPU has.
struct DeviceLimits {
    uint64_t shared_block, shared_multiprocessor;
};

enum Memory : int { MEMORY_REGISTERS = 0, MEMORY_SHARED = 1, MEMORY_DEVICE = 2 };

// How threads share networks; chosen in shape.hpp.
struct Shape {
    uint32_t threads;        // of a team: a power of two up to 32 (a part of a warp), or a whole block
    uint32_t log2_threads;   // in the first case
    uint32_t rounds;         // quads that each thread owns
    Memory memory;           // where the states are
    uint32_t block_threads;  // of a block
    uint32_t block_networks;
    uint64_t block_floats;  // of a block's states
};

struct ChunkRecords {
    float* square;         // |z_l|^2, in units of 2^(2 exponent)
    float* active_square;  // |phi_l(z_l)|^2, in the same units
    uint32_t* exponent;    // a signed number
    uint32_t* active;
    float* output;  // [column - output_begin][n_out]
};

struct SimulateArguments {
    Network network;
    PhiloxKeys keys;
    uint64_t first;
    uint32_t columns, begin, end;
    const uint32_t* layers;  // to record: sorted, 0 and depth among them
    uint32_t n_layers;
    ChunkRecords records;
    uint32_t output_begin, output_end;  // of those, columns whose outputs are kept
    Shape shape;
    float* workspace;         // the states of every block of the launch, where shared memory is too small for them
    uint32_t look_every;      // layers between two looks at `stop`, a power of two
    uint32_t look_every_row;  // the same in rows of a dense layer
    const uint32_t* stop;     // host memory: not 0 to abandon the run
    uint32_t* progress;       // host memory: layers done by the first network of the launch
};

// |v|^2 = square 2^(2 exponent) of the v of a quotient by layer, [layer slot][column].
struct QuotientRecords {
    float* square;
    uint32_t* exponent;  // a signed number
};

// Any residual network. `run` says how, and where its own records go; its network is the residual one's.
struct ResidualArguments {
    SimulateArguments run;
    Residual residual;  // steps, input and table are device pointers
    QuotientRecords quotients[QUOTIENTS];
    float* overlap;  // p_l . h_l / (|p_l| |h_l|), [layer slot][column]
};

// Columns of networks whose weights are handed in, from layer `from` to layer `to`, or back. Column c of network i of
// the launch has number begin + i columns + c of the chunk; `first` of the run is the number of the first network, and
// its workspace keeps what goes on from one launch to the next: of every block.
struct ColumnArguments {
    ResidualArguments residual;
    uint32_t columns;  // of a network
    bool backward;
    uint32_t from, to, first_layer;  // the first one that the arrays have
    GivenArray outer, inner, bias;   // less than 2^32 floats each
    const float* factors;            // [columns]
    const float* start;              // h_0, [networks][n][columns]; null: as the network's counters draw it
};

// Networks of populations, from layer `from` to layer `to`; a launch that begins makes layer 0 first. The columns of
// the chunk are all of its populations', one after another; `first` of the run is the number of the first network, and
// its workspace keeps all blocks' networks from one launch to the next. Of the records square and exponent are written,
// of layer `to`, [column].
struct PopulationArguments {
    SimulateArguments run;
    Residual residual;  // not of the log-Gaussian networks that have kernels of their own
    bool begins;
    uint32_t from, to;
};

// From the norms of a chunk's networks to weights, and to which network takes the place of which. What a network has is
// [column], results are [population][slot].
struct ResampleArguments {
    PhiloxKeys keys;
    uint64_t first;                      // network
    uint32_t populations, size, stride;  // of a population: networks, and columns to the next one
    uint32_t slot, n_layers;             // 0 where they begin
    uint32_t layer;
    bool resamples;
    double power;
    const float* square;
    const uint32_t* exponent;
    double* reached;  // log |z|^2 at this layer, before that at the layer that weights are from
    double* origin;   // log |z_0|^2
    double* weight;
    uint32_t* offspring;
    uint32_t* parent;  // the column whose network a column goes on with
    double *top, *mean, *effective, *growth;
};
constexpr uint32_t RESAMPLE_THREADS = 128;

// Every column's state becomes that of its parent.
struct MoveArguments {
    Shape shape;
    uint32_t columns;
    const uint32_t* parent;
    float* workspace;
};
constexpr uint32_t MOVE_THREADS = 128;  // a warp has a column

// From the records of a chunk to statistics, added to those that the groups hold already.
struct ReduceArguments {
    uint32_t width;
    double log_width;  // ln(width)
    uint64_t first;
    uint32_t columns, begin, end;
    uint32_t batch;  // networks folded as one: a power of two up to 4096
    uint32_t n_layers;
    ChunkRecords records;
    const float* start_square;  // [column]: what growth is measured from, as a rule the first row of the records
    const uint32_t* start_exponent;
    double bin_width, bin_low;
    uint32_t n_bins;
    double* asymmetry;  // [batch][slot][network of the batch]: A_l, 0 for the dead and the unwanted; null: not wanted
    double* alive;      // the same with 1 for the living; null unless networks can die too
    NormSums* batches;  // [batch][slot]
    NormSums* groups;   // [32][slot]
    ActivitySums* activity_batches;  // the same; null: not wanted
    ActivitySums* activity_groups;
    int64_t* histogram;  // [32][n_bins + 2]; null: not wanted
};
constexpr uint32_t REDUCE_THREADS = 128;

// Raw values of the first networks of a chunk's range. Null pointers: not wanted.
struct RawArguments {
    double log_width;
    uint32_t columns, begin, n_layers;
    ChunkRecords records;
    uint32_t samples, paths;   // columns begin .. begin + samples - 1, and so on
    double* sample_log_norm;   // [samples], -infinity for the dead
    int32_t* sample_exponent;  // [samples]
    double* path_log_norm;     // [paths][slot]
    float* path_asymmetry;     // [paths][slot], NaN for the dead
};

// The final ln(|v|^2/|start|^2) of the networks of a chunk, and the paths of ln(|v|^2/n) of the first of them. What
// is 0 gives -infinity, a final value whose start is 0 +infinity. Null pointers: not wanted.
struct QuotientArguments {
    double log_width;
    uint32_t columns, begin, end, n_layers, slot;  // slot: of the final value
    QuotientRecords records;
    const float* start_square;  // [column]
    const uint32_t* start_exponent;
    const float* overlap;  // records
    uint32_t paths;        // columns begin .. begin + paths - 1
    double* last;          // [column - begin]
    double* path;          // [paths][slot]
    float* path_overlap;   // [paths][slot]
};

// All the normals that networks of this shape use, drawn and forgotten.
struct DrawArguments {
    PhiloxKeys keys;
    uint32_t depth, rounds, log2_threads;
    float* sums;  // one per thread, in whole blocks of BLOCK_THREADS
};

}  // namespace resmc
