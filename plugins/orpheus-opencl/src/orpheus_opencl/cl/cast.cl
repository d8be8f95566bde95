// Cast between float32 and float16, which rounds to nearest, even. A work item: RUN elements.

#define RUN 64
#define EACH                                                            \
    long i = get_global_id(0) * RUN;                                    \
    const long last = min(i + RUN, count);                              \
    AT(x); AT(y)

__kernel void to_float16(INF(x), OUT(y), const long count) {
    EACH;
    for (; i + V <= last; i += V) STORE(LOADF(x + i), y + i);
    for (; i < last; ++i) PUT(x[i], y + i);
}

__kernel void to_float32(IN(x), OUTF(y), const long count) {
    EACH;
    for (; i + V <= last; i += V) STOREF(LOAD(x + i), y + i);
    for (; i < last; ++i) y[i] = GET(x + i);
}
