// The kernels of any residual network for one instruction set: beside backend_isa.cpp, and under the same rules.
#include "column_pack.hpp"
#include "residual_population.hpp"
#include "residual_tile.hpp"
