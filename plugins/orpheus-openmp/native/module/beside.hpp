// Work that goes on beside the caller's: kernels are given in shares, and computed by threads that live until the caller
// waits for all of it, and by the caller while it waits.
//
// The caller is Python, which makes a plan meanwhile. So the threads take their work from here and never need the GIL: a
// Python thread would wait up to its switch interval, 5 ms, for each piece. To wake a thread takes its waker 20 us and
// more on a virtual machine, so that small pieces are left until they are worth it, or until the caller waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "team.hpp"

namespace orpheus {

class Beside {
public:
    // At most so many threads, of which the caller is one.
    explicit Beside(int threads) : threads_(static_cast<std::size_t>(threads)) {}
    Beside(const Beside&) = delete;
    Beside& operator=(const Beside&) = delete;
    ~Beside() { wait(); }

    int threads() const { return static_cast<int>(threads_); }

    // Computes a kernel whose threads never wait for each other, in `shares` pieces; it writes so many bytes. What `args`
    // points to has to stay until wait() returns.
    void add(Kernel kernel, const void* args, int shares, std::size_t bytes) {
        const std::lock_guard lock(mutex_);
        const std::size_t each = bytes / static_cast<std::size_t>(shares);
        for (int rank = 0; rank < shares; ++rank) work_.push_back({kernel, args, rank, shares, each});
        waiting_ += each * static_cast<std::size_t>(shares);
        while (awake_ < waiting_ / worth_waking && awake_ + 1 < threads_) {
            if (awake_ == helpers_.size()) {
                try {
                    helpers_.emplace_back([this] { help(true); });
                } catch (const std::system_error&) {  // the system gives no more: those that are there do it
                    threads_ = helpers_.size() + 1;
                    return;
                }
            } else {
                ++woken_;
                added_.notify_one();
            }
            ++awake_;
        }
    }

    // Computes what is left and returns when nothing is.
    void wait() {
        {
            const std::lock_guard lock(mutex_);
            closed_ = true;
        }
        added_.notify_all();
        help(false);
        helpers_.clear();  // joins them
        closed_ = false;
        awake_ = woken_ = 0;
    }

private:
    // Bytes of results that keep a thread busy for longer than it takes to wake it.
    static constexpr std::size_t worth_waking = 1 << 19;

    struct Share {
        Kernel kernel;
        const void* args;
        int rank, size;
        std::size_t bytes;
    };

    // Computes shares; when there are none a helper sleeps until it is woken or all is done, and the caller returns.
    void help(bool is_helper) {
        std::unique_lock lock(mutex_);
        while (true) {
            if (!work_.empty()) {
                const Share share = work_.front();
                work_.pop_front();
                waiting_ -= share.bytes;
                lock.unlock();
                Team team{share.rank, share.size, nullptr};
                share.kernel(share.args, team);
                lock.lock();
            } else if (closed_ || !is_helper) {
                return;
            } else {
                --awake_;
                added_.wait(lock, [this] { return woken_ > 0 || closed_; });
                if (woken_ > 0) --woken_;  // whoever woke it counts it as awake
            }
        }
    }

    std::size_t threads_;
    std::mutex mutex_;
    std::condition_variable added_;
    std::deque<Share> work_;
    std::size_t waiting_ = 0;            // bytes of the shares that nobody has taken yet
    std::size_t awake_ = 0, woken_ = 0;  // helpers that take shares, and those of them that have not seen it yet
    bool closed_ = false;
    std::vector<std::jthread> helpers_;
};

}  // namespace orpheus
