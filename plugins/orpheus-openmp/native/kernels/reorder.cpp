// Between plain NCHW and NCHWc.
//
// Order of the loops: image, block of channels, then B x B squares, each turned over in registers' worth of lines; the
// last block's missing channels become zeros. Threads: equal runs of (image, block). Bound by memory: 20 GB/s (Zen 4).

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

void to_blocked(const float* x, float* y, Int channels, Int plane) {
    for (Int first = 0; first < plane; first += B) {
        const Int pixels = least(Int{B}, plane - first);
        float square[B][B] = {};
        for (Int c = 0; c < channels; ++c)
            for (Int p = 0; p < pixels; ++p) square[p][c] = x[c * plane + first + p];
        for (Int p = 0; p < pixels; ++p) store(y + (first + p) * B, load(square[p]));
    }
}

void to_plain(const float* x, float* y, Int channels, Int plane) {
    for (Int first = 0; first < plane; first += B) {
        const Int pixels = least(Int{B}, plane - first);
        float square[B][B];
        for (Int p = 0; p < pixels; ++p)
            for (Int c = 0; c < B; ++c) square[c][p] = x[(first + p) * B + c];
        for (Int c = 0; c < channels; ++c)
            for (Int p = 0; p < pixels; ++p) y[c * plane + first + p] = square[c][p];
    }
}

}  // namespace

void reorder(const void* args, Team& team) {
    const ReorderArgs& a = *static_cast<const ReorderArgs*>(args);
    const Int blocks = ceil_div(a.channels, B);
    const Range range = share(a.n * blocks, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int image = i / blocks, block = i % blocks, channels = least(Int{B}, a.channels - block * B);
        const Int plain = (image * a.channels + block * B) * a.plane, blocked = i * a.plane * B;
        if (a.to_blocked) to_blocked(a.x + plain, a.y + blocked, channels, a.plane);
        else to_plain(a.x + blocked, a.y + plain, channels, a.plane);
    }
}

void copy(const void* args, Team& team) {
    const CopyArgs& a = *static_cast<const CopyArgs*>(args);
    const Range range = share(a.count, team);
    for (Int i = range.begin; i < range.end; ++i)
        copy_floats(a.y + i * a.y_stride, a.x + i * a.x_stride, a.width);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
