// Operators of two tensors that broadcast in any way, comparisons to bytes, logic on bytes, and Where.
//
// A box (strided.hpp) of operands x, z and y; Where has a condition of bytes as a fourth. Along the last dimension an
// operand is contiguous or one value; y is contiguous. Threads: equal runs of rows. Bound by memory, Pow and Mod by the
// C library: rows of 128 elements 28 to 50 GB/s from L2, Pow 4.8 ns an element, Mod 14 (Zen 4). What elementwise.cpp can
// take, it takes faster: these are the other shapes and operators.

#include "math.hpp"
#include "rows.hpp"
#include "strided.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// As orpheus_openmp.broadcast numbers them; comparisons, then logic, come last.
enum Op {
    add, subtract, multiply, divide, prelu, maximum, minimum, power, remainder, where_,
    equal, less, less_or_equal, greater, greater_or_equal, both, either, one_of
};

template <class F>
ORPHEUS_INLINE Vec by_lane(Vec x, Vec z, F f) {
    float a[B], b[B];
    store(a, x);
    store(b, z);
    for (int i = 0; i < B; ++i) a[i] = f(a[i], b[i]);
    return load(a);
}

template <int O>
ORPHEUS_INLINE Vec apply(Vec x, Vec z) {
    switch (O) {
        case add: return x + z;
        case subtract: return x - z;
        case multiply: return x * z;
        case divide: return x / z;
        case prelu: return x < zero() ? x * z : x;
        case maximum: return x != x ? x : max(x, z);  // NaN in either passes through
        case minimum: return x != x ? x : min(x, z);
        case power: return by_lane(x, z, [](float a, float b) { return ::powf(a, b); });
        default: return by_lane(x, z, [](float a, float b) { return ::fmodf(a, b); });
    }
}

template <int O>
void numbers(const BroadcastArgs& a, const Box& box, const Team& team) {
    const Int xs = box.stride(0, box.rank - 1), zs = box.stride(1, box.rank - 1);
    each_run<3>(box, team, [&](const Walk<3>& walk, Int first, Int count) {
        const float* x = a.x + walk.offset[0] + first * xs;
        const float* z = a.z + walk.offset[1] + first * zs;
        float* y = a.y + walk.offset[2] + first;
        const Vec one_x = broadcast(*x), one_z = broadcast(*z);
        const bool square = O == power && !zs && *z == 2.0f;
        for (Int i = 0; i < count; i += B) {
            const Int rest = count - i;
            const Vec vx = xs ? load_upto(x + i, rest) : one_x;
            const Vec vz = zs ? load_upto(z + i, rest) : one_z;
            store_upto(y + i, square ? vx * vx : apply<O>(vx, vz), rest);
        }
    });
}

template <int O, class T>
ORPHEUS_INLINE bool holds(T x, T z) {
    switch (O) {
        case equal: return x == z;
        case less: return x < z;
        case less_or_equal: return x <= z;
        case greater: return x > z;
        case greater_or_equal: return x >= z;
        case both: return x && z;
        case either: return x || z;
        default: return !x != !z;
    }
}

template <int O, class T>
void truths(const T* left, const T* right, unsigned char* result, const Box& box, const Team& team) {
    const Int xs = box.stride(0, box.rank - 1), zs = box.stride(1, box.rank - 1);
    each_run<3>(box, team, [&](const Walk<3>& walk, Int first, Int count) {
        const T* x = left + walk.offset[0] + first * xs;
        const T* z = right + walk.offset[1] + first * zs;
        unsigned char* y = result + walk.offset[2] + first;
        if (xs && zs)
            for (Int i = 0; i < count; ++i) y[i] = holds<O>(x[i], z[i]);
        else if (xs)
            for (Int i = 0; i < count; ++i) y[i] = holds<O>(x[i], *z);
        else
            for (Int i = 0; i < count; ++i) y[i] = holds<O>(*x, z[i * zs]);
    });
}

void choose(const BroadcastArgs& a, const Box& box, const Team& team) {
    const Int last = box.rank - 1, xs = box.stride(0, last), zs = box.stride(1, last), cs = box.stride(2, last);
    each_run<4>(box, team, [&](const Walk<4>& walk, Int first, Int count) {
        const float* x = a.x + walk.offset[0] + first * xs;
        const float* z = a.z + walk.offset[1] + first * zs;
        const unsigned char* c = a.left + walk.offset[2] + first * cs;
        float* y = a.y + walk.offset[3] + first;
        if (xs && zs && cs)
            for (Int i = 0; i < count; ++i) y[i] = c[i] ? x[i] : z[i];
        else
            for (Int i = 0; i < count; ++i) y[i] = c[i * cs] ? x[i * xs] : z[i * zs];
    });
}

}  // namespace

void broadcast_op(const void* args, Team& team) {
    const BroadcastArgs& a = *static_cast<const BroadcastArgs*>(args);
    const Box box{a.table, a.rank, a.table};
    switch (a.op) {
        case add: return numbers<add>(a, box, team);
        case subtract: return numbers<subtract>(a, box, team);
        case multiply: return numbers<multiply>(a, box, team);
        case divide: return numbers<divide>(a, box, team);
        case prelu: return numbers<prelu>(a, box, team);
        case maximum: return numbers<maximum>(a, box, team);
        case minimum: return numbers<minimum>(a, box, team);
        case power: return numbers<power>(a, box, team);
        case remainder: return numbers<remainder>(a, box, team);
        case where_: return choose(a, box, team);
        case equal: return truths<equal>(a.x, a.z, a.truth, box, team);
        case less: return truths<less>(a.x, a.z, a.truth, box, team);
        case less_or_equal: return truths<less_or_equal>(a.x, a.z, a.truth, box, team);
        case greater: return truths<greater>(a.x, a.z, a.truth, box, team);
        case greater_or_equal: return truths<greater_or_equal>(a.x, a.z, a.truth, box, team);
        case both: return truths<both>(a.left, a.right, a.truth, box, team);
        case either: return truths<either>(a.left, a.right, a.truth, box, team);
        case one_of: return truths<one_of>(a.left, a.right, a.truth, box, team);
        default: return;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
