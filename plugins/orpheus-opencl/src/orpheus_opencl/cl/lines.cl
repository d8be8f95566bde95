// Normalisations: Y = (X - mean) / sqrt(variance + epsilon) * scale + bias, mean and variance over a line of X; the
// variance is that of a second pass, about the mean. RMS: about zero.

// Plain: X [count, length] -> Y alike, a work item a line. Line l is group l % groups; element i of it takes scale and
// bias number group * each + i / span. BIAS may be absent.
__kernel void lines(IN(x), IN(scale), IN(bias), OUT(y), const int length, const int groups, const int each,
                    const int span, const float epsilon) {
    const bool shifted = bias;
    AT(x); AT(scale); AT(bias); AT(y);
    const long line = get_global_id(0);
    x += line * length, y += line * length;
    const int whole = length / V * V;
    float mean = 0.0f, squares = 0.0f, one[V];
    vec sums = (vec)(0.0f);
#ifndef RMS
    for (int i = 0; i < whole; i += V) sums += LOAD(x + i);
    for (int i = whole; i < length; ++i) mean += GET(x + i);
    STOREF(sums, one);
    for (int i = 0; i < V; ++i) mean += one[i];
    mean /= (float)length;
#endif
    sums = (vec)(0.0f);
    for (int i = 0; i < whole; i += V) {
        const vec d = LOAD(x + i) - mean;
        sums = fma(d, d, sums);
    }
    for (int i = whole; i < length; ++i) {
        const float d = GET(x + i) - mean;
        squares = fma(d, d, squares);
    }
    STOREF(sums, one);
    for (int i = 0; i < V; ++i) squares += one[i];
    const float by = 1.0f / sqrt(squares / (float)length + epsilon);
    scale += line % groups * each;
    if (shifted) bias += line % groups * each;
    if (span == 1) {
        for (int i = 0; i < whole; i += V) {
            const vec d = (LOAD(x + i) - mean) * by * LOAD(scale + i);
            STORE(shifted ? d + LOAD(bias + i) : d, y + i);
        }
        for (int i = whole; i < length; ++i)
            PUT((GET(x + i) - mean) * by * GET(scale + i) + (shifted ? GET(bias + i) : 0.0f), y + i);
        return;
    }
    for (int k = 0; k < each; ++k, x += span, y += span) {
        const float factor = by * GET(scale + k), to = shifted ? GET(bias + k) : 0.0f;
        int i = 0;
        for (; i + V <= span; i += V) STORE((LOAD(x + i) - mean) * factor + to, y + i);
        for (; i < span; ++i) PUT((GET(x + i) - mean) * factor + to, y + i);
    }
}

// NCHW16c: X [N, CB, plane, 16], scale and bias [CB, 16] -> Y like X, V channels a work item. C: channels; what
// lies beyond them is padding, and zero.
__kernel void instances(IN(x), INF(scale), INF(bias), OUT(y), const int plane, const int C, const float epsilon) {
    AT(x); AT(scale); AT(bias); AT(y);
    const int part = get_global_id(0) * V, cb = get_global_id(1), CB = get_global_size(1);
    const long first = ((long)get_global_id(2) * CB + cb) * plane * BLOCK + part;
    x += first, y += first;
    vec mean = (vec)(0.0f), squares = (vec)(0.0f);
    for (int i = 0; i < plane; ++i) mean += LOAD(x + (long)i * BLOCK);
    mean /= (float)plane;
    for (int i = 0; i < plane; ++i) {
        const vec d = LOAD(x + (long)i * BLOCK) - mean;
        squares = fma(d, d, squares);
    }
    const vec by = LOADF(scale + cb * BLOCK + part) / sqrt(squares / (float)plane + epsilon);
    const vec to = LOADF(bias + cb * BLOCK + part);
    const ivec filled = LANES + (ivec)(cb * BLOCK + part) < (ivec)(C);
    for (int i = 0; i < plane; ++i) {
        const vec value = (LOAD(x + (long)i * BLOCK) - mean) * by + to;
        STORE(filled ? value : (vec)(0.0f), y + (long)i * BLOCK);
    }
}
