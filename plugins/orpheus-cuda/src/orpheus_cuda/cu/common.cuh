// What every family uses. T: the element type in memory, of which Compute<T>::type is computed with.

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

struct half_t {
    u16 bits;
    half_t() = default;
    __device__ explicit half_t(float x) : bits(half_bits(x)) {}
    __device__ operator float() const { return half_value(bits); }
};
struct bfloat_t {
    u16 bits;
    bfloat_t() = default;
    __device__ explicit bfloat_t(float x) : bits(bfloat_bits(x)) {}
    __device__ operator float() const { return __uint_as_float((u32)bits << 16); }
};

template <class T> struct Compute { typedef T type; };
template <> struct Compute<half_t> { typedef float type; };
template <> struct Compute<bfloat_t> { typedef float type; };

#define INFINITE __int_as_float(0x7f800000)
// Of which thread this is, along x, in 64 bits.
#define INDEX ((i64)blockIdx.x * blockDim.x + threadIdx.x)
template <class X> __device__ inline X unit(X x) { return x < X(0) ? X(0) : x > X(1) ? X(1) : x; }
template <class X> __device__ inline X softplus(X x) { return (x > X(0) ? x : x == x ? X(0) : x) + log1p(exp(-fabs(x))); }

template <class X> __device__ inline X clipped(X x, X low, X high) { return !(x > low) ? low : x > high ? high : x; }

// Elements that lie together, moved at once, 16 bytes at most.
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack { T at[N]; };
