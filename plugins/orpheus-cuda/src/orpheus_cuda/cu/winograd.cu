// Winograd's convolution, stride 1, NHWC, float: Y = A' [(G w G') * (B' x B)] A (A. Lavin, S. Gray, Fast Algorithms for
// Convolutional Neural Networks, CVPR 2016). Tiles of OH x OW outputs from NH x NW inputs; the transforms of each axis
// are generated from their points (orpheus_core.geometry.cook_toom). Between these two kernels product.cu multiplies
// V by the weights' elements, a matrix for each element of a tile.
// inputs:  X [N, H, W, C] -> V [element][tile][C], what lies outside X being zero
// outputs: M [element][tile][F] -> Y [N, P, Q, F], with the epilogue of product.cu
// A thread a tile and a channel, neighbouring threads neighbouring channels. `pitch`: floats from one element of V or M
// to the next. Bound by memory.

typedef float vec;

extern "C" __global__ void inputs(const float *x, float *v, const i64 count, const i64 pitch, const int C, const int H,
                                  const int W, const int down, const int across, const int top, const int left) {
    after_others();
    if (INDEX >= count) return;
    const int c = (int)(INDEX % C), tile = (int)(INDEX / C), n = tile / (down * across);
    const int row = tile / across % down * OH - top, column = tile % across * OW - left;
    const float *const from = x + (((i64)n * H + row) * W + column) * C + c;
    vec half_[NH][NW];
#pragma unroll
    for (int j = 0; j < NW; ++j) {
        vec d[NH], o[NH];
#pragma unroll
        for (int i = 0; i < NH; ++i)
            d[i] = (u32)(row + i) < (u32)H && (u32)(column + j) < (u32)W ? from[((i64)i * W + j) * C] : 0.0f;
        rows_inputs(d, o)
#pragma unroll
        for (int i = 0; i < NH; ++i) half_[i][j] = o[i];
    }
#pragma unroll
    for (int i = 0; i < NH; ++i) {
        vec o[NW];
        columns_inputs(half_[i], o)
#pragma unroll
        for (int j = 0; j < NW; ++j) v[(i * NW + j) * pitch + INDEX] = o[j];
    }
}

extern "C" __global__ void outputs(const float *m, const float *bias, const float *r, const float *scale,
                                   const float *shift, float *y, float *raw, const i64 count, const i64 pitch,
                                   const int F, const int P, const int Q, const int down, const int across,
                                   const float p0, const float p1) {
    after_others();
    if (INDEX >= count) return;
    const int f = (int)(INDEX % F), tile = (int)(INDEX / F), n = tile / (down * across);
    const int row = tile / across % down * OH, column = tile % across * OW;
    vec half_[OH][NW];
#pragma unroll
    for (int j = 0; j < NW; ++j) {
        vec d[NH], o[OH];
#pragma unroll
        for (int i = 0; i < NH; ++i) d[i] = m[(i * NW + j) * pitch + INDEX];
        rows_outputs(d, o)
#pragma unroll
        for (int i = 0; i < OH; ++i) half_[i][j] = o[i];
    }
    const float first = bias ? bias[f] : 0.0f, by = scale ? scale[f] : 1.0f, more = scale ? shift[f] : 0.0f;
#pragma unroll
    for (int i = 0; i < OH; ++i) {
        vec o[OW];
        columns_outputs(half_[i], o)
#pragma unroll
        for (int j = 0; j < OW; ++j) {
            if (row + i >= P || column + j >= Q) continue;
            const i64 at = (((i64)n * P + row + i) * Q + column + j) * F + f;
            float value = o[j] + first;
            if (r) value += r[at];
            if (raw) raw[at] = value;
            if (scale) value = value * by + more;
            y[at] = apply(value, p0, p1);
        }
    }
}
