// Reductions: START, STEP(s, x), JOIN(s, s) and END(s, n) make the operator. T to TO, in COMPUTE.
// A block: BX elements of Y x BY threads each, which take every BY-th element to be reduced and then join in shared
// memory. BX is 32 where neighbours in Y are neighbours in X, else 1. PARAMETERS: sizes and strides of the kept axes
// (OUTER takes `rest` apart) and of the reduced ones (INNER).

typedef COMPUTE C;

extern "C" __global__ void __launch_bounds__(BX *BY) reduce(const T *x, TO *y, const u32 count, const u32 length PARAMETERS) {
    after_others();
    __shared__ C parts[BY][BX];
    const u32 index = blockIdx.x * BX + threadIdx.x;
    C s = START;
    if (index < count) {
        u32 rest = index;
        i64 ax = 0;
        OUTER
        const T *const from = x + ax;
        for (u32 i = threadIdx.y; i < length; i += BY) {
            rest = i, ax = 0;
            INNER
            const C v = (C)from[ax];
            s = STEP(s, v);
        }
    }
    parts[threadIdx.y][threadIdx.x] = s;
    for (int half = BY / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) {
            const C a = parts[threadIdx.y][threadIdx.x], b = parts[threadIdx.y + half][threadIdx.x];
            parts[threadIdx.y][threadIdx.x] = JOIN(a, b);
        }
    }
    if (threadIdx.y == 0 && index < count) y[index] = (TO)(END(parts[0][threadIdx.x], (C)length));
}
