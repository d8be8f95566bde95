// Depthwise Conv and FusedConv, NHWC: X [N, H, W, C], W [R, TAPS, C], BIAS [C] -> Y [N, P, Q, C]; sums in float.
// A thread: PACK channels of STRIP neighbouring columns of a row of Y; neighbouring threads, neighbouring channels. It
// reads each column of X once for all that it computes. TAPS, DW, SW: columns of the window, their distance, the step
// between windows. Bound by memory.

extern "C" __global__ void depthwise(const T *x, const T *w, const T *bias, const T *r, const T *scale, const T *shift,
                                     T *y, T *raw, const int C, const int H, const int W, const int P, const int Q,
                                     const int R, const int sh, const int top, const int left, const int dh,
                                     const float p0, const float p1) {
    after_others();
    typedef Pack<T, PACK> Some;
    const int across = C / PACK, index = (int)INDEX;
    const int c = index % across * PACK, q = index / across * STRIP, p = blockIdx.y;
    if (q >= Q) return;
    x += (i64)blockIdx.z * H * W * C + c;
    float sum[STRIP][PACK] = {};
    for (int u = 0; u < R; ++u) {
        const int h = p * sh - top + u * dh;
        if ((u32)h >= (u32)H) continue;
        constexpr int SPAN = (STRIP - 1) * SW + (TAPS - 1) * DW + 1;
        Some f[TAPS];
#pragma unroll
        for (int v = 0; v < TAPS; ++v) f[v] = *(const Some *)(w + (u * TAPS + v) * C + c);
#pragma unroll
        for (int g = 0; g < SPAN; ++g) {
            bool used = false;
#pragma unroll
            for (int j = 0; j < STRIP; ++j) used |= g >= j * SW && (g - j * SW) % DW == 0 && g - j * SW <= (TAPS - 1) * DW;
            const int column = q * SW - left + g;
            if (!used || (u32)column >= (u32)W) continue;
            const Some a = *(const Some *)(x + ((i64)h * W + column) * C);
#pragma unroll
            for (int j = 0; j < STRIP; ++j) {
                const int at = g - j * SW;
                if (at < 0 || at % DW || at / DW >= TAPS) continue;
#pragma unroll
                for (int i = 0; i < PACK; ++i) sum[j][i] += (float)a.at[i] * (float)f[at / DW].at[i];
            }
        }
    }
#pragma unroll
    for (int j = 0; j < STRIP; ++j) {
        if (q + j >= Q) break;
        const i64 at = (((i64)blockIdx.z * P + p) * Q + q + j) * C + c;
        Some out, sums, residual;
        if (r) residual = *(const Some *)(r + at);
#pragma unroll
        for (int i = 0; i < PACK; ++i) {
            float value = sum[j][i];
            if (bias) value += (float)bias[c + i];
            if (r) value += (float)residual.at[i];
            sums.at[i] = (T)value;
            if (scale) value = value * (float)scale[c + i] + (float)shift[c + i];
            out.at[i] = (T)apply(value, p0, p1);
        }
        if (raw) *(Some *)(raw + at) = sums;
        *(Some *)(y + at) = out;
    }
}
