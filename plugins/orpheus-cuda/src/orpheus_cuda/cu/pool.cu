// MaxPool and AveragePool by strides: a thread an element of Y, in the order in which Y lies (channels last, or
// columns). MAXIMUM, or the mean over the elements inside X; with PADDED over those inside X and its border.

extern "C" __global__ void pool(const T *x, T *y, const u32 count, const int C, const int H, const int W, const int P,
                                const int Q, const int R, const int S, const int sh, const int sw, const int top,
                                const int left, const int bottom, const int right, const int dh, const int dw) {
    after_others();
    u32 rest = (u32)INDEX;
    if (rest >= count) return;
    const u32 at = rest;
#ifdef LAST
    const int c = rest % C;
    rest /= C;
#endif
    const int q = rest % Q, p = rest / Q % P;
    rest /= Q * P;
#ifdef LAST
    const i64 row = (i64)W * C, column = C;
    x += (i64)rest * H * row + c;
#else
    const i64 row = W, column = 1;
    x += (i64)rest * H * row;
#endif
#ifdef MAXIMUM
    float best = -INFINITE;
#else
    float best = 0.0f;
    int inside = 0;
#endif
    for (int u = 0; u < R; ++u) {
        const int h = p * sh - top + u * dh;
        for (int v = 0; v < S; ++v) {
            const int w = q * sw - left + v * dw;
            const bool in = (u32)h < (u32)H && (u32)w < (u32)W;
            const float a = in ? (float)x[h * row + w * column] : 0.0f;
#ifdef MAXIMUM
            if (in && (a != a || a > best)) best = a;
#else
            best += a;
#ifdef PADDED
            inside += h < H + bottom && w < W + right;
#else
            inside += in;
#endif
#endif
        }
    }
#ifndef MAXIMUM
    best /= (float)inside;
#endif
    y[at] = (T)best;
}
