// Depthwise convolution on NCHWc: every channel alone, a vector of channels at a time.
//
// Layout: x, y [n, blocks, h, w, B]; weights [block][kernel row][kernel column][B]; blocks are ConvArgs.groups.
// Order of the loops: image and block, output row, tile of pixels, kernel row, kernel column. Register tile: `pixels`
// accumulators; kernel sizes 3 and 5 at strides 1 and 2 are compiled as such, so that an input vector that several
// taps of a row use is loaded once. Pixels whose window crosses the left or right edge are done one by one with the
// taps that lie inside. Threads: equal runs of (image, block, row).

#include "tile.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

constexpr int pixels_at_once = max_pixels > 8 ? 8 : max_pixels - 2;

// T neighbouring pixels; KW taps a row and S input columns between pixels, 0 for numbers known only at run time.
template <int T, int KW, int S>
ORPHEUS_INLINE void pixels(const ConvArgs& a, const float* x, const float* w, Int rows, Int cols, const Finish& f) {
    const Int taps = KW ? KW : cols, stride = (S ? S : a.sw) * B, step = (KW && S ? 1 : a.dw) * B;
    Vec acc[1][T];
    start<T, 1>(acc, f);
    for (Int r = 0; r < rows; ++r) {
        const float* row = x + r * a.dh * a.in_w * B;
        ORPHEUS_UNROLL
        for (Int c = 0; c < taps; ++c) {
            const Vec weight = load(w + (r * a.kw + c) * B);
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[0][t] = fma(load(row + t * stride + c * step), weight, acc[0][t]);
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

template <int KW, int S>
void row(const ConvArgs& a, Int item, Int oh, Inside in) {
    const Int block = item % a.groups, ih = oh * a.sh - a.pt;
    const Int r0 = ih < 0 ? least(ceil_div(-ih, a.dh), a.kh) : 0;
    const Int rows = most(Int{0}, least(a.kh, ih < a.in_h ? ceil_div(a.in_h - ih, a.dh) : 0) - r0);
    const float* x = a.x + (item * a.in_h + ih + r0 * a.dh) * a.in_w * B;
    const float* w = a.w + (block * a.kh + r0) * a.kw * B;
    const Int offset = (item * a.out_h + oh) * a.out_w * B;
    const auto edge = [&](Int ow) {
        const Int iw = ow * a.sw - a.pl;
        const Int c0 = iw < 0 ? least(ceil_div(-iw, a.dw), a.kw) : 0;
        const Int cols = most(Int{0}, least(a.kw, iw < a.in_w ? ceil_div(a.in_w - iw, a.dw) : 0) - c0);
        pixels<1, 0, 0>(a, x + (iw + c0 * a.dw) * B, w + c0 * B, rows, cols, finish_at(a, block, offset + ow * B));
    };
    for (Int ow = 0; ow < in.begin; ++ow) edge(ow);
    Int ow = in.begin;
    for (; ow + pixels_at_once <= in.end; ow += pixels_at_once)
        pixels<pixels_at_once, KW, S>(a, x + (ow * a.sw - a.pl) * B, w, rows, a.kw,
                                      finish_at(a, block, offset + ow * B));
    for (; ow + 2 <= in.end; ow += 2)
        pixels<2, KW, S>(a, x + (ow * a.sw - a.pl) * B, w, rows, a.kw, finish_at(a, block, offset + ow * B));
    for (; ow < a.out_w; ++ow) edge(ow);
    if (a.tail && block == a.groups - 1) {
        zero_tail(a.y + offset, a.out_w, a.tail);
        if (a.sum) zero_tail(a.sum + offset, a.out_w, a.tail);
    }
}

}  // namespace

void depthwise(const void* args, Team& team) {
    const ConvArgs& a = *static_cast<const ConvArgs*>(args);
    const Inside in = inside(a);
    auto* one = &row<0, 0>;
    if (a.dw == 1 && a.kw == 3 && a.sw == 1) one = &row<3, 1>;
    if (a.dw == 1 && a.kw == 3 && a.sw == 2) one = &row<3, 2>;
    if (a.dw == 1 && a.kw == 5 && a.sw == 1) one = &row<5, 1>;
    if (a.dw == 1 && a.kw == 5 && a.sw == 2) one = &row<5, 2>;
    const Range range = share(a.n * a.groups * a.out_h, team);
    for (Int i = range.begin; i < range.end; ++i) one(a, i / a.out_h, i % a.out_h, in);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
