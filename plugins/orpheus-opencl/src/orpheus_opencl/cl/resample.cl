// Y by tables: along each axis the places in X that an element of Y comes from, and their weights. What Resize and Pad
// are. AXES axes, the last of which a work item runs along; DEEP: each element is a vector of channels of NCHW16c.
// WALK takes `rest` apart; SUM is the loops over what the axes read, which set `sum`; a place below 0 is outside X.
// places: each axis's, in elements of memory, one table after the other; weights alike; sizes of Y's axes.

#ifdef DEEP
typedef vec element;
#define DEPTH BLOCK
#define FETCH(p) LOAD(p)
#define LEAVE(v, p) STORE(v, p)
#define PIECES PARTS
#else
typedef float element;
#define DEPTH 1
#define FETCH(p) GET(p)
#define LEAVE(v, p) PUT(v, p)
#define PIECES 1
#endif

__kernel void resample(IN(x), OUT(y), __global const int *restrict places, __global const float *restrict weights,
                       __global const int *restrict sizes, const float filling) {
    AT(x); AT(y);
    const long line = get_global_id(0) / PIECES;
    x += get_global_id(0) % PIECES * V;
    y += get_global_id(0) % PIECES * V;
    long rest = line;
    WALK
    const int length = sizes[AXES - 1];
    for (int i = 0; i < length; ++i) {
        element sum = (element)(0.0f);
        SUM
        LEAVE(sum, y + (line * length + i) * DEPTH);
    }
}
