// The state of a team's barrier.
#pragma once

#include <atomic>
#include <thread>

#include "team.hpp"

namespace orpheus {

struct Barrier {
    std::atomic<int> arrived{0};
    std::atomic<int> phase{0};
};

}  // namespace orpheus
