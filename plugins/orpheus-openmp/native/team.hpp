// What kernels and the module share: integers, teams of threads, and the form of a kernel.
#pragma once

#include <cstdint>

namespace orpheus {

using Int = std::int64_t;

struct Barrier;

// The threads that compute one segment together. Rank `rank` of `size` runs this copy of the kernel.
struct Team {
    int rank;
    int size;
    Barrier* barrier;
};

// Returns when every thread of the team has come here; at once in a team of one.
void wait(Team& team);

// A kernel computes its share of one layer. It does not throw, allocate or keep anything.
using Kernel = void (*)(const void* args, Team& team);

}  // namespace orpheus
