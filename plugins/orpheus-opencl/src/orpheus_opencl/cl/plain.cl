// Conv of any groups, strides and dilations, plain layout, weights known or not: X [N, C, H, W], W [M, C / G, R, S],
// B [M] or absent -> Y [N, M, P, Q]. A work item per element of Y: right everywhere, fast nowhere.

__kernel void conv(IN(x), IN(w), IN(b), OUT(y), const int C, const int H, const int W, const int M, const int P,
                   const int Q, const int R, const int S, const int sh, const int sw, const int top, const int left,
                   const int dh, const int dw, const int G) {
    AT(x); AT(w); AT(y);
    const int q = get_global_id(0), p = get_global_id(1), m = get_global_id(2) % M;
    const long n = get_global_id(2) / M;
    const int depth = C / G, first = m / (M / G) * depth;
    float sum = b ? GET(b + b_at + m) : 0.0f;
    for (int c = 0; c < depth; ++c)
        for (int u = 0; u < R; ++u) {
            const int row = p * sh - top + u * dh;
            if (row < 0 || row >= H) continue;
            for (int v = 0; v < S; ++v) {
                const int column = q * sw - left + v * dw;
                if (column < 0 || column >= W) continue;
                sum += GET(x + ((n * C + first + c) * H + row) * W + column)
                       * GET(w + (((long)m * depth + c) * R + u) * S + v);
            }
        }
    PUT(sum, y + ((n * M + m) * P + p) * Q + q);
}
