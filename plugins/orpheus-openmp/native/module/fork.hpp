// A team of threads: OpenMP's, or where a build has none, threads that are started for the call and joined after it.
//
// The builds for ThreadSanitizer are of the second kind: it sees every edge of std::thread, and none of libgomp's, which
// is not compiled for it.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#else
#include <atomic>
#include <thread>
#include <vector>
#endif

namespace orpheus {

// Runs body(rank, size) on `threads` threads, of which the caller is rank 0, and returns when all of them have.
template <class Body>
void fork(int threads, const Body& body) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    body(omp_get_thread_num(), omp_get_num_threads());
#else
    // Nobody sets off before all are there: a thread that cannot be started would leave the others at their barrier.
    std::atomic<int> go{0};
    std::vector<std::jthread> others;
    const auto open = [&](int signal) {
        go.store(signal);
        go.notify_all();
    };
    try {
        for (int rank = 1; rank < threads; ++rank)
            others.emplace_back([&body, &go, rank, threads] {
                go.wait(0);
                if (go.load() > 0) body(rank, threads);
            });
    } catch (...) {
        open(-1);
        throw;
    }
    open(1);
    body(0, threads);
#endif
}

}  // namespace orpheus
