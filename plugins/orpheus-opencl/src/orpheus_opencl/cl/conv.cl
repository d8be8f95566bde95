// Conv and FusedConv, direct, to NCHW16c: X [N, G * CB, H, W, XB], padded already, W [G * MB, CB, R, S, XB c, 16 m],
// B [G * MB, 16] -> Y [N, G * MB, P, Q, 16]. XB: 16, or 1 for an X that is plain.
// A work item: MT blocks of filters x PT rows x QT columns of Y, as vectors of V filters in private memory; it reads
// W once for all of them and every X once for MT blocks. Loops: c block, r, s, c. The last tile of an axis is moved
// back to end where the axis ends; what an earlier tile stores it leaves alone. PT <= P, QT <= Q, MT <= MB.
// SH, SW: strides, where they are few enough to have programs of their own. Epilogue: see common.cl.

// A processor converts a block of halves as fast as a single one: of each element of X that a tap needs it takes the
// whole block, and has floats in private memory for the loop over c.
#if defined(HALF) && XB == BLOCK && V >= 8
#define TAKEN
#define ELEMENT(k, j, c) taken[(k) * QT + (j)][c]
#else
#define ELEMENT(k, j, c) GET(xp + (k) * SH * pitch + (j) * SW * XB + (c))
#endif
#ifndef SH
#define SH sh
#define SW sw
#endif

__kernel void conv(IN(x), IN(w), EPILOGUE, const int CB, const int C,
                   const int H, const int W, const int G, const int MB, const int P, const int Q, const int R,
                   const int S, const int sh, const int sw, const int dh, const int dw, const int M, const float p0,
                   const float p1) {
    AT(x); AT(w); AT_EPILOGUE;
    const int part = get_global_id(0) % PARTS * V;
    int q = get_global_id(0) / PARTS * QT, p = get_global_id(1) * PT;
    const int mtiles = (MB + MT - 1) / MT, t = get_global_id(2);
    const int g = t / mtiles % G, n = t / mtiles / G;
    int m = t % mtiles * MT;
    const int qskip = max(q + QT - Q, 0), pskip = max(p + PT - P, 0), mskip = max(m + MT - MB, 0);
    q -= qskip, p -= pskip, m -= mskip;
    const long taps = R * S, filter = CB * taps * XB * BLOCK, pitch = (long)W * XB;
    __global const scalar *xs = x + (((long)(n * G + g) * CB * H + p * SH) * W + q * SW) * XB;
    __global const scalar *ws = w + (g * MB + m) * filter + part;

    vec acc[MT][PT * QT];
    #pragma unroll
    for (int i = 0; i < MT; ++i)
        #pragma unroll
        for (int j = 0; j < PT * QT; ++j) acc[i][j] = (vec)(0.0f);
    for (int cb = 0; cb < CB; ++cb, xs += H * pitch) {
        const int cs = XB == 1 ? 1 : min(XB, C - cb * XB);
        for (int u = 0; u < R; ++u)
            for (int v = 0; v < S; ++v) {
                __global const scalar *xp = xs + u * dh * pitch + v * dw * XB;
#ifdef TAKEN
                float taken[PT * QT][BLOCK];
                #pragma unroll
                for (int k = 0; k < PT; ++k)
                    #pragma unroll
                    for (int j = 0; j < QT; ++j)
                        #pragma unroll
                        for (int c = 0; c < BLOCK; c += V)
                            STOREF(LOAD(xp + k * SH * pitch + j * SW * XB + c), taken[k * QT + j] + c);
#endif
                #pragma unroll 1
                for (int c = 0; c < cs; ++c) {
                    vec f[MT];
                    #pragma unroll
                    for (int i = 0; i < MT; ++i) f[i] = LOAD(ws + i * filter + c * BLOCK);
                    #pragma unroll
                    for (int k = 0; k < PT; ++k)
                        #pragma unroll
                        for (int j = 0; j < QT; ++j) {
                            const vec a = (vec)(ELEMENT(k, j, c));
                            #pragma unroll
                            for (int i = 0; i < MT; ++i) acc[i][k * QT + j] = fma(f[i], a, acc[i][k * QT + j]);
                        }
                }
                ws += XB * BLOCK;
            }
    }
    // The sums leave the registers here, so that what follows is a loop and not a copy of itself for each of them.
    vec sums[MT][PT * QT];
    #pragma unroll
    for (int i = 0; i < MT; ++i)
        #pragma unroll
        for (int j = 0; j < PT * QT; ++j) sums[i][j] = acc[i][j];
    #pragma unroll 1
    for (int i = mskip; i < MT; ++i) {
        OF_FILTERS((g * MB + m + i) * BLOCK + part);
        #pragma unroll 1
        for (int k = pskip; k < PT; ++k)
            #pragma unroll 1
            for (int j = qskip; j < QT; ++j) {
                const long at = ((((long)(n * G + g) * MB + m + i) * P + p + k) * Q + q + j) * BLOCK + part;
                FINISH(sums[i][k * QT + j], at)
            }
    }
}
