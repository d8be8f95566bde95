// Operators of a line: Softmax, LogSoftmax (LOG) and normalisations, T in memory, COMPUTE in registers.
// A block: BX lines x BY threads each; sums of threads join in shared memory.

typedef COMPUTE C;

template <class F> __device__ inline C joined(C mine, F join) {
    __shared__ C parts[BY][BX];
    parts[threadIdx.y][threadIdx.x] = mine;
    for (int half = BY / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half)
            parts[threadIdx.y][threadIdx.x] = join(parts[threadIdx.y][threadIdx.x], parts[threadIdx.y + half][threadIdx.x]);
    }
    __syncthreads();
    const C all = parts[0][threadIdx.x];
    __syncthreads();
    return all;
}
__device__ inline C larger(C a, C b) { return a != a || a > b ? a : b; }
__device__ inline C added(C a, C b) { return a + b; }

// X [count / inner, length, inner] -> Y alike, along the middle axis.
extern "C" __global__ void __launch_bounds__(BX *BY)
    softmax(const T *x, T *y, const u32 count, const int length, const u32 inner) {
    after_others();
    const u32 line = blockIdx.x * BX + threadIdx.x, here = line < count ? line : count - 1;
    const i64 first = (i64)(here / inner) * length * inner + here % inner;
    C top = -INFINITE, sum = 0;
    for (int i = threadIdx.y; i < length; i += BY) top = larger((C)x[first + (i64)i * inner], top);
    top = joined(top, larger);
    for (int i = threadIdx.y; i < length; i += BY) sum += exp((C)x[first + (i64)i * inner] - top);
    sum = joined(sum, added);
#ifdef LOG
    const C rest = log(sum);
#endif
    if (line < count)
        for (int i = threadIdx.y; i < length; i += BY) {
            const i64 at = first + (i64)i * inner;
#ifdef LOG
            y[at] = (T)((C)x[at] - top - rest);
#else
            y[at] = (T)(exp((C)x[at] - top) / sum);
#endif
        }
}

// Y = (X - mean) / sqrt(variance + epsilon) * scale + bias over lines of `length` elements (RMS: no mean). Line l is
// group l % groups; element i of it takes scale and bias number group * each + i / span.
extern "C" __global__ void __launch_bounds__(BX *BY)
    normalize(const T *x, const T *scale, const T *bias, T *y, const u32 count, const int length, const u32 groups,
              const u32 each, const u32 span, const float epsilon) {
    after_others();
    const u32 line = blockIdx.x * BX + threadIdx.x, here = line < count ? line : count - 1;
    x += (i64)here * length, y += (i64)here * length;
    C mean = 0, squares = 0;
#ifndef RMS
    for (int i = threadIdx.y; i < length; i += BY) mean += (C)x[i];
    mean = joined(mean, added) / length;
#endif
    for (int i = threadIdx.y; i < length; i += BY) squares += ((C)x[i] - mean) * ((C)x[i] - mean);
    const C by = C(1) / sqrt(joined(squares, added) / length + epsilon);
    if (line < count)
        for (int i = threadIdx.y; i < length; i += BY) {
            const u32 at = here % groups * each + i / span;
            const C value = ((C)x[i] - mean) * by * (C)scale[at];
            y[i] = (T)(bias ? value + (C)bias[at] : value);
        }
}
