// Products as sums over rows of K elements: Conv as implicit GEMM, Gemm, MatMul. T: float, half_t or bfloat_t; sums in
// float. Or bytes, sums in 32-bit integers: then SUM, the types of Y, BIAS and scale, and FINISH are defined, which makes
// Y of `total`, the sum and BIAS(j); FILL, the byte that stands for zero in X, lies outside X.
//
//   Y(i, j) = ACT((alpha sum_k A(i, k) B(j, k) + beta BIAS(i, j) + R(i, j)) scale(j) + shift(j)); RAW: before scale
//
// A(i, k): pixel i = (n, p, q) of X read through a window, k = (r, s, c); a matrix is an image of one row, a window of
// one element. B(j, k) by strides, k together where it was packed. What lies outside X, and beyond M, N, K, is zero.
//
// A block: BM x BN of Y, over its share of K (SPLITS shares; the last block to end adds them, always in the same
// order). K goes through shared memory in pieces of 64 bytes a row, STAGES of them under way; rows are 80 bytes apart,
// so that 8 rows read 16 bytes each without conflict. Warps: WARPS_M x WARPS_N, each WM x WN of the tile; sums in
// registers. A and B arrive in chunks of CHUNK_A and CHUNK_B bytes: 16 or 4 asynchronously, 2 by way of a register.
//
// MMA(c, a, b0, b1): tensor cores, 16 x 8 tiles, operands from ldmatrix. Without: a thread multiplies TM x TN, rows 4
// and columns 8 apart, four k at a time. ROUND: operands become TF32 first.

#ifndef SUM
#define SUM float
#define TO T
#define TB T
#define TS T
#endif

constexpr int PITCH = 80, BK = 64 / sizeof(T), THREADS = 32 * WARPS_M * WARPS_N;
constexpr int WM = BM / WARPS_M, WN = BN / WARPS_N, STAGE = (BM + BN) * PITCH;

template <int ROWS, int CHUNK> struct Share {  // of a tile of ROWS rows: which chunks a thread brings
    static constexpr int ELEMENTS = CHUNK / sizeof(T), ACROSS = 64 / CHUNK, STEP = THREADS / ACROSS;
    static constexpr int COUNT = (ROWS + STEP - 1) / STEP;
    static_assert(THREADS % ACROSS == 0, "a row of chunks is brought by neighbouring threads");
};

template <int CHUNK> __device__ inline void bring(char *to, const T *from, bool inside) {
    if constexpr (CHUNK < 4) {
        T value = inside ? *from : T(0.0f);
        *(T *)to = value;
    } else
        copy_async<CHUNK>(to, from, inside);
}

template <int CHUNK> __device__ inline void bring_pixel(char *to, const T *from, bool inside) {
#ifdef FILL
    if (!inside) {
#pragma unroll
        for (int i = 0; i < CHUNK; ++i) to[i] = (char)FILL;
        return;
    }
#endif
    bring<CHUNK>(to, from, inside);
}

#ifdef MMA
constexpr int MI = WM / 16, NI = WN / 8, SUMS = MI * NI * 4;
__device__ inline void multiply(const char *a, const char *b, int lane, SUM (&sum)[SUMS]) {
#pragma unroll
    for (int slice = 0; slice < 64; slice += 32) {
        unsigned x[MI][4], y[NI / 2][4];
#pragma unroll
        for (int i = 0; i < MI; ++i) load_matrices(x[i], a + (i * 16 + lane % 16) * PITCH + slice + lane / 16 * 16);
#pragma unroll
        for (int j = 0; j < NI / 2; ++j)
            load_matrices(y[j], b + (j * 16 + lane % 8 + lane / 16 * 8) * PITCH + slice + lane / 8 % 2 * 16);
#ifdef ROUND
#pragma unroll
        for (int w = 0; w < 4; ++w) {
#pragma unroll
            for (int i = 0; i < MI; ++i) x[i][w] = tensor_float(__uint_as_float(x[i][w]));
#pragma unroll
            for (int j = 0; j < NI / 2; ++j) y[j][w] = tensor_float(__uint_as_float(y[j][w]));
        }
#endif
#pragma unroll
        for (int i = 0; i < MI; ++i)
#pragma unroll
            for (int j = 0; j < NI; ++j)
                MMA(*(SUM(*)[4])(sum + (i * NI + j) * 4), x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
    }
}
__device__ inline int row_of(int s, int lane) { return s / 4 / NI * 16 + lane / 4 + s % 4 / 2 * 8; }
__device__ inline int column_of(int s, int lane) { return s / 4 % NI * 8 + lane % 4 * 2 + s % 2; }
#else
constexpr int TM = WM / 4, TN = WN / 8, SUMS = TM * TN;
__device__ inline void multiply(const char *a, const char *b, int lane, SUM (&sum)[SUMS]) {
    a += lane / 8 * PITCH, b += lane % 8 * PITCH;
#pragma unroll
    for (int k = 0; k < 64; k += 16) {
        Pack<float, 4> x[TM], y[TN];
#pragma unroll
        for (int i = 0; i < TM; ++i) x[i] = *(const Pack<float, 4> *)(a + i * 4 * PITCH + k);
#pragma unroll
        for (int j = 0; j < TN; ++j) y[j] = *(const Pack<float, 4> *)(b + j * 8 * PITCH + k);
#pragma unroll
        for (int u = 0; u < 4; ++u)
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sum[i * TN + j] += x[i].at[u] * y[j].at[u];
    }
}
__device__ inline int row_of(int s, int lane) { return s / TN * 4 + lane / 8; }
__device__ inline int column_of(int s, int lane) { return s % TN * 8 + lane % 8; }
#endif

// offsets: of A, B, Y and BIAS, in elements, for each matrix or group of blockIdx.z; null: one.
extern "C" __global__ void __launch_bounds__(THREADS) product(
    const T *x, const T *w, const TB *bias, const T *r, const TS *scale, const T *shift, TO *y, TO *raw, SUM *partial,
    u32 *counts, const i64 *offsets, const int M, const int N, const int C, const int H, const int W, const int P,
    const int Q, const int R, const int S, const int sh, const int sw, const int top, const int left, const int dh,
    const int dw, const i64 xn, const i64 xh, const i64 xw, const i64 xc, const i64 wn, const i64 wk, const i64 yn,
    const i64 yp, const i64 yc, const i64 bi, const i64 bj, const float alpha, const float beta, const float p0,
    const float p1) {
    DYNAMIC_SHARED(shared);
    char *const tiles = (char *)shared;
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int split = blockIdx.z % SPLITS, z = blockIdx.z / SPLITS, i0 = blockIdx.x * BM, j0 = blockIdx.y * BN;
    const i64 offset = offsets ? offsets[4 * z + 3] : 0;
    if (offsets) x += offsets[4 * z], w += offsets[4 * z + 1];
    const i64 to = offsets ? offsets[4 * z + 2] : 0;
    const int K = R * S * C, pieces = (K + BK - 1) / BK;
    const int first = (int)((i64)pieces * split / SPLITS), last = (int)((i64)pieces * (split + 1) / SPLITS);

    typedef Share<BM, CHUNK_A> ShareA;
    typedef Share<BN, CHUNK_B> ShareB;
    const int ka = thread % ShareA::ACROSS * ShareA::ELEMENTS, ra = thread / ShareA::ACROSS;
    const int kb = thread % ShareB::ACROSS * ShareB::ELEMENTS, rb = thread / ShareB::ACROSS;
    const T *image[ShareA::COUNT];
    int row[ShareA::COUNT], column[ShareA::COUNT];
#pragma unroll
    for (int u = 0; u < ShareA::COUNT; ++u) {
        const int i = i0 + ra + u * ShareA::STEP, pq = i % (P * Q);
        image[u] = x + (i64)(i / (P * Q)) * xn;
        row[u] = i < M ? pq / Q * sh - top : -0x40000000;
        column[u] = pq % Q * sw - left;
    }
    int k = first * BK + ka, c = k % C, s = k / C % S, v = k / C / S;  // where this thread's chunks of A come from
    int next = first;

    auto load = [&](int slot) {
        char *const a = tiles + slot * STAGE, *const b = a + BM * PITCH;
#pragma unroll
        for (int u = 0; u < ShareA::COUNT; ++u) {
            const int at = ra + u * ShareA::STEP, h = row[u] + v * dh, g = column[u] + s * dw;
            const bool inside = v < R && (u32)h < (u32)H && (u32)g < (u32)W;
            if (BM % ShareA::STEP == 0 || at < BM)
                bring_pixel<CHUNK_A>(a + at * PITCH + ka * sizeof(T), inside ? image[u] + h * xh + g * xw + c * xc : x, inside);
        }
        for (c += BK; c >= C; c -= C)
            if (++s == S) s = 0, ++v;
        const int kw = next * BK + kb;
#pragma unroll
        for (int u = 0; u < ShareB::COUNT; ++u) {
            const int at = rb + u * ShareB::STEP;
            const bool inside = j0 + at < N && kw < K;
            if (BN % ShareB::STEP == 0 || at < BN)
                bring<CHUNK_B>(b + at * PITCH + kb * sizeof(T), inside ? w + (j0 + at) * wn + kw * wk : w, inside);
        }
        ++next;
    };

    SUM sum[SUMS] = {};
#pragma unroll
    for (int slot = 0; slot < STAGES - 1; ++slot) {
        if (next < last) load(slot);
        copies_begun();
    }
    const int wm = warp / WARPS_N * WM, wn0 = warp % WARPS_N * WN;
    for (int piece = first, slot = 0; piece < last; ++piece, slot = slot + 1 == STAGES ? 0 : slot + 1) {
        copies_done<STAGES - 2>();
        __syncthreads();
        if (next < last) load(slot == 0 ? STAGES - 1 : slot - 1);
        copies_begun();
        const char *const a = tiles + slot * STAGE;
        multiply(a + wm * PITCH, a + (BM + wn0) * PITCH, lane, sum);
    }

    if (SPLITS > 1) {
        const i64 tile = ((i64)z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        SUM *const mine = partial + tile * SPLITS * SUMS * THREADS + thread;
#pragma unroll
        for (int u = 0; u < SUMS; ++u) mine[((i64)split * SUMS + u) * THREADS] = sum[u];
        __threadfence();
        __syncthreads();
        __shared__ u32 before;
        if (thread == 0) before = atomicAdd(counts + tile, 1u);
        __syncthreads();
        if (before != SPLITS - 1) return;
        __threadfence();
        if (thread == 0) counts[tile] = 0;  // for the next run
#pragma unroll
        for (int u = 0; u < SUMS; ++u) sum[u] = SUM(0);
        for (int part = 0; part < SPLITS; ++part)
#pragma unroll
            for (int u = 0; u < SUMS; ++u) sum[u] += __ldcg(mine + ((i64)part * SUMS + u) * THREADS);
    }
#pragma unroll
    for (int u = 0; u < SUMS; ++u) {
        const int i = i0 + wm + row_of(u, lane), j = j0 + wn0 + column_of(u, lane);
        if (i >= M || j >= N) continue;
        const i64 at = to + (LINEAR ? i * yp : i / (P * Q) * yn + i % (P * Q) * yp) + j * yc;
#ifdef FINISH
        const SUM total = sum[u] + (bias ? bias[offset + j * bj] : 0);
        y[at] = (TO)(FINISH);
#else
        float value = alpha * sum[u];
        if (bias) value += beta * (float)bias[offset + i * bi + j * bj];
        if (r) value += (float)r[at];
        if (raw) raw[at] = (T)value;
        if (scale) value = value * (float)scale[offset + j] + (float)shift[offset + j];
        y[at] = (T)apply(value, p0, p1);
#endif
    }
}
