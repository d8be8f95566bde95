// Gather and GatherND: X [outer, SIZES, inner] -> Y [outer, count, inner], words of type T. A row of DEPTH indices, of
// type I, says which element of the axes SIZES; those below 0 count from the end. One that is out of range, which
// ONNX forbids, reads the nearest element.

extern "C" __global__ void gather(const T *x, const I *indices, T *y, const u32 total, const u32 count, const u32 inner,
                                  const i64 whole PARAMETERS) {
    after_others();
    const u32 at = (u32)INDEX;
    if (at >= total) return;
    const u32 row = at / inner % count;
    i64 place = 0;
    const int sizes[] = {SIZES};
#pragma unroll
    for (int d = 0; d < DEPTH; ++d) {
        i64 i = (i64)indices[(i64)row * DEPTH + d];
        i += i < 0 ? sizes[d] : 0;
        place = place * sizes[d] + (i < 0 ? 0 : i >= sizes[d] ? sizes[d] - 1 : i);
    }
    y[at] = x[(i64)(at / inner / count) * whole + place * inner + at % inner];
}
