// Depthwise convolution on NCHWc: every channel alone, a vector of channels at a time.
//
// Layout: x, y [n, blocks, h, w, B]; weights [block][kernel row][kernel column][B]; blocks are ConvArgs.groups.
// Kernels of 3x3 and 5x5 at strides 1 and 2: order of the loops: image and block, two output rows, tile of columns, input
// row, input column. Register tile: 2 x columns_at_once accumulators; an input vector is loaded once for all taps of both
// rows, columns beyond the input are left out by a mask of bits.
// All others: output row, tile of pixels, kernel row, kernel column; pixels whose window crosses the left or right edge
// are done one by one with the taps that lie inside.
// Threads: as the 1x1 convolution before it (conv.cpp) shares out its result, so that what a thread reads lies in its own
// L2: by rows, or, of more channels than pixels, by blocks (MobileNetV1's at 14x14, two cores of an Intel server: 20 us
// instead of 29). By blocks too where rows do not divide evenly.
// Measured on Zen 4, share of the peak of one core: 3x3 66-80 % at stride 1 and 46 % at stride 2, 5x5 94 %.

#include "tile.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

constexpr int pixels_at_once = max_pixels > 8 ? 8 : max_pixels - 2;
constexpr int columns_at_once = max_pixels > 8 ? 8 : 3;

// T neighbouring pixels of one row, for any kernel.
template <int T>
ORPHEUS_INLINE void pixels(const ConvArgs& a, const float* x, const float* w, Int rows, Int cols, const Finish& f) {
    Vec acc[1][T];
    start<T, 1>(acc, f);
    for (Int r = 0; r < rows; ++r) {
        const float* row = x + r * a.dh * a.in_w * B;
        for (Int c = 0; c < cols; ++c) {
            const Vec weight = load(w + (r * a.kw + c) * B);
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[0][t] = fma(load(row + (t * a.sw + c * a.dw) * B), weight, acc[0][t]);
        }
    }
    end<T, 1>(acc, f);
}

Finish finish_at(const ConvArgs& a, Int block, Int offset) {
    const Int channel = block * B;
    return {a.y + offset,
            0,
            a.bias ? a.bias + channel : nullptr,
            a.residual ? a.residual + offset : nullptr,
            a.scale ? a.scale + channel : nullptr,
            a.shift ? a.shift + channel : nullptr,
            a.sum ? a.sum + offset : nullptr,
            a.lo,
            a.hi,
            a.act,
            a.act_a,
            a.act_b,
            false,
            false};
}

// Output columns whose whole window lies inside the input: [begin, end).
struct Inside {
    Int begin, end;
};
Inside inside(const ConvArgs& a) {
    const Int reach = (a.kw - 1) * a.dw, room = a.in_w + a.pl - reach - 1;
    const Int begin = least(ceil_div(a.pl, a.sw), a.out_w);
    const Int end = room < 0 ? begin : most(begin, least(room / a.sw + 1, a.out_w));
    return {begin, end};
}

void row(const ConvArgs& a, Int item, Int oh, Inside in) {
    const Int block = item % a.groups, ih = oh * a.sh - a.pt;
    const Int r0 = ih < 0 ? least(ceil_div(-ih, a.dh), a.kh) : 0;
    const Int rows = most(Int{0}, least(a.kh, ih < a.in_h ? ceil_div(a.in_h - ih, a.dh) : 0) - r0);
    const float* x = a.x + (item * a.x_plane + (ih + r0 * a.dh) * a.in_w) * B;
    const float* w = a.w + (block * a.kh + r0) * a.kw * B;
    const Int offset = (item * a.y_plane + oh * a.out_w) * B;
    const auto edge = [&](Int ow) {
        const Int iw = ow * a.sw - a.pl;
        const Int c0 = iw < 0 ? least(ceil_div(-iw, a.dw), a.kw) : 0;
        const Int cols = most(Int{0}, least(a.kw, iw < a.in_w ? ceil_div(a.in_w - iw, a.dw) : 0) - c0);
        pixels<1>(a, x + (iw + c0 * a.dw) * B, w + c0 * B, rows, cols, finish_at(a, block, offset + ow * B));
    };
    for (Int ow = 0; ow < in.begin; ++ow) edge(ow);
    Int ow = in.begin;
    for (; ow + pixels_at_once <= in.end; ow += pixels_at_once)
        pixels<pixels_at_once>(a, x + (ow * a.sw - a.pl) * B, w, rows, a.kw, finish_at(a, block, offset + ow * B));
    for (; ow < in.end; ++ow)
        pixels<1>(a, x + (ow * a.sw - a.pl) * B, w, rows, a.kw, finish_at(a, block, offset + ow * B));
    for (; ow < a.out_w; ++ow) edge(ow);
}

// The epilogue of what lies `distance` floats further.
ORPHEUS_INLINE Finish below(Finish f, Int distance) {
    f.y += distance;
    if (f.residual) f.residual += distance;
    if (f.sum) f.sum += distance;
    return f;
}

// R output rows by T columns of a K x K kernel with stride S. Row ih of the input is the first that they see; bit j of
// `columns` says whether the tile's input column j, at x + j * B, lies inside.
template <int K, int S, int R, int T>
__attribute__((noinline)) void patch(const ConvArgs& a, const float* x, const float* w, Int ih, unsigned columns,
                                     const Finish& f) {
    constexpr int width = (T - 1) * S + K;
    Vec acc[R][1][T];
    ORPHEUS_UNROLL
    for (int r = 0; r < R; ++r) start<T, 1>(acc[r], below(f, r * a.out_w * B));
    ORPHEUS_UNROLL
    for (int i = 0; i < (R - 1) * S + K; ++i) {
        if (ih + i < 0 || ih + i >= a.in_h) continue;
        const float* row = x + i * a.in_w * B;
        Vec weights[R][K];
        ORPHEUS_UNROLL
        for (int r = 0; r < R; ++r) {
            ORPHEUS_UNROLL
            for (int c = 0; c < K; ++c)
                if (i >= r * S && i < r * S + K) weights[r][c] = load(w + ((i - r * S) * K + c) * B);
        }
        ORPHEUS_UNROLL
        for (int j = 0; j < width; ++j) {
            if (!(columns >> j & 1)) continue;
            const Vec value = load(row + j * B);
            ORPHEUS_UNROLL
            for (int r = 0; r < R; ++r) {
                ORPHEUS_UNROLL
                for (int c = 0; c < K; ++c)
                    if (i >= r * S && i < r * S + K && j >= c && (j - c) % S == 0 && (j - c) / S < T)
                        acc[r][0][(j - c) / S] = fma(value, weights[r][c], acc[r][0][(j - c) / S]);
            }
        }
    }
    ORPHEUS_UNROLL
    for (int r = 0; r < R; ++r) end<T, 1>(acc[r], below(f, r * a.out_w * B));
}

using Patch = void (*)(const ConvArgs&, const float*, const float*, Int, unsigned, const Finish&);

template <int K, int S, int... T>
ORPHEUS_INLINE Patch pick(Int rows, Int columns, Numbers<T...>) {
    static constexpr Patch all[2][columns_at_once] = {{&patch<K, S, 1, T>...}, {&patch<K, S, 2, T>...}};
    return all[rows - 1][columns - 1];
}

// One or two output rows from row oh on.
template <int K, int S>
void patches(const ConvArgs& a, Int item, Int oh, Int rows) {
    const Int block = item % a.groups, ih = oh * S - a.pt, count = ceil_div(a.out_w, columns_at_once);
    const float* w = a.w + block * K * K * B;
    for (Int i = 0; i < count; ++i) {
        const Int ow = a.out_w * i / count, columns = a.out_w * (i + 1) / count - ow, iw = ow * S - a.pl;
        const float* x = a.x + (item * a.x_plane + ih * a.in_w + iw) * B;
        const Int before = least(most(-iw, Int{0}), Int{31}), inside = most(least(a.in_w - iw, Int{31}), Int{0});
        const unsigned bits = ((1u << inside) - 1u) & ~((1u << before) - 1u);
        const Finish f = finish_at(a, block, (item * a.y_plane + oh * a.out_w + ow) * B);
        pick<K, S>(rows, columns, UpTo<columns_at_once>{})(a, x, w, ih, bits, f);
    }
}

using Pair = void (*)(const ConvArgs&, Int, Int, Int);

// Two rows at once for the common kernels, null for others.
Pair pair_of(const ConvArgs& a) {
    if (a.dh != 1 || a.dw != 1 || a.kh != a.kw || a.sh != a.sw) return nullptr;
    if (a.kw == 3 && a.sw == 1) return &patches<3, 1>;
    if (a.kw == 3 && a.sw == 2) return &patches<3, 2>;
    if (a.kw == 5 && a.sw == 1) return &patches<5, 1>;
    if (a.kw == 5 && a.sw == 2) return &patches<5, 2>;
    return nullptr;
}

// One or two rows of one block of channels.
void some_rows(const ConvArgs& a, Pair two, Inside in, Int item, Int oh, Int rows) {
    if (two) two(a, item, oh, rows);
    else row(a, item, oh, in);
    if (a.tail && item % a.groups == a.groups - 1) {
        const Int offset = (item * a.y_plane + oh * a.out_w) * B;
        zero_tail(a.y + offset, rows * a.out_w, a.tail);
        if (a.sum) zero_tail(a.sum + offset, rows * a.out_w, a.tail);
    }
}

// Rows [rows) counted over all images, block after block of each image.
void span_of(const ConvArgs& a, Range rows) {
    const Inside in = inside(a);
    const Pair two = pair_of(a);
    const Int step = two ? 2 : 1;
    for (Int begin = rows.begin, end; begin < rows.end; begin = end) {
        const Int image = begin / a.out_h, before = image * a.out_h;
        end = least(before + a.out_h, rows.end);
        for (Int block = 0; block < a.groups; ++block)
            for (Int row = begin; row < end; row += step)
                some_rows(a, two, in, image * a.groups + block, row - before, least(step, end - row));
    }
}

}  // namespace

void depthwise_rows(const void* args, const Span& span) {
    const ConvArgs& a = *static_cast<const ConvArgs*>(args);
    const Int before = span.image * a.out_h;
    span_of(a, {before + span.begin, before + span.end});
}

void depthwise(const void* args, Team& team) {
    const ConvArgs& a = *static_cast<const ConvArgs*>(args);
    const Int rows = a.n * a.out_h;
    const bool by_rows = a.groups * B <= a.in_h * a.in_w;  // a 1x1's weights are no larger than its input
    if (by_rows && even(rows, team)) return span_of(a, share(rows, team));
    const Inside in = inside(a);
    const Pair two = pair_of(a);
    const Int step = two ? 2 : 1, steps = ceil_div(a.out_h, step);
    const Range range = share(a.n * a.groups * steps, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int oh = i % steps * step;
        some_rows(a, two, in, i / steps, oh, least(step, a.out_h - oh));
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
