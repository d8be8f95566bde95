// Between plain [N, C, H, W] and blocked [N, CB, H, W, 16]; a border of zeros.
// A work item: one row of one block of channels, or of one plane.

// X plain -> Y blocked.
__kernel void block(IN(x), OUT(y), const int C, const int H, const int W) {
    AT(x); AT(y);
    const int row = get_global_id(0), cb = get_global_id(1), CB = get_global_size(1);
    const long n = get_global_id(2);
    const int cs = min(BLOCK, C - cb * BLOCK);
    __global const scalar *from = x + ((n * C + cb * BLOCK) * H + row) * W;
    __global scalar *to = y + ((n * CB + cb) * H + row) * W * BLOCK;
    for (int q = 0; q < W; ++q)
        for (int c = 0; c < BLOCK; ++c) PUT(c < cs ? GET(from + (long)c * H * W + q) : 0.0f, to + q * BLOCK + c);
}

// X blocked -> Y plain.
__kernel void unblock(IN(x), OUT(y), const int C, const int H, const int W) {
    AT(x); AT(y);
    const int row = get_global_id(0), cb = get_global_id(1), CB = get_global_size(1);
    const long n = get_global_id(2);
    const int cs = min(BLOCK, C - cb * BLOCK);
    __global const scalar *from = x + ((n * CB + cb) * H + row) * W * BLOCK;
    __global scalar *to = y + ((n * C + cb * BLOCK) * H + row) * W;
    for (int c = 0; c < cs; ++c)
        for (int q = 0; q < W; ++q) PUT(GET(from + q * BLOCK + c), to + (long)c * H * W + q);
}

// X [planes, H, W] -> Y [planes, HP, WP], X from row top, column left on; zeros elsewhere. A blocked row counts as one of
// 16 times the columns.
__kernel void border(IN(x), OUT(y), const int H, const int W, const int HP, const int WP, const int top,
                     const int left) {
    AT(x); AT(y);
    const int row = (int)get_global_id(0) - top;
    const long plane = get_global_id(1);
    const bool inside = row >= 0 && row < H;
    const int begin = inside ? left : 0, end = inside ? left + W : 0;
    __global const scalar *from = x + (plane * H + row) * W - left;
    __global scalar *to = y + (plane * HP + get_global_id(0)) * WP;
    for (int q = 0; q < begin; ++q) PUT(0.0f, to + q);
    for (int q = begin; q < end; ++q) PUT(GET(from + q), to + q);
    for (int q = end; q < WP; ++q) PUT(0.0f, to + q);
}
