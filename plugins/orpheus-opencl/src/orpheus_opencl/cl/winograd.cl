// Winograd's convolution, stride 1, NCHW16c: Y = A' [(G w G') * (B' x B)] A (A. Lavin, S. Gray, Fast Algorithms for
// Convolutional Neural Networks, CVPR 2016). Tiles of OH x OW outputs from NH x NW inputs; the transforms of each axis
// are generated from their points (orpheus_core.geometry.cook_toom). Three kernels, each with a program of its own
// (INPUTS, PRODUCTS, OUTPUTS), so that few are compiled:
// inputs   X [N, CB, H, W, 16] -> V [element][CB][tile][16], what lies outside X being zero
// products V, U [element][MB][C][16] -> M [element][MB][tile][16]: for each element a matrix product
// outputs  M -> Y [N, MB, P, Q, 16], with the epilogue of common.cl
// `pitch`: floats from one element of V or M to the next, an odd number of blocks, so that the elements of one tile do
// not meet in one set of a cache. T tiles from tile `first` of the layer on are in memory at once, a band; a work item of
// inputs and outputs takes `run` of them, one of products MT blocks of filters x QT tiles.

#ifdef INPUTS
__kernel void inputs(IN(x), OUTF(v), const int first, const int T, const int run, const int pitch, const int H,
                     const int W, const int down, const int across, const int top, const int left) {
    AT(x); AT(v);
    const int part = get_global_id(0) % PARTS * V, cb = get_global_id(1), CB = get_global_size(1);
    const int begin = get_global_id(0) / PARTS * run, end = min(begin + run, T);
    for (int t = begin; t < end; ++t) {
        const int tile = first + t, n = tile / (down * across);
        const int row = tile / across % down * OH - top, column = tile % across * OW - left;
        const bool inside = row >= 0 && column >= 0 && row + NH <= H && column + NW <= W;
        __global const scalar *from = x + (((long)(n * CB + cb) * H + row) * W + column) * BLOCK + part;
        vec half_[NH][NW];
        #pragma unroll
        for (int j = 0; j < NW; ++j) {
            vec d[NH], o[NH];
            #pragma unroll
            for (int i = 0; i < NH; ++i) {
                d[i] = (vec)(0.0f);
                if (inside || ((uint)(row + i) < (uint)H && (uint)(column + j) < (uint)W))
                    d[i] = LOAD(from + (i * W + j) * BLOCK);
            }
            rows_inputs(d, o)
            #pragma unroll
            for (int i = 0; i < NH; ++i) half_[i][j] = o[i];
        }
        __global float *to = v + ((long)cb * T + t) * BLOCK + part;
        #pragma unroll
        for (int i = 0; i < NH; ++i) {
            vec o[NW];
            columns_inputs(half_[i], o)
            #pragma unroll
            for (int j = 0; j < NW; ++j) STOREF(o[j], to + (long)(i * NW + j) * pitch);
        }
    }
}
#endif

#ifdef PRODUCTS
// The last tiles and filters are moved back to end where they end.
__kernel void products(INF(v), INF(u), OUTF(m), const int T, const int C, const int MB, const int vpitch,
                       const int mpitch) {
    AT(v); AT(u); AT(m);
    const int part = get_global_id(0) % PARTS * V, element = get_global_id(2);
    const int q = min((int)get_global_id(0) / PARTS * QT, T - QT), mb = min((int)get_global_id(1) * MT, MB - MT);
    const long filter = (long)C * BLOCK;
    __global const float *us = u + ((long)element * MB + mb) * filter + part;
    __global const float *vs = v + (long)element * vpitch + q * BLOCK;
    vec acc[MT][QT];
    #pragma unroll
    for (int i = 0; i < MT; ++i)
        #pragma unroll
        for (int j = 0; j < QT; ++j) acc[i][j] = (vec)(0.0f);
    for (int c = 0; c < C; c += BLOCK, vs += (long)T * BLOCK) {
        const int cs = min(BLOCK, C - c);
        #pragma unroll 1
        for (int k = 0; k < cs; ++k, us += BLOCK) {
            vec f[MT];
            #pragma unroll
            for (int i = 0; i < MT; ++i) f[i] = LOADF(us + i * filter);
            #pragma unroll
            for (int j = 0; j < QT; ++j) {
                const vec a = (vec)(vs[j * BLOCK + k]);
                #pragma unroll
                for (int i = 0; i < MT; ++i) acc[i][j] = fma(f[i], a, acc[i][j]);
            }
        }
    }
    __global float *ms = m + (long)element * mpitch + ((long)mb * T + q) * BLOCK + part;
    #pragma unroll
    for (int i = 0; i < MT; ++i)
        #pragma unroll
        for (int j = 0; j < QT; ++j) STOREF(acc[i][j], ms + ((long)i * T + j) * BLOCK);
}
#endif

#ifdef OUTPUTS
__kernel void outputs(INF(m), EPILOGUE, const int first, const int T, const int run, const int pitch, const int down,
                      const int across, const int P, const int Q, const int M, const float p0, const float p1) {
    AT(m); AT_EPILOGUE;
    const int part = get_global_id(0) % PARTS * V, mb = get_global_id(1), MB = get_global_size(1);
    const int begin = get_global_id(0) / PARTS * run, end = min(begin + run, T);
    OF_FILTERS(mb * BLOCK + part);
    for (int t = begin; t < end; ++t) {
        __global const float *from = m + ((long)mb * T + t) * BLOCK + part;
        vec half_[OH][NW], done[OH][OW];
        #pragma unroll
        for (int j = 0; j < NW; ++j) {
            vec d[NH], o[OH];
            #pragma unroll
            for (int i = 0; i < NH; ++i) d[i] = LOADF(from + (long)(i * NW + j) * pitch);
            rows_outputs(d, o)
            #pragma unroll
            for (int i = 0; i < OH; ++i) half_[i][j] = o[i];
        }
        #pragma unroll
        for (int i = 0; i < OH; ++i) columns_outputs(half_[i], done[i])
        const int tile = first + t, n = tile / (down * across);
        const int row = tile / across % down * OH, column = tile % across * OW;
        const int rows = min(OH, P - row), columns = min(OW, Q - column);
        const long corner = (((long)(n * MB + mb) * P + row) * Q + column) * BLOCK + part;
        #pragma unroll 1
        for (int i = 0; i < rows; ++i)
            #pragma unroll 1
            for (int j = 0; j < columns; ++j) {
                const long at = corner + (i * Q + j) * BLOCK;
                FINISH(done[i][j], at)
            }
    }
}
#endif
