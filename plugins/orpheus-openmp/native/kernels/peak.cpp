// Multiply-adds in registers and nothing else: what the processor can do, the yardstick of every share of peak.
//
// As many independent accumulators as a register tile has, so that the latency of none is waited for.
// Threads: each its own rounds.

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

void peak(const void* args, Team& team) {
    const PeakArgs& a = *static_cast<const PeakArgs*>(args);
    constexpr int accumulators = max_pixels * max_vectors;
    const Vec factor = broadcast(0.999f), term = broadcast(1e-3f);
    Vec acc[accumulators];
    ORPHEUS_UNROLL
    for (int i = 0; i < accumulators; ++i) acc[i] = broadcast(static_cast<float>(i));
    for (Int round = 0; round < a.rounds; ++round) {
        ORPHEUS_UNROLL
        for (int i = 0; i < accumulators; ++i) acc[i] = fma(acc[i], factor, term);
    }
    ORPHEUS_UNROLL
    for (int i = 1; i < accumulators; ++i) acc[0] = acc[0] + acc[i];
    store(a.y + team.rank * B, acc[0]);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
