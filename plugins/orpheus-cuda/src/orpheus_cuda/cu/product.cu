// Products as sums over rows of K elements: Conv as implicit GEMM, Gemm, MatMul. T: float, half_t or bfloat_t; sums in
// float. Or bytes, sums in 32-bit integers: then SUM, the types of Y, BIAS and scale, and FINISH are defined, which makes
// Y of `total`, the sum and BIAS(j); FILL, the byte that stands for zero in X, lies outside X.
//
//   Y(i, j) = ACT((alpha sum_k A(i, k) B(j, k) + beta BIAS(i, j) + R(i, j)) scale(j) + shift(j)); RAW: before scale
//
// A(i, k): pixel i = (n, p, q) of X read through a window, k = (r, s, c); a matrix is an image of one row, a window of
// one element. B(j, k) by strides, k together where it was packed. What lies outside X, and beyond M, N, K, is zero.
//
// A block: BM x BN of Y, over its share of K. Shares of a tile meet in the shared memory of a cluster of CLUSTER blocks,
// each of which ends a part of the tile; where CLUSTER is 1, the last block to come adds them, from L2. The order of sums
// is the same in every run. K goes through shared memory in pieces of 64 bytes a row, STAGES of them under way; rows are 80 bytes
// apart, so that 8 rows read 16 bytes each without conflict. Warps: WARPS_M x WARPS_N, each WM x WN of the tile; sums in
// registers; BLOCKS of them run side by side. A and B arrive in chunks of CHUNK_A and CHUNK_B bytes: 16 or 4 asynchronously, 2 by way of a register.
// WINDOW: 1 of one element, 2 of more and C at least a piece, 3 any. WHOLE: rows of B are whole pieces.
//
// MMA(c, a, b0, b1): tensor cores, 16 x 8 tiles, operands from ldmatrix. Without: a thread multiplies TM x TN, rows 4
// and columns 8 apart, four k at a time. ROUND: operands become TF32 first.
//
// Sums leave by way of shared memory: VEC columns of Y at once where columns lie TOGETHER, else neighbouring threads
// take neighbouring rows.

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

// Shares of K that are read side by side where they meet, four sums at once.
constexpr int MEETING = SUMS <= 16 ? 8 : SUMS <= 32 ? 4 : SUMS <= 64 ? 2 : 1;
typedef Pack<SUM, 4> Four;
// Of Y: vectors in a row of the tile, a thread's number of them, and floats from row to row of the sums in shared memory.
constexpr int ACROSS = BN / VEC, VECTORS = BM * ACROSS, LINE = TOGETHER ? BN + 8 : BN + 1;
constexpr int TURNS = (VECTORS + THREADS * CLUSTER - 1) / (THREADS * CLUSTER);
static_assert(VECTORS % THREADS == 0 && (TOGETHER || VEC == 1), "vectors are of columns");

// offsets: of A, B, Y and BIAS, in elements, for each matrix or group of blockIdx.z; null: one.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) CLUSTER_OF(CLUSTER) product(
    const T *x, const T *w, const TB *__restrict__ bias, const T *r, const TS *__restrict__ scale,
    const T *__restrict__ shift, TO *y, TO *raw, SUM *partial, u32 *counts, const i64 *__restrict__ offsets, const int M,
    const int N, const int C, const int H, const int W, const int P, const int Q, const int R, const int S, const int sh,
    const int sw, const int top, const int left, const int dh, const int dw, const int splits, const i64 xn, const i64 xh,
    const i64 xw, const i64 xc, const i64 wn, const i64 wk, const i64 yn, const i64 yp, const i64 yc, const i64 bi,
    const i64 bj, const float alpha, const float beta, const float p0, const float p1) {
    DYNAMIC_SHARED(shared);
    char *const tiles = (char *)shared;
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int split = blockIdx.z % splits, z = blockIdx.z / splits, i0 = blockIdx.x * BM, j0 = blockIdx.y * BN;
    const i64 offset = offsets ? offsets[4 * z + 3] : 0;
    if (offsets) x += offsets[4 * z], w += offsets[4 * z + 1];
    const i64 to = offsets ? offsets[4 * z + 2] : 0;
    const int K = R * S * C, pieces = (K + BK - 1) / BK;
    const int first = (int)((i64)pieces * split / splits), last = (int)((i64)pieces * (split + 1) / splits);

    // Where chunks come from. Of A: an address for each pixel, that of its window's first element (which may lie outside
    // X), and the same steps from there for all, of 32 bits, as X has fewer elements. So the loop has little to compute.
    typedef Share<BM, CHUNK_A> ShareA;
    typedef Share<BN, CHUNK_B> ShareB;
    const int ka = thread % ShareA::ACROSS * ShareA::ELEMENTS, ra = thread / ShareA::ACROSS;
    const int kb = thread % ShareB::ACROSS * ShareB::ELEMENTS, rb = thread / ShareB::ACROSS;
    const T *pixel[ShareA::COUNT], *filter[ShareB::COUNT];
    int row[ShareA::COUNT], column[ShareA::COUNT];
#pragma unroll
    for (int u = 0; u < ShareA::COUNT; ++u) {
        const int i = i0 + ra + u * ShareA::STEP, pq = i % (P * Q);
        row[u] = pq / Q * sh - top, column[u] = pq % Q * sw - left;
        pixel[u] = x + (i64)(i / (P * Q)) * xn + row[u] * xh + column[u] * xw;
        const bool is_in = (u32)row[u] < (u32)H && (u32)column[u] < (u32)W;
        if (i >= M || (WINDOW == 1 && !is_in)) row[u] = -0x40000000;
    }
#pragma unroll
    for (int u = 0; u < ShareB::COUNT; ++u)
        filter[u] = w + (i64)(j0 + rb + u * ShareB::STEP) * wn + ((i64)first * BK + kb) * wk;
    const int down = dh * (int)xh, across = dw * (int)xw, inward = (int)xc;
    int c = first * BK + ka, s = 0, v = 0, kw = first * BK + kb, next = first;
    if (WINDOW > 1) {
        const int tap = c / C;
        c -= tap * C, s = tap % S, v = tap / S;
    }

    auto load_x = [&](int slot) {
        char *const a = tiles + slot * STAGE;
        const int step = v * down + s * across + c * inward, below = v * dh, beside = s * dw;
        const bool has_more = WINDOW == 1 ? c < C : v < R;
#pragma unroll
        for (int u = 0; u < ShareA::COUNT; ++u) {
            const int at = ra + u * ShareA::STEP;
            bool inside = has_more && row[u] > -0x20000000;
            if (WINDOW > 1)
                inside = has_more && (u32)(row[u] + below) < (u32)H && (u32)(column[u] + beside) < (u32)W;
            if (BM % ShareA::STEP == 0 || at < BM)
                bring_pixel<CHUNK_A>(a + at * PITCH + ka * sizeof(T), pixel[u] + step, inside);
        }
        c += BK;
        if (WINDOW == 2 && c >= C) {
            c -= C;
            if (++s == S) s = 0, ++v;
        }
        if (WINDOW == 3)
            for (; c >= C; c -= C)
                if (++s == S) s = 0, ++v;
        ++next;
    };
    auto load_w = [&](int slot) {
        char *const b = tiles + slot * STAGE + BM * PITCH;
#pragma unroll
        for (int u = 0; u < ShareB::COUNT; ++u) {
            const int at = rb + u * ShareB::STEP;
            const bool inside = j0 + at < N && (WHOLE || kw < K);
            if (BN % ShareB::STEP == 0 || at < BN) bring<CHUNK_B>(b + at * PITCH + kb * sizeof(T), filter[u], inside);
            filter[u] += BK * wk;
        }
        kw += BK;
    };

    SUM sum[SUMS] = {};
    if (!WHOLE) after_others();
#pragma unroll
    for (int slot = 0; slot < STAGES - 1; ++slot)
        if (first + slot < last) load_w(slot);
    if (WHOLE) after_others();  // no kernel writes weights that were packed
#pragma unroll
    for (int slot = 0; slot < STAGES - 1; ++slot) {
        if (next < last) load_x(slot);
        copies_begun();
    }
    const int wm = warp / WARPS_N * WM, wn0 = warp % WARPS_N * WN;
    for (int piece = first, slot = 0; piece < last; ++piece, slot = slot + 1 == STAGES ? 0 : slot + 1) {
        copies_done<STAGES - 2>();
        __syncthreads();
        if (next < last) {
            load_w(slot == 0 ? STAGES - 1 : slot - 1);
            load_x(slot == 0 ? STAGES - 1 : slot - 1);
        }
        copies_begun();
        const char *const a = tiles + slot * STAGE;
        multiply(a + wm * PITCH, a + (BM + wn0) * PITCH, lane, sum);
    }

    if (CLUSTER == 1 && splits > 1) {
        const i64 tile = ((i64)z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
        Four *const mine = (Four *)partial + tile * splits * (SUMS / 4) * THREADS + thread;
#pragma unroll
        for (int u = 0; u < SUMS / 4; ++u) mine[split * (SUMS / 4 * THREADS) + u * THREADS] = ((Four *)sum)[u];
        __threadfence();
        __syncthreads();
        __shared__ u32 before;
        if (thread == 0) before = atomicAdd(counts + tile, 1u);
        __syncthreads();
        if (before != splits - 1) return;
        __threadfence();
        if (thread == 0) counts[tile] = 0;  // for the next run
#pragma unroll
        for (int u = 0; u < SUMS; ++u) sum[u] = SUM(0);
#pragma unroll MEETING
        for (int part = 0; part < splits; ++part) {
            const uint4 *const theirs = (const uint4 *)(mine + part * (SUMS / 4 * THREADS));
#pragma unroll
            for (int u = 0; u < SUMS / 4; ++u) {
                const uint4 word = __ldcg(theirs + u * THREADS);
                const Four &more = *(const Four *)&word;
#pragma unroll
                for (int e = 0; e < 4; ++e) sum[4 * u + e] += more.at[e];
            }
        }
    }

    // Places in Y of this thread's elements, and R there: all of it is under way before any of it is waited for.
    typedef Pack<T, VEC> Operands;
    typedef Pack<TO, VEC> Results;
    Operands residual[TURNS];
    auto place = [&](int turn, int &a, int &b) {
        const int e = (CLUSTER == 1 ? turn : turn * CLUSTER + split) * THREADS + thread;
        a = TOGETHER ? e / ACROSS : e % BM, b = TOGETHER ? e % ACROSS * VEC : e / BM;
        const int i = i0 + a, j = j0 + b;
        if ((CLUSTER > 1 && e >= VECTORS) || i >= M || j >= N) return (i64)-1;
        return to + (LINEAR ? i * yp : i / (P * Q) * yn + i % (P * Q) * yp) + j * yc;
    };
    if (r)
#pragma unroll
        for (int turn = 0; turn < TURNS; ++turn) {
            int a, b;
            const i64 at = place(turn, a, b);
            if (at >= 0) residual[turn] = *(const Operands *)(r + at);
        }
    __syncthreads();  // the last pieces have been read
    SUM *const sums = (SUM *)shared;
#pragma unroll
    for (int u = 0; u < SUMS; ++u) sums[(wm + row_of(u, lane)) * LINE + wn0 + column_of(u, lane)] = sum[u];
    if (CLUSTER == 1) __syncthreads();
    if (CLUSTER > 1) cluster_barrier();
#pragma unroll
    for (int turn = 0; turn < TURNS; ++turn) {
        int a, b;
        const i64 at = place(turn, a, b);
        if (at < 0) continue;
        const int i = i0 + a, j = j0 + b;
        const SUM *const own = sums + a * LINE + b;
        Pack<SUM, VEC> made = *(const Pack<SUM, VEC> *)(CLUSTER == 1 ? own : of_block(own, 0));
#pragma unroll
        for (int part = 1; part < CLUSTER; ++part) {
            const Pack<SUM, VEC> more = *(const Pack<SUM, VEC> *)of_block(own, part);
#pragma unroll
            for (int u = 0; u < VEC; ++u) made.at[u] += more.at[u];
        }
        Results result, early;
#pragma unroll
        for (int u = 0; u < VEC; ++u) {
#ifdef FINISH
            const SUM total = made.at[u] + (bias ? bias[offset + (j + u) * bj] : 0);
            const float by = scale ? scale[offset + j + u] : 1.0f;
            result.at[u] = (TO)(FINISH);
#else
            float value = alpha * made.at[u];
            if (bias) value += beta * (float)bias[offset + i * bi + (j + u) * bj];
            if (r) value += (float)residual[turn].at[u];
            if (raw) early.at[u] = (T)value;
            if (scale) value = value * (float)scale[offset + j + u] + (float)shift[offset + j + u];
            result.at[u] = (T)apply(value, p0, p1);
#endif
        }
        if (raw) *(Results *)(raw + at) = early;
        *(Results *)(y + at) = result;
    }
    if (CLUSTER > 1) cluster_barrier();  // nobody leaves while others read its shared memory
}
