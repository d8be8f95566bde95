// DynamicQuantizeLinear: x [count] -> y [count] in bytes, and the scale and zero point that cover the range of x and 0.
// Two launches of THREADS threads: `range` leaves each block's least and greatest number in `ends` [2 * parts];
// `quantize` joins those in every block, EACH elements a thread, and the first block leaves scale and zero point. Bound
// by memory: x is read twice, the second time from L2 where it fits, y is written once.

// The least of all threads' lows and the greatest of their highs, for every thread.
__device__ inline void join(float &low, float &high) {
    __shared__ float lows[THREADS], highs[THREADS];
    lows[threadIdx.x] = low, highs[threadIdx.x] = high;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            lows[threadIdx.x] = fminf(lows[threadIdx.x], lows[threadIdx.x + half]);
            highs[threadIdx.x] = fmaxf(highs[threadIdx.x], highs[threadIdx.x + half]);
        }
    }
    __syncthreads();
    low = lows[0], high = highs[0];
}

extern "C" __global__ void __launch_bounds__(THREADS) range(const float *x, float *ends, const i64 count) {
    after_others();
    float low = 0.0f, high = 0.0f;
    for (i64 i = INDEX; i < count; i += (i64)gridDim.x * THREADS) low = fminf(low, x[i]), high = fmaxf(high, x[i]);
    join(low, high);
    if (threadIdx.x == 0) ends[2 * blockIdx.x] = low, ends[2 * blockIdx.x + 1] = high;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    quantize(const float *x, const float *ends, u8 *y, float *scales, u8 *zeros, const i64 count, const int parts) {
    after_others();
    float low = 0.0f, high = 0.0f;
    for (int i = threadIdx.x; i < parts; i += THREADS) low = fminf(low, ends[2 * i]), high = fmaxf(high, ends[2 * i + 1]);
    join(low, high);
    const float width = (high - low) / 255.0f, scale = width == 0.0f ? 1.0f : width;
    const float zero = clipped(rint(-low / scale), 0.0f, 255.0f);
    const i64 first = (i64)blockIdx.x * THREADS * EACH + threadIdx.x;
    for (int i = 0; i < EACH; ++i) {
        const i64 at = first + (i64)i * THREADS;
        if (at < count) y[at] = (u8)clipped(rint(x[at] / scale) + zero, 0.0f, 255.0f);
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        if (scales) *scales = scale;
        if (zeros) *zeros = (u8)zero;
    }
}
