// The barrier of a team: arrivals are counted, and the last one opens the next phase. Waiting threads spin, because
// kernels last microseconds. When it takes longer than that, the one that is missing has probably lost its processor to
// a thread of somebody else's: they let others run, and then sleep, so that their processor falls idle and the system
// moves the missing one to it. One that only yields keeps its processor busy, and the other waits out a time slice.

#include "module/barrier.hpp"

namespace orpheus {

namespace {

constexpr int spins_before_yield = 2048, yields_before_sleep = 32;

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
        barrier.phase.notify_all();
        return;
    }
    for (int spins = 0; barrier.phase.load(std::memory_order_acquire) == phase; ++spins) {
        if (spins < spins_before_yield) relax();
        else if (spins < spins_before_yield + yields_before_sleep) std::this_thread::yield();
        else barrier.phase.wait(phase, std::memory_order_acquire);
    }
}

}  // namespace orpheus
