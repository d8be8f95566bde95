// Elementary functions on vectors, in single precision.
//
// exp: Cody-Waite reduction by ln 2 in two parts and a minimax polynomial of degree 6 on [-ln2/2, ln2/2], scaled by
// two powers of two so that subnormal results and infinity come out right; error below 1.5 units in the last place.
// log, erf: of the C library, lane by lane: they are rare, and right.
#pragma once

#include <math.h>

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

// float(2^n) for lanes n in [-126, 127] that hold whole numbers.
ORPHEUS_INLINE Vec power_of_two(Vec n) {
#if defined(ORPHEUS_ISA_avx512)
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
#elif defined(ORPHEUS_ISA_avx2)
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
#elif defined(ORPHEUS_ISA_neon)
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
#else
    typedef int Ints __attribute__((vector_size(16)));
    const Ints bits = (__builtin_convertvector(n, Ints) + 127) << 23;
    Vec v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
#endif
}

// Nearest whole number, for |v| below 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
ORPHEUS_INLINE Vec round_to_whole(Vec v) {
    const Vec magic = broadcast(12582912.0f);
    return (v + magic) - magic;
}

ORPHEUS_INLINE Vec exp(Vec x) {
    // Beyond these the result is infinite or zero anyway. NaN passes.
    const Vec inside = clamp(x, broadcast(-104.0f), broadcast(89.0f));
    const Vec n = round_to_whole(inside * broadcast(1.44269504f));
    Vec r = fma(n, broadcast(-0.693359375f), inside);
    r = fma(n, broadcast(2.12194440e-4f), r);
    Vec p = broadcast(1.9875691500e-4f);
    p = fma(p, r, broadcast(1.3981999507e-3f));
    p = fma(p, r, broadcast(8.3334519073e-3f));
    p = fma(p, r, broadcast(4.1665795894e-2f));
    p = fma(p, r, broadcast(1.6666665459e-1f));
    p = fma(p, r, broadcast(5.0000001201e-1f));
    p = fma(p * r, r, r) + broadcast(1.0f);
    const Vec half = round_to_whole(n * broadcast(0.5f));
    return p * power_of_two(half) * power_of_two(n - half);
}

// 1 / (1 + exp(-x)).
ORPHEUS_INLINE Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(zero() - x)); }

// Below 0.625 the odd polynomial of Cephes, above 1 - 2 / (exp(2 |x|) + 1); error below 2 units in the last place.
ORPHEUS_INLINE Vec tanh(Vec x) {
    const Vec one = broadcast(1.0f), size = max(zero() - x, x), z = x * x;
    Vec p = fma(broadcast(-5.70498872745e-3f), z, broadcast(2.06390887954e-2f));
    p = fma(p, z, broadcast(-5.37397155531e-2f));
    p = fma(p, z, broadcast(1.33314422036e-1f));
    p = fma(p, z, broadcast(-3.33332819422e-1f));
    const Vec small = fma(p * z, x, x), large = one - broadcast(2.0f) / (exp(size + size) + one);
    const Vec signed_large = x < zero() ? zero() - large : large;
    return size < broadcast(0.625f) ? small : signed_large;
}

// A scalar function on each lane.
template <class F>
ORPHEUS_INLINE Vec lanewise(Vec x, F f) {
    float lanes[B];
    store(lanes, x);
    for (int i = 0; i < B; ++i) lanes[i] = f(lanes[i]);
    return load(lanes);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
