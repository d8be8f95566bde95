// What Winograd's forms do to tiles: the input's transform, and the inverse with the epilogue. See kernels/winograd.cpp.
#pragma once

#include "activate.hpp"
#include "winograd_fresh.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

#include "winograd_transforms.inc"

constexpr float nothing[B] = {};

// The elements of one vector of tiles, or of one tile of a block of channels, `stride` apart in v; at(i, j) is the input.
template <class R, class C, class At>
ORPHEUS_INLINE void transform(const At& at, float* v, Int stride) {
    Vec columns[R::size][C::size];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; ++j) {
        Vec d[R::size], o[R::size];
        ORPHEUS_UNROLL
        for (int i = 0; i < R::size; ++i) d[i] = at(i, j);
        R::input(d, o);
        ORPHEUS_UNROLL
        for (int i = 0; i < R::size; ++i) columns[i][j] = o[i];
    }
    ORPHEUS_UNROLL
    for (int i = 0; i < R::size; ++i) {
        Vec o[C::size];
        C::input(columns[i], o);
        ORPHEUS_UNROLL
        for (int j = 0; j < C::size; ++j) store(v + (i * C::size + j) * stride, o[j]);
    }
}

// One tile of one block of channels, at row ih and column iw of x.
template <class R, class C, int S>
void transform_block(const ConvArgs& a, const float* x, Int ih, Int iw, float* v, Int stride) {
    constexpr Int last_h = (R::size - 1) * S, last_w = (C::size - 1) * S;
    const bool inside = ih >= 0 && iw >= 0 && ih + last_h < a.in_h && iw + last_w < a.in_w;
    const auto at = [&](int i, int j) {
        const Int h = ih + i * S, w = iw + j * S;
        const bool has = inside || (h >= 0 && h < a.in_h && w >= 0 && w < a.in_w);
        return load(has ? x + (h * a.in_w + w) * B : nothing);
    };
    transform<R, C>(at, v, stride);
}

// A row of a plain input, null for one of zeros, as one run for each place in a tile: y[place][tile], `length` tiles.
template <class C, int S>
void spread(const ConvArgs& a, const float* x, float* y, Int length) {
    constexpr Int places = C::out * S;
    const Int begin = x ? least(ceil_div(a.pl, places), length) : length;
    const Int end = x ? most(begin, least((a.in_w + a.pl) / places, length)) : length;
    const auto edge = [&](Int tile) {
        for (Int p = 0, w = tile * places - a.pl; p < places; ++p, ++w)
            y[p * length + tile] = x && w >= 0 && w < a.in_w ? x[w] : 0.0f;
    };
    for (Int tile = 0; tile < begin; ++tile) edge(tile);
    for (Int tile = begin; tile < end; ++tile) {
        ORPHEUS_UNROLL
        for (Int p = 0; p < places; ++p) y[p * length + tile] = x[tile * places - a.pl + p];
    }
    for (Int tile = end; tile < length; ++tile) edge(tile);
}

// A vector of tiles of one channel, whose rows are spread from x on; `phase` is that of the columns.
template <class R, class C, int S>
void transform_plain(const float* x, Int length, Int phase, float* v, Int stride) {
    constexpr Int places = C::out * S;
    const auto at = [&](int i, int j) {
        const Int w = j * S + phase;
        return load(x + (i * S * places + w % places) * length + w / places);
    };
    transform<R, C>(at, v, stride);
}

// One tile of one output block: m to the result at y, `offset` floats from the block's first pixel of this image.
template <class R, class C>
void inverse(const ConvArgs& a, const float* m, Int stride, Int block, Int offset, Int rows, Int cols) {
    Vec columns[R::out][C::size];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; ++j) {
        Vec d[R::size], o[R::out];
        ORPHEUS_UNROLL
        for (int i = 0; i < R::size; ++i) d[i] = load(m + (i * C::size + j) * stride);
        R::output(d, o);
        ORPHEUS_UNROLL
        for (int i = 0; i < R::out; ++i) columns[i][j] = o[i];
    }
    const Int channel = block * B;
    const Vec bias = a.bias ? load(a.bias + channel) : zero();
    const Vec lo = broadcast(a.lo), hi = broadcast(a.hi);
    for (Int i = 0; i < rows; ++i, offset += a.out_w * B) {
        Vec o[C::out];
        C::output(columns[i], o);
        for (Int j = 0; j < cols; ++j) {
            Vec value = o[j] + bias;
            const Int at = offset + j * B;
            if (a.residual) value = value + load(a.residual + at);
            if (a.sum) store(a.sum + at, value);
            if (a.scale) value = fma(value, load(a.scale + channel), load(a.shift + channel));
            store(a.y + at, clamp(value, lo, hi));
        }
        if (a.act) activate(a.act, a.act_a, a.act_b, a.y + offset, cols * B);
        if (a.tail && block == a.out_blocks - 1) {
            zero_tail(a.y + offset, cols, a.tail);
            if (a.sum) zero_tail(a.sum + offset, cols, a.tail);
        }
    }
}

// What differs between the forms.
struct Form {
    Int out_h, out_w, size_h, size_w, step;
    void (*transform_block)(const ConvArgs&, const float*, Int, Int, float*, Int);
    // Where the input may be plain:
    void (*spread)(const ConvArgs&, const float*, float*, Int);
    void (*transform_plain)(const float*, Int, Int, float*, Int);
    void (*inverse)(const ConvArgs&, const float*, Int, Int, Int, Int, Int);
    // Where weights are transformed as they are used, else null:
    const Weigh* weigh = nullptr;      // by the row of elements
    const FreshRows* fresh = nullptr;  // products of tiles, by their number,
    Int few = 0;                       // as long as they are no more
};

template <class R, class C, int S, int Plain, int Fly>
constexpr Form form_of() {
    Form f{R::out, C::out, R::size, C::size, S, transform_block<R, C, S>, nullptr, nullptr, inverse<R, C>};
    if constexpr (Plain) {
        f.spread = spread<C, S>;
        f.transform_plain = transform_plain<R, C, S>;
    }
    if constexpr (Fly) {
        f.weigh = FreshForm<R, C>::weigh_rows;
        f.few = few_tiles<C>;
        f.fresh = FewTiles<R, C>::by_tiles;
    }
    return f;
}

#define ORPHEUS_FORM(R, C, S, plain, fly) form_of<R, C, S, plain, fly>(),
constexpr Form forms[] = {ORPHEUS_FORMS(ORPHEUS_FORM)};

}  // namespace

}  // namespace orpheus::ORPHEUS_NAMESPACE
