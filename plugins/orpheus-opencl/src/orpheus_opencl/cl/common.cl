// What every family uses. V: floats in a vector of one work item, 4, 8 or 16, the block of NCHW16c.
// A tensor is a buffer and the element it begins at; AT moves the pointer there. Its elements are floats, or with HALF
// halves that are read and written as floats, which any device can, with cl_khr_fp16 or without; INF, OUTF, LOADF and
// STOREF are of floats in either case. What is computed is float.

#ifndef V
#define V 16
#endif
#define BLOCK 16
#define PARTS (BLOCK / V)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
typedef CAT(float, V) vec;
typedef CAT(int, V) ivec;
#define LOADF(p) CAT(vload, V)(0, p)
#define STOREF(v, p) CAT(vstore, V)(v, 0, p)
#ifdef HALF
#define scalar half
#define LOAD(p) CAT(vload_half, V)(0, p)
#define STORE(v, p) CAT(vstore_half, V)(v, 0, p)
#define GET(p) vload_half(0, p)
#define PUT(v, p) vstore_half(v, 0, p)
#else
#define scalar float
#define LOAD(p) LOADF(p)
#define STORE(v, p) STOREF(v, p)
#define GET(p) (*(p))
#define PUT(v, p) (*(p) = (v))
#endif
#define IN(name) __global const scalar *restrict name, const ulong name##_at
#define OUT(name) __global scalar *restrict name, const ulong name##_at
#define INF(name) __global const float *restrict name, const ulong name##_at
#define OUTF(name) __global float *restrict name, const ulong name##_at
#define AT(name) name += name##_at
// Numbers of the lanes of a vector.
#if V == 16
#define LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#elif V == 8
#define LANES ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#else
#define LANES ((int4)(0, 1, 2, 3))
#endif
#ifndef ACT
#define ACT(x) (x)
#endif

// A convolution's epilogue: bias, residual R, second output RAW, scale and shift, activation; R, RAW, scale and shift
// where present. M: filters in all; lanes beyond them are padding, and zero whatever the sums are.
#define EPILOGUE INF(b), IN(r), INF(scale), INF(shift), OUT(y), OUT(raw)
#define AT_EPILOGUE                                    \
    const bool added = r, scaled = scale, split = raw; \
    AT(b); AT(r); AT(scale); AT(shift); AT(y); AT(raw)
// Of the V filters from f on.
#define OF_FILTERS(f)                                                                             \
    const vec bias = LOADF(b + (f)), by = scaled ? LOADF(scale + (f)) : (vec)(1.0f),              \
              to = scaled ? LOADF(shift + (f)) : (vec)(0.0f);                                     \
    const ivec filled = LANES + (ivec)(f) < (ivec)(M);                                            \
    const bool partial = (f) + V > M
#define FINISH(total, at)                                          \
    {                                                              \
        vec sum = total + bias;                                    \
        if (added) sum += LOAD(r + (at));                          \
        if (partial) sum = filled ? sum : (vec)(0.0f);             \
        if (split) STORE(sum, raw + (at));                         \
        if (scaled) sum = fma(sum, by, to);                        \
        sum = ACT(sum);                                            \
        if (partial) sum = filled ? sum : (vec)(0.0f);             \
        STORE(sum, y + (at));                                      \
    }
