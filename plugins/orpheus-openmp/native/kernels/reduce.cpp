// Reductions over any axes: sum, mean, product, maximum, minimum, sums of magnitudes, squares and exponentials.
//
// A tensor is a box of kept dimensions (strided.hpp; operand 0 is x, operand 1 y) times a box of reduced ones (operand
// 0 is x). Where x is contiguous along a kept dimension a vector holds B results; where along a reduced one, it holds B
// terms and its lanes are joined at the end. Terms are summed in runs of 128 a lane first, so that the error of a long
// sum is that of several short ones. Threads: equal runs of results. Bound by memory: means 64-85 GB/s
// from L2 (Zen 4).

#include "math.hpp"
#include "rows.hpp"
#include "strided.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

enum Op { sum, mean, product, maximum, minimum, l1, l2, sum_square, log_sum, exp_sum };
constexpr Int run_length = 128;

template <int O>
ORPHEUS_INLINE float identity() {
    return O == product ? 1.0f : O == maximum ? -__builtin_inff() : O == minimum ? __builtin_inff() : 0.0f;
}

template <int O>
ORPHEUS_INLINE Vec join(Vec a, Vec b) {
    switch (O) {
        case product: return a * b;
        case maximum: return a != a ? a : max(a, b);  // NaN in either passes through
        case minimum: return a != a ? a : min(a, b);
        default: return a + b;
    }
}

template <int O>
ORPHEUS_INLINE Vec term(Vec x, Vec shift) {
    switch (O) {
        case l1: return max(x, zero() - x);
        case l2:
        case sum_square: return x * x;
        case exp_sum: return exp(x - shift);
        default: return x;
    }
}

template <int O>
ORPHEUS_INLINE float joined(Vec v) {
    float lanes[B];
    store(lanes, v);
    for (int width = B / 2; width; width /= 2) {
        for (int i = 0; i < width; ++i) {
            const float a = lanes[i], b = lanes[i + width];
            switch (O) {
                case product: lanes[i] = a * b; break;
                case maximum: lanes[i] = a != a || a > b ? a : b; break;
                case minimum: lanes[i] = a != a || a < b ? a : b; break;
                default: lanes[i] = a + b;
            }
        }
    }
    return lanes[0];
}

template <int O>
ORPHEUS_INLINE float finished(float v, float count, float shift) {
    switch (O) {
        case mean: return v / count;
        case l2: return __builtin_sqrtf(v);
        case log_sum: return ::logf(v);
        case exp_sum: return shift + ::logf(v);
        default: return v;
    }
}

// An infinite maximum would turn exponents into NaN.
ORPHEUS_INLINE float usable(float top) { return top - top == 0.0f ? top : 0.0f; }

// `count` results whose terms lie one beside the other.
template <int O>
ORPHEUS_INLINE Vec beside(const Box& reduced, const float* x, Int count, Vec shift) {
    const Int last = reduced.rank - 1, size = reduced.size(last), step = reduced.stride(0, last);
    const Int rows = rows_of(reduced, last);
    Vec total = broadcast(identity<O>());
    Walk<1> walk(reduced, last, 0);
    for (Int r = 0; r < rows; ++r, walk.next()) {
        const float* row = x + walk.offset[0];
        for (Int i = 0; i < size; i += run_length) {
            Vec part = broadcast(identity<O>());
            const Int end = least(size, i + run_length);
            if (count >= B) {
                for (Int j = i; j < end; ++j) part = join<O>(part, term<O>(load(row + j * step), shift));
            } else {
                for (Int j = i; j < end; ++j) part = join<O>(part, term<O>(load_some(row + j * step, count), shift));
            }
            total = join<O>(total, part);
        }
    }
    return total;
}

// One result whose terms are contiguous along the last reduced dimension.
template <int O>
ORPHEUS_INLINE float along(const Box& reduced, const float* x, float shift) {
    const Int last = reduced.rank - 1, size = reduced.size(last), rows = rows_of(reduced, last);
    const Vec top = broadcast(shift);
    Vec total = broadcast(identity<O>());
    Walk<1> walk(reduced, last, 0);
    for (Int r = 0; r < rows; ++r, walk.next()) {
        const float* row = x + walk.offset[0];
        Int i = 0;
        while (i + B <= size) {
            Vec parts[4] = {broadcast(identity<O>()), broadcast(identity<O>()), broadcast(identity<O>()),
                            broadcast(identity<O>())};
            const Int end = least(size, i + run_length * B);
            for (; i + 4 * B <= end; i += 4 * B)
                for (int p = 0; p < 4; ++p) parts[p] = join<O>(parts[p], term<O>(load(row + i + p * B), top));
            for (; i + B <= end; i += B) parts[0] = join<O>(parts[0], term<O>(load(row + i), top));
            total = join<O>(total, join<O>(join<O>(parts[0], parts[1]), join<O>(parts[2], parts[3])));
        }
        if (i < size) {
            float lanes[B];
            store(lanes, term<O>(load_some(row + i, size - i), top));
            for (Int lane = size - i; lane < B; ++lane) lanes[lane] = identity<O>();
            total = join<O>(total, load(lanes));
        }
    }
    return joined<O>(total);
}

template <int O>
void all(const ReduceArgs& a, const Team& team) {
    const Box kept{a.table, a.kept, a.table}, reduced{a.table + 4 * a.kept, a.reduced, a.table};
    each_run<2>(kept, team, [&](const Walk<2>& walk, Int first, Int count) {
        const Int last = a.kept - 1, xs = kept.stride(0, last);
        const float* x = a.x + walk.offset[0] + first * xs;
        float* y = a.y + walk.offset[1] + first;
        for (Int i = 0; i < count;) {
            float shift[B] = {}, lanes[B];
            const Int some = a.beside ? least(Int{B}, count - i) : 1;
            for (Int lane = 0; lane < some; ++lane) shift[lane] = O == exp_sum ? usable(y[i + lane]) : 0.0f;
            if (a.beside) store(lanes, beside<O>(reduced, x + i, some, load(shift)));
            else lanes[0] = along<O>(reduced, x + i * xs, shift[0]);
            for (Int lane = 0; lane < some; ++lane) y[i + lane] = finished<O>(lanes[lane], a.count, shift[lane]);
            i += some;
        }
    });
}

}  // namespace

void reduce(const void* args, Team& team) {
    const ReduceArgs& a = *static_cast<const ReduceArgs*>(args);
    switch (a.op) {
        case sum: return all<sum>(a, team);
        case mean: return all<mean>(a, team);
        case product: return all<product>(a, team);
        case maximum: return all<maximum>(a, team);
        case minimum: return all<minimum>(a, team);
        case l1: return all<l1>(a, team);
        case l2: return all<l2>(a, team);
        case sum_square: return all<sum_square>(a, team);
        case log_sum: return all<log_sum>(a, team);
        case exp_sum: return all<exp_sum>(a, team);
        default: return;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
