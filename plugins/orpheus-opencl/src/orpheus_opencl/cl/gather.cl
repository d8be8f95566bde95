// Gather: X [outer, size, inner], indices [count] -> Y [outer, count, inner]. A work item: one run of inner elements.
// TYPE: of the width.

__kernel void gather(__global const TYPE *restrict x, const ulong x_at, __global TYPE *restrict y, const ulong y_at,
                     __global const int *indices, const int size, const int inner) {
    const long outer = get_global_id(1), count = get_global_size(0), i = get_global_id(0);
    x += x_at + (outer * size + indices[i]) * inner;
    y += y_at + (outer * count + i) * inner;
    for (int k = 0; k < inner; ++k) y[k] = x[k];
}
