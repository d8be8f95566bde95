// What every family uses. V: floats in a vector of one work item, 4, 8 or 16, the block of NCHW16c.
// A tensor is a buffer and the element it begins at; AT moves the pointer there.

#ifndef V
#define V 16
#endif
#define BLOCK 16
#define PARTS (BLOCK / V)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
typedef CAT(float, V) vec;
typedef CAT(int, V) ivec;
#define LOAD(p) CAT(vload, V)(0, p)
#define STORE(v, p) CAT(vstore, V)(v, 0, p)
#define IN(name) __global const float *restrict name, const ulong name##_at
#define OUT(name) __global float *restrict name, const ulong name##_at
#define AT(name) name += name##_at
// Numbers of the lanes of a vector.
#if V == 16
#define LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#elif V == 8
#define LANES ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#else
#define LANES ((int4)(0, 1, 2, 3))
#endif
#ifndef ACT
#define ACT(x) (x)
#endif

