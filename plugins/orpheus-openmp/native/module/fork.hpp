// A team of threads: OpenMP's, or threads that are started for the call and joined after it.
//
// The second kind serves builds without OpenMP, among them those for ThreadSanitizer: it sees every edge of std::thread,
// and none of libgomp's, which is not compiled for it. It also serves processes that were forked from one whose OpenMP
// had threads: libgomp would wait there for threads that only the parent has.
#pragma once

#include <atomic>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#if __has_include(<pthread.h>)
#include <pthread.h>
#endif
#endif

namespace orpheus {

// Runs body(rank, threads) on threads of its own and on the caller, which is rank 0. Throws std::runtime_error when they
// cannot all be started; then none has run.
template <class Body>
void start(int threads, const Body& body) {
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
    } catch (const std::system_error& error) {
        open(-1);
        throw std::runtime_error("the system gives " + std::to_string(others.size() + 1) + " of " +
                                 std::to_string(threads) + " threads (" + error.what() + "): ask for fewer with threads=," +
                                 " or allow this process more threads or memory");
    } catch (...) {
        open(-1);
        throw;
    }
    open(1);
    body(0, threads);
}

#ifdef _OPENMP
// Whether OpenMP has had threads in this process, and whether it has lost them by a fork.
inline std::atomic<bool> entered{false}, orphaned{false};

inline void watch_forks() {
#if __has_include(<pthread.h>)
    if (pthread_atfork(nullptr, nullptr, [] { orphaned.store(entered.load()); }) != 0) throw std::bad_alloc();
#endif
}

// Throws where OpenMP could not start the threads that it does not keep for this caller yet: libgomp ends the process.
inline void require(int threads) {
    thread_local int kept = 1;
    if (threads > kept) start(threads, [](int, int) {});
    kept = threads;
}
#else
inline void watch_forks() {}
#endif

// Runs body(rank, size) on `threads` threads, of which the caller is rank 0, and returns when all of them have.
template <class Body>
void fork(int threads, const Body& body) {
#ifdef _OPENMP
    if (!orphaned.load(std::memory_order_relaxed)) {
        require(threads);
        entered.store(true, std::memory_order_relaxed);
#pragma omp parallel num_threads(threads)
        body(omp_get_thread_num(), omp_get_num_threads());
        return;
    }
#endif
    start(threads, body);
}

}  // namespace orpheus
