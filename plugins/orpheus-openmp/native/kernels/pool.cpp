// Pooling, plain (depth 1) and blocked (depth B): maximum, and average with or without the pads.
//
// Layout: x [images, h, w, depth], images being batch times channels or blocks. Order of the loops: image, output row,
// output column, kernel row, kernel column; a vector holds B channels, or, in plain tensors, B neighbours of a row.
// Sums are formed by kernel row first, so that the error of a large window stays that of two short sums.
// Threads: equal runs of (image, row). Bound by memory.

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// Taps [begin, end) of an axis that lie inside the input, and how many lie inside the padded input.
struct Taps {
    Int begin, end, padded;
};
ORPHEUS_INLINE Taps taps(Int origin, Int size, Int count, Int dilation, Int after) {
    const Int begin = origin < 0 ? least(ceil_div(-origin, dilation), count) : 0;
    const Int end = most(begin, least(count, origin < size ? ceil_div(size - origin, dilation) : 0));
    const Int padded = least(count, ceil_div(size + after - origin, dilation));
    return {begin, end, padded};
}

ORPHEUS_INLINE float horizontal_sum(Vec v) {
    float lanes[B], sum = 0.0f;
    store(lanes, v);
    for (int i = 0; i < B; ++i) sum += lanes[i];
    return sum;
}

ORPHEUS_INLINE void blocked(const PoolArgs& a, const float* x, Taps r, Taps c, float divisor, float* y) {
    Vec result = a.kind ? zero() : broadcast(-__builtin_inff());
    for (Int i = r.begin; i < r.end; ++i) {
        const float* row = x + i * a.dh * a.in_w * B;
        Vec sum = zero();
        for (Int j = c.begin; j < c.end; ++j) {
            const Vec value = load(row + j * a.dw * B);
            if (a.kind) sum = sum + value;
            else result = max(result, value);
        }
        if (a.kind) result = result + sum;
    }
    store(y, a.kind ? result / broadcast(divisor) : result);
}

ORPHEUS_INLINE void plain(const PoolArgs& a, const float* x, Taps r, Taps c, float divisor, float* y) {
    float result = a.kind ? 0.0f : -__builtin_inff();
    for (Int i = r.begin; i < r.end; ++i) {
        const float* row = x + i * a.dh * a.in_w;
        Int j = c.begin;
        float sum = 0.0f;
        if (a.kind && a.dw == 1 && c.end - j >= B) {
            Vec part = zero();
            for (; j + B <= c.end; j += B) part = part + load(row + j);
            sum = horizontal_sum(part);
        }
        for (; j < c.end; ++j) {
            const float value = row[j * a.dw];
            if (a.kind) sum += value;
            else result = result > value ? result : value;
        }
        if (a.kind) result += sum;
    }
    *y = a.kind ? result / divisor : result;
}

}  // namespace

void pool(const void* args, Team& team) {
    const PoolArgs& a = *static_cast<const PoolArgs*>(args);
    const Range range = share(a.images * a.out_h, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int image = i / a.out_h, oh = i % a.out_h, ih = oh * a.sh - a.pt;
        const Taps r = taps(ih, a.in_h, a.kh, a.dh, a.pb);
        for (Int ow = 0; ow < a.out_w; ++ow) {
            const Int iw = ow * a.sw - a.pl;
            const Taps c = taps(iw, a.in_w, a.kw, a.dw, a.pr);
            const Int inside = (r.end - r.begin) * (c.end - c.begin);
            const auto divisor = static_cast<float>(a.kind == 2 ? r.padded * c.padded : inside);
            const float* x = a.x + ((image * a.in_h + ih) * a.in_w + iw) * a.depth;
            float* y = a.y + (i * a.out_w + ow) * a.depth;
            if (a.depth == 1) plain(a, x, r, c, divisor, y);
            else blocked(a, x, r, c, divisor, y);
        }
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
