// A chain of elementwise operators in one pass over memory: STAGES are a struct for each, with `at` of its operands in
// its own type C and the type of its result; LINKS calls them in order on elements e0, e1, ... of OPERANDS a0, a1, ...
// and gives `last`. What lies between is rounded to the type that it would be stored in, and not stored.
//
// flat: operands lie as Y does, or have one element; PACK elements a thread, moved at once by PACKS and taken apart by
// PACKED; SINGLE does without. strided: as in elementwise.cu. NUMBERS are two parameters for each stage.

STAGES

extern "C" __global__ void chain(OPERANDS TO *out, const i64 count NUMBERS PARAMETERS) {
    after_others();
#if FLAT
    const i64 first = INDEX * PACK;
    if (first + PACK <= count) {
        PACKS
        Pack<TO, PACK> po;
#pragma unroll
        for (int i = 0; i < PACK; ++i) {
            PACKED
            LINKS
            po.at[i] = last;
        }
        *(Pack<TO, PACK> *)(out + first) = po;
    } else
        for (i64 i = first; i < count; ++i) {
            SINGLE
            LINKS
            out[i] = last;
        }
#else
    u32 rest = (u32)INDEX;
    if (INDEX >= count) return;
    PLACES
    WALK
    SINGLE
    LINKS
    out[aso] = last;
#endif
}
