// Pooling, plain (depth 1) and blocked (depth B): maximum, and average with or without the pads.
//
// Layout: x [images, h, w, depth], images being batch times channels or blocks. Order of the loops: image, output row,
// output column, kernel row, kernel column; a vector holds B channels, or, in plain tensors, B neighbours of a row.
// Blocked windows of several columns: each input column of a run is reduced over the kernel's rows once, into a buffer on
// the stack, and the windows then reduce the buffer, so that neighbours share that work.
// Sums are formed by kernel row or column first, so that the error of a large window stays that of two short sums.
// Threads: equal runs of (image, row). Bound by memory: 44-50 GB/s for a maximum on Zen 4, 25-33 for an average.

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
            else result = larger(result, value);
        }
        if (a.kind) result = result + sum;
    }
    store(y, a.kind ? result / broadcast(divisor) : result);
}

template <bool Sum> ORPHEUS_INLINE Vec reduce(Vec a, Vec b) { return Sum ? a + b : larger(a, b); }

constexpr int at_once = 4, buffered = 64;

// T vectors, `step` floats apart: out[t] = the reduction over `count` vectors that are `stride` floats apart.
template <bool Sum, int T>
ORPHEUS_INLINE void several(const float* x, Int step, Int count, Int stride, Vec (&out)[T]) {
    ORPHEUS_UNROLL
    for (int t = 0; t < T; ++t) out[t] = Sum ? zero() : broadcast(-__builtin_inff());
    for (Int i = 0; i < count; ++i) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) out[t] = reduce<Sum>(out[t], load(x + t * step + i * stride));
    }
}

// One output row; row 0 of the window lies at x, column 0 of the input there. r are the rows inside.
template <bool Sum>
void blocked_row(const PoolArgs& a, const float* x, Taps r, float* y) {
    float columns[buffered * B];
    const Int down = a.dh * a.in_w * B, reach = (a.kw - 1) * a.dw + 1, most_at_once = (buffered - reach) / a.sw + 1;
    for (Int from = 0, to; from < a.out_w; from = to) {
        to = least(from + most_at_once, a.out_w);
        // Input columns [begin, end) are those of this run that lie inside; column c is at columns + (c - begin) * B.
        const Int begin = most(from * a.sw - a.pl, Int{0}), end = least((to - 1) * a.sw - a.pl + reach, a.in_w);
        const float* top = x + r.begin * down;
        Int column = begin;
        for (; column + at_once <= end; column += at_once) {
            Vec out[at_once];
            several<Sum>(top + column * B, B, r.end - r.begin, down, out);
            ORPHEUS_UNROLL
            for (int t = 0; t < at_once; ++t) store(columns + (column - begin + t) * B, out[t]);
        }
        for (; column < end; ++column) {
            Vec out[1];
            several<Sum>(top + column * B, B, r.end - r.begin, down, out);
            store(columns + (column - begin) * B, out[0]);
        }
        const auto windows = [&](Int ow, Taps c, auto& out, int count) {
            const float* first = columns + (ow * a.sw - a.pl + c.begin * a.dw - begin) * B;
            several<Sum>(first, a.sw * B, c.end - c.begin, a.dw * B, out);
            const Int inside = (r.end - r.begin) * (c.end - c.begin);
            const Vec divisor = broadcast(static_cast<float>(a.kind == 2 ? r.padded * c.padded : inside));
            for (int t = 0; t < count; ++t) store(y + (ow + t) * B, Sum ? out[t] / divisor : out[t]);
        };
        for (Int ow = from; ow < to;) {
            const Int iw = ow * a.sw - a.pl;
            const Taps c = taps(iw, a.in_w, a.kw, a.dw, a.pr);
            if (c.begin == 0 && ow + at_once <= to && iw + (at_once - 1) * a.sw + reach <= a.in_w) {
                Vec out[at_once];
                windows(ow, c, out, at_once);
                ow += at_once;
            } else {
                Vec out[1];
                windows(ow++, c, out, 1);
            }
        }
    }
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
            else result = result > value || result != result ? result : value;
        }
        if (a.kind) result += sum;
    }
    *y = a.kind ? result / divisor : result;
}

void pool_row(const PoolArgs& a, Int image, Int oh) {
    const Int ih = oh * a.sh - a.pt;
    const Taps r = taps(ih, a.in_h, a.kh, a.dh, a.pb);
    if (a.depth == B && a.kw > 1 && a.out_w > 1 && (a.kw - 1) * a.dw < buffered) {
        const float* x = a.x + (image * a.x_plane + ih * a.in_w) * B;
        (a.kind ? blocked_row<true> : blocked_row<false>)(a, x, r, a.y + (image * a.y_plane + oh * a.out_w) * B);
        return;
    }
    for (Int ow = 0; ow < a.out_w; ++ow) {
        const Int iw = ow * a.sw - a.pl;
        const Taps c = taps(iw, a.in_w, a.kw, a.dw, a.pr);
        const Int inside = (r.end - r.begin) * (c.end - c.begin);
        const auto divisor = static_cast<float>(a.kind == 2 ? r.padded * c.padded : inside);
        const float* x = a.x + (image * a.x_plane + ih * a.in_w + iw) * a.depth;
        float* y = a.y + (image * a.y_plane + oh * a.out_w + ow) * a.depth;
        if (a.depth == 1) plain(a, x, r, c, divisor, y);
        else blocked(a, x, r, c, divisor, y);
    }
}

}  // namespace

void pool_rows(const void* args, const Span& span) {
    const PoolArgs& a = *static_cast<const PoolArgs*>(args);
    const Int blocks = a.images / a.n;
    for (Int block = 0; block < blocks; ++block)
        for (Int oh = span.begin; oh < span.end; ++oh) pool_row(a, span.image * blocks + block, oh);
}

void pool(const void* args, Team& team) {
    const PoolArgs& a = *static_cast<const PoolArgs*>(args);
    if (even(a.n * a.out_h, team))
        return share_rows(a.n, a.out_h, team, [&](const Span& span) { pool_rows(&a, span); });
    const Range range = share(a.images * a.out_h, team);
    for (Int i = range.begin; i < range.end; ++i) pool_row(a, i / a.out_h, i % a.out_h);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
