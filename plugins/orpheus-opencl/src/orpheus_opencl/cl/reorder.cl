// Between plain [N, C, H, W] and blocked [N, CB, H, W, 16], and blocked with a border of zeros around it.
// A work item: one row of one block of channels.

// X plain (PLAIN) or blocked -> Y blocked of HP x WP, X from row top, column left on; zeros elsewhere.
__kernel void block(IN(x), OUT(y), const int C, const int H, const int W, const int HP, const int WP, const int top,
                    const int left) {
    AT(x); AT(y);
    const int row = (int)get_global_id(0) - top, cb = get_global_id(1), CB = get_global_size(1);
    const long n = get_global_id(2);
    __global float *to = y + ((n * CB + cb) * HP + get_global_id(0)) * WP * BLOCK;
    if (row < 0 || row >= H) {
        for (int q = 0; q < WP; ++q) vstore16((float16)(0.0f), q, to);
        return;
    }
    for (int q = 0; q < left; ++q) vstore16((float16)(0.0f), q, to);
    to += left * BLOCK;
#ifdef PLAIN
    const int cs = min(BLOCK, C - cb * BLOCK);
    __global const float *from = x + ((n * C + cb * BLOCK) * H + row) * W;
    for (int q = 0; q < W; ++q)
        for (int c = 0; c < BLOCK; ++c) to[q * BLOCK + c] = c < cs ? from[(long)c * H * W + q] : 0.0f;
#else
    __global const float *from = x + ((n * CB + cb) * H + row) * W * BLOCK;
    for (int q = 0; q < W; ++q) vstore16(vload16(q, from), q, to);
#endif
    for (int q = W; q < WP - left; ++q) vstore16((float16)(0.0f), q, to);
}

// X blocked -> Y plain.
__kernel void unblock(IN(x), OUT(y), const int C, const int H, const int W) {
    AT(x); AT(y);
    const int row = get_global_id(0), cb = get_global_id(1), CB = get_global_size(1);
    const long n = get_global_id(2);
    const int cs = min(BLOCK, C - cb * BLOCK);
    __global const float *from = x + ((n * CB + cb) * H + row) * W * BLOCK;
    __global float *to = y + ((n * C + cb * BLOCK) * H + row) * W;
    for (int c = 0; c < cs; ++c)
        for (int q = 0; q < W; ++q) to[(long)c * H * W + q] = from[q * BLOCK + c];
}
