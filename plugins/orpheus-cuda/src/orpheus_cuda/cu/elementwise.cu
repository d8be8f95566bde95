// Elementwise operators with broadcasting, and copies between strided places: Y = EXPR of operands x, y, z, of types
// TX, TY, TZ in memory, computed in COMPUTE and stored as TO. One block of threads after the other along Y.
//
// flat: operands lie as Y does (SX, SY, SZ 1) or have one element (0); PACK elements a thread, moved at once.
// strided: PARAMETERS are the sizes of Y's axes and every operand's strides, outermost first; WALK takes the index
// `rest` apart into places ax, ay, az, ao of the operands and of Y. A thread an element.

typedef COMPUTE C;
__device__ inline TO result(C x, C y, C z, C p0, C p1) { return (TO)(EXPR); }

extern "C" __global__ void flat(const TX *x, const TY *y, const TZ *z, TO *out, const i64 count, const double d0,
                                const double d1) {
    after_others();
    const i64 first = INDEX * PACK;
    const C p0 = (C)d0, p1 = (C)d1;
    if (first + PACK <= count) {
        Pack<TX, PACK> px;
        Pack<TY, PACK> py;
        Pack<TZ, PACK> pz;
        Pack<TO, PACK> po;
        if (SX) px = *(const Pack<TX, PACK> *)(x + first);
        if (SY) py = *(const Pack<TY, PACK> *)(y + first);
        if (SZ) pz = *(const Pack<TZ, PACK> *)(z + first);
#pragma unroll
        for (int i = 0; i < PACK; ++i)
            po.at[i] = result((C)(SX ? px.at[i] : x[0]), (C)(SY ? py.at[i] : y[0]), (C)(SZ ? pz.at[i] : z[0]), p0, p1);
        *(Pack<TO, PACK> *)(out + first) = po;
    } else
        for (i64 i = first; i < count; ++i)
            out[i] = result((C)x[SX ? i : 0], (C)y[SY ? i : 0], (C)z[SZ ? i : 0], p0, p1);
}

extern "C" __global__ void strided(const TX *x, const TY *y, const TZ *z, TO *out, const u32 count, const double d0,
                                   const double d1 PARAMETERS) {
    after_others();
    u32 rest = (u32)INDEX;
    if (rest >= count) return;
    i64 ax = 0, ay = 0, az = 0, ao = 0;
    WALK
    out[ao] = result((C)x[ax], (C)y[ay], (C)z[az], (C)d0, (C)d1);
}
