// The barrier of a team: arrivals are counted, and the last one opens the next phase. Waiting threads spin, because
// kernels last microseconds, and give their processor up when it takes longer than that.

#include "module/barrier.hpp"

namespace orpheus {

namespace {

constexpr int spins_before_yield = 4096;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

void wait(Team& team) {
    if (team.size == 1) return;
    Barrier& barrier = *team.barrier;
    const int phase = barrier.phase.load(std::memory_order_relaxed);
    if (barrier.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == team.size) {
        barrier.arrived.store(0, std::memory_order_relaxed);
        barrier.phase.store(phase + 1, std::memory_order_release);
        return;
    }
    for (int spins = 0; barrier.phase.load(std::memory_order_acquire) == phase; ++spins) {
        if (spins < spins_before_yield) relax();
        else std::this_thread::yield();
    }
}

}  // namespace orpheus
