// Y by tables: along each axis the places in X, in elements, that an element of Y comes from, and their weights. What
// Resize, Pad and their like are. A thread an element. WALK takes `rest` apart; SUM is the loops over what an axis
// reads, each of which adds to the place and may leave X (a place below 0), where FILL stands.

typedef COMPUTE C;

extern "C" __global__ void resample(const T *x, T *y, const int *places, const float *weights, const u32 count,
                                    const double filling PARAMETERS) {
    after_others();
    u32 rest = (u32)INDEX;
    if (rest >= count) return;
    const u32 at = rest;
    C sum = 0;
    WALK
    SUM
    y[at] = (T)sum;
}
