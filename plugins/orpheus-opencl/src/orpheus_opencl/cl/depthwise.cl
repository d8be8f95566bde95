// Depthwise Conv and FusedConv, NCHW16c: X [N, CB, H, W, 16], W [CB, R, S, 16], B [CB, 16] -> Y [N, CB, P, Q, 16].
// A work item: QT columns of one row of Y, V channels. What lies outside X is left out of the sum, so X is read as it
// is. The last tile of a row is moved back to end where the row ends. Bound by memory.

#ifndef SH
#define SH sh
#define SW sw
#endif
#define TAPS(CHECK)                                                                   \
    for (int u = 0; u < R; ++u) {                                                     \
        const int row = p * SH - top + u * dh;                                        \
        if (row < 0 || row >= H) continue;                                            \
        for (int v = 0; v < S; ++v) {                                                 \
            const vec f = LOAD(ws + (u * S + v) * BLOCK);                             \
            const int first = q * SW - left + v * dw;                                 \
            _Pragma("unroll") for (int j = 0; j < QT; ++j) {                          \
                const int column = first + j * SW;                                    \
                if (CHECK) acc[j] = fma(LOAD(xs + ((long)row * W + column) * BLOCK), f, acc[j]); \
            }                                                                         \
        }                                                                             \
    }

__kernel void depthwise(IN(x), IN(w), EPILOGUE, const int CB, const int H,
                        const int W, const int P, const int Q, const int R, const int S, const int top, const int left,
                        const int sh, const int sw, const int dh, const int dw, const int M, const float p0,
                        const float p1) {
    AT(x); AT(w); AT_EPILOGUE;
    const int part = get_global_id(0) % PARTS * V, p = get_global_id(1);
    int q = get_global_id(0) / PARTS * QT;
    const long plane = get_global_id(2);
    const int cb = plane % CB, qskip = max(q + QT - Q, 0);
    q -= qskip;
    __global const scalar *xs = x + plane * H * W * BLOCK + part, *ws = w + (long)cb * R * S * BLOCK + part;
    vec acc[QT];
    #pragma unroll
    for (int j = 0; j < QT; ++j) acc[j] = (vec)(0.0f);
    if (q * SW >= left && (q + QT - 1) * SW - left + (S - 1) * dw < W) {
        TAPS(true)
    } else {
        TAPS(column >= 0 && column < W)
    }
    vec sums[QT];
    #pragma unroll
    for (int j = 0; j < QT; ++j) sums[j] = acc[j];
    OF_FILTERS(cb * BLOCK + part);
    #pragma unroll 1
    for (int j = qskip; j < QT; ++j) {
        const long at = ((plane * P + p) * Q + q + j) * BLOCK + part;
        FINISH(sums[j], at)
    }
}
