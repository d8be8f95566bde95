// Elementwise operators of one or two operands, with a clamp and an activation after them.
//
// Tensors are [outer, channels, inner]. A second operand is of the same shape, one value a channel, or a single value;
// in a blocked tensor `channels` counts blocks, inner is plane * B, and a channel's value is a vector of B of them.
// The last block's missing channels (tail) are zeroed, whatever the operator makes of zeros.
// Threads: equal runs of vectors, or of (outer, channel) rows. Bound by memory: an addition 90 GB/s
// from L2 (Zen 4), a sigmoid 18.

#include "activate.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

enum Op { identity, add, subtract, multiply, divide, prelu, scale_shift };

template <int O>
ORPHEUS_INLINE Vec apply(Vec x, Vec z, Vec w) {
    switch (O) {
        case add: return x + z;
        case subtract: return x - z;
        case multiply: return x * z;
        case divide: return x / z;
        case prelu: return x < zero() ? x * z : x;
        case scale_shift: return fma(x, z, w);
        default: return x;
    }
}

// `count` elements. z and w advance with x where they do (step 1), or give the same vector each time.
template <int O>
void run(const ElementwiseArgs& a, const float* x, const float* z, Int step, Vec w, float* y, Int count) {
    const Vec lo = broadcast(a.lo), hi = broadcast(a.hi);
    const Vec same = step || !z ? zero() : load(z);
    const auto one = [&](Vec vx, Vec vz) {
        return clamp(a.swapped ? apply<O>(vz, vx, w) : apply<O>(vx, vz, w), lo, hi);
    };
    Int i = 0;
    for (; i + B <= count; i += B) store(y + i, one(load(x + i), step ? load(z + i) : same));
    if (i < count) {
        const Int rest = count - i;
        store_some(y + i, one(load_some(x + i, rest), step ? load_some(z + i, rest) : same), rest);
    }
    if (a.act) activate(a.act, a.act_a, a.act_b, y, count);
}

template <int O>
void all(const ElementwiseArgs& a, Team& team) {
    constexpr Int at_once = 4096;  // what is computed stays in L1 for the activation
    if (a.z_kind != 1 && !a.tail) {
        const Int total = a.outer * a.channels * a.inner;
        float single[B];
        for (int i = 0; i < B; ++i) single[i] = a.z && a.z_kind == 2 ? a.z[0] : 0.0f;
        const Int step = a.z && a.z_kind == 0;
        const Range range = share(ceil_div(total, at_once), team);
        for (Int i = range.begin * at_once; i < least(range.end * at_once, total); i += at_once)
            run<O>(a, a.x + i, step ? a.z + i : single, step, zero(), a.y + i, least(at_once, total - i));
        return;
    }
    const Range range = share(a.outer * a.channels, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int channel = i % a.channels;
        const float* per_channel = O == scale_shift ? a.scale : a.z;
        float z[B], w[B];
        for (int lane = 0; lane < B; ++lane) {
            const Int at = a.block == 1 ? channel : channel * B + lane;
            z[lane] = !per_channel ? 0.0f : a.z_kind == 2 ? per_channel[0] : a.z_kind == 1 ? per_channel[at] : 0.0f;
            w[lane] = O == scale_shift ? a.shift[at] : 0.0f;
        }
        const bool like_x = a.z && a.z_kind == 0;
        run<O>(a, a.x + i * a.inner, like_x ? a.z + i * a.inner : z, like_x, load(w), a.y + i * a.inner, a.inner);
        if (a.tail && (i + 1) % a.blocks == 0) zero_tail(a.y + i * a.inner, a.inner / B, a.tail);
    }
}

}  // namespace

void elementwise(const void* args, Team& team) {
    const ElementwiseArgs& a = *static_cast<const ElementwiseArgs*>(args);
    switch (a.op) {
        case identity: return all<identity>(a, team);
        case add: return all<add>(a, team);
        case subtract: return all<subtract>(a, team);
        case multiply: return all<multiply>(a, team);
        case divide: return all<divide>(a, team);
        case prelu: return all<prelu>(a, team);
        case scale_shift: return all<scale_shift>(a, team);
        default: return;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
