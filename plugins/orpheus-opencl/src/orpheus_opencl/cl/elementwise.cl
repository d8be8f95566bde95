// Elementwise operators: EXPR(a), or EXPR(a, b), or EXPR of the constants of SCALARS too; it holds for floats and
// vectors of them alike.

#define RUN 64  // elements of a work item where all operands lie alike

#ifdef UNARY
__kernel void flat(IN(a), OUT(y), const long count, const float p0, const float p1) {
    AT(a); AT(y);
    const long first = get_global_id(0) * RUN;
    if (first + RUN <= count) {
        for (int i = 0; i < RUN; i += V) {
            const vec va = LOAD(a + first + i);
            STORE(EXPR(va), y + first + i);
        }
        return;
    }
    for (long i = first; i < count; ++i) {
        const float va = GET(a + i);
        PUT(EXPR(va), y + i);
    }
}
#else
// Strides of 1, or 0 for an operand of one element.
__kernel void flat(IN(a), IN(b), OUT(y), const long count, const int sa, const int sb) {
    AT(a); AT(b); AT(y);
    const long first = get_global_id(0) * RUN;
    if (first + RUN <= count) {
        for (long i = first; i < first + RUN; i += V) {
            const vec va = sa ? LOAD(a + i) : (vec)(GET(a)), vb = sb ? LOAD(b + i) : (vec)(GET(b));
            STORE(EXPR(va, vb), y + i);
        }
        return;
    }
    for (long i = first; i < count; ++i) {
        const float va = GET(a + i * sa), vb = GET(b + i * sb);
        PUT(EXPR(va, vb), y + i);
    }
}

// Broadcasting: AXES axes, the last of which a work item runs along. table: sizes, strides of a, strides of b.
__kernel void broadcast(IN(a), IN(b), OUT(y), __global const int *table) {
    AT(a); AT(b);
    long rest = get_global_id(0);
    const int length = table[AXES - 1], sa = table[2 * AXES - 1], sb = table[3 * AXES - 1];
    AT(y);
    y += rest * length;
    for (int axis = AXES - 2; axis >= 0; --axis) {
        const int at = rest % table[axis];
        rest /= table[axis];
        a += (long)at * table[AXES + axis];
        b += (long)at * table[2 * AXES + axis];
    }
    int i = 0;
    if (sa <= 1 && sb <= 1)
        for (; i + V <= length; i += V) {
            const vec va = sa ? LOAD(a + i) : (vec)(GET(a)), vb = sb ? LOAD(b + i) : (vec)(GET(b));
            STORE(EXPR(va, vb), y + i);
        }
    for (; i < length; ++i) {
        const float va = GET(a + (long)i * sa), vb = GET(b + (long)i * sb);
        PUT(EXPR(va, vb), y + i);
    }
}
#endif
