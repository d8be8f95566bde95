// Matrix products: A [M, K] by strides, B in panels [NB, K, 16] -> Y [M, N] = ACT(alpha * A B + beta * C + bias + R).
// A work item: MT rows x one panel of 16 columns (V of them), sums in private memory; K in order. The last tile of rows
// is moved back to end with the matrix. C by strides (0 where it is broadcast), BIAS [N], RES [M, N].

__kernel void gemm(IN(a), IN(b), IN(c), IN(bias), IN(r), OUT(y), __global const int *batches, const int M, const int N,
                   const int K, const long arow, const long acolumn, const long crow, const long ccolumn,
                   const float alpha, const float beta, const float p0, const float p1) {
    AT(a); AT(b); AT(y);
    const int nb = get_global_id(0) / PARTS, part = get_global_id(0) % PARTS * V, NB = get_global_size(0) / PARTS;
    int m = get_global_id(1) * MT;
    const long batch = get_global_id(2);
    const int skip = max(m + MT - M, 0);
    m -= skip;
    // Which matrix of A and of B belongs to this one of Y.
    __global const scalar *as = a + (long)batches[2 * batch] * M * K + m * arow;
    __global const scalar *bs = b + ((long)batches[2 * batch + 1] * NB + nb) * K * BLOCK + part;
    vec acc[MT][KT];
    #pragma unroll
    for (int i = 0; i < MT; ++i)
        #pragma unroll
        for (int u = 0; u < KT; ++u) acc[i][u] = (vec)(0.0f);
    int k = 0;
#if defined(HALF) && V >= 8
    // A processor converts a block of halves as fast as a single one.
    for (; acolumn == 1 && k + BLOCK <= K; k += BLOCK) {
        float taken[MT][BLOCK];
        #pragma unroll
        for (int i = 0; i < MT; ++i)
            #pragma unroll
            for (int u = 0; u < BLOCK; u += V) STOREF(LOAD(as + i * arow + k + u), taken[i] + u);
        #pragma unroll 1
        for (int v = 0; v < BLOCK; v += KT)
            #pragma unroll
            for (int u = 0; u < KT; ++u) {
                const vec f = LOAD(bs + (long)(k + v + u) * BLOCK);
                #pragma unroll
                for (int i = 0; i < MT; ++i) acc[i][u] = fma((vec)(taken[i][v + u]), f, acc[i][u]);
            }
    }
#endif
    for (; k + KT <= K; k += KT)
        #pragma unroll
        for (int u = 0; u < KT; ++u) {
            const vec f = LOAD(bs + (long)(k + u) * BLOCK);
            #pragma unroll
            for (int i = 0; i < MT; ++i) acc[i][u] = fma((vec)(GET(as + i * arow + (k + u) * acolumn)), f, acc[i][u]);
        }
    for (; k < K; ++k) {
        const vec f = LOAD(bs + (long)k * BLOCK);
        #pragma unroll
        for (int i = 0; i < MT; ++i) acc[i][0] = fma((vec)(GET(as + i * arow + k * acolumn)), f, acc[i][0]);
    }
    const int first = nb * BLOCK + part, count = min(V, N - first);
    #pragma unroll
    for (int i = 0; i < MT; ++i) {
        if (i < skip) continue;
        vec sum = acc[i][0];
        #pragma unroll
        for (int u = 1; u < KT; ++u) sum += acc[i][u];
        const long row = batch * M + m + i;
        if (count == V) {
            vec value = alpha * sum;
            if (c) {
                __global const scalar *from = c + c_at + (m + i) * crow + first * ccolumn;
                value += beta * (ccolumn ? LOAD(from) : (vec)(GET(from)));
            }
            if (bias) value += LOAD(bias + bias_at + first);
            if (r) value += LOAD(r + r_at + row * N + first);
            STORE(ACT(value), y + row * N + first);
            continue;
        }
        float one[V];
        STOREF(alpha * sum, one);
        for (int j = 0; j < count; ++j) {
            float value = one[j];
            if (c) value += beta * GET(c + c_at + (m + i) * crow + (first + j) * ccolumn);
            if (bias) value += GET(bias + bias_at + first + j);
            if (r) value += GET(r + r_at + row * N + first + j);
            PUT(ACT(value), y + row * N + first + j);
        }
    }
}
