// The register tile of a plain matrix product: T rows of the result by max_vectors vectors of its columns.
//
// The left factor's scalars are broadcast, the right factor is packed into panels [k][max_vectors * B]; the loops are
// those of tile.hpp, and the result is stored row by row.
#pragma once

#include "tile.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

constexpr int panel = max_vectors * B;

// y[t][j] = act(clamp((alpha * sum + beta * c + residual) * scale[t] + shift[t])) for `columns` columns of a panel.
// c is read at c[t * c_row + j * c_col], residual and `sum` (the value before scale and shift) like y.
struct RowFinish {
    float* y;
    Int ldy, columns;
    float alpha, beta;
    const float* c;
    Int c_row, c_col;
    const float* residual;
    float* sum;
    const float* scale;
    const float* shift;
    float lo, hi;
    Int act;
    float act_a, act_b;
};

ORPHEUS_INLINE Vec load_upto(const float* p, Int count) { return count >= B ? load(p) : load_some(p, count); }
ORPHEUS_INLINE void store_upto(float* p, Vec v, Int count) {
    if (count >= B) store(p, v);
    else store_some(p, v, count);
}

// One vector of row t, `count` of its lanes wanted, from column j on.
ORPHEUS_INLINE void end_vector(Vec v, const RowFinish& f, Int t, Int j, Int count) {
    v = v * broadcast(f.alpha);
    if (f.c) {
        const float* c = f.c + t * f.c_row + j * f.c_col;
        v = fma(f.c_col ? load_upto(c, count) : broadcast(*c), broadcast(f.beta), v);
    }
    if (f.residual) v = v + load_upto(f.residual + t * f.ldy + j, count);
    if (f.sum) store_upto(f.sum + t * f.ldy + j, v, count);
    if (f.scale) v = fma(v, broadcast(f.scale[t]), broadcast(f.shift[t]));
    store_upto(f.y + t * f.ldy + j, clamp(v, broadcast(f.lo), broadcast(f.hi)), count);
    if (f.act) activate(f.act, f.act_a, f.act_b, f.y + t * f.ldy + j, least(count, Int{B}));
}

// Rows [0, rows) of one panel; rows are s.pixel_stride floats apart in the left factor. At most max_pixels.
void row_tile(Int rows, const Sum& s, const RowFinish& f);

}  // namespace orpheus::ORPHEUS_NAMESPACE
