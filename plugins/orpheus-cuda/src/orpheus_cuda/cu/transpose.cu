// X [batch, R, S] -> Y [batch, S, R], words of type T: a block moves 32 x 32 of them through shared memory, so that
// both sides are read and written along their rows.

extern "C" __global__ void __launch_bounds__(256) transpose(const T *x, T *y, const int R, const int S) {
    after_others();
    __shared__ T tile[32][33];
    const int across = (S + 31) / 32, s = blockIdx.x % across * 32, r = blockIdx.x / across * 32;
    const i64 first = (i64)blockIdx.y * R * S;
    for (int i = threadIdx.y; i < 32; i += 8)
        if (r + i < R && s + threadIdx.x < S) tile[i][threadIdx.x] = x[first + (i64)(r + i) * S + s + threadIdx.x];
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8)
        if (s + i < S && r + threadIdx.x < R) y[first + (i64)(s + i) * R + r + threadIdx.x] = tile[threadIdx.x][i];
}
