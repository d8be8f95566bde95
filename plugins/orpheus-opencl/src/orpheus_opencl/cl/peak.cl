// What a device computes at best: a work item does `rounds` multiply-adds s = a s + b on each of CHAINS vectors, which
// wait for nothing but themselves, and leaves their sum.
#define CHAINS 12

__kernel void peak(OUTF(y), const int rounds, const float a, const float b) {
    AT(y);
    vec s[CHAINS];
    #pragma unroll
    for (int k = 0; k < CHAINS; ++k) s[k] = (vec)((float)k);
    for (int i = 0; i < rounds; ++i) {
        #pragma unroll
        for (int k = 0; k < CHAINS; ++k) s[k] = fma(s[k], (vec)(a), (vec)(b));
    }
    vec sum = s[0];
    #pragma unroll
    for (int k = 1; k < CHAINS; ++k) sum += s[k];
    STOREF(sum, y + get_global_id(0) * V);
}
