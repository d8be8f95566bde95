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

// Rows [begin, end) of the result's image `image`; `rank` names the thread, for its own part of a workspace.
struct Span {
    Int image, begin, end;
    int rank;
};

// Computes a span of rows alone, bit for bit as the whole kernel would. Chains of layers are made of these.
using Rows = void (*)(const void* args, const Span& span);

}  // namespace orpheus
