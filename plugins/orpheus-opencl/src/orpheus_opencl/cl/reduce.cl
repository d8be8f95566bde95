// Reductions: START, STEP(sum, x), JOIN(sum, sum) and END(sum, count) make the operator. table: OUTER sizes and strides of
// what is kept, INNER sizes and strides of what is reduced. A work item: one element of Y; it runs along the last reduced
// axis.

__kernel void reduce(IN(x), OUT(y), __global const int *table) {
    AT(x); AT(y);
    long rest = get_global_id(0);
    for (int axis = OUTER - 1; axis >= 0; --axis) {
        x += (rest % table[axis]) * table[OUTER + axis];
        rest /= table[axis];
    }
    __global const int *sizes = table + 2 * OUTER, *steps = sizes + INNER;
    const int length = sizes[INNER - 1], step = steps[INNER - 1];
    long runs = 1;
    for (int axis = 0; axis < INNER - 1; ++axis) runs *= sizes[axis];
    float sum = START;
    for (long run = 0; run < runs; ++run) {
        __global const scalar *from = x;
        long left = run;
        for (int axis = INNER - 2; axis >= 0; --axis) {
            from += (left % sizes[axis]) * steps[axis];
            left /= sizes[axis];
        }
        float part = START;
        for (int i = 0; i < length; ++i) part = STEP(part, GET(from + (long)i * step));
        sum = JOIN(sum, part);
    }
    PUT(END(sum, (float)(runs * length)), y + get_global_id(0));
}
