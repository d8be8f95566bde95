// A chain: neighbouring layers computed together, a band of the last one's rows at a time.
//
// Each layer but the last leaves its rows in a window: a short copy of its result, [block][capacity rows][w][B], that
// stays in L2 and that the next layer reads. A window lies at the beginning of the memory that the whole result would
// have; rows are computed once, in order, and those that the next band needs again move to the window's front.
// Kernels do this unaware: their pointers are moved so that the rows they ask for are those of the window, and
// x_plane and y_plane tell how far apart its blocks are.
// Threads: each takes a run of the last layer's rows and a window of its own for every other layer, computes the rows
// that its windows need, those at the border of two runs twice, and meets no barrier.
#pragma once

#include <cstddef>
#include <vector>

#include "args.hpp"

namespace orpheus {

// What a chain has to know of a layer. `alone` says that it reads and writes nothing else of a tensor's
// size, `gathers` that it copies its whole input first.
struct Geometry {
    Int n, in_h, in_w, out_h, out_w, kh, sh, dh, pt, x_blocks, x_depth, y_blocks, y_depth;
    Ptr x;
    Out y;
    bool alone, gathers;

    // The first row that row `row` reads, and one past the last that the rows before `end` read.
    Int first(Int row) const;
    Int last(Int end) const;
};

// How to reach a row-wise kernel of a table, and its arguments.
struct RowFamily {
    const char* name;
    Rows Table::*rows;
    Geometry (*geometry)(const void* args, Int block);
    void (*place)(void* args, Ptr x, Int x_plane, Out y, Int y_plane);
};

const std::vector<RowFamily>& row_families();

// One layer of a chain: its kernel and a copy of its arguments.
struct Link {
    const RowFamily* family;
    Rows rows;
    std::vector<Int> args;
    Int block;
};

class Chain {
public:
    // Throws std::invalid_argument when a layer does not read what the one before writes, or a window does not fit.
    Chain(std::vector<Link> links, Int band, int threads);

    // As a kernel of a segment: `args` is the chain.
    static void kernel(const void* args, Team& team);

    int threads() const { return static_cast<int>(work_.size()); }
    // Rows in the window of layer i.
    Int capacity(std::size_t i) const { return capacity_[i]; }

private:
    // What one thread keeps: its copy of the arguments, the next row of each layer, and its windows' first rows.
    struct Work {
        std::vector<std::vector<Int>> args;
        std::vector<Int> done, need, base;
    };

    void rows(Work& work, Int image, Int begin, Int end, int rank) const;
    void slide(Work& work, std::size_t i, int rank) const;
    Out window(std::size_t i, int rank) const;
    Out as_image(std::size_t i, Int image, Int base, int rank) const;

    std::vector<Link> links_;
    std::vector<Geometry> shapes_;
    std::vector<Int> capacity_;
    Int band_;
    mutable std::vector<Work> work_;  // a part for each thread; one run at a time
};

}  // namespace orpheus
