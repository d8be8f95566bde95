// Products of Winograd's forms whose weights are kept as they are, and transformed each time they are used.
//
// A transformed filter of F(4x4, 3x3) is 36 numbers for 9. Where tiles are few, as at 7x7 and 8x8, the way of the weights
// from L3 or memory takes longer than the products; to transform them again takes less. Two ways, a row of elements at a time:
// - few tiles: registers hold the sums of a row of elements for all of them; its weights are formed as they are wanted. The
//   columns of the transform (R) are done again for each row, of nine loads from L1.
// - more tiles: a row's weights of 16 channels are stored, and read from L1 by the usual register tile (kernels/winograd.cpp).
// Measured on an Intel server's core (214 GFLOP/s) by `orpheus layer`, transforms included, share of peak by the form's own
// multiplications: 512 channels at 7x7 42 %, 256 at 14x14 by F(5,3) 39 %, 128 at 8x8 38 %; in us beside winograd4, winograd4x2 and
// direct 848, 1652, 1056, 1466 there, 686, 607, 641 (14x14) and 58.7, 71.7, 52.7, 110 (8x8), with cold weights 998, 2580, 1707, 1488;
// 850, 869, 742, 1462; 99, 255, 159, 143. A multiply-add with an operand in memory takes 0.6 of a cycle there, not half a one.
#pragma once

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// Row I of the elements of a channel's weights, in a vector of filters: use(element of the row, its weights). Taps lie
// `width` floats apart in w. Each row asks for its share of as many weights at `next`.
template <class R, class C, int I, class Use>
ORPHEUS_INLINE void weigh_row(const float* w, Int width, const float* next, const Use& use) {
    constexpr int taps = R::taps * C::taps, first = taps * I / R::size, last = taps * (I + 1) / R::size;
    ORPHEUS_UNROLL
    for (int t = first; t < last; ++t) prefetch_far(next + t * width);
    Vec row[C::taps];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::taps; ++j) {
        Vec d[R::taps];
        ORPHEUS_UNROLL
        for (int t = 0; t < R::taps; ++t) d[t] = load(w + (t * C::taps + j) * width);
        R::weights(d, [&](int i, Vec v) __attribute__((always_inline)) { if (i == I) row[j] = v; });
    }
    C::weights(row, use);
}

// The same of `depth` channels and `width` filters: w is [channel][tap][width], u [element of the row][channel][width],
// elements `stride` apart.
template <class R, class C, int I>
void weigh(const float* w, Int depth, Int width, float* u, Int stride, const float* next) {
    for (Int d = 0; d < depth; ++d, u += width) {
        for (Int i = 0; i < width; i += B) {
            const auto put = [&](int j, Vec v) __attribute__((always_inline)) { store(u + j * stride + i, v); };
            weigh_row<R, C, I>(w + i, width, next + i, put);
        }
        w += R::taps * C::taps * width;
        next += R::taps * C::taps * width;
    }
}

using Weigh = void (*)(const float*, Int, Int, float*, Int, const float*);

// All elements of a few tiles by one vector of filters, over the channels of a block: y[element][tile] += x * weights, which
// stay in registers. w is [channel][tap][B].
struct Fresh {
    const float* x;
    Int x_stride;  // from element to element
    const float* w;
    const float* next;  // as many weights that come later
    Int depth;
    float* y;
    Int y_stride;
    bool resume;
};

template <class R, class C, int T, int I>
ORPHEUS_INLINE void fresh_row(const Fresh& f) {
    const Int x_stride = f.x_stride, y_stride = f.y_stride;
    float* y = f.y + I * C::size * y_stride;
    Vec acc[C::size][T];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; ++j) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[j][t] = f.resume ? load(y + j * y_stride + t * B) : zero();
    }
    // Three elements for each pointer: one and two strides on are addresses of the processor.
    const float* x[(C::size + 2) / 3];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; j += 3) x[j / 3] = f.x + (I * C::size + j) * x_stride;
    const float* w = f.w;
    const float* next = f.next;
    for (Int d = 0; d < f.depth; ++d) {
        ORPHEUS_UNROLL
        for (int j = 0; j < C::size; j += 3) __asm__("" : "+r"(x[j / 3]));
        const auto add = [&](int j, Vec weights) __attribute__((always_inline)) {
            const float* at = x[j / 3] + j % 3 * x_stride;
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[j][t] = fma(broadcast(at[t * B]), weights, acc[j][t]);
        };
        weigh_row<R, C, I>(w, B, next, add);
        w += R::taps * C::taps * B;
        next += R::taps * C::taps * B;
        ORPHEUS_UNROLL
        for (int j = 0; j < C::size; j += 3) ++x[j / 3];
    }
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; ++j) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) store(y + j * y_stride + t * B, acc[j][t]);
    }
}

using FreshRows = void (*)(const Fresh&);

// Each row of elements by itself, and all of them by so many tiles.
template <class R, class C, class Rows = UpTo<R::size>> struct FreshForm;
template <class R, class C, int... I> struct FreshForm<R, C, Numbers<I...>> {
    static constexpr Weigh weigh_rows[] = {weigh<R, C, I - 1>...};
    template <int T> static void multiply(const Fresh& f) { (fresh_row<R, C, T, I - 1>(f), ...); }
};

// As many tiles as registers have room for a row of elements of each, and the products of so many and fewer.
template <class C>
constexpr int few_tiles = most((max_pixels * max_vectors - 2) / C::size, 1);
template <class R, class C, class Tiles = UpTo<few_tiles<C>>> struct FewTiles;
template <class R, class C, int... T> struct FewTiles<R, C, Numbers<T...>> {
    static constexpr FreshRows by_tiles[] = {FreshForm<R, C>::template multiply<T>...};
};

}  // namespace

}  // namespace orpheus::ORPHEUS_NAMESPACE
