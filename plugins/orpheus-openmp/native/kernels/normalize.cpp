// LayerNormalization, RMSNormalization, InstanceNormalization and GroupNormalization: rows of `size` elements, each
// brought to mean 0 (unless rms) and variance 1, then scaled and shifted.
//
// Three passes over a row: mean, variance about it, result; sums run in four vectors, in runs that are added up.
// Scale and shift have a value an element of the row (plane 0), or one for each run of `plane` elements: those of row r
// begin at (r % groups) * size / plane. Threads: equal runs of rows. Bound by memory, from L1 or L2 but for the first:
// 21 GB/s of input and output (Zen 4).

#include "rows.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// Sum of (x - centre), or of its square, over a row.
template <bool square>
float total(const float* x, Int size, float centre) {
    constexpr Int run = 512 * B;
    const Vec c = broadcast(centre);
    Vec sum = zero();
    const auto term = [&](Vec v) {
        const Vec d = v - c;
        return square ? d * d : d;
    };
    Int i = 0;
    while (i + B <= size) {
        Vec parts[4] = {zero(), zero(), zero(), zero()};
        const Int end = least(size, i + run);
        for (; i + 4 * B <= end; i += 4 * B)
            for (int p = 0; p < 4; ++p) parts[p] = parts[p] + term(load(x + i + p * B));
        for (; i + B <= end; i += B) parts[0] = parts[0] + term(load(x + i));
        sum = sum + ((parts[0] + parts[1]) + (parts[2] + parts[3]));
    }
    float lanes[B], rest = 0.0f;
    if (i < size) {
        store(lanes, term(load_some(x + i, size - i)));
        for (Int lane = 0; lane < size - i; ++lane) rest += lanes[lane];
    }
    store(lanes, sum);
    for (int width = B / 2; width; width /= 2)
        for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    return lanes[0] + rest;
}

// y = (x - centre) * inverse * scale + shift, scale and shift advancing with x where step is 1.
ORPHEUS_INLINE void write(const float* x, float* y, Int size, float centre, float inverse, const float* scale,
                          const float* shift, Int step) {
    const Vec c = broadcast(centre), inv = broadcast(inverse);
    const Vec one_scale = broadcast(scale ? *scale : 1.0f), one_shift = broadcast(shift ? *shift : 0.0f);
    for (Int i = 0; i < size; i += B) {
        const Int count = size - i;
        const Vec v = (load_upto(x + i, count) - c) * inv;
        const Vec s = scale && step ? load_upto(scale + i, count) : one_scale;
        store_upto(y + i, fma(v, s, shift && step ? load_upto(shift + i, count) : one_shift), count);
    }
}

}  // namespace

void normalize(const void* args, Team& team) {
    const NormalizeArgs& a = *static_cast<const NormalizeArgs*>(args);
    const Range range = share(a.rows, team);
    const auto size = static_cast<float>(a.size);
    for (Int r = range.begin; r < range.end; ++r) {
        const float* x = a.x + r * a.size;
        float* y = a.y + r * a.size;
        float mean = 0.0f;
        if (!a.rms) {
            mean = total<false>(x, a.size, 0.0f) / size;
            mean += total<false>(x, a.size, mean) / size;  // what the first sum rounded away
        }
        const float variance = total<true>(x, a.size, mean) / size;
        const float inverse = 1.0f / __builtin_sqrtf(variance + a.epsilon);
        if (a.mean) a.mean[r] = mean;
        if (a.inverse) a.inverse[r] = inverse;
        if (!a.plane) {
            write(x, y, a.size, mean, inverse, a.scale, a.shift, 1);
            continue;
        }
        const Int runs = a.size / a.plane, first = r % a.groups * runs;
        for (Int i = 0; i < runs; ++i)
            write(x + i * a.plane, y + i * a.plane, a.plane, mean, inverse, a.scale ? a.scale + first + i : nullptr,
                  a.shift ? a.shift + first + i : nullptr, 0);
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
