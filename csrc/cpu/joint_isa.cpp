// The kernels of several inputs for one instruction set: beside backend_isa.cpp, and under the same rules.
#include "joint_pack.hpp"
