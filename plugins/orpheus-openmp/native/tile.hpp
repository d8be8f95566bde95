// The register tile: `pixels` x `vectors` accumulators that every multiplying kernel is made of.
//
// For each scalar of the input (one channel of one pixel) and each of `vectors` weight vectors, one fused
// multiply-add: 14 x 2 on AVX-512 makes 28 of them of 16 loads. Input scalars are read at x[t * P + d], where P, the
// distance of two pixels, is a template parameter when it is a common one, so that it becomes a displacement.
// Order of the loops: input blocks, kernel rows, kernel columns, channels of a block; weights are read in that order,
// one after the other. From L1 or L2, every tile of 4 pixels or more reaches the peak of a Zen 4 core whatever its vectors.
#pragma once

#include "activate.hpp"
#include "tiling.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

// Where the operands of one sum lie. Strides count floats.
struct Sum {
    const float* x;
    const float* w;
    Int blocks, block_stride;
    Int rows, row_stride;
    Int cols, col_stride;
    Int depth, last_depth;  // channels of a block, and of the last one
    Int pixel_stride;
    Int w_block;    // distance of two blocks' weights
    Int first_tap;  // taps of a block that come before the first row used
    // What is used later comes to L2 on the way, up to `last`: with every column `ahead` cache lines from `next` on, which
    // then moves by `advance` floats, and after every tile by `rewind`.
    const float* next = nullptr;
    const float* last = nullptr;
    Int ahead = 0, advance = 0, rewind = 0;
    Int tiles = 1;  // tiles of one size, side by side in x and y, that one call computes
};

// The epilogue of a tile and where its result goes. Vectors are vector_stride apart in y, residual and sum.
struct Finish {
    float* y;
    Int vector_stride;
    const float* bias;
    const float* residual;
    const float* scale;
    const float* shift;
    float* sum;
    float lo, hi;
    Int act;
    float act_a, act_b;
    bool resume;   // the sum goes on from what y holds
    bool partial;  // the sum is not complete yet: store it as it is
};

// acc[v][t] += sum over the operands. P is the distance of two pixels in floats, 0 for one known only at run time.
template <int T, int V, int P>
ORPHEUS_INLINE void accumulate(Vec (&acc)[V][T], Sum& s) {
    const Int stride = P ? P : s.pixel_stride;
    for (Int b = 0; b < s.blocks; ++b) {
        const float* block = s.x + b * s.block_stride;
        const Int depth = b + 1 < s.blocks ? s.depth : s.last_depth;
        const float* w = s.w + b * s.w_block + s.first_tap * depth * V * B;
        for (Int r = 0; r < s.rows; ++r) {
            for (Int c = 0; c < s.cols; ++c) {
                const float* x = block + r * s.row_stride + c * s.col_stride;
                if (s.next < s.last) {
                    for (Int i = 0; i < s.ahead; ++i) prefetch_far(s.next + i * line);
                    s.next += s.advance;
                }
                for (Int d = 0; d < depth; ++d, ++x, w += V * B) {
                    __asm__("" : "+r"(x));  // or GCC would keep scalars for the next steps, and spill accumulators
                    Vec weights[V];
                    ORPHEUS_UNROLL
                    for (int v = 0; v < V; ++v) weights[v] = load(w + v * B);
                    ORPHEUS_UNROLL
                    for (int t = 0; t < T; ++t) {
                        const Vec value = broadcast(x[t * stride]);
                        ORPHEUS_UNROLL
                        for (int v = 0; v < V; ++v) acc[v][t] = fma(value, weights[v], acc[v][t]);
                    }
                }
            }
        }
    }
}

// Accumulators before the sum: bias and residual, or what y holds.
template <int T, int V>
ORPHEUS_INLINE void start(Vec (&acc)[V][T], const Finish& f) {
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        const Vec bias = f.bias && !f.resume ? load(f.bias + v * B) : zero();
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[v][t] = bias;
    }
    const float* before = f.resume ? f.y : f.residual;
    if (before) {
        ORPHEUS_UNROLL
        for (int v = 0; v < V; ++v) {
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[v][t] = acc[v][t] + load(before + v * f.vector_stride + t * B);
        }
    }
}

// The rest of the epilogue, and the store. Pixels are B floats apart.
template <int T, int V>
ORPHEUS_INLINE void end(Vec (&acc)[V][T], const Finish& f) {
    if (!f.partial) {
        if (f.sum) {
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) {
                ORPHEUS_UNROLL
                for (int t = 0; t < T; ++t) store(f.sum + v * f.vector_stride + t * B, acc[v][t]);
            }
        }
        if (f.scale) {
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) {
                const Vec scale = load(f.scale + v * B), shift = load(f.shift + v * B);
                ORPHEUS_UNROLL
                for (int t = 0; t < T; ++t) acc[v][t] = fma(acc[v][t], scale, shift);
            }
        }
        // Minimum and maximum take the units that multiply, so a bound that is none is left out.
        if (f.hi < __builtin_inff()) {
            const Vec hi = broadcast(f.hi);
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) {
                ORPHEUS_UNROLL
                for (int t = 0; t < T; ++t) acc[v][t] = min(hi, acc[v][t]);
            }
        }
        if (f.lo > -__builtin_inff()) {
            const Vec lo = broadcast(f.lo);
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) {
                ORPHEUS_UNROLL
                for (int t = 0; t < T; ++t) acc[v][t] = max(lo, acc[v][t]);
            }
        }
    }
    float* y = f.y;
    const Int stride = f.vector_stride;
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) store(y + v * stride + t * B, acc[v][t]);
    }
    if (f.act && !f.partial)
        for (int v = 0; v < V; ++v) activate(f.act, f.act_a, f.act_b, y + v * stride, T * B);
}

// Tiles of a blocked result. With few channels what lies between two tiles counts, so they follow each other here.
template <int T, int V, int P>
__attribute__((noinline)) void tile(const Sum& given, const Finish& finish) {
    Sum s = given;
    Finish f = finish;
    for (Int i = 0;;) {
        Vec acc[V][T];
        start<T, V>(acc, f);
        accumulate<T, V, P>(acc, s);
        end<T, V>(acc, f);
        if (++i >= s.tiles) return;
        s.x += T * (P ? P : s.pixel_stride);
        s.next += s.rewind;
        f.y += T * B;
        if (f.residual) f.residual += T * B;
        if (f.sum) f.sum += T * B;
    }
}

using TileFunction = void (*)(const Sum&, const Finish&);

// The tile of `pixels` (1 to pixels_of(vectors)) by `vectors` (1 to 3) for pixels `pixel_stride` floats apart. conv.cpp has
// it.
TileFunction find_tile(Int pixel_stride, Int vectors, Int pixels);

}  // namespace orpheus::ORPHEUS_NAMESPACE
