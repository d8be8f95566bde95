// Y[yfirst + sum i_k ys_k] = X[xfirst + sum i_k xs_k]: what transposing, slicing, splitting, joining, expanding are.
// table: AXES sizes, strides of X, strides of Y, in elements. A work item runs along the last axis. TYPE: of the width.

__kernel void strided(__global const TYPE *restrict x, const ulong x_at, __global TYPE *restrict y, const ulong y_at,
                      __global const int *table, const long xfirst, const long yfirst) {
    x += x_at + xfirst;
    y += y_at + yfirst;
    long rest = get_global_id(0);
    const int length = table[AXES - 1], sx = table[2 * AXES - 1], sy = table[3 * AXES - 1];
    for (int axis = AXES - 2; axis >= 0; --axis) {
        const int at = rest % table[axis];
        rest /= table[axis];
        x += (long)at * table[AXES + axis];
        y += (long)at * table[2 * AXES + axis];
    }
    if (sx == 1 && sy == 1)
        for (int i = 0; i < length; ++i) y[i] = x[i];
    else
        for (int i = 0; i < length; ++i) y[(long)i * sy] = x[(long)i * sx];
}
