// MaxPool, AveragePool and their global forms, NCHW16c: X [N * CB, H, W, 16] -> Y [N * CB, P, Q, 16].
// A work item: V channels of one element of Y. MAXIMUM, or the mean over the elements inside X; with PADDED over those
// inside X and its border.

__kernel void pool(IN(x), OUT(y), const int H, const int W, const int R, const int S, const int sh, const int sw,
                   const int top, const int left, const int bottom, const int right, const int dh, const int dw) {
    AT(x); AT(y);
    const int part = get_global_id(0) % PARTS * V, q = get_global_id(0) / PARTS, p = get_global_id(1);
    const int Q = get_global_size(0) / PARTS, P = get_global_size(1);
    const long plane = get_global_id(2);
    __global const float *xs = x + plane * H * W * BLOCK + part;
#ifdef MAXIMUM
    vec best = (vec)(-INFINITY);
#else
    vec best = (vec)(0.0f);
    int count = 0;
#endif
    for (int u = 0; u < R; ++u) {
        const int row = p * sh - top + u * dh;
        for (int v = 0; v < S; ++v) {
            const int column = q * sw - left + v * dw;
            const bool inside = row >= 0 && row < H && column >= 0 && column < W;
#ifdef MAXIMUM
            if (inside) {
                const vec a = LOAD(xs + ((long)row * W + column) * BLOCK);
                best = isnan(a) || a > best ? a : best;
            }
#else
            if (inside) best += LOAD(xs + ((long)row * W + column) * BLOCK);
#ifdef PADDED
            count += row < H + bottom && column < W + right;
#else
            count += inside;
#endif
#endif
        }
    }
#ifndef MAXIMUM
    best /= (float)count;
#endif
    STORE(best, y + ((plane * P + p) * Q + q) * BLOCK + part);
}
