// MaxPool, AveragePool and their global forms, NCHW16c: X [N * CB, H, W, 16] -> Y [N * CB, P, Q, 16].
// A work item: V channels of `run` columns of a row of Y. MAXIMUM, or the mean over the elements inside X; with PADDED
// over those inside X and its border.

// The taps of a window, from `begin` on, that lie inside [0, size).
#define FIRST(v, begin, step)               \
    int v = 0;                              \
    while ((begin) + v * (step) < 0) ++v
#define END(v, begin, step, taps, size)     \
    int v = taps;                           \
    while ((begin) + (v - 1) * (step) >= (size)) --v

__kernel void pool(IN(x), OUT(y), const int H, const int W, const int P, const int Q, const int R, const int S,
                   const int sh, const int sw, const int top, const int left, const int bottom, const int right,
                   const int dh, const int dw, const int run) {
    AT(x); AT(y);
    const int part = get_global_id(0) % PARTS * V, p = get_global_id(1);
    const int first = get_global_id(0) / PARTS * run, last = min(first + run, Q);
    const long plane = get_global_id(2);
    const int row = p * sh - top;
    FIRST(u0, row, dh);
    END(u1, row, dh, R, H);
    __global const scalar *xs = x + plane * H * W * BLOCK + part;
    for (int q = first; q < last; ++q) {
        const int column = q * sw - left;
        FIRST(v0, column, dw);
        END(v1, column, dw, S, W);
#ifdef MAXIMUM
        vec best = (vec)(-INFINITY), odd = (vec)(0.0f);
#else
        vec best = (vec)(0.0f);
#endif
        for (int u = u0; u < u1; ++u) {
            __global const scalar *from = xs + ((long)(row + u * dh) * W + column) * BLOCK;
            for (int v = v0; v < v1; ++v) {
                const vec a = LOAD(from + v * dw * BLOCK);
#ifdef MAXIMUM
                best = a > best ? a : best;
                odd = isnan(a) ? a : odd;  // apart, so that the next element need not wait for it
#else
                best += a;
#endif
            }
        }
#ifdef MAXIMUM
        best = isnan(odd) ? odd : best;
#elif defined(PADDED)
        END(u2, row, dh, R, H + bottom);
        END(v2, column, dw, S, W + right);
        best /= (float)(u2 * v2);
#else
        best /= (float)((u1 - u0) * (v1 - v0));
#endif
        STORE(best, y + ((plane * P + p) * Q + q) * BLOCK + part);
    }
}
