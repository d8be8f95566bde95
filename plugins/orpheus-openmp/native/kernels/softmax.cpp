// Softmax and LogSoftmax over the middle axis of [outer, size, inner].
//
// With inner 1 a vector holds neighbours of the axis, else neighbours of the inner axis. Three passes: maximum, sum of
// exponentials, result. Threads: equal runs of (outer, vector of the inner axis). Bound by the exponentials: 5-6 GB/s of
// input and output (Zen 4).

#include "math.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

void contiguous(const float* x, float* y, Int size, bool log) {
    float largest = x[0], sum = 0.0f;
    for (Int i = 1; i < size; ++i) largest = largest > x[i] ? largest : x[i];
    const Vec top = broadcast(largest);
    Vec sums = zero();
    for (Int i = 0; i < size; i += B) {
        const Int count = least(Int{B}, size - i);
        float lanes[B];
        store(lanes, exp((count == B ? load(x + i) : load_some(x + i, count)) - top));
        for (Int j = count; j < B; ++j) lanes[j] = 0.0f;
        const Vec e = load(lanes);
        sums = sums + e;
        if (!log) store_some(y + i, e, count);
    }
    float lanes[B];
    store(lanes, sums);
    for (int i = 0; i < B; ++i) sum += lanes[i];
    const float logarithm = log ? ::logf(sum) : 0.0f;
    for (Int i = 0; i < size; ++i) y[i] = log ? x[i] - largest - logarithm : y[i] / sum;
}

// `count` neighbours of the inner axis, at most B.
void strided(const float* x, float* y, Int size, Int inner, Int count, bool log) {
    Vec top = load_some(x, count), sum = zero();
    for (Int i = 1; i < size; ++i) top = max(top, load_some(x + i * inner, count));
    for (Int i = 0; i < size; ++i) {
        const Vec e = exp(load_some(x + i * inner, count) - top);
        sum = sum + e;
        if (!log) store_some(y + i * inner, e, count);
    }
    const Vec logarithm = log ? lanewise(sum, [](float v) { return ::logf(v); }) : zero();
    for (Int i = 0; i < size; ++i) {
        const Vec result = log ? load_some(x + i * inner, count) - top - logarithm
                               : load_some(y + i * inner, count) / sum;
        store_some(y + i * inner, result, count);
    }
}

}  // namespace

void softmax(const void* args, Team& team) {
    const SoftmaxArgs& a = *static_cast<const SoftmaxArgs*>(args);
    const Int vectors = ceil_div(a.inner, B);
    const Range range = share(a.outer * vectors, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int outer = i / vectors, first = i % vectors * B, offset = outer * a.size * a.inner + first;
        if (a.inner == 1) contiguous(a.x + offset, a.y + offset, a.size, a.log != 0);
        else strided(a.x + offset, a.y + offset, a.size, a.inner, least(Int{B}, a.inner - first), a.log != 0);
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
