// TopK: X [outer, length, inner] -> values and indices [outer, k, inner]. A thread an element: its rank is the number
// of those that come before it, so it needs no order among threads. Of equal elements the lower index comes first;
// NaN counts as the largest. LARGEST, or the smallest.

typedef Compute<T>::type C;

extern "C" __global__ void topk(const T *x, T *values, i64 *indices, const u32 count, const int length,
                                const u32 inner, const int k) {
    const u32 at = (u32)INDEX;
    if (at >= count) return;
    const int i = at / inner % length;
    const i64 outer = at / inner / length, first = outer * length * inner + at % inner;
    const C mine = (C)x[at];
    int rank = 0;
    for (int j = 0; j < length; ++j) {
        const C other = (C)x[first + (i64)j * inner];
        const bool same = other == mine || (other != other && mine != mine);
        const bool more = (other > mine || other != other) && !same;
#ifdef LARGEST
        rank += more || (same && j < i);
#else
        rank += !(more || (same && j >= i));
#endif
    }
    if (rank >= k) return;
    const i64 to = (outer * k + rank) * inner + at % inner;
    values[to] = x[at], indices[to] = i;
}
